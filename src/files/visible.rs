//! Foreign text for people: names, labels, messages of parsers.

/// Characters of a text that are shown; what stands behind them is counted.
const MOST: usize = 2000;

/// `text` on one line, as it is shown on a terminal or in a message: control characters and marks that turn the direction of
/// writing become visible escapes, and a very long text is cut.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MOST));
    for (count, (at, character)) in text.char_indices().enumerate() {
        if count == MOST {
            shown += &format!("... ({} more bytes)", text.len() - at);
            break;
        }
        push(&mut shown, character);
    }
    shown
}

/// The same for a text of several lines, whole.
pub fn visible_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            character => push(&mut shown, character),
        }
    }
    shown
}

fn push(shown: &mut String, character: char) {
    match character.is_control() || turns_direction(character) {
        true => shown.extend(character.escape_default()),
        false => shown.push(character),
    }
}

/// Unicode's overrides, embeddings and isolates (UAX 9), and its separators of lines: they let one text look like another.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        assert_eq!(visible("a\nb\u{1b}]0;x\u{7}\u{9b}\u{202e}ü.mp4"), "a\\nb\\u{1b}]0;x\\u{7}\\u{9b}\\u{202e}ü.mp4");
        assert_eq!(visible_lines("a\n\tb\u{1b}[31m\r"), "a\n\tb\\u{1b}[31m\\r");
    }

    #[test]
    fn a_long_text_is_cut_and_counted() {
        let shown = visible(&"ü".repeat(1_000_000));
        assert!(shown.len() < 3 * MOST && shown.ends_with("... (1996000 more bytes)"), "{}", shown.len());
    }
}
