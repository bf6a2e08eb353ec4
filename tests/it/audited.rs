//! Compares the audit trail with the writes that a simulated Anypoint received. Every change has an entry, or the next
//! run has an entry that says that a run was cut off.

use std::collections::{BTreeSet, HashMap, HashSet};

use http::Method;
use okta_anypoint::ledger::AuditEntry;
use okta_anypoint::simulator::traffic::RecordedRequest;

/// The owners of accounts and teams, as far as they were ever seen.
#[derive(Default)]
pub struct Subjects {
    /// Accounts by their username.
    pub accounts: HashMap<String, String>,
    /// `user#…` by account.
    pub users: HashMap<String, BTreeSet<String>>,
    /// `group#…` by team.
    pub groups: HashMap<String, BTreeSet<String>>,
}

/// One change at Anypoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Change {
    Enabled(String, Enabled),
    Updated(String),
    Member(String, String, Place),
    NewTeam,
    Renamed(String),
    Deleted(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Enabled {
    Made,
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    In,
    Out,
}

/// The changes that have no entry. `epoch_ms` is when the simulator started.
pub fn unaccounted(
    writes: &[RecordedRequest],
    epoch_ms: i64,
    entries: &[AuditEntry],
    subjects: &Subjects,
) -> Vec<String> {
    let mut entries: Vec<&AuditEntry> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.at_ms);
    let mut writes: Vec<&RecordedRequest> =
        writes.iter().filter(|call| call.had_effect()).collect();
    writes.sort_by_key(|call| call.at_ms);

    let mut last: HashMap<String, Change> = HashMap::new();
    let mut made = Vec::new();
    for call in writes {
        let at_ms = epoch_ms + i64::try_from(call.at_ms).unwrap();
        for change in changes(call, subjects) {
            // A repeated write is no change: it is a retry, or a run after one that was cut off.
            let is_new = change
                .state_of()
                .is_none_or(|of| last.insert(of, change.clone()).as_ref() != Some(&change));
            if is_new {
                made.push((at_ms, change, call));
            }
        }
    }

    let mut used: HashSet<(usize, Change)> = HashSet::new();
    let mut missing = Vec::new();
    // The last ones first: an earlier change can use their entries, and more.
    for (at_ms, change, call) in made.into_iter().rev() {
        let own = entries.iter().enumerate().find(|(n, entry)| {
            entry.at_ms >= at_ms
                && change.is_covered_by(entry, subjects)
                && !(change.state_of().is_some() && used.contains(&(*n, change.clone())))
        });
        if let Some((n, _)) = own {
            used.insert((n, change));
            continue;
        }
        let is_successor = |entry: &&AuditEntry| {
            entry.at_ms >= at_ms
                && entry.action == AuditEntry::INTERRUPTED
                && change.is_about(&entry.subject, subjects)
        };
        if !entries.iter().any(is_successor) {
            missing.push(format!(
                "no audit entry of {change:?}: {} {} at {} ms, answered {}",
                call.method, call.path, call.at_ms, call.status
            ));
        }
    }
    missing
}

/// The changes that one write made.
fn changes(call: &RecordedRequest, subjects: &Subjects) -> Vec<Change> {
    let path = call.path.split("/organizations/").nth(1).unwrap_or("");
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let field = |name: &str| call.body.as_ref().and_then(|body| body.get(name));
    let people = || -> Vec<String> {
        let listed = call.body.as_ref().and_then(|body| body.as_array());
        let id = |item: &serde_json::Value| match item.as_str() {
            Some(id) => id.to_owned(),
            None => item["id"].as_str().unwrap().to_owned(),
        };
        listed.into_iter().flatten().map(id).collect()
    };
    let members = |team: &str, place| {
        let of = |account| Change::Member(team.to_owned(), account, place);
        people().into_iter().map(of).collect()
    };
    match (&call.method, parts.as_slice()) {
        (&Method::POST, ["users"]) => {
            let name = field("username").unwrap().as_str().unwrap().to_lowercase();
            let made = subjects.accounts.get(&name);
            made.map(|account| Change::Enabled(account.clone(), Enabled::Made))
                .into_iter()
                .collect()
        }
        (&Method::PUT, ["users", account]) => {
            let account = (*account).to_owned();
            match field("enabled").and_then(serde_json::Value::as_bool) {
                Some(true) => vec![Change::Enabled(account, Enabled::Yes)],
                Some(false) => vec![Change::Enabled(account, Enabled::No)],
                None => vec![Change::Updated(account)],
            }
        }
        (&Method::PATCH, ["teams", team, "members"]) => members(team, Place::In),
        (&Method::DELETE, ["teams", team, "members"]) => members(team, Place::Out),
        (&Method::POST, ["teams"]) => vec![Change::NewTeam],
        (&Method::PATCH, ["teams", team]) => vec![Change::Renamed((*team).to_owned())],
        (&Method::DELETE, ["teams", team]) => vec![Change::Deleted((*team).to_owned())],
        _ => Vec::new(),
    }
}

impl Change {
    /// The object whose state this change sets, if a write can set it twice.
    fn state_of(&self) -> Option<String> {
        match self {
            Self::Enabled(account, _) => Some(account.clone()),
            Self::Member(team, account, _) => Some(format!("{team} {account}")),
            _ => None,
        }
    }

    fn is_covered_by(&self, entry: &AuditEntry, subjects: &Subjects) -> bool {
        let action = entry.action.as_str();
        let on = |id: &str| entry.id.as_deref() == Some(id);
        match self {
            Self::Enabled(account, Enabled::Made) => {
                // A lost answer leaves the id unknown.
                action == "create_account"
                    && (on(account)
                        || (entry.id.is_none() && is_of(subjects, account, &entry.subject)))
            }
            Self::Enabled(account, Enabled::Yes) => action == "enable_account" && on(account),
            Self::Enabled(account, Enabled::No) => action == "disable_account" && on(account),
            Self::Updated(account) => action == "update_account" && on(account),
            Self::Member(team, account, place) => {
                let (alone, together) = match place {
                    Place::In => ("join_team", "add_members"),
                    Place::Out => ("leave_team", "remove_members"),
                };
                on(team)
                    && ((action == alone && is_of(subjects, account, &entry.subject))
                        || (action == together && entry.ids.contains(account)))
            }
            Self::NewTeam => action == "create_team",
            Self::Renamed(team) => ["rename_team", "adopt_team"].contains(&action) && on(team),
            Self::Deleted(team) => action == "delete_team" && on(team),
        }
    }

    /// Whether a run of this subject may have made the change. Runs of users also create, rename and adopt teams.
    fn is_about(&self, subject: &str, subjects: &Subjects) -> bool {
        let of_team = |team: &str| {
            subjects
                .groups
                .get(team)
                .is_some_and(|all| all.contains(subject))
        };
        match self {
            Self::Enabled(account, _) | Self::Updated(account) => is_of(subjects, account, subject),
            Self::Member(team, account, _) => is_of(subjects, account, subject) || of_team(team),
            Self::NewTeam | Self::Renamed(_) => true,
            Self::Deleted(team) => of_team(team),
        }
    }
}

fn is_of(subjects: &Subjects, account: &str, subject: &str) -> bool {
    let users = subjects.users.get(account);
    users.is_some_and(|users| users.contains(subject))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn write(at_ms: u64, method: Method, path: &str, body: Value) -> RecordedRequest {
        RecordedRequest {
            at_ms,
            took_ms: 1,
            method,
            path: format!("/accounts/api/organizations/o1/{path}"),
            query: Vec::new(),
            headers: Vec::new(),
            body: Some(body),
            status: 200,
            handled: Some(200),
            unexpected: Vec::new(),
        }
    }

    fn entry(at_ms: i64, subject: &str, action: &str, id: &str, ids: &[&str]) -> AuditEntry {
        AuditEntry {
            at_ms,
            subject: subject.to_owned(),
            action: action.to_owned(),
            id: (!id.is_empty()).then(|| id.to_owned()),
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            ..AuditEntry::default()
        }
    }

    fn subjects() -> Subjects {
        Subjects {
            accounts: [("ann".to_owned(), "a1".to_owned())].into(),
            users: [("a1".to_owned(), ["user#u1".to_owned()].into())].into(),
            groups: [("t1".to_owned(), ["group#g1".to_owned()].into())].into(),
        }
    }

    fn missing(writes: &[RecordedRequest], entries: &[AuditEntry]) -> usize {
        unaccounted(writes, 1_000, entries, &subjects()).len()
    }

    #[test]
    fn each_change_needs_its_own_later_entry() {
        let disable = |at| write(at, Method::PUT, "users/a1", json!({"enabled": false}));
        let enable = write(20, Method::PUT, "users/a1", json!({"enabled": true}));
        let disabled = |at| entry(at, "user#u1", "disable_account", "a1", &[]);
        let enabled = entry(1_021, "user#u1", "enable_account", "a1", &[]);
        assert_eq!(missing(&[disable(10)], &[]), 1);
        assert_eq!(missing(&[disable(10)], &[disabled(1_005)]), 1, "too early");
        assert_eq!(missing(&[disable(10)], &[disabled(1_011)]), 0);
        assert_eq!(missing(&[disable(10), disable(11)], &[disabled(1_012)]), 0);
        let twice = [disable(10), enable, disable(30)];
        assert_eq!(missing(&twice, &[enabled.clone(), disabled(1_031)]), 1);
        let all = [disabled(1_011), enabled, disabled(1_031)];
        assert_eq!(missing(&twice, &all), 0);
    }

    #[test]
    fn an_interrupted_entry_covers_the_earliest_change() {
        let enable = |at| write(at, Method::PUT, "users/a1", json!({"enabled": true}));
        let disable = write(20, Method::PUT, "users/a1", json!({"enabled": false}));
        let writes = [enable(10), disable, enable(30)];
        let entries = [
            entry(1_015, "user#u1", AuditEntry::INTERRUPTED, "", &[]),
            entry(1_021, "user#u1", "disable_account", "a1", &[]),
            entry(1_031, "user#u1", "enable_account", "a1", &[]),
        ];
        assert_eq!(missing(&writes, &entries), 0);
        assert_eq!(missing(&writes, &entries[1..]), 1);
    }

    #[test]
    fn an_interrupted_entry_covers_only_its_own_subject() {
        let made = write(10, Method::POST, "users", json!({"username": "Ann"}));
        let of = |subject| entry(1_050, subject, AuditEntry::INTERRUPTED, "", &[]);
        assert_eq!(missing(std::slice::from_ref(&made), &[of("user#u2")]), 1);
        assert_eq!(missing(&[made], &[of("user#u1")]), 0);
    }

    #[test]
    fn a_membership_change_is_recorded_for_the_user_or_the_group() {
        let joined = write(10, Method::PATCH, "teams/t1/members", json!([{"id": "a1"}]));
        let left = write(20, Method::DELETE, "teams/t1/members", json!(["a1"]));
        let by_user = entry(1_015, "user#u1", "join_team", "t1", &[]);
        let by_group = entry(1_025, "group#g1", "remove_members", "t1", &["a1"]);
        assert_eq!(
            missing(&[joined.clone(), left.clone()], &[by_user, by_group]),
            0
        );
        let other = entry(1_025, "group#g1", "remove_members", "t1", &["a2"]);
        assert_eq!(missing(&[joined, left], &[other]), 2);
    }

    #[test]
    fn a_write_without_effect_needs_no_entry() {
        let mut refused = write(10, Method::PUT, "users/a1", json!({"enabled": false}));
        refused.handled = None;
        assert_eq!(missing(&[refused], &[]), 0);
    }
}
