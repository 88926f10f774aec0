//! A JSON checker that finds where values begin and end and builds nothing.
//!
//! It accepts exactly the grammar of RFC 8259 and keeps no stack of its own but one bit a level, so
//! that depth costs nothing and cannot overflow.

use std::ops::Range;

use memchr::memchr2;

use crate::limits::JSON_DEPTH;

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// Not JSON from this byte on; at the end when something is missing.
    Malformed { at: usize },
    /// Nested deeper than [`JSON_DEPTH`].
    TooDeep,
}

/// A string as it stands in the text, quotes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawString {
    pub(crate) range: Range<usize>,
    /// Whether it has to be decoded to know what it says.
    pub(crate) escaped: bool,
}

/// A position in a text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

/// How many plain bytes are looked at one by one before the vectorised search is worth its call.
const SHORT: usize = 24;

/// The bytes that end a plain run: quote, backslash, and what may not stand in a string at all.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        ends[byte] = true;
        byte += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, depth: 0 }
    }

    /// The next byte that is not space, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte` after any space if it is next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes `byte` after any space.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.take(byte) { Ok(()) } else { Err(self.malformed()) }
    }

    /// Nothing but space may follow.
    pub(crate) fn end(&mut self) -> Result<(), ScanError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.malformed()) }
    }

    /// Takes an opening bracket or brace that is next.
    pub(crate) fn enter(&mut self) -> Result<(), ScanError> {
        if self.depth == JSON_DEPTH {
            return Err(ScanError::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Leaves what [`Scanner::enter`] entered; the closing byte is already taken.
    pub(crate) const fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Takes a member's name and the colon after it.
    pub(crate) fn member_name(&mut self) -> Result<RawString, ScanError> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// Takes one value of any kind and says where it stands.
    pub(crate) fn value(&mut self) -> Result<Range<usize>, ScanError> {
        let first = self.peek().ok_or_else(|| self.malformed())?;
        let start = self.at;
        if matches!(first, b'{' | b'[') {
            self.container()?;
        } else {
            self.scalar(first)?;
        }
        Ok(start..self.at)
    }

    /// Takes a string whose opening quote is next.
    pub(crate) fn string(&mut self) -> Result<RawString, ScanError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.plain_run()? {
                b'"' => {
                    self.at += 1;
                    return Ok(RawString { range: start..self.at, escaped });
                }
                _ => {
                    escaped = true;
                    self.escape()?;
                }
            }
        }
    }

    /// Takes an object or array, however deep, without recursion.
    fn container(&mut self) -> Result<(), ScanError> {
        let base = self.depth;
        // One bit a level, the innermost lowest: set for an object. The depth bound fits it.
        let mut objects: u128 = 0;
        loop {
            let first = self.peek().ok_or_else(|| self.malformed())?;
            let mut complete = true;
            if matches!(first, b'{' | b'[') {
                self.enter()?;
                objects = (objects << 1) | u128::from(first == b'{');
                complete = self.take(closing(objects));
                if complete {
                    self.leave();
                    objects >>= 1;
                }
            } else {
                self.scalar(first)?;
            }
            if complete && self.close(base, &mut objects)? {
                return Ok(());
            }
            if objects & 1 == 1 {
                self.member_name()?;
            }
        }
    }

    /// Takes what may follow a value inside containers: a comma, or the ends of some of them. True
    /// when that was all of them.
    fn close(&mut self, base: u32, objects: &mut u128) -> Result<bool, ScanError> {
        while self.depth > base {
            if self.take(b',') {
                return Ok(false);
            }
            self.expect(closing(*objects))?;
            self.leave();
            *objects >>= 1;
        }
        Ok(true)
    }

    /// Takes a value that is neither object nor array and begins with `first`.
    fn scalar(&mut self, first: u8) -> Result<(), ScanError> {
        match first {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => Err(self.malformed()),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), ScanError> {
        for expected in word {
            if self.bytes.get(self.at) != Some(expected) {
                return Err(self.malformed());
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), ScanError> {
        self.skip_one(|byte| byte == b'-');
        if !self.skip_one(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.skip_one(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.skip_one(|byte| matches!(byte, b'e' | b'E')) {
            self.skip_one(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        if !self.skip_one(|byte| byte.is_ascii_digit()) {
            return Err(self.malformed());
        }
        while self.skip_one(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    fn skip_one(&mut self, accept: impl Fn(u8) -> bool) -> bool {
        let found = self.bytes.get(self.at).is_some_and(|byte| accept(*byte));
        self.at += usize::from(found);
        found
    }

    /// Takes the plain bytes of a string and says what ends them: a quote or a backslash.
    #[inline]
    fn plain_run(&mut self) -> Result<u8, ScanError> {
        let rest = &self.bytes[self.at..];
        for (index, byte) in rest.iter().enumerate().take(SHORT) {
            if ENDS[usize::from(*byte)] {
                self.at += index;
                return if *byte < 0x20 { Err(self.malformed()) } else { Ok(*byte) };
            }
        }
        let Some(length) = memchr2(b'"', b'\\', rest) else {
            self.at = self.bytes.len();
            return Err(self.malformed());
        };
        // Without an early exit the compiler makes this as fast as the search itself.
        let clean = rest[..length].iter().fold(true, |clean, byte| clean & (*byte >= 0x20));
        self.at += length;
        if clean { Ok(rest[length]) } else { Err(self.malformed()) }
    }

    /// Takes an escape whose backslash is next.
    fn escape(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.skip_one(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.malformed());
                    }
                }
                Ok(())
            }
            _ => Err(self.malformed()),
        }
    }

    const fn malformed(&self) -> ScanError {
        ScanError::Malformed { at: self.at }
    }
}

/// What closes the innermost level.
const fn closing(objects: u128) -> u8 {
    if objects & 1 == 1 { b'}' } else { b']' }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn scan(text: &str) -> Result<Range<usize>, ScanError> {
        let mut scanner = Scanner::new(text);
        let range = scanner.value()?;
        scanner.end()?;
        Ok(range)
    }

    #[test]
    fn the_extent_of_a_value_is_found_without_the_space_around_it() {
        let cases =
            ["1", "-0.5e+10", "\"a\\\"b\"", "{}", "[ ]", "[1, {\"a\": [true, null]}]", "false"];
        for text in cases {
            assert_eq!(scan(&format!("\t{text} \n")), Ok(1..1 + text.len()), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_goes_wrong() {
        let cases = [
            ("", 0),
            (" ", 1),
            ("nul", 3),
            ("tru e", 3),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            (".5", 0),
            ("+1", 0),
            ("\"a", 2),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 5),
            ("\"\n\"", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{a:1}", 1),
            ("{\"a\":1,}", 7),
            ("[}", 1),
            ("{]", 1),
            ("[1}", 2),
            ("1 1", 2),
            ("'a'", 0),
            ("NaN", 0),
            ("[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\u{1}\"]", 39),
        ];
        for (text, at) in cases {
            assert_eq!(scan(text), Err(ScanError::Malformed { at }), "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(scan(&nested(128)).is_ok());
        assert_eq!(scan(&nested(129)), Err(ScanError::TooDeep));
        assert_eq!(scan(&nested(100_000)), Err(ScanError::TooDeep));
        let objects = format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128));
        assert!(scan(&objects).is_ok());
        assert_eq!(scan(&format!("{{\"a\":{objects}}}")), Err(ScanError::TooDeep));
    }

    /// Texts near JSON: pieces of it in any order.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\\", " ", "\n", "0", "1", "-", ".", "e", "E", "+",
                "true", "false", "null", "\"a\"", "\"a\":", "\\u00e9", "\\n", "\\x", "é", "\u{0}", "12",
            ]).prop_map(str::to_owned),
            1 => ".{0,40}",
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Texts that are JSON.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,60}".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::hash_map(".{0,8}", inner, 0..8)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
        .prop_map(|value| value.to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

        #[test]
        fn the_scanner_and_serde_agree_on_what_is_json(text in prop_oneof![nearly_json(), json()]) {
            let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(scan(&text).is_ok(), theirs, "{:?}", text);
        }

        #[test]
        fn cut_anywhere_a_container_is_not_json(text in json(), cut in any::<prop::sample::Index>()) {
            let array = format!("[{text}]");
            let at = cut.index(array.len());
            if array.is_char_boundary(at) {
                let refused = matches!(scan(&array[..at]), Err(ScanError::Malformed { .. }));
                prop_assert!(refused);
            }
        }
    }
}
