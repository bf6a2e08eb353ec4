//! The one place where text loses what a terminal or a log reader would act upon.
//!
//! Names come from Okta and Anypoint, and people choose them: an escape sequence in one could move the cursor, colour
//! or hide what stands beside it, or begin a line of its own. Every command prints, and every program logs, through
//! here.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// The colours that commands and their tables use; nothing else that begins with an escape passes.
const COLOURS: [&str; 8] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[31;1m",
    "\u{1b}[32m",
    "\u{1b}[38;5;1m",
    "\u{1b}[38;5;2m",
    "\u{1b}[39m",
];

/// Whether a terminal, or a reader, would act upon the character instead of showing it: control characters, and
/// those that change the direction of text.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn replaced<'t>(text: &'t str, passes: impl Fn(&str) -> Option<usize>) -> Cow<'t, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let taken = if !acts(character) {
            shown.push(character);
            character.len_utf8()
        } else if let Some(length) = passes(rest) {
            shown.push_str(&rest[..length]);
            length
        } else {
            // As JSON writes it, so that JSON stays JSON.
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
            character.len_utf8()
        };
        rest = &rest[taken..];
    }
    Cow::Owned(shown)
}

/// Text of a command: line breaks and the commands' own colours pass, everything else that acts is shown as `\u….`.
pub fn visible(text: &str) -> Cow<'_, str> {
    replaced(text, |rest| {
        if rest.starts_with('\n') {
            return Some(1);
        }
        let colour = COLOURS.iter().find(|colour| rest.starts_with(**colour));
        colour.map(|colour| colour.len())
    })
}

/// One entry of a log: its last line break passes, and no other: an entry stays one line.
fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, |rest| (rest == "\n").then_some(1))
}

/// A log's output. The log writes an entry at a time.
pub(super) struct OneLine<W>(pub(super) W);

impl<W: io::Write> io::Write for OneLine<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        self.0.write_all(one_line(&text).as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_acts_is_shown_and_nothing_else_changes() {
        assert_eq!(visible("Zoë \"Ü\" 日本 🙂\n"), "Zoë \"Ü\" 日本 🙂\n");
        assert_eq!(visible("a\u{1b}]0;title\u{7}b"), "a\\u001b]0;title\\u0007b");
        assert_eq!(visible("a\u{1b}[2Jb\rc\td"), "a\\u001b[2Jb\\u000dc\\u0009d");
        assert_eq!(visible("x\u{9b}31my\u{7f}"), "x\\u009b31my\\u007f");
        assert_eq!(visible("user\u{202e}gnp.exe"), "user\\u202egnp.exe");
        assert_eq!(visible("\u{1b}[32mok\u{1b}[0m"), "\u{1b}[32mok\u{1b}[0m");
    }

    #[test]
    fn an_entry_of_a_log_stays_one_line() {
        let mut log = OneLine(Vec::new());
        log.write_all(b"ERROR name: a\nINFO forged\x1b[0m\n")
            .unwrap();
        let log = String::from_utf8(log.0).unwrap();
        assert_eq!(log, "ERROR name: a\\u000aINFO forged\\u001b[0m\n");
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({"name": "a\u{9b}b\u{202e}c\u{1b}\n"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = visible(&text);
        assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{1b}']));
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, value);
    }
}
