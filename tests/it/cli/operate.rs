use std::process::{Command, Stdio};
use std::time::Duration;

use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal};
use serde_json::{Value, json};

use super::{APP, Desk, PROGRAM};

fn actions(of: &Value) -> Vec<&str> {
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

/// The emergency push skips every wait and records its reason.
#[tokio::test]
async fn an_emergency_push_records_its_reason() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    desk.okta.world().unassign(APP, &user).unwrap();
    desk.on_file(&["push", "--now", &user]).await.expect(2);
    desk.on_file(&["push", "--reason", "leaver", &user])
        .await
        .expect(2);
    let now = [
        "push",
        "--now",
        "--reason",
        "leaver, ticket 4711",
        &user,
        "--json",
    ];
    let pushed = desk.on_file(&now).await.expect(0).json();
    assert_eq!(pushed["results"][0]["status"], "done");
    assert!(!desk.is_enabled("lin_example"));
    let explained = desk
        .on_file(&["explain", &user, "--json"])
        .await
        .expect(0)
        .json();
    let events = explained["events"].as_array().unwrap();
    let reasons: Vec<&Value> = events.iter().map(|event| &event["reason"]).collect();
    assert!(
        reasons.contains(&&json!("leaver, ticket 4711")),
        "{events:?}"
    );
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

#[tokio::test]
async fn a_failure_is_found_explained_and_replayed() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin@acme.example");
    desk.assigned("kim", "kim_example");
    desk.on_file(&["push", "kim_example"]).await.expect(0);
    desk.on_file(&["push", "lin@acme.example"])
        .await
        .expect(1)
        .says("USERNAME_POLICY=sanitize");

    let failed = desk
        .on_file(&["events", "--failed", "--json"])
        .await
        .expect(0)
        .json();
    let failed = failed["events"].as_array().unwrap().clone();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["subject"], format!("user#{user}"));
    assert_eq!(failed[0]["error_class"], "permanent");
    let uuid = failed[0]["id"].as_str().unwrap();
    desk.on_file(&["events", "--failed"])
        .await
        .expect(0)
        .says(&format!(
            "okta-anypoint replay {uuid} --data {}",
            desk.data.display()
        ));
    let explained = desk
        .on_file(&["explain", &user, "--json"])
        .await
        .expect(1)
        .json();
    assert_eq!(explained["failure"]["side"], "okta");
    assert!(explained["failure"]["advice"].is_string());
    desk.on_file(&["explain", &user])
        .await
        .expect(1)
        .says("What to do:");

    // `serve` had turned its message into a dead letter.
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let sql = "INSERT INTO messages (uuid, subject, body, sent_at_ms, visible_at_ms, dead) \
               VALUES (?1, 'user#x', '{}', 0, 0, 1), ('another', 'user#x', '{}', 0, 0, 1)";
    file.execute(sql, [uuid]).unwrap();
    let dead_letters = || -> u32 {
        let sql = "SELECT COUNT(*) FROM messages WHERE dead = 1";
        file.query_row(sql, [], |row| row.get(0)).unwrap()
    };

    // Nothing has changed, so it fails again. Then the cause is fixed.
    desk.on_file(&["replay", uuid]).await.expect(1);
    assert_eq!(dead_letters(), 2);
    let fixed = desk
        .okta
        .world()
        .set_app_username(super::APP, &user, "lin_example");
    fixed.unwrap();
    let replayed = desk
        .on_file(&["replay", uuid, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        replayed["results"],
        json!([{"uuid": uuid, "subject": format!("user#{user}"), "status": "done", "error": null}])
    );
    assert_eq!(dead_letters(), 1, "done in another way");
    let done = desk
        .on_file(&["events", "--status", "done", "--subject", &user, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(done["events"][0]["id"], uuid);
    assert_eq!(done["events"][0]["attempts"], 3);
    // A done event can be replayed, too.
    desk.on_file(&["replay", uuid]).await.expect(0);
    desk.on_file(&["replay", "no-such-event"])
        .await
        .expect(2)
        .says("okta-anypoint events");
}

#[tokio::test]
async fn events_are_filtered() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let kim = desk.assigned("kim", "kim_example");
    desk.on_file(&["push", "lin_example", "kim_example"])
        .await
        .expect(0);
    let count = async |arguments: &[&str]| {
        let mut all = vec!["events", "--json"];
        all.extend(arguments);
        let listed = desk.on_file(&all).await.expect(0).json();
        listed["events"].as_array().unwrap().len()
    };
    assert_eq!(count(&[]).await, 2);
    assert_eq!(count(&["--failed"]).await, 0);
    assert_eq!(count(&["--status", "in_progress"]).await, 0);
    assert_eq!(count(&["--subject", "kim_example"]).await, 1);
    assert_eq!(count(&["--subject", &format!("user#{kim}")]).await, 1);
    assert_eq!(count(&["--since", "1h"]).await, 2);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(count(&["--since", "0s"]).await, 0);
    desk.on_file(&["events", "--since", "soon"])
        .await
        .expect(2)
        .says("90s, 30m, 12h or 7d");
    desk.on_file(&["events", "--failed", "--status", "done"])
        .await
        .expect(2);
}

#[tokio::test]
async fn a_name_must_be_unique() {
    let desk = Desk::new().await;
    let user = desk.assigned("ops", "ops_person");
    let group = desk.pushed_group("ops", &user);
    desk.on_file(&["explain", "ops"])
        .await
        .expect(2)
        .says(&user)
        .says(&group);
    desk.on_file(&["push", "ops"]).await.expect(2).says(&group);
    assert!(!desk.wrote());
    for name in ["ops@acme.example", "ops_person", "OPS_PERSON", &user] {
        let explained = desk.on_file(&["explain", name, "--json"]).await.expect(0);
        assert_eq!(explained.json()["subject"], format!("user#{user}"));
    }
    // The command needs a user, so the group does not count.
    desk.on_file(&["unlink", "ops"]).await.expect(0);
}

#[tokio::test]
async fn accounts_are_linked_and_unlinked_by_hand() {
    let desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin_example");
    let kim = desk.assigned("kim", "kim_example");
    let account = desk
        .anypoint
        .world()
        .add_user("lin_example", "Lin", "Elsewhere", "other@acme.example")
        .unwrap();
    desk.on_file(&["push", &lin])
        .await
        .expect(1)
        .says("okta-anypoint link");
    desk.on_file(&["link", "kim@acme.example", "nobody_there"])
        .await
        .expect(1)
        .says("no native user");
    let linked = desk
        .on_file(&["link", "lin@acme.example", "lin_example", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(linked["anypoint_id"], account);
    assert_eq!(actions(&linked), ["update_account"]);
    desk.on_file(&["push", &lin]).await.expect(0);
    let world = desk.anypoint.world();
    assert_eq!(world.users[&account].last_name, "Family");
    drop(world);

    desk.on_file(&["link", &kim, &account])
        .await
        .expect(1)
        .says(&format!("okta-anypoint unlink {lin}"));
    let parted = desk
        .on_file(&["unlink", "lin_example", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(parted["unlinked"]["anypoint_id"], account);
    desk.on_file(&["unlink", &lin])
        .await
        .expect(0)
        .says("was not linked");
    // By the account's id, against the app username: the command shows the consequence.
    desk.on_file(&["link", &kim, &account])
        .await
        .expect(0)
        .says("create account \"kim_example\"")
        .says("  disable account ");
    desk.on_file(&["link", &kim, "lin_example"]).await.expect(0);
    let other = desk
        .anypoint
        .world()
        .add_user("kim_example", "Kim", "Family", "kim@acme.example");
    desk.on_file(&["link", &kim, &other.unwrap()])
        .await
        .expect(1)
        .says("unlink them first");
}

/// Okta does not show the assignment, so the next looks will end the access. `link` and `explain` both say so.
#[tokio::test]
async fn linking_an_unassigned_user_warns_that_access_will_end() {
    let desk = Desk::new().await;
    let lin = desk.user("lin");
    let named = |name: &str| {
        let mut world = desk.anypoint.world();
        world
            .add_user(name, "Lin", "Family", "lin@acme.example")
            .unwrap()
    };
    named("lin_example");
    let link = ["link", lin.as_str(), "lin_example"];
    let told = desk.on_file(&link).await.expect(0);
    assert!(!told.out.contains("in sync."), "{}", told.out);
    let explained = desk.on_file(&["explain", &lin]).await.expect(0);
    let words = "seen once at";
    assert!(explained.out.contains(words), "{}", explained.out);
    told.says(words).says("will be believed");
    let told = desk.on_file(&[&link[..], &["--json"]].concat()).await;
    let told = told.expect(0).json();
    assert_eq!(told["actions"], json!([]));
    assert_eq!(told["doubts"].as_array().unwrap().len(), 1, "{told}");

    let kim = desk.assigned("kim", "kim_example");
    desk.on_file(&["push", &kim]).await.expect(0);
    let told = desk.on_file(&["link", &kim, "kim_example"]).await;
    told.expect(0).says("Both sides are in sync.");
}

#[tokio::test]
async fn the_reset_mail_is_sent_again_on_request() {
    let desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin_example");
    desk.on_file(&["reset-email", "lin@acme.example"])
        .await
        .expect(1)
        .says(&format!("okta-anypoint explain {lin}"));
    desk.on_file(&["push", &lin]).await.expect(0);
    desk.on_file(&["reset-email", "lin_example"])
        .await
        .expect(0);
    assert_eq!(desk.anypoint.world().mails.len(), 2);
    desk.okta.world().suspend(&lin).unwrap();
    desk.on_file(&["push", &lin]).await.expect(0);
    desk.on_file(&["reset-email", &lin])
        .await
        .expect(1)
        .says("disabled");
    assert_eq!(desk.anypoint.world().mails.len(), 2);
}

/// A later look asks for a mail that was refused, once. It does not if an operator has asked meanwhile.
#[tokio::test]
async fn a_reset_mail_that_is_owed_is_sent_once() {
    for by_hand in [false, true] {
        let desk = Desk::new().await;
        let lin = desk.assigned("lin", "lin_example");
        let refused = Fault::status("/recover/password", 403, "");
        desk.anypoint.traffic().inject(refused);
        desk.on_file(&["push", &lin]).await.expect(1);
        desk.on_file(&["reset-email", &lin]).await.expect(1);
        desk.anypoint.traffic().remove_all_faults();
        if by_hand {
            desk.on_file(&["reset-email", &lin]).await.expect(0);
        }
        for _ in 0..2 {
            desk.on_file(&["push", &lin]).await.expect(0);
            assert_eq!(desk.anypoint.world().mails.len(), 1, "{by_hand}");
        }
    }
}

/// A phone number that Anypoint refuses does not stop the account. The command reports it.
#[tokio::test]
async fn a_refused_phone_number_is_reported() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let phone = [("mobilePhone", "+49 (0) 30 / 12".into())];
    desk.okta.world().update_profile(&user, &phone).unwrap();
    desk.anypoint
        .world()
        .refused_phones
        .insert("+49 (0) 30 / 12".to_owned());
    desk.on_file(&["push", &user])
        .await
        .expect(0)
        .says("refused the phone number");
}

/// Ctrl-C during a push: the record and the lease are written, so that the next push works at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_push_leaves_a_record_and_no_lease() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.okta.traffic().set_latency(Duration::from_secs(2));
    let mut command = Command::new(PROGRAM);
    command.args(["push", &user, "--data"]).arg(&desk.data);
    command.env_clear().envs(&desk.environment);
    let mut push = command.stdout(Stdio::null()).spawn().unwrap();
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let events = |status: &str| {
        let sql = "SELECT count(*) FROM events WHERE status = ?1";
        file.query_row(sql, [status], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    while events("in_progress") == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = push.id().to_string();
    let told = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(told.success());
    let ended = tokio::task::spawn_blocking(move || push.wait().unwrap());
    assert_eq!(ended.await.unwrap().code(), Some(130));
    assert_eq!((events("in_progress"), events("failed")), (0, 1));
    desk.okta.traffic().set_latency(Duration::ZERO);
    desk.on_file(&["push", &user]).await.expect(0);
    assert!(desk.has_account("lin_example"));
}
