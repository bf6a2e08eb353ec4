//! Observations during a history, and when everything is quiet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::{AccountId, OktaGroupId};
use okta_anypoint::ledger::{Filter, Record, Status};
use okta_anypoint::provision::Policy;
use okta_anypoint::simulator::anypoint::{AnypointWorld, NATIVE};
use okta_anypoint::simulator::okta::OktaWorld;
use okta_anypoint::store::{TeamLink, Tenure, UserLink};

use super::Rig;
use crate::audited::{self, Subjects};
use crate::properties::hand::Hand;
use crate::properties::model::TRUE_REASONS;
use crate::properties::wronged::Case;

/// The final observations, for the model.
pub struct End {
    pub policy: Policy,
    pub okta: OktaWorld,
    pub anypoint: AnypointWorld,
    pub user_links: HashMap<String, UserLink>,
    pub team_links: HashMap<String, TeamLink>,
    /// Every account that was ever linked, with its last owner and tenure.
    pub owners: HashMap<String, (String, Tenure)>,
    /// The record of the last look at each subject.
    pub last_looks: HashMap<String, Record>,
    pub users: Vec<String>,
    pub groups: Vec<String>,
    pub emails: HashMap<String, BTreeSet<String>>,
    pub hand: Hand,
    pub teams_ever_linked: BTreeSet<String>,
    pub teams_deleted_by_program: BTreeSet<String>,
    /// The first e-mail address seen for each account.
    pub account_emails: BTreeMap<String, String>,
}

impl Rig {
    /// Everything that must be recorded while it exists.
    pub(super) async fn watch(&mut self) {
        for (group, link) in self.all_team_links().await {
            let team = link.team_id.to_string();
            let groups = self.groups_ever.entry(team.clone()).or_default();
            groups.insert(group.to_string());
            self.teams_ever_linked.insert(team);
        }
        for (account, (owner, _)) in self.owners().await {
            self.owners_ever.entry(account).or_default().insert(owner);
        }
        let anypoint = self.world.anypoint.world();
        for user in anypoint.users.values() {
            self.account_emails
                .entry(user.id.clone())
                .or_insert_with(|| user.email.clone());
        }
    }

    pub(super) async fn all_team_links(&self) -> HashMap<OktaGroupId, TeamLink> {
        self.world.table.store.all_team_links().await.unwrap()
    }

    pub async fn owners(&self) -> HashMap<String, (String, Tenure)> {
        let accounts: Vec<AccountId> = {
            let anypoint = self.world.anypoint.world();
            let ids = anypoint.users.keys().chain(anypoint.deleted_users.keys());
            ids.map(|id| AccountId::parse(id.clone()).unwrap())
                .collect()
        };
        let owners = self.world.table.store.account_owners(&accounts).await;
        owners
            .unwrap()
            .into_iter()
            .map(|(account, owner)| {
                (
                    account.to_string(),
                    (owner.okta_user.to_string(), owner.tenure),
                )
            })
            .collect()
    }

    /// Checks that every accepted event is done, or failed for a true reason. Returns the number of failures.
    pub async fn check_records(&mut self) -> usize {
        let records = self.records().await;
        let recorded: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
        for uuid in &self.taken {
            if !recorded.contains(uuid.as_str()) {
                self.problems.push(format!(
                    "event {uuid} was taken, and there is no record of it"
                ));
            }
        }
        for record in &records {
            if !settled(record) {
                self.problems.push(format!("an event is left: {record:?}"));
            }
            let text = record.error.as_deref().unwrap_or_default();
            let is_true = TRUE_REASONS.iter().any(|words| text.contains(words));
            if record.status == Status::Failed && !is_true {
                self.problems
                    .push(format!("a failure of no known kind: {text}"));
            }
        }
        let failed = records
            .iter()
            .filter(|record| record.status == Status::Failed);
        failed.count()
    }

    /// Checks that no request was undocumented, and that none did something forbidden.
    pub fn check_traffic(&mut self) {
        for traffic in [self.world.okta.traffic(), self.world.anypoint.traffic()] {
            self.problems.extend(traffic.unexpected());
            self.counts.requests += traffic.log().len();
        }
        for call in self.world.anypoint.traffic().writes() {
            let updates_address = call.method == Method::PUT
                && call
                    .body
                    .as_ref()
                    .is_some_and(|body| body.get("email").is_some());
            let deletes_account = call.method == Method::DELETE
                && call.path.contains("/users/")
                && !call.path.contains("/teams/");
            if updates_address || deletes_account {
                self.problems
                    .push(format!("{} {} {:?}", call.method, call.path, call.body));
            }
        }
        let okta_writes = self.world.okta.traffic().writes().len();
        if okta_writes > 0 {
            self.problems.push(format!("{okta_writes} writes to Okta"));
        }
    }

    /// Checks that nobody lost access whom Okta always wanted, and that the audit trail has every change.
    pub async fn check_losses_and_audit(&mut self) {
        let epoch_ms = self.world.anypoint.traffic().started_ms();
        let mut writes = self.world.anypoint.traffic().writes();
        for call in &mut writes {
            let real_ms = epoch_ms + i64::try_from(call.at_ms).unwrap();
            call.at_ms = u64::try_from(self.program_ms(real_ms) - epoch_ms).unwrap();
        }
        let names: HashMap<String, String> = {
            let anypoint = self.world.anypoint.world();
            let all = anypoint
                .users
                .values()
                .chain(anypoint.deleted_users.values());
            all.filter(|user| user.idprovider_id == NATIVE)
                .map(|user| (user.id.clone(), user.username.to_lowercase()))
                .collect()
        };
        let ledger = &self.world.table.ledger;
        let records = ledger.records(&Filter::default()).await.unwrap();
        let mut entries = self.audit_entries().await;
        entries.sort_by_key(|entry| entry.at_ms);
        let case = Case {
            entries: &entries,
            policy: &self.policy,
            wanted: &self.wanted,
            writes: &writes,
            epoch_ms,
            names: names.clone(),
            owners: &self.owners_ever,
            groups: &self.groups_ever,
            events: &self.world.okta.world().log.clone(),
            records: records
                .iter()
                .map(|record| (record.uuid(), record))
                .collect(),
            was_stale: self.faults.was_stale,
        };
        let losses = case.judge();
        self.counts.disabled += losses.accounts;
        self.counts.taken_out += losses.members;
        self.counts.wrongful += losses.wrongful.len();
        self.problems.extend(losses.wrongful);

        let subject = |kind: &str, ids: &BTreeSet<String>| -> BTreeSet<String> {
            ids.iter().map(|id| format!("{kind}#{id}")).collect()
        };
        let users = names.iter().map(|(account, name)| {
            let mut users = self.wanted.users_of(name);
            users.extend(self.owners_ever.get(account).into_iter().flatten().cloned());
            (account.clone(), subject("user", &users))
        });
        let groups = self.groups_ever.iter();
        let subjects = Subjects {
            users: users.collect(),
            groups: groups
                .map(|(team, groups)| (team.clone(), subject("group", groups)))
                .collect(),
            accounts: names.into_iter().map(|(id, name)| (name, id)).collect(),
        };
        self.counts.audited += writes.iter().filter(|call| call.had_effect()).count();
        let unaccounted = audited::unaccounted(&writes, epoch_ms, &entries, &subjects);
        self.problems.extend(unaccounted);
    }

    pub fn successful_writes(&self) -> usize {
        let writes = self.world.anypoint.traffic().writes();
        writes
            .iter()
            .filter(|call| (200..300).contains(&call.status))
            .count()
    }

    /// The last successful writes, for reports.
    pub fn last_writes(&self, n: usize) -> Vec<String> {
        let writes = self.world.anypoint.traffic().writes();
        let done = writes
            .iter()
            .rev()
            .filter(|call| (200..300).contains(&call.status));
        done.take(n)
            .map(|call| format!("{} {} {:?}", call.method, call.path, call.body))
            .collect()
    }

    /// All writes at Anypoint, for a trace.
    pub fn tell_writes(&self) {
        for call in self.world.anypoint.traffic().writes() {
            let mut body = call.body.unwrap_or_default();
            if let Some(fields) = body.as_object_mut() {
                fields.remove("password");
            }
            tracing::debug!(
                "at {} ms, {} ms long: {} {} {} {body}",
                call.at_ms,
                call.took_ms,
                call.status,
                call.method,
                call.path,
            );
        }
    }

    pub async fn end(&mut self, policy: &Policy, last_looks: HashMap<String, Record>) -> End {
        let owners = self.owners().await;
        let store = &self.world.table.store;
        let user_links = store.all_user_links().await.unwrap();
        let team_links = store.all_team_links().await.unwrap();
        let deleted = self
            .world
            .anypoint
            .traffic()
            .writes()
            .into_iter()
            .filter(|call| call.method == Method::DELETE && !call.path.ends_with("/members"))
            .filter_map(|call| call.path.split("/teams/").nth(1).map(str::to_owned));
        End {
            policy: policy.clone(),
            okta: self.world.okta.world().clone(),
            anypoint: self.world.anypoint.world().clone(),
            user_links: user_links
                .into_iter()
                .map(|(user, link)| (user.to_string(), link))
                .collect(),
            team_links: team_links
                .into_iter()
                .map(|(group, link)| (group.to_string(), link))
                .collect(),
            owners,
            last_looks,
            users: self.users.clone(),
            groups: self.groups.clone(),
            emails: self.emails.clone(),
            hand: self.hand.clone(),
            teams_ever_linked: self.teams_ever_linked.clone(),
            teams_deleted_by_program: deleted.collect(),
            account_emails: self.account_emails.clone(),
        }
    }

    /// The result of every event, without reconciles of cut-off runs.
    pub async fn records(&self) -> Vec<Record> {
        let records = self.world.table.ledger.records(&Filter::default()).await;
        records
            .unwrap()
            .into_iter()
            .filter(|record| record.event_type != "reconcile")
            .collect()
    }
}

pub fn settled(record: &Record) -> bool {
    match record.status {
        Status::Done | Status::Held | Status::Resolved => true,
        Status::Failed => record.error_class == Some(Class::Permanent),
        Status::InProgress | Status::Waiting => false,
    }
}
