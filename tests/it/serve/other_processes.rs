//! Other processes on the file of a running `serve`: readers, backups, operators.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::{Connection, ErrorCode};

use super::Remotes;
use super::file::command;

/// What the other processes did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Did {
    pub reads: u32,
    pub backups: u32,
    pub others_backups: u32,
    pub commands: u32,
    pub pauses: u32,
    pub approvals: u32,
}

impl std::ops::AddAssign for Did {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.backups += other.backups;
        self.others_backups += other.others_backups;
        self.commands += other.commands;
        self.pauses += other.pauses;
        self.approvals += other.approvals;
    }
}

/// A process that works until it is told to stop.
pub struct Company {
    at_work: std::thread::JoinHandle<Did>,
    leave: Arc<AtomicBool>,
}

impl Company {
    /// Starts the processes. The operators ask about `users`.
    pub fn begin(remotes: &Remotes, users: &[String], seed: u64) -> Self {
        let leave = Arc::new(AtomicBool::new(false));
        let data = remotes.data();
        let commands: Vec<Command> = users
            .iter()
            .rev()
            .take(4)
            .flat_map(|user| {
                let events = command(remotes, &["events", "--json"]);
                let explain = command(remotes, &["explain", user]);
                [events, explain, command(remotes, &["push", user])]
            })
            .collect();
        let [pause, resume] = ["pause", "resume"].map(|word| command(remotes, &[word]));
        let held = command(remotes, &["held", "--json"]);
        let approve = command(remotes, &["approve", "--count", "2"]);
        let copy = data.with_extension(format!("copy-{seed}"));
        let backup = command(remotes, &["backup", copy.to_str().unwrap()]);
        let told = Arc::clone(&leave);
        let at_work = std::thread::spawn(move || {
            let mut random = StdRng::seed_from_u64(seed);
            let mut did = Did::default();
            let (mut commands, mut backup) = (commands, backup);
            let (mut pause, mut resume, mut held, mut approve) = (pause, resume, held, approve);
            while !told.load(Ordering::Relaxed) {
                match random.random_range(0..10) {
                    0 => {
                        let status = backup.stdout(Stdio::null()).status().unwrap();
                        assert!(status.success(), "backup");
                        whole(&copy);
                        did.backups += 1;
                    }
                    1 => did.others_backups += u32::from(others_backup(&data, &copy)),
                    2 if !commands.is_empty() => {
                        let which = random.random_range(0..commands.len());
                        ends(&mut commands[which]);
                        did.commands += 1;
                    }
                    3 => {
                        // The program is killed before, during or after the pause.
                        ends(&mut pause);
                        read(&data);
                        assert_eq!(ends(&mut resume), 0, "resume");
                        did.pauses += 1;
                    }
                    4 => {
                        ends(&mut held);
                        ends(&mut approve);
                        did.approvals += 1;
                    }
                    _ => {
                        read(&data);
                        did.reads += 1;
                    }
                }
            }
            did
        });
        Self { at_work, leave }
    }

    /// Tells it to stop, and waits until it has.
    pub fn end(self) -> Did {
        self.leave.store(true, Ordering::Relaxed);
        self.at_work.join().unwrap()
    }
}

/// A command ends by itself. Its result depends on when the program is killed.
fn ends(command: &mut Command) -> i32 {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().code().expect("an exit code")
}

/// Opens, reads and closes.
fn read(data: &Path) {
    let file = Connection::open(data).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(5))
        .unwrap();
    let count = file.query_row("SELECT COUNT(*) FROM events", [], |row| {
        row.get::<_, i64>(0)
    });
    if let Err(error) = count {
        let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        // The first one of a round may run before there is a table.
        assert!(
            busy || error.to_string().contains("no such table"),
            "{error}"
        );
    }
}

/// A backup by the `sqlite3` program, if it is installed. Returns whether it made one.
fn others_backup(data: &Path, copy: &Path) -> bool {
    let mut name = copy.as_os_str().to_owned();
    name.push("-theirs");
    let copy = PathBuf::from(name);
    let mut sqlite3 = Command::new("sqlite3");
    sqlite3
        .arg(data)
        .arg(format!(".backup '{}'", copy.display()));
    let Ok(output) = sqlite3.stdin(Stdio::null()).output() else {
        return false;
    };
    if output.status.success() {
        whole(&copy);
    }
    output.status.success()
}

/// Checks that a copy is intact, and deletes it.
fn whole(copy: &Path) {
    integrity(copy);
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut name = copy.as_os_str().to_owned();
        name.push(ending);
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
}

/// `integrity_check` finds nothing.
#[track_caller]
pub fn integrity(data: &Path) {
    let file = Connection::open(data).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(5))
        .unwrap();
    let said: String = file
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(said, "ok", "{}", data.display());
}
