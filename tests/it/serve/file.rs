//! The database file under a running `serve`: no other process takes its locks, a missing file is noticed, and the file
//! of another program stays unchanged.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::{LONG, Remotes, Serve};

/// A command on the data file of these remotes, with their settings.
pub fn command(remotes: &Remotes, arguments: &[&str]) -> Command {
    let served = remotes.command(&[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_okta-anypoint"));
    command.env_clear();
    for (name, value) in served.get_envs() {
        command.env(name, value.unwrap());
    }
    command.args(arguments).arg("--data").arg(remotes.data());
    command.stdin(Stdio::null());
    command
}

pub fn ran(remotes: &Remotes, arguments: &[&str]) -> (i32, String) {
    said(command(remotes, arguments).output().unwrap())
}

pub fn said(output: Output) -> (i32, String) {
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code().unwrap_or(-1), text)
}

/// The output of a `serve` that should end by itself. If it does not, the test kills it.
pub async fn ended(mut command: Command) -> (i32, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() && begun.elapsed() < LONG {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = child.kill();
    said(child.wait_with_output().unwrap())
}

/// Every file of a folder, with its length and a hash of its content.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, (usize, u64)> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_none_or(|end| end != "log"));
    let fingerprint = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        (path, (bytes.len(), hasher.finish()))
    };
    paths.map(fingerprint).collect()
}

/// Assigns another user and delivers the events. Returns the status and the events' uuids.
pub async fn one_more(remotes: &Remotes, serve: &Serve, name: &str) -> (Option<u16>, Vec<String>) {
    let user = remotes.user(name);
    let events = remotes.assign(&user);
    let status = remotes.deliver(serve, &events).await;
    (status, events.into_iter().map(|event| event.uuid).collect())
}

/// In WAL mode SQLite holds a shared lock on a file while it is open. Closing any other descriptor of the file in the
/// same process would drop the lock. Then another program that closes the file considers itself the last one, and
/// deletes the write-ahead log.
#[tokio::test(flavor = "multi_thread")]
async fn serve_keeps_the_lock_on_its_file() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    assert_eq!(one_more(&remotes, &serve, "ada").await.0, Some(204));
    assert_eq!(serve.get(&remotes, "/").await.0, 200);
    let inode = std::fs::metadata(remotes.data()).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let held = locks.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let by = fields
            .get(4)
            .is_some_and(|pid| *pid == serve.pid().to_string());
        let on = fields
            .get(5)
            .is_some_and(|file| file.ends_with(&format!(":{inode}")));
        by && on && fields[1] == "POSIX"
    });
    assert!(held, "no lock of {} on {inode}:\n{locks}", serve.pid());
}

/// A second `serve` would treat the first one's work as that of a dead process.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_is_refused_even_without_the_lock_file() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let second = |data: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_okta-anypoint"));
        command.env_clear();
        for (name, value) in remotes.command(&[]).get_envs() {
            command.env(name, value.unwrap());
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--no-status", "--data"]);
        command.arg(data).stdin(Stdio::null());
        command
    };
    let elsewhere = tempfile::tempdir_in(remotes.folder.path()).unwrap();
    let link = elsewhere.path().join("link.db");
    std::fs::hard_link(remotes.data(), &link).unwrap();
    std::fs::remove_file(remotes.data().with_extension("db.lock")).unwrap();
    for data in [&remotes.data(), &link] {
        let (code, text) = ended(second(data)).await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("another process serves"), "{text}");
    }
    assert_eq!(one_more(&remotes, &serve, "ada").await.0, Some(204));
    serve.settled(&remotes).await;
    // After a clean stop the next one may start.
    serve.terminate();
    assert_eq!(serve.ended().await.code(), Some(0));
    drop(elsewhere);
    let serve = remotes.serve_deliveries_only();
    assert_eq!(one_more(&remotes, &serve, "lin").await.0, Some(204));
}

/// After the file is lost, `serve` accepts no delivery, and one line says why.
async fn stops_when(take_away: fn(&Path), word: &str) {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    assert_eq!(one_more(&remotes, &serve, "ada").await.0, Some(204));
    serve.settled(&remotes).await;
    // The file alone would not miss what is only in the write-ahead log.
    checkpoint(&remotes.data());
    assert_eq!(serve.get(&remotes, "/ready").await.0, 200);
    take_away(&remotes.data());
    for n in 0..5 {
        let (status, _) = one_more(&remotes, &serve, &format!("user{n}")).await;
        assert_eq!(status, Some(503), "the file was {word}");
    }
    let (status, text) = serve.get(&remotes, "/ready").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains(word), "{text}");
    let log = serve.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(word)).collect();
    let lines: Vec<&&str> = lines.iter().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let text = lines[0];
    assert!(
        text.contains("data.db") && text.contains("restore"),
        "{text}"
    );
    // It does not restart by itself, because a person has to find out what happened to the file.
    assert!(!remotes.has_account("user0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_stops_when_its_file_is_deleted() {
    stops_when(|data| std::fs::remove_file(data).unwrap(), "deleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_stops_when_its_file_is_replaced() {
    let replace = |data: &Path| {
        let copy = data.with_extension("copy");
        std::fs::copy(data, &copy).unwrap();
        std::fs::rename(copy, data).unwrap();
    };
    stops_when(replace, "replaced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_stops_when_its_write_ahead_log_is_deleted() {
    let delete = |data: &Path| {
        let mut name = data.as_os_str().to_owned();
        name.push("-wal");
        std::fs::remove_file(name).unwrap();
    };
    stops_when(delete, "deleted").await;
}

fn truncate(data: &Path, bytes: u64) {
    let file = std::fs::File::options().write(true).open(data).unwrap();
    file.set_len(bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_stops_when_its_file_is_emptied() {
    stops_when(|data| truncate(data, 0), "truncated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_stops_when_its_file_is_truncated() {
    stops_when(|data| truncate(data, 4 * 4096), "truncated").await;
}

fn checkpoint(data: &Path) {
    let other = Connection::open(data).unwrap();
    other
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
}

/// `VACUUM` by hand shortens the file, and removes no data.
#[tokio::test(flavor = "multi_thread")]
async fn serve_continues_after_a_vacuum() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let long = "x".repeat(100_000);
    let other = Connection::open(remotes.data()).unwrap();
    let put = "INSERT INTO documents (name, json, version) VALUES (?1, ?2, 1)";
    for n in 0..20 {
        other.execute(put, (format!("long{n}"), &long)).unwrap();
    }
    checkpoint(&remotes.data());
    assert_eq!(one_more(&remotes, &serve, "ada").await.0, Some(204));
    let before = std::fs::metadata(remotes.data()).unwrap().len();
    other
        .execute("DELETE FROM documents WHERE name LIKE 'long%'", [])
        .unwrap();
    serve.settled(&remotes).await;
    other.execute_batch("VACUUM").unwrap();
    drop(other);
    checkpoint(&remotes.data());
    let after = std::fs::metadata(remotes.data()).unwrap().len();
    assert!(after < before, "{after} {before}");
    assert_eq!(one_more(&remotes, &serve, "lin").await.0, Some(204));
    assert_eq!(serve.get(&remotes, "/ready").await.0, 200);
    serve.settled(&remotes).await;
}

/// Commands that only read.
const READING: &[&[&str]] = &[
    &["events"],
    &["explain", "00uNOBODY"],
    &["plan"],
    &["doctor"],
];

/// Reading commands do not create a missing file.
#[tokio::test(flavor = "multi_thread")]
async fn reading_commands_create_no_file() {
    let remotes = Remotes::start().await;
    for arguments in READING {
        let (code, text) = ran(&remotes, arguments);
        // A plan also works before the first `serve`.
        assert_eq!(code == 0, arguments[0] == "plan", "{arguments:?}: {text}");
        assert!(text.contains("there is no file"), "{arguments:?}: {text}");
        assert_eq!(files(remotes.folder.path()), BTreeMap::new());
    }
}

/// The program refuses a database of another program, in either journal mode, and changes no byte of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_program_is_left_unchanged() {
    for mode in ["delete", "wal"] {
        let remotes = Remotes::start().await;
        let theirs = Connection::open(remotes.data()).unwrap();
        theirs.pragma_update(None, "journal_mode", mode).unwrap();
        theirs
            .execute_batch("CREATE TABLE notes (text TEXT); PRAGMA user_version = 2;")
            .unwrap();
        drop(theirs);
        let before = files(remotes.folder.path());
        let others: &[&[&str]] = &[
            &["push", "00uNOBODY"],
            &["serve", "--listen", "127.0.0.1:0"],
        ];
        for arguments in READING.iter().chain(others) {
            let (code, text) = ran(&remotes, arguments);
            assert_eq!(code, 1, "{arguments:?}: {text}");
            let expected = "is not a database of okta-anypoint";
            assert!(text.contains(expected), "{arguments:?}: {text}");
            let mut after = files(remotes.folder.path());
            after.remove(&remotes.data().with_extension("db.lock"));
            assert_eq!(after, before, "{mode} {arguments:?}");
        }
    }
}

/// Commands read a file from before the mark existed, without marking it. `serve` marks it.
#[tokio::test(flavor = "multi_thread")]
async fn serve_marks_an_unmarked_file_and_reading_does_not() {
    for version in [1, 2] {
        let remotes = Remotes::start().await;
        let file = Connection::open(remotes.data()).unwrap();
        file.pragma_update(None, "journal_mode", "WAL").unwrap();
        file.execute_batch(include_str!("../../../src/sqlite/001.sql"))
            .unwrap();
        if version == 2 {
            file.execute_batch(include_str!("../../../src/sqlite/002.sql"))
                .unwrap();
        }
        file.pragma_update(None, "user_version", version).unwrap();
        drop(file);
        let before = files(remotes.folder.path());
        for arguments in READING {
            let (code, text) = ran(&remotes, arguments);
            // `doctor` finds no event hook, and `explain` no user.
            let fine = match arguments[0] {
                "doctor" | "explain" => !text.contains("database"),
                _ => code == 0,
            };
            assert!(fine, "{arguments:?}: {text}");
            assert_eq!(
                files(remotes.folder.path()),
                before,
                "{version} {arguments:?}"
            );
        }
        let serve = remotes.serve_deliveries_only();
        assert_eq!(one_more(&remotes, &serve, "ada").await.0, Some(204));
        serve.settled(&remotes).await;
        drop(serve);
        assert_ne!(mark(&remotes.data()), 0);
    }
}

fn mark(data: &Path) -> i64 {
    let file = Connection::open_with_flags(data, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    file.pragma_query_value(None, "application_id", |row| row.get(0))
        .unwrap()
}

/// Reading works without write permission, even without a running `serve`.
#[tokio::test(flavor = "multi_thread")]
async fn reading_needs_no_write_permission() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let (status, uuids) = one_more(&remotes, &serve, "ada").await;
    assert_eq!(status, Some(204));
    serve.settled(&remotes).await;
    let events = |what: &str| {
        let (code, text) = ran(&remotes, &["events", "--json"]);
        assert_eq!(code, 0, "{what}: {text}");
        assert!(text.contains(&uuids[0]), "{what}: {text}");
    };
    events("while it is served");
    serve.terminate();
    assert_eq!(serve.ended().await.code(), Some(0));
    let before = files(remotes.folder.path());
    let rights = |mode: u32| {
        let rights = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(remotes.folder.path(), rights).unwrap();
    };
    rights(0o500);
    events("afterwards");
    let after = files(remotes.folder.path());
    rights(0o700);
    assert_eq!(after, before);
}
