//! How people name users and groups: by Okta id; by login, username or group name where that is unique.

use anyhow::{Context as _, Result};
use futures_util::future::{join3, try_join};
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

/// What a text can name.
enum Text {
    /// An id says by itself what it is. It counts also when Okta does not know it (any more).
    Id(Subject),
    /// A name, or an id that is shorter than those that Okta gives today.
    IdOrName(Subject),
    Name,
}

impl Text {
    fn read(text: &str) -> Self {
        if let Ok(subject) = text.parse() {
            return Self::Id(subject);
        }
        // A name can begin like an id, but only ids have no other characters.
        if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Self::Name;
        }
        let subject = match text.get(..3) {
            Some("00u") => OktaUserId::parse(text).map(Subject::User),
            Some("00g") => OktaGroupId::parse(text).map(Subject::Group),
            _ => return Self::Name,
        };
        match subject {
            Ok(subject) if text.len() >= 10 => Self::Id(subject),
            Ok(subject) => Self::IdOrName(subject),
            Err(_) => Self::Name,
        }
    }

    /// The id, if it may be that of a user.
    fn user(&self) -> Option<&OktaUserId> {
        match self {
            Self::Id(Subject::User(id)) | Self::IdOrName(Subject::User(id)) => Some(id),
            _ => None,
        }
    }

    /// The id, if it may be that of a group.
    fn group(&self) -> Option<&OktaGroupId> {
        match self {
            Self::Id(Subject::Group(id)) | Self::IdOrName(Subject::Group(id)) => Some(id),
            _ => None,
        }
    }
}

pub async fn subject(operator: &Operator, name: &str) -> Result<Subject> {
    let text = Text::read(name);
    if let Text::Id(subject) = text {
        return Ok(subject);
    }
    let (users, groups) = find(operator, name, &text).await?;
    let users = users.into_iter().map(Subject::User);
    let found = users.chain(groups.into_iter().map(Subject::Group));
    unique(name, "user or group", found.collect(), Subject::clone)
}

/// A user or a group, for a command that only reads the table: an id needs no request to either side.
pub async fn subject_to_read(table: &table::Args, name: &str) -> Result<Subject> {
    if let Text::Id(subject) | Text::IdOrName(subject) = Text::read(name) {
        return Ok(subject);
    }
    check(name)?;
    subject(&table.open(Access::Read).await?, name).await
}

pub async fn user(operator: &Operator, name: &str) -> Result<OktaUserId> {
    let text = Text::read(name);
    if let Text::Id(Subject::User(user)) = text {
        return Ok(user);
    }
    let (users, _) = find(operator, name, &text).await?;
    unique(name, "user", users, |user| Subject::User(user.clone()))
}

pub async fn group(operator: &Operator, name: &str) -> Result<OktaGroupId> {
    let text = Text::read(name);
    if let Text::Id(Subject::Group(group)) = text {
        return Ok(group);
    }
    check(name)?;
    let deadline = Deadline::within(LOOK_TIME);
    let mut groups = groups_of(&operator.ports, name, deadline).await?;
    if groups.is_empty() {
        groups.extend(text.group().cloned());
    }
    unique(name, "group", groups, |group| Subject::Group(group.clone()))
}

/// The groups that have a text as their name or id.
async fn groups_of(
    ports: &Ports,
    name: &str,
    deadline: Deadline,
) -> Result<Vec<OktaGroupId>, Failure> {
    let by_id = async {
        match OktaGroupId::parse(name) {
            Ok(id) if name.starts_with("00g") => ports.okta.group(&id, deadline).await,
            _ => Ok(None),
        }
    };
    let (named, by_id) = try_join(ports.okta.groups_named(name, deadline), by_id).await?;
    let is_named = |group: &Group| group.name().eq_ignore_ascii_case(name);
    let found = named.into_iter().filter(is_named).chain(by_id);
    Ok(found.map(|group| group.id).collect())
}

/// How a login answers to a name.
#[derive(PartialEq, Eq)]
enum Fit {
    Whole,
    /// The part before the `@`.
    Short,
}

impl Fit {
    /// Okta finds users by other words, too, such as `me` for the token's owner.
    fn of(login: &str, name: &str) -> Option<Self> {
        let (login, name) = (login.to_lowercase(), name.to_lowercase());
        let short = login.split_once('@').map(|(short, _)| short);
        match name == login {
            true => Some(Self::Whole),
            false => (short == Some(&*name)).then_some(Self::Short),
        }
    }
}

/// The users and the groups of a name.
async fn find(
    operator: &Operator,
    name: &str,
    text: &Text,
) -> Result<(Vec<OktaUserId>, Vec<OktaGroupId>)> {
    check(name)?;
    let ports = &operator.ports;
    let deadline = Deadline::within(LOOK_TIME);
    let (answer, groups, links) = join3(
        // The same request finds a user by id.
        ports.okta.user_by_login(name, deadline),
        groups_of(ports, name, deadline),
        ports.store.all_user_links(),
    )
    .await;
    let (mut groups, links) = (groups?, links?);
    let (user, refused) = match answer.map_err(Failure::from) {
        Ok(user) => (user, None),
        Err(refused) if is_about_the_name(&refused) => (None, Some(refused)),
        Err(failure) => return Err(failure.into()),
    };
    let fit = user.as_ref().and_then(|user| Fit::of(user.login(), name));
    let user = user.filter(|user| fit.is_some() || user.id.as_str() == name);
    let linked = links
        .into_iter()
        .filter(|(_, link)| link.username.eq_ignore_ascii_case(name))
        .map(|(user, _)| user);
    let user = user.map(|user| user.id);
    let mut users: Vec<OktaUserId> = user.into_iter().chain(linked).collect();
    // Only a whole login is unique by itself. Any other name may also be the app username of a user without a link.
    if fit != Some(Fit::Whole) {
        let app_users = operator
            .app_users(deadline)
            .await
            .with_context(|| format!("\"{name}\" may not be unique, so name it by its id"))?;
        let is_named = |user: &&AppUser| {
            let username = user.username().unwrap_or_default();
            let applied = ports.policy.usernames.apply(username);
            username.eq_ignore_ascii_case(name)
                || applied.is_ok_and(|applied| applied.eq_ignore_ascii_case(name))
        };
        let named = app_users.iter().filter(is_named);
        let (assigned, ended): (Vec<_>, Vec<_>) = named.partition(|user| user.is_assigned());
        users.extend(assigned.into_iter().map(|user| user.id.clone()));
        // The name of an assignment that ended may be somebody else's by now.
        if users.is_empty() && groups.is_empty() {
            users.extend(ended.into_iter().map(|user| user.id.clone()));
        }
    }
    if users.is_empty() && groups.is_empty() {
        if let Some(refused) = refused {
            return Err(refused.into());
        }
        users.extend(text.user().cloned());
        groups.extend(text.group().cloned());
    }
    Ok((users, groups))
}

/// Whether Okta did not accept a text as a login. It can still be a name of another kind, such as a group's. Any other failure leaves open whether a name is unique.
fn is_about_the_name(failure: &Failure) -> bool {
    matches!(
        failure.cause,
        Cause::Rejected | Cause::ValueRefused | Cause::NotFound | Cause::NotTheServices404
    )
}

/// The only one that was found. `subject` says what they are.
fn unique<T: Ord>(
    name: &str,
    kind: &str,
    mut found: Vec<T>,
    subject: impl Fn(&T) -> Subject,
) -> Result<T> {
    found.sort();
    found.dedup();
    // In this form an id is taken as one, even if it is also a name.
    let ids: Vec<String> = found.iter().map(|it| subject(it).to_string()).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Usage(format!(
            "\"{name}\" is not unique: {}; name the one you mean by its id, as written here",
            ids.join(", ")
        ))
        .into()),
        (None, _) => Err(Usage(format!(
            "Okta knows no {kind} by the login, username or name \"{name}\"; name it by its Okta id"
        ))
        .into()),
    }
}
