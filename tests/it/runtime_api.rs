//! A stand-in for the Lambda service: runs a function's binary and talks the Runtime API to it.
//!
//! ```ignore
//! let hook = Lambda::start(Function::Hook, &[("HOOK_SECRET", "s3cret")]).await;
//! hook.ready(Duration::from_secs(5)).await?;
//! let answer = hook.invoke(sample("01-verification"), Duration::from_secs(3)).await?;
//! ```
//!
//! Like Lambda it hands out one event at a time, kills the process at the deadline, and tells apart an
//! error that the function reported, a process that ended, and one that never got ready. It does not
//! freeze the process between two events.
//!
//! The binaries are those that were built with the tests. `LAMBDA_BINARIES` names a folder with others:
//! `make test` runs all of this on the release binaries, built as they are deployed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
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
use serde_json::{Value, json};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

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
            Some(folder) => Path::new(&folder).join(name),
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
    /// The deadline passed; the process was killed, as Lambda does.
    TimedOut,
}

/// A running function. Dropping it kills the process.
pub struct Lambda {
    service: Arc<Service>,
    events: mpsc::UnboundedSender<Event>,
    ready: watch::Receiver<bool>,
    child: Mutex<Child>,
    server: tokio::task::JoinHandle<()>,
    started: Instant,
    output: Arc<Mutex<Vec<u8>>>,
    stdout: Arc<Mutex<Vec<u8>>>,
    readers: Mutex<Vec<thread::JoinHandle<()>>>,
}

/// One event on its way to the function.
struct Event {
    id: String,
    payload: Vec<u8>,
    deadline_ms: u128,
}

/// What the server's routes share.
struct Service {
    function_arn: String,
    events: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    ready: watch::Sender<bool>,
    answers: Mutex<HashMap<String, oneshot::Sender<Result<Value, Value>>>>,
    init_error: Mutex<Option<Value>>,
}

impl Lambda {
    /// Starts `function` with just `env`, the variables that Lambda sets, and made-up AWS credentials.
    pub async fn start(function: Function, env: &[(&str, &str)]) -> Self {
        Self::start_binary(&function.binary(), env).await
    }

    /// The same with any binary. The function is named after it.
    pub async fn start_binary(binary: &Path, env: &[(&str, &str)]) -> Self {
        let name = binary.file_name().unwrap().to_string_lossy();
        Self::run(Command::new(binary), &name, env).await
    }

    async fn run(mut command: Command, name: &str, env: &[(&str, &str)]) -> Self {
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

        let started = Instant::now();
        let mut child = command
            .env_clear()
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
                ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
                ("AWS_LAMBDA_LOG_LEVEL", "DEBUG"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/03/02/[$LATEST]0"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ])
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let output = Arc::new(Mutex::new(Vec::new()));
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let both = vec![Arc::clone(&output), Arc::clone(&stdout)];
        let readers = vec![
            collect(child.stdout.take().unwrap(), both),
            collect(child.stderr.take().unwrap(), vec![Arc::clone(&output)]),
        ];
        Self {
            service,
            events,
            ready,
            child: Mutex::new(child),
            server,
            started,
            output,
            stdout,
            readers: Mutex::new(readers),
        }
    }

    /// Waits until the function asks for its first event; says how long its start-up took.
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
        let id = uuid::Uuid::new_v4().to_string();
        let (answer, answered) = oneshot::channel();
        locked(&self.service.answers).insert(id.clone(), answer);
        let until = SystemTime::now() + deadline;
        let deadline_ms = until.duration_since(UNIX_EPOCH).unwrap().as_millis();
        let payload = event.to_string().into_bytes();
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

    /// Ends the process at once, as `kill -9` does. What it was doing is left as it is.
    pub fn kill9(&self) {
        let mut child = locked(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Everything the process has written so far, standard output and standard error together, line by
    /// line. After the process ended: everything it ever wrote.
    pub fn output(&self) -> String {
        self.written(&self.output)
    }

    /// The same of standard output alone.
    pub fn stdout(&self) -> String {
        self.written(&self.stdout)
    }

    fn written(&self, stream: &Mutex<Vec<u8>>) -> String {
        if locked(&self.child).try_wait().unwrap().is_some() {
            for reader in locked(&self.readers).drain(..) {
                reader.join().unwrap();
            }
        }
        String::from_utf8_lossy(&locked(stream)).into_owned()
    }

    /// The process id, for measurements.
    pub fn pid(&self) -> u32 {
        locked(&self.child).id()
    }

    /// Waits until something other than an answer happens: the process ends, or `limit` passes.
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
    }
}

fn collect(
    from: impl Read + Send + 'static,
    into: Vec<Arc<Mutex<Vec<u8>>>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(1..) = from.read_until(b'\n', &mut line) {
            for stream in &into {
                locked(stream).extend_from_slice(&line);
            }
            line.clear();
        }
    })
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

/// Passes an answer on. One that nobody waits for is refused, as Lambda does.
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

// --- events -------------------------------------------------------------------------------------

/// The sample request `events/NAME.json`.
pub fn sample(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("events/{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The names of all samples for the hook, in the order of their story.
pub fn hook_samples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    names.sort();
    names
}

/// An HTTP request, before a gateway makes an event of it.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    base64: bool,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            base64: false,
        }
    }

    /// With one more header, its name in the case given.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body. One that is not UTF-8 makes the event base64-encoded.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With the body base64-encoded whatever it is.
    pub fn base64(mut self) -> Self {
        self.base64 = true;
        self
    }

    /// The event of an API Gateway HTTP API (payload format 2.0): lower-case header names.
    pub fn http_api(&self) -> Value {
        let host = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com";
        let mut event = self.event("123456789012", "a1b2c3d4e5", host, "a1b2c3d4e5");
        event["headers"] = self.headers_with(host, str::to_lowercase);
        event
    }

    /// The event of a Lambda function URL.
    pub fn function_url(&self) -> Value {
        let id = "abcdefghij0123456789klmnopqrstuv";
        let host = format!("{id}.lambda-url.eu-central-1.on.aws");
        let mut event = self.event("anonymous", id, &host, id);
        event["headers"] = self.headers_with(&host, str::to_lowercase);
        event
    }

    /// The event that `sam local start-api` makes: header names as `Http-Canonical`, and its own
    /// idea of what is unset.
    pub fn sam_local(&self) -> Value {
        let mut event = self.event("123456789012", "1234567890", "localhost", "localhost");
        event["headers"] = self.headers_with("127.0.0.1:3000", canonical);
        event["requestContext"]["http"]["userAgent"] = json!("Custom User Agent String");
        event["requestContext"]["http"]["sourceIp"] = json!("127.0.0.1");
        event["cookies"] = json!([]);
        event["pathParameters"] = json!({});
        event["stageVariables"] = Value::Null;
        if event.get("body").is_none() {
            event["body"] = json!("");
        }
        event
    }

    fn event(&self, account: &str, api: &str, domain: &str, prefix: &str) -> Value {
        use base64::Engine;
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let text = std::str::from_utf8(&self.body)
            .ok()
            .filter(|_| !self.base64);
        let encoded = text.is_none();
        let body = match text {
            Some("") => Value::Null,
            Some(text) => json!(text),
            None => json!(base64::engine::general_purpose::STANDARD.encode(&self.body)),
        };
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "requestContext": {
                "accountId": account,
                "apiId": api,
                "domainName": domain,
                "domainPrefix": prefix,
                "http": {
                    "method": self.method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "198.51.100.20",
                    "userAgent": "Okta-Integrations",
                },
                "requestId": uuid::Uuid::new_v4().to_string(),
                "routeKey": "$default",
                "stage": "$default",
                "time": "02/Mar/2026:09:25:14 +0000",
                "timeEpoch": 1_772_443_514_553_u64,
            },
            "isBase64Encoded": encoded,
        });
        if !body.is_null() {
            event["body"] = body;
        }
        event
    }

    fn headers_with(&self, host: &str, case: impl Fn(&str) -> String) -> Value {
        let mut headers = serde_json::Map::new();
        headers.insert(case("host"), json!(host));
        headers.insert(case("x-forwarded-proto"), json!("https"));
        for (name, value) in &self.headers {
            let name = case(name);
            let value = match headers.get(&name).and_then(Value::as_str) {
                Some(first) if name.to_lowercase() != "host" => format!("{first},{value}"),
                _ => value.clone(),
            };
            headers.insert(name, json!(value));
        }
        Value::Object(headers)
    }
}

/// `x-okta-request-id` → `X-Okta-Request-Id`.
fn canonical(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_uppercase() + &rest.to_lowercase()
    });
    parts.collect::<Vec<_>>().join("-")
}

// --- the harness itself -------------------------------------------------------------------------

/// Here the tests play the function: the process only prints where its Runtime API is.
mod harness {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn function(script: &str) -> (Lambda, String) {
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("echo api=$AWS_LAMBDA_RUNTIME_API=; {script}"),
        ]);
        let lambda = Lambda::run(command, "hook", &[]).await;
        let until = Instant::now() + SOON;
        loop {
            let output = lambda.output();
            if let Some(address) = output.split('=').nth(1) {
                return (lambda, format!("http://{address}/2018-06-01/runtime"));
            }
            assert!(Instant::now() < until, "nothing was printed: {output}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Asks for the next event once and answers it at `ending`.
    async fn serve_one(api: String, ending: &str, answer: Value) -> (Value, StatusCode) {
        let http = reqwest::Client::new();
        let next = http
            .get(format!("{api}/invocation/next"))
            .send()
            .await
            .unwrap();
        let id = next.headers()["lambda-runtime-aws-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        for name in ["deadline-ms", "invoked-function-arn", "trace-id"] {
            assert!(
                next.headers()
                    .contains_key(format!("lambda-runtime-{name}")),
                "{name}"
            );
        }
        let event = serde_json::from_slice(&next.bytes().await.unwrap()).unwrap();
        let url = format!("{api}/invocation/{id}/{ending}");
        let answered = http.post(&url).json(&answer).send().await.unwrap();
        assert_eq!(answered.status(), StatusCode::ACCEPTED);
        let again = http.post(&url).json(&answer).send().await.unwrap();
        (event, again.status())
    }

    #[tokio::test]
    async fn an_event_is_handed_out_and_its_answer_comes_back() {
        install_tls();
        let (lambda, api) = function("exec sleep 30").await;
        let event = json!({"n": 1});
        let (served, answer) = tokio::join!(
            serve_one(api, "response", json!({"ok": true})),
            lambda.invoke(event.clone(), SOON)
        );
        assert_eq!(
            served,
            (event, StatusCode::BAD_REQUEST),
            "a second answer is refused"
        );
        assert_eq!(answer.unwrap(), json!({"ok": true}));
        lambda.ready(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn an_error_is_told_apart_from_an_answer() {
        install_tls();
        let (lambda, api) = function("exec sleep 30").await;
        let error = json!({"errorType": "E", "errorMessage": "m"});
        let (_, answer) = tokio::join!(
            serve_one(api, "error", error.clone()),
            lambda.invoke(json!({}), SOON)
        );
        assert!(matches!(answer, Err(Failed::Function(value)) if value == error));
    }

    #[tokio::test]
    async fn a_process_that_ends_ends_the_wait() {
        let (lambda, _) = function("echo settings are missing >&2; exit 3").await;
        let failed = lambda.ready(SOON).await.unwrap_err();
        assert!(matches!(failed, Failed::Exited(status) if status.code() == Some(3)));
        assert!(lambda.output().contains("settings are missing"));
    }

    #[tokio::test]
    async fn a_process_that_ends_is_told_of() {
        let lambda = Lambda::run(Command::new("/bin/true"), "true", &[]).await;
        assert!(lambda.pid() > 0);
        let failed = lambda.ready(SOON).await.unwrap_err();
        assert!(matches!(failed, Failed::Exited(status) if status.success()));
    }

    #[tokio::test]
    async fn a_start_that_fails_says_why() {
        install_tls();
        let (lambda, api) = function("exec sleep 30").await;
        let url = format!("{api}/init/error");
        let body = json!({"errorType": "Init"});
        reqwest::Client::new()
            .post(url)
            .json(&body)
            .send()
            .await
            .unwrap();
        lambda.kill9();
        let failed = lambda.invoke(json!({}), SOON).await.unwrap_err();
        assert!(matches!(failed, Failed::Init(value) if value == body));
    }

    #[tokio::test]
    async fn the_deadline_ends_the_process() {
        let (lambda, _) = function("exec sleep 30").await;
        let failed = lambda
            .invoke(json!({}), Duration::from_millis(20))
            .await
            .unwrap_err();
        assert!(matches!(failed, Failed::TimedOut));
        assert!(locked(&lambda.child).try_wait().unwrap().is_some());
    }

    #[test]
    fn the_three_gateways_differ_where_they_do() {
        let request = Request::new("POST", "/okta?a=1")
            .header("X-Okta-Request-Id", "r")
            .body("{}");
        let [api, url, sam] = [
            request.http_api(),
            request.function_url(),
            request.sam_local(),
        ];
        for event in [&api, &url, &sam] {
            assert_eq!(event["version"], "2.0");
            assert_eq!(event["rawPath"], "/okta");
            assert_eq!(event["rawQueryString"], "a=1");
            assert_eq!(event["body"], "{}");
            assert_eq!(event["isBase64Encoded"], false);
        }
        assert_eq!(api["headers"]["x-okta-request-id"], "r");
        assert_eq!(sam["headers"]["X-Okta-Request-Id"], "r");
        assert_eq!(url["requestContext"]["accountId"], "anonymous");
        let encoded = Request::new("POST", "/").body("{}").base64().http_api();
        assert_eq!(encoded["body"], "e30=");
        let binary = Request::new("POST", "/").body(vec![0xff]).http_api();
        assert_eq!(
            (&binary["body"], &binary["isBase64Encoded"]),
            (&json!("/w=="), &json!(true))
        );
    }

    #[test]
    fn every_sample_is_an_event_of_its_kind() {
        for name in hook_samples() {
            let event = sample(&name);
            assert_eq!(event["version"], "2.0", "{name}");
            assert!(event["headers"]["authorization"].is_string(), "{name}");
            if event["requestContext"]["http"]["method"] == "POST" {
                assert!(event["body"].is_string(), "{name}");
            }
        }
        assert_eq!(hook_samples().len(), 29);
        assert_eq!(
            sample("provision-batch")["Records"]
                .as_array()
                .unwrap()
                .len(),
            4
        );
        for task in ["catch-up", "reconcile", "import"] {
            let event = sample(&format!("schedule-{task}"));
            assert_eq!(event["task"], task.replace('-', "_"));
        }
    }

    /// `reqwest` is built without a provider of its own; whoever comes first sets the one of the
    /// process.
    fn install_tls() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
