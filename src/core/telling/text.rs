//! Shortens texts that others wrote. Never reads their meaning.

const ELLIPSIS: &str = "…";

/// `text` in at most `most` characters. A longer one is cut at the end of a word, with an ellipsis.
pub fn cut(text: &str, most: usize) -> String {
    if text.char_indices().nth(most).is_none() {
        return text.into();
    }
    let end = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(end, _)| end);
    ended_at(text, end)
}

/// `text` in at most `most` bytes, cut in the same way.
pub fn cut_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.into();
    }
    ended_at(text, text.floor_char_boundary(most.saturating_sub(ELLIPSIS.len())))
}

/// The end of a text, in at most `most` bytes.
pub fn end(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}

/// Stands between what a task waits for and what happened before.
const BEFORE: &str = "before: ";
const THEN_BEFORE: &str = "; before: ";

/// A message followed by what happened before.
pub fn with_what_happened(message: &str, happened: &str) -> String {
    if message.is_empty() { format!("{BEFORE}{happened}") } else { format!("{message}{THEN_BEFORE}{happened}") }
}

/// What happened before, where a message tells it.
pub fn what_happened(message: &str) -> Option<&str> {
    let follows = || Some(message.split_once(THEN_BEFORE)?.1);
    message.strip_prefix(BEFORE).or_else(follows)
}

/// The message without what happened before.
pub fn without_what_happened(message: &str) -> &str {
    let alone = if message.starts_with(BEFORE) { "" } else { message };
    alone.split_once(THEN_BEFORE).map_or(alone, |(message, _)| message)
}

/// Cuts at the last gap before `end`, or within a word where that gap is less than half way.
fn ended_at(text: &str, end: usize) -> String {
    let (head, rest) = text.split_at(end);
    let ends_a_word = rest.starts_with(char::is_whitespace);
    let last_gap = head.rfind(char::is_whitespace).filter(|gap| !ends_a_word && *gap > head.len() / 2);
    let whole = last_gap.map_or(head, |gap| &head[..gap]);
    format!("{}{ELLIPSIS}", whole.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_text_ends_with_a_word_and_an_ellipsis() {
        for (text, most, kept) in [
            ("no page seven", 13, "no page seven"),
            ("no page seven", 12, "no page…"),
            ("no page seven", 8, "no page…"),
            ("no page  seven", 9, "no page…"),
            ("seitenübersicht fehlt", 19, "seitenübersicht…"),
            ("a_single_word_that_goes_on", 9, "a_single…"),
            ("a wordthatgoesonandon", 12, "a wordthatg…"),
            ("漢字漢字漢字", 4, "漢字漢…"),
            ("", 0, ""),
        ] {
            assert_eq!(cut(text, most), kept, "{text} in {most}");
        }
        assert_eq!(cut_bytes("漢字漢字 漢字", 19), "漢字漢字 漢字");
        assert_eq!(cut_bytes("漢字漢字 漢字", 18), "漢字漢字…");
    }

    #[test]
    fn what_happened_before_is_read_back_from_a_message() {
        for (message, happened) in [("the queue is full", "attempt 1: ExitCode: 3; tried again"), ("", "attempt 1")] {
            let whole = with_what_happened(message, happened);
            assert_eq!((without_what_happened(&whole), what_happened(&whole)), (message, Some(happened)));
        }
        assert_eq!((without_what_happened("full"), what_happened("full")), ("full", None));
    }

    proptest! {
        #[test]
        fn a_cut_text_fits_and_is_not_cut_again(text in "(?s).{0,300}", most in 1..200usize) {
            let kept = cut(&text, most);
            prop_assert!(kept.chars().count() <= most);
            prop_assert_eq!(&cut(&kept, most), &kept);
            let kept = cut_bytes(&text, most.max(ELLIPSIS.len()));
            prop_assert!(kept.len() <= most.max(ELLIPSIS.len()));
        }
    }
}
