//! What faults do to answers.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use super::Request;

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
    /// Sign-ins left out, only this many calls pass in each window of time; the others are answered 503 without a body or a
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

    pub(crate) async fn wait(&self) {
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
    /// The link to the next page lacks `expand` (at Okta until 2026-08-05, OKTA-1230324).
    DropExpand,
}

impl FaultKind {
    /// Whether it strikes such requests; `method_named` if its fault names a method.
    pub(super) fn concerns(&self, method_named: bool, request: &Request) -> bool {
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
    pub(crate) fn replaces(&self) -> bool {
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
}

pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
