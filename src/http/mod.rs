//! The one HTTP client that both remotes share: deadline, retries, rate limits, error classes.
//!
//! The client sends a call until the answer is final or the deadline is near. It retries throttling, 5xx,
//! lost connections and time-outs, with jittered, growing pauses that honour the remote's own hint. Nothing
//! above it retries inside one invocation. When a remote tells one caller to wait, all its callers wait. The
//! client never follows a redirect: a redirect could carry credentials to another host.
//!
//! Not guaranteed: that a call whose answer was lost had no effect. Callers make every call safe to
//! repeat, or mark it `Repeat::OnlyIfRefused`.

mod call;
mod error;
mod finality;
mod hints;
mod link;
mod listed;
mod network;
mod object;
mod session;
mod throttle;
mod tls;
mod transport;

pub(crate) use call::{Call, RemoteAnswer, address};
pub(crate) use error::if_found;
pub use error::{CallError, CallErrorKind};
pub use finality::Finality;
pub(crate) use hints::parse_http_date;
pub(crate) use link::next_link;
pub(crate) use listed::{Entry, entries};
pub use listed::{Extent, Listed, Unread};
pub(crate) use listed::{Gathering, Page};
pub use network::{ExtraRoots, Network, NetworkError};
pub(crate) use object::{Echo, another_object, not_as_written, some_text};
pub(crate) use session::{Fetched, Session, Token, TokenAnswer, TokenScheme};
pub use transport::HttpClient;
pub(crate) use transport::Signer;
