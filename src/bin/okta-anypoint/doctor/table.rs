//! Our own side: the table or the file, and the queue.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use okta_anypoint::aws::{self, Limits, inspect};
use okta_anypoint::serve::shell_word;
use okta_anypoint::sqlite;

use super::Section;
use crate::table::{AWS_TIME, Place};

/// `queue` is `None` where its setting is malformed, which another line says.
pub async fn check(section: &mut Section, place: Option<&Place>, queue: Option<Option<String>>) {
    match place {
        None => section.not_checked("table", "it is not named"),
        Some(Place::File(file)) => file_is_ours(section, file),
        Some(Place::DynamoDb(name)) => dynamodb(section, name).await,
    }
    match (queue, place) {
        (_, Some(Place::File(_))) => section.ok(
            "queue",
            "in the file; commands on it apply changes themselves",
        ),
        (None, _) => section.not_checked("queue", "its address cannot be read"),
        (Some(None), _) => section.ok("queue", "none: the program applies events itself"),
        (Some(Some(url)), _) => sqs(section, &url).await,
    }
}

/// Opens for reading only: a check must not make or migrate a database.
fn file_is_ours(section: &mut Section, file: &Path) {
    let name = file.display();
    if !file.is_file() {
        return section.wrong(
            "file",
            format!("there is no file {name}"),
            "Name the file of `okta-anypoint serve --data FILE`; serve makes it at its first start.",
        );
    }
    match sqlite::version(file) {
        Ok(version) => section.ok("file", format!("{name}, version {version}")),
        Err(failure) => section.failure("file", &failure),
    }
    only_its_owner_reads(section, file);
}

/// The file holds usernames, and so do the files that SQLite keeps beside it.
fn only_its_owner_reads(section: &mut Section, file: &Path) {
    let mut open = Vec::new();
    for path in sqlite::files(file) {
        // SQLite makes the others when it needs them.
        let mode = std::fs::metadata(&path).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            open.push((path, mode & 0o777));
        }
    }
    if open.is_empty() {
        return section.ok("file rights", "only its owner reads the file");
    }
    let found: Vec<String> = open
        .iter()
        .map(|(path, mode)| format!("{} has mode {mode:04o}", path.display()))
        .collect();
    let names: Vec<String> = open
        .iter()
        .map(|(path, _)| shell_word(&path.display().to_string()))
        .collect();
    section.wrong(
        "file rights",
        format!("others can open it: {}", found.join(", ")),
        format!("Run: chmod 600 {}", names.join(" ")),
    );
}

async fn dynamodb(section: &mut Section, name: &str) {
    let client = aws_sdk_dynamodb::Client::new(&aws::load(Limits::within(AWS_TIME)).await);
    let (table, ttl) = futures_util::join!(
        inspect::table(&client, name),
        inspect::time_to_live(&client, name)
    );
    match table {
        Ok(facts) if facts.key != ["pk"] => section.wrong(
            "table",
            format!("the key of {name} is ({}), not (pk)", facts.key.join(", ")),
            "Set TABLE_NAME to a table with the one partition key `pk` (string), as template.yaml makes it.",
        ),
        Ok(facts) if !facts.active => section.wrong(
            "table",
            format!("{name} cannot be used at the moment"),
            "Wait until it is active.",
        ),
        Ok(_) => section.ok("table", format!("{name}, key pk")),
        Err(failure) => return section.failure("table", &failure),
    }
    match ttl {
        Ok(Some(attribute)) if attribute == "expires_at" => {
            section.ok("time to live", "expires_at");
        }
        Ok(other) => section.wrong(
            "time to live",
            match other {
                Some(other) => format!("by {other}, not by expires_at"),
                None => "off: records of events are never removed".to_owned(),
            },
            "Switch time to live on for the attribute expires_at, as template.yaml does.",
        ),
        Err(failure) => section.failure("time to live", &failure),
    }
}

async fn sqs(section: &mut Section, url: &str) {
    let client = aws_sdk_sqs::Client::new(&aws::load(Limits::within(AWS_TIME)).await);
    match inspect::queue(&client, url).await {
        Ok(facts) if !facts.has_dead_letters => section.wrong(
            "queue",
            "it has no dead-letter queue: a message that keeps failing holds up its person until it \
             expires",
            "Give it a redrive policy, as template.yaml does.",
        ),
        Ok(_) => section.ok("queue", "FIFO, with a dead-letter queue"),
        Err(failure) => section.failure("queue", &failure),
    }
}
