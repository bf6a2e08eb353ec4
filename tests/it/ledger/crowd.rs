//! Many at once, and many on record.

use std::collections::HashSet;
use std::sync::Arc;

use okta_anypoint::ledger::{Claim, Filter, Outcome, Reason, Recorded, Status, Work};

use super::{LEASE, START_MS, World, claim, claimed, refused, work};

on_every_ledger!(
    fifty_at_once_make_one_owner,
    fifty_at_once_take_one_lease_over,
    many_works_do_not_mix,
    lists_are_filtered_and_newest_first,
);

/// Lets fifty tasks claim the same work at the same instant, through every connection.
async fn storm(world: &World, id: &str) -> Vec<Outcome> {
    let ledgers: Vec<_> = world
        .others
        .iter()
        .chain([&world.ledger])
        .cloned()
        .collect();
    let gate = Arc::new(tokio::sync::Barrier::new(50));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (ledger, gate, work) = (ledgers[n % ledgers.len()].clone(), gate.clone(), work(id));
        tasks.spawn(async move {
            gate.wait().await;
            ledger.claim(&work, LEASE, Reason::Delivery).await.unwrap()
        });
    }
    tasks.join_all().await
}

#[track_caller]
fn one_owner(outcomes: Vec<Outcome>) -> Claim {
    let mut owners = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Claimed(claim) => owners.push(claim),
            Outcome::Busy { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(owners.len(), 1, "owners");
    owners.remove(0)
}

async fn fifty_at_once_make_one_owner(world: World) {
    for round in 0..5 {
        let id = format!("e{round}");
        let claim = one_owner(storm(&world, &id).await);
        assert_eq!(claim.attempts, 1);
        assert_eq!(
            world.ledger.complete(claim).await.unwrap(),
            Recorded::Written
        );
        let after = storm(&world, &id).await;
        assert!(after.iter().all(|o| matches!(o, Outcome::AlreadyDone)));
    }
}

async fn fifty_at_once_take_one_lease_over(world: World) {
    let _lost = claimed(claim(&world, "e1").await);
    world.clock.advance(10_000);
    let claim = one_owner(storm(&world, "e1").await);
    assert_eq!((claim.attempts, claim.took_over), (2, true));
}

async fn many_works_do_not_mix(world: World) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..60 {
        let ledger = world.ledger.clone();
        tasks.spawn(async move {
            let work = work(&format!("e{n}"));
            let claim = claimed(ledger.claim(&work, LEASE, Reason::Delivery).await.unwrap());
            assert_eq!(claim.attempts, 1);
            ledger.complete(claim).await.unwrap()
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
        let claim = claimed(
            world
                .ledger
                .claim(&work, LEASE, Reason::Delivery)
                .await
                .unwrap(),
        );
        match n {
            0 => world.ledger.complete(claim).await.unwrap(),
            1 | 2 => world.ledger.fail(claim, &refused()).await.unwrap(),
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
