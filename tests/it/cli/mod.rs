//! The real command line against simulators: each command and its opposite, exit codes, JSON.

mod brake;
mod dead_letters;
mod demo;
mod doctor;
mod doctor_table;
mod dry_run;
mod events;
mod excluded;
mod explain;
mod explain_failing;
mod hook;
mod inbox;
mod link;
mod link_group;
mod link_moved;
mod lists;
mod naming;
mod output;
mod pausing;
mod push;
mod readme;
mod schedule;
mod secrets;
mod settling;
mod simulate;
mod terminal;
mod usage;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use okta_anypoint::simulator::anypoint::AnypointOptions;
use okta_anypoint::simulator::okta::OktaOptions;
use okta_anypoint::sqlite::Database;
use serde_json::Value;
use tempfile::TempDir;

pub use crate::tenant::APP;
use crate::tenant::Tenant;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_okta-anypoint");
pub const TOKEN: &str = "okta-token-that-nobody-may-see";
pub const CLIENT_SECRET: &str = "anypoint-secret-that-nobody-may-see";
pub const HOOK_SECRET: &str = "hook-secret-that-nobody-may-see";

/// The longest that a command may take.
const MAX_TIME: Duration = Duration::from_secs(90);

/// The result of a command.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// Itself, if the command ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Itself, if the output contains this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(said, "not said: {text}\n{}\n{}", self.out, self.err);
        self
    }
}

/// An operator's desk: both simulators, a database file, and the settings.
pub struct Desk {
    tenant: Tenant,
    pub environment: BTreeMap<String, String>,
    pub data: PathBuf,
    folder: TempDir,
    said: Mutex<String>,
}

impl Deref for Desk {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Desk {
    pub async fn new() -> Self {
        let okta = OktaOptions {
            tokens: vec![TOKEN.to_owned()],
            ..OktaOptions::default()
        };
        let mut anypoint = AnypointOptions::default();
        anypoint.world.client_secret = CLIENT_SECRET.to_owned();
        let tenant = Tenant::start(okta, anypoint).await;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data.db");
        drop(Database::open(&data).unwrap());
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in tenant.environment() {
            environment.insert(name.to_owned(), value);
        }
        environment.insert("HOOK_SECRET".to_owned(), HOOK_SECRET.to_owned());
        Self {
            tenant,
            environment,
            data,
            folder,
            said: Mutex::default(),
        }
    }

    /// Runs a command on the database file.
    pub async fn on_file(&self, arguments: &[&str]) -> Ran {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--data", self.data.to_str().unwrap()]);
        self.run(&arguments).await
    }

    /// Runs a command with the settings of this desk, and nothing else, in the environment.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments).await
    }

    /// Runs a command with some settings changed. An empty value unsets one.
    pub async fn run_with(&self, changes: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut environment = self.environment.clone();
        for (name, value) in changes {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let ran = run(&environment, arguments).await;
        let mut said = self.said.lock().unwrap();
        said.push_str(&ran.out);
        said.push_str(&ran.err);
        drop(said);
        ran
    }

    /// An active user who is assigned to the app.
    pub fn assigned(&self, name: &str, username: &str) -> String {
        let user = self.user(name);
        let mut okta = self.okta.world();
        okta.assign_with_username(APP, &user, username).unwrap();
        user
    }

    /// An active user.
    pub fn user(&self, name: &str) -> String {
        self.person(&format!("{name}@acme.example"), "Given", "Family")
    }

    /// A group, with this user in it, that is assigned to the app.
    pub fn pushed_group(&self, name: &str, member: &str) -> String {
        let mut okta = self.okta.world();
        let group = okta.create_group(name).unwrap().id;
        okta.add_member(&group, member).unwrap();
        okta.assign_group(APP, &group).unwrap();
        group
    }

    /// Whether either side got a write since the last call.
    pub fn wrote(&self) -> bool {
        let wrote = !self.writes().is_empty();
        self.forget_traffic();
        wrote
    }
}

impl Drop for Desk {
    /// No command may show a secret.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let said = self.said.lock().unwrap();
        for secret in [TOKEN, CLIENT_SECRET, HOOK_SECRET] {
            assert!(!said.contains(secret), "a secret was shown: {said}");
        }
        assert!(self.folder.path().exists());
    }
}

/// Runs the program with exactly these variables, and without a terminal.
pub async fn run(environment: &BTreeMap<String, String>, arguments: &[&str]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("the program can be started");
        let id = child.id();
        let (sender, ended) = std::sync::mpsc::channel::<()>();
        // A command that hangs must not hang the tests.
        let watch = std::thread::spawn(move || {
            if ended.recv_timeout(MAX_TIME) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").arg(id.to_string()).status();
            }
        });
        drop(child.stdin.take());
        let output = child.wait_with_output().expect("the program ends");
        drop(sender);
        watch.join().unwrap();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ran.out.contains('\u{1b}'), "colour in a pipe: {}", ran.out);
        ran
    })
    .await
    .unwrap()
}
