//! Our own side: the table or the file, and the queue.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use okta_anypoint::aws::{self, Limits, inspect};
use okta_anypoint::serve::shell_word;
use okta_anypoint::sqlite;

use super::Group;
use crate::table::{AWS_TIME, Place};

pub async fn check(group: &mut Group, place: Option<&Place>, queue: Option<&str>) {
    match place {
        None => group.not_checked("table", "it is not named"),
        Some(Place::File(file)) => file_is_ours(group, file),
        Some(Place::DynamoDb(name)) => dynamodb(group, name).await,
    }
    match (queue, place) {
        (_, Some(Place::File(_))) => group.ok(
            "queue",
            "in the file; commands on it apply changes themselves",
        ),
        (None, _) => group.ok("queue", "none: the program applies events itself"),
        (Some(url), _) => sqs(group, url).await,
    }
}

/// Opens for reading only: a check must not make or migrate a database.
fn file_is_ours(group: &mut Group, file: &Path) {
    let name = file.display();
    if !file.is_file() {
        return group.wrong(
            "file",
            format!("there is no file {name}"),
            "Name the file of `okta-anypoint serve --data FILE`; serve makes it at its first start.",
        );
    }
    match sqlite::version(file) {
        Ok(version) => group.ok("file", format!("{name}, version {version}")),
        Err(failure) => group.failure("file", &failure),
    }
    only_its_owner_reads(group, file);
}

/// The file holds usernames, and so do the files that SQLite keeps beside it.
fn only_its_owner_reads(group: &mut Group, file: &Path) {
    let mut open = Vec::new();
    for path in sqlite::files(file) {
        // SQLite makes the others when it needs them.
        let mode = std::fs::metadata(&path).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            open.push((path, mode & 0o777));
        }
    }
    if open.is_empty() {
        return group.ok("file rights", "only its owner reads the file");
    }
    let found: Vec<String> = open
        .iter()
        .map(|(path, mode)| format!("{} has mode {mode:04o}", path.display()))
        .collect();
    let names: Vec<String> = open
        .iter()
        .map(|(path, _)| shell_word(&path.display().to_string()))
        .collect();
    group.wrong(
        "file rights",
        format!("others can open it: {}", found.join(", ")),
        format!("Run: chmod 600 {}", names.join(" ")),
    );
}

async fn dynamodb(group: &mut Group, name: &str) {
    let client = aws_sdk_dynamodb::Client::new(&aws::load(Limits::within(AWS_TIME)).await);
    let (table, ttl) = futures_util::join!(
        inspect::table(&client, name),
        inspect::time_to_live(&client, name)
    );
    match table {
        Ok(facts) if facts.key != ["pk"] => group.wrong(
            "table",
            format!("the key of {name} is ({}), not (pk)", facts.key.join(", ")),
            "Set TABLE_NAME to a table with the one partition key `pk` (string), as template.yaml makes it.",
        ),
        Ok(facts) if !facts.active => group.wrong(
            "table",
            format!("{name} cannot be used at the moment"),
            "Wait until it is active.",
        ),
        Ok(_) => group.ok("table", format!("{name}, key pk")),
        Err(failure) => return group.failure("table", &failure),
    }
    match ttl {
        Ok(Some(attribute)) if attribute == "expires_at" => {
            group.ok("time to live", "expires_at");
        }
        Ok(other) => group.wrong(
            "time to live",
            match other {
                Some(other) => format!("by {other}, not by expires_at"),
                None => "off: records of events are never removed".to_owned(),
            },
            "Switch time to live on for the attribute expires_at, as template.yaml does.",
        ),
        Err(failure) => group.failure("time to live", &failure),
    }
}

async fn sqs(group: &mut Group, url: &str) {
    let client = aws_sdk_sqs::Client::new(&aws::load(Limits::within(AWS_TIME)).await);
    match inspect::queue(&client, url).await {
        Ok(facts) if !facts.fifo => group.wrong(
            "queue",
            "it is not FIFO: the order of one person's events would be lost",
            "Set QUEUE_URL to a FIFO queue, as template.yaml makes it.",
        ),
        Ok(facts) if !facts.has_dead_letters => group.wrong(
            "queue",
            "it has no dead-letter queue: a message that keeps failing holds up its person until it \
             expires",
            "Give it a redrive policy, as template.yaml does.",
        ),
        Ok(_) => group.ok("queue", "FIFO, with a dead-letter queue"),
        Err(failure) => group.failure("queue", &failure),
    }
}
