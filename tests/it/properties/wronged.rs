//! When Okta wanted whom, and who lost access wrongfully.
//!
//! A loss is wrongful if Okta wanted the account, or the membership, at every moment since the program last gave it.
//! Then no look in between can have seen the contrary. A loss does not count while an earlier event that announced it
//! is open: an announcement counts at once, and the person may have come back since. The owner of the account or team
//! must be certain, too. So every counted loss is certainly wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use http::Method;
use okta_anypoint::ledger::{AuditEntry, Record};
use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, UserStatus};
use okta_anypoint::simulator::traffic::RecordedRequest;

use super::model::Wish;

/// How far two readings of one clock may differ, in milliseconds.
const CLOCK_MS: i64 = 2;
/// How far the clocks of the program and of this test may differ, in milliseconds.
const SLACK_MS: i64 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    /// A user's account of this name, in lower case.
    Account(String, String),
    /// A user's place in the team of a group.
    Member(String, String),
}

#[derive(Debug)]
struct Span {
    access: Access,
    from_ms: i64,
    to_ms: i64,
}

/// What Okta wanted, in periods that are too short rather than too long.
#[derive(Default)]
pub struct Wanted {
    since: BTreeMap<Access, i64>,
    over: Vec<Span>,
    /// Users with an answer of Okta that ends an account at the first look.
    said: BTreeSet<String>,
}

impl Wanted {
    /// Records a change in Okta: the old state lasted until `before_ms`, and the new one begins at `now_ms`.
    pub fn note(&mut self, okta: &OktaWorld, policy: &Policy, before_ms: i64, now_ms: i64) {
        let wish = Wish { okta, policy };
        let mut now = BTreeSet::new();
        for user in okta.users.values() {
            if matches!(
                user.status,
                UserStatus::Suspended | UserStatus::Deprovisioned
            ) {
                self.said.insert(user.id.clone());
            }
            if wish.user(&user.id).is_none() {
                continue;
            }
            if let Ok(name) = wish.username(&user.id) {
                now.insert(Access::Account(user.id.clone(), name.to_lowercase()));
                let groups = okta.groups.values();
                let of_user = groups.filter(|group| group.members.contains(&user.id));
                let pushed = of_user.filter(|group| wish.group(&group.id).is_some());
                now.extend(pushed.map(|group| Access::Member(user.id.clone(), group.id.clone())));
            }
        }
        let ended: Vec<Access> = self
            .since
            .keys()
            .filter(|access| !now.contains(access))
            .cloned()
            .collect();
        for access in ended {
            let from_ms = self.since.remove(&access).unwrap_or(now_ms);
            self.over.push(Span {
                access,
                from_ms,
                to_ms: before_ms,
            });
        }
        for access in now {
            self.since.entry(access).or_insert(now_ms);
        }
    }

    /// The users who were ever to have an account with this name.
    pub fn users_of(&self, username: &str) -> BTreeSet<String> {
        let all = self
            .since
            .keys()
            .chain(self.over.iter().map(|span| &span.access));
        all.filter_map(|access| match access {
            Access::Account(user, name) if name.eq_ignore_ascii_case(username) => {
                Some(user.clone())
            }
            _ => None,
        })
        .collect()
    }

    fn is_wanted(&self, access: &Access, from_ms: i64, to_ms: i64) -> bool {
        let still = self.since.get(access).is_some_and(|from| *from <= from_ms);
        let was =
            |span: &Span| span.access == *access && span.from_ms <= from_ms && to_ms <= span.to_ms;
        still || self.over.iter().any(was)
    }

    /// Whether Okta ever reported a status of this user that ends the account, or another username.
    fn ever_said(&self, user: &str) -> bool {
        let of_user = |access: &&Access| matches!(access, Access::Account(of, _) if of == user);
        let over = self.over.iter().map(|span| &span.access);
        let names: BTreeSet<&Access> = self.since.keys().chain(over).filter(of_user).collect();
        self.said.contains(user) || names.len() > 1
    }
}

/// What is known at the end of a history.
pub struct Case<'a> {
    pub policy: &'a Policy,
    pub wanted: &'a Wanted,
    pub writes: &'a [RecordedRequest],
    /// When the simulator started.
    pub epoch_ms: i64,
    /// Usernames of accounts, in lower case.
    pub names: HashMap<String, String>,
    /// Everybody who ever had an account, and every group that ever had a team.
    pub owners: &'a BTreeMap<String, BTreeSet<String>>,
    pub groups: &'a BTreeMap<String, BTreeSet<String>>,
    pub events: &'a [LogEvent],
    pub records: HashMap<&'a str, &'a Record>,
    pub entries: &'a [AuditEntry],
    /// Whether Okta ever showed old data as current, which counts at the first look.
    pub was_stale: bool,
}

/// All losses, and the wrongful ones among them.
#[derive(Default)]
pub struct Losses {
    pub accounts: usize,
    pub members: usize,
    pub wrongful: Vec<String>,
}

impl Case<'_> {
    pub fn judge(&self) -> Losses {
        let mut losses = Losses::default();
        let mut writes: Vec<&RecordedRequest> = self.writes.iter().collect();
        writes.sort_by_key(|call| call.at_ms);
        // When the program last gave each account, and each membership.
        let mut given: HashMap<String, i64> = HashMap::new();
        for call in writes {
            let at_ms = self.epoch_ms + i64::try_from(call.at_ms).unwrap();
            let path = call.path.split("/organizations/").nth(1).unwrap_or("");
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let body = call.body.clone().unwrap_or_default();
            match (&call.method, parts.as_slice()) {
                (&Method::POST, ["users"]) => {
                    let name = body["username"].as_str().unwrap().to_lowercase();
                    let made = self.names.iter().find(|(_, username)| **username == name);
                    if let Some((account, _)) = made {
                        given.insert(account.clone(), at_ms);
                    }
                }
                (&Method::PUT, ["users", account]) => match body["enabled"].as_bool() {
                    Some(true) => {
                        given.insert((*account).to_owned(), at_ms);
                    }
                    Some(false) => {
                        losses.accounts += 1;
                        let since = given.get(*account).copied();
                        if self.was_linked(account, at_ms)
                            && self.is_wrongful(account, None, since, at_ms)
                        {
                            losses.wrongful.push(self.told("the account", call));
                        }
                    }
                    None => {}
                },
                (&Method::PATCH, ["teams", team, "members"]) => {
                    for item in body.as_array().into_iter().flatten() {
                        let account = item["id"].as_str().unwrap();
                        given.insert(format!("{team} {account}"), at_ms);
                    }
                }
                (&Method::DELETE, ["teams", team, "members"]) => {
                    for item in body.as_array().into_iter().flatten() {
                        losses.members += 1;
                        self.member(item.as_str().unwrap(), team, &given, call, &mut losses);
                    }
                }
                (&Method::DELETE, ["teams", team]) => {
                    let of_team = |key: &&String| key.starts_with(&format!("{team} "));
                    let accounts = given.keys().filter(of_team);
                    let accounts = accounts.filter_map(|key| key.split(' ').nth(1));
                    for account in accounts.map(str::to_owned).collect::<Vec<_>>() {
                        self.member(&account, team, &given, call, &mut losses);
                    }
                    losses.members += 1;
                }
                _ => {}
            }
        }
        losses
    }

    /// Whether the account was linked before. An orphaned account has no owner yet, and the next run disables it until it
    /// is linked.
    fn was_linked(&self, account: &str, at_ms: i64) -> bool {
        self.entries.iter().any(|entry| {
            entry.at_ms < at_ms && entry.action == "link" && entry.id.as_deref() == Some(account)
        })
    }

    fn member(
        &self,
        account: &str,
        team: &str,
        given: &HashMap<String, i64>,
        call: &RecordedRequest,
        losses: &mut Losses,
    ) {
        let at_ms = self.epoch_ms + i64::try_from(call.at_ms).unwrap();
        let since = given.get(&format!("{team} {account}")).copied();
        if self.is_wrongful(account, Some(team), since, at_ms) {
            losses
                .wrongful
                .push(self.told(&format!("{account} the place"), call));
        }
    }

    fn is_wrongful(
        &self,
        account: &str,
        team: Option<&str>,
        since_ms: Option<i64>,
        at_ms: i64,
    ) -> bool {
        let (Some(since_ms), Some(name)) = (since_ms, self.names.get(account)) else {
            return false;
        };
        let only = |all: Option<&BTreeSet<String>>| {
            let mut all = all?.iter();
            all.next().filter(|_| all.next().is_none()).cloned()
        };
        let Some(user) = only(self.owners.get(account)) else {
            return false;
        };
        let group = match team {
            None => None,
            Some(team) => match only(self.groups.get(team)) {
                Some(group) => Some(group),
                None => return false,
            },
        };
        let mut wanted = vec![Access::Account(user.clone(), name.clone())];
        wanted.extend(
            group
                .clone()
                .map(|group| Access::Member(user.clone(), group)),
        );
        let always = wanted
            .iter()
            .all(|access| self.wanted.is_wanted(access, since_ms, at_ms + CLOCK_MS));
        let was_said = self.was_stale && self.wanted.ever_said(&user);
        always && !was_said && !self.end_was_open(&user, group.as_deref(), at_ms)
    }

    /// Whether an event that announces the removal was still open.
    fn end_was_open(&self, user: &str, group: Option<&str>, at_ms: i64) -> bool {
        let of_user = [
            "application.user_membership.remove",
            "user.lifecycle.suspend",
            "user.lifecycle.deactivate",
            "user.lifecycle.delete.initiated",
        ];
        let of_group = [
            "group.user_membership.remove",
            "group.lifecycle.delete",
            "group.application_assignment.remove",
        ];
        let by_name = matches!(self.policy.groups, GroupSelection::Named(_));
        self.events.iter().any(|event| {
            let kind = event.event_type.as_str();
            let about = |id: &str| event.targets.iter().any(|target| target.id == id);
            let announces = (of_user.contains(&kind) && about(user))
                || (of_group.contains(&kind) && group.is_some_and(about))
                || (by_name && kind == "group.profile.update" && group.is_some_and(about));
            announces
                && event.published_ms <= at_ms
                && self
                    .records
                    .get(event.uuid.as_str())
                    .is_some_and(|record| record.updated_at_ms >= at_ms - SLACK_MS)
        })
    }

    fn told(&self, what: &str, call: &RecordedRequest) -> String {
        let at_ms = self.epoch_ms + i64::try_from(call.at_ms).unwrap();
        let next = self.entries.iter().find(|entry| entry.at_ms >= at_ms);
        format!(
            "wrongful loss: Okta wanted {what} all the time: {} {} {} at {} ms; next in the audit trail: {next:?}",
            call.method,
            call.path,
            call.body.clone().unwrap_or_default(),
            call.at_ms
        )
    }
}
