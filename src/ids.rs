//! One type per identifier, so that no call can mix two of them up.
//!
//! Identifiers come from outside (events, API answers). They are parsed once, by a narrow rule, and
//! are safe in URLs, table keys and log lines afterwards. They are opaque: they name nobody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A value that is not an identifier: empty, too long, or with characters no identifier has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a valid {kind}: 1 to {MAX_LENGTH} letters, digits, dashes or underscores are expected"
)]
pub struct InvalidId {
    kind: &'static str,
}

/// The longest identifier that is accepted, in bytes.
///
/// SQS takes at most 128 characters as group or deduplication id (SQS API reference,
/// `MessageDeduplicationId`).
pub(crate) const MAX_LENGTH: usize = 120;

fn check(value: &str, kind: &'static str) -> Result<(), InvalidId> {
    let fits = !value.is_empty()
        && value.len() <= MAX_LENGTH
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(())
    } else {
        Err(InvalidId { kind })
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses an identifier. Fails when the text is not one.
            pub fn parse(value: impl Into<String>) -> Result<Self, InvalidId> {
                let value = value.into();
                check(&value, $kind)?;
                Ok(Self(value))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(value: &str) -> Result<Self, InvalidId> {
                Self::parse(value)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(value: String) -> Result<Self, InvalidId> {
                Self::parse(value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

id!(
    /// An Okta user (`00u…`).
    OktaUserId,
    "Okta user id"
);
id!(
    /// An Okta group (`00g…`).
    OktaGroupId,
    "Okta group id"
);
id!(
    /// An Okta app instance (`0oa…`).
    OktaAppId,
    "Okta app id"
);
id!(
    /// The actor of an Okta event: a user, an app, or Okta itself.
    ActorId,
    "Okta actor id"
);
id!(
    /// An Anypoint user (a UUID in every known answer, but not parsed as one).
    AccountId,
    "Anypoint user id"
);
id!(
    /// An Anypoint team.
    TeamId,
    "Anypoint team id"
);
id!(
    /// An Anypoint organization.
    OrganizationId,
    "Anypoint organization id"
);
id!(
    /// One event of Okta's, or one change that the program found itself.
    EventUuid,
    "event uuid"
);

impl EventUuid {
    /// A fresh uuid, for work that the program finds itself.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }
}

/// What an event is about: the unit of ordering. Text form `user#00u…` or `group#00g…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// One Okta user.
    User(OktaUserId),
    /// One Okta group.
    Group(OktaGroupId),
}

impl Subject {
    /// The Okta id, as commands take it.
    pub fn okta_id(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Group(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user#{id}"),
            Self::Group(id) => write!(f, "group#{id}"),
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidId;
    fn from_str(value: &str) -> Result<Self, InvalidId> {
        match value.split_once('#') {
            Some(("user", id)) => OktaUserId::parse(id).map(Self::User),
            Some(("group", id)) => OktaGroupId::parse(id).map(Self::Group),
            _ => Err(InvalidId { kind: "subject" }),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidId;
    fn try_from(value: String) -> Result<Self, InvalidId> {
        value.parse()
    }
}

impl From<Subject> for String {
    fn from(value: Subject) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_characters_make_an_id() {
        for bad in ["", "a/b", "..", "00u 1", "00u%2f", "é", &"x".repeat(121)] {
            assert!(OktaUserId::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(
            OktaUserId::parse("00uABC-_9").unwrap().as_str(),
            "00uABC-_9"
        );
    }

    #[test]
    fn a_subject_parses_its_own_text_form() {
        for text in ["user#00u1", "group#00g1"] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        for bad in ["", "user#", "team#1", "user", "user#a#b", "USER#1"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?} was accepted");
        }
    }
}
