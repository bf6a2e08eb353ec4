//! `dismiss`: takes what waits for an operator off the list.

use anyhow::Result;
use okta_anypoint::ledger::{
    BY_OPERATOR, Conclusion, Filter, Leased, Ledger, Record, Resolved, Status,
};
use okta_anypoint::queue::{DeadLetters, SqliteQueue};
use serde_json::json;

use crate::console::{Console, Exit, Tone, Usage};
use crate::operator::release;
use crate::table;
use crate::table::Access;

/// Take failures, held changes and cut-off changes off the list without doing them. Their records stay, as resolved.
///
/// In the file of `serve` it removes their dead letters, too, also one whose record has expired. A dismissed removal
/// is not cancelled: the next reconcile plans it again and does it. To keep somebody's access, change Okta.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"dismissed\": [uuids], \"error\": what was not dismissed, and why, or null}.

Examples:
  okta-anypoint dismiss b1fae790-1619-11f1-af2d-4a5b9c3d7e1f")]
pub struct Args {
    /// The events' uuids, as `events --failed` lists them, and `status` those of dead letters without a record.
    #[arg(required = true, value_name = "UUID")]
    uuids: Vec<String>,
    #[command(flatten)]
    table: table::Args,
}

/// What an operator names by a uuid.
pub enum Found {
    Record(Record),
    /// A record that waits for nobody, and still has a dead letter.
    Settled(Record),
    /// A dead letter whose record has expired.
    Remnant {
        uuid: String,
        subject: String,
    },
}

/// What the uuids name, each once. The file of `serve` has its dead letters in `queue`.
pub async fn found(
    ledger: &dyn Ledger,
    queue: Option<&SqliteQueue>,
    uuids: &[String],
) -> Result<Vec<Found>> {
    let dead_letters = match queue {
        Some(queue) => queue.dead_letters().await?,
        None => DeadLetters::default(),
    };
    let mut found = Vec::new();
    for (at, uuid) in uuids.iter().enumerate() {
        if uuids[..at].contains(uuid) {
            continue;
        }
        if let Some(record) = ledger.record(uuid).await? {
            let is_settled = matches!(record.status, Status::Done | Status::Resolved);
            found.push(match is_settled && dead_letters.contains(&record) {
                true => Found::Settled(record),
                false => Found::Record(record),
            });
            continue;
        }
        let subjects = dead_letters.subjects_of(uuid);
        if subjects.is_empty() {
            let text =
                format!("no event {uuid} is recorded; `okta-anypoint events` lists those that are");
            return Err(Usage(text).into());
        }
        let remnant = |subject| Found::Remnant {
            uuid: uuid.clone(),
            subject,
        };
        found.extend(subjects.into_iter().map(remnant));
    }
    Ok(found)
}

pub async fn run(args: &Args, console: &Console) -> Result<Exit> {
    let (table, queue) = args.table.open_table_and_queue(Access::Write).await?;
    let (ledger, queue) = (table.ledger, queue.as_ref());
    let mut dismissed = Vec::new();
    let mut problems = Vec::new();
    for found in found(&*ledger, queue, &args.uuids).await? {
        let result = match found {
            Found::Record(record) => dismiss(&*ledger, record).await?,
            Found::Settled(record) => {
                discard(queue, record.uuid().to_owned(), &record.subject).await?
            }
            Found::Remnant { uuid, subject } => discard(queue, uuid, &subject).await?,
        };
        match result {
            Ok(uuid) => {
                let mark = console.paint(Tone::Good, "dismissed");
                console.say(format!("{mark}  {uuid}"))?;
                dismissed.push(uuid);
            }
            Err(problem) => problems.push(problem),
        }
    }
    for problem in &problems {
        console.say(problem)?;
    }
    let error = (!problems.is_empty()).then(|| problems.join("; "));
    console.emit(&json!({"dismissed": dismissed, "error": error}))?;
    Ok(Exit::with_problems(problems.len()))
}

/// What was dismissed, or why not.
type Dismissed = Result<String, String>;

/// The ledger removes the dead letter with the record's write.
async fn dismiss(ledger: &dyn Ledger, record: Record) -> Result<Dismissed> {
    let is_waiting = record.status.is_open() || record.is_cut_off(table::clock().now_ms());
    let uuid = record.id;
    if !is_waiting {
        return Ok(Err(format!("{uuid} has not failed and is not held")));
    }
    let Leased::Ours(lease) = ledger.lease(&record.subject, table::LOOK_TIME).await? else {
        return Ok(Err(format!(
            "{uuid} stays: another run works on {}; try again",
            record.subject
        )));
    };
    let mut ids = vec![uuid.clone()];
    if record.status == Status::Held {
        // A user or group is on the list once, however many of its changes the brake holds.
        let same = Filter {
            subject: Some(record.subject),
            ..Filter::with_status(Status::Held)
        };
        let others = ledger.records(&same).await?.into_iter();
        ids.extend(others.map(|other| other.id).filter(|id| *id != uuid));
    }
    let resolved = ids.into_iter().map(|id| Resolved {
        id,
        by: BY_OPERATOR.to_owned(),
    });
    let conclusion = Conclusion {
        resolved: resolved.collect(),
        ..Conclusion::default()
    };
    release(ledger, lease, conclusion).await?;
    Ok(Ok(uuid))
}

async fn discard(queue: Option<&SqliteQueue>, uuid: String, subject: &str) -> Result<Dismissed> {
    if let Some(queue) = queue {
        queue.discard_dead_letter(&uuid, subject).await?;
    }
    Ok(Ok(uuid))
}
