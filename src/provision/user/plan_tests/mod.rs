use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::anypoint::Account;
use crate::event::Change;
use crate::failure::Cause;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject};
use crate::provision::{
    Adopt, Adoption, Announced, FormerOwner, Freed, ImportedNames, NamedAccount, NewPerson, Orphan,
    Release, ResetEmail, Step,
};
use crate::store::{AccountOwner, AgreedProfile, Origin, ResetMail, Tenure, UserLink};

mod account;
mod adoption;
mod evidence;

const USER: &str = "00u1";
const NOW_MS: i64 = 1_790_000_000_000;
const CONFIRM: Duration = Duration::from_secs(15);

fn account(id: &str, username: &str, enabled: bool) -> Account {
    serde_json::from_value(json!({
        "id": id, "username": username, "firstName": "Ann", "lastName": "Lee", "email": "Ann@acme.example",
        "phoneNumber": "1", "enabled": enabled, "idprovider_id": "mulesoft"}))
    .unwrap()
}

fn person() -> Person {
    Person {
        username: Ok("ann".to_owned()),
        first_name: Some("Ann".to_owned()),
        last_name: Some("Lee".to_owned()),
        email: Some("ann@acme.example".to_owned()),
        phone: Some("1".to_owned()),
        unread: Vec::new(),
    }
}

fn link(id: &str, username: &str) -> UserLink {
    UserLink {
        anypoint_id: AccountId::parse(id).unwrap(),
        username: username.to_owned(),
        origin: Origin::Created,
        agreed: None,
        reset_mail: ResetMail::Settled,
    }
}

fn view(wanted: Wanted) -> UserView {
    UserView {
        user: OktaUserId::parse(USER).unwrap(),
        wanted,
        link: None,
        linked: None,
        linked_teams: Vec::new(),
        named: None,
        orphan: Orphan::None,
        groups: GroupsSeen::Whole(HashSet::new()),
        teams: Vec::new(),
    }
}

/// An enabled, linked account that is in sync with Okta.
fn settled() -> UserView {
    UserView {
        link: Some(link("a1", "ann")),
        linked: Some(account("a1", "ann", true)),
        ..view(Wanted::Account(person()))
    }
}

/// The same account, of a user who is to have none any more.
fn unwanted(reason: Unwanted) -> UserView {
    UserView {
        link: Some(link("a1", "ann")),
        linked: Some(account("a1", "ann", true)),
        ..view(Wanted::Nothing(reason))
    }
}

fn named(account: Account) -> Option<NamedAccount> {
    Some(NamedAccount {
        account,
        owner: None,
        freed_from: Ok(None),
        teams: Vec::new(),
        listed: Vec::new(),
    })
}

fn team(id: &str) -> TeamId {
    TeamId::parse(id).unwrap()
}

fn group(id: &str) -> OktaGroupId {
    OktaGroupId::parse(id).unwrap()
}

/// Team `t<n>` of group `00g<n>`, as found.
fn found(n: usize, membership: Membership) -> FoundTeam {
    FoundTeam {
        team: team(&format!("t{n}")),
        group: group(&format!("00g{n}")),
        membership,
    }
}

fn wanted_team(n: usize) -> WantedTeam {
    WantedTeam {
        group: group(&format!("00g{n}")),
        group_name: "Devs".to_owned(),
        team: Some(team(&format!("t{n}"))),
    }
}

/// The user is in these groups, and their teams are wanted.
fn in_groups(view: &mut UserView, groups: &[usize]) {
    let ids = groups.iter().map(|n| group(&format!("00g{n}")));
    view.groups = GroupsSeen::Whole(ids.collect());
    view.teams = groups.iter().map(|n| wanted_team(*n)).collect();
}

fn plan(view: &UserView) -> Vec<String> {
    plan_with(view, &Policy::default())
}

fn plan_with(view: &UserView, policy: &Policy) -> Vec<String> {
    let plan = plan_user(view, policy, &Evidence::first_look()).unwrap();
    assert_eq!(plan.findings.doubted, []);
    steps(&plan)
}

/// Each step as its name and what tells it apart.
fn steps(plan: &UserPlan) -> Vec<String> {
    let told = |step: Step| {
        let mut words = vec![step.action.to_string()];
        words.extend(step.id);
        if !step.fields.is_empty() {
            words.push(step.fields.join(","));
        }
        words.join(" ")
    };
    plan.steps().into_iter().map(told).collect()
}

/// The evidence when nothing was announced and nothing was seen before.
fn first_look() -> Evidence {
    seen(&[])
}

/// The evidence when earlier looks first saw these findings, each this many seconds ago.
fn seen(findings: &[(Finding, i64)]) -> Evidence {
    let before = findings
        .iter()
        .map(|(finding, ago)| (finding.to_string(), NOW_MS - ago * 1_000));
    Evidence::new(Announced::default(), &before.collect(), NOW_MS, CONFIRM)
}

/// The evidence when an event announced it.
fn announced(event_type: &str, group: Option<&str>) -> Evidence {
    let user = Subject::User(OktaUserId::parse(USER).unwrap());
    let mut change = Change::found(user, NOW_MS);
    change.event_type = event_type.to_owned();
    change.group = group.map(|id| OktaGroupId::parse(id).unwrap());
    let announced = Announced::by([&change], None, NOW_MS);
    Evidence::new(announced, &BTreeMap::new(), NOW_MS, CONFIRM)
}

fn plan_on(view: &UserView, evidence: &Evidence) -> UserPlan {
    plan_user(view, &Policy::default(), evidence).unwrap()
}

/// The link that a plan writes, and whether a mail goes out.
fn written(plan: &UserPlan) -> Option<(UserLink, ResetEmail)> {
    match &plan.account {
        AccountPlan::Keep { link, mail, .. } => Some((link.clone()?, *mail)),
        AccountPlan::Adopt(Adoption { link, mail, .. }) => Some((link.clone(), *mail)),
        AccountPlan::Nothing | AccountPlan::Create { .. } => None,
    }
}

/// An account "ann" of user 00u2, who gave it up.
fn freed_by(by: Release) -> UserView {
    let owner = OktaUserId::parse("00u2").unwrap();
    let mut view = view(Wanted::Account(person()));
    view.named = Some(NamedAccount {
        account: account("a2", "ann", true),
        owner: Some(AccountOwner {
            okta_user: owner.clone(),
            tenure: Tenure::Current,
            origin: None,
        }),
        freed_from: Ok(Some(Freed { owner, by })),
        teams: Vec::new(),
        listed: Vec::new(),
    });
    view
}
