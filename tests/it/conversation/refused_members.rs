//! Accounts whose membership of a team Anypoint refuses: what happens to the others, and what the records say.

use http::Method;
use okta_anypoint::ids::{OktaGroupId, Subject};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::traffic::Fault;

use super::conflicts::refusal;
use crate::world::{APP, World, look_at, worker};

/// One account fails the whole call that holds it. The others join and leave, and the record names the one.
#[tokio::test]
async fn one_refused_account_keeps_nobody_else_out_of_a_team_or_in_it() {
    for status in [400, 404, 409, 422] {
        let world = World::new().await;
        let devs = world.okta.world().create_group("Devs").unwrap().id;
        for n in 0..7 {
            let person = world.assigned_user(&format!("pat{n}")).await;
            world.okta_does(|okta| okta.add_member(&devs, &person));
        }
        let group = Subject::Group(OktaGroupId::parse(&devs).unwrap());
        let odd = world.account_id("pat3");
        let own = format!(r#"{{"status":{status},"message":"no"}}"#);
        let refused = Fault::status("/members", status, &own).naming(&odd);
        let refuse = || world.anypoint.traffic().inject(refused.clone());
        let accepts = |fault| world.anypoint.traffic().remove_fault(fault);
        let names_the_one = async |event: &LogEvent| {
            let record = world.record(event).await;
            let error = record.error.unwrap();
            assert!(
                error.contains(&format!("account {odd}")),
                "{status} {error}"
            );
        };
        let fault = refuse();
        let pushed = world.okta_does(|okta| okta.assign_group(APP, &devs));
        world.deliver(&pushed).await;
        assert_eq!(
            world.team("Devs"),
            "pat0 pat1 pat2 pat4 pat5 pat6",
            "{status}"
        );
        names_the_one(&pushed[0]).await;
        accepts(fault);
        look_at(&worker(&world.ports), group.clone()).await;
        assert_eq!(
            world.team("Devs"),
            "pat0 pat1 pat2 pat3 pat4 pat5 pat6",
            "{status}"
        );

        let fault = refuse();
        let ended = world.okta_does(|okta| okta.unassign_group(APP, &devs));
        world.deliver(&ended).await;
        assert_eq!(world.team("Devs"), "pat3", "{status}");
        names_the_one(&ended[0]).await;
        accepts(fault);
        look_at(&worker(&world.ports), group.clone()).await;
        assert_eq!(world.team("Devs"), "", "{status}");
    }
}

/// Their accounts were deleted by hand. Anypoint refuses every call that holds one.
#[tokio::test]
async fn members_whose_accounts_are_gone_keep_nobody_out_of_the_team() {
    const PEOPLE: usize = 22;
    for left in [0, 1] {
        let world = World::new().await;
        let devs = world.okta.world().create_group("Devs").unwrap().id;
        for n in 0..PEOPLE {
            let person = world.assigned_user(&format!("pat{n}")).await;
            world.okta_does(|okta| okta.add_member(&devs, &person));
        }
        for n in left..PEOPLE {
            let account = world.account_id(&format!("pat{n}"));
            world.anypoint().delete_user(&account).unwrap();
        }
        let pushed = world.okta_does(|okta| okta.assign_group(APP, &devs));
        assert_eq!(world.deliver(&pushed).await, 204);
        assert_eq!(world.record(&pushed[0]).await.error, None);
        assert_eq!(world.members("Devs").len(), left);
    }
}

/// "Devs" with four people, before it is pushed. Returns the event of its push, the group and the accounts.
async fn devs_of_four(world: &World) -> (Vec<LogEvent>, Subject, Vec<String>) {
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    let mut accounts = Vec::new();
    for n in 0..4 {
        let person = world.assigned_user(&format!("pat{n}")).await;
        world.okta_does(|okta| okta.add_member(&devs, &person));
        accounts.push(world.account_id(&format!("pat{n}")));
    }
    accounts.sort();
    let pushed = world.okta_does(|okta| okta.assign_group(APP, &devs));
    let group = Subject::Group(OktaGroupId::parse(&devs).unwrap());
    (pushed, group, accounts)
}

const NO: &str = r#"{"status":400,"message":"no"}"#;

#[tokio::test]
async fn a_record_names_every_refused_account() {
    let world = World::new().await;
    let (pushed, _, accounts) = devs_of_four(&world).await;
    for odd in &accounts[1..3] {
        let refused = Fault::status("/members", 400, NO).naming(odd);
        world.anypoint.traffic().inject(refused);
    }
    assert_eq!(world.deliver(&pushed).await, 204);
    let text = refusal(&world, &pushed[0]).await;
    for part in [&accounts[1], &accounts[2], "accounts ", "the rest was done"] {
        assert!(text.contains(part), "{text}");
    }
}

/// Odd accounts that are neighbours are no refused team.
#[tokio::test]
async fn many_refused_accounts_keep_nobody_else_out() {
    const PEOPLE: usize = 40;
    for from_the_end in [false, true] {
        let world = World::new().await;
        let devs = world.okta.world().create_group("Devs").unwrap().id;
        let mut accounts = Vec::new();
        for n in 0..PEOPLE {
            let person = world.assigned_user(&format!("pat{n}")).await;
            world.okta_does(|okta| okta.add_member(&devs, &person));
            accounts.push(world.account_id(&format!("pat{n}")));
        }
        accounts.sort();
        if from_the_end {
            accounts.reverse();
        }
        for odd in &accounts[..25] {
            let refused = Fault::status("/members", 422, NO).naming(odd);
            world.anypoint.traffic().inject(refused);
        }
        let pushed = world.okta_does(|okta| okta.assign_group(APP, &devs));
        world.deliver(&pushed).await;
        assert_eq!(world.members("Devs").len(), PEOPLE - 25);
    }
}

/// Nobody's account is the cause.
#[tokio::test]
async fn a_record_says_that_nothing_was_done_when_a_team_refuses_everybody() {
    let world = World::new().await;
    let (pushed, _, accounts) = devs_of_four(&world).await;
    let refused = Fault::status("/members", 400, NO).on(Method::PATCH);
    world.anypoint.traffic().inject(refused);
    assert_eq!(world.deliver(&pushed).await, 204);
    let text = refusal(&world, &pushed[0]).await;
    assert!(text.contains("no membership was changed"), "{text}");
    for account in accounts {
        assert!(text.contains(&account), "{text}");
    }
}

/// The entries of the audit trail that are about members: how many, and what they are since.
async fn memberships(world: &World, group: &Subject) -> Vec<(Option<usize>, Option<String>)> {
    let history = world.ports.ledger.history(&group.to_string(), 0).await;
    let entries = history.unwrap().into_iter();
    let of_members = entries.filter(|entry| entry.action == "add_members");
    of_members.map(|entry| (entry.count, entry.after)).collect()
}

/// One half of a refused call was accepted before the calls failed for everybody.
#[tokio::test]
async fn the_audit_trail_has_the_half_of_a_call_that_was_accepted() {
    let world = World::new().await;
    let (pushed, group, accounts) = devs_of_four(&world).await;
    let odd = &accounts[3];
    for fault in [
        Fault::status("/members", 400, NO).naming(odd).once(),
        Fault::status("/members", 403, "{}").naming(odd),
    ] {
        world.anypoint.traffic().inject(fault);
    }
    assert_eq!(world.deliver(&pushed).await, 503);
    assert_eq!(world.members("Devs").len(), 2);
    let of_two = (Some(2), Some("member".to_owned()));
    assert_eq!(memberships(&world, &group).await, [of_two]);
}

/// The members joined, and the answer to it cannot be read.
#[tokio::test]
async fn a_call_with_an_unreadable_answer_is_in_doubt_and_is_not_sent_in_halves() {
    let world = World::new().await;
    let (pushed, group, _) = devs_of_four(&world).await;
    let strange = Fault::status("/members", 200, r#"{"odd":1}"#).on(Method::PATCH);
    let strange = world.anypoint.traffic().inject(strange.after_effect());
    assert_eq!(world.deliver(&pushed).await, 503);
    assert_eq!(world.anypoint.traffic().fired(strange), 1);
    assert_eq!(world.members("Devs").len(), 4);
    let of_four = (Some(4), Some("not known".to_owned()));
    assert_eq!(memberships(&world, &group).await, [of_four]);
}
