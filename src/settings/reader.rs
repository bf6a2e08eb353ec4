//! Looks variables up and gathers every problem, so that one start shows all of them.

use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;

use super::credentials::Sources;

/// One variable at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: String,
    /// What is wrong, such as "is missing" or "is malformed".
    pub fault: &'static str,
    /// What is expected.
    pub expected: String,
}

/// Every variable at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub Vec<Problem>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not complete:")?;
        for Problem {
            variable,
            fault,
            expected,
        } in &self.0
        {
            write!(f, "\n  {variable} {fault}: expected {expected}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

/// Finds the value of a variable by its name.
type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// The fault of a value that is no id, name or token.
const NOT_IN_ONE_PIECE: &str =
    "has a blank, a line break or a character beyond visible ASCII inside";
/// The fault of a value that is not text in one line.
const NOT_ONE_LINE: &str = "has a line break, a control character or broken UTF-8 inside";

/// Bytes that are not UTF-8 come as the replacement character.
fn is_no_text(character: char) -> bool {
    character.is_control() || character == char::REPLACEMENT_CHARACTER
}

/// A variable of the process. One that is not UTF-8 is malformed, and not unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?;
    Some(value.to_string_lossy().into_owned())
}

/// Reads variables through a look-up function and remembers what was wrong.
pub struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: Vec<Problem>,
    pub(super) sources: Sources,
}

impl<'a> Reader<'a> {
    /// A reader of the process's environment.
    pub fn from_env() -> Self {
        Self::new(variable)
    }

    /// A reader of whatever `lookup` finds.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self {
            lookup: Box::new(lookup),
            problems: Vec::new(),
            sources: Sources::default(),
        }
    }

    /// The same reader, with `fallback` asked for what the first look-up leaves unset.
    #[must_use]
    pub fn or_else(self, fallback: impl Fn(&str) -> Option<String> + 'a) -> Self {
        let first = self.lookup;
        let set = |value: &String| !value.trim().is_empty();
        Self {
            lookup: Box::new(move |name| first(name).filter(set).or_else(|| fallback(name))),
            problems: self.problems,
            sources: self.sources,
        }
    }

    /// The value, if every variable was in order.
    ///
    /// # Errors
    /// All problems met so far.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, SettingsError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(SettingsError(self.problems)),
        }
    }

    /// A variable that may be unset.
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    /// A secret that must be set.
    pub fn secret(&mut self, name: &str, expected: &str) -> Option<SecretString> {
        self.with(name, expected, |text| Some(text.into()))
    }

    /// Text that must be set.
    pub fn text(&mut self, name: &str, expected: &str) -> Option<String> {
        let value = self.optional(name);
        if value.is_none() {
            self.report(name, "is missing", expected);
        }
        value
    }

    /// An id, a name or a token that must be set and readable. Pasted with a blank or an invisible character inside, it
    /// would only be refused later.
    pub fn required<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = self.text(name, expected)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.report(name, NOT_IN_ONE_PIECE, expected);
            return None;
        }
        self.parsed(name, expected, &text, |text| text.parse().ok())
    }

    /// A value that must be set and that `parse` takes.
    pub fn with<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name, expected)?;
        self.parsed(name, expected, &text, parse)
    }

    /// The same, of a value that may have several lines.
    pub(super) fn with_lines<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name, expected)?;
        self.read(name, expected, &text, parse)
    }

    /// A value that `parse` must take when it is set.
    pub(crate) fn with_default<T>(
        &mut self,
        name: &str,
        expected: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.optional(name).unwrap_or_else(|| default.to_owned());
        self.parsed(name, expected, &text, parse)
    }

    /// One of several words; the first is the default.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<_> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        let default = choices.first().map_or("", |(word, _)| *word);
        self.with_default(
            name,
            &format!("one of {}", words.join(", ")),
            default,
            |text| {
                choices
                    .iter()
                    .find(|(word, _)| *word == text)
                    .map(|(_, value)| *value)
            },
        )
    }

    /// Remembers a problem.
    pub fn report(&mut self, variable: &str, fault: &'static str, expected: &str) {
        let problem = Problem {
            variable: variable.to_owned(),
            fault,
            expected: expected.to_owned(),
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        expected: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if text.contains(is_no_text) {
            self.report(name, NOT_ONE_LINE, expected);
            return None;
        }
        self.read(name, expected, text, parse)
    }

    fn read<T>(
        &mut self,
        name: &str,
        expected: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(text);
        if value.is_none() {
            self.report(name, "is malformed", expected);
        }
        value
    }
}
