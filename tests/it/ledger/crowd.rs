//! Many concurrent callers, and many records.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::deadline::Deadline;
use okta_anypoint::ledger::{
    ClaimOutcome, Conclusion, EndState, Filter, Lease, Leased, Ledger, Memo, Reason, Recorded,
    Status, Work, lease_within,
};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{
    Asked, LEASE, Run, START_MS, World, ask, claim, claimed, complete, conclude, ending, fail,
    ours, refused, work,
};

on_every!(
    ledger [dynamodb, sqlite, memory]
    fifty_concurrent_claims_make_one_owner,
    fifty_concurrent_claims_take_over_an_expired_lease_once,
    fifty_concurrent_leases_make_one_owner_of_a_subject,
    owners_take_turns,
    many_concurrent_claims_do_not_mix,
    lists_are_filtered_and_newest_first,
);

/// The ledgers of every connection, in turn.
fn connections(world: &World) -> impl Iterator<Item = Arc<dyn Ledger>> {
    let ledgers = [&world.others[..], std::slice::from_ref(&world.ledger)].concat();
    ledgers.into_iter().cycle()
}

/// Runs this in fifty tasks at the same instant, through every connection.
async fn storm<T, F>(world: &World, ask: impl Fn(Arc<dyn Ledger>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let gate = Arc::new(Barrier::new(50));
    let mut tasks = JoinSet::new();
    for ledger in connections(world).take(50) {
        let (gate, asked) = (gate.clone(), ask(ledger));
        tasks.spawn(async move {
            gate.wait().await;
            asked.await
        });
    }
    tasks.join_all().await
}

/// Fifty claims of the same event.
async fn claims(world: &World, id: &str) -> Vec<Asked> {
    let claim = |ledger: Arc<dyn Ledger>| {
        let work = work(id);
        async move { ask(&*ledger, &work, Reason::Delivery, LEASE).await }
    };
    storm(world, claim).await
}

/// Fifty requests for the lease of one subject.
async fn leases(world: &World) -> Vec<Leased> {
    let lease = async |ledger: Arc<dyn Ledger>| ledger.lease("user#00u1", LEASE).await.unwrap();
    storm(world, lease).await
}

#[track_caller]
fn one_lease(answers: Vec<Leased>, due_ms: i64) -> Lease {
    let mut leases = Vec::new();
    for answer in answers {
        match answer {
            Leased::Ours(lease) => leases.push(lease),
            Leased::Busy { until_ms } => assert_eq!(until_ms, due_ms),
        }
    }
    assert_eq!(leases.len(), 1, "owners");
    leases.remove(0)
}

async fn fifty_concurrent_leases_make_one_owner_of_a_subject(world: World) {
    let mut due_ms = START_MS + 10_000;
    let mut lost = Vec::new();
    for round in 0..4 {
        // First a free lease, then one that its owner never gave back.
        let lease = one_lease(leases(&world).await, due_ms);
        assert_eq!(lease.took_over(), round > 0);
        assert_eq!(lease.until_ms(), due_ms);
        lost.push(lease);
        world.clock.advance(10_000);
        due_ms += 10_000;
    }
    // Only the last owner can still write.
    let writes = async |lease: &Lease| world.ledger.write_memo(lease, None).await.unwrap();
    let last = lost.pop().unwrap();
    for lease in &lost {
        assert_eq!(writes(lease).await, Recorded::Superseded);
    }
    assert_eq!(writes(&last).await, Recorded::Written);
    let given_back = world.ledger.conclude(last, Conclusion::default()).await;
    assert_eq!(given_back.unwrap(), []);
    let lease = one_lease(leases(&world).await, due_ms);
    assert!(!lease.took_over());
}

/// Each takes the lease, changes the guarded value, and gives the lease back. No change is lost.
async fn owners_take_turns(world: World) {
    let mut tasks = JoinSet::new();
    for ledger in connections(&world).take(20) {
        tasks.spawn(async move {
            let time = Deadline::within(Duration::from_secs(60));
            let leased = lease_within(&*ledger, "user#00u1", time, time.remaining()).await;
            let lease = ours(leased.unwrap());
            let before: u32 = lease.memo().map_or(0, |memo| memo.parse().unwrap());
            let conclusion = Conclusion {
                claims: Vec::new(),
                memo: Memo::Write(Some((before + 1).to_string())),
                ..Conclusion::default()
            };
            ledger.conclude(lease, conclusion).await.unwrap();
        });
    }
    tasks.join_all().await;
    let memo = world.ledger.memo("user#00u1").await.unwrap();
    assert_eq!(memo.as_deref(), Some("20"));
}

#[track_caller]
fn one_owner(answers: Vec<Asked>) -> Run {
    let mut owners = Vec::new();
    for asked in answers {
        match asked.outcome {
            ClaimOutcome::Claimed(_) => owners.push(claimed(asked)),
            ClaimOutcome::Busy { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(owners.len(), 1, "owners");
    owners.remove(0)
}

async fn fifty_concurrent_claims_make_one_owner(world: World) {
    for round in 0..5 {
        let id = format!("e{round}");
        let run = one_owner(claims(&world, &id).await);
        assert_eq!(run.claim.attempts, 1);
        assert_eq!(complete(&world, run).await, Recorded::Written);
        let after = claims(&world, &id).await;
        let mut outcomes = after.iter().map(|asked| &asked.outcome);
        assert!(outcomes.all(|outcome| matches!(outcome, ClaimOutcome::AlreadyDone)));
    }
}

async fn fifty_concurrent_claims_take_over_an_expired_lease_once(world: World) {
    let _lost = claimed(claim(&world, "e1").await);
    world.clock.advance(10_000);
    let claim = one_owner(claims(&world, "e1").await).claim;
    assert_eq!((claim.attempts, claim.deaths), (2, 1));
}

async fn many_concurrent_claims_do_not_mix(world: World) {
    let mut tasks = JoinSet::new();
    for n in 0..60 {
        let ledger = world.ledger.clone();
        tasks.spawn(async move {
            let work = work(&format!("e{n}"));
            let run = claimed(ask(&*ledger, &work, Reason::Delivery, LEASE).await);
            assert_eq!(run.claim.attempts, 1);
            conclude(&*ledger, run, ending(EndState::Done)).await
        });
    }
    for recorded in tasks.join_all().await {
        assert_eq!(recorded, Recorded::Written);
    }
    let records = world.ledger.records(&Filter::default()).await.unwrap();
    let ids: HashSet<_> = records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids.len(), 60);
}

async fn lists_are_filtered_and_newest_first(world: World) {
    for (n, subject) in ["user#00u1", "group#00g1", "user#00u1", "user#00u2"]
        .iter()
        .enumerate()
    {
        world.clock.advance(1_000);
        let work = Work {
            subject: (*subject).to_owned(),
            ..work(&format!("e{n}"))
        };
        let run = claimed(ask(&*world.ledger, &work, Reason::Delivery, LEASE).await);
        match n {
            0 => complete(&world, run).await,
            1 | 2 => fail(&world, run, &refused()).await,
            _ => continue,
        };
    }
    let ids = async |filter: Filter| -> Vec<String> {
        let records = world.ledger.records(&filter).await.unwrap();
        records.into_iter().map(|record| record.id).collect()
    };
    let all = Filter::default();
    assert_eq!(ids(all.clone()).await, ["e3", "e2", "e1", "e0"]);
    let failed = Filter {
        status: Some(Status::Failed),
        ..all.clone()
    };
    assert_eq!(ids(failed.clone()).await, ["e2", "e1"]);
    let of_user = Filter {
        subject: Some("user#00u1".to_owned()),
        ..all.clone()
    };
    assert_eq!(ids(of_user).await, ["e2", "e0"]);
    let recent = Filter {
        updated_since_ms: Some(START_MS + 3_000),
        ..all
    };
    assert_eq!(ids(recent).await, ["e3", "e2"]);
    let both = Filter {
        subject: Some("group#00g1".to_owned()),
        ..failed
    };
    assert_eq!(ids(both).await, ["e1"]);
}
