//! What the doctor says about the table and the queue, and who can read the file of both.

use aws_sdk_sqs::types::QueueAttributeName;
use rusqlite::Connection;

use super::Desk;
use super::doctor::{failed, with_good_hook};
use crate::servers;

#[tokio::test]
async fn the_doctor_checks_the_table_and_the_queue() {
    let (client, table) = servers::table().await;
    let sqs = servers::sqs().await;
    let name = format!("q-{}.fifo", uuid::Uuid::new_v4());
    let queue = sqs.create_queue().queue_name(name);
    let queue = queue
        .attributes(QueueAttributeName::FifoQueue, "true")
        .send();
    let queue = queue.await.unwrap().queue_url.unwrap();
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let aws = |queue: &str, table: &str| {
        [
            ("TABLE_NAME", table.to_owned()),
            ("QUEUE_URL", queue.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            (
                "AWS_ENDPOINT_URL_DYNAMODB",
                servers::dynamodb_url().to_owned(),
            ),
            ("AWS_ENDPOINT_URL_SQS", servers::moto_url().to_owned()),
        ]
    };
    let doctor = async |queue: &str, table: &str| {
        let changes = aws(queue, table);
        let changes: Vec<(&str, &str)> = changes
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        desk.run_with(&changes, &["doctor", "--json"]).await
    };
    // The name of a FIFO queue ends in `.fifo`.
    let plain = queue.trim_end_matches(".fifo");
    doctor(plain, &table).await.expect(1).says("/NAME.fifo");
    let ran = doctor(&queue, &table).await.expect(1);
    let found = failed(&ran);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["table and queue/queue", "table and queue/time to live"]
    );
    let ran = doctor(&queue, "no-such-table").await.expect(1);
    assert!(
        failed(&ran).contains_key("table and queue/table"),
        "{}",
        ran.out
    );

    use aws_sdk_dynamodb::types::TimeToLiveSpecification;
    let ttl = TimeToLiveSpecification::builder()
        .attribute_name("expires_at")
        .enabled(true)
        .build()
        .unwrap();
    client
        .update_time_to_live()
        .table_name(&table)
        .time_to_live_specification(ttl)
        .send()
        .await
        .unwrap();
    let changes = aws("", &table);
    let changes: Vec<(&str, &str)> = changes
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    desk.run_with(&changes, &["doctor"])
        .await
        .expect(0)
        .says("expires_at");

    // Operator commands on the same table, which is empty at first.
    let user = desk.assigned("lin", "lin_example");
    let planned = desk.run_with(&changes, &["plan", "--json"]).await.expect(0);
    assert_eq!(
        planned.json()["differences"][0]["subject"],
        format!("user#{user}")
    );
    desk.run_with(&changes, &["push", &user]).await.expect(0);
    let events = desk
        .run_with(&changes, &["events", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(events["events"][0]["subject"], format!("user#{user}"));

    // The doctor counts open failures there, too.
    let refused = desk.assigned("bob", "not a username");
    desk.run_with(&changes, &["push", &refused]).await.expect(1);
    let ran = desk
        .run_with(&changes, &["doctor", "--json"])
        .await
        .expect(1);
    let found = failed(&ran);
    let open = found["work/open failures"]["found"].as_str().unwrap();
    assert!(open.contains("username_invalid (1)"), "{open}");
}

/// A database is its owner's only, also one that begins as an empty file.
#[cfg(unix)]
#[tokio::test]
async fn an_empty_file_that_becomes_the_database_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let empty = desk.data.with_extension("empty");
    std::fs::write(&empty, "").unwrap();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&empty, open).unwrap();
    let path = empty.to_str().unwrap();
    desk.run(&["push", &user, "--data", path]).await.expect(0);
    let mode = std::fs::metadata(&empty).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Others can read a copy that was put in place by hand, and the files that SQLite creates beside it.
#[cfg(unix)]
#[tokio::test]
async fn the_doctor_warns_when_others_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let log = desk.data.with_extension("db-wal");
    for (path, mode, text) in [
        (&desk.data, 0o644, "data.db has mode 0644"),
        (&log, 0o640, "data.db-wal has mode 0640"),
    ] {
        // SQLite itself fixes the mode of an empty log.
        let open = Connection::open(&desk.data).unwrap();
        let sql = "INSERT INTO documents (name, json, version) VALUES (?1, '{}', 1)";
        open.execute(sql, [text]).unwrap();
        let rights = |mode| {
            let rights = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, rights).unwrap();
        };
        rights(mode);
        let ran = desk.on_file(&["doctor", "--json"]).await.expect(1);
        let failed = failed(&ran);
        let names: Vec<_> = failed.keys().collect();
        assert_eq!(names, ["table and queue/file rights"]);
        let check = failed["table and queue/file rights"].to_string();
        assert!(
            check.contains(text) && check.contains("chmod 600"),
            "{check}"
        );
        rights(0o600);
        desk.on_file(&["doctor", "--json"]).await.expect(0);
    }
}
