//! Lines for a terminal, in which others may have written: names in files, marks and lists that came from
//! anywhere.

use std::fmt;

/// Prints one line, with [`plain`] characters only.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    println!("{}", plain(&line.to_string()));
}

/// `text` with control characters, and those that turn the direction of writing, written out: they could
/// draw over what was said before, or have the terminal do something.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if c.is_control() || turns {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(plain("Zoë, 2 × 3"), "Zoë, 2 × 3");
        assert_eq!(
            plain("a\u{1b}[2Jb\nc\u{9b}d\u{7f}\u{202e}e"),
            "a\\u{1b}[2Jb\\u{a}c\\u{9b}d\\u{7f}\\u{202e}e"
        );
    }
}
