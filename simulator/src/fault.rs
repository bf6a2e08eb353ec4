//! Faults and lies: which requests one strikes, what becomes of their answers, and how often or how long.
//!
//! [`Traffic::inject`](super::traffic::Traffic::inject) sets one; several may strike the same request. A test builds them
//! with the constructors and says when they strike:
//!
//! ```
//! use std::time::Duration;
//! use okta_anypoint_simulator::fault::{Absence, Fault, Refused};
//!
//! // For three seconds Okta answers 404 for Ada, in its own words.
//! let lie = Fault::not_found("/api/v1/users/*", Absence::Service).about("00uADA").lasting(Duration::from_secs(3));
//! // The second page of members is refused, because the token died.
//! let died = Fault::token_dies("/api/v1/groups/*/users", Refused::Session).skipping(1).once();
//! // The same as JSON, for `POST /_simulator/faults`.
//! let text = r#"{"path": "/api/v1/users/*", "about": "00uADA", "kind": {"not_found": "service"}, "lasts_ms": 3000}"#;
//! assert_eq!(serde_json::from_str::<Fault>(text).unwrap(), lie);
//! # let _ = died;
//! ```
//!
//! A fault strikes every request that it matches, in the order they were set. The first one that replaces the answer ends
//! this: those set after it do not see the request. [`Traffic::fired`](super::traffic::Traffic::fired) counts the answers
//! that a fault really changed: an empty list that is emptied again is no lie, and costs none of its `times`.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with this status, these headers and this body.
    Status {
        /// HTTP status code.
        code: u16,
        /// Header names and values.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Body, verbatim; `content-type: application/json` unless `headers` says otherwise.
        #[serde(default)]
        body: String,
    },
    /// Closes the TCP connection without a byte of an answer.
    DropConnection,
    /// Waits this long; the answer is the usual one.
    #[serde(rename = "delay_ms", with = "millis")]
    Delay(Duration),
    /// Waits until the test lets the request go on; the answer is the usual one. JSON has no word for it.
    #[serde(skip)]
    Held(Hold),
    /// Sends the headers and half of the body, then closes the connection.
    TruncatedBody,
    /// Sends the headers and half of the body, waits this long, and sends the rest; the answer is the usual one.
    #[serde(rename = "slow_body_ms", with = "millis")]
    SlowBody(Duration),
    /// Answers 200 with JSON that has nothing to do with the documented shape.
    WrongJson,
    /// A `GET` sees the state before the last change. Set it before that change is made: only then the state is kept.
    StaleRead,
    /// A `GET` sees the state as it was when this fault was set, whatever changes meanwhile.
    Frozen,
    /// A list holds at most this many items a page, whatever `limit` says; following pages exist as usual.
    ShortPage(usize),
    /// A list lacks its last item; the total that it names counts it.
    LostItem,
    /// A list is empty and says so: 200 and `[]`, as for a caller whose role lost the right to read.
    EmptyList,
    /// Lists lack the objects with these ids, and count without them.
    Lacks(Vec<String>),
    /// The members of an Okta group lack those who joined it less than this ago.
    #[serde(rename = "member_lag_ms", with = "millis")]
    MemberLag(Duration),
    /// A read of what exists is answered 404; with a method named, a call of that method too.
    NotFound(Absence),
    /// The caller is refused. Sign-ins pass, except for [`Refused::SignIn`], which strikes only them.
    Refused(Refused),
    /// From the struck call on, the token that it carried is refused, until the fault is removed. Other tokens pass.
    TokenDies(Refused),
    /// Sign-ins left out, only so many calls pass in each window of time; the others are answered 503 without a body or a
    /// hint (MuleSoft KB 001116018). `X-RateLimit-*` stand on the answers that pass.
    CallBudget {
        /// Calls a window.
        calls: u32,
        /// The window, a minute at Anypoint. Windows begin at whole multiples of it since the epoch.
        #[serde(rename = "window_ms", with = "millis")]
        window: Duration,
    },
    /// The rate headers are given in another way.
    RateHeaders(RateHeaders),
    /// The `Link` headers are given in another way.
    Links(Links),
    /// A list is answered 500 unless its `limit` is at most this.
    PagesAbove(usize),
    /// An attribute has another value. `id` names the objects, wherever they stand in the answer; without it the object, or
    /// each item of the list, is meant.
    Changed {
        /// Id of the object.
        #[serde(default)]
        id: Option<String>,
        /// Where the attribute stands in the object: `/profile/mobilePhone`.
        pointer: String,
        /// What stands there now.
        value: Value,
    },
    /// An attribute is missing; `id` and `pointer` as in `Changed`.
    Removed {
        /// Id of the object.
        #[serde(default)]
        id: Option<String>,
        /// Where the attribute stands in the object: `/id`.
        pointer: String,
    },
}

/// Where a struck request waits. A test learns that it is there, changes the world, and lets it go on: a race that comes
/// out the same on any machine. It holds one request; clones hold the same one.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    reached: Notify,
    released: Notify,
}

impl Hold {
    /// Waits until the request is held.
    pub async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Lets the request go on, also one that is not there yet.
    pub fn release(&self) {
        self.0.released.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.0.reached.notify_one();
        self.0.released.notified().await;
    }
}

impl PartialEq for Hold {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Whose 404 it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The service's own: `E0000007` at Okta, the `errors` array at Anypoint.
    Service,
    /// A gateway's, without a body.
    Empty,
    /// A gateway's: `{}`.
    Object,
    /// A gateway's: `{"message":"no Route matched with those values"}`.
    NoRoute,
    /// A gateway's, in plain text.
    Text,
}

/// How a caller is refused, in the service's own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// 401: the credentials are not known.
    Credentials,
    /// The session is over: 403 `E0000005` at Okta, 401 at Anypoint.
    Session,
    /// 403: a right is missing, `E0000006` at Okta.
    Right,
    /// The sign-in is refused: 401 `invalid_client`.
    SignIn,
}

/// Other ways to give rate headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateHeaders {
    /// Each twice; the second reset is a minute later.
    Twice,
    /// Each once, as `a, b`; the second reset is a minute later.
    List,
}

/// Other ways to give `Link` headers. At Anypoint, which has none, `Circle` gives the first page for every `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// A byte that is no text.
    RawByte,
    /// No `>` after the address.
    NoBracket,
    /// `rel="next last"`.
    TwoRelations,
    /// The last page leads to the first again.
    Circle,
    /// The next page is not asked to `expand` (at Okta until 2026-08-05, OKTA-1230324).
    DropExpand,
}

/// Whether a fault strikes before or after the request had its effect on the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The world is not touched (`Delay` and `Held` wait first and then go on as usual).
    #[default]
    BeforeEffect,
    /// The world is changed as asked, only the answer suffers.
    AfterEffect,
}

/// A fault to play on matching requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only this method; `None` for any. What bends a read strikes `GET` only.
    #[serde(default, with = "method", skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Only paths (without host and query) that contain this text; empty for any. With a `*` it is the whole path, in which
    /// each `*` stands for one part: `/api/v1/groups/*/users`.
    #[serde(default, rename = "path")]
    pub path_contains: String,
    /// Only paths with this part: an id or a login, decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What happens.
    pub kind: FaultKind,
    /// When it happens.
    #[serde(default)]
    pub moment: Moment,
    /// How many matching requests pass unharmed first.
    #[serde(default)]
    pub skip: u32,
    /// How many requests it strikes; `None` until it is removed.
    #[serde(default)]
    pub times: Option<u32>,
    /// How long it lasts from when it is set; `None` until it is removed.
    #[serde(
        default,
        rename = "lasts_ms",
        with = "optional_millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub lasts: Option<Duration>,
}

impl Fault {
    /// A fault on every request whose path contains `path_contains`, before its effect, until removed.
    pub fn new(path_contains: &str, kind: FaultKind) -> Self {
        Self {
            method: None,
            path_contains: path_contains.to_owned(),
            about: None,
            kind,
            moment: Moment::BeforeEffect,
            skip: 0,
            times: None,
            lasts: None,
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

    /// Lists are empty: [`FaultKind::EmptyList`].
    pub fn empty_list(path_contains: &str) -> Self {
        Self::new(path_contains, FaultKind::EmptyList)
    }

    /// Lists lack some objects: [`FaultKind::Lacks`].
    pub fn lacking(path_contains: &str, ids: &[&str]) -> Self {
        let ids = ids.iter().map(|&id| id.to_owned()).collect();
        Self::new(path_contains, FaultKind::Lacks(ids))
    }

    /// What exists is answered 404: [`FaultKind::NotFound`].
    pub fn not_found(path_contains: &str, absence: Absence) -> Self {
        Self::new(path_contains, FaultKind::NotFound(absence))
    }

    /// An object that lists still name is 404 itself, and what is below it too.
    pub fn gone(id: &str) -> Self {
        Self::not_found("", Absence::Service).about(id)
    }

    /// One request waits until it is let go: [`FaultKind::Held`].
    pub fn held(path_contains: &str, hold: &Hold) -> Self {
        Self::new(path_contains, FaultKind::Held(hold.clone())).once()
    }

    /// Callers are refused: [`FaultKind::Refused`].
    pub fn refused(path_contains: &str, refused: Refused) -> Self {
        Self::new(path_contains, FaultKind::Refused(refused))
    }

    /// Sign-ins are refused.
    pub fn sign_in_refused() -> Self {
        Self::refused("", Refused::SignIn)
    }

    /// The token of the struck call is good no more: [`FaultKind::TokenDies`].
    pub fn token_dies(path_contains: &str, refused: Refused) -> Self {
        Self::new(path_contains, FaultKind::TokenDies(refused))
    }

    /// Only so many calls a window: [`FaultKind::CallBudget`].
    pub fn call_budget(calls: u32, window: Duration) -> Self {
        Self::new("", FaultKind::CallBudget { calls, window })
    }

    /// The members of an Okta group appear late: [`FaultKind::MemberLag`].
    pub fn member_lag(lag: Duration) -> Self {
        Self::new("/api/v1/groups/*/users", FaultKind::MemberLag(lag))
    }

    /// An attribute has another value, of another JSON type perhaps: [`FaultKind::Changed`].
    pub fn changed(path_contains: &str, id: Option<&str>, pointer: &str, value: Value) -> Self {
        let kind = FaultKind::Changed {
            id: id.map(str::to_owned),
            pointer: pointer.to_owned(),
            value,
        };
        Self::new(path_contains, kind)
    }

    /// An attribute is missing, the id perhaps: [`FaultKind::Removed`].
    pub fn removed(path_contains: &str, id: Option<&str>, pointer: &str) -> Self {
        let kind = FaultKind::Removed {
            id: id.map(str::to_owned),
            pointer: pointer.to_owned(),
        };
        Self::new(path_contains, kind)
    }

    /// Only on this method.
    #[must_use]
    pub fn on(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only where the path has this id or login as a part.
    #[must_use]
    pub fn about(mut self, id: &str) -> Self {
        self.about = Some(id.to_owned());
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

    /// Strikes until this much time has passed since it was set (see [`Traffic::advance`](super::traffic::Traffic::advance)).
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasts = Some(time);
        self
    }

    /// Whether it is about such a request at all, whatever came before.
    pub(super) fn matches(&self, request: &Request) -> bool {
        self.method
            .as_ref()
            .is_none_or(|wanted| wanted == request.method)
            && self.kind.concerns(self.method.is_some(), request)
            && self.fits(request.path)
            && self
                .about
                .as_ref()
                .is_none_or(|id| request.segments.iter().any(|part| part == id))
    }

    fn fits(&self, path: &str) -> bool {
        if !self.path_contains.contains('*') {
            return path.contains(&self.path_contains);
        }
        let mut parts = path.split('/');
        let same = |pattern: &str| {
            parts
                .next()
                .is_some_and(|part| pattern == "*" || pattern == part)
        };
        self.path_contains.split('/').all(same) && parts.next().is_none()
    }
}

/// Names a fault that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FaultId(u64);

impl FaultId {
    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What a fault is matched with.
pub(super) struct Request<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub segments: &'a [String],
    /// The `limit` in the query.
    pub limit: Option<usize>,
}

impl Request<'_> {
    fn is_sign_in(&self) -> bool {
        self.path.contains("/oauth2/")
    }
}

impl FaultKind {
    fn concerns(&self, method_named: bool, request: &Request) -> bool {
        let reads = request.method == Method::GET;
        match self {
            Self::NotFound(_) => (reads || method_named) && !request.is_sign_in(),
            Self::StaleRead
            | Self::Frozen
            | Self::ShortPage(_)
            | Self::LostItem
            | Self::EmptyList
            | Self::Lacks(_)
            | Self::MemberLag(_)
            | Self::Links(_) => reads,
            Self::PagesAbove(most) => reads && request.limit.is_none_or(|limit| limit > *most),
            Self::Refused(Refused::SignIn) => request.is_sign_in(),
            Self::Refused(_) | Self::TokenDies(_) | Self::CallBudget { .. } => {
                !request.is_sign_in()
            }
            _ => true,
        }
    }

    /// Whether it puts another answer in the place of the service's.
    pub(super) fn replaces(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::DropConnection
                | Self::TruncatedBody
                | Self::WrongJson
                | Self::NotFound(_)
                | Self::Refused(_)
                | Self::TokenDies(_)
                | Self::PagesAbove(_)
        )
    }

    /// The word for it in figures, and in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::DropConnection => "drop_connection",
            Self::Delay(_) => "delay_ms",
            Self::Held(_) => "held",
            Self::TruncatedBody => "truncated_body",
            Self::SlowBody(_) => "slow_body_ms",
            Self::WrongJson => "wrong_json",
            Self::StaleRead => "stale_read",
            Self::Frozen => "frozen",
            Self::ShortPage(_) => "short_page",
            Self::LostItem => "lost_item",
            Self::EmptyList => "empty_list",
            Self::Lacks(_) => "lacks",
            Self::MemberLag(_) => "member_lag_ms",
            Self::NotFound(_) => "not_found",
            Self::Refused(_) => "refused",
            Self::TokenDies(_) => "token_dies",
            Self::CallBudget { .. } => "call_budget",
            Self::RateHeaders(_) => "rate_headers",
            Self::Links(_) => "links",
            Self::PagesAbove(_) => "pages_above",
            Self::Changed { .. } => "changed",
            Self::Removed { .. } => "removed",
        }
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::millis::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

mod method {
    use http::Method;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(method: &Option<Method>, to: S) -> Result<S::Ok, S::Error> {
        match method {
            Some(method) => to.serialize_str(method.as_str()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Method>, D::Error> {
        match Option::<String>::deserialize(from)? {
            Some(text) => text.parse().map(Some).map_err(D::Error::custom),
            None => Ok(None),
        }
    }
}
