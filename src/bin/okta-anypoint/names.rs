//! How people name users and groups: by Okta id; by login, username or group name where that is unique.

use anyhow::Result;
use futures_util::future::join3;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::okta::{AppUser, Group};
use okta_anypoint::provision::Ports;

use crate::console::Usage;
use crate::operator::Operator;
use crate::table::{self, Access, LOOK_TIME};

/// Refuses a text that cannot be a name on either side.
pub fn check(name: &str) -> Result<(), Usage> {
    match name.trim() {
        "" => Err(Usage("a name is empty".to_owned())),
        "." | ".." => Err(Usage(format!("\"{name}\" is not a name"))),
        _ => Ok(()),
    }
}

pub async fn subject(operator: &Operator, name: &str) -> Result<Subject> {
    if let Some(subject) = by_id(name) {
        return Ok(subject);
    }
    let (users, groups) = find(&operator.ports, name).await?;
    let users = users.into_iter().map(Subject::User);
    let found = users.chain(groups.into_iter().map(Subject::Group));
    unique(name, "user or group", found.collect(), Subject::clone)
}

/// A user or a group, for a command that only reads the table: an id needs no request to either side.
pub async fn subject_to_read(table: &table::Args, name: &str) -> Result<Subject> {
    if let Some(subject) = by_id(name) {
        return Ok(subject);
    }
    check(name)?;
    subject(&table.open(Access::Read).await?, name).await
}

pub async fn user(operator: &Operator, name: &str) -> Result<OktaUserId> {
    if let Some(Subject::User(user)) = by_id(name) {
        return Ok(user);
    }
    let (users, _) = find(&operator.ports, name).await?;
    unique(name, "user", users, |user| Subject::User(user.clone()))
}

pub async fn group(operator: &Operator, name: &str) -> Result<OktaGroupId> {
    if let Some(Subject::Group(group)) = by_id(name) {
        return Ok(group);
    }
    check(name)?;
    let deadline = Deadline::within(LOOK_TIME);
    let groups = groups_named(&operator.ports, name, deadline).await?;
    unique(name, "group", groups, |group| Subject::Group(group.clone()))
}

async fn groups_named(
    ports: &Ports,
    name: &str,
    deadline: Deadline,
) -> Result<Vec<OktaGroupId>, Failure> {
    let groups = ports.okta.groups_named(name, deadline).await?;
    let is_named = |group: &Group| group.name().eq_ignore_ascii_case(name);
    let named = groups.into_iter().filter(is_named);
    Ok(named.map(|group| group.id).collect())
}

/// An id says by itself what it is; it is taken also when Okta does not know it (any more).
pub fn by_id(name: &str) -> Option<Subject> {
    if let Ok(subject) = name.parse() {
        return Some(subject);
    }
    match name.get(..3) {
        Some("00u") if name.len() >= 10 => OktaUserId::parse(name).ok().map(Subject::User),
        Some("00g") if name.len() >= 10 => OktaGroupId::parse(name).ok().map(Subject::Group),
        _ => None,
    }
}

/// The users and the groups of a name.
async fn find(ports: &Ports, name: &str) -> Result<(Vec<OktaUserId>, Vec<OktaGroupId>)> {
    check(name)?;
    let deadline = Deadline::within(LOOK_TIME);
    let (login, groups, links) = join3(
        ports.okta.user_by_login(name, deadline),
        groups_named(ports, name, deadline),
        ports.store.all_user_links(),
    )
    .await;
    let (groups, links) = (groups?, links?);
    let (login, refused) = match login.map_err(Failure::from) {
        Ok(user) => (user, None),
        Err(refused) if is_about_the_name(&refused) => (None, Some(refused)),
        Err(failure) => return Err(failure.into()),
    };
    let linked = links
        .into_iter()
        .filter(|(_, link)| link.username.eq_ignore_ascii_case(name))
        .map(|(user, _)| user);
    let mut users: Vec<OktaUserId> = login
        .map(|user| user.id)
        .into_iter()
        .chain(linked)
        .collect();
    if users.is_empty() && groups.is_empty() {
        // The last resort reads every assignment: the app username of a user without a link.
        let assigned = ports.okta.list_app_users(&ports.app, &[], deadline).await?;
        let is_named = |user: &AppUser| {
            user.username()
                .is_some_and(|username| username.eq_ignore_ascii_case(name))
        };
        users.extend(
            assigned
                .items
                .into_iter()
                .filter(is_named)
                .map(|user| user.id),
        );
    }
    match refused {
        Some(refused) if users.is_empty() && groups.is_empty() => Err(refused.into()),
        _ => Ok((users, groups)),
    }
}

/// Whether Okta did not accept a text as a login. It can still be a name of another kind, such as a group's. Any other failure leaves open whether a name is unique.
fn is_about_the_name(failure: &Failure) -> bool {
    matches!(
        failure.cause,
        Cause::Rejected | Cause::ValueRefused | Cause::NotFound | Cause::NotTheServices404
    )
}

/// The only one that was found. `subject` says what the others are.
fn unique<T: Ord>(
    name: &str,
    kind: &str,
    mut found: Vec<T>,
    subject: impl Fn(&T) -> Subject,
) -> Result<T> {
    found.sort();
    found.dedup();
    let ids: Vec<String> = found
        .iter()
        .map(|found| match subject(found) {
            Subject::User(id) => format!("user {id}"),
            Subject::Group(id) => format!("group {id}"),
        })
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Usage(format!(
            "\"{name}\" is not unique: {}; name the one you mean by its id",
            ids.join(", ")
        ))
        .into()),
        (None, _) => Err(Usage(format!(
            "Okta knows no {kind} by the login, username or name \"{name}\"; name it by its Okta id"
        ))
        .into()),
    }
}
