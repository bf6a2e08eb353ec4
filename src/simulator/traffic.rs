//! What was asked of a simulated server, and the faults to play on it.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

/// One request as it came in, with the status that went out.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// When it came, milliseconds since the server started.
    pub at_ms: u64,
    /// From its arrival to its answer, milliseconds.
    pub took_ms: u64,
    /// HTTP method.
    pub method: Method,
    /// Path without host and query, as sent (percent-encoding kept).
    pub path: String,
    /// Query parameters in order, decoded.
    pub query: Vec<(String, String)>,
    /// Headers in order, names in lower case; the value of `authorization` is reduced to its scheme.
    pub headers: Vec<(String, String)>,
    /// Body if it was JSON or a form (then as an object); client secrets are blanked.
    pub body: Option<Value>,
    /// Status of the answer; 0 if the connection was closed without one.
    pub status: u16,
}

/// What a fault does.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// Answers with this status, these headers and this body.
    Status {
        /// HTTP status code.
        code: u16,
        /// Header names and values.
        headers: Vec<(String, String)>,
        /// Body, verbatim; `content-type: application/json` unless `headers` says otherwise.
        body: String,
    },
    /// Closes the TCP connection without a byte of an answer.
    DropConnection,
    /// Waits this long; the answer is the usual one.
    Delay(Duration),
    /// Sends the headers and half of the body, then closes the connection.
    TruncatedBody,
    /// Sends the headers and half of the body, waits this long, and sends the rest; the answer is the usual one.
    SlowBody(Duration),
    /// Answers 200 with JSON that has nothing to do with the documented shape.
    WrongJson,
    /// A `GET` sees the state before the last change. Set it before that change is made: only then the state is kept.
    StaleRead,
    /// A list holds at most this many items a page, whatever `limit` says; following pages exist as usual.
    ShortPage(usize),
    /// A list lacks its last item; the total that it names counts it.
    LostItem,
}

/// Whether a fault strikes before or after the request had its effect on the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The world is not touched (`Delay` waits first and then goes on as usual).
    BeforeEffect,
    /// The world is changed as asked, only the answer suffers.
    AfterEffect,
}

/// A fault to play on matching requests. The first one set that matches is played; one a request.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Only this method; `None` for any.
    pub method: Option<Method>,
    /// Only paths (without host and query) that contain this text; empty for any.
    pub path_contains: String,
    /// What happens.
    pub kind: FaultKind,
    /// When it happens.
    pub moment: Moment,
    /// How many matching requests pass unharmed first.
    pub skip: u32,
    /// How many requests it strikes; `None` until it is removed.
    pub times: Option<u32>,
}

impl Fault {
    /// A fault on every request whose path contains `path_contains`, before its effect, until removed.
    pub fn new(path_contains: &str, kind: FaultKind) -> Self {
        Self {
            method: None,
            path_contains: path_contains.to_owned(),
            kind,
            moment: Moment::BeforeEffect,
            skip: 0,
            times: None,
        }
    }

    /// An answer with a status and a JSON body and nothing else.
    pub fn status(path_contains: &str, code: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::new(
            path_contains,
            FaultKind::Status {
                code,
                headers: Vec::new(),
                body,
            },
        )
    }

    /// Only on this method.
    #[must_use]
    pub fn on(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// After the effect instead of before it.
    #[must_use]
    pub fn after_effect(mut self) -> Self {
        self.moment = Moment::AfterEffect;
        self
    }

    /// Lets the first `n` matching requests pass.
    #[must_use]
    pub fn skipping(mut self, n: u32) -> Self {
        self.skip = n;
        self
    }

    /// Strikes `n` requests, then no more.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.times = Some(n);
        self
    }

    /// Strikes one request.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }
}

/// Names a fault that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

struct SetFault {
    id: u64,
    fault: Fault,
    matched: u32,
    fired: u32,
    removed: bool,
}

type Watcher = Arc<dyn Fn(&RecordedRequest) + Send + Sync>;

#[derive(Default)]
struct State {
    log: Vec<RecordedRequest>,
    unexpected: Vec<String>,
    faults: Vec<SetFault>,
    watcher: Option<Watcher>,
}

struct Shared {
    started: Instant,
    latency_us: AtomicU64,
    running: AtomicUsize,
    running_writes: AtomicUsize,
    peak: AtomicUsize,
    peak_writes: AtomicUsize,
    state: Mutex<State>,
}

/// The request log, the findings and the faults of one server. Clones share the same content.
#[derive(Clone)]
pub struct Traffic(Arc<Shared>);

impl Default for Traffic {
    fn default() -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            latency_us: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            running_writes: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            peak_writes: AtomicUsize::new(0),
            state: Mutex::new(State::default()),
        }))
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}

impl Traffic {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All requests so far, in the order of their answers.
    pub fn log(&self) -> Vec<RecordedRequest> {
        self.state().log.clone()
    }

    /// How many requests had this method and a path containing this text.
    pub fn count(&self, method: &Method, path_contains: &str) -> usize {
        let state = self.state();
        state
            .log
            .iter()
            .filter(|r| r.method == method && r.path.contains(path_contains))
            .count()
    }

    /// The requests that ask for a change: everything but `GET`, token requests left out.
    pub fn writes(&self) -> Vec<RecordedRequest> {
        let state = self.state();
        let is_write =
            |r: &&RecordedRequest| r.method != Method::GET && !r.path.contains("/oauth2/");
        state.log.iter().filter(is_write).cloned().collect()
    }

    /// Requests outside the vendor's documents, one sentence each. A refusal that belongs to normal life (404, 409, 401)
    /// is not among them.
    pub fn unexpected(&self) -> Vec<String> {
        self.state().unexpected.clone()
    }

    /// Forgets the log, the findings and the peaks; faults and latency stay.
    pub fn clear(&self) {
        let mut state = self.state();
        state.log.clear();
        state.unexpected.clear();
        self.0.peak.store(0, Ordering::Relaxed);
        self.0.peak_writes.store(0, Ordering::Relaxed);
    }

    /// The most requests, and the most writes, that were in work at the same time.
    pub fn peak_concurrency(&self) -> (usize, usize) {
        (
            self.0.peak.load(Ordering::Relaxed),
            self.0.peak_writes.load(Ordering::Relaxed),
        )
    }

    /// Every request waits this long before it is looked at.
    pub fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.latency_us.store(micros, Ordering::Relaxed);
    }

    /// Calls `watcher` with each request once it is answered. Replaces an earlier watcher.
    pub fn on_request(&self, watcher: impl Fn(&RecordedRequest) + Send + Sync + 'static) {
        self.state().watcher = Some(Arc::new(watcher));
    }

    /// Sets a fault; it stays until its `times` are used up or it is removed.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let mut state = self.state();
        let id = state.faults.len() as u64;
        state.faults.push(SetFault {
            id,
            fault,
            matched: 0,
            fired: 0,
            removed: false,
        });
        FaultId(id)
    }

    /// How often a fault was played.
    pub fn fired(&self, id: FaultId) -> u32 {
        self.state()
            .faults
            .iter()
            .find(|set| set.id == id.0)
            .map_or(0, |set| set.fired)
    }

    /// Takes a fault away; its count stays readable.
    pub fn remove_fault(&self, id: FaultId) {
        if let Some(set) = self.state().faults.iter_mut().find(|set| set.id == id.0) {
            set.removed = true;
        }
    }

    /// Takes all faults away; their counts stay readable.
    pub fn remove_all_faults(&self) {
        for set in &mut self.state().faults {
            set.removed = true;
        }
    }

    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.0.latency_us.load(Ordering::Relaxed))
    }

    pub(super) fn started(&self) -> Instant {
        self.0.started
    }

    pub(super) fn wants_history(&self) -> bool {
        let stale = |set: &SetFault| {
            !set.removed
                && matches!(set.fault.kind, FaultKind::StaleRead)
                && set.fault.times.is_none_or(|times| set.fired < times)
        };
        self.state().faults.iter().any(stale)
    }

    /// The fault to play on this request, if any; counts it.
    pub(super) fn strike(&self, method: &Method, path: &str) -> Option<(FaultKind, Moment)> {
        let mut state = self.state();
        for set in &mut state.faults {
            let fault = &set.fault;
            let reads_only = matches!(fault.kind, FaultKind::StaleRead | FaultKind::ShortPage(_));
            if set.removed
                || fault.method.as_ref().is_some_and(|wanted| wanted != method)
                || (reads_only && method != Method::GET)
                || !path.contains(&fault.path_contains)
                || fault.times.is_some_and(|times| set.fired >= times)
            {
                continue;
            }
            set.matched += 1;
            if set.matched <= fault.skip {
                continue;
            }
            set.fired += 1;
            return Some((fault.kind.clone(), fault.moment));
        }
        None
    }

    pub(super) fn begin(&self, write: bool) -> Running {
        let now = self.0.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.peak.fetch_max(now, Ordering::Relaxed);
        if write {
            let now = self.0.running_writes.fetch_add(1, Ordering::Relaxed) + 1;
            self.0.peak_writes.fetch_max(now, Ordering::Relaxed);
        }
        Running {
            shared: Arc::clone(&self.0),
            write,
        }
    }

    pub(super) fn record(&self, request: RecordedRequest, unexpected: Vec<String>) {
        let watcher = {
            let mut state = self.state();
            state.unexpected.extend(unexpected);
            state.log.push(request.clone());
            state.watcher.clone()
        };
        if let Some(watcher) = watcher {
            watcher(&request);
        }
    }
}

/// Counts a request as in work until dropped.
pub(super) struct Running {
    shared: Arc<Shared>,
    write: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::Relaxed);
        if self.write {
            self.shared.running_writes.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
