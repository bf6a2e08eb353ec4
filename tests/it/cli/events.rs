//! Events in the record: `events` lists them, and `replay` repeats one.

use serde_json::json;

use super::Desk;

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
               VALUES (?1, ?2, '{}', 0, 0, 1), ('another', ?2, '{}', 0, 0, 1)";
    file.execute(sql, [uuid, &format!("user#{user}")]).unwrap();
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
