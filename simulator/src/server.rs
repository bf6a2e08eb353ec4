//! The HTTP side that both simulators share: listening, logging, latency, faults, and stopping.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::call::{Call, Content, Reply};
use super::control;
use super::model::Model;
use super::outcome::{self, Rest, Sent};
use super::traffic::{RecordedRequest, Traffic};

/// Bodies above this are refused with 413.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// How long [`Server::stop`] waits for answers under way.
const MAX_STOP: Duration = Duration::from_secs(5);

/// A running server. Dropping it stops it: no new connections, answers under way are finished.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) async fn start<M: Model>(
        addr: SocketAddr,
        model: Arc<M>,
        traffic: Traffic,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let context = Arc::new(Shared { model, traffic });
        let router = Router::new().fallback(handle::<M>).with_state(context);
        let service = router.into_make_service_with_connect_info::<Line>();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            if let Err(error) = axum::serve(Lines(listener), service)
                .with_graceful_shutdown(until)
                .await
            {
                tracing::warn!(%error, "simulator stopped");
            }
        });
        Ok(Self {
            addr,
            stop: Some(stop),
            task: Some(task),
        })
    }

    /// The address it listens on, with the real port if port 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops and waits, at most some seconds, until answers under way are out and the port is free.
    pub async fn stop(&mut self) {
        self.stop.take();
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(MAX_STOP, task).await;
        }
    }
}

struct Shared<M> {
    model: Arc<M>,
    traffic: Traffic,
}

async fn handle<M: Model>(
    State(shared): State<Arc<Shared<M>>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let traffic = &shared.traffic;
    if control::is_command(request.uri().path()) {
        return control(&shared, request).await;
    }
    let _running = traffic.begin(request.method());

    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let mut call = Call::new(parts.method, parts.uri.path(), query, parts.headers);
    let outcome = match to_bytes(body, MAX_BODY_BYTES).await {
        Ok(bytes) => {
            call.body = bytes.to_vec();
            tokio::time::sleep(traffic.latency()).await;
            outcome::run(&*shared.model, traffic, &mut call).await
        }
        Err(_) => {
            call.note("body too large or broken off");
            Sent::Reply(Reply::empty(413))
        }
    };

    let status = match &outcome {
        Sent::Reply(reply) | Sent::InHalves(reply, _) => reply.status,
        Sent::Drop => 0,
    };
    let record = RecordedRequest {
        at_ms: millis(arrived.duration_since(traffic.started())),
        took_ms: millis(arrived.elapsed()),
        method: call.method.clone(),
        path: call.path.clone(),
        query: call.query.iter().map(blank_if_secret).collect(),
        headers: readable(&call.headers),
        body: blank_secrets(call.json_or_form()),
        status,
        handled: call.handled,
        unexpected: std::mem::take(&mut call.notes),
    };
    traffic.record(record);

    match outcome {
        Sent::Reply(reply) => respond(reply),
        Sent::InHalves(reply, rest) => respond_in_halves(reply, rest),
        Sent::Drop => {
            line.cut();
            Response::new(Body::empty())
        }
    }
}

/// Answers the commands to the simulator. They are not part of the traffic, and no fault strikes them.
async fn control<M: Model>(shared: &Shared<M>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let reply = match to_bytes(body, MAX_BODY_BYTES).await {
        Ok(body) => {
            let path = parts.uri.path();
            control::answer(&*shared.model, &shared.traffic, &parts.method, path, &body)
        }
        Err(_) => Reply::empty(413),
    };
    respond(reply)
}

/// The answer without its body, and the body.
fn parts(reply: Reply) -> (Response, Bytes) {
    let (kind, body) = match reply.content {
        Content::Empty => (None, Bytes::new()),
        Content::Json(value) => (Some("application/json"), Bytes::from(value.to_string())),
        Content::Text { kind, text } => (Some(kind), Bytes::from(text)),
    };
    let status = StatusCode::from_u16(reply.status);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if let Some(kind) = kind.map(HeaderValue::from_static) {
        headers.entry(http::header::CONTENT_TYPE).or_insert(kind);
    }
    (response, body)
}

fn respond(reply: Reply) -> Response {
    let (mut response, body) = parts(reply);
    *response.body_mut() = Body::from(body);
    response
}

/// Promises the whole body and sends half of it at once.
fn respond_in_halves(reply: Reply, rest: Rest) -> Response {
    let (mut response, bytes) = parts(reply);
    let promised = match rest {
        Rest::Late(_) => bytes.len(),
        // Even an empty body has to lack something.
        Rest::Never => bytes.len().max(2),
    };
    response
        .headers_mut()
        .insert(http::header::CONTENT_LENGTH, HeaderValue::from(promised));
    let half = bytes.len() / 2;
    let (first, second) = (bytes.slice(..half), bytes.slice(half..));
    let second = async move {
        match rest {
            Rest::Late(pause) => {
                tokio::time::sleep(pause).await;
                Ok(second)
            }
            Rest::Never => {
                // Lets the first half leave before the connection breaks.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
        }
    };
    let parts = stream::once(async { Ok(first) }).chain(stream::once(second));
    *response.body_mut() = Body::from_stream(parts);
    response
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    let show = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let value = match name == http::header::AUTHORIZATION {
            true => format!("{} [redacted]", scheme(&value)),
            false => value,
        };
        (name.as_str().to_owned(), value)
    };
    headers.iter().map(show).collect()
}

/// The scheme of an `authorization` header, after which the token may follow without a blank.
fn scheme(value: &str) -> &str {
    match value.strip_prefix("SSWS") {
        Some(_) => "SSWS",
        None => value.split(' ').next().unwrap_or_default(),
    }
}

const SECRETS: [&str; 2] = ["client_secret", "client_assertion"];

fn blank_if_secret((name, value): &(String, String)) -> (String, String) {
    let value = match SECRETS.contains(&name.as_str()) {
        true => "[redacted]".to_owned(),
        false => value.clone(),
    };
    (name.clone(), value)
}

fn blank_secrets(mut body: Option<Value>) -> Option<Value> {
    if let Some(Value::Object(fields)) = &mut body {
        for (name, value) in fields.iter_mut() {
            if SECRETS.contains(&name.as_str()) {
                *value = Value::from("[redacted]");
            }
        }
    }
    body
}

/// Marks a connection that is to end without an answer.
#[derive(Clone, Debug, Default)]
struct Line(Arc<AtomicBool>);

impl Line {
    fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

/// A listener whose connections can be cut.
struct Lines(TcpListener);

impl Listener for Lines {
    type Io = Cuttable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Cuttable, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true);
        (
            Cuttable {
                stream,
                line: Line::default(),
            },
            addr,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Cuttable {
    stream: TcpStream,
    line: Line,
}

impl Cuttable {
    fn check(&self) -> io::Result<()> {
        match self.line.0.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
