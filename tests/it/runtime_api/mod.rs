//! A stand-in for the Lambda service: runs a function's binary and talks the Runtime API to it.
//!
//! ```ignore
//! let hook = Lambda::start(Function::Hook, &[("HOOK_SECRET", "s3cret")]).await;
//! hook.ready(Duration::from_secs(5)).await?;
//! let answer = hook.invoke(sample("01-verification"), Duration::from_secs(3)).await?;
//! ```
//!
//! Like Lambda it hands out one event at a time and kills the process at the deadline. It distinguishes a reported
//! error, a process that ended, and one that never became ready. It does not freeze the process between two events.
//!
//! By default it runs the binaries that were built with the tests. `LAMBDA_BINARIES` names a folder with others, as Cargo or
//! cargo-lambda leaves them. `.ci/run` uses those that `make sam-local` built as for a deployment.

mod request;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

pub use request::{Request, hook_samples, sample};

/// The functions that are deployed.
#[derive(Debug, Clone, Copy)]
pub enum Function {
    Hook,
    Provision,
    Schedule,
}

impl Function {
    /// Its binary.
    pub fn binary(self) -> PathBuf {
        let (name, built) = match self {
            Self::Hook => ("hook", env!("CARGO_BIN_EXE_hook")),
            Self::Provision => ("provision", env!("CARGO_BIN_EXE_provision")),
            Self::Schedule => ("schedule", env!("CARGO_BIN_EXE_schedule")),
        };
        match std::env::var_os("LAMBDA_BINARIES") {
            Some(folder) => {
                let built = Path::new(&folder).join(name);
                if built.is_dir() {
                    built.join("bootstrap")
                } else {
                    built
                }
            }
            None => built.into(),
        }
    }
}

/// Why an invocation has no answer.
#[derive(Debug)]
pub enum Failed {
    /// The function reported an error: what it sent (`errorType`, `errorMessage`).
    Function(Value),
    /// The function reported that it cannot start.
    Init(Value),
    /// The process ended.
    Exited(ExitStatus),
    /// The deadline passed, and the process was killed, as in Lambda.
    TimedOut,
}

/// A running function. Dropping it kills the process, and fails the test if its output holds planted text.
pub struct Lambda {
    service: Arc<Service>,
    events: mpsc::UnboundedSender<Event>,
    ready: watch::Receiver<bool>,
    child: Mutex<Child>,
    server: tokio::task::JoinHandle<()>,
    started: Instant,
    stdout: File,
    stderr: File,
}

/// One event on its way to the function.
struct Event {
    id: String,
    payload: Vec<u8>,
    deadline_ms: u128,
}

/// The state that the server's routes share.
struct Service {
    function_arn: String,
    events: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    ready: watch::Sender<bool>,
    answers: Mutex<HashMap<String, oneshot::Sender<Result<Value, Value>>>>,
    init_error: Mutex<Option<Value>>,
}

impl Lambda {
    /// Starts `function` with just `env`, the variables that Lambda sets, and made-up AWS credentials.
    pub async fn start(function: Function, env: &[(&str, impl AsRef<str>)]) -> Self {
        let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_ref())).collect();
        Self::start_binary(&function.binary(), &env).await
    }

    /// Starts any binary. The function gets its name.
    pub async fn start_binary(binary: &Path, env: &[(&str, &str)]) -> Self {
        let name = binary.file_name().unwrap().to_string_lossy();
        Self::run(Command::new(binary), &name, env).await
    }

    /// Runs `command` as the function `name`.
    pub async fn run(mut command: Command, name: &str, env: &[(&str, &str)]) -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        let (ready_sender, ready) = watch::channel(false);
        let service = Arc::new(Service {
            function_arn: format!("arn:aws:lambda:us-east-1:123456789012:function:{name}"),
            events: AsyncMutex::new(receiver),
            ready: ready_sender,
            answers: Mutex::default(),
            init_error: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routes = routes(Arc::clone(&service));
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });

        // Files, and no pipes: what the function has written before its answer is there when the answer is.
        let [stdout, stderr] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        let started = Instant::now();
        let child = command
            .env_clear()
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
                ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
                ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/03/02/[$LATEST]0"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ])
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            service,
            events,
            ready,
            child: Mutex::new(child),
            server,
            started,
            stdout,
            stderr,
        }
    }

    /// Waits until the function asks for its first event. Returns how long it took.
    pub async fn ready(&self, limit: Duration) -> Result<Duration, Failed> {
        let mut ready = self.ready.clone();
        tokio::select! {
            biased;
            Ok(_) = ready.wait_for(|ready| *ready) => Ok(self.started.elapsed()),
            failed = self.ended(limit) => Err(failed),
        }
    }

    /// Hands one event to the function and waits for its answer, at most until `deadline` from now.
    pub async fn invoke(&self, event: Value, deadline: Duration) -> Result<Value, Failed> {
        self.invoke_with(event.to_string().into_bytes(), deadline)
            .await
    }

    /// Hands out any payload.
    pub async fn invoke_with(&self, payload: Vec<u8>, deadline: Duration) -> Result<Value, Failed> {
        let id = uuid::Uuid::new_v4().to_string();
        let (answer, answered) = oneshot::channel();
        locked(&self.service.answers).insert(id.clone(), answer);
        let until = SystemTime::now() + deadline;
        let deadline_ms = until.duration_since(UNIX_EPOCH).unwrap().as_millis();
        self.events
            .send(Event {
                id,
                payload,
                deadline_ms,
            })
            .unwrap();
        tokio::select! {
            biased;
            answer = answered => answer.unwrap().map_err(Failed::Function),
            failed = self.ended(deadline) => {
                if matches!(failed, Failed::TimedOut) {
                    self.kill9();
                }
                Err(failed)
            }
        }
    }

    /// Ends the process at once, as `kill -9` does, in the middle of its work.
    pub fn kill9(&self) {
        let mut child = locked(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// The whole lines that the process has written so far to standard output, then those on standard error. After the
    /// process has ended, everything.
    pub fn output(&self) -> String {
        self.written(&self.stdout) + &self.written(&self.stderr)
    }

    /// The lines on standard output alone.
    pub fn stdout(&self) -> String {
        self.written(&self.stdout)
    }

    fn written(&self, stream: &File) -> String {
        let has_ended = locked(&self.child).try_wait().unwrap().is_some();
        // Reading at a position leaves alone the one that the process writes at.
        let mut written = vec![0; usize::try_from(stream.metadata().unwrap().len()).unwrap()];
        stream.read_exact_at(&mut written, 0).unwrap();
        if !has_ended {
            let whole = written.iter().rposition(|byte| *byte == b'\n');
            written.truncate(whole.map_or(0, |end| end + 1));
        }
        String::from_utf8_lossy(&written).into_owned()
    }

    /// The process id, for measurements.
    pub fn pid(&self) -> u32 {
        locked(&self.child).id()
    }

    /// Waits until the process ends or `limit` passes.
    async fn ended(&self, limit: Duration) -> Failed {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = locked(&self.child).try_wait().unwrap() {
                return match locked(&self.service.init_error).take() {
                    Some(error) => Failed::Init(error),
                    None => Failed::Exited(status),
                };
            }
            if Instant::now() >= until {
                return Failed::TimedOut;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.kill9();
        self.server.abort();
        if !thread::panicking() {
            crate::planted::check("a function's output", &self.output(), &[]);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// --- the Runtime API ----------------------------------------------------------------------------

fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(response),
        )
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .with_state(service)
}

async fn next(State(service): State<Arc<Service>>) -> Response {
    service.ready.send_replace(true);
    let Some(event) = service.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let mut response = event.payload.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", event.id),
        ("lambda-runtime-deadline-ms", event.deadline_ms.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            service.function_arn.clone(),
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-69a5577a-0123456789abcdef01234567;Sampled=0".to_owned(),
        ),
    ] {
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    response
}

async fn response(
    State(service): State<Arc<Service>>,
    UrlPath(id): UrlPath<String>,
    body: Bytes,
) -> StatusCode {
    answer(&service, &id, Ok(json_of(&body)))
}

async fn error(
    State(service): State<Arc<Service>>,
    UrlPath(id): UrlPath<String>,
    body: Bytes,
) -> StatusCode {
    answer(&service, &id, Err(json_of(&body)))
}

async fn init_error(State(service): State<Arc<Service>>, body: Bytes) -> StatusCode {
    *locked(&service.init_error) = Some(json_of(&body));
    StatusCode::ACCEPTED
}

/// Passes an answer on. Refuses one that no call waits for, as Lambda does.
fn answer(service: &Service, id: &str, answer: Result<Value, Value>) -> StatusCode {
    match locked(&service.answers).remove(id) {
        Some(waiting) => {
            let _ = waiting.send(answer);
            StatusCode::ACCEPTED
        }
        None => StatusCode::BAD_REQUEST,
    }
}

fn json_of(body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(_) => Value::String(String::from_utf8_lossy(body).into_owned()),
    }
}
