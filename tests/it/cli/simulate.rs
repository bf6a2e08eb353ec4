use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::PROGRAM;

/// A running `simulate --json`, ended with the signal that service managers send.
struct Simulators {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    settings: Value,
}

impl Simulators {
    fn start(state: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .args([
                "simulate",
                "--json",
                "--okta",
                "127.0.0.1:0",
                "--anypoint",
                "127.0.0.1:0",
            ])
            .args(["--state".as_ref(), state.as_os_str()])
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let first: Value = serde_json::from_str(&first).unwrap();
        Self {
            child,
            lines,
            settings: first["settings"].clone(),
        }
    }

    async fn okta(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!(
            "{}/api/v1{path}",
            self.settings["OKTA_ORG_URL"].as_str().unwrap()
        );
        let token = format!("SSWS {}", self.settings["OKTA_API_TOKEN"].as_str().unwrap());
        // The first call in this process installs it. Later calls would install the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = reqwest::Client::new()
            .request(method.parse().unwrap(), url)
            .header("authorization", token)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(
            answer.status().is_success(),
            "{method} {path}: {}",
            answer.status()
        );
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    async fn control(&self, what: &str) -> Value {
        let okta = self.settings["OKTA_ORG_URL"].as_str().unwrap();
        let answer = reqwest::get(format!("{okta}/_simulator/{what}")).await;
        serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap()
    }

    fn next_line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("sh")
            .args(["-c", &format!("kill -TERM {pid}")])
            .status();
        assert!(told.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Simulators {
    fn drop(&mut self) {
        // Needed only if a test ended early.
        let _ = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_outlives_the_simulators() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("world.json");
    let mut first = Simulators::start(&state);
    assert!(state.exists(), "the first state is saved at once");
    let ada = first
        .okta("GET", "/users/ada.lovelace@acme.example", json!(null))
        .await;
    assert_eq!(ada["id"], "00uADA0000000001");
    assert_eq!(
        first.next_line()["path"],
        "/api/v1/users/ada.lovelace@acme.example"
    );
    let profile = json!({"profile": {"lastName": "King"}});
    first.okta("POST", "/users/00uADA0000000001", profile).await;
    assert_eq!(first.next_line()["method"], "POST");
    first.stop();
    let leftovers: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(leftovers.len(), 1, "{leftovers:?}");

    let second = Simulators::start(&state);
    let ada = second
        .okta("GET", "/users/00uADA0000000001", json!(null))
        .await;
    assert_eq!(ada["profile"]["lastName"], "King");
    second.stop();
}

#[tokio::test]
async fn an_unreadable_state_and_a_taken_address_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("world.json");
    let free = [
        "simulate",
        "--okta",
        "127.0.0.1:0",
        "--anypoint",
        "127.0.0.1:0",
    ];
    let with = |more: &[&str]| {
        let arguments: Vec<String> = free
            .iter()
            .chain(more)
            .map(|text| (*text).to_owned())
            .collect();
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            super::run(&Default::default(), &arguments).await
        }
    };
    for wrong in ["", "[]", r#"{"okta": []}"#, r#"{"okta": {}, "more": 1}"#] {
        std::fs::write(&state, wrong).unwrap();
        with(&["--state", state.to_str().unwrap()])
            .await
            .expect(2)
            .says("is not a state of the simulators");
        assert_eq!(std::fs::read_to_string(&state).unwrap(), wrong);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    super::run(&Default::default(), &["simulate", "--okta", &address])
        .await
        .expect(1)
        .says("--okta");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undocumented_requests_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut simulators = Simulators::start(&folder.path().join("world.json"));
    simulators
        .okta("GET", "/users?colour=red", json!(null))
        .await;
    let line = simulators.next_line();
    assert_eq!(
        line["unexpected"],
        json!(["GET /api/v1/users: undocumented query parameter `colour`"])
    );
    simulators.stop();
}

/// The commands in the help work unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_help_work() {
    let help = super::run(&Default::default(), &["simulate", "--help"]).await;
    let (_, examples) = help.out.split_once("Change the simulated Okta").unwrap();
    let examples = examples.split("\nA fault:").next().unwrap();
    let lines: Vec<&str> = examples
        .lines()
        .filter(|line| line.starts_with("  "))
        .collect();
    let lines = lines.join("\n");
    assert_eq!(lines.matches("curl -s").count(), 11, "{lines}");

    let folder = tempfile::tempdir().unwrap();
    let simulators = Simulators::start(&folder.path().join("world.json"));
    let okta = simulators.settings["OKTA_ORG_URL"].as_str().unwrap();
    let lines = lines.replace("http://127.0.0.1:8081", okta);
    // With -f, curl fails on a refusal.
    let lines = lines.replace("curl -s", "curl -fsS");
    let ran = Command::new("sh").args(["-euc", &lines]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let grace = simulators
        .okta("GET", "/users/00uGRACE00000002", json!(null))
        .await;
    assert_eq!(grace["status"], "SUSPENDED");
    assert_eq!(grace["profile"]["lastName"], "Murray Hopper");
    let groups = simulators
        .okta("GET", "/users/00uGRACE00000002/groups", json!(null))
        .await;
    assert!(groups.to_string().contains("00gINTEGRATORS1"), "{groups}");
    let faults = simulators.control("faults").await;
    let kind = |n: usize| &faults[n]["fault"]["kind"];
    assert_eq!(kind(0), &json!({"not_found": "service"}));
    assert_eq!(kind(1), "empty_list");
    assert_eq!(
        (&faults[0]["set"], &faults[1]["set"]),
        (&json!(false), &json!(false))
    );
    let world = simulators.control("world").await;
    assert_eq!(world["oauth"]["token_lifetime_s"], 60);
    simulators.stop();
}
