//! Contract §4: what a membership costs, and groups with many members.

use okta_anypoint::ids::AccountId;
use okta_anypoint::provision::Policy;
use okta_anypoint::store::{Origin, ResetMail, UserLink};
use okta_anypoint::worker::Pace;

use crate::world::{APP, World, look_at_group, worker};

#[tokio::test]
async fn a_membership_costs_the_same_in_a_group_of_any_size() {
    let mut costs = Vec::new();
    for size in [1, 300] {
        let world = World::new().await;
        let devs = world.pushed_group("Devs").await;
        let ann = world.assigned_user("ann").await;
        {
            let mut okta = world.okta.world();
            for n in 0..size {
                let login = format!("m{n}@acme.example");
                let id = okta
                    .create_user(&login, "M", "Ember", &login, None)
                    .unwrap()
                    .id;
                okta.add_member(&devs, &id).unwrap();
            }
        }
        let events = world.okta_does(|okta| okta.add_member(&devs, &ann));
        let membership: Vec<_> = events
            .into_iter()
            .filter(|event| event.event_type == "group.user_membership.add")
            .collect();
        world.forget_traffic();
        assert_eq!(world.deliver(&membership).await, 204);
        let calls = world.calls();
        assert!(
            calls
                .iter()
                .all(|call| !call.contains(&format!("{devs}/users"))),
            "{calls:#?}"
        );
        costs.push(calls.len());
    }
    assert_eq!(costs[0], costs[1], "calls for a group of 1 and of 300");
}

#[tokio::test]
async fn a_large_group_is_written_in_batches_of_a_hundred() {
    let real_time = std::time::Duration::from_millis(2_300);
    let world = World::with_pace(Policy::default(), Pace::INLINE, real_time).await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    {
        let mut okta = world.okta.world();
        for n in 0..250 {
            let login = format!("u_{n}@acme.example");
            let user = okta
                .create_user(&login, "U", "Ser", &login, None)
                .unwrap()
                .id;
            okta.add_member(&devs, &user).unwrap();
        }
    }
    let events = world.okta_does(|okta| okta.assign_group(APP, &devs));
    // Everybody gets an account and joins. That takes longer than Okta waits, so each delivery continues where the one
    // before was cut off.
    let mut answers = Vec::new();
    while answers.last() != Some(&204) && answers.len() < 50 {
        answers.push(world.deliver(&events).await);
    }
    assert_eq!(answers.last(), Some(&204), "{answers:?}");
    // Then all are removed, and one look adds them again.
    let team = world.team_id("Devs");
    let members: Vec<String> = world.anypoint().members_of(&team);
    assert_eq!(members.len(), 250);
    for username in &members {
        let id = world.account_id(username);
        world.anypoint().remove_member(&team, &id).unwrap();
    }
    world.forget_traffic();
    world.when(|okta| okta.rename_group(&devs, "Devs2")).await;
    assert_eq!(world.team("Devs2").split(' ').count(), 250);
    let patches = world
        .calls()
        .iter()
        .filter(|call| call.ends_with("/members") && call.starts_with("PATCH"))
        .count();
    assert_eq!(patches, 3);
}

/// One invocation of the worker is enough, and its calls are few.
#[tokio::test]
async fn five_thousand_members_are_one_change() {
    const MEMBERS: usize = 5_000;
    let world = World::new().await;
    let group = world.okta.world().create_group("Everybody").unwrap().id;
    for n in 0..MEMBERS {
        let username = format!("user_{n}");
        let login = format!("{username}@acme.example");
        let user = {
            let mut okta = world.okta.world();
            let user = okta
                .create_user(&login, "U", "Ser", &login, None)
                .unwrap()
                .id;
            okta.add_member(&group, &user).unwrap();
            okta.assign_with_username(APP, &user, &username).unwrap();
            user
        };
        let account = world
            .anypoint()
            .add_user(&username, "U", "Ser", &login)
            .unwrap();
        let link = UserLink {
            anypoint_id: AccountId::parse(account).unwrap(),
            username,
            origin: Origin::Created,
            agreed: None,
            reset_mail: ResetMail::Settled,
        };
        crate::world::link(&world.table, &user, &link).await;
    }
    world.okta_does(|okta| okta.assign_group(APP, &group));
    world.forget_traffic();
    look_at_group(&worker(&world.ports), &group).await;
    let team = world.team_id("Everybody");
    assert_eq!(world.anypoint().members_of(&team).len(), MEMBERS);
    let calls = world.calls();
    let of = |method: &str| calls.iter().filter(|call| call.starts_with(method)).count();
    assert_eq!(of("PATCH"), MEMBERS / 100);
    // Pages of 200 members and of 500 assignments, twice: the second look finds nothing left to do.
    assert!(calls.len() < 200, "{}", calls.len());
}
