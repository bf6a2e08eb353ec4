//! Profiles: the user's own, and the one that the app keeps of the user.
//!
//! An org may have made any attribute something else than a text. Such a value breaks nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{MapAccess, Visitor};
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

/// What an attribute holds.
enum Held {
    Text(String),
    Nothing,
    SomethingElse,
}

/// Numbers that no program can hold, and texts that are not Unicode, are something else as well: a raw value is not
/// looked into.
fn held(raw: &RawValue) -> Held {
    let raw = raw.get();
    match raw {
        "null" => Held::Nothing,
        _ if raw.starts_with('"') => {
            serde_json::from_str(raw).map_or(Held::SomethingElse, Held::Text)
        }
        _ => Held::SomethingElse,
    }
}

/// A text with something in it.
pub(super) fn said(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Attributes that hold something: their texts, `None` where it is not text.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Texts(BTreeMap<String, Option<String>>);

impl Texts {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        said(self.0.get(name)?.as_deref()?)
    }

    /// Whether an attribute holds something that is not text.
    pub(super) fn is_unread(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(None))
    }

    /// Forgets the others.
    pub(super) fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_kept(name));
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let attributes: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(raw.get()).unwrap_or_default();
        let texts = attributes
            .into_iter()
            .filter_map(|(name, raw)| match held(&raw) {
                Held::Text(text) => Some((name, Some(text))),
                Held::SomethingElse => Some((name, None)),
                Held::Nothing => None,
            });
        Ok(Self(texts.collect()))
    }
}

/// A user's own profile. Okta may leave any attribute out or null; one that is not text counts as missing, and is
/// named in `unread` if it is one of those below.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// The login.
    pub login: Option<String>,
    /// The primary e-mail address.
    pub email: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Mobile phone.
    pub mobile_phone: Option<String>,
    /// Primary phone.
    pub primary_phone: Option<String>,
    /// The attributes that have a value of another kind.
    pub unread: Vec<&'static str>,
    /// All other attributes. Lists keep only those that were asked for.
    others: Texts,
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ProfileVisitor)
    }
}

struct ProfileVisitor;

impl<'de> Visitor<'de> for ProfileVisitor {
    type Value = Profile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut attributes: A) -> Result<Profile, A::Error> {
        let mut profile = Profile::default();
        while let Some((name, raw)) = attributes.next_entry::<String, Box<RawValue>>()? {
            match (profile.known_mut(&name), held(&raw)) {
                (Some((_, place)), Held::Text(text)) => *place = Some(text),
                (Some((name, _)), Held::SomethingElse) => profile.unread.push(name),
                (None, Held::Text(text)) => drop(profile.others.0.insert(name, Some(text))),
                (None, Held::SomethingElse) => drop(profile.others.0.insert(name, None)),
                (_, Held::Nothing) => {}
            }
        }
        Ok(profile)
    }
}

impl Profile {
    fn known_mut(&mut self, name: &str) -> Option<(&'static str, &mut Option<String>)> {
        Some(match name {
            "login" => ("login", &mut self.login),
            "email" => ("email", &mut self.email),
            "firstName" => ("firstName", &mut self.first_name),
            "lastName" => ("lastName", &mut self.last_name),
            "mobilePhone" => ("mobilePhone", &mut self.mobile_phone),
            "primaryPhone" => ("primaryPhone", &mut self.primary_phone),
            _ => return None,
        })
    }

    /// The text of an attribute, if there is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        let known = match name {
            "login" => &self.login,
            "email" => &self.email,
            "firstName" => &self.first_name,
            "lastName" => &self.last_name,
            "mobilePhone" => &self.mobile_phone,
            "primaryPhone" => &self.primary_phone,
            _ => return self.others.get(name),
        };
        known.as_deref().and_then(said)
    }

    /// Whether an attribute holds something that is not text.
    pub(crate) fn is_unread(&self, name: &str) -> bool {
        self.unread.contains(&name) || self.others.is_unread(name)
    }

    /// Forgets the attributes that `kept` does not name.
    pub(super) fn keep(&mut self, kept: &[&Source]) {
        let is_kept = |name: &str| {
            let is_it =
                |source: &&Source| matches!(source, Source::User(kept) if kept.as_str() == name);
            kept.iter().any(is_it)
        };
        self.others.keep(is_kept);
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
    fn values_of_any_kind_break_nothing() {
        let text = r#"{"firstName": " Lin ", "lastName": 7, "nickName": "L", "title": " ", "login": null,
            "huge": 1e999, "lone": "\ud800", "list": ["x"], "map": {"a": {}}, "yes": true}"#;
        let profile: Profile = serde_json::from_str(text).unwrap();
        assert_eq!(profile.text("firstName"), Some("Lin"));
        assert_eq!(profile.text("nickName"), Some("L"));
        assert_eq!(profile.unread, ["lastName"]);
        for absent in [
            "lastName", "title", "login", "huge", "lone", "list", "map", "yes", "none",
        ] {
            assert_eq!(profile.text(absent), None, "{absent}");
            let is_there = !["title", "login", "none"].contains(&absent);
            assert_eq!(profile.is_unread(absent), is_there, "{absent}");
        }
        let texts: Texts = serde_json::from_str(text).unwrap();
        assert_eq!(texts.get("firstName"), Some("Lin"));
        assert_eq!(texts.get("lastName"), None);
        for odd in ["null", "7", "[]", "\"x\""] {
            assert!(serde_json::from_str::<Texts>(odd).unwrap() == Texts::default());
        }
    }

    #[test]
    fn lists_keep_what_was_asked_for() {
        let text = r#"{"firstName": "Lin", "nickName": "L", "displayName": "Lin E."}"#;
        let mut profile: Profile = serde_json::from_str(text).unwrap();
        let (kept, of_app) = ("user.nickName".parse().unwrap(), "app.displayName".parse());
        profile.keep(&[&kept, &of_app.unwrap()]);
        assert_eq!(profile.text("nickName"), Some("L"));
        assert_eq!(profile.text("displayName"), None);
        assert_eq!(profile.text("firstName"), Some("Lin"));
    }
}
