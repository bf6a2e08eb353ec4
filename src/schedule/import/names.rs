//! Which side's names count, for imported links. Pure.
//!
//! The link keeps the names on which both sides agreed last. The import brings to Okta what changed in Anypoint
//! since then. It leaves to push what changed in Okta. If a name changed on both sides, Anypoint wins, and the
//! report says so.
//!
//! The import writes names to the user's own profile only. If `ATTRIBUTES` takes a name from elsewhere, both sides
//! stay as they are, and the report says so: Okta may map that name, or take it from another system.

use crate::anypoint::Account;
use crate::okta::{AppUser, User};
use crate::provision::{Attributes, Place, Target};
use crate::store::{AgreedProfile, UserLink};

/// What becomes of the names of one pair.
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
    /// Names that changed in Anypoint and cannot be brought to where Okta takes them from.
    pub(super) left: Vec<&'static str>,
}

const FIRST: &str = "first name";
const LAST: &str = "last name";

impl Names {
    /// Compares the names of a linked pair, which has agreed before, or not yet.
    pub(super) fn compare(
        account: &Account,
        (user, app_user): (&User, &AppUser),
        attributes: &Attributes,
        agreed: Option<&AgreedProfile>,
    ) -> Self {
        let Some(agreed) = agreed else {
            return Self {
                first: None,
                last: None,
                agreed: names_of(account),
                conflict: false,
                left: Vec::new(),
            };
        };
        let compare = |target, anypoint: &Option<String>, agreed: &str| {
            if attributes.is_unread(target, user, Some(app_user)) {
                // It is not known what Okta has.
                return One::nothing(agreed);
            }
            let taken = attributes.take(target, user, Some(app_user));
            let okta = taken.map_or("", |taken| taken.value);
            let place = taken.map(|taken| taken.place);
            one(anypoint.as_deref().unwrap_or_default(), okta, place, agreed)
        };
        let first = compare(Target::FirstName, &account.first_name, &agreed.first_name);
        let last = compare(Target::LastName, &account.last_name, &agreed.last_name);
        let left = [(first.left, FIRST), (last.left, LAST)];
        Self {
            conflict: first.conflict || last.conflict,
            first: first.to_okta,
            last: last.to_okta,
            agreed: AgreedProfile {
                first_name: first.agreed,
                last_name: last.agreed,
            },
            left: left
                .into_iter()
                .filter_map(|(left, name)| left.then_some(name))
                .collect(),
        }
    }

    /// Whether nothing is to be written: not to Okta, nor to the link.
    pub(super) fn is_agreed(&self, link: &UserLink) -> bool {
        self.fields().is_empty() && link.agreed.as_ref() == Some(&self.agreed)
    }

    /// The names of the fields that Okta is to get.
    pub(super) fn fields(&self) -> Vec<&'static str> {
        [
            self.first.is_some().then_some(FIRST),
            self.last.is_some().then_some(LAST),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The names that a new pair agrees on. Where Okta has others, push brings them to Anypoint.
pub(super) fn names_of(account: &Account) -> AgreedProfile {
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    AgreedProfile {
        first_name: text(&account.first_name),
        last_name: text(&account.last_name),
    }
}

struct One {
    to_okta: Option<String>,
    agreed: String,
    conflict: bool,
    left: bool,
}

impl One {
    fn nothing(agreed: &str) -> Self {
        Self {
            to_okta: None,
            agreed: agreed.to_owned(),
            conflict: false,
            left: false,
        }
    }
}

fn one(anypoint: &str, okta: &str, place: Option<Place<'_>>, agreed: &str) -> One {
    let same = |a: &str, b: &str| a.trim() == b.trim();
    let changed_there = !same(anypoint, okta) && agreed != anypoint;
    let is_mapped = matches!(place, Some(Place::Mapped(_)));
    // Okta asks for a name, so an empty one is not brought.
    if changed_there && (anypoint.trim().is_empty() || is_mapped) {
        return One {
            to_okta: None,
            agreed: agreed.to_owned(),
            conflict: false,
            left: is_mapped && !anypoint.trim().is_empty(),
        };
    }
    One {
        to_okta: changed_there.then(|| anypoint.to_owned()),
        agreed: anypoint.to_owned(),
        conflict: changed_there && !same(agreed, okta),
        left: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Option<Place<'static>> = Some(Place::Base("firstName"));

    fn outcome(anypoint: &str, okta: &str, agreed: &str) -> (Option<String>, String, bool) {
        let one = one(anypoint, okta, BASE, agreed);
        assert!(!one.left);
        (one.to_okta, one.agreed, one.conflict)
    }

    #[test]
    fn the_last_change_decides() {
        let bring = |name: &str| Some(name.to_owned());
        for (anypoint, okta, agreed, expected) in [
            // Nothing changed; changed in Okta; in Anypoint; on both sides; to the same on both.
            ("A", "A", "A", (None, "A", false)),
            ("A", "O", "A", (None, "A", false)),
            ("N", "A", "A", (bring("N"), "N", false)),
            ("N", "O", "A", (bring("N"), "N", true)),
            ("N", "N", "A", (None, "N", false)),
            // Spaces at the ends are no change, and an empty name is none to bring.
            (" A", "A", "B", (None, " A", false)),
            ("", "A", "A", (None, "A", false)),
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
    fn a_name_that_is_taken_from_elsewhere_is_left_and_told() {
        let source = "app.firstName".parse().unwrap();
        for (anypoint, okta, agreed, left) in [
            ("A", "A", "A", false),
            ("A", "O", "A", false),
            ("N", "A", "A", true),
            ("N", "O", "A", true),
            ("N", "N", "A", false),
            ("", "A", "A", false),
        ] {
            let one = one(anypoint, okta, Some(Place::Mapped(&source)), agreed);
            assert_eq!((one.to_okta, one.left), (None, left), "{anypoint} {okta}");
            // Else push would overwrite the change.
            let is_kept = left || anypoint.is_empty();
            assert_eq!(one.agreed, if is_kept { agreed } else { anypoint });
        }
    }

    #[test]
    fn what_was_brought_is_agreed_and_not_brought_again() {
        let (to_okta, agreed, _) = outcome("N", "O", "A");
        assert_eq!(outcome("N", &to_okta.unwrap(), &agreed).0, None);
    }
}
