//! `push` by hand, in an emergency and interrupted, and the reset mail.

use std::process::{Command, Stdio};
use std::time::Duration;

use okta_anypoint::simulator::fault::Fault;
use serde_json::{Value, json};

use super::{APP, Desk, PROGRAM};

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
