//! The one place that makes text safe for a terminal and for readers of the log.
//!
//! Names come from Okta and Anypoint, and people choose them: an escape sequence in one could move the cursor, colour
//! or hide what stands beside it, or begin a line of its own. Every command prints, and every program logs, through
//! here. A line that a command prints stays one line, whatever it contains. A mark that no value can hold precedes each
//! colour, so the author of a message need not remember which parts of it are names.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io;
use std::sync::LazyLock;

/// In front of each colour of a text that is not printed yet. It differs from process to process, and no terminal shows
/// it: a name cannot hold it.
static MARK: LazyLock<String> = LazyLock::new(|| format!("\u{1b}{:032x};", rand::random::<u128>()));

/// Whether a terminal, or a reader, would act upon the character instead of showing it: control characters, and
/// those that change the direction of text.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// As JSON writes what acts, so that JSON stays JSON; everything else as it is.
fn show(character: char, shown: &mut impl fmt::Write) -> fmt::Result {
    if !acts(character) {
        return shown.write_char(character);
    }
    let mut units = [0; 2];
    for unit in character.encode_utf16(&mut units) {
        write!(shown, "\\u{unit:04x}")?;
    }
    Ok(())
}

/// `text` with everything that acts replaced. `passes` says what stands for the beginning of a text that acts, and how many
/// bytes that beginning has; `None`: it is shown as `\\u….`.
fn replaced<'t>(
    text: &'t str,
    passes: impl Fn(&'t str) -> Option<(Cow<'t, str>, usize)>,
) -> Cow<'t, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let passed = Some(rest).filter(|_| acts(character)).and_then(&passes);
        let taken = if let Some((instead, taken)) = passed {
            shown.push_str(&instead);
            taken
        } else {
            let _ = show(character, &mut shown);
            character.len_utf8()
        };
        rest = &rest[taken..];
    }
    Cow::Owned(shown)
}

fn line_break(rest: &str) -> Option<(Cow<'_, str>, usize)> {
    rest.starts_with('\n').then_some((Cow::Borrowed("\n"), 1))
}

/// A value in one line: everything that acts is shown as `\u….`, a line break as well.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .to_string()
            .chars()
            .try_for_each(|character| show(character, f))
    }
}

/// `text` in the colour of this code (ECMA-48, SGR), for [`visible_line`].
pub fn painted(code: &'static str, text: impl Display) -> String {
    let mark = &*MARK;
    format!("{mark}{code}m{text}{mark}0m")
}

/// A line of a command. Only what [`painted`] coloured passes, everything else that acts is shown as `\u….`.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    let mark = &*MARK;
    replaced(text, |rest| {
        let (code, _) = rest.strip_prefix(mark)?.split_once('m')?;
        let shown = format!("\u{1b}[{code}m");
        Some((shown.into(), mark.len() + code.len() + 1))
    })
}

/// Text whose form says where values end, such as JSON: its line breaks pass, everything else that acts is shown as
/// `\u….`.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    replaced(text, line_break)
}

/// One entry of a log: its last line break passes, and no other: an entry stays one line.
fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, |rest| line_break(rest).filter(|_| rest == "\n"))
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
    fn control_characters_are_shown_and_other_text_stays() {
        let ways: [fn(&str) -> String; 2] = [
            |text| visible_line(text).into_owned(),
            |text| Shown(text).to_string(),
        ];
        for shown in ways {
            assert_eq!(shown("Zoë \"Ü\" 日本 🙂"), "Zoë \"Ü\" 日本 🙂");
            assert_eq!(shown("a\u{1b}]0;title\u{7}b"), "a\\u001b]0;title\\u0007b");
            assert_eq!(shown("a\u{1b}[2Jb\rc\td"), "a\\u001b[2Jb\\u000dc\\u0009d");
            assert_eq!(shown("x\u{9b}31my\u{7f}"), "x\\u009b31my\\u007f");
            assert_eq!(shown("user\u{202e}gnp.exe"), "user\\u202egnp.exe");
            assert_eq!(shown("a\u{85}b\u{2028}c\nd"), "a\\u0085b\\u2028c\\u000ad");
        }
    }

    #[test]
    fn a_value_cannot_begin_a_line_or_a_colour() {
        let name = "A\n\u{1b}[32m  ok       forged\u{1b}[0m";
        let line = format!("{} {name}", painted("31;1", format!("FAILED {name}")));
        let inert = "A\\u000a\\u001b[32m  ok       forged\\u001b[0m";
        assert_eq!(
            visible_line(&line),
            format!("\u{1b}[31;1mFAILED {inert}\u{1b}[0m {inert}")
        );
        // A mark of another process is text.
        let other = format!("\u{1b}{:032x};32mok", 7_u128);
        assert!(!visible_line(&other).contains('\u{1b}'));
        // Colours that were printed do not pass a second time.
        assert!(!visible_line(&visible_line(&painted("32", "ok"))).contains('\u{1b}'));
    }

    #[test]
    fn a_log_entry_stays_one_line() {
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
        let shown = visible_lines(&text);
        assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{1b}']));
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, value);
    }
}
