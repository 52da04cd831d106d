//! What a terminal would obey instead of showing it.

/// Whether this is a control character, one that begins a new line, or one that changes the order in which those around it are shown (Unicode, UAX 9), so that a text reads
/// otherwise than it is.
pub(crate) fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with something else in place of each of them.
pub(crate) fn without_obeyed(text: &str, instead: char) -> String {
    text.chars().map(|letter| if is_obeyed(letter) { instead } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_and_what_turns_text_around_is_replaced_and_nothing_else() {
        let odd = "a\u{1b}b\u{7}\u{9b}\n\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}z";
        assert_eq!(without_obeyed(odd, '?'), format!("a?b{}z", "?".repeat(17)));

        let good = "a b é ü \u{0627}\u{0644} \u{5d0} 日本 \u{2065} \u{202f} 😀";
        assert_eq!(without_obeyed(good, '?'), good);
    }
}
