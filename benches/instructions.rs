//! What `tools/guard instructions` counts: reading a delivery of 100 events, or planning 1,000 users, as often
//! as it is told. The difference between two runs is what that work costs, without start and preparation.
//!
//! ```sh
//! instructions parse 20
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sample;

use std::hint::black_box;

use okta_anypoint::event::read_delivery;
use okta_anypoint::ids::{AccountId, OktaAppId, OktaGroupId, OktaUserId, TeamId};
use okta_anypoint::provision::{
    AccountPlan, Evidence, FoundTeam, GroupsSeen, Membership, Orphan, Person, Policy, Unwanted,
    UserPlan, UserView, Wanted, WantedTeam, plan_user,
};
use okta_anypoint::store::{Origin, ResetMail, UserLink};
use serde_json::json;

const EVENTS: usize = 100;
const USERS: usize = 1_000;

/// A user of one of four kinds, by number: in sync, with another name, about to get an account, about to lose it.
fn view(n: usize) -> UserView {
    let (username, id) = (format!("user-{n}"), format!("account-{n}"));
    let first_name = if n % 4 == 1 { "Anna" } else { "Ann" };
    let person = Person {
        username: Ok(username.clone()),
        first_name: Some(first_name.to_owned()),
        last_name: Some("Example".to_owned()),
        email: Some(format!("{username}@acme.example")),
        unread: Vec::new(),
        phone: None,
    };
    let account = json!({
        "id": id, "username": username, "firstName": "Ann", "lastName": "Example",
        "email": format!("{username}@acme.example"), "enabled": true, "idprovider_id": "mulesoft",
    });
    let is_linked = n % 4 != 2;
    let team = |k: usize| TeamId::parse(format!("team-{k}")).unwrap();
    let group = |k: usize| OktaGroupId::parse(format!("00g{k:017}")).unwrap();
    let teams = n..n + 3;
    UserView {
        user: OktaUserId::parse(format!("00u{n:017}")).unwrap(),
        wanted: match n % 4 {
            3 => Wanted::Nothing(Unwanted::NotAssigned),
            _ => Wanted::Account(person),
        },
        link: is_linked.then(|| UserLink {
            anypoint_id: AccountId::parse(id).unwrap(),
            username,
            origin: Origin::Created,
            agreed: None,
            reset_mail: ResetMail::Settled,
        }),
        linked: is_linked.then(|| serde_json::from_value(account).unwrap()),
        linked_teams: teams
            .clone()
            .filter(|_| is_linked)
            .map(|k| FoundTeam {
                team: team(k),
                group: group(k),
                membership: Membership::Ours,
            })
            .collect(),
        named: None,
        orphan: Orphan::None,
        groups: GroupsSeen::Whole(teams.clone().map(group).collect()),
        teams: teams
            .map(|k| WantedTeam {
                group: group(k),
                group_name: format!("Team {k}"),
                team: Some(team(k)),
            })
            .collect(),
    }
}

fn does_something(plan: &UserPlan) -> bool {
    match &plan.account {
        AccountPlan::Nothing => plan.retire.is_some(),
        AccountPlan::Keep { changes, .. } => !changes.is_empty(),
        AccountPlan::Adopt { .. } | AccountPlan::Create { .. } => true,
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let work = arguments.next().unwrap();
    let times: usize = arguments.next().unwrap().parse().unwrap();
    match work.as_str() {
        "parse" => {
            let body = sample::delivery(EVENTS);
            let app = OktaAppId::parse("0oaANYPOINT1demo").unwrap();
            for _ in 0..times {
                let reading =
                    read_delivery(black_box(&body), &app, "2026-03-02T09:15:14Z").unwrap();
                assert_eq!(black_box(reading).changes.len(), EVENTS);
            }
        }
        "plan" => {
            let views: Vec<UserView> = (0..USERS).map(view).collect();
            let policy = Policy::default();
            let evidence = Evidence::first_look();
            for _ in 0..times {
                let plans = views
                    .iter()
                    .map(|view| plan_user(black_box(view), &policy, &evidence).unwrap())
                    .filter(does_something);
                assert_eq!(plans.count(), USERS / 4 * 3);
            }
        }
        other => panic!("{other} is not known here"),
    }
}
