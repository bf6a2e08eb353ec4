//! Both simulators and the running program. The tests and the load bench share it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use okta_anypoint::simulator::anypoint::AnypointOptions;
use okta_anypoint::simulator::okta::{LogEvent, OktaOptions};
use serde_json::{Value, json};

pub use crate::tenant::APP;
use crate::tenant::{Tenant, eventually};

pub const SECRET: &str = "hook-secret-7f3a";
/// Far more than any wait here needs, so that a slow machine does not fail a test.
pub const LONG: Duration = Duration::from_secs(60);

/// Both simulators, and a folder for the data file.
pub struct Remotes {
    tenant: Tenant,
    pub folder: tempfile::TempDir,
    /// Additional settings, beside those that name the simulators.
    pub settings: Vec<(&'static str, &'static str)>,
    pub http: reqwest::Client,
}

impl Deref for Remotes {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Remotes {
    pub async fn start() -> Self {
        let options = OktaOptions {
            deliver: true,
            batch_window: Duration::from_millis(20),
            ..OktaOptions::default()
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            tenant: Tenant::start(options, AnypointOptions::default()).await,
            folder: tempfile::tempdir().unwrap(),
            settings: Vec::new(),
            http: reqwest::Client::builder().timeout(LONG).build().unwrap(),
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data.db")
    }

    /// Assigns a user. Returns the events.
    pub fn assign(&self, user: &str) -> Vec<LogEvent> {
        self.okta.world().assign(APP, user).unwrap()
    }

    /// The program with the settings for these simulators, not started yet.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_okta-anypoint"));
        command
            .env_clear()
            .envs(self.environment())
            .env("HOOK_SECRET", SECRET)
            .envs(self.settings.iter().copied())
            .args(["--json", "serve", "--listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(self.data());
        if !more.contains(&"--no-status") {
            command.args(["--status", "127.0.0.1:0"]);
        }
        command.args(more).stdin(Stdio::null());
        command
    }

    /// Starts the program and waits until it listens.
    pub fn serve(&self, more: &[&str]) -> Serve {
        Serve::start(self.command(more), self.folder.path())
    }

    /// The program without scheduled tasks: only deliveries act.
    pub fn serve_deliveries_only(&self) -> Serve {
        self.serve(&["--catch-up-every", "off", "--reconcile-every", "off"])
    }

    /// Posts events as Okta does; `None` when there was no answer.
    pub async fn deliver(&self, serve: &Serve, events: &[LogEvent]) -> Option<u16> {
        let body = self.okta.world().delivery(events);
        let request = self.http.post(&serve.hook).header("authorization", SECRET);
        let answer = request.json(&body).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Registers and verifies the hook at Okta, through Okta's API.
    pub async fn register(&self, serve: &Serve, types: &[&str]) {
        let hooks = format!("{}/api/v1/eventHooks", self.okta.base_url());
        let made = self
            .okta_post(
                &hooks,
                &json!({
                    "name": "provisioner",
                    "events": {"type": "EVENT_TYPE", "items": types},
                    "channel": {"type": "HTTP", "version": "1.0.0", "config": {
                        "uri": serve.hook, "headers": [],
                        "authScheme": {"type": "HEADER", "key": "Authorization", "value": SECRET},
                    }},
                }),
            )
            .await;
        let id = made["id"].as_str().unwrap();
        let verified = self
            .okta_post(&format!("{hooks}/{id}/lifecycle/verify"), &json!({}))
            .await;
        assert_eq!(verified["verificationStatus"], "VERIFIED");
    }

    async fn okta_post(&self, url: &str, body: &Value) -> Value {
        let request = self.http.post(url).json(body);
        let request = request.header("authorization", "SSWS simulated-okta-token");
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap()
    }
}

/// A running program. Dropping it kills it, and fails the test if its log holds planted text.
pub struct Serve {
    child: Child,
    pub hook: String,
    pub status: String,
    pub log: PathBuf,
}

impl Serve {
    /// Starts a command of [`Remotes::command`] and waits until it listens.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let log = folder.join("serve.log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            said.push_str(&line);
            if line == "}" {
                break;
            }
        }
        let Ok(said) = serde_json::from_str::<Value>(&said) else {
            panic!(
                "serve does not start: {}",
                std::fs::read_to_string(&log).unwrap()
            );
        };
        Self {
            child,
            hook: said["listens"].as_str().expect("an address").to_owned(),
            status: said["status"].as_str().unwrap_or_default().to_owned(),
            log,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the program ends.
    pub async fn ended(mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Peak resident memory in KiB.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// CPU time so far, in clock ticks.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    pub async fn get(&self, remotes: &Remotes, path: &str) -> (u16, String) {
        self.try_get(remotes, path).await.unwrap()
    }

    /// `None` if there was no answer.
    pub async fn try_get(&self, remotes: &Remotes, path: &str) -> Option<(u16, String)> {
        let url = format!("{}{}", self.status.trim_end_matches('/'), path);
        let answer = remotes.http.get(url).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub async fn overview(&self, remotes: &Remotes) -> Value {
        let (status, body) = self.get(remotes, "/status.json").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["overview"].take()
    }

    /// Waits until the queue is empty.
    pub async fn settled(&self, remotes: &Remotes) {
        let begun = Instant::now();
        loop {
            let overview = self.overview(remotes).await;
            let queue = &overview["queue"];
            if queue["waiting"] == 0 && queue["in_flight"] == 0 {
                return;
            }
            assert!(
                begun.elapsed() < LONG * 2,
                "not settled: {queue}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A separate process may have deleted its folder.
        if let (false, Ok(said)) = (std::thread::panicking(), std::fs::read_to_string(&self.log)) {
            crate::planted::check("the log of serve", &said, &[]);
        }
    }
}
