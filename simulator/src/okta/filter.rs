//! Expressions of event hook filters (Okta help, "Okta Expression Language and event hooks"): clauses such as
//! `event.target.?[type eq 'AppInstance' && id eq '0oa…'].size()>0`, joined by `&&`. One clause asks for one target that
//! fits all of it. Anything else that the language has is refused.

use super::log::{LogEvent, Target};
use super::objects::EventHook;

/// Whether a hook's filter sends an event. A type without an expression is sent; one that cannot be read sends nothing.
pub(super) fn lets_through(hook: &EventHook, event: &LogEvent) -> bool {
    match hook.filter.get(&event.event_type) {
        None => true,
        Some(expression) => Condition::parse(expression).is_ok_and(|parsed| parsed.fits(event)),
    }
}

/// A parsed expression: each clause needs a target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Condition(Vec<Clause>);

/// What one target has to be, field by field.
type Clause = Vec<(Field, String)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Type,
    AlternateId,
    DisplayName,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "type" => Self::Type,
            "alternateId" => Self::AlternateId,
            "displayName" => Self::DisplayName,
            _ => return None,
        })
    }

    fn of(self, target: &Target) -> &str {
        match self {
            Self::Id => &target.id,
            Self::Type => &target.kind,
            Self::AlternateId => &target.alternate_id,
            Self::DisplayName => &target.display_name,
        }
    }
}

impl Condition {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = Rest(text);
        let mut clauses = vec![rest.clause()?];
        while rest.take("&&") {
            clauses.push(rest.clause()?);
        }
        match rest.0.trim() {
            "" => Ok(Self(clauses)),
            other => Err(format!("`{other}` is not understood")),
        }
    }

    fn fits(&self, event: &LogEvent) -> bool {
        self.0.iter().all(|clause| {
            let fits = |target: &Target| {
                clause
                    .iter()
                    .all(|(field, wanted)| field.of(target) == wanted)
            };
            event.targets.iter().any(fits)
        })
    }
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Goes past `word`, if that comes next.
    fn take(&mut self, word: &str) -> bool {
        match self.0.trim_start().strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take_word(&mut self, word: &str) -> Result<(), String> {
        match self.take(word) {
            true => Ok(()),
            false => Err(format!("`{word}` is missing before `{}`", self.0.trim())),
        }
    }

    fn clause(&mut self) -> Result<Clause, String> {
        self.take_word("event.target.?[")?;
        let mut clause = vec![self.comparison()?];
        while self.take("&&") {
            clause.push(self.comparison()?);
        }
        for word in ["]", ".size()", ">", "0"] {
            self.take_word(word)?;
        }
        Ok(clause)
    }

    fn comparison(&mut self) -> Result<(Field, String), String> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric());
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        let field = Field::named(name).ok_or_else(|| format!("the field `{name}` is not known"))?;
        self.0 = rest;
        for word in ["eq", "'"] {
            self.take_word(word)?;
        }
        let (value, rest) = self.0.split_once('\'').ok_or("a quote is not closed")?;
        self.0 = rest;
        Ok((field, value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(targets: &[(&str, &str)]) -> LogEvent {
        LogEvent {
            uuid: String::new(),
            published_ms: 0,
            event_type: "application.user_membership.add".to_owned(),
            outcome: "SUCCESS".to_owned(),
            targets: targets
                .iter()
                .map(|(kind, id)| Target::new(kind, id, "unknown", "A name"))
                .collect(),
            debug: Vec::new(),
            by_job: false,
        }
    }

    #[test]
    fn one_clause_asks_for_one_target() {
        let fits = |expression: &str, targets: &[(&str, &str)]| {
            Condition::parse(expression).unwrap().fits(&event(targets))
        };
        let ours = "event.target.?[type eq 'AppInstance' && id eq '0oa1'].size()>0";
        assert!(fits(ours, &[("User", "00u1"), ("AppInstance", "0oa1")]));
        assert!(!fits(ours, &[("User", "0oa1"), ("AppInstance", "0oa2")]));
        assert!(!fits(ours, &[]));
        // Two clauses may be about two targets, as in Okta's own example.
        let loose = "event.target.?[type eq 'AppInstance'].size()>0 && event.target.?[ id eq '0oa1' ].size() > 0";
        assert!(fits(loose, &[("User", "0oa1"), ("AppInstance", "0oa2")]));
        assert!(fits(
            "event.target.?[displayName eq 'A name'].size()>0",
            &[("User", "00u1")]
        ));
    }

    #[test]
    fn an_expression_of_another_form_is_refused() {
        for text in [
            "",
            "true",
            "event.actor.id eq '00u1'",
            "event.target.?[type ne 'User'].size()>0",
            "event.target.?[type eq 'User' || type eq 'Group'].size()>0",
            "event.target.?[type eq 'User].size()>0",
            "event.target.?[type eq 'User'].size()>1",
            "event.target.?[type eq 'User'].size()>0 &&",
            "event.target.?[type eq 'User'].size()>0 0",
            "event.target.?[detail eq 'User'].size()>0",
            "event.target.?[].size()>0",
        ] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
