//! `backup` beside a running `serve`, and `restore`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::Remotes;
use super::file::{files, one_more, ran};

/// A backup taken during deliveries is complete and private, and can be restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_can_be_restored() {
    let remotes = Remotes::start().await;
    let mut serve = remotes.serve_deliveries_only();
    let (_, uuids) = one_more(&remotes, &serve, "ada").await;
    serve.settled(&remotes).await;
    let copy = remotes.folder.path().join("copy.db");
    let copy_name = copy.to_str().unwrap();
    let (code, text) = ran(&remotes, &["backup", copy_name]);
    assert_eq!(code, 0, "{text}");
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, text) = ran(&remotes, &["backup", copy_name]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("already exists"), "{text}");

    // Not during `serve`, and not while another program has it open.
    let (code, text) = ran(&remotes, &["restore", copy_name]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("process {}", serve.pid())), "{text}");
    let (_, later) = one_more(&remotes, &serve, "lin").await;
    serve.settled(&remotes).await;
    serve.kill();
    let other = Connection::open(remotes.data()).unwrap();
    let count = "SELECT COUNT(*) FROM events";
    other
        .query_row(count, [], |row| row.get::<_, i64>(0))
        .unwrap();
    let (code, text) = ran(&remotes, &["restore", copy_name]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("in use"), "{text}");
    drop(other);

    // A killed process left its log, which must not be combined with the copy.
    let wal = remotes.data().with_extension("db-wal");
    std::fs::write(&wal, "a log of another file").unwrap();
    spoil(&remotes.data());
    let (code, text) = ran(&remotes, &["restore", copy_name]);
    assert_eq!(code, 0, "{text}");
    assert!(!wal.exists());
    let mode = std::fs::metadata(remotes.data())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (_, text) = ran(&remotes, &["events", "--json"]);
    assert!(
        text.contains(&uuids[0]) && !text.contains(&later[0]),
        "{text}"
    );
    let serve = remotes.serve_deliveries_only();
    assert_eq!(one_more(&remotes, &serve, "kim").await.0, Some(204));
    serve.settled(&remotes).await;
    assert!(copy.exists());
    let left: Vec<_> = files(remotes.folder.path()).into_keys().collect();
    let known = [
        "data.db",
        "data.db-wal",
        "data.db-shm",
        "data.db.lock",
        "copy.db",
    ];
    let strange = |path: &&PathBuf| !known.contains(&path.file_name().unwrap().to_str().unwrap());
    assert_eq!(left.iter().find(strange), None);
}

/// Damages the file after its first page.
fn spoil(data: &Path) {
    let mut bytes = std::fs::read(data).unwrap();
    let half = bytes.len() / 2;
    bytes[4096..half].fill(0x5a);
    std::fs::write(data, bytes).unwrap();
}

/// `restore` accepts only an intact database of this program.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_not_restored() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    one_more(&remotes, &serve, "ada").await;
    serve.settled(&remotes).await;
    let copy = remotes.folder.path().join("copy.db");
    let (code, text) = ran(&remotes, &["backup", copy.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    serve.terminate();
    assert_eq!(serve.ended().await.code(), Some(0));
    let good = std::fs::read(&copy).unwrap();
    let broken = remotes.folder.path().join("broken.db");
    std::fs::copy(&copy, &broken).unwrap();
    spoil(&broken);
    let broken = std::fs::read(&broken).unwrap();
    let foreign = remotes.folder.path().join("foreign.db");
    let theirs = Connection::open(&foreign).unwrap();
    theirs
        .execute_batch("CREATE TABLE notes (text TEXT)")
        .unwrap();
    drop(theirs);
    let foreign = std::fs::read(&foreign).unwrap();
    let bad = remotes.folder.path().join("bad.db");
    for (bytes, expected) in [
        (&broken[..], "damaged"),
        (&good[..good.len() - 4096], "damaged"),
        (&foreign[..], "is not a database of okta-anypoint"),
        (b"text", "is not a database of okta-anypoint"),
        (b"", "is not a database of okta-anypoint"),
    ] {
        std::fs::write(&bad, bytes).unwrap();
        let before = files(remotes.folder.path());
        let (code, text) = ran(&remotes, &["restore", bad.to_str().unwrap()]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(expected), "{text}");
        assert_eq!(files(remotes.folder.path()), before);
    }
    let missing = remotes.folder.path().join("missing.db");
    let (code, text) = ran(&remotes, &["restore", missing.to_str().unwrap()]);
    assert_eq!(code, 2, "{text}");
}
