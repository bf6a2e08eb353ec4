//! Profiles: the user's own, and the one that the app keeps of the user.
//!
//! An org may have given any attribute a type other than text. Such a value does no harm.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The name of an attribute ("variable name" in Okta's profile editor).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName(String);

impl AttributeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AttributeName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_name = is_word && text.starts_with(|c: char| !c.is_ascii_digit());
        is_name.then(|| Self(text.to_owned())).ok_or(())
    }
}

/// Where Okta has a value of a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The profile that the app keeps of the user (`app.NAME`).
    App(AttributeName),
    /// The user's own profile (`user.NAME`).
    User(AttributeName),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(name) => write!(f, "app.{}", name.as_str()),
            Self::User(name) => write!(f, "user.{}", name.as_str()),
        }
    }
}

impl FromStr for Source {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once('.') {
            Some(("app", name)) => name.parse().map(Self::App),
            Some(("user", name)) => name.parse().map(Self::User),
            _ => Err(()),
        }
    }
}

/// The text, unless it is empty.
pub(super) fn non_empty(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// The attributes that hold something: their texts, `None` where it is not text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Profile(Vec<(String, Option<String>)>);

/// Attributes of a user that lists keep in any case.
const ALWAYS_KEPT: [&str; 6] = [
    "login",
    "email",
    "firstName",
    "lastName",
    "mobilePhone",
    "primaryPhone",
];

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let attributes = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let held = attributes
            .into_iter()
            .filter(|(_, raw)| raw.get() != "null");
        // Numbers that no program can hold, and texts that are not Unicode, are no text either: a raw value is not looked into.
        let texts = held.map(|(name, raw)| (name, serde_json::from_str(raw.get()).ok()));
        Ok(Self(texts.collect()))
    }
}

impl Profile {
    /// The profile of an app user. Anything that is no profile counts as an empty one.
    pub(super) fn of_app_user<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        Ok(serde_json::from_str(raw.get()).unwrap_or_default())
    }

    fn held(&self, name: &str) -> Option<&Option<String>> {
        let mut attributes = self.0.iter();
        attributes
            .find(|(held, _)| held == name)
            .map(|(_, text)| text)
    }

    /// The text of an attribute, if there is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        non_empty(self.held(name)?.as_deref()?)
    }

    /// Whether an attribute holds something that is not text.
    pub fn is_unread(&self, name: &str) -> bool {
        matches!(self.held(name), Some(None))
    }

    /// Forgets the attributes of an app user that `kept` does not name.
    pub(super) fn keep_of_app(&mut self, kept: &[&Source]) {
        let is_kept = |name: &str| {
            let mut kept = kept.iter();
            kept.any(|source| matches!(source, Source::App(kept) if kept.as_str() == name))
        };
        self.0.retain(|(name, _)| is_kept(name));
    }

    /// Forgets the attributes of a user that `kept` does not name.
    pub(super) fn keep_of_user(&mut self, kept: &[&Source]) {
        let is_kept = |name: &str| {
            let mut kept = kept.iter();
            kept.any(|source| matches!(source, Source::User(kept) if kept.as_str() == name))
        };
        self.0
            .retain(|(name, _)| ALWAYS_KEPT.contains(&name.as_str()) || is_kept(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_spelled_with_their_profile() {
        for text in ["app.firstName", "user._x", "app.given_name2"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        for text in [
            "firstName",
            "app.",
            "app",
            ".x",
            "app.2x",
            "app.a.b",
            "App.x",
            "group.x",
            "app.ä",
        ] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn values_of_any_type_can_be_read() {
        let text = r#"{"firstName": " Lin ", "lastName": 7, "nickName": "L", "title": " ", "login": null,
            "huge": 1e999, "lone": "\ud800", "list": ["x"], "map": {"a": {}}, "yes": true}"#;
        let profile: Profile = serde_json::from_str(text).unwrap();
        assert_eq!(profile.text("firstName"), Some("Lin"));
        assert_eq!(profile.text("nickName"), Some("L"));
        for absent in [
            "lastName", "title", "login", "huge", "lone", "list", "map", "yes", "none",
        ] {
            assert_eq!(profile.text(absent), None, "{absent}");
            let is_there = !["title", "login", "none"].contains(&absent);
            assert_eq!(profile.is_unread(absent), is_there, "{absent}");
        }
        for odd in ["null", "7", "[]", "\"x\""] {
            assert!(serde_json::from_str::<Profile>(odd).is_err(), "{odd}");
            let mut of_app = serde_json::Deserializer::from_str(odd);
            assert!(Profile::of_app_user(&mut of_app).unwrap() == Profile::default());
        }
    }

    #[test]
    fn lists_keep_what_was_asked_for() {
        let text = r#"{"firstName": "Lin", "nickName": "L", "displayName": "Lin E."}"#;
        let mut profile: Profile = serde_json::from_str(text).unwrap();
        let (kept, of_app) = ("user.nickName".parse().unwrap(), "app.displayName".parse());
        profile.keep_of_user(&[&kept, &of_app.unwrap()]);
        assert_eq!(profile.text("nickName"), Some("L"));
        assert_eq!(profile.text("displayName"), None);
        assert_eq!(profile.text("firstName"), Some("Lin"));
    }
}
