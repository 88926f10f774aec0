//! Characters that do nothing but show themselves.

/// Whether `c` can be shown as it is: it is no control character, nothing that turns the direction of
/// text, has no width or ends a line.
pub(crate) fn is_plain(c: char) -> bool {
    let steers = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    !c.is_control() && !steers
}
