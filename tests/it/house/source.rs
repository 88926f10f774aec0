//! Reads Rust source as far as the house rules need it: which text is code, where functions end.
//!
//! Not a parser. It blanks out comments and literals and then counts braces, which is exact for
//! code that rustfmt accepts.

/// A function and how long it is, signature and closing brace included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// `source` with the content of comments and literals replaced by blanks; every newline stays.
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        match end {
            Some(end) => {
                out.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { b } else { b' ' }));
                at = end;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).expect("only whole literals were blanked")
}

/// The end of the comment or literal that begins at `at`, if one does.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    if rest[0] == b'"' {
        return Some(at + quoted(rest, b'"'));
    }
    let inside_a_word = at > 0 && is_word(bytes[at - 1]);
    if !inside_a_word && let Some(length) = raw_string(rest) {
        return Some(at + length);
    }
    char_literal(rest).map(|length| at + length)
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|p| rest.starts_with(p))?.len();
    let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let body = &rest[open + 1..];
    let length = body.windows(close.len()).position(|w| w == close).unwrap_or(body.len());
    Some((open + 1 + length + close.len()).min(rest.len()))
}

/// A character in quotes; a lifetime begins in the same way and is none.
fn char_literal(rest: &[u8]) -> Option<usize> {
    if rest[0] != b'\'' {
        return None;
    }
    match rest.get(1)? {
        b'\\' => Some(quoted(rest, b'\'')),
        first => {
            let width = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
    }
}

/// Every function with a body in `code`, which is the result of [`code_only`].
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let after = code[at + 2..].trim_start();
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(open) = body_start(code, at) else { continue };
        if name.is_empty() {
            continue;
        }
        let lines = newlines(&code[at..block_end(code, open)]) + 1;
        found.push(Function { name, line: newlines(&code[..at]) + 1, lines });
    }
    found
}

const CFG_TEST: &str = "#[cfg(test)]";

/// `code` without its test modules, line numbers kept; and how many lines they took.
pub(crate) fn without_tests(code: &str) -> (String, usize) {
    let mut kept = code.to_owned();
    let mut removed = 0;
    while let Some(at) = kept.find(CFG_TEST) {
        let item = kept[at..].find(['{', ';']).map_or(kept.len(), |i| at + i);
        let is_module = words(&kept[at..item], "mod").next().is_some();
        let end = match is_module && kept[item..].starts_with('{') {
            true => block_end(&kept, item),
            false => at + CFG_TEST.len(),
        };
        removed += newlines(&kept[at..end]);
        let blank: String = kept[at..end].chars().filter(|&c| c == '\n').collect();
        kept.replace_range(at..end, &blank);
    }
    (kept, removed)
}

/// Where `word` stands alone.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let bytes = code.as_bytes();
        (at == 0 || !is_word(bytes[at - 1]))
            && bytes.get(at + word.len()).is_none_or(|&b| !is_word(b))
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(crate) fn newlines(text: &str) -> usize {
    text.bytes().filter(|&b| b == b'\n').count()
}

/// The opening brace of the function whose `fn` is at `at`; none for a declaration.
fn body_start(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, byte) in code[at..].bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at + offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    None
}

fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code[open..].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

mod tests {
    use super::{Function, code_only, functions, without_tests};

    #[test]
    fn braces_in_comments_and_literals_are_not_code() {
        let source = "a // {\n/* { /* } */ */ b \"{\\\"\" r#\"{\"# '{' '\\'' 'static c";
        let code = code_only(source);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "'static", "c"]);
        assert_eq!(code.len(), source.len());
    }

    #[test]
    fn a_function_is_measured_from_its_signature_to_its_brace() {
        let code = "trait T { fn declared(&self); }\nfn two<F: Fn(u8)>(a: [u8; 2]) {\n}\n";
        let two = Function { name: "two".to_owned(), line: 2, lines: 2 };
        assert_eq!(functions(code), [two]);
    }

    #[test]
    fn modules_of_tests_are_left_out_and_line_numbers_stay() {
        let (code, removed) = without_tests("a\n#[cfg(test)]\nmod tests {\n fn f() {}\n}\nb\n");
        assert_eq!(removed, 3);
        assert_eq!(code, "a\n\n\n\n\nb\n");
    }
}
