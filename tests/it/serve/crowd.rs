//! Many connections, and many requests without the secret.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Remotes, SECRET, Serve};

/// More than the program serves at once.
const CROWD: usize = 700;

fn address(serve: &Serve) -> SocketAddr {
    let address = serve.hook.trim_start_matches("http://");
    address.trim_end_matches('/').parse().unwrap()
}

/// Connections that send `text` and nothing more; whoever is closed comes back.
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
async fn who_opens_many_connections_does_not_shut_okta_out() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    for text in ["", "POST / HTTP/1.1\r\nhost: x\r\nauth"] {
        let crowd = crowd(&serve, text);
        let full = Instant::now();
        while door(&serve, &remotes).await["connections"]["evicted"] == 0 {
            assert!(full.elapsed() < super::LONG, "never full");
        }
        for n in 0..8 {
            let user = remotes.user(&format!("user{n}x{}", text.len()));
            // Okta opens a connection for each.
            let okta = reqwest::Client::builder()
                .timeout(Duration::from_secs(3))
                .build();
            let events = remotes.assign(&user);
            let body = remotes.okta.world().delivery(&events);
            let request = okta.unwrap().post(&serve.hook).json(&body);
            let answer = request.header("authorization", SECRET).send().await;
            assert_eq!(answer.unwrap().status(), 204, "{text} {n}");
        }
        let ready = serve.get(&remotes, "/ready").await;
        assert_eq!(ready.0, 200);
        assert!(ready.1.contains("connections run out"), "{}", ready.1);
        drop(crowd);
    }
    serve.settled(&remotes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_connections_are_used_it_is_not_ready() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    // With the secret, and half a body.
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
async fn strangers_write_no_log() {
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
            // It closes after the first.
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
async fn asking_whether_it_is_ready_writes_nothing_for_strangers() {
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
