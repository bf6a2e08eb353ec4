//! Whose first and last name counts, for imported links. Pure.
//!
//! The link keeps the names on which both sides agreed last. A name that changed in Anypoint since
//! then is brought to Okta; one that changed in Okta is left to push; one that changed on both sides
//! is won by Anypoint, and reported.

use crate::anypoint::Account;
use crate::okta::User;
use crate::store::AgreedProfile;

/// What is to become of the names of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The first name that Okta is to get.
    pub(super) first: Option<String>,
    /// The last name that Okta is to get.
    pub(super) last: Option<String>,
    /// What both sides agree on afterwards.
    pub(super) agreed: AgreedProfile,
    /// Whether a name had changed on both sides.
    pub(super) conflict: bool,
}

impl Names {
    /// Compares the names of a pair that has agreed before, or not yet.
    pub(super) fn compare(account: &Account, user: &User, agreed: Option<&AgreedProfile>) -> Self {
        let first = one(
            account.first_name.as_deref(),
            user.profile.first_name.as_deref(),
            agreed.map(|agreed| agreed.first_name.as_str()),
        );
        let last = one(
            account.last_name.as_deref(),
            user.profile.last_name.as_deref(),
            agreed.map(|agreed| agreed.last_name.as_str()),
        );
        Self {
            conflict: first.conflict || last.conflict,
            first: first.to_okta,
            last: last.to_okta,
            agreed: AgreedProfile {
                first_name: first.agreed,
                last_name: last.agreed,
            },
        }
    }

    /// The names of the fields that Okta is to get.
    pub(super) fn fields(&self) -> Vec<&'static str> {
        [
            self.first.is_some().then_some("first name"),
            self.last.is_some().then_some("last name"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

struct One {
    to_okta: Option<String>,
    agreed: String,
    conflict: bool,
}

fn one(anypoint: Option<&str>, okta: Option<&str>, agreed: Option<&str>) -> One {
    let (anypoint, okta) = (anypoint.unwrap_or_default(), okta.unwrap_or_default());
    let same = |a: &str, b: &str| a.trim() == b.trim();
    let (bring, conflict) = match agreed {
        _ if same(anypoint, okta) => (false, false),
        // Never agreed: Okta's names are pushed, as for every other new pair.
        None => (false, false),
        Some(agreed) if agreed == anypoint => (false, false),
        // Okta cannot do without a name, so there is nothing to bring.
        Some(agreed) if anypoint.trim().is_empty() => {
            return One {
                to_okta: None,
                agreed: agreed.to_owned(),
                conflict: false,
            };
        }
        Some(agreed) => (true, !same(agreed, okta)),
    };
    One {
        to_okta: bring.then(|| anypoint.to_owned()),
        agreed: anypoint.to_owned(),
        conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(anypoint: &str, okta: &str, agreed: Option<&str>) -> (Option<String>, String, bool) {
        let one = one(Some(anypoint), Some(okta), agreed);
        (one.to_okta, one.agreed, one.conflict)
    }

    #[test]
    fn the_last_change_decides() {
        let bring = |name: &str| Some(name.to_owned());
        for (anypoint, okta, agreed, expected) in [
            // Nothing changed; changed in Okta; in Anypoint; on both sides; to the same on both.
            ("A", "A", Some("A"), (None, "A", false)),
            ("A", "O", Some("A"), (None, "A", false)),
            ("N", "A", Some("A"), (bring("N"), "N", false)),
            ("N", "O", Some("A"), (bring("N"), "N", true)),
            ("N", "N", Some("A"), (None, "N", false)),
            // Never agreed.
            ("A", "O", None, (None, "A", false)),
            // Spaces at the ends are no change, and an empty name is none to bring.
            (" A", "A", Some("B"), (None, " A", false)),
            ("", "A", Some("A"), (None, "A", false)),
        ] {
            let (to_okta, agreed_after, conflict) = outcome(anypoint, okta, agreed);
            assert_eq!(
                (to_okta, agreed_after.as_str(), conflict),
                expected,
                "{anypoint} {okta} {agreed:?}"
            );
        }
    }

    #[test]
    fn what_was_brought_is_agreed_and_not_brought_again() {
        let (to_okta, agreed, _) = outcome("N", "O", Some("A"));
        assert_eq!(outcome("N", &to_okta.unwrap(), Some(&agreed)).0, None);
    }
}
