//! Many connections, and many requests without the secret.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::file::ended;
use super::{Remotes, SECRET, Serve};

/// More connections than the program serves at once.
const CROWD: usize = 700;

fn address(serve: &Serve) -> SocketAddr {
    let address = serve.hook.trim_start_matches("http://");
    address.trim_end_matches('/').parse().unwrap()
}

/// Connections that send only `text`. A closed one reconnects.
fn crowd(serve: &Serve, text: &'static str) -> JoinSet<()> {
    let address = address(serve);
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(address).await {
                    let _ = stream.write_all(text.as_bytes()).await;
                    let _ = stream.read(&mut [0]).await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    crowd
}

async fn door(serve: &Serve, remotes: &Remotes) -> serde_json::Value {
    let (_, body) = serve.get(remotes, "/status.json").await;
    serde_json::from_str::<serde_json::Value>(&body).unwrap()["door"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_do_not_lock_okta_out() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    for text in ["", "POST / HTTP/1.1\r\nhost: x\r\nauth"] {
        let crowd = crowd(&serve, text);
        let full = Instant::now();
        while door(&serve, &remotes).await["connections"]["evicted"] == 0 {
            assert!(full.elapsed() < super::LONG, "never full");
        }
        for n in 0..8 {
            let status = delivered(&serve, &remotes, &format!("user{n}x{}", text.len())).await;
            assert_eq!(status, 204, "{text} {n}");
        }
        let ready = serve.get(&remotes, "/ready").await;
        assert_eq!(ready.0, 200);
        assert!(ready.1.contains("connections run out"), "{}", ready.1);
        assert!(metric(&serve, &remotes, "evicted_total").await > Some(0));
        assert!(metric(&serve, &remotes, "connections").await > Some(256));
        drop(crowd);
    }
    serve.settled(&remotes).await;
}

/// The program, started after `ulimit` with these arguments.
fn under_ulimit(remotes: &Remotes, arguments: &str) -> Command {
    let serve = remotes.command(&["--catch-up-every", "off", "--reconcile-every", "off"]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit {arguments}; exec \"$0\" \"$@\"")])
        .arg(serve.get_program())
        .args(serve.get_args())
        .env_clear()
        .stdin(std::process::Stdio::null());
    for (name, value) in serve.get_envs() {
        limited.env(name, value.unwrap());
    }
    limited
}

/// A delivery on its own connection, like Okta's. It is sent again if the first one gets no answer.
async fn delivered(serve: &Serve, remotes: &Remotes, name: &str) -> u16 {
    let okta = reqwest::Client::builder().timeout(Duration::from_secs(3));
    let events = remotes.assign(&remotes.user(name));
    let body = remotes.okta.world().delivery(&events);
    let request = okta.build().unwrap().post(&serve.hook).json(&body);
    let request = request.header("authorization", SECRET);
    // Once, as Okta does. A connection that is silent for a moment has to make room for others.
    let repeated = request.try_clone().unwrap();
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(_) => repeated.send().await.unwrap(),
    };
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_open_file_limit_reduces_connections_but_locks_nobody_out() {
    // The program raises the soft limit. Under a low hard limit it serves fewer connections.
    for (limit, places) in [("-Sn 256", 512), ("-n 256", 128)] {
        let remotes = Remotes::start().await;
        let serve = Serve::start(under_ulimit(&remotes, limit), remotes.folder.path());
        assert_eq!(
            door(&serve, &remotes).await["connections"]["max"],
            places,
            "{limit}"
        );
        let crowd = crowd(&serve, "");
        let full = Instant::now();
        while door(&serve, &remotes).await["connections"]["evicted"] == 0 {
            assert!(full.elapsed() < super::LONG, "never full");
        }
        for n in 0..8 {
            let status = delivered(&serve, &remotes, &format!("user{n}")).await;
            assert_eq!(status, 204, "{limit} {n}");
        }
        let connections = door(&serve, &remotes).await["connections"].take();
        assert_eq!(connections["accept_failures"], 0, "{limit}");
        assert!(connections["open"].as_u64() <= connections["max"].as_u64());
        let ready = serve.get(&remotes, "/ready").await;
        assert!(ready.1.contains("connections run out"), "{ready:?}");
        drop(crowd);
        serve.settled(&remotes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_too_low_open_file_limit_is_reported_at_the_start() {
    let remotes = Remotes::start().await;
    let (code, said) = ended(under_ulimit(&remotes, "-n 100")).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("only 100 files") && said.contains("LimitNOFILE"),
        "{said}"
    );
}

/// The value of one metric. `None`: the page did not answer.
async fn metric(serve: &Serve, remotes: &Remotes, name: &str) -> Option<u64> {
    let (_, metrics) = serve.try_get(remotes, "/metrics").await?;
    let name = format!("okta_anypoint_{name} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name))?;
    line.parse().ok()
}

/// How many connections the system refused. `None`: the page did not answer.
async fn refused_accepts(serve: &Serve, remotes: &Remotes) -> Option<u64> {
    metric(serve, remotes, "accept_failures_total").await
}

/// Other parts of the program, or other programs, have used up the descriptors.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_close_when_file_descriptors_run_out() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    // This keeps a connection to the status page open.
    assert_eq!(serve.get(&remotes, "/ready").await.0, 200);
    let limit_to = |files: u64| {
        let pid = rustix::process::Pid::from_raw(serve.pid() as i32);
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current = Some(files);
        rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    };
    limit_to(100);
    let began = Instant::now();
    let silent = crowd(&serve, "");
    // For a while the status page may lack a file descriptor, too.
    while refused_accepts(&serve, &remotes).await.unwrap_or_default() == 0 {
        assert!(began.elapsed() < super::LONG * 3, "never refused");
    }
    for n in 0..8 {
        let status = delivered(&serve, &remotes, &format!("user{n}")).await;
        assert_eq!(status, 204, "{n}");
    }
    drop(silent);
    // Without an idle connection to close, it does not report ready. It may not answer at all, because its own page needs
    // a descriptor, too.
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\ncontent-length: 9\r\n\r\n{{"
    );
    let busy = crowd(&serve, head.leak());
    let began = Instant::now();
    let refused = "the system gives no more connections: too many open files\n";
    loop {
        match serve.try_get(&remotes, "/ready").await {
            Some((200, _)) => assert!(began.elapsed() < super::LONG * 3, "always ready"),
            Some(answer) => break assert_eq!(answer, (503, refused.to_owned())),
            None => break,
        }
    }
    drop(busy);
    limit_to(1_000);
    let began = Instant::now();
    while refused_accepts(&serve, &remotes).await.unwrap_or_default() == 0 {
        assert!(began.elapsed() < super::LONG * 3, "not counted");
    }
    while serve
        .try_get(&remotes, "/ready")
        .await
        .is_none_or(|(code, _)| code != 200)
    {
        let _ = delivered(
            &serve,
            &remotes,
            &format!("late{}", began.elapsed().as_nanos()),
        )
        .await;
        assert!(began.elapsed() < super::LONG * 3, "{}", serve.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_makes_serve_unready() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    assert_eq!(serve.get(&remotes, "/ready").await.0, 200);
    let file = Connection::open(remotes.data()).unwrap();
    let wait = |messages: u32| {
        let sql = "UPDATE queue_length SET live = ?1";
        file.execute(sql, [messages]).unwrap();
    };
    for (messages, ready) in [(299_999, 200), (300_000, 503), (0, 200)] {
        wait(messages);
        let (status, text) = serve.get(&remotes, "/ready").await;
        assert_eq!(status, ready, "{messages}: {text}");
        if ready == 503 {
            assert_eq!(text, "the queue is full\n");
            let events = remotes.assign(&remotes.user("ada"));
            assert_eq!(remotes.deliver(&serve, &events).await, Some(503));
            let waiting = "queue_messages{state=\"waiting\"}";
            let waiting = metric(&serve, &remotes, waiting).await;
            assert_eq!(waiting, Some(300_000));
            let not_queued = "not_queued_total{cause=\"limit_reached\"}";
            assert!(metric(&serve, &remotes, not_queued).await > Some(0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn using_all_connections_makes_serve_unready() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    // With the secret, but only half a body.
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\ncontent-length: 9\r\n\r\n{{"
    );
    let crowd = crowd(&serve, head.leak());
    let began = Instant::now();
    loop {
        let ready = serve.get(&remotes, "/ready").await;
        if ready == (503, "all connections are in use\n".to_owned()) {
            break;
        }
        assert!(began.elapsed() < super::LONG, "{ready:?}");
    }
    drop(crowd);
    while serve.get(&remotes, "/ready").await.0 != 200 {
        assert!(began.elapsed() < super::LONG, "{}", serve.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_the_secret_fill_no_log() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let before = serve.log().len();
    let address = address(&serve);
    let until = Instant::now() + Duration::from_secs(2);
    let sender = || async move {
        let mut refused = 0;
        while Instant::now() < until {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = "GET / HTTP/1.1\r\nhost: x\r\nauthorization: wrong\r\n\r\n".repeat(20);
            // The server closes after the first request.
            let _ = stream.write_all(request.as_bytes()).await;
            let mut answers = String::new();
            let _ = stream.read_to_string(&mut answers).await;
            assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{answers}");
            refused += answers.matches("HTTP/1.1 401").count();
        }
        refused
    };
    let (one, two) = tokio::join!(sender(), sender());
    let log = serve.log();
    let written = &log[before..];
    assert!(one + two > 100, "{one} {two}");
    assert_eq!(
        written
            .matches("refused requests without the right secret")
            .count(),
        1,
        "{written}"
    );
    assert!(written.len() < 2_000, "{written}");
    let counted = door(&serve, &remotes).await["refused"].as_u64().unwrap();
    assert!(counted >= (one + two) as u64, "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_checks_write_nothing_for_strangers() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let file = Connection::open(remotes.data()).unwrap();
    let writes = || {
        let sql = "SELECT COALESCE(SUM(version), 0) FROM documents WHERE name = 'serve#probe'";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(serve.get(&remotes, "/ready").await.0, 200);
    assert_eq!(writes(), 1);
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "127.0.0.1:80@evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let request = remotes.http.get(format!("{}ready", serve.status));
        let answer = request.header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}: {value}");
        assert_eq!(writes(), 1, "{name}: {value}");
    }
}
