//! The requests to a simulated server, and the faults that strike them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::call::Call;
use super::fault::Request;
pub use super::fault::{
    Absence, Fault, FaultId, FaultKind, Hold, Links, Moment, RateHeaders, Refused,
};
use super::strike::{SetFault, Strike};

/// One request as it came in, with the status that went out.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedRequest {
    /// When it came, milliseconds since the server started.
    pub at_ms: u64,
    /// From its arrival to its answer, milliseconds.
    pub took_ms: u64,
    /// HTTP method.
    #[serde(serialize_with = "method_text")]
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
    /// Status that the service itself gave, whatever a fault made of its answer; `None` if a fault answered in its place.
    pub handled: Option<u16>,
    /// How it leaves the vendor's documents, one sentence each.
    pub unexpected: Vec<String>,
}

impl RecordedRequest {
    /// Whether the service did what was asked, whatever the caller was told.
    pub fn had_effect(&self) -> bool {
        self.handled
            .is_some_and(|status| (200..300).contains(&status))
    }
}

fn method_text<S: serde::Serializer>(method: &Method, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(method.as_str())
}

/// A fault that was set, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct FaultReport {
    /// Names it.
    pub id: FaultId,
    /// What was set.
    pub fault: Fault,
    /// How many answers it changed.
    pub fired: u32,
    /// Whether it may strike again.
    pub set: bool,
}

type Watcher = Arc<dyn Fn(&RecordedRequest) + Send + Sync>;

#[derive(Default)]
struct State {
    log: Vec<RecordedRequest>,
    unexpected: Vec<String>,
    faults: Vec<SetFault>,
    watcher: Option<Watcher>,
    latency: Duration,
    /// Time that [`Traffic::advance`] let pass.
    advanced: Duration,
    running: InWork,
    peak: InWork,
}

/// Requests at the same time, and writes among them.
#[derive(Clone, Copy, Default)]
struct InWork {
    all: usize,
    writes: usize,
}

struct Shared {
    started: Instant,
    started_ms: i64,
    state: Mutex<State>,
}

/// The request log, the findings and the faults of one server. Clones share the same content.
#[derive(Clone)]
pub struct Traffic(Arc<Shared>);

impl Default for Traffic {
    fn default() -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            started_ms: Timestamp::now().as_millisecond(),
            state: Mutex::default(),
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

    /// When the server started, epoch milliseconds: [`RecordedRequest::at_ms`] counts from here.
    pub fn started_ms(&self) -> i64 {
        self.0.started_ms
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
        state.peak = InWork::default();
    }

    /// The most requests, and the most writes, that were in work at the same time.
    pub fn peak_concurrency(&self) -> (usize, usize) {
        let peak = self.state().peak;
        (peak.all, peak.writes)
    }

    /// Every request waits this long before it is looked at.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Calls `watcher` with each request once it is answered. Replaces an earlier watcher.
    pub fn on_request(&self, watcher: impl Fn(&RecordedRequest) + Send + Sync + 'static) {
        self.state().watcher = Some(Arc::new(watcher));
    }

    /// Sets a fault; it stays until its `times` or its time are used up or it is removed.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let since = self.elapsed();
        let mut state = self.state();
        let id = FaultId::from_number(state.faults.len() as u64);
        state.faults.push(SetFault::new(id, fault, since));
        id
    }

    /// How many answers a fault changed.
    pub fn fired(&self, id: FaultId) -> u32 {
        self.state()
            .faults
            .iter()
            .find(|set| set.id == id)
            .map_or(0, |set| set.fired)
    }

    /// Every fault that was set, in that order, with its count.
    pub fn faults(&self) -> Vec<FaultReport> {
        let elapsed = self.elapsed();
        let report = |set: &SetFault| FaultReport {
            id: set.id,
            fault: set.fault.clone(),
            fired: set.fired,
            set: set.may_strike(elapsed),
        };
        self.state().faults.iter().map(report).collect()
    }

    /// Takes a fault away; its count stays readable.
    pub fn remove_fault(&self, id: FaultId) {
        if let Some(set) = self.state().faults.iter_mut().find(|set| set.id == id) {
            set.removed = true;
        }
    }

    /// Takes all faults away; their counts stay readable.
    pub fn remove_all_faults(&self) {
        for set in &mut self.state().faults {
            set.removed = true;
        }
    }

    /// Lets time pass for the faults that last a while, and for call budgets, without waiting for it.
    pub fn advance(&self, time: Duration) {
        let advanced = &mut self.state().advanced;
        *advanced = advanced.saturating_add(time);
    }

    fn elapsed(&self) -> Duration {
        let advanced = self.state().advanced;
        self.0.started.elapsed().saturating_add(advanced)
    }

    pub(super) fn latency(&self) -> Duration {
        self.state().latency
    }

    pub(super) fn started(&self) -> Instant {
        self.0.started
    }

    /// Whether the state before the last change has to be kept.
    pub(super) fn wants_history(&self) -> bool {
        self.any_set(|kind| matches!(kind, FaultKind::StaleRead))
            .next()
            .is_some()
    }

    /// The faults for which the state of when they were set has to be kept.
    pub(super) fn frozen(&self) -> Vec<FaultId> {
        self.any_set(|kind| matches!(kind, FaultKind::Frozen))
            .collect()
    }

    fn any_set(&self, wanted: impl Fn(&FaultKind) -> bool) -> impl Iterator<Item = FaultId> {
        let elapsed = self.elapsed();
        let fits = |set: &&SetFault| wanted(&set.fault.kind) && set.may_strike(elapsed);
        let ids: Vec<FaultId> = self
            .state()
            .faults
            .iter()
            .filter(fits)
            .map(|set| set.id)
            .collect();
        ids.into_iter()
    }

    /// The faults to play on this request, in the order they were set; counts them.
    pub(super) fn strike(&self, call: &Call) -> Vec<Strike> {
        let (elapsed, now_ms) = (self.elapsed(), self.epoch_ms());
        let mut state = self.state();
        if state.faults.is_empty() {
            return Vec::new();
        }
        let token = call.header("authorization").unwrap_or_default();
        let segments = call.segments();
        let request = Request {
            method: &call.method,
            path: &call.path,
            segments: &segments,
            body: &call.body,
            limit: call.query("limit").and_then(|limit| limit.parse().ok()),
        };
        let mut strikes = Vec::new();
        for set in &mut state.faults {
            let Some(strike) = set.strike(&request, token, elapsed, now_ms) else {
                continue;
            };
            let is_last = strike.is_last();
            strikes.push(strike);
            if is_last {
                break;
            }
        }
        strikes
    }

    /// A fault struck a request and changed nothing: it does not count.
    pub(super) fn missed(&self, id: FaultId) {
        if let Some(set) = self.state().faults.iter_mut().find(|set| set.id == id) {
            set.fired = set.fired.saturating_sub(1);
        }
    }

    fn epoch_ms(&self) -> u64 {
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        let advanced = self.state().advanced.as_millis();
        now.saturating_add(u64::try_from(advanced).unwrap_or(u64::MAX))
    }

    pub(super) fn begin(&self, method: &Method) -> Running {
        let writes = usize::from(method != Method::GET);
        let mut state = self.state();
        state.running.all += 1;
        state.running.writes += writes;
        state.peak.all = state.peak.all.max(state.running.all);
        state.peak.writes = state.peak.writes.max(state.running.writes);
        Running {
            traffic: self.clone(),
            writes,
        }
    }

    pub(super) fn record(&self, request: RecordedRequest) {
        let watcher = {
            let mut state = self.state();
            state.unexpected.extend(request.unexpected.iter().cloned());
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
    traffic: Traffic,
    writes: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        let running = &mut self.traffic.state().running;
        running.all -= 1;
        running.writes -= self.writes;
    }
}
