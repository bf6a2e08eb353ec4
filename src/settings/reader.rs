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
    /// What is wrong: "is missing" or "is malformed".
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

/// Reads variables through a look-up function and remembers what was wrong.
pub struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: Vec<Problem>,
    pub(super) sources: Sources,
}

impl<'a> Reader<'a> {
    /// A reader of the process's environment.
    pub fn from_env() -> Self {
        Self::new(|name| std::env::var(name).ok())
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

    /// A secret that must be set, and that a header or a form can carry: pasted with a line break inside, it would
    /// only be refused.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.with(
            name,
            "a secret without line breaks or other control characters",
            |text| {
                let is_plain = !text.contains(char::is_control);
                is_plain.then(|| SecretString::from(text))
            },
        )
    }

    /// Text that must be set.
    pub fn text(&mut self, name: &str, expected: &str) -> Option<String> {
        let value = self.optional(name);
        if value.is_none() {
            self.report(name, "is missing", expected);
        }
        value
    }

    /// A value that must be set and readable.
    pub fn required<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        self.with(name, expected, |text| text.parse().ok())
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
        let value = parse(text);
        if value.is_none() {
            self.report(name, "is malformed", expected);
        }
        value
    }
}
