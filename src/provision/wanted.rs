//! What Okta wants for a user, from what Okta says. Pure.

use super::attributes::AccountField;
use super::finding::Finding;
use super::policy::{Policy, SuspendedUsers};
use crate::failure::{Cause, Failure, Side};
use crate::ids::AccountId;
use crate::okta::{AppUser, User, UserStatus};
use crate::store::UserLink;

/// The person an account is for. Its `Debug` form shows no personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The Anypoint username after the username policy, or why there is none.
    pub username: Result<String, Failure>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// E-mail address. Used only on creation and for adoption.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// The attributes of Okta's profiles that are not text, and so supply no value.
    pub unread: Vec<String>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person(…)")
    }
}

/// Why no enabled account is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// The Okta user does not exist (or no longer exists).
    NoUser,
    /// The Okta user is deactivated.
    Deprovisioned,
    /// The Okta user is suspended, and suspended users are disabled.
    Suspended,
    /// The user's assignment to the app has ended: the app user says so.
    AssignmentEnded,
    /// The app has no such app user.
    NotAssigned,
}

impl Unwanted {
    /// The finding that it rests on. `None` when Okta says it outright.
    pub(crate) fn finding(self) -> Option<Finding> {
        match self {
            Self::NoUser => Some(Finding::NoUser),
            Self::NotAssigned => Some(Finding::NotAssigned),
            Self::Deprovisioned | Self::Suspended | Self::AssignmentEnded => None,
        }
    }

    /// Whether the user exists but is not (or no longer) assigned to the app.
    pub(crate) fn is_unassigned(self) -> bool {
        matches!(self, Self::NotAssigned | Self::AssignmentEnded)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoUser => "the Okta user does not exist",
            Self::Deprovisioned => "the Okta user is deactivated",
            Self::Suspended => "the Okta user is suspended",
            Self::AssignmentEnded | Self::NotAssigned => "the Okta user is not assigned to the app",
        }
    }
}

/// What Anypoint should hold for one Okta user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// An enabled account.
    Account(Person),
    /// No enabled account.
    Nothing(Unwanted),
    /// `EXCLUDE_USERS` names the user, so nothing changes.
    Excluded,
}

/// Whether an enabled account is wanted, before names come into it.
///
/// An account is wanted exactly when the user exists, is not deactivated (nor suspended, by
/// setting) and is assigned to the app.
pub(crate) fn standing(
    user: Option<&User>,
    app_user: Option<&AppUser>,
    suspended: SuspendedUsers,
) -> Result<(), Unwanted> {
    let user = user.ok_or(Unwanted::NoUser)?;
    match user.status {
        UserStatus::Deprovisioned => return Err(Unwanted::Deprovisioned),
        UserStatus::Suspended if suspended == SuspendedUsers::Deactivate => {
            return Err(Unwanted::Suspended);
        }
        UserStatus::Suspended | UserStatus::Live(_) => {}
    }
    match app_user.map(AppUser::is_assigned) {
        Some(true) => Ok(()),
        Some(false) => Err(Unwanted::AssignmentEnded),
        None => Err(Unwanted::NotAssigned),
    }
}

/// What Anypoint should hold for a user.
pub(crate) fn wanted(user: Option<&User>, app_user: Option<&AppUser>, policy: &Policy) -> Wanted {
    let excluded = &policy.excluded;
    let is_named = |app_user: &AppUser| excluded.users.ids.contains(&app_user.id);
    if user.is_some_and(|user| excluded.user(user)) || app_user.is_some_and(is_named) {
        return Wanted::Excluded;
    }
    if let Err(reason) = standing(user, app_user, policy.suspended) {
        return Wanted::Nothing(reason);
    }
    let (Some(user), Some(app_user)) = (user, app_user) else {
        return Wanted::Nothing(Unwanted::NoUser);
    };
    let username = app_user.username().ok_or_else(no_username);
    let taken = |target| {
        let taken = policy.attributes.take(target, user, Some(app_user))?;
        Some(taken.value.to_owned())
    };
    Wanted::Account(Person {
        username: username.and_then(|username| policy.usernames.apply(username)),
        first_name: taken(AccountField::FirstName),
        last_name: taken(AccountField::LastName),
        email: user.email().map(str::to_owned),
        phone: taken(AccountField::Phone),
        unread: policy.attributes.unread(user, Some(app_user)),
    })
}

/// The failure when Okta sent an app user without a username. The next answer may have one.
fn no_username() -> Failure {
    Failure::retryable(Side::Okta, "the app user came without a username.")
        .advising(
            "If it lasts, set the application username of the app, or of this user, in Okta. Changes come \
             back by themselves when it works.",
        )
        .because(Cause::UsernameInvalid)
}

/// The failure when Okta sent a user without an e-mail address. Every user has one, so the next answer may have it.
pub(super) fn no_email() -> Failure {
    Failure::retryable(Side::Okta, "the Okta user came without an e-mail address.")
        .advising(
            "If it lasts, fill in the primary email on the user's profile in Okta. Changes come back by themselves \
             when it works.",
        )
        .because(Cause::ProfileIncomplete)
}

/// What follows in a group's team for one member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberWanted {
    /// No membership, because no account is wanted.
    No,
    /// No membership, because of a state that Okta says outright.
    Ended,
    /// The user lost the assignment, and has this account. The user's own look ends the account and its memberships,
    /// because it has the evidence and the brake counts it.
    Unassigned(AccountId),
    /// This account is a member.
    Account(AccountId),
    /// The user's new account does not exist yet, so the worker looks at the user next. Until then the old account keeps
    /// its membership.
    Later(Option<AccountId>),
    /// The user's state cannot be read, or the user is excluded. The account keeps its membership.
    Stuck(Option<AccountId>),
}

impl MemberWanted {
    /// What follows for a member of whom Okta wants `wanted`. Reconcile and the live look share this rule.
    pub(crate) fn of(wanted: &Result<Wanted, Failure>, link: Option<&UserLink>) -> Self {
        let linked = link.map(|link| link.anypoint_id.clone());
        match wanted {
            Ok(Wanted::Nothing(reason)) => match (linked, reason.finding()) {
                (Some(account), _) if reason.is_unassigned() => Self::Unassigned(account),
                (_, None) => Self::Ended,
                (_, Some(_)) => Self::No,
            },
            // An excluded member is neither added nor removed.
            Err(_) | Ok(Wanted::Excluded) => Self::Stuck(linked),
            Ok(Wanted::Account(person)) => match (&person.username, link) {
                // The user keeps the existing account.
                (Err(_), Some(link)) => Self::Account(link.anypoint_id.clone()),
                (Err(_), None) => Self::Stuck(None),
                (Ok(username), Some(link)) if link.username.eq_ignore_ascii_case(username) => {
                    Self::Account(link.anypoint_id.clone())
                }
                _ => Self::Later(linked),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn user(status: &str) -> User {
        serde_json::from_value(json!({"id": "00u1", "status": status, "profile": {
            "login": "lin@acme.example", "email": "lin@acme.example", "firstName": " Lin ",
            "lastName": "Example", "mobilePhone": null, "primaryPhone": "555-0100"}}))
        .unwrap()
    }

    fn app_user(status: Value) -> AppUser {
        serde_json::from_value(
            json!({"id": "00u1", "status": status, "credentials": {"userName": "lin_example"}}),
        )
        .unwrap()
    }

    fn nothing(user: Option<&User>, app_user: Option<&AppUser>, policy: &Policy) -> Unwanted {
        match wanted(user, app_user, policy) {
            Wanted::Nothing(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_account_is_wanted_only_for_live_assigned_users() {
        let policy = Policy::default();
        let assigned = app_user(json!("ACTIVE"));
        for status in [
            "STAGED",
            "PROVISIONED",
            "ACTIVE",
            "RECOVERY",
            "LOCKED_OUT",
            "PASSWORD_EXPIRED",
            "NEW",
        ] {
            let Wanted::Account(person) = wanted(Some(&user(status)), Some(&assigned), &policy)
            else {
                panic!("{status}")
            };
            assert_eq!(person.username.as_deref(), Ok("lin_example"));
            assert_eq!(person.first_name.as_deref(), Some("Lin"));
            assert_eq!(person.phone.as_deref(), Some("555-0100"));
        }
        let active = user("ACTIVE");
        assert_eq!(nothing(None, Some(&assigned), &policy), Unwanted::NoUser);
        assert_eq!(nothing(Some(&active), None, &policy), Unwanted::NotAssigned);
        assert_eq!(
            nothing(Some(&user("DEPROVISIONED")), Some(&assigned), &policy),
            Unwanted::Deprovisioned
        );
        for ended in [
            "DEPROVISIONED",
            "INACTIVE",
            "REVOKED",
            "SUSPENDED",
            "UNASSIGNED",
        ] {
            let ended = app_user(json!(ended));
            assert_eq!(
                nothing(Some(&active), Some(&ended), &policy),
                Unwanted::AssignmentEnded
            );
        }
    }

    #[test]
    fn names_and_phone_come_from_the_sources_in_attributes() {
        let person = |policy: &Policy| {
            let app_user: AppUser =
                serde_json::from_value(json!({"id": "00u1", "status": "ACTIVE",
                "credentials": {"userName": "lin_example"}, "profile": {"firstName": "Mapped",
                "email": "other@acme.example", "mobilePhone": ["555-0199"]}}))
                .unwrap();
            match wanted(Some(&user("ACTIVE")), Some(&app_user), policy) {
                Wanted::Account(person) => person,
                other => panic!("{other:?}"),
            }
        };
        let mut policy = Policy::default();
        let unset = person(&policy);
        assert_eq!(unset.first_name.as_deref(), Some("Lin"));
        for (target, source) in [
            (AccountField::FirstName, "app.firstName"),
            (AccountField::LastName, "app.lastName"),
            (AccountField::Phone, "app.mobilePhone"),
        ] {
            assert!(policy.attributes.insert(target, source.parse().unwrap()));
        }
        let mapped = Person {
            first_name: Some("Mapped".to_owned()),
            unread: vec!["app.mobilePhone".to_owned()],
            ..unset
        };
        // The base profile supplies values that the app profile lacks or has in another form, and the e-mail address.
        assert!(person(&policy) == mapped);
    }

    #[test]
    fn each_reason_against_an_account_has_its_text() {
        for (reason, said) in [
            (Unwanted::NoUser, "does not exist"),
            (Unwanted::Deprovisioned, "is deactivated"),
            (Unwanted::Suspended, "is suspended"),
            (Unwanted::NotAssigned, "is not assigned to the app"),
        ] {
            assert_eq!(reason.as_str(), format!("the Okta user {said}"));
        }
    }

    #[test]
    fn suspended_users_follow_the_setting() {
        let assigned = app_user(json!("ACTIVE"));
        let mut policy = Policy::default();
        assert_eq!(
            nothing(Some(&user("SUSPENDED")), Some(&assigned), &policy),
            Unwanted::Suspended
        );
        policy.suspended = SuspendedUsers::Keep;
        let kept = wanted(Some(&user("SUSPENDED")), Some(&assigned), &policy);
        assert!(matches!(kept, Wanted::Account(_)));
    }

    #[test]
    fn an_invalid_app_username_is_permanent_and_a_missing_one_is_not() {
        let policy = Policy::default();
        for (credentials, is_retryable) in [
            (json!(null), true),
            (json!({}), true),
            (json!({"userName": null}), true),
            (json!({"userName": ""}), true),
            (json!({"userName": "  "}), true),
            (json!({"userName": "not valid"}), false),
        ] {
            let app_user = json!({"id": "00u1", "status": "ACTIVE", "credentials": credentials});
            let app_user: AppUser = serde_json::from_value(app_user).unwrap();
            let found = wanted(Some(&user("ACTIVE")), Some(&app_user), &policy);
            let Wanted::Account(person) = found else {
                panic!("{found:?}")
            };
            let failure = person.username.unwrap_err();
            let found = (failure.is_retryable(), failure.cause);
            assert_eq!(
                found,
                (is_retryable, Cause::UsernameInvalid),
                "{app_user:?}"
            );
            // It matters only for users who are to have an account.
            let ended = wanted(Some(&user("DEPROVISIONED")), Some(&app_user), &policy);
            assert_eq!(ended, Wanted::Nothing(Unwanted::Deprovisioned));
        }
    }
}
