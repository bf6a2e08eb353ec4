//! `explain` says what a push would do, and why.

use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal};
use serde_json::{Value, json};

use super::{APP, Desk};

pub(super) fn actions(of: &Value) -> Vec<&str> {
    of["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| action["action"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn explain_predicts_the_push() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let group = desk.pushed_group("Engineers", &user);

    let foretold = desk
        .on_file(&["explain", "lin@acme.example", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        actions(&foretold),
        ["create_account", "mail_reset", "link", "join_team"]
    );
    assert_eq!(foretold["subject"], format!("user#{user}"));
    assert_eq!(foretold["link"], Value::Null);
    let of_group = desk
        .on_file(&["explain", "Engineers", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(actions(&of_group), ["create_team"]);
    assert!(!desk.wrote(), "explain wrote something");

    let pushed = desk
        .on_file(&["push", "lin_example", "Engineers", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(pushed["results"][0]["status"], "done");
    assert_eq!(pushed["results"][1]["subject"], format!("group#{group}"));
    let team = {
        let world = desk.anypoint.world();
        world.members_of(&world.team_by_name("Engineers").unwrap().id)
    };
    assert_eq!(team, ["lin_example"]);
    desk.wrote();

    for (name, subject) in [(&user, "user"), (&group, "group")] {
        let explained = desk
            .on_file(&["explain", name])
            .await
            .expect(0)
            .says("nothing: both sides are in sync");
        assert!(explained.out.starts_with(subject));
        assert!(
            !explained.out.contains("Given") && !explained.out.contains("acme.example"),
            "more personal data than needed: {}",
            explained.out
        );
    }
    assert!(!desk.wrote());
}

/// A value of the wrong type does not stop a look. `explain` and the log name the attribute, but not its value.
#[tokio::test]
async fn a_profile_value_of_the_wrong_type_is_named() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    let odd = Fault::changed(
        "/api/v1/users/*",
        Some(&user),
        "/profile/firstName",
        json!(["Odd"]),
    );
    desk.okta.traffic().inject(odd);
    desk.wrote();

    let explained = desk
        .on_file(&["explain", &user])
        .await
        .expect(0)
        .says("user.firstName");
    assert!(!explained.out.contains("in sync"), "{}", explained.out);
    let explained = desk.on_file(&["explain", &user, "--json"]).await.expect(0);
    let json = explained.json();
    assert_eq!(json["unread"]["code"], "unreadable", "{json}");

    let pushed = desk.on_file(&["push", &user]).await.expect(0);
    let warning = pushed
        .err
        .lines()
        .find(|line| line.contains("user.firstName"));
    let warning = warning.unwrap_or_else(|| panic!("no warning: {}", pushed.err));
    assert!(warning.contains("WARN") && warning.contains(&user));
    assert!(!pushed.err.contains("Odd") && !pushed.out.contains("Odd"));
    assert!(!desk.wrote(), "nothing is copied");
}

#[tokio::test]
async fn explain_predicts_the_members_of_an_adopted_team() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    let group = desk.pushed_group("Engineers", &user);
    desk.anypoint.world().add_team("engineers", None).unwrap();
    let foretold = desk
        .on_file(&["explain", &group, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(actions(&foretold), ["adopt_team", "add_members"]);
    desk.on_file(&["push", &group]).await.expect(0);
    let world = desk.anypoint.world();
    let team = world.team_by_name("Engineers").unwrap();
    assert_eq!(world.members_of(&team.id), ["lin_example"]);
}

#[tokio::test]
async fn explain_covers_deleted_and_unknown_users() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    desk.okta.world().delete_user(&user).unwrap();
    let explained = desk
        .on_file(&["explain", &user, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(explained["okta"], json!({"exists": false}));
    // Without an announcement, one look is not enough: the finding is a doubt.
    assert_eq!(actions(&explained), Vec::<&str>::new());
    assert_eq!(explained["doubts"][0]["finding"], "no_user");
    let never = desk
        .on_file(&["explain", "00uNEVERSEEN0001", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(actions(&never), Vec::<&str>::new());
    desk.on_file(&["explain", "nobody@acme.example"])
        .await
        .expect(2)
        .says("name it by its Okta id");
}

#[tokio::test]
async fn explain_says_why_an_account_will_be_disabled() {
    type Change = fn(&mut OktaWorld, &str) -> Result<Vec<LogEvent>, Refusal>;
    let changes: [(Change, &str); 4] = [
        (
            |okta, user| okta.suspend(user),
            "(the Okta user is suspended)",
        ),
        (
            |okta, user| {
                okta.unsuspend(user)?;
                okta.unassign(APP, user)
            },
            "Okta does not show the app assignment, seen once at",
        ),
        (
            |okta, user| okta.deactivate(user),
            "(the Okta user is deactivated)",
        ),
        (
            |okta, user| okta.delete_user(user),
            "Okta shows no such user, seen once at",
        ),
    ];
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    for (change, reason) in changes {
        change(&mut desk.okta.world(), &user).unwrap();
        desk.on_file(&["explain", &user])
            .await
            .expect(0)
            .says(reason);
    }
}
