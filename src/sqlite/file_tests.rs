use super::*;

#[test]
fn a_file_of_a_newer_version_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    Database::open(&path).unwrap();
    Database::open(&path).unwrap();
    let newer = MIGRATIONS.len() as i64 + 1;
    let connection = file::connect(&path, Rights::Write).unwrap();
    connection
        .pragma_update(None, "user_version", newer)
        .unwrap();
    let failure = Database::open(&path).unwrap_err();
    assert!(!failure.is_retryable());
    assert!(failure.to_string().contains("newer"), "{failure}");
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, newer);
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_is_not_committed() {
    let database = Database::in_memory().unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (gone, is_gone) = std::sync::mpsc::channel::<()>();
    let write = database.write(Side::Table, move |connection| {
        connection.execute_batch("CREATE TABLE late (id)")?;
        let _ = begun.send(());
        let _ = is_gone.recv();
        Ok(())
    });
    tokio::select! {
        _ = write => panic!("it waits for its caller to go"),
        begun = has_begun => begun.unwrap(),
    }
    gone.send(()).unwrap();
    let count = "SELECT count(*) FROM sqlite_schema WHERE name = 'late'";
    let read = database.read(Side::Table, move |connection| {
        connection.query_row(count, [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(read.await.unwrap(), 0);
}

/// SQLite removes its log when the last connection is closed, but only if it still has its locks.
#[tokio::test]
async fn a_lock_is_kept_until_the_last_connection_is_closed() {
    struct Lock(PathBuf, std::sync::mpsc::Sender<bool>);
    impl Drop for Lock {
        fn drop(&mut self) {
            self.1.send(self.0.exists()).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let [log, _, _] = file::companions(&path);
    let (sender, dropped) = std::sync::mpsc::channel();
    let one = Database::open_locked(&path, Lock(log.clone(), sender)).unwrap();
    let two = one.another().unwrap();
    let clone = one.clone();
    drop(one);
    let read = two.read(Side::Table, |_| Ok(())).await;
    read.unwrap();
    drop(clone);
    assert!(log.exists() && dropped.try_recv().is_err());
    // This is what happens when the last statement is still running after every handle was dropped.
    let Database { connection, place } = two;
    drop(place);
    drop(connection);
    assert_eq!(dropped.try_recv(), Ok(false));
}

/// Root can read everything, so the test makes one of SQLite's own files a link to itself.
#[test]
fn a_failed_open_to_read_does_not_advise_the_right_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    Database::open(&path).unwrap();
    let [log, index, _] = file::companions(&path);
    std::fs::write(log, [0; 64]).unwrap();
    std::os::unix::fs::symlink(&index, &index).unwrap();
    let failure = Database::open_to_read(&path).unwrap_err();
    assert_eq!(
        failure.message,
        format!("{} cannot be read", path.display())
    );
    assert!(!failure.advice.unwrap().contains("write"));
    let failure = Database::open(&path).unwrap_err();
    assert!(failure.advice.unwrap().contains("read and write"));
}

#[test]
fn a_file_that_is_not_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    std::fs::write(&file, "not a database ".repeat(100)).unwrap();
    assert!(!Database::open(&file).unwrap_err().is_retryable());
    let nowhere = folder.path().join("missing/a.db");
    assert!(!Database::open(&nowhere).unwrap_err().is_retryable());
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_new_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let _open = Database::open(&file).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
