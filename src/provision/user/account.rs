//! What a plan does with an account: the user keeps, adopts, gets or loses it. Pure.

use super::adopt::{Freed, may_adopt};
use super::profile::{agreed_after, changes};
use super::view::{FoundTeam, Membership, NamedAccount, UserView};
use crate::anypoint::{Account, AccountChanges};
use crate::failure::{Cause, Failure, Side};
use crate::ids::{AccountId, OktaGroupId, TeamId};
use crate::provision::policy::{Policy, ResetEmail};
use crate::provision::wanted::{Person, no_email};
use crate::store::{Origin, ResetMail, UserLink};

/// An account to create, with everything that Anypoint asks for. Its `Debug` form shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPerson {
    pub(crate) username: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: String,
    /// Phone number, if there is one.
    pub(crate) phone: Option<String>,
}

impl std::fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPerson(…)")
    }
}

/// Which account the user is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AccountPlan {
    /// None.
    #[default]
    Nothing,
    /// The linked one.
    Keep {
        /// The account.
        account: AccountId,
        /// What changes.
        changes: AccountChanges,
        /// The account's username.
        username: String,
        /// The link to write, if its contents change.
        link: Option<UserLink>,
        /// Whether the reset mail is still to be asked for.
        mail: ResetEmail,
    },
    /// An existing account that becomes the user's.
    Adopt(Adoption),
    /// A new one.
    Create {
        /// The person it is for.
        person: NewPerson,
        /// Whether the reset mail is to be asked for.
        mail: ResetEmail,
    },
}

impl AccountPlan {
    /// The other user whose account this user adopts.
    pub(crate) fn freed_from(&self) -> Option<&Freed> {
        match self {
            Self::Adopt(adoption) => adoption.freed_from.as_ref(),
            Self::Nothing | Self::Keep { .. } | Self::Create { .. } => None,
        }
    }
}

/// An existing account that becomes the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    pub(crate) changes: AccountChanges,
    /// The link that is written.
    pub(crate) link: UserLink,
    /// Whether the reset mail is to be asked for.
    pub(crate) mail: ResetEmail,
    /// A run that enables a former account of the user writes an intent first.
    pub(crate) was_theirs: FormerOwner,
    /// The other user whose link still names it.
    pub(crate) freed_from: Option<Freed>,
}

/// Whose account it was before the adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormerOwner {
    /// This user's.
    ThisUser,
    /// Another user's, or an account without a link.
    Other,
}

/// How a run ends an account that the user loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retire {
    pub(crate) account: AccountId,
    pub(crate) username: String,
    /// The change that disables it. `None` if it is already disabled.
    pub(crate) disable: Option<AccountChanges>,
    /// The teams that it leaves, and whose they are.
    pub(crate) leave: Vec<(TeamId, OktaGroupId)>,
    pub(crate) reason: &'static str,
}

pub(super) fn keep(
    account: &Account,
    link: &UserLink,
    person: &Person,
    policy: &Policy,
) -> AccountPlan {
    let changes = changes(account, person, Some(link), policy);
    let agreed = agreed_after(account, person, &changes, link);
    let owed = link.reset_mail == ResetMail::Owed;
    let remembered = (owed || agreed.is_some()).then(|| UserLink {
        agreed: agreed.or_else(|| link.agreed.clone()),
        reset_mail: ResetMail::Settled,
        ..link.clone()
    });
    AccountPlan::Keep {
        account: account.id.clone(),
        username: account.username.clone(),
        changes,
        link: remembered,
        mail: if owed {
            policy.reset_email
        } else {
            ResetEmail::Skip
        },
    }
}

pub(super) fn adopt(
    view: &UserView,
    named: &NamedAccount,
    person: &Person,
    username: &str,
    policy: &Policy,
) -> Result<AccountPlan, Failure> {
    let freed_from = named.freed_from.clone()?;
    let origin = may_adopt(view, named, person, policy)?;
    let account = &named.account;
    let is_theirs = named
        .owner
        .as_ref()
        .is_some_and(|owner| owner.okta_user == view.user);
    Ok(AccountPlan::Adopt(Adoption {
        changes: changes(account, person, None, policy),
        link: UserLink {
            anypoint_id: account.id.clone(),
            username: username.to_owned(),
            origin,
            agreed: None,
            reset_mail: ResetMail::Settled,
        },
        mail: match origin {
            Origin::Created => policy.reset_email,
            Origin::Adopted | Origin::Imported => ResetEmail::Skip,
        },
        was_theirs: if is_theirs {
            FormerOwner::ThisUser
        } else {
            FormerOwner::Other
        },
        freed_from,
    }))
}

pub(super) fn new_account(
    person: &Person,
    username: &str,
    policy: &Policy,
) -> Result<AccountPlan, Failure> {
    Ok(AccountPlan::Create {
        person: new_person(person, username, policy)?,
        mail: policy.reset_email,
    })
}

fn new_person(person: &Person, username: &str, policy: &Policy) -> Result<NewPerson, Failure> {
    let missing = |what: &str| {
        Failure::permanent(
            Side::Okta,
            format!("the Okta user has no {what}, which Anypoint asks for."),
            "Fill it in on the user's profile in Okta.",
        )
        .because(Cause::ProfileIncomplete)
    };
    let required = |value: &Option<String>, what| value.clone().ok_or_else(|| missing(what));
    Ok(NewPerson {
        username: username.to_owned(),
        first_name: required(&person.first_name, "first name")?,
        last_name: required(&person.last_name, "last name")?,
        email: person.email.clone().ok_or_else(no_email)?,
        phone: person
            .phone
            .clone()
            .or_else(|| policy.default_phone.clone()),
    })
}

/// The plan to disable an account and remove it from every pushed team.
pub(super) fn retire(account: &Account, teams: &[FoundTeam], reason: &'static str) -> Retire {
    Retire {
        account: account.id.clone(),
        username: account.username.clone(),
        disable: account.is_enabled().then(AccountChanges::disabled),
        leave: ours(teams)
            .filter(|team| team.membership != Membership::Unread)
            .map(|found| (found.team.clone(), found.group.clone()))
            .collect(),
        reason,
    }
}

/// The failure that keeps the account from leaving all teams, if there is one.
pub(super) fn unread(teams: &[FoundTeam]) -> Option<Failure> {
    let mut teams = teams.iter();
    let is_unread = |found: &FoundTeam| found.membership == Membership::Unread;
    teams.any(is_unread).then(unread_membership)
}

pub(super) fn unread_membership() -> Failure {
    let what = "the type of a membership could not be read, so the account stays in that team for now; the rest was done";
    Failure::retryable(Side::Anypoint, what).because(Cause::Unreadable)
}

/// The memberships that are ours to end, or may be.
pub(super) fn ours(teams: &[FoundTeam]) -> impl Iterator<Item = &FoundTeam> {
    teams
        .iter()
        .filter(|found| found.membership != Membership::Special)
}
