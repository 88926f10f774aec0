//! Numbers, which JSON writes as long as it likes and MessagePack in 64 bits.

/// The extension type whose data is a number as JSON writes it, for what 64 bits cannot say: `N`.
///
/// Peers that do not know it see a value of an unknown type where the number is, and never
/// another number.
pub(super) const EXTENSION: u8 = b'N';

/// Most digits that the shortest text of a float of 64 bits has.
const FLOAT_DIGITS: usize = 17;

/// A number of JSON as MessagePack says it exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    /// Nothing but its text.
    Text,
}

/// The length of the number that `text` begins with (RFC 8259 section 6), if it begins with one.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += match text.get(at)? {
        b'0' => 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        at += 1 + some(digits(at + 1))?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        at += some(digits(at))?;
    }
    Some(at)
}

const fn some(count: usize) -> Option<usize> {
    if count == 0 { None } else { Some(count) }
}

/// What the number `text` is. Whole numbers stay whole, and those with a fraction or an exponent do
/// not become whole.
pub(super) fn read(text: &str) -> Number {
    if !text.contains(['.', 'e', 'E']) {
        return match (text.parse(), text.parse()) {
            (Ok(number), _) => Number::Unsigned(number),
            (_, Ok(number @ ..0)) => Number::Negative(number),
            _ => Number::Text,
        };
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && is_said_by(text, number) => Number::Float(number),
        _ => Number::Text,
    }
}

/// Whether a shortest text of `number`, which every reader makes `number` of again, means the same
/// as this one.
///
/// Some floats have two that are equally near, such as `1749220892028010.25`: the standard library
/// rounds up, `serde_json` to the even digit, as ECMAScript (Number::toString, note 2) and Python
/// do.
fn is_said_by(text: &str, number: f64) -> bool {
    let Some(meant) = Decimal::of(text) else { return false };
    let means = |written: &str| Decimal::of(written).as_ref() == Some(&meant);
    means(&format!("{number:e}")) || serde_json::to_string(&number).is_ok_and(|even| means(&even))
}

/// A decimal number: `0.digits` times ten to the power of `point`.
#[derive(Debug, PartialEq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    /// What `text` means, if it is short enough to be that of a float.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        let zeros = all().take_while(|digit| *digit == b'0').count();
        let behind = all().rev().take_while(|digit| *digit == b'0').count();
        let count = (whole.len() + fraction.len()).saturating_sub(zeros + behind);
        if count > FLOAT_DIGITS {
            return None;
        }
        if count == 0 {
            return Some(Self { negative, digits: Vec::new(), point: 0 });
        }
        let before = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        let point = exponent.parse::<i64>().ok()?.checked_add(before)?;
        Some(Self { negative, digits: all().skip(zeros).take(count).collect(), point })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_as_long_as_its_grammar_goes() {
        for (text, expected) in [
            ("0", 1),
            ("-0", 2),
            ("01", 1),
            ("12,", 2),
            ("1.50]", 4),
            ("1e5", 3),
            ("-1.5E+07 ", 8),
            ("1-2", 1),
        ] {
            assert_eq!(length(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "-e", "x", "Infinity", "NaN"] {
            assert_eq!(length(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_64_bits_say_exactly_is_said_in_them() {
        for (text, expected) in [
            ("0", Number::Unsigned(0)),
            ("18446744073709551615", Number::Unsigned(u64::MAX)),
            ("-1", Number::Negative(-1)),
            ("-9223372036854775808", Number::Negative(i64::MIN)),
            ("1.0", Number::Float(1.0)),
            ("0.1000", Number::Float(0.1)),
            ("1E2", Number::Float(100.0)),
            ("1e30", Number::Float(1e30)),
            ("0.00012e+4", Number::Float(1.2)),
            ("5e-324", Number::Float(5e-324)),
            ("1.7976931348623157e308", Number::Float(f64::MAX)),
            ("9007199254740993.0", Number::Text),
            ("0e99999", Number::Float(0.0)),
            ("100000000000000000000000.0", Number::Float(1e23)),
            ("1749220892028010.2", Number::Float(1_749_220_892_028_010.0 + 0.25)),
            ("1749220892028010.3", Number::Float(1_749_220_892_028_010.0 + 0.25)),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert!(matches!(read("-0.0"), Number::Float(zero) if zero.is_sign_negative()));
    }

    #[test]
    fn what_they_cannot_say_stays_text() {
        for text in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "-0",
            "1e400",
            "-1e400",
            "1e-400",
            "1e99999999999999999999",
            "4e-324",
            "0.12345678901234567890",
            "3.141592653589793238",
            "0.30000000000000004441",
            "1749220892028010.1",
            "1749220892028010.25",
        ] {
            assert_eq!(read(text), Number::Text, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_finite_float_is_one_however_it_is_written(
            bits in any::<u64>(),
            zeros in 1..30_usize,
        ) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let shortest = format!("{number:e}");
            let (digits, exponent) = shortest.split_once('e').unwrap();
            let dot = if digits.contains('.') { "" } else { "." };
            let padded = format!("{digits}{dot}{}E{exponent}", "0".repeat(zeros));
            for text in [serde_json::to_string(&number).unwrap(), shortest.clone(), padded] {
                prop_assert_eq!(length(text.as_bytes()), Some(text.len()));
                let Number::Float(read) = read(&text) else { panic!("{text}") };
                prop_assert_eq!(read.to_bits(), bits, "{}", text);
            }
        }

        #[test]
        fn whole_numbers_are_never_rounded(number in any::<i128>()) {
            let text = number.to_string();
            match read(&text) {
                Number::Unsigned(read) => prop_assert_eq!(i128::from(read), number),
                Number::Negative(read) => prop_assert_eq!(i128::from(read), number),
                Number::Float(read) => panic!("{text} as {read}"),
                Number::Text => prop_assert!(
                    number > u64::MAX.into() || number < i64::MIN.into()
                ),
            }
        }
    }
}
