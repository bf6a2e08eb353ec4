//! Okta's own deliveries, end to end.

use okta_anypoint::clock::{Clock as _, SystemClock};

use super::{APP, LONG, Remotes, eventually};

const TYPES: &[&str] = &[
    "application.user_membership.add",
    "application.user_membership.remove",
    "user.account.update_profile",
    "user.lifecycle.deactivate",
    "group.user_membership.add",
    "group.user_membership.remove",
    "group.application_assignment.add",
    "group.profile.update",
];

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_okta_bring_anypoint_in_sync() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve(&["--reconcile-every", "off"]);
    remotes.register(&serve, TYPES).await;

    let [ada, lin, kim] = ["ada", "lin", "kim"].map(|name| remotes.user(name));
    {
        let mut okta = remotes.okta.world();
        let group = okta.create_group("Integrators").unwrap().id;
        okta.assign_group(APP, &group).unwrap();
        for user in [&ada, &lin] {
            okta.add_member(&group, user).unwrap();
        }
        okta.assign(APP, &kim).unwrap();
    }
    eventually("three accounts and a team of two", || {
        ["ada", "lin", "kim"].map(|name| remotes.enabled(name)) == [Some(true); 3]
            && remotes.team("Integrators") == "ada lin"
    })
    .await;

    {
        let mut okta = remotes.okta.world();
        okta.update_profile(&ada, &[("lastName", "Lovelace".into())])
            .unwrap();
        okta.deactivate(&lin).unwrap();
        okta.unassign(APP, &kim).unwrap();
    }
    eventually("the name follows, who left is disabled", || {
        remotes.account("ada") == "ada Lovelace - enabled"
            && ["lin", "kim"].map(|name| remotes.is_enabled(name)) == [false; 2]
            && remotes.team("Integrators") == "ada"
    })
    .await;

    assert!(remotes.okta.delivered(LONG).await);
    let deliveries = remotes.okta.deliveries();
    assert!(!deliveries.is_empty());
    for delivery in deliveries {
        assert_eq!(
            (delivery.status, delivery.attempts),
            (Some(204), 1),
            "{delivery:?}"
        );
    }
    serve.settled(&remotes).await;
    let events = &serve.overview(&remotes).await["events"];
    assert_eq!(events["failed_permanent"], 0, "{events}");
    assert_eq!(events["failed_retryable"], 0, "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_before_the_start_are_caught_up() {
    let remotes = Remotes::start().await;
    let user = remotes.user("ada");
    remotes.assign(&user);
    let serve = remotes.serve(&["--reconcile-every", "off"]);
    eventually("the account", || remotes.has_account("ada")).await;
    serve.settled(&remotes).await;
    let reports = serve.overview(&remotes).await["reports"].clone();
    assert_eq!(reports[0]["task"], "catch_up", "{reports}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_finds_changes_without_an_event() {
    let remotes = Remotes::start().await;
    let user = remotes.user("ada");
    remotes.assign(&user);
    remotes.okta.world().log.clear();
    let serve = remotes.serve(&["--catch-up-every", "off", "--reconcile-every", "1s"]);
    eventually("the account", || remotes.has_account("ada")).await;
    let reports = serve.overview(&remotes).await["reports"].clone();
    assert_eq!(reports[0]["task"], "reconcile", "{reports}");
}

/// A message that this program did not write is recorded and removed. It blocks no event, not even those of its own
/// subject.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_message_is_recorded_and_stops_nothing() {
    let remotes = Remotes::start().await;
    let user = remotes.user("ada");
    let file = rusqlite::Connection::open(remotes.data()).unwrap();
    drop(okta_anypoint::sqlite::Database::open(&remotes.data()).unwrap());
    let put = |uuid: &str, subject: &str, body: &str, later_ms: i64| {
        let sql = "INSERT INTO messages (uuid, subject, body, sent_at_ms, visible_at_ms, receipt, postponed) \
                   VALUES (?1, ?2, ?3, 0, ?4, ?1, 1)";
        let now_ms = SystemClock.now_ms();
        file.execute(sql, (uuid, subject, body, now_ms + later_ms))
            .unwrap();
    };
    put("bad-1", &format!("user#{user}"), "{not json", 0);
    put("bad-2", "no subject", r#"{"uuid":"bad-2"}"#, 0);
    put("bad-3", "user#00uLATER", "{not json", 3_000_000);

    let serve = remotes.serve_deliveries_only();
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    eventually("the account", || remotes.has_account("ada")).await;
    for uuid in ["bad-1", "bad-2"] {
        let record = || {
            let sql = "SELECT status || ' ' || error_class || ' ' || event_type FROM events \
                       WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM messages WHERE uuid = ?1)";
            file.query_row(sql, [uuid], |row| row.get::<_, String>(0))
                .ok()
        };
        eventually("a record in place of the message", || record().is_some()).await;
        assert_eq!(record().as_deref(), Some("failed permanent unreadable"));
    }
    let (status, page) = serve.get(&remotes, "/events?state=queued").await;
    assert!(status == 200 && page.contains("00uLATER"), "{page}");
}
