//! `/metrics`, scraped by a real Prometheus, and the alerts and the dashboard that use it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use okta_anypoint::clock::{Clock as _, SystemClock};
use okta_anypoint::schedule::CREDENTIAL;
use serde_json::{Value, json};

use super::{LONG, Remotes, Serve};

/// A program of Debian's package `prometheus`, from the PATH or from `tools/setup`.
fn program(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/prometheus/usr/bin");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .chain([here])
        .map(|folder| folder.join(name))
        .find(|program| program.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: run tools/setup"))
}

fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("monitoring")
        .join(file)
}

/// The output of `command`, which must succeed.
fn passes(command: &mut Command, input: &str) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// The names with this program's prefix in a text.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c))
        .filter(|name| name.starts_with("okta_anypoint_"))
        .map(str::to_owned)
        .collect()
}

/// One event that is done, and one that failed for good.
async fn scene(options: &[&str]) -> (Remotes, Serve) {
    let remotes = Remotes::start().await;
    let serve = remotes.serve(options);
    let done = remotes.user("ada");
    let refused = remotes.user("lin");
    let mut events = remotes.assign(&done);
    let bad = remotes
        .okta
        .world()
        .assign_with_username(super::APP, &refused, "no spaces allowed");
    events.extend(bad.unwrap());
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    let unknown = remotes.http.post(&serve.hook).send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    serve.settled(&remotes).await;
    (remotes, serve)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_the_results_of_events() {
    let deliveries_only = ["--catch-up-every", "off", "--reconcile-every", "off"];
    let (remotes, serve) = scene(&deliveries_only).await;
    let (status, text) = serve.get(&remotes, "/metrics").await;
    assert_eq!(status, 200, "{text}");
    passes(
        Command::new(program("promtool")).args(["check", "metrics"]),
        &text,
    );
    for line in [
        "okta_anypoint_received_total 2",
        "okta_anypoint_applied_total{action=\"create_account\"} 1",
        "okta_anypoint_failed_total{class=\"permanent\"} 1",
        "okta_anypoint_failed_total{class=\"retryable\"} 0",
        "okta_anypoint_failed_by_cause_total{class=\"permanent\",cause=\"username_invalid\"} 1",
        "okta_anypoint_records{state=\"done\"} 1",
        "okta_anypoint_records{state=\"failed_permanent\"} 1",
        "okta_anypoint_queue_messages{state=\"waiting\"} 0",
        "okta_anypoint_queue_oldest_age_seconds 0",
        "okta_anypoint_links{kind=\"user\",origin=\"created\"} 1",
        "okta_anypoint_http_answers_total{code=\"204\"} 1",
        "okta_anypoint_http_answers_total{code=\"401\"} 1",
        "okta_anypoint_http_answers_total{code=\"503\"} 0",
        "okta_anypoint_age_seconds_count 1",
        // The counters rise at once.
        "okta_anypoint_refused_total 1",
        "okta_anypoint_evicted_total 0",
        "okta_anypoint_accept_failures_total 0",
        "okta_anypoint_unreadable_requests_total 0",
        "okta_anypoint_connection_places 512",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    for personal in ["acme.example", "00u", "0oa", "no spaces"] {
        assert!(!text.contains(personal), "{personal}: {text}");
    }
    // A monitor may use any name of this machine. The pages answer only to local names.
    let ask = async |path: &str| {
        let url = format!("{}{path}", serve.status);
        let request = remotes
            .http
            .get(url)
            .header("host", "anypoint.corp.example:8088");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask("metrics").await, ask("").await), (200, 403));
    // The second scrape continues the counts.
    assert_eq!(
        remotes
            .deliver(&serve, &remotes.assign(&remotes.user("kay")))
            .await,
        Some(204)
    );
    serve.settled(&remotes).await;
    let (_, text) = serve.get(&remotes, "/metrics").await;
    assert!(text.contains("okta_anypoint_received_total 3\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_use_existing_metrics() {
    let promtool = program("promtool");
    let folder = monitoring("");
    let check = |arguments: &[&str]| {
        passes(
            Command::new(&promtool).current_dir(&folder).args(arguments),
            "",
        );
    };
    check(&["check", "config", "prometheus.yml"]);
    check(&["test", "rules", "alerts.test.yml"]);

    let (remotes, serve) = scene(&[]).await;
    // The catch-up that runs at the start leaves its report.
    let begun = Instant::now();
    let scraped = loop {
        let (_, text) = serve.get(&remotes, "/metrics").await;
        if text.contains("okta_anypoint_task_last_run_timestamp_seconds{task=\"catch_up\"}") {
            break text;
        }
        assert!(
            begun.elapsed() < LONG,
            "no catch-up: {text}\n{}",
            serve.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let there = names(&scraped);
    for file in ["alerts.yml", "alerts.test.yml", "grafana.json"] {
        let text = std::fs::read_to_string(monitoring(file)).unwrap();
        let missing: Vec<_> = names(&text)
            .into_iter()
            .filter(|name| !there.contains(name))
            .collect();
        assert!(
            missing.is_empty(),
            "{file} reads {missing:?}, which nothing says"
        );
    }
    // The played counters begin at 0, as those of `serve` do: else nobody sees the first increase.
    let played = std::fs::read_to_string(monitoring("alerts.test.yml")).unwrap();
    let played = played
        .lines()
        .filter_map(|line| line.split_once("series: "));
    let played = played.filter_map(|(_, series)| series.split(", values").next());
    let counters: BTreeSet<_> = played
        .map(|series| series.trim_matches('\''))
        .filter(|series| series.contains("_total"))
        .collect();
    assert!(counters.len() > 5, "{counters:?}");
    for counter in counters {
        let is_there = |line: &str| {
            line.strip_prefix(counter)
                .is_some_and(|end| end.starts_with(' '))
        };
        assert!(scraped.lines().any(is_there), "{counter}: {scraped}");
    }
    let dashboard = std::fs::read_to_string(monitoring("grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
}

/// The gauge and the page show the credential's expiry from the last reconcile, relative to the current time.
#[tokio::test(flavor = "multi_thread")]
async fn gauge_and_page_show_when_the_credential_expires() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let file = rusqlite::Connection::open(remotes.data()).unwrap();
    let now_ms = SystemClock.now_ms();
    let note = |life: Value| {
        let mut noted = life;
        noted["checked_at_ms"] = now_ms.into();
        let sql = "INSERT OR REPLACE INTO documents (name, json, version) VALUES (?1, ?2, 1)";
        file.execute(sql, (CREDENTIAL, noted.to_string())).unwrap();
    };
    let gauge = "okta_anypoint_credential_ends_in_days{side=\"okta\"} ";
    let (_, text) = serve.get(&remotes, "/metrics").await;
    assert!(!text.contains(gauge), "{text}");
    let token =
        |days: i64| json!({"ends_ms": now_ms + days * 86_400_000 + 600_000, "last_used_ms": null});
    for (days, warns) in [(20, false), (10, true)] {
        note(json!({"credential": "api_token", "tokens": [token(days)]}));
        let (_, text) = serve.get(&remotes, "/metrics").await;
        assert!(text.contains(&format!("{gauge}{days}\n")), "{text}");
        let (_, page) = serve.get(&remotes, "/").await;
        assert!(page.contains(&format!("({days} days left)")), "{page}");
        assert_eq!(page.contains("make another token in Okta"), warns);
    }
    for life in [
        json!({"credential": "service_app"}),
        json!({"credential": "api_token", "tokens": [token(3), token(5)]}),
        json!({"credential": "untold", "why": "no <right>"}),
    ] {
        note(life.clone());
        let (_, text) = serve.get(&remotes, "/metrics").await;
        assert!(!text.contains(gauge), "{life}: {text}");
        let (_, page) = serve.get(&remotes, "/").await;
        assert!(page.contains("Credential at Okta") && !page.contains("<right>"));
    }
}

/// Each pause shows in its own gauge.
#[tokio::test(flavor = "multi_thread")]
async fn gauges_show_a_pause() {
    let mut remotes = Remotes::start().await;
    let command = |remotes: &Remotes, word: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_okta-anypoint"));
        command.env_clear().args([word, "--data"]);
        let ended = command.arg(remotes.data()).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    let shown = async |remotes: &Remotes, serve: &Serve| {
        let (_, text) = serve.get(remotes, "/metrics").await;
        ["setting", "command"].map(|by| {
            let line = format!("okta_anypoint_paused{{by=\"{by}\"}} ");
            let found = text.lines().find_map(|found| found.strip_prefix(&line));
            found.unwrap_or_else(|| panic!("{text}")).to_owned()
        })
    };
    let serve = remotes.serve_deliveries_only();
    assert_eq!(shown(&remotes, &serve).await, ["0", "0"]);
    command(&remotes, "pause");
    assert_eq!(shown(&remotes, &serve).await, ["0", "1"]);
    drop(serve);
    remotes.settings.push(("CHANGES", "pause"));
    let serve = remotes.serve_deliveries_only();
    assert_eq!(shown(&remotes, &serve).await, ["1", "1"]);
    // A command without settings uses those of `serve`.
    let mut resume = Command::new(env!("CARGO_BIN_EXE_okta-anypoint"));
    resume
        .env_clear()
        .args(["resume", "--data"])
        .arg(remotes.data());
    let resumed = resume.output().unwrap();
    let said = String::from_utf8_lossy(&resumed.stdout).into_owned();
    assert_eq!(resumed.status.code(), Some(1), "{said}");
    assert!(said.contains("CHANGES=pause still pauses"), "{said}");
    let (_, page) = serve.get(&remotes, "/").await;
    assert!(
        page.contains("Changes are paused by CHANGES=pause."),
        "{page}"
    );
    let mut status = Command::new(env!("CARGO_BIN_EXE_okta-anypoint"));
    status
        .env_clear()
        .args(["status", "--data"])
        .arg(remotes.data());
    let said = status.output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("changes: paused by CHANGES=pause"), "{said}");
    assert!(!said.contains("commands here follow"), "{said}");
    assert_eq!(shown(&remotes, &serve).await, ["1", "0"]);
}

/// A running Prometheus.
struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    fn start(folder: &Path, target: &str) -> Self {
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [{"job_name": "okta-anypoint", "static_configs": [{"targets": [target]}]}],
            "rule_files": [monitoring("alerts.yml")],
        });
        // JSON is valid YAML.
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("prometheus").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    /// The value of a query, or `None` if there is none yet.
    async fn value(&self, remotes: &Remotes, query: &str) -> Option<String> {
        let url = format!("{}/api/v1/query", self.url);
        let answer = remotes
            .http
            .get(url)
            .query(&[("query", query)])
            .send()
            .await
            .ok()?;
        let answer: Value = answer.json().await.ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_serve_and_fires_the_failure_alert() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let target = serve
        .status
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let prometheus = Prometheus::start(remotes.folder.path(), &target);
    let wait_for = async |query: &str, value: &str| {
        let begun = Instant::now();
        loop {
            let found = prometheus.value(&remotes, query).await;
            if found.as_deref() == Some(value) {
                return;
            }
            assert!(begun.elapsed() < LONG, "{query}: {found:?}, not {value}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    wait_for("up{job=\"okta-anypoint\"}", "1").await;
    wait_for("okta_anypoint_failed_total{class=\"permanent\"}", "0").await;
    let refused = remotes.user("lin");
    let events =
        remotes
            .okta
            .world()
            .assign_with_username(super::APP, &refused, "no spaces allowed");
    assert_eq!(remotes.deliver(&serve, &events.unwrap()).await, Some(204));
    let firing = "count(ALERTS{alertname=\"OktaAnypointFailedEvents\", alertstate=\"firing\"})";
    wait_for(firing, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_needs_no_other_program() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let status = serve
        .status
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let ask = || {
        Command::new(env!("CARGO_BIN_EXE_okta-anypoint"))
            .env_clear()
            .args(["ready", "--status", &status])
            .output()
            .unwrap()
    };
    let asked = ask();
    assert_eq!(
        (asked.status.code(), asked.stdout.as_slice()),
        (Some(0), &b"ready\n"[..])
    );
    drop(serve);
    assert_eq!(ask().status.code(), Some(1));
}
