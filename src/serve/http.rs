//! A small HTTP/1.1 server that no client can tie up: connections, headers, time and life of a
//! connection are bounded.

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
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{Service, util::MapResponse};

use super::stopped;

/// Request line and headers of one request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// After a refused `accept`, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Given to a connection whose life is over, to finish its answer.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long, and how much, a client may go on sending what was refused. Closing at once would reset the connection,
/// and the client would not see the refusal.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 16 * 1024 * 1024;

/// What one client, and all of them, may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's backlog.
    pub connections: usize,
    /// From the first moment until the headers are complete, also between two requests.
    pub head: Duration,
    /// The life of a connection.
    pub life: Duration,
}

/// Serves `listener` with `service` until `stop` says so; then takes no more connections, finishes the requests under
/// way for at most `grace`, and returns. An answer that refuses is the last one of its connection.
pub async fn serve<S, B>(
    listener: TcpListener,
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
    let room = Arc::new(Semaphore::new(limits.connections));
    let stopping = stop.clone();
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let work = connection(stream, limits, stopping.clone(), service.clone());
                tokio::spawn(async move {
                    work.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {}", error.kind());
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let everyone = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if timeout(grace, room.acquire_many(everyone)).await.is_err() {
        tracing::warn!("some connections did not end in time and are cut");
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Unpin,
    S::Future: Unpin,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // An answer is one small packet; nothing is to wait for.
    let _ = stream.set_nodelay(true);
    let refused = Arc::new(AtomicBool::new(false));
    let service = MapResponse::new(service, closing_refusals(Arc::clone(&refused)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let over = Instant::now() + limits.life;
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(ended),
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
                Err(_) => return,
            }
        }
    };
    let unreadable = match ended {
        Ok(()) => false,
        Err(error) => {
            // Clients go away; that is their right.
            tracing::debug!("a connection ended early: {error}");
            error.is_parse()
        }
    };
    let mut stream = connection.into_parts().io.into_inner();
    let said_goodbye = stream.shutdown().await.is_ok();
    if said_goodbye && (unreadable || refused.load(Ordering::Relaxed)) {
        linger(stream).await;
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

/// Reads on, to nowhere, until the client has seen the answer and closes.
async fn linger(stream: TcpStream) {
    let mut rest = stream.take(LINGER_BYTES);
    let mut nowhere = tokio::io::sink();
    let reading = tokio::io::copy(&mut rest, &mut nowhere);
    // However it ends: the connection is over.
    let _ = timeout(LINGER_TIME, reading).await;
}
