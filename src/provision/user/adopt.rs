//! Whether an account that has the wanted username may be taken for the user. Pure.

use super::view::{NamedAccount, UserView};
use crate::failure::{Cause, Failure, Side};
use crate::provision::policy::{Adopt, Policy};
use crate::provision::wanted::Person;
use crate::store::{Origin, Tenure};

/// On which grounds an existing account may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grounds {
    /// An earlier run created it for this user and was cut off.
    Ours,
    /// It was this user's account before, or the setting allows it.
    Adoption,
}

/// The grounds on which `named` may be taken.
///
/// # Errors
/// Permanent, with advice, when it may not.
pub(super) fn may_take(
    view: &UserView,
    named: &NamedAccount,
    person: &Person,
    policy: &Policy,
) -> Result<Grounds, Failure> {
    match &named.owner {
        Some(owner) if owner.okta_user == view.user => {
            return Ok(match owner.origin {
                Some(Origin::Created) => Grounds::Ours,
                _ => Grounds::Adoption,
            });
        }
        Some(owner) if owner.tenure == Tenure::Current && named.freed_from.is_none() => {
            return Err(Failure::permanent(
                Side::Anypoint,
                format!(
                    "the account with that username belongs to Okta user {}.",
                    owner.okta_user
                ),
                "Give one of the two users another app username in Okta, or unlink the account from the \
                 other user with `okta-anypoint unlink`.",
            )
            .because(Cause::UsernameTaken));
        }
        _ => {}
    }
    let same_email = match (&named.account.email, &person.email) {
        (Some(theirs), Some(ours)) => theirs.trim().to_lowercase() == ours.to_lowercase(),
        _ => false,
    };
    match policy.adopt {
        Adopt::Username => Ok(Grounds::Adoption),
        Adopt::UsernameAndEmail if same_email => Ok(Grounds::Adoption),
        Adopt::UsernameAndEmail => Err(Failure::permanent(
            Side::Anypoint,
            "an account with that username exists and has another e-mail address.",
            "If it is the same person, pair them with `okta-anypoint link` or set ADOPT=username; if \
             not, give the user another app username in Okta.",
        )
        .because(Cause::AdoptionRefused)),
        Adopt::Never => Err(Failure::permanent(
            Side::Anypoint,
            "an account with that username exists, and ADOPT=never.",
            "If it is the same person, pair them with `okta-anypoint link`; if not, give the user \
             another app username in Okta.",
        )
        .because(Cause::AdoptionRefused)),
    }
}
