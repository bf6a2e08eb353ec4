//! A small HTTP/1.1 server that no client can tie up: connections, headers, time and life of a
//! connection are bounded, and idle connections make room for new ones ([`Connections`]).

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tower::Service;
use tower::util::{MapRequest, MapResponse};

use super::connections::{Connections, HeldPlace};
use super::stopped;
use crate::telemetry::Tally;

/// Request line and headers of one request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// After a refused `accept`, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Given to a connection whose life is over, to finish its answer.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long, and how much, a client may go on sending what was refused. Closing at once would reset the connection,
/// and the client would not see the refusal.
const MAX_LINGER: Duration = Duration::from_secs(2);
const MAX_LINGER_BYTES: u64 = 16 * 1024 * 1024;

/// The answer to a client that begins with HTTP/2.
const NO_HTTP_2: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The time that one client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first moment until the headers are complete, also between two requests.
    pub head: Duration,
    /// The life of a connection.
    pub life: Duration,
}

/// Serves `listener` with `service` until `stop` says so; then takes no more connections, finishes the requests under
/// way for at most `grace`, and returns. An answer that refuses is the last one of its connection.
pub async fn serve<S, B>(
    listener: TcpListener,
    connections: Connections,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Unpin
        + 'static,
    S::Future: Send + Unpin,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stopping = stop.clone();
    let not_accepted = Tally::default();
    loop {
        let next = async {
            let (stream, from) = listener.accept().await?;
            Ok::<_, std::io::Error>((stream, connections.enter(from.ip()).await))
        };
        let next = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            next = next => next,
        };
        match next {
            Ok((stream, held)) => {
                let (service, stop) = (service.clone(), stopping.clone());
                let counted = connections.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        ended = connection(stream, &held, limits, stop, service) => {
                            if let Ended::Unreadable = ended {
                                counted.count_unreadable();
                            }
                        }
                        () = held.told_to_leave() => {}
                    }
                });
            }
            Err(error) => {
                if let Some(times) = not_accepted.one_more() {
                    tracing::warn!(times, "connections could not be accepted: {error}");
                }
                connections.make_room(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(grace, connections.all_gone()).await.is_err() {
        tracing::warn!("some connections did not end in time and are cut");
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    held: &HeldPlace,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    service: S,
) -> Ended
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Unpin,
    S::Future: Unpin,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // An answer is one small packet, so waiting for more to send gains nothing.
    let _ = stream.set_nodelay(true);
    let refused = Arc::new(AtomicBool::new(false));
    let service = MapResponse::new(service, closing_refusals(Arc::clone(&refused)));
    let service = MapRequest::new(service, held_by(held.clone()));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client may say that it sends no more and wait for its answer. Without this, hyper drops the request.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let over = Instant::now() + limits.life;
    let mut is_first_turn = true;
    let ended = tokio::select! {
        ended = poll_fn(|cx| {
            let polled = connection.poll_without_shutdown(cx);
            if std::mem::take(&mut is_first_turn) {
                held.was_polled();
            }
            polled
        }) => Some(ended),
        () = stopped(&mut stop) => None,
        () = sleep_until(over) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            let finished = poll_fn(|cx| connection.poll_without_shutdown(cx));
            match timeout(LAST_WORDS, finished).await {
                Ok(ended) => ended,
                Err(_) => return Ended::Readable,
            }
        }
    };
    let mut stream = connection.into_parts().io.into_inner();
    let ended = match ended {
        Ok(()) => Ended::Readable,
        Err(error) => {
            // A client may go away at any time.
            tracing::debug!("a connection ended early: {error}");
            if error.is_parse_version_h2() {
                // The only request that hyper leaves without an answer. A client that is gone misses nothing.
                let _ = stream.write_all(NO_HTTP_2).await;
            }
            match error.is_parse() {
                true => Ended::Unreadable,
                false => Ended::Readable,
            }
        }
    };
    let said_goodbye = stream.shutdown().await.is_ok();
    if said_goodbye && (ended == Ended::Unreadable || refused.load(Ordering::Relaxed)) {
        linger(stream).await;
    }
    ended
}

/// What a connection carried.
#[derive(PartialEq, Eq)]
enum Ended {
    Readable,
    /// Something that is no HTTP/1 request. It was answered with 400, 414 or 431.
    Unreadable,
}

/// Tells the service which connection a request came on.
fn held_by(held: HeldPlace) -> impl FnMut(Request<Incoming>) -> Request<Incoming> + Clone {
    move |mut request| {
        request.extensions_mut().insert(held.clone());
        request
    }
}

/// Marks an answer that refuses as the last one of its connection, and notes that there was one.
fn closing_refusals<B>(
    refused: Arc<AtomicBool>,
) -> impl FnOnce(Response<B>) -> Response<B> + Clone {
    move |mut answer| {
        if !answer.status().is_success() {
            refused.store(true, Ordering::Relaxed);
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        answer
    }
}

/// Reads and discards until the client has seen the answer and closes.
async fn linger(stream: TcpStream) {
    let mut rest = stream.take(MAX_LINGER_BYTES);
    let mut nowhere = tokio::io::sink();
    let reading = tokio::io::copy(&mut rest, &mut nowhere);
    // However it ends: the connection is over.
    let _ = timeout(MAX_LINGER, reading).await;
}
