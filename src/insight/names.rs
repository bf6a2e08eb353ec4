//! Names that the table holds for users and groups: app usernames and team names.

use std::collections::HashMap;

use crate::failure::Failure;
use crate::ids::Subject;
use crate::store::Store;

/// The username or team name of each of these subjects that has a link. A text that is no subject has no name.
///
/// # Errors
/// When the table fails.
pub async fn names_of<'s>(
    store: &dyn Store,
    subjects: impl Iterator<Item = &'s str>,
) -> Result<HashMap<String, String>, Failure> {
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for subject in subjects {
        match subject.parse() {
            Ok(Subject::User(user)) => users.push(user),
            Ok(Subject::Group(group)) => groups.push(group),
            Err(_) => {}
        }
    }
    users.sort();
    users.dedup();
    groups.sort();
    groups.dedup();
    let (users, groups) =
        futures_util::try_join!(store.user_links(&users), store.team_links(&groups))?;
    let users = users
        .into_iter()
        .map(|(user, link)| (Subject::User(user).to_string(), link.username));
    let groups = groups
        .into_iter()
        .map(|(group, link)| (Subject::Group(group).to_string(), link.team_name));
    Ok(users.chain(groups).collect())
}
