//! Reads the System Log for events that no delivery brought.
//!
//! A run polls the log in the order in which Okta wrote it. One *pass* follows the `next` links
//! from a point in time to the first empty page:
//!
//! ```text
//!   cursor { newest_ms, next }
//!      next is set:   an earlier run stopped in the middle of a pass; go on at that page
//!      next is empty: begin a pass at newest_ms − 5 minutes
//!   each page: events → queue, then cursor := { newest time seen, link to the next page }
//!   empty page: the pass is over, cursor := { newest time seen, no link }
//!   a page or link that the run has already met: an error, cursor := { newest time seen, no link }
//! ```
//!
//! An empty page may be wrong. While the log is quiet the cursor follows the clock, but only up to the time until which
//! the previous run found the log quiet, too. So the cursor passes a part of the log only after two runs, never after
//! one answer. A cursor that is ahead of the clock counts as lost. A run without a cursor begins a day before the earlier of
//! both clocks, this machine's and Okta's.
//!
//! Okta may write an event up to five minutes late. A running pass still meets it by its links, or the next pass meets it
//! in the overlap. A page that could not be read or queued does not move the cursor. Events come again in the
//! overlap, and the ledger knows those that are done.
//!
//! Without a queue the run applies the events of a page at once. The cursor keeps those that are not done, and the next
//! runs retry them.
//!
//! A run can miss entries that appear more than five minutes late. Reconcile finds their effects.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;

use super::Scheduler;
use super::summary::{Cut, Problem, Summary};
use crate::clock::rfc3339;
use crate::deadline::Deadline;
use crate::event::{Change, HOOK_EVENT_TYPES, LOG_EVENT_TYPES, read_log_events};
use crate::failure::{Cause, Failure, Side};
use crate::ids::EventUuid;
use crate::ledger::Status;
use crate::okta::LogPage;
use crate::settings::Mode;
use crate::store::Stored;

const CURSOR: &str = "cursor#catch_up";
/// How late an entry may appear.
const OVERLAP_MS: i64 = 5 * 60 * 1000;
/// How far the first run looks back, and a run whose cursor was lost.
const FIRST_RUN_MS: i64 = 24 * 60 * 60 * 1000;
/// Okta keeps the log for 90 days.
const MAX_AGE_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// While the log is quiet the cursor follows the clock at this distance. So a wrong clock hides no events, and a run
/// never searches weeks of the log.
const QUIET_MS: i64 = 60 * 60 * 1000;
/// A run does not begin a page with less time left, because it has to send the page's events as well.
const MIN_TIME: Duration = Duration::from_secs(8);
/// Open changes that the cursor keeps. With more of them, something larger is wrong.
const MAX_OPEN: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// When the latest durable event was published.
    newest_ms: i64,
    /// The link at which an unfinished pass continues.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    next: Option<String>,
    /// Until when the last pass found the log quiet, if it brought nothing newer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    quiet_ms: Option<i64>,
    /// Changes of pages before the cursor that are not done yet. Empty if there is a queue, which keeps them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    open: Vec<Change>,
}

impl Cursor {
    /// The cursor of a first run.
    fn at_first(started_ms: i64) -> Self {
        Self {
            newest_ms: started_ms - FIRST_RUN_MS + OVERLAP_MS,
            next: None,
            quiet_ms: None,
            open: Vec::new(),
        }
    }

    /// This cursor, unless it is ahead of the clock. A wrong clock moved such a cursor, so it counts as lost, but its
    /// open changes are kept.
    fn reached_by(self, started_ms: i64) -> Self {
        if self.newest_ms <= started_ms {
            return self;
        }
        tracing::warn!("the System Log's cursor is ahead of the clock; the last day is read again");
        Self {
            open: self.open,
            ..Self::at_first(started_ms)
        }
    }

    /// Moves the cursor to `published_ms`, because an event that was published then is durable.
    fn reach(&mut self, published_ms: i64) {
        if published_ms > self.newest_ms {
            self.newest_ms = published_ms;
            self.quiet_ms = None;
        }
    }

    /// Ends a pass that found the log quiet until `quiet_ms`. The cursor follows as far as two passes found it quiet.
    fn end_pass(&mut self, quiet_ms: i64) {
        self.next = None;
        if let Some(before_ms) = self.quiet_ms.replace(quiet_ms) {
            self.newest_ms = self.newest_ms.max(before_ms.min(quiet_ms));
        }
    }
}

/// A change that is neither done nor failed for good.
#[derive(Debug)]
pub(super) struct OpenChange {
    pub(super) change: Change,
    /// What its record says, if it has one.
    pub(super) status: Option<Status>,
}

/// The links and pages that a run has met. The same page may come again under another link.
#[derive(Default)]
struct Met(HashSet<u64>);

impl Met {
    /// Whether this is new.
    fn is_new(&mut self, met: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        met.hash(&mut hasher);
        self.0.insert(hasher.finish())
    }

    fn is_new_page(&mut self, page: &LogPage) -> bool {
        let texts: Vec<&str> = page.events.iter().map(|event| event.get()).collect();
        self.is_new(texts)
    }
}

impl Scheduler {
    pub(super) async fn catch_up(
        &self,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let started_ms = self.clock().now_ms();
        let found = self.documents().document(CURSOR).await?;
        let mut version = found.as_ref().map_or(0, |found| found.version);
        // A cursor that cannot be read counts as lost.
        let mut cursor = found
            .and_then(|found| serde_json::from_str::<Cursor>(&found.json).ok())
            .unwrap_or_else(|| Cursor::at_first(started_ms))
            .reached_by(started_ms);
        let kept = std::mem::take(&mut cursor.open);
        cursor.open = self.send_again(kept, deadline, summary).await?;
        let mut met = Met::default();
        if let Some(next) = &cursor.next {
            met.is_new(next.as_str());
        }
        let is_first = cursor.newest_ms == Cursor::at_first(started_ms).newest_ms;
        let mut page = self.first_page(&cursor, started_ms, deadline).await?;
        let okta_ms = page.answered_ms.unwrap_or(started_ms);
        if is_first && okta_ms + OVERLAP_MS < started_ms {
            tracing::warn!("the clock is ahead of Okta's; the last day by Okta's clock is read");
            cursor = Cursor {
                open: cursor.open,
                ..Cursor::at_first(okta_ms)
            };
            page = self.first_page(&cursor, okta_ms, deadline).await?;
        }
        // By a clock that is behind, every event is younger than the run.
        let began_ms = started_ms.max(okta_ms);
        summary.set("events", 0);
        loop {
            self.progress("reading the System Log", summary.count("events"), None);
            if page.events.is_empty() {
                break;
            }
            if !met.is_new_page(&page) {
                return Err(self.end_in_loop(cursor, version, summary.mode).await);
            }
            summary.add("pages", 1);
            summary.add("events", page.events.len());
            let cut = self.queue_page(&page, &mut cursor, deadline, summary);
            if let Some(cut) = cut.await? {
                summary.cut(cut);
                return Ok(());
            }
            let times = PublishedSpan::of(&page.events);
            if let Some(newest) = times.newest_ms {
                cursor.reach(newest.min(self.clock().now_ms()));
            }
            // All events of the page are younger than this run. The next run reads the rest.
            let caught_up = times.oldest_ms.is_some_and(|oldest| oldest > began_ms);
            let Some(next) = page.next.clone().filter(|_| !caught_up) else {
                break;
            };
            if !met.is_new(next.as_str()) {
                return Err(self.end_in_loop(cursor, version, summary.mode).await);
            }
            cursor.next = Some(next.to_string());
            self.move_cursor(&cursor, &mut version, summary.mode)
                .await?;
            if deadline.remaining() < MIN_TIME {
                summary.cut(Cut::Time);
                return Ok(());
            }
            page = self.log.log_page(&next, deadline).await?;
        }
        // The earlier of the two clocks skips less of the log.
        let now_ms = self.clock().now_ms();
        let now_ms = page.answered_ms.map_or(now_ms, |okta| okta.min(now_ms));
        cursor.end_pass(now_ms - QUIET_MS);
        self.move_cursor(&cursor, &mut version, summary.mode).await
    }

    /// Ends a run whose pages come again. The next run begins a new pass, outside the loop.
    async fn end_in_loop(&self, mut cursor: Cursor, mut version: u64, mode: Mode) -> Failure {
        cursor.next = None;
        match self.move_cursor(&cursor, &mut version, mode).await {
            Ok(()) => Failure::retryable(
                Side::Okta,
                "the System Log led back to a page that was already read; the next run begins again at the newest \
                 event that was read",
            )
            .because(Cause::Unreadable),
            Err(failure) => failure,
        }
    }

    async fn first_page(
        &self,
        cursor: &Cursor,
        started_ms: i64,
        deadline: Deadline,
    ) -> Result<LogPage, Failure> {
        let okta = &self.log;
        let stored = cursor
            .next
            .as_deref()
            .and_then(|next| Url::parse(next).ok());
        if let Some(next) = stored.filter(|next| okta.is_log_page(next)) {
            match okta.log_page(&next, deadline).await {
                // Okta no longer knows this link, so the pass begins again.
                Err(error)
                    if matches!(
                        error.status(),
                        Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE)
                    ) =>
                {
                    tracing::warn!("Okta refused the stored link into the System Log: {error}");
                }
                other => return other.map_err(Failure::from),
            }
        }
        let since_ms = (cursor.newest_ms - OVERLAP_MS).max(started_ms - MAX_AGE_MS);
        let types: Vec<&str> = HOOK_EVENT_TYPES
            .into_iter()
            .chain(LOG_EVENT_TYPES)
            .collect();
        Ok(okta.log_since(&rfc3339(since_ms), &types, deadline).await?)
    }

    /// Queues the events of a page that ask for a change. Returns what ended the run first, if anything did.
    async fn queue_page(
        &self,
        page: &LogPage,
        cursor: &mut Cursor,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<Option<Cut>, Failure> {
        let now = rfc3339(self.clock().now_ms());
        let reading = read_log_events(&page.events, &self.ports.app, &now);
        summary.add("ignored", reading.ignored.len());
        summary.problems.extend(unreadable(&reading.unreadable));
        if summary.mode == Mode::Report {
            summary.add("would_queue", reading.changes.len());
            return Ok(None);
        }
        // This run has sent those that the cursor keeps already.
        let is_kept = |change: &Change| {
            let mut kept = cursor.open.iter();
            kept.any(|kept| (&kept.uuid, &kept.subject) == (&change.uuid, &change.subject))
        };
        let mut changes = reading.changes;
        changes.retain(|change| !is_kept(change));
        let sent = self.send(&changes, deadline).await?;
        summary.add("queued", sent.count);
        match sent.failure {
            // Without a queue the cursor keeps the changes that are not done yet, and the run goes on.
            Some(failure) if failure.side != Side::Queue && sent.cut.is_none() => {
                summary.add("open", sent.open.len());
                if cursor.open.len() + sent.open.len() > MAX_OPEN {
                    return Err(failure);
                }
                let open = sent.open.into_iter();
                cursor.open.extend(open.map(|open| open.change));
                Ok(None)
            }
            // The run reads the page again, so the changes that are not done are not lost.
            Some(_) if matches!(sent.cut, Some(Cut::Pause(_))) => Ok(sent.cut),
            Some(failure) => Err(failure),
            None => Ok(sent.cut),
        }
    }

    /// Sends the changes that earlier runs could not do. Returns those that are still open.
    async fn send_again(
        &self,
        kept: Vec<Change>,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<Vec<Change>, Failure> {
        if kept.is_empty() || summary.mode == Mode::Report {
            return Ok(kept);
        }
        let sent = self.send(&kept, deadline).await?;
        summary.add("queued", sent.count);
        if sent.failure.is_none() && sent.cut.is_none() {
            return Ok(Vec::new());
        }
        let open = self.open(kept).await?;
        summary.add("open", open.len());
        Ok(open.into_iter().map(|open| open.change).collect())
    }

    /// The changes that are neither done nor failed for good.
    pub(super) async fn open(&self, changes: Vec<Change>) -> Result<Vec<OpenChange>, Failure> {
        let mut open = Vec::new();
        for change in changes {
            let record = self.ports.ledger.record_of(&change.work()).await?;
            let status = record.as_ref().map(|record| record.status);
            if !record.is_some_and(|record| record.is_final()) {
                open.push(OpenChange { change, status });
            }
        }
        Ok(open)
    }

    async fn move_cursor(
        &self,
        cursor: &Cursor,
        version: &mut u64,
        mode: Mode,
    ) -> Result<(), Failure> {
        if mode == Mode::Report {
            return Ok(());
        }
        let json = serde_json::to_string(cursor).unwrap_or_default();
        match self
            .documents()
            .put_document(CURSOR, &json, *version)
            .await?
        {
            Stored::Written => {
                *version += 1;
                Ok(())
            }
            Stored::Conflict => Err(Failure::retryable(
                Side::Table,
                "another run moved the System Log's cursor",
            )),
        }
    }
}

/// When the events of a page were published.
#[derive(Debug, Default, PartialEq, Eq)]
struct PublishedSpan {
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
}

impl PublishedSpan {
    fn of(events: &[Box<RawValue>]) -> Self {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(borrow)]
            published: Cow<'a, str>,
        }
        let mut times = Self::default();
        for event in events {
            let Some(at) = serde_json::from_str::<Event<'_>>(event.get())
                .ok()
                .and_then(|event| event.published.parse::<jiff::Timestamp>().ok())
            else {
                continue;
            };
            let at_ms = at.as_millisecond();
            times.oldest_ms = Some(times.oldest_ms.map_or(at_ms, |oldest| oldest.min(at_ms)));
            times.newest_ms = times.newest_ms.max(Some(at_ms));
        }
        times
    }
}

/// The problems of events that no run can act on: one for each id, and one for all without an id.
fn unreadable(events: &[Option<EventUuid>]) -> impl Iterator<Item = Problem> {
    let named = events
        .iter()
        .flatten()
        .map(|event| format!("event {event} of the System Log has no usable type, user or group"));
    let nameless = events.iter().filter(|event| event.is_none()).count();
    let nameless =
        (nameless > 0).then(|| format!("{nameless} event(s) of the System Log have no usable id"));
    named.chain(nameless).map(|what| {
        let what = format!("{what}; the next reconcile finds the effect");
        Problem::general(&Failure::retryable(Side::Okta, what).because(Cause::Unreadable))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_of_a_page_ignores_events_without_a_usable_time() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let events = [
            raw(r#"{"published":"2026-03-02T09:15:04.120Z"}"#),
            raw(r#"{"published":"soon"}"#),
            raw(r#"{"published":null}"#),
            raw("7"),
            raw(r#"{"published":"2026-03-02T09:15:03.000Z"}"#),
        ];
        let times = PublishedSpan::of(&events);
        assert_eq!(times.newest_ms, Some(1_772_442_904_120));
        assert_eq!(times.oldest_ms, Some(1_772_442_903_000));
        assert_eq!(PublishedSpan::of(&events[1..4]), PublishedSpan::default());
    }
}
