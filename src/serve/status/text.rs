//! Text for people, and text that is safe in HTML.

use std::fmt::{self, Write as _};

use url::form_urlencoded::byte_serialize;

use crate::clock::rfc3339;
use crate::ids::Subject;
use crate::telemetry::Shown;

/// A subject that leads to its page; other text as it is.
pub(crate) fn subject_link(subject: &str) -> String {
    let code = format!("<code>{}</code>", Escaped(subject));
    match subject.parse::<Subject>() {
        Ok(_) => {
            let id: String = byte_serialize(subject.as_bytes()).collect();
            format!("<a href=\"/subject?id={}\">{code}</a>", Escaped(id))
        }
        Err(_) => code,
    }
}

/// Shows text so that it is text in HTML, also inside a quoted attribute, and nothing in it acts on a reader.
pub(crate) struct Escaped<T>(pub T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in Shown(&self.0).to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// `2026-03-02 09:15:04` in UTC.
pub fn time(at_ms: i64) -> String {
    let text = rfc3339(at_ms);
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// `09:15`, in UTC.
pub(crate) fn clock_time(at_ms: i64) -> String {
    time(at_ms).get(11..16).unwrap_or_default().to_owned()
}

/// `850 ms`, `12 s`, `5 min`, `3.5 h`, `2 d`.
pub fn span(ms: f64) -> String {
    let (value, unit) = match ms {
        ms if ms < 1_000.0 => (ms, "ms"),
        ms if ms < 120_000.0 => (ms / 1_000.0, "s"),
        ms if ms < 7_200_000.0 => (ms / 60_000.0, "min"),
        ms if ms < 172_800_000.0 => (ms / 3_600_000.0, "h"),
        ms => (ms / 86_400_000.0, "d"),
    };
    let number = match value {
        value if value < 10.0 && unit != "ms" => format!("{value:.1}"),
        value => format!("{value:.0}"),
    };
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

/// `12,345`.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// Text as the beginning of a sentence.
pub fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).collect()
}

/// Milliseconds for [`span`].
#[expect(
    clippy::cast_precision_loss,
    reason = "shown with three digits at most"
)]
pub(crate) fn to_f64(ms: i64) -> f64 {
    ms.max(0) as f64
}

/// An argument as a shell takes it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_stays_in_its_place() {
        assert_eq!(
            Escaped("<script>\"'&").to_string(),
            "&lt;script&gt;&quot;&#39;&amp;"
        );
        assert_eq!(
            Escaped("Zoë 日本 🙂\u{1b}[32m\u{9b}a\u{202e}b\nc").to_string(),
            "Zoë 日本 🙂\\u001b[32m\\u009ba\\u202eb\\u000ac"
        );
    }

    #[test]
    fn only_a_subject_leads_to_a_page() {
        assert_eq!(
            subject_link("user#00u1"),
            "<a href=\"/subject?id=user%2300u1\"><code>user#00u1</code></a>"
        );
        assert_eq!(subject_link("<b>"), "<code>&lt;b&gt;</code>");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-999), "-999");
        assert_eq!(span(850.4), "850 ms");
        assert_eq!(span(1_500.0), "1.5 s");
        assert_eq!(span(300_000.0), "5 min");
        assert_eq!(span(864_000_000.0), "10 d");
        assert_eq!(time(1_790_000_000_123), "2026-09-21 14:13:20");
    }

    #[test]
    fn a_sentence_begins_with_a_capital() {
        assert_eq!(sentence("an API token"), "An API token");
        assert_eq!(sentence("Okta"), "Okta");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn a_shell_word_stays_one_word() {
        assert_eq!(shell_word("/var/lib/a.db"), "/var/lib/a.db");
        assert_eq!(shell_word("it's; rm"), "'it'\\''s; rm'");
    }
}
