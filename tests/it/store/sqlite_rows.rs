//! What the file keeps, and how a file of an older version is migrated.

use std::sync::Arc;

use okta_anypoint::clock::ManualClock;
use okta_anypoint::ledger::{
    ClaimOutcome, Filter, Leased, Ledger as _, Reason, SqliteLedger, Status, Work,
};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{
    Documents as _, Intent, Memory, Origin, ResetMail, SqliteStore, Store as _, Tenure,
};

use super::{LEASE, Raw, account, group, subject, team, user};
use crate::ledger::{DAY_MS, START_MS, TTL_DAYS, ours};

/// The next lease after its end removes an expired memo, because a memo holds a username.
#[tokio::test]
async fn expired_memos_are_swept() {
    let world = super::sqlite().await;
    let Raw::Sqlite(folder) = &world.raw else {
        panic!("another store");
    };
    let file = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let noted = async |n: usize| {
        let lease = world.lease(&subject(n)).await;
        let written = world.ledger.write_memo(&lease, Some("name".to_owned()));
        written.await.unwrap();
        let mut select = file
            .prepare("SELECT subject FROM leases WHERE memo = 'name' ORDER BY subject")
            .unwrap();
        let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(noted(1).await, ["user#00u1"]);
    world.clock.advance(3_649 * DAY_MS);
    assert_eq!(noted(2).await, ["user#00u1", "user#00u2"]);
    world.clock.advance(DAY_MS);
    assert_eq!(noted(3).await, ["user#00u2", "user#00u3"]);
}

/// A lease that was taken while the clock was a day ahead blocks nobody for a day.
#[tokio::test]
async fn a_lease_in_the_far_future_is_cut_after_the_clock_is_set_back() {
    let world = super::sqlite().await;
    let _held = world.lease(&subject(1)).await;
    let until = async || match world.ledger.lease(&subject(1), LEASE).await.unwrap() {
        Leased::Busy { until_ms } => Some(until_ms),
        Leased::Ours(_) => None,
    };
    world.clock.advance(-60_000);
    let before = Some(START_MS + 10_000);
    assert_eq!(until().await, before, "as far ahead as it can be");
    world.clock.advance(60_000 - DAY_MS);
    let cut = Some(START_MS - DAY_MS + 120_000);
    assert_eq!(until().await, cut);
    world.clock.advance(119_999);
    assert_eq!(until().await, cut, "it is cut once");
    world.clock.advance(1);
    assert_eq!(until().await, None);
}

/// A file of the previous version (`user_version` 2).
fn old_file(path: &std::path::Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    for script in [
        include_str!("../../../src/sqlite/001.sql"),
        include_str!("../../../src/sqlite/002.sql"),
    ] {
        file.execute_batch(script).unwrap();
    }
    file.pragma_update(None, "user_version", 2).unwrap();
    let now_s = START_MS / 1000;
    let rows = format!(
        "INSERT INTO intents (okta_user, username, holder, until_ms, expires_at) VALUES
           ('00u1', 'ann \"a\"', 'event-1', {busy}, {week}),
           ('00u8', 'gone', 'event-8', {busy}, {now_s});
         INSERT INTO fresh_teams (okta_user, team_id, written, until_ms)
           VALUES ('00u1', 'team-1', 'joined', {busy});
         INSERT INTO user_links (okta_user, anypoint_id, username, origin, agreed, reset_mail)
           VALUES ('00u2', 'acc-2', 'name2', 'created', NULL, 'owed');
         INSERT INTO accounts (anypoint_id, okta_user, tenure) VALUES
           ('acc-2', '00u2', 'current'), ('acc-3', '00u2', 'former');
         INSERT INTO team_links (okta_group, team_id, team_name, origin)
           VALUES ('00g1', 'team-1', 'Team 1', 'adopted');
         INSERT INTO teams (team_id, okta_group) VALUES ('team-1', '00g1');
         INSERT INTO documents (name, json, version) VALUES ('cursor', '{{}}', 3);
         INSERT INTO events (id, status, event_type, subject, published, attempts, owner,
           lease_until_ms, updated_at_ms, expires_at, error, error_class) VALUES
           ('e1', 'done', 'x', 'user#00u1', 't', 1, 'o', NULL, 1, {month}, NULL, NULL),
           ('e2', 'failed', 'x', 'user#00u1', 't', 2, 'o', NULL, 2, {month}, 'why', 'retryable'),
           ('e3', 'failed', 'x', 'user#00u1', 't', 3, 'o', NULL, 3, {month}, 'why', 'permanent'),
           ('e4', 'in_progress', 'x', 'user#00u1', 't', 4, 'o', {busy}, 4, {month}, NULL, NULL),
           ('e5', 'in_progress', 'x', 'user#00u1', 't', 5, 'o', {over}, 5, {month}, NULL, NULL);",
        busy = START_MS + 60_000,
        over = START_MS,
        week = now_s + 7 * 86_400,
        month = now_s + 30 * 86_400,
    );
    file.execute_batch(&rows).unwrap();
}

#[tokio::test]
async fn a_file_of_the_previous_version_is_migrated_completely() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    old_file(&path);
    let clock = Arc::new(ManualClock::at(START_MS));
    let database = Database::open(&path).unwrap();
    let ledger = SqliteLedger::new(database.clone(), TTL_DAYS, clock.clone());
    let store = SqliteStore::new(database);

    // The intent is the memo of the user's lease, which is free.
    let lease = ours(ledger.lease(&subject(1), LEASE).await.unwrap());
    assert!(!lease.took_over());
    let memory = Memory {
        intent: Some(Intent {
            username: "ann \"a\"".to_owned(),
            account: None,
            new: None,
        }),
        ..Memory::default()
    };
    assert_eq!(Memory::of(&lease, START_MS), memory);
    assert_eq!(
        ledger.memo(&subject(8)).await.unwrap(),
        None,
        "its time is over"
    );
    assert_eq!(ledger.memo(&subject(2)).await.unwrap(), None);
    assert_eq!(store.recall_user(&user(1)).await.unwrap().old_intent, None);

    // Links are unchanged.
    let link = store.user_link(&user(2)).await.unwrap().unwrap();
    assert_eq!(
        (link.anypoint_id, link.origin),
        (account(2), Origin::Created)
    );
    assert_eq!(link.reset_mail, ResetMail::Owed);
    let owners = store
        .account_owners(&[account(2), account(3)])
        .await
        .unwrap();
    assert_eq!(owners[&account(2)].tenure, Tenure::Current);
    assert_eq!(owners[&account(3)].tenure, Tenure::Former);
    assert_eq!(owners[&account(3)].origin, None);
    let link = store.team_link(&group(1)).await.unwrap().unwrap();
    assert_eq!((link.team_id, &*link.team_name), (team(1), "Team 1"));
    let cursor = store.document("cursor").await.unwrap().unwrap();
    assert_eq!((&*cursor.json, cursor.version), ("{}", 3));

    // Records have the same meaning as before.
    let records = ledger.records(&Filter::default()).await.unwrap();
    let said: Vec<_> = records
        .iter()
        .map(|record| (&*record.id, record.status, record.attempts))
        .collect();
    assert_eq!(
        said,
        [
            ("e5", Status::InProgress, 5),
            ("e4", Status::InProgress, 4),
            ("e3", Status::Failed, 3),
            ("e2", Status::Failed, 2),
            ("e1", Status::Done, 1),
        ]
    );
    assert_eq!(records[2].error.as_deref(), Some("why"));
    let claim = async |id: &str| {
        let work = Work {
            id: id.to_owned(),
            kind: "x".to_owned(),
            subject: subject(1),
            published: "t".to_owned(),
            actor: None,
            reason: None,
        };
        match ledger.claim(&work, &lease, Reason::Delivery).await.unwrap() {
            ClaimOutcome::Claimed(claim) => format!("claimed {} {}", claim.attempts, claim.deaths),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(claim("e1").await, "AlreadyDone");
    assert_eq!(claim("e2").await, "claimed 3 0");
    assert_eq!(claim("e3").await, "AlreadyFailed");
    let busy = format!("Busy {{ until_ms: {} }}", START_MS + 60_000);
    assert_eq!(claim("e4").await, busy, "an older process may still work");
    assert_eq!(claim("e5").await, "claimed 6 1");

    // Opening the file again changes nothing.
    drop(Database::open(&path).unwrap());
    assert_eq!(ledger.records(&Filter::default()).await.unwrap().len(), 5);
}
