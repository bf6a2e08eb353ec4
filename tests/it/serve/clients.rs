//! Slow clients, large requests, and strangers.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{LONG, Remotes, SECRET, Serve};

async fn connect(serve: &Serve) -> TcpStream {
    let address = serve
        .hook
        .trim_start_matches("http://")
        .trim_end_matches('/');
    TcpStream::connect(address).await.unwrap()
}

/// All bytes until the other side closes, and how long that took.
async fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    // A reset counts as an end, too.
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    (String::from_utf8(bytes).unwrap(), begun.elapsed())
}

async fn say(serve: &Serve, text: &str) -> TcpStream {
    let mut stream = connect(serve).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_lose_their_connections() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    // No bytes, half a head, and a head with half a body.
    let silent = connect(&serve).await;
    let half_head = say(&serve, "POST / HTTP/1.1\r\nhost: x\r\nauthor").await;
    let half_body = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\ncontent-length: 900\r\n\r\n{{"
    );
    let half_body = say(&serve, &half_body).await;
    let (silent, half_head, half_body) = tokio::join!(
        until_closed(silent),
        until_closed(half_head),
        until_closed(half_body)
    );
    assert_eq!(silent.0, "");
    assert!(
        half_head.0.is_empty() || half_head.0.starts_with("HTTP/1.1 408"),
        "{}",
        half_head.0
    );
    assert!(silent.1 < Duration::from_secs(8) && half_head.1 < Duration::from_secs(8));
    assert!(half_body.0.starts_with("HTTP/1.1 503"), "{}", half_body.0);
    assert!(
        half_body.1 < Duration::from_millis(2_500),
        "{:?}",
        half_body.1
    );
    // Many of them lock no other client out.
    let mut many = Vec::new();
    for _ in 0..200 {
        many.push(say(&serve, "POST / HTTP/1.1\r\n").await);
    }
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
}

/// A client may close its half after the request, and wait for the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_connection_still_gets_its_answer() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let mut uuids = Vec::new();
    for n in 0..10 {
        let events = remotes.assign(&remotes.user(&format!("user{n}")));
        let body = remotes.okta.world().delivery(&events).to_string();
        uuids.extend(events.into_iter().map(|event| event.uuid));
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\n");
        let length = body.len();
        let request = format!("{head}content-length: {length}\r\n\r\n{body}");
        let mut stream = say(&serve, &request).await;
        stream.shutdown().await.unwrap();
        let (answer, took) = until_closed(stream).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{n}: {answer}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    serve.settled(&remotes).await;
    let (_, status) = serve.get(&remotes, "/status.json").await;
    for uuid in uuids {
        assert!(status.contains(&uuid), "{uuid}: {status}");
    }
    // The status page is a separate server.
    let address = serve
        .status
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    let page = "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    stream.write_all(page.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (answer, _) = until_closed(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Such a request cannot keep a connection.
    let half_body = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\ncontent-length: 900\r\n\r\n{{"
    );
    for text in ["", "POST / HTTP/1.1\r\nhost: x\r\nauthor", &half_body] {
        let mut stream = say(&serve, text).await;
        stream.shutdown().await.unwrap();
        let (answer, took) = until_closed(stream).await;
        assert!(!answer.contains(" 204 "), "{answer}");
        assert!(took < Duration::from_secs(2), "{text}: {took:?}");
    }
}

/// hyper closes on the preface of HTTP/2 without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_http_1_is_answered_and_counted() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let header = "x".repeat(200 * 1024);
    let long = format!("GET / HTTP/1.1\r\nx-large: {header}\r\n\r\n");
    for (text, status) in [
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1} this is TLS \r\n\r\n", 400),
        (&long, 431),
    ] {
        let (answer, _) = until_closed(say(&serve, text).await).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let begun = Instant::now();
    loop {
        let (_, metrics) = serve.get(&remotes, "/metrics").await;
        if metrics.contains("okta_anypoint_unreadable_requests_total 3\n") {
            break;
        }
        assert!(begun.elapsed() < LONG, "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_refused_early() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\n");
    let announced = say(&serve, &format!("{head}content-length: 1048577\r\n\r\n")).await;
    assert!(until_closed(announced).await.0.starts_with("HTTP/1.1 413"));
    let exact = "x".repeat(1024 * 1024);
    for (body, status) in [(exact.clone(), 400), (exact + "x", 413)] {
        let mut stream = say(&serve, &format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
        // The receiver refuses a request that is too large before its end.
        let end = if status == 413 { "" } else { "0\r\n\r\n" };
        let chunk = format!("{:x}\r\n{body}\r\n{end}", body.len());
        // A client that is refused early may see the connection close while it still sends.
        let _ = stream.write_all(chunk.as_bytes()).await;
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first, format!("HTTP/1.1 {status}").as_bytes());
    }
    let header = "x".repeat(200 * 1024);
    let answer = say(&serve, &format!("{head}x-large: {header}\r\n\r\n")).await;
    assert!(until_closed(answer).await.0.starts_with("HTTP/1.1 431"));
}

/// Many clients write everything before they read. Closing on them would reset the connection, and the reset throws
/// the answer away.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_writes_everything_first_can_read_the_refusal() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\n");
    let mib = "x".repeat(1024 * 1024);
    let eight = mib.repeat(8);
    let announced = format!("{head}content-length: {}\r\n\r\n{eight}", eight.len());
    let chunks = format!("{:x}\r\n{mib}\r\n", mib.len()).repeat(8);
    let in_chunks = format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    for _ in 0..3 {
        for request in [&announced, &in_chunks] {
            let mut stream = connect(&serve).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            // So that the other side's reaction has arrived.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
    }
    // There is a limit: a client that never stops is cut off.
    let mut stream = say(&serve, &format!("{head}content-length: 900000000\r\n\r\n")).await;
    let endless = async { while stream.write_all(mib.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(8), endless)
        .await
        .expect("cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_the_secret_get_nothing_on_any_path() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    for path in ["", "okta", "status", "health", "ready", "../etc/passwd"] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            for secret in [None, Some(""), Some("wrong"), Some("hook-secret-7f3")] {
                let url = format!("{}{path}", serve.hook);
                let mut request = remotes.http.request(method.parse().unwrap(), url);
                if let Some(secret) = secret {
                    request = request.header("authorization", secret);
                }
                let answer = request.body("{}").send().await.unwrap();
                assert_eq!(answer.status(), 401, "{method} {path}");
                assert_eq!(answer.text().await.unwrap(), "");
            }
        }
    }
    // Refused before the body has arrived.
    let stranger = say(
        &serve,
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n",
    )
    .await;
    assert!(until_closed(stranger).await.0.starts_with("HTTP/1.1 401"));
    let put = remotes
        .http
        .put(&serve.hook)
        .header("authorization", SECRET)
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 405);
    assert_eq!(put.headers()["allow"], "GET, POST");
    assert_eq!(serve.overview(&remotes).await["queue"]["waiting"], 0);
}
