//! What changes in an account's profile. Pure.
//!
//! Okta decides, except where an import keeps the names last agreed. The e-mail address never changes.

use crate::anypoint::{Account, AccountChanges};
use crate::provision::policy::{ImportedNames, Policy};
use crate::provision::wanted::Person;
use crate::store::{AgreedProfile, Origin, UserLink};

/// What has to change on an account that the user keeps or adopts.
pub(super) fn changes(
    account: &Account,
    person: &Person,
    link: Option<&UserLink>,
    policy: &Policy,
) -> AccountChanges {
    let agreed = link.and_then(|link| agreed_names(link, policy));
    let name = |wanted: &Option<String>, found: &Option<String>, agreed: Option<&str>| {
        let found_text = found.as_deref().unwrap_or_default();
        let wanted = wanted.as_deref().filter(|wanted| *wanted != found_text)?;
        // The next import brings a change that was made in Anypoint to Okta.
        let changed_there = agreed.is_some_and(|agreed| agreed != found_text);
        (!changed_there).then(|| wanted.to_owned())
    };
    let phone = person
        .phone
        .as_deref()
        .filter(|phone| Some(*phone) != account.phone_number.as_deref().map(str::trim));
    AccountChanges {
        first_name: name(
            &person.first_name,
            &account.first_name,
            agreed.map(|agreed| agreed.first_name.as_str()),
        ),
        last_name: name(
            &person.last_name,
            &account.last_name,
            agreed.map(|agreed| agreed.last_name.as_str()),
        ),
        phone_number: phone.map(str::to_owned),
        enabled: (!account.is_surely_enabled()).then_some(true),
    }
}

/// The names that both sides last agreed on, if they decide.
fn agreed_names<'a>(link: &'a UserLink, policy: &Policy) -> Option<&'a AgreedProfile> {
    let decide = link.origin == Origin::Imported
        && policy.imported_names == ImportedNames::LastChangeDecides;
    link.agreed.as_ref().filter(|_| decide)
}

/// The names that a link keeps after `changes`, if these differ from those that it keeps now. Names that both sides then
/// have are the ones last agreed on, also while they do not decide.
pub(super) fn agreed_after(
    account: &Account,
    person: &Person,
    changes: &AccountChanges,
    link: &UserLink,
) -> Option<AgreedProfile> {
    let kept = link.agreed.as_ref();
    let kept = kept.filter(|_| link.origin == Origin::Imported)?;
    let next =
        |change: &Option<String>, found: &Option<String>, okta: &Option<String>, kept: &str| {
            let anypoint = change.as_ref().or(found.as_ref());
            let is_same = okta.is_some() && anypoint == okta.as_ref();
            let name = anypoint.filter(|_| is_same).map(String::as_str);
            name.unwrap_or(kept).to_owned()
        };
    let next = AgreedProfile {
        first_name: next(
            &changes.first_name,
            &account.first_name,
            &person.first_name,
            &kept.first_name,
        ),
        last_name: next(
            &changes.last_name,
            &account.last_name,
            &person.last_name,
            &kept.last_name,
        ),
    };
    (next != *kept).then_some(next)
}
