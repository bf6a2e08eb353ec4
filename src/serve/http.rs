//! A small HTTP/1.1 server that no client can tie up: connections, headers, time and life of a
//! connection are bounded.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::stopped;

/// An answer.
pub type Reply = Response<Full<Bytes>>;

/// Request line and headers of one request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// After a refused `accept`, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Given to a connection whose life is over, to finish its answer.
const LAST_WORDS: Duration = Duration::from_secs(5);

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

/// Serves `listener` until `stop` says so; then takes no more connections, finishes the requests under
/// way for at most `grace`, and returns.
pub async fn serve<A, F>(
    listener: TcpListener,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
    answer: A,
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
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
                let work = connection(stream, limits, stopping.clone(), answer.clone());
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

async fn connection<A, F>(
    stream: TcpStream,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    answer: A,
) where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply>,
{
    // An answer is one small packet; nothing is to wait for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let reply = answer(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    let over = Instant::now() + limits.life;
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut stop) => None,
        () = sleep_until(over) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match timeout(LAST_WORDS, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients go away; that is their right.
        tracing::debug!("a connection ended early: {error}");
    }
}
