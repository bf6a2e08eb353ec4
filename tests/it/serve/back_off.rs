//! A failed change backs off, and no removal waits behind it.

use std::time::{Duration, Instant};

use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::traffic::Traffic;
use rusqlite::Connection;

use super::{APP, Remotes, eventually};

/// The shortest pause of a failed change.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

fn reads(traffic: &Traffic, path: &str) -> usize {
    let log = traffic.log();
    log.iter().filter(|request| request.path == path).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_does_not_wait_behind_a_failed_change() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    let is_enabled = || remotes.is_enabled("ada");
    assert!(is_enabled());

    let file = Connection::open(remotes.data()).unwrap();
    let status = |uuid: &str| {
        let sql = "SELECT status FROM events WHERE id = ?1";
        let status = file.query_row(sql, [uuid], |row| row.get::<_, String>(0));
        status.unwrap_or_default()
    };
    let path = format!("/api/v1/users/{user}");
    let traffic = remotes.okta.traffic();
    traffic.inject(Fault::status(&path, 403, r#"{"errorCode":"E0000006"}"#));
    let changed = |name: &str| {
        let changes = [("lastName", serde_json::json!(name))];
        let mut okta = remotes.okta.world();
        okta.update_profile(&user, &changes).unwrap()
    };
    let begun = Instant::now();
    let postponed = || {
        let sql = "SELECT COUNT(*) FROM messages WHERE postponed = 1";
        file.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    for (n, name) in [(1, "Byron"), (2, "King")] {
        let events = changed(name);
        assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
        let uuid = events[0].uuid.clone();
        eventually("the change failed", || status(&uuid) == "failed").await;
        eventually("they back off", || postponed() == n).await;
    }
    // Only a new message ends a pause. Without one, nothing is tried.
    let before = reads(traffic, &path);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(reads(traffic, &path), before);
    assert!(before <= 12, "{before} reads for two messages");

    traffic.remove_all_faults();
    let removal = remotes.okta.world().unassign(APP, &user).unwrap();
    assert_eq!(remotes.deliver(&serve, &removal).await, Some(204));
    eventually("the account is disabled", || !is_enabled()).await;
    let took = begun.elapsed();
    assert!(took < FIRST_PAUSE, "{took:?} for all of it");
    eventually("all is done", || status(&removal[0].uuid) == "done").await;
    serve.settled(&remotes).await;
    let receives = "SELECT COALESCE(MAX(receive_count), 0) FROM messages";
    let receives: u32 = file.query_row(receives, [], |row| row.get(0)).unwrap();
    assert_eq!(receives, 0, "the queue is empty");
}
