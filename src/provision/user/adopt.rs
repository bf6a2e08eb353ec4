//! Whether the user may adopt an account that has the wanted username. Pure.

use super::view::{NamedAccount, UserView};
use crate::anypoint::Account;
use crate::failure::{Cause, Failure, Side};
use crate::ids::OktaUserId;
use crate::okta::{AppUser, User};
use crate::provision::finding::Finding;
use crate::provision::policy::{Adopt, Policy, SuspendedUsers};
use crate::provision::wanted::{Person, Unwanted, no_email, standing};
use crate::store::{Origin, Tenure};

/// The user whose link names an account that is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freed {
    /// That user.
    pub owner: OktaUserId,
    /// Why.
    pub by: Release,
}

/// Why the account of an owner is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Okta says that the owner has another app username.
    Renamed,
    /// The owner is not assigned to the app, or does not exist.
    Ended(Unwanted),
}

impl Freed {
    /// Whether the owner exists but is not (or no longer) assigned to the app.
    pub(super) fn is_unassigned(&self) -> bool {
        matches!(self.by, Release::Ended(reason) if reason.is_unassigned())
    }

    /// The finding that it rests on. `None` when Okta says it outright.
    pub(crate) fn finding(&self) -> Option<Finding> {
        match self.by {
            Release::Renamed => None,
            Release::Ended(reason) => {
                let finding = reason.finding();
                finding.map(|_| Finding::OwnerGone(self.owner.clone()))
            }
        }
    }
}

/// Whether the account `username`, which the link of `owner` names, is free for another user. Okta's present
/// state decides. Reconcile and the live look share this rule.
///
/// An owner who still has that app username keeps the account, suspended or not. So do an owner whose app username
/// cannot be used, and an excluded owner.
///
/// # Errors
/// When the owner's app user came without a username: the next answer may have it.
pub(crate) fn freed_from(
    owner: &OktaUserId,
    user: Option<&User>,
    app_user: Option<&AppUser>,
    username: &str,
    policy: &Policy,
) -> Result<Option<Freed>, Failure> {
    let excluded = &policy.excluded;
    if excluded.users.ids.contains(owner) || user.is_some_and(|user| excluded.user(user)) {
        return Ok(None);
    }
    let freed = |by| {
        let owner = owner.clone();
        Freed { owner, by }
    };
    let assigned = app_user.filter(|found| found.is_assigned());
    if let Some(app_user) = assigned {
        let theirs = app_user.username().ok_or_else(|| unnamed(owner))?;
        let theirs = policy.usernames.apply(theirs).ok();
        let is_renamed = theirs.is_some_and(|theirs| !theirs.eq_ignore_ascii_case(username));
        return Ok(is_renamed.then(|| freed(Release::Renamed)));
    }
    // A suspended owner keeps the name.
    let ended = standing(user, app_user, SuspendedUsers::Keep).err();
    Ok(ended.map(|reason| freed(Release::Ended(reason))))
}

fn unnamed(owner: &OktaUserId) -> Failure {
    let what = format!("the app user of {owner}, who has the account, came without a username");
    Failure::retryable(Side::Okta, what).because(Cause::UsernameInvalid)
}

/// The origin of the link if the user adopts `named`: `Created`, if an earlier run created it for this user and was
/// cut off.
///
/// # Errors
/// Permanent, with advice, when it may not.
pub(super) fn may_adopt(
    view: &UserView,
    named: &NamedAccount,
    person: &Person,
    policy: &Policy,
) -> Result<Origin, Failure> {
    match &named.owner {
        Some(owner) if owner.okta_user == view.user => {
            return Ok(match owner.origin {
                Some(Origin::Created) => Origin::Created,
                _ => Origin::Adopted,
            });
        }
        Some(owner) if owner.tenure == Tenure::Current && named.freed_from == Ok(None) => {
            return Err(belongs_to(&owner.okta_user));
        }
        _ => {}
    }
    let (what, advice) = match policy.adopt {
        Adopt::Username => return Ok(Origin::Adopted),
        Adopt::UsernameAndEmail if same_email(&named.account, person)? => {
            return Ok(Origin::Adopted);
        }
        Adopt::UsernameAndEmail => (
            "an account with that username exists and has another e-mail address.",
            "If it is the same person, pair them with `okta-anypoint link` or set ADOPT=username; if not, give the \
             user another app username in Okta.",
        ),
        Adopt::Never => (
            "an account with that username exists, and ADOPT=never.",
            "If it is the same person, pair them with `okta-anypoint link`; if not, give the user another app \
             username in Okta.",
        ),
    };
    Err(Failure::permanent(Side::Anypoint, what, advice).because(Cause::AdoptionRefused))
}

/// Whether the account and the user have the same e-mail address.
///
/// # Errors
/// When an answer lacks the address: both sides ask for one, so the next answer may have it.
fn same_email(account: &Account, person: &Person) -> Result<bool, Failure> {
    let Some(theirs) = &account.email else {
        let what = "the account came without an e-mail address.";
        return Err(Failure::retryable(Side::Anypoint, what).because(Cause::AdoptionRefused));
    };
    let ours = person.email.as_ref().ok_or_else(no_email)?;
    Ok(theirs.trim().to_lowercase() == ours.to_lowercase())
}

/// The failure when the account of the wanted username is another user's.
pub(super) fn belongs_to(user: &OktaUserId) -> Failure {
    let what = format!("the account with that username belongs to Okta user {user}.");
    let advice = "Give one of the two users another app username in Okta. If only one of them has that app username, \
                  unlink the account from the other with `okta-anypoint unlink`.";
    Failure::permanent(Side::Anypoint, what, advice).because(Cause::UsernameTaken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provision::UsernamePolicy;

    /// Whether account "the_name" is free, if its owner has that status and that app user.
    fn freed(status: &str, app_user: Option<(&str, &str)>, policy: &Policy) -> Option<Release> {
        let owner = OktaUserId::parse("00u2").unwrap();
        let user =
            json!({"id": "00u2", "status": status, "profile": {"login": "bob@acme.example"}});
        let user: Option<User> =
            (!status.is_empty()).then(|| serde_json::from_value(user).unwrap());
        let app_user = app_user.map(|(status, name)| {
            let found = json!({"id": "00u2", "status": status, "credentials": {"userName": name}});
            serde_json::from_value::<AppUser>(found).unwrap()
        });
        let found = freed_from(&owner, user.as_ref(), app_user.as_ref(), "The_name", policy);
        found.unwrap().map(|freed| freed.by)
    }

    #[test]
    fn an_account_is_free_if_its_owner_is_renamed_or_unassigned() {
        let ended = |reason| Some(Release::Ended(reason));
        let policy = Policy::default();
        for (status, app_user, expected) in [
            ("ACTIVE", Some(("ACTIVE", "the_name")), None),
            ("ACTIVE", Some(("ACTIVE", "THE_NAME")), None),
            ("ACTIVE", Some(("ACTIVE", "not valid")), None),
            ("SUSPENDED", Some(("ACTIVE", "the_name")), None),
            ("DEPROVISIONED", Some(("ACTIVE", "the_name")), None),
            ("ACTIVE", Some(("ACTIVE", "other")), Some(Release::Renamed)),
            (
                "SUSPENDED",
                Some(("ACTIVE", "other")),
                Some(Release::Renamed),
            ),
            ("ACTIVE", None, ended(Unwanted::NotAssigned)),
            ("SUSPENDED", None, ended(Unwanted::NotAssigned)),
            (
                "ACTIVE",
                Some(("DEPROVISIONED", "the_name")),
                ended(Unwanted::AssignmentEnded),
            ),
            ("DEPROVISIONED", None, ended(Unwanted::Deprovisioned)),
            ("", None, ended(Unwanted::NoUser)),
        ] {
            let found = freed(status, app_user, &policy);
            assert_eq!(found, expected, "{status} {app_user:?}");
        }
    }

    #[test]
    fn usernames_are_compared_after_the_username_policy() {
        let policy = Policy {
            usernames: UsernamePolicy::Sanitize,
            ..Policy::default()
        };
        let of = |name| freed("ACTIVE", Some(("ACTIVE", name)), &policy);
        assert_eq!(of("the.name"), None);
        assert_eq!(of("the-name"), Some(Release::Renamed));
    }

    #[test]
    fn an_excluded_owner_keeps_the_account() {
        let mut by_id = Policy::default();
        by_id
            .excluded
            .users
            .ids
            .insert(OktaUserId::parse("00u2").unwrap());
        let mut by_login = Policy::default();
        by_login.excluded.users.logins.push("bob@*".to_owned());
        for policy in [by_id, by_login] {
            assert_eq!(freed("ACTIVE", Some(("ACTIVE", "other")), &policy), None);
            assert_eq!(freed("ACTIVE", None, &policy), None);
            let without_name = freed("ACTIVE", Some(("ACTIVE", "")), &policy);
            assert_eq!(without_name, None);
        }
    }

    #[test]
    fn an_end_that_okta_does_not_say_outright_is_a_finding() {
        let finding = |by| {
            let owner = OktaUserId::parse("00u2").unwrap();
            Freed { owner, by }
                .finding()
                .map(|finding| finding.to_string())
        };
        for (by, expected) in [
            (Release::Renamed, None),
            (Release::Ended(Unwanted::Deprovisioned), None),
            (Release::Ended(Unwanted::AssignmentEnded), None),
            (
                Release::Ended(Unwanted::NotAssigned),
                Some("owner_gone:00u2"),
            ),
            (Release::Ended(Unwanted::NoUser), Some("owner_gone:00u2")),
        ] {
            assert_eq!(finding(by).as_deref(), expected, "{by:?}");
        }
    }
}
