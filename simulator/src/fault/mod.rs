//! Faults and lies: which requests one strikes, what becomes of their answers, and how often or how long.
//!
//! [`Traffic::inject`](crate::traffic::Traffic::inject) sets one; several may strike the same request. A test builds them
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
//! assert_eq!(serde_json::from_str::<Fault>(text)?, lie);
//! # let _ = died;
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! A fault strikes every request that it matches, in the order they were set. The first one that replaces the answer ends
//! this: those set after it do not see the request. [`Traffic::fired`](crate::traffic::Traffic::fired) counts the answers
//! that a fault really changed: an empty list that is emptied again is no lie, and costs none of its `times`.

mod kind;

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use kind::{Absence, FaultKind, Hold, Links, RateHeaders, Refused};

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
    /// Only this method; `None` for any. A fault that changes what a read shows strikes `GET` only.
    #[serde(default, with = "method", skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Only paths (without host and query) that contain this text; empty for any. With a `*` it is the whole path, in which
    /// each `*` stands for one part: `/api/v1/groups/*/users`.
    #[serde(default, rename = "path")]
    pub path_contains: String,
    /// Only paths with this part: an id or a login, decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Only requests whose body contains this text: an id, for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<String>,
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
            naming: None,
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

    /// The token of the struck call is no longer accepted: [`FaultKind::TokenDies`].
    pub fn token_dies(path_contains: &str, refused: Refused) -> Self {
        Self::new(path_contains, FaultKind::TokenDies(refused))
    }

    /// Only this many calls a window: [`FaultKind::CallBudget`].
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

    /// Only where the request's body contains this text.
    #[must_use]
    pub fn naming(mut self, text: &str) -> Self {
        self.naming = Some(text.to_owned());
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

    /// Strikes until this much time has passed since it was set (see [`Traffic::advance`](crate::traffic::Traffic::advance)).
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasts = Some(time);
        self
    }

    /// Whether it matches such a request, regardless of the requests before.
    pub(crate) fn matches(&self, request: &Request) -> bool {
        self.method
            .as_ref()
            .is_none_or(|wanted| wanted == request.method)
            && self.kind.concerns(self.method.is_some(), request)
            && self.fits(request.path)
            && self
                .naming
                .as_ref()
                .is_none_or(|text| String::from_utf8_lossy(request.body).contains(text))
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
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// The parts of a request that a fault is matched with.
pub(crate) struct Request<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub segments: &'a [String],
    pub body: &'a [u8],
    /// The `limit` in the query.
    pub limit: Option<usize>,
}

impl Request<'_> {
    fn is_sign_in(&self) -> bool {
        self.path.contains("/oauth2/")
    }
}

mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::kind::millis::serialize(span, to),
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
