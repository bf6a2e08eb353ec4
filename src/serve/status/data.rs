//! What the status page shows, read from the file on a connection of its own, so that a reader does not hold up the
//! worker.

use rusqlite::{Connection, Row, named_params};
use serde::Serialize;

use crate::failure::{Failure, Side};
use crate::insight::{Inbox, LastRun, Standing, last_runs, usual_interval};
use crate::provision::Ports;
use crate::queue::dead_letters;
use crate::serve::Intervals;
use crate::sqlite::Database;

use super::series::{Bar, Window, series};
use crate::serve::numbers::Numbers;

/// Records on one page.
pub(crate) const PAGE: u32 = 100;
/// Failures on the overview.
const MAX_FAILURES: u32 = 20;
/// Dead letters that are listed.
const MAX_DEAD_LETTERS: u32 = 50;

/// Whether names are shown: to a browser on this machine only, which no other site sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Usernames and team names.
    Shown,
    /// Opaque ids only.
    Hidden,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its uuid.
    pub uuid: String,
    /// `queued`, `dry run`, or as the record says.
    pub state: String,
    /// Okta's event type, or `reconcile`.
    pub event_type: String,
    /// What it is about.
    pub subject: String,
    /// When Okta published it.
    pub published: String,
    /// How often it was claimed.
    pub attempts: i64,
    /// When the record was last written.
    pub updated_at_ms: i64,
    /// Whether a retry may heal its failure.
    pub error_class: Option<String>,
    /// What failed and what to do about it.
    pub error: Option<String>,
    /// When its message is looked at next.
    pub next_try_ms: Option<i64>,
    /// Whether its message is a dead letter.
    pub dead: bool,
    /// What would be done, for a dry run or a held event.
    pub planned: Option<Vec<String>>,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// A state; all when empty.
    pub state: String,
    /// A subject, with or without its kind; all when empty.
    pub subject: String,
    /// The page, from 0.
    pub page: u32,
}

/// Whose links to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFilter {
    /// A part of an id, or of a name where names are shown; all when empty.
    pub text: String,
    /// Whether names are shown, and searched.
    pub names: Names,
    /// The page, from 0.
    pub page: u32,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `user` or `group`.
    pub kind: String,
    /// The Okta object.
    pub okta_id: String,
    /// The Anypoint object.
    pub anypoint_id: String,
    /// The username or team name.
    pub name: String,
    /// How the link came to be.
    pub origin: String,
}

/// Everything on the overview.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Overview {
    /// What the file says in numbers.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Failed events, newest first.
    pub failures: Vec<Event>,
    /// Dead letters, oldest first.
    pub dead_letters: Vec<Event>,
    /// Throughput and lag over time.
    pub series: Vec<Bar>,
}

/// What the verdict is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Situation {
    /// What is open.
    pub inbox: Inbox,
    /// The last run of each task.
    pub runs: Vec<LastRun>,
    /// How changes are worked on.
    pub standing: Standing,
}

impl Situation {
    /// Reads it. A task is overdue after twice its interval, or after the time that the alert rules know.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn read(
        ports: &Ports,
        database: &Database,
        intervals: Intervals,
        now_ms: i64,
    ) -> Result<Self, Failure> {
        let dead = database.read(Side::Queue, dead_letters).await?;
        let interval = |task| {
            let every = intervals.each().into_iter().find(|(each, _)| *each == task);
            let every = every.and_then(|(_, every)| every)?;
            Some(every.saturating_mul(2).max(usual_interval(task)?))
        };
        Ok(Self {
            inbox: Inbox::read(&*ports.ledger, &dead).await?,
            runs: last_runs(&*ports.documents, interval, now_ms).await?,
            standing: Standing::read(
                &*ports.ledger,
                &*ports.documents,
                ports.policy.changes,
                now_ms,
            )
            .await?,
        })
    }
}

/// Reads the overview.
pub async fn overview(
    database: &Database,
    now_ms: i64,
    window: Window,
) -> Result<Overview, Failure> {
    let failures = EventFilter {
        state: "failed".to_owned(),
        ..EventFilter::default()
    };
    database
        .read(Side::Table, move |c| {
            Ok(Overview {
                numbers: Numbers::read(c, now_ms)?,
                failures: select(c, &failures, MAX_FAILURES, now_ms)?,
                dead_letters: dead(c)?,
                series: series(c, now_ms, window)?,
            })
        })
        .await
}

/// Reads one page of events.
pub async fn events(
    database: &Database,
    filter: EventFilter,
    now_ms: i64,
) -> Result<OnePage<Event>, Failure> {
    database
        .read(Side::Table, move |connection| {
            let found = select(connection, &filter, PAGE + 1, now_ms)?;
            Ok(OnePage::of(found))
        })
        .await
}

/// Reads one page of links.
pub async fn links(database: &Database, filter: LinkFilter) -> Result<OnePage<Link>, Failure> {
    database
        .read(Side::Table, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, okta_id, anypoint_id, name, origin FROM (\
                 SELECT 'user' AS kind, okta_user AS okta_id, anypoint_id, username AS name, origin \
                 FROM user_links UNION ALL \
                 SELECT 'group', okta_group, team_id, team_name, origin FROM team_links) \
                 WHERE :text = '' OR instr(lower(kind || '#' || okta_id), lower(:text)) > 0 \
                 OR instr(lower(anypoint_id), lower(:text)) > 0 \
                 OR (:names AND instr(lower(name), lower(:text)) > 0) \
                 ORDER BY kind, okta_id LIMIT :limit OFFSET :offset",
            )?;
            let rows = statement.query_map(
                named_params! {
                    ":text": filter.text,
                    ":names": filter.names == Names::Shown,
                    ":limit": PAGE + 1,
                    ":offset": filter.page.saturating_mul(PAGE),
                },
                |row| {
                    Ok(Link {
                        kind: row.get(0)?,
                        okta_id: row.get(1)?,
                        anypoint_id: row.get(2)?,
                        name: row.get(3)?,
                        origin: row.get(4)?,
                    })
                },
            )?;
            Ok(OnePage::of(rows.collect::<rusqlite::Result<_>>()?))
        })
        .await
}

/// One page of a list.
pub(crate) struct OnePage<T> {
    pub rows: Vec<T>,
    /// Whether there is a next page.
    pub has_more: bool,
}

impl<T> OnePage<T> {
    /// The page of these rows, of which one more was asked for than it has.
    fn of(mut rows: Vec<T>) -> Self {
        let has_more = rows.len() > PAGE as usize;
        rows.truncate(PAGE as usize);
        Self { rows, has_more }
    }
}

/// How to find out whether the file can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Write something.
    Write,
    /// Take the write lock, and write nothing.
    Lock,
}

/// Finds out whether the file can be written.
pub async fn probe(database: &Database, probe: Probe) -> Result<(), Failure> {
    database
        .write(Side::Table, move |connection| match probe {
            Probe::Lock => Ok(0),
            Probe::Write => connection.execute(
                "INSERT INTO documents (name, json, version) VALUES ('serve#probe', '{}', 1) \
                 ON CONFLICT (name) DO UPDATE SET version = version + 1",
                [],
            ),
        })
        .await
        .map(|_| ())
}

/// An unreadable body is shown as such and does not break the page.
const QUEUED: &str = "SELECT uuid, 'queued', \
                      COALESCE(CASE WHEN json_valid(body) THEN json_extract(body, '$.event_type') END, \
                      'unreadable'), subject, \
                      COALESCE(CASE WHEN json_valid(body) THEN json_extract(body, '$.published') END, \
                      ''), receive_count, sent_at_ms, NULL, NULL, \
                      visible_at_ms, dead, NULL FROM messages";

fn select(
    connection: &Connection,
    filter: &EventFilter,
    limit: u32,
    now_ms: i64,
) -> rusqlite::Result<Vec<Event>> {
    let sql = if filter.state == "queued" {
        format!(
            "{QUEUED} WHERE dead = 0 AND :state = 'queued' AND (:subject = '' \
             OR subject IN (:subject, 'user#' || :subject, 'group#' || :subject)) \
             ORDER BY seq LIMIT :limit OFFSET :offset"
        )
    } else {
        "SELECT id, CASE WHEN status = 'done' AND dry_run = 1 THEN 'dry run' ELSE status END AS state, event_type, \
         events.subject, published, attempts, updated_at_ms, error_class, error, m.visible_at_ms, m.dead, \
         CASE WHEN status IN ('done', 'held', 'failed') THEN planned END FROM events \
         LEFT JOIN messages AS m ON status <> 'done' AND m.dead IN (0, 1) AND m.subject = events.subject \
         AND m.uuid = events.id \
         WHERE (:state = '' OR state = :state) AND (:subject = '' \
         OR events.subject IN (:subject, 'user#' || :subject, 'group#' || :subject)) \
         ORDER BY updated_at_ms DESC, id LIMIT :limit OFFSET :offset"
            .to_owned()
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let offset = filter.page.saturating_mul(PAGE);
    let rows = statement.query_map(
        named_params! {
            ":state": filter.state, ":subject": filter.subject, ":limit": limit, ":offset": offset,
        },
        event,
    )?;
    let mut events: Vec<Event> = rows.collect::<rusqlite::Result<_>>()?;
    for event in &mut events {
        event.next_try_ms = event
            .next_try_ms
            .filter(|at_ms| *at_ms > now_ms && !event.dead);
    }
    Ok(events)
}

/// The dead letters, oldest first, with what their records say.
fn dead(connection: &Connection) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT m.uuid, 'dead letter', \
               COALESCE(CASE WHEN json_valid(body) THEN json_extract(body, '$.event_type') END, 'unreadable'), m.subject, \
               COALESCE(CASE WHEN json_valid(body) THEN json_extract(body, '$.published') END, ''), receive_count, \
               COALESCE(e.updated_at_ms, sent_at_ms), e.error_class, e.error, NULL, 1, NULL FROM messages AS m \
               LEFT JOIN events AS e ON e.subject = m.subject AND e.id IN (m.uuid, m.uuid || '#' || m.subject) \
               WHERE m.dead = 1 ORDER BY m.seq LIMIT ?1";
    connection
        .prepare_cached(sql)?
        .query_map([MAX_DEAD_LETTERS], event)?
        .collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        uuid: row.get(0)?,
        state: row.get(1)?,
        event_type: row.get(2)?,
        subject: row.get(3)?,
        published: row.get(4)?,
        attempts: row.get(5)?,
        updated_at_ms: row.get(6)?,
        error_class: row.get(7)?,
        error: row.get(8)?,
        next_try_ms: row.get(9)?,
        dead: row.get::<_, Option<bool>>(10)?.unwrap_or(false),
        planned: row
            .get::<_, Option<String>>(11)?
            .and_then(|json| serde_json::from_str(&json).ok()),
    })
}
