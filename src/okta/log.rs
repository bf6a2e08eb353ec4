//! The System Log. Source: Okta, "System Log query".

use http::header::DATE;
use serde_json::value::RawValue;
use url::Url;

use super::client::Okta;
use crate::deadline::Deadline;
use crate::http::{Call, CallError, CallErrorKind, parse_http_date};

/// One page of the System Log.
#[derive(Debug)]
pub struct LogPage {
    /// The events, as they came.
    pub events: Vec<Box<RawValue>>,
    /// Where the next page is; in polling mode there always is one.
    pub next: Option<Url>,
    /// Okta's own time when it answered, in milliseconds since the epoch.
    pub answered_ms: Option<i64>,
}

impl Okta {
    /// Begins to poll the log at `since` (RFC 3339), oldest first by persistence, only events of
    /// `event_types`, 1000 a page.
    pub async fn log_since(
        &self,
        since: &str,
        event_types: &[&str],
        deadline: Deadline,
    ) -> Result<LogPage, CallError> {
        let filter = event_types
            .iter()
            .map(|event_type| format!("eventType eq \"{event_type}\""))
            .collect::<Vec<_>>()
            .join(" or ");
        let query = [
            ("since", since),
            ("sortOrder", "ASCENDING"),
            ("limit", "1000"),
            ("filter", &filter),
        ];
        let url = self.log_call().query(&query).url;
        self.log_page(&url, deadline).await
    }

    /// Whether `url` is a page of this org's log: a stored link may be of another org.
    pub(crate) fn is_log_page(&self, url: &Url) -> bool {
        self.owns(url) && url.path() == self.log_call().url.path()
    }

    fn log_call(&self) -> Call {
        self.get("read the System Log", &["logs"])
    }

    /// Reads the page at `url`, which came from an earlier page; a shorter one if Okta cannot answer it whole.
    pub async fn log_page(&self, url: &Url, deadline: Deadline) -> Result<LogPage, CallError> {
        let mut call = self.log_call();
        if !self.owns(url) {
            let what = "a stored cursor of another org".to_owned();
            return Err(call.error(CallErrorKind::Unreadable(what)));
        }
        call.url = url.clone();
        let answer = self.send_for_page(&mut call, deadline).await?;
        let events = answer.json(&call)?;
        let next = self.next_page(&call, &answer.headers)?;
        let date = answer.headers.get(DATE).and_then(|at| at.to_str().ok());
        Ok(LogPage {
            events,
            next,
            answered_ms: date.and_then(parse_http_date).map(|at_s| at_s * 1000),
        })
    }
}
