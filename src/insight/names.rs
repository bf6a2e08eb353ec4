//! Names that the table has for users and groups: app usernames and team names.

use std::collections::HashMap;

use crate::failure::{Cause, Failure};
use crate::ids::Subject;
use crate::store::Store;

/// The username or team name of each of these subjects that has a link. A text that is not a subject has no name. Neither
/// has a subject whose link cannot be read, because the list matters more than its names.
pub async fn names_of<'s>(
    store: &dyn Store,
    subjects: impl Iterator<Item = &'s str>,
) -> HashMap<String, String> {
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
    let mut names = HashMap::new();
    for users in users.chunks(NAMED_AT_ONCE) {
        let links = one_by_one(users, async |users| store.user_links(users).await);
        let links = links.await.into_iter();
        names.extend(links.map(|(user, link)| (Subject::User(user).to_string(), link.username)));
    }
    for groups in groups.chunks(NAMED_AT_ONCE) {
        let links = one_by_one(groups, async |groups| store.team_links(groups).await);
        let links = links.await.into_iter();
        names.extend(links.map(|(id, link)| (Subject::Group(id).to_string(), link.team_name)));
    }
    names
}

/// This many links are read at once. If that fails, each is read alone.
const NAMED_AT_ONCE: usize = 100;

/// The links of all. If some of them cannot be read, the links of the others.
async fn one_by_one<Id, Link>(
    ids: &[Id],
    read: impl AsyncFn(&[Id]) -> Result<HashMap<Id, Link>, Failure>,
) -> HashMap<Id, Link>
where
    Id: Eq + std::hash::Hash,
{
    let failure = match read(ids).await {
        Ok(links) => return links,
        Err(failure) => failure,
    };
    let mut links = HashMap::new();
    // If the table itself does not answer, more reads would not help.
    if failure.cause == Cause::BadRecord {
        for id in ids {
            let link = read(std::slice::from_ref(id)).await;
            links.extend(link.unwrap_or_default());
        }
    }
    links
}
