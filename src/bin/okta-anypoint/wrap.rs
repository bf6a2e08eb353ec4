//! Texts in lines that fit a terminal.

/// Wraps `text` at `width` characters. The first line stands behind `lead`, the others behind `indent` spaces. A longer word
/// stays whole.
pub fn wrapped(lead: &str, indent: usize, text: &str, width: usize) -> Vec<String> {
    let margin = " ".repeat(indent);
    let mut lines: Vec<String> = Vec::new();
    let mut column = 0;
    for word in words(text) {
        let length = columns(word);
        match lines.last_mut() {
            Some(line) if column + 1 + length <= width || line.trim().is_empty() => {
                line.push(' ');
                line.push_str(word);
                column += 1 + length;
            }
            None => {
                lines.push(format!("{lead}{word}"));
                column = columns(lead) + length;
            }
            // An extra space at the end of a line is left out.
            Some(_) if word.is_empty() => {}
            Some(line) => {
                line.truncate(line.trim_end().len());
                lines.push(format!("{margin}{word}"));
                column = indent + length;
            }
        }
    }
    lines
}

/// The words of a text. A command between backticks is one, so that it can be copied.
fn words(text: &str) -> Vec<&str> {
    let is_paired = text.matches('`').count().is_multiple_of(2);
    let mut is_open = false;
    let split = text.split(|character| {
        is_open ^= character == '`' && is_paired;
        character == ' ' && !is_open
    });
    split.collect()
}

/// How wide a text is shown: colours have no width.
fn columns(text: &str) -> usize {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().chars().count();
    let others = parts.map(|part| match part.split_once('m') {
        Some((_, shown)) => shown.chars().count(),
        None => part.chars().count(),
    });
    first + others.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::{columns, words, wrapped};

    #[test]
    fn texts_are_wrapped_at_their_words() {
        let both = |indent: usize, text, width| {
            wrapped(&" ".repeat(indent), indent, text, width).join("\n")
        };
        assert_eq!(both(2, "one two three", 9), "  one two\n  three");
        assert_eq!(both(2, "one two three", 8), "  one\n  two\n  three");
        assert_eq!(both(0, "a-long-word b", 5), "a-long-word\nb");
        assert_eq!(both(2, "one  two", usize::MAX), "  one  two");
        assert_eq!(wrapped("!! ", 1, "one two", 6), ["!! one", " two"]);
        assert_eq!(both(0, "one  two", 4), "one\ntwo");
        assert_eq!(both(0, "one  two", 3), "one\ntwo");
        assert_eq!(
            wrapped("", 2, "  a-long-word b", 5),
            ["  a-long-word", "  b"]
        );
        assert_eq!(wrapped("", 0, "", 5), [""]);
    }

    #[test]
    fn a_command_is_one_word() {
        assert_eq!(
            words("run `a b c`: it says"),
            ["run", "`a b c`:", "it", "says"]
        );
        assert_eq!(words("one ` two"), ["one", "`", "two"]);
    }

    #[test]
    fn colours_have_no_width() {
        let red = "\u{1b}[31;1mone\u{1b}[0m";
        assert_eq!(columns(red), 3);
        assert_eq!(
            wrapped(red, 2, " two three", 8),
            [format!("{red} two"), "  three".to_owned()]
        );
    }
}
