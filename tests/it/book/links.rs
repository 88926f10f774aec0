//! Links and headings of Markdown, as far as our pages use them.

use std::collections::BTreeSet;

/// The text without what stands in fences and between backticks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if !fenced && !fence {
            prose += line;
            prose.push('\n');
        }
    }
    prose
}

/// Every link: the page (none for this one, or a URL) and the anchor.
pub(super) fn of(text: &str) -> Vec<(String, Option<String>)> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let parts = targets.map(|target| match target.split_once('#') {
        Some((page, anchor)) => (page.to_owned(), Some(anchor.to_owned())),
        None => (target.to_owned(), None),
    });
    parts.collect()
}

/// The anchors of the headings, as mdBook and forges make them.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_anchors_are_found() {
        let text =
            "# A `b.c` d\n[x](p.md#q) and [y](#z)\n```\n[no](n.md)\n# no\n```\n[u](http://u)\n";
        let found = of(text);
        let found: Vec<_> = found.iter().map(|(to, at)| (to.as_str(), at.as_deref())).collect();
        assert_eq!(found, [("p.md", Some("q")), ("", Some("z")), ("http://u", None)]);
        assert_eq!(anchors(text), BTreeSet::from(["a-bc-d".to_owned()]));
    }
}
