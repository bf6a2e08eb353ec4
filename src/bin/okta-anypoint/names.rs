//! How people name users and groups: by Okta id; by login, username or group name where that is unique.

use anyhow::Result;
use futures_util::future::join3;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::okta::Group;
use okta_anypoint::provision::Ports;

use crate::console::Usage;
use crate::table::{self, LOOK_TIME, Operator};

/// Refuses what can be the name of nothing on either side.
pub fn check(name: &str) -> Result<(), Usage> {
    match name.trim() {
        "" => Err(Usage("a name is empty".to_owned())),
        "." | ".." => Err(Usage(format!("\"{name}\" is not a name"))),
        _ => Ok(()),
    }
}

/// A user or a group.
pub async fn subject(operator: &Operator, name: &str) -> Result<Subject> {
    if let Some(subject) = by_id(name) {
        return Ok(subject);
    }
    check(name)?;
    let deadline = Deadline::within(LOOK_TIME);
    let found = find(&operator.ports, name, deadline).await?;
    unique(name, found, "user or group")
}

/// A user or a group, for a command that only reads the table: an id asks nobody.
pub async fn subject_to_read(table: &table::Args, name: &str) -> Result<Subject> {
    if let Some(subject) = by_id(name) {
        return Ok(subject);
    }
    check(name)?;
    subject(&table.open_to_read().await?, name).await
}

/// A user.
pub async fn user(operator: &Operator, name: &str) -> Result<OktaUserId> {
    if let Some(Subject::User(user)) = by_id(name) {
        return Ok(user);
    }
    check(name)?;
    let deadline = Deadline::within(LOOK_TIME);
    let found = find(&operator.ports, name, deadline).await?;
    let users = found
        .into_iter()
        .filter(|subject| matches!(subject, Subject::User(_)))
        .collect();
    match unique(name, users, "user")? {
        Subject::User(user) => Ok(user),
        Subject::Group(_) => Err(Usage(format!("\"{name}\" is a group, not a user")).into()),
    }
}

/// A group.
pub async fn group(operator: &Operator, name: &str) -> Result<OktaGroupId> {
    if let Some(Subject::Group(group)) = by_id(name) {
        return Ok(group);
    }
    check(name)?;
    let deadline = Deadline::within(LOOK_TIME);
    let groups = groups_named(&operator.ports, name, deadline).await?;
    let groups = groups.into_iter().map(Subject::Group).collect();
    match unique(name, groups, "group")? {
        Subject::Group(group) => Ok(group),
        Subject::User(_) => Err(Usage(format!("\"{name}\" is a user, not a group")).into()),
    }
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

async fn find(ports: &Ports, name: &str, deadline: Deadline) -> Result<Vec<Subject>, Failure> {
    let by_login = async {
        let user = ports.okta.user_by_login(name, deadline).await?;
        Ok::<_, Failure>(user.map(|user| user.id))
    };
    let by_group_name = groups_named(ports, name, deadline);
    let by_link = async {
        let links = ports.store.all_user_links().await?;
        let named = links
            .into_iter()
            .filter(|(_, link)| link.username.eq_ignore_ascii_case(name))
            .map(|(user, _)| user);
        Ok::<Vec<OktaUserId>, Failure>(named.collect())
    };
    let (login, groups, linked) = join3(by_login, by_group_name, by_link).await;
    let (groups, linked) = (groups?, linked?);
    let (login, refused) = match login {
        Ok(login) => (login, None),
        Err(refused) if is_about_the_name(&refused) => (None, Some(refused)),
        Err(failure) => return Err(failure),
    };
    let mut users: Vec<OktaUserId> = login.into_iter().chain(linked).collect();
    if users.is_empty() && groups.is_empty() {
        // The last resort reads every assignment: a username in the app of somebody without a link.
        let assigned = ports.okta.list_app_users(&ports.app, &[], deadline).await?;
        users.extend(
            assigned
                .items
                .into_iter()
                .filter(|user| {
                    user.username()
                        .is_some_and(|username| username.eq_ignore_ascii_case(name))
                })
                .map(|user| user.id),
        );
    }
    let mut found: Vec<Subject> = users
        .into_iter()
        .map(Subject::User)
        .chain(groups.into_iter().map(Subject::Group))
        .collect();
    found.sort();
    found.dedup();
    match refused {
        Some(refused) if found.is_empty() => Err(refused),
        _ => Ok(found),
    }
}

/// Whether Okta did not take a text for a login, such as a group's name with a slash in it. It can still be a name of
/// another kind. Any other failure leaves open whether a name is unique.
fn is_about_the_name(failure: &Failure) -> bool {
    matches!(
        failure.cause,
        Cause::Rejected | Cause::ValueRefused | Cause::NotFound | Cause::NotTheServices404
    )
}

fn unique(name: &str, mut found: Vec<Subject>, kind: &str) -> Result<Subject> {
    match (found.pop(), found.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(Usage(format!(
            "Okta knows no {kind} by the login, username or name \"{name}\"; name it by its Okta id"
        ))
        .into()),
        (Some(last), others) => {
            let ids: Vec<String> = others
                .iter()
                .chain([&last])
                .map(|subject| match subject {
                    Subject::User(id) => format!("user {id}"),
                    Subject::Group(id) => format!("group {id}"),
                })
                .collect();
            Err(Usage(format!(
                "\"{name}\" is not unique: {}; name the one you mean by its id",
                ids.join(", ")
            ))
            .into())
        }
    }
}
