//! Which side's names count, for imported links. Pure.
//!
//! The link keeps the names that both sides last agreed on. The import brings to Okta the names that changed in Anypoint
//! since then. Push brings those that changed in Okta to Anypoint. If a name changed on both sides, Anypoint wins, and
//! the report says so.
//!
//! The import writes names only to the user's own profile. If `ATTRIBUTES` takes a name from elsewhere, both sides
//! stay as they are, and the report says so. Okta may map that name, or take it from another system.

use crate::anypoint::Account;
use crate::okta::{AppUser, User};
use crate::provision::{AccountField, Attributes, FieldSource};
use crate::store::{AgreedProfile, UserLink};

/// What the import does about the names of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The first name that Okta is to get.
    pub(super) first: Option<String>,
    /// The last name that Okta is to get.
    pub(super) last: Option<String>,
    /// The names that both sides agree on afterwards.
    pub(super) agreed: AgreedProfile,
    /// Whether a name had changed on both sides.
    pub(super) conflict: bool,
    /// Names that changed in Anypoint, where the import cannot write their source in Okta.
    pub(super) left: Vec<&'static str>,
}

const FIRST: &str = "first name";
const LAST: &str = "last name";

impl Names {
    /// Compares the names of a linked pair. `agreed` is `None` if the pair has not agreed yet.
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
                // Okta's name cannot be read.
                return One::nothing(agreed);
            }
            let taken = attributes.take(target, user, Some(app_user));
            let okta = taken.map_or("", |taken| taken.value);
            let place = taken.map(|taken| taken.place);
            one(anypoint.as_deref().unwrap_or_default(), okta, place, agreed)
        };
        let first = compare(
            AccountField::FirstName,
            &account.first_name,
            &agreed.first_name,
        );
        let last = compare(
            AccountField::LastName,
            &account.last_name,
            &agreed.last_name,
        );
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

    /// The same, where the import writes nothing to Okta. The link keeps `agreed`, except for names that both sides have.
    pub(super) fn without_changes(self, agreed: &AgreedProfile) -> Self {
        let next = |to_okta: &Option<String>, kept: &str, same: String| match to_okta {
            Some(_) => kept.to_owned(),
            None => same,
        };
        Self {
            agreed: AgreedProfile {
                first_name: next(&self.first, &agreed.first_name, self.agreed.first_name),
                last_name: next(&self.last, &agreed.last_name, self.agreed.last_name),
            },
            first: None,
            last: None,
            conflict: false,
            left: Vec::new(),
        }
    }

    /// Whether neither Okta nor the link has to be written.
    pub(super) fn is_agreed(&self, link: &UserLink) -> bool {
        self.fields().is_empty() && link.agreed.as_ref() == Some(&self.agreed)
    }

    /// Why Okta is to get names.
    pub(super) fn reason(&self) -> &'static str {
        if self.conflict {
            "changed on both sides since they agreed: Anypoint wins"
        } else {
            "changed in Anypoint since both sides agreed"
        }
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

/// The names that a new pair agrees on. If Okta has other names, push brings them to Anypoint.
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

fn one(anypoint: &str, okta: &str, place: Option<FieldSource<'_>>, agreed: &str) -> One {
    let same = |a: &str, b: &str| a.trim() == b.trim();
    let changed_there = !same(anypoint, okta) && agreed != anypoint;
    let is_mapped = matches!(place, Some(FieldSource::Mapped(_)));
    // Okta requires a name, so the import does not bring an empty one.
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

    const BASE: Option<FieldSource<'static>> = Some(FieldSource::Base("firstName"));

    fn outcome(anypoint: &str, okta: &str, agreed: &str) -> (Option<String>, String, bool) {
        let one = one(anypoint, okta, BASE, agreed);
        assert!(!one.left);
        (one.to_okta, one.agreed, one.conflict)
    }

    #[test]
    fn the_last_change_decides() {
        let bring = |name: &str| Some(name.to_owned());
        for (anypoint, okta, agreed, expected) in [
            // Changed nowhere, in Okta, in Anypoint, on both sides, and to the same name on both sides.
            ("A", "A", "A", (None, "A", false)),
            ("A", "O", "A", (None, "A", false)),
            ("N", "A", "A", (bring("N"), "N", false)),
            ("N", "O", "A", (bring("N"), "N", true)),
            ("N", "N", "A", (None, "N", false)),
            // Spaces at the ends are no change, and an empty name is not brought.
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
    fn a_name_from_another_source_is_left_and_reported() {
        let source = "app.firstName".parse().unwrap();
        for (anypoint, okta, agreed, left) in [
            ("A", "A", "A", false),
            ("A", "O", "A", false),
            ("N", "A", "A", true),
            ("N", "O", "A", true),
            ("N", "N", "A", false),
            ("", "A", "A", false),
        ] {
            let one = one(anypoint, okta, Some(FieldSource::Mapped(&source)), agreed);
            assert_eq!((one.to_okta, one.left), (None, left), "{anypoint} {okta}");
            // Otherwise push would overwrite the change.
            let is_kept = left || anypoint.is_empty();
            assert_eq!(one.agreed, if is_kept { agreed } else { anypoint });
        }
    }

    #[test]
    fn a_name_that_was_brought_to_okta_is_not_brought_again() {
        let (to_okta, agreed, _) = outcome("N", "O", "A");
        assert_eq!(outcome("N", &to_okta.unwrap(), &agreed).0, None);
    }
}
