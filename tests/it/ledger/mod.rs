//! What every ledger owes its callers: [`claims`] and [`leases`] one by one, a [`crowd`] at once, any
//! order at all in [`histories`].

mod claims;
mod crowd;
mod endings;
mod histories;
mod leases;
mod model;

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::ManualClock;
use okta_anypoint::failure::{Failure, Side};
use okta_anypoint::ledger::{
    Claim, ClaimOutcome, Conclusion, DynamoDbLedger, EndState, Ending, Lease, Leased, Ledger,
    Reason, Record, Recorded, SqliteLedger, Work,
};
use okta_anypoint::sqlite::Database;

use crate::servers;

/// An arbitrary time. It is not a whole second, so that wrong units and rounding show.
pub const START_MS: i64 = 1_790_000_000_123;
pub const TTL_DAYS: u32 = 30;
pub const DAY_MS: i64 = 86_400_000;
pub const LEASE: Duration = Duration::from_millis(10_000);

/// A ledger, other ledgers on the same records, and the clock of all.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub ledger: Arc<dyn Ledger>,
    pub others: Vec<Arc<dyn Ledger>>,
    _folder: Option<tempfile::TempDir>,
}

pub async fn dynamodb() -> World {
    let (client, table) = servers::table().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let ledger = DynamoDbLedger::new(client, table, TTL_DAYS, clock.clone());
    World {
        clock,
        others: vec![Arc::new(ledger.clone())],
        ledger: Arc::new(ledger),
        _folder: None,
    }
}

/// Two connections to one file, as two processes have.
pub async fn sqlite() -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    let open = || -> Arc<dyn Ledger> {
        let database = Database::open(&folder.path().join("ledger.db")).unwrap();
        Arc::new(SqliteLedger::new(database, TTL_DAYS, clock.clone()))
    };
    World {
        ledger: open(),
        others: vec![open(), open()],
        clock: clock.clone(),
        _folder: Some(folder),
    }
}

pub async fn memory() -> World {
    let clock = Arc::new(ManualClock::at(START_MS));
    let database = Database::in_memory().unwrap();
    let ledger = SqliteLedger::new(database, TTL_DAYS, clock.clone());
    World {
        clock,
        others: vec![Arc::new(ledger.clone())],
        ledger: Arc::new(ledger),
        _folder: None,
    }
}

pub fn work(id: &str) -> Work {
    Work {
        id: id.to_owned(),
        kind: "user.lifecycle.create".to_owned(),
        subject: "user#00u1".to_owned(),
        published: "2026-09-21T14:13:20.123Z".to_owned(),
        actor: None,
        reason: None,
    }
}

pub fn busy_remote() -> Failure {
    Failure::retryable(Side::Anypoint, "HTTP 503")
}

pub fn refused() -> Failure {
    Failure::permanent(Side::Anypoint, "the username is taken", "run link")
}

/// A claimed event, and the lease it was claimed under.
#[derive(Debug)]
pub struct Run {
    pub lease: Lease,
    pub claim: Claim,
}

/// The answer to a claim, and the lease it was made under.
#[derive(Debug)]
pub struct Asked {
    pub lease: Lease,
    pub outcome: ClaimOutcome,
}

#[track_caller]
pub fn ours(leased: Leased) -> Lease {
    match leased {
        Leased::Ours(lease) => lease,
        Leased::Busy { until_ms } => panic!("busy until {until_ms}"),
    }
}

/// Claims under the lease of a subject that no other caller uses, so only the claim keeps others out.
pub async fn ask(ledger: &dyn Ledger, work: &Work, reason: Reason, time: Duration) -> Asked {
    let subject = format!("user#{}", uuid::Uuid::new_v4());
    let lease = ours(ledger.lease(&subject, time).await.unwrap());
    let outcome = ledger.claim(work, &lease, reason).await.unwrap();
    Asked { lease, outcome }
}

/// The answer to a delivery of `id`.
pub async fn claim(world: &World, id: &str) -> Asked {
    ask(&*world.ledger, &work(id), Reason::Delivery, LEASE).await
}

/// The answer to a replay of `id`.
pub async fn replay(world: &World, id: &str) -> Asked {
    ask(&*world.ledger, &work(id), Reason::Replay, LEASE).await
}

#[track_caller]
pub fn claimed(asked: Asked) -> Run {
    match asked.outcome {
        ClaimOutcome::Claimed(claim) => Run {
            lease: asked.lease,
            claim,
        },
        other => panic!("not claimed: {other:?}"),
    }
}

/// Claims a free event under a lease.
pub async fn claim_under(world: &World, lease: &Lease, id: &str) -> Claim {
    let outcome = world.ledger.claim(&work(id), lease, Reason::Delivery).await;
    match outcome.unwrap() {
        ClaimOutcome::Claimed(claim) => claim,
        other => panic!("not claimed: {other:?}"),
    }
}

/// The end of a run that did nothing.
pub fn ending(state: EndState) -> Ending {
    Ending {
        applied: Vec::new(),
        planned: Vec::new(),
        state,
    }
}

/// Concludes a run with its one claim.
pub async fn conclude(ledger: &dyn Ledger, run: Run, ending: Ending) -> Recorded {
    let conclusion = Conclusion::of(vec![(run.claim, ending)]);
    let recorded = ledger.conclude(run.lease, conclusion).await.unwrap();
    assert_eq!(recorded.len(), 1);
    recorded[0]
}

pub async fn complete(world: &World, run: Run) -> Recorded {
    conclude(&*world.ledger, run, ending(EndState::Done)).await
}

pub async fn fail(world: &World, run: Run, failure: &Failure) -> Recorded {
    let state = EndState::Failed(failure.clone());
    conclude(&*world.ledger, run, ending(state)).await
}

/// The record of an id that has one.
pub async fn on_record(world: &World, id: &str) -> Record {
    world.ledger.record(id).await.unwrap().unwrap()
}
