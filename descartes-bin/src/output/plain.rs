//! Text of others in a terminal: how wide it is, and nothing in it that does more than show itself.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether `c` can be shown as it is: it is no control character, nothing that turns the direction of
/// text, has no width or ends a line.
pub(crate) fn is_plain(c: char) -> bool {
    let steers = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    !c.is_control() && !steers
}

/// Columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` on exactly `columns` columns: cut with an ellipsis, or filled up. What is not plain is
/// shown as the sign for what cannot be shown; what has no width is left out.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let plain = |c: char| if is_plain(c) { c } else { char::REPLACEMENT_CHARACTER };
    let letters = text.chars().map(plain).map(|c| (c, c.width().unwrap_or(0)));
    let mut letters = letters.filter(|(_, width)| *width > 0).peekable();
    let (mut fitted, mut used) = (String::new(), 0);
    while let Some((c, width)) = letters.next() {
        let last = letters.peek().is_none();
        // Unless all of it fits, there is room for the ellipsis.
        if used + width + usize::from(!last) > columns {
            if used < columns {
                fitted.push('…');
                used += 1;
            }
            break;
        }
        fitted.push(c);
        used += width;
    }
    fitted.extend(std::iter::repeat_n(' ', columns - used));
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_width_that_it_is_given() {
        for (text, columns, shown) in [
            ("abc", 5, "abc  "),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("名前", 4, "名前"),
            ("名前x", 4, "名… "),
            ("名", 1, "…"),
            ("e\u{301}\x1b[2J", 8, "e\u{fffd}[2J   "),
            ("ab", 0, ""),
            ("", 2, "  "),
        ] {
            assert_eq!(fitted(text, columns), shown, "{text:?} on {columns}");
            assert_eq!(width(&fitted(text, columns)), columns, "{text:?} on {columns}");
        }
    }
}
