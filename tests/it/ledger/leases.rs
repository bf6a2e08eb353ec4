//! One subject, one owner.

use std::time::Duration;

use okta_anypoint::deadline::MAX_LEASE;
use okta_anypoint::ledger::{
    ClaimOutcome, Conclusion, EndState, Filter, Lease, Leased, Memo, Recorded, Status,
};

use super::{DAY_MS, LEASE, START_MS, World, claim, claim_under, ending, on_record, ours};

on_every!(
    ledger [dynamodb, sqlite, memory]
    a_lease_has_one_owner,
    an_expired_lease_is_taken_over_with_its_memo,
    a_lease_is_given_back,
    leases_of_two_subjects_do_not_mix,
    a_late_owner_can_give_back_if_nobody_else_took_the_lease,
    a_renewed_lease_keeps_its_claims,
    a_late_renewal_is_refused,
    a_renewal_without_its_claim_is_refused,
    a_lost_lease_writes_no_memo,
    a_lost_lease_concludes_nothing,
    only_a_run_removes_a_memo,
    a_memo_expires_after_ten_years,
    an_old_memo_does_not_come_back,
    a_memo_stays_until_it_is_replaced,
    leases_are_not_listed_as_events,
    the_last_lease_of_a_subject_is_reported,
);

const SUBJECT: &str = "user#00u1";

async fn take(world: &World) -> Lease {
    ours(world.ledger.lease(SUBJECT, LEASE).await.unwrap())
}

async fn give_back(world: &World, lease: Lease, memo: Memo) {
    let conclusion = Conclusion {
        claims: Vec::new(),
        memo,
        ..Conclusion::default()
    };
    let recorded = world.ledger.conclude(lease, conclusion).await.unwrap();
    assert_eq!(recorded, []);
}

fn write(memo: &str) -> Memo {
    Memo::Write(Some(memo.to_owned()))
}

async fn memo(world: &World) -> Option<String> {
    world.ledger.memo(SUBJECT).await.unwrap()
}

async fn a_lease_has_one_owner(world: World) {
    let lease = take(&world).await;
    assert_eq!((lease.subject(), lease.memo()), (SUBJECT, None));
    assert!(!lease.took_over());
    assert_eq!(lease.until_ms(), START_MS + 10_000);
    world.clock.advance(9_999);
    lease.check().unwrap();
    for ledger in world.others.iter().chain([&world.ledger]) {
        let answer = ledger.lease(SUBJECT, LEASE).await.unwrap();
        assert!(
            matches!(answer, Leased::Busy { until_ms } if until_ms == START_MS + 10_000),
            "{answer:?}"
        );
    }
}

async fn an_expired_lease_is_taken_over_with_its_memo(world: World) {
    let lost = take(&world).await;
    let noted = world.ledger.write_memo(&lost, Some("intent".to_owned()));
    assert_eq!(noted.await.unwrap(), Recorded::Written);
    world.clock.advance(10_000);
    let failure = lost.check().unwrap_err();
    assert!(failure.is_retryable(), "{failure}");
    assert_eq!(failure.cause.as_str(), "lost_lease");
    let next = take(&world).await;
    assert!(next.took_over());
    assert_eq!(next.memo(), Some("intent"));
    assert_eq!(next.until_ms(), START_MS + 20_000);
    assert!(matches!(
        world.ledger.lease(SUBJECT, LEASE).await.unwrap(),
        Leased::Busy { .. }
    ));
}

/// The clock of the file's machine is set back by a day: a dead run keeps its lease and its claim for one lease more.
#[tokio::test]
async fn a_clock_set_back_frees_a_dead_claim_with_its_lease() {
    let world = super::sqlite().await;
    let dead = take(&world).await;
    let _ = claim_under(&world, &dead, "e1").await;
    world.clock.advance(-DAY_MS);
    let busy = world.ledger.lease(SUBJECT, LEASE).await.unwrap();
    assert!(matches!(busy, Leased::Busy { .. }), "{busy:?}");
    world
        .clock
        .advance(i64::try_from(MAX_LEASE.as_millis()).unwrap());
    let next = take(&world).await;
    let _ = claim_under(&world, &next, "e1").await;
}

async fn a_lease_is_given_back(world: World) {
    let lease = take(&world).await;
    give_back(&world, lease, write("left")).await;
    let next = take(&world).await;
    assert!(!next.took_over());
    assert_eq!(next.memo(), Some("left"));
    // Together with its claims.
    let claim = claim_under(&world, &next, "e1").await;
    let conclusion = Conclusion {
        claims: vec![(claim, ending(EndState::Done))],
        memo: Memo::Write(None),
        ..Conclusion::default()
    };
    let recorded = world.ledger.conclude(next, conclusion).await.unwrap();
    assert_eq!(recorded, [Recorded::Written]);
    assert_eq!(on_record(&world, "e1").await.status, Status::Done);
    let last = take(&world).await;
    assert_eq!((last.took_over(), last.memo()), (false, None));
}

async fn leases_of_two_subjects_do_not_mix(world: World) {
    let first = take(&world).await;
    let second = ours(world.ledger.lease("group#00g1", LEASE).await.unwrap());
    give_back(&world, first, write("of the user")).await;
    assert!(matches!(
        world.ledger.lease("group#00g1", LEASE).await.unwrap(),
        Leased::Busy { .. }
    ));
    assert_eq!(world.ledger.memo("group#00g1").await.unwrap(), None);
    give_back(&world, second, Memo::Keep).await;
    assert_eq!(memo(&world).await.as_deref(), Some("of the user"));
}

async fn a_late_owner_can_give_back_if_nobody_else_took_the_lease(world: World) {
    let slow = take(&world).await;
    world.clock.advance(60_000);
    give_back(&world, slow, write("late")).await;
    let next = take(&world).await;
    assert_eq!((next.took_over(), next.memo()), (false, Some("late")));
}

async fn a_renewed_lease_keeps_its_claims(world: World) {
    let lease = take(&world).await;
    let kept = claim_under(&world, &lease, "e1").await;
    for round in 1..=3 {
        world.clock.advance(9_000);
        let renewed = world.ledger.renew(&lease, &[&kept], LEASE).await.unwrap();
        assert_eq!(renewed, Recorded::Written);
        let due_ms = START_MS + round * 9_000 + 10_000;
        assert_eq!(lease.until_ms(), due_ms);
        lease.check().unwrap();
        let answer = world.ledger.lease(SUBJECT, LEASE).await.unwrap();
        assert!(matches!(answer, Leased::Busy { until_ms } if until_ms == due_ms));
        let answer = claim(&world, "e1").await.outcome;
        assert!(matches!(answer, ClaimOutcome::Busy { until_ms } if until_ms == due_ms));
    }
    let conclusion = Conclusion::of(vec![(kept, ending(EndState::Done))]);
    let recorded = world.ledger.conclude(lease, conclusion).await.unwrap();
    assert_eq!(recorded, [Recorded::Written]);
}

async fn a_late_renewal_is_refused(world: World) {
    let lost = take(&world).await;
    world.clock.advance(10_000);
    let next = take(&world).await;
    let renewed = world.ledger.renew(&lost, &[], LEASE).await.unwrap();
    assert_eq!(renewed, Recorded::Superseded);
    assert_eq!(lost.until_ms(), START_MS + 10_000);
    assert!(lost.check().is_err());
    world.clock.advance(5_000);
    let answer = world.ledger.lease(SUBJECT, LEASE).await.unwrap();
    assert!(matches!(answer, Leased::Busy { until_ms } if until_ms == next.until_ms()));
    next.check().unwrap();
}

async fn a_renewal_without_its_claim_is_refused(world: World) {
    let lease = take(&world).await;
    let lost = claim_under(&world, &lease, "e1").await;
    world.clock.advance(10_000);
    let _next = super::claimed(claim(&world, "e1").await);
    let renewed = world.ledger.renew(&lease, &[&lost], LEASE).await.unwrap();
    assert_eq!(renewed, Recorded::Superseded);
    assert!(lease.check().is_err());
}

async fn a_lost_lease_writes_no_memo(world: World) {
    let lost = take(&world).await;
    world
        .ledger
        .write_memo(&lost, Some("first".to_owned()))
        .await
        .unwrap();
    world.clock.advance(10_000);
    let next = take(&world).await;
    for text in [None, Some("late".to_owned())] {
        let late = world.ledger.write_memo(&lost, text).await.unwrap();
        assert_eq!(late, Recorded::Superseded);
    }
    assert_eq!(memo(&world).await.as_deref(), Some("first"));
    // Also when the lease is free.
    give_back(&world, next, Memo::Keep).await;
    let late = world.ledger.write_memo(&lost, None).await.unwrap();
    assert_eq!(late, Recorded::Superseded);
    assert_eq!(memo(&world).await.as_deref(), Some("first"));
}

async fn a_lost_lease_concludes_nothing(world: World) {
    let lost = take(&world).await;
    let mut claims = Vec::new();
    for id in ["e1", "e2"] {
        let claim = claim_under(&world, &lost, id).await;
        claims.push((claim, ending(EndState::Done)));
    }
    world.clock.advance(10_000);
    let next = take(&world).await;
    // The lost owner still has the claims, and yet it cannot conclude them.
    let before = world.ledger.records(&Filter::default()).await.unwrap();
    let conclusion = Conclusion {
        claims,
        memo: write("late"),
        ..Conclusion::default()
    };
    let recorded = world.ledger.conclude(lost, conclusion).await.unwrap();
    assert_eq!(recorded, [Recorded::Superseded; 2]);
    let after = world.ledger.records(&Filter::default()).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(memo(&world).await, None);
    assert_eq!(
        world.ledger.renew(&next, &[], LEASE).await.unwrap(),
        Recorded::Written,
        "the lease is still the next owner's"
    );
}

/// The memo names the subject's open records, so it lasts as long as they do.
async fn only_a_run_removes_a_memo(world: World) {
    let lease = take(&world).await;
    give_back(&world, lease, write("given back")).await;
    world.clock.advance(40 * DAY_MS);
    assert_eq!(memo(&world).await.as_deref(), Some("given back"));
    let lease = take(&world).await;
    assert_eq!(lease.memo(), Some("given back"));
    give_back(&world, lease, Memo::Keep).await;
    world.clock.advance(40 * DAY_MS);
    let lost = take(&world).await;
    assert_eq!(lost.memo(), Some("given back"));
    let noted = world.ledger.write_memo(&lost, Some("noted".to_owned()));
    assert_eq!(noted.await.unwrap(), Recorded::Written);
    world.clock.advance(40 * DAY_MS);
    let lease = take(&world).await;
    assert_eq!(lease.memo(), Some("noted"));
    give_back(&world, lease, Memo::Write(None)).await;
    assert_eq!(memo(&world).await, None);
}

async fn a_memo_expires_after_ten_years(world: World) {
    let lease = take(&world).await;
    give_back(&world, lease, write("old")).await;
    // To the last millisecond before the second in which it goes away.
    world.clock.advance(3_650 * DAY_MS - 123 - 1);
    assert_eq!(memo(&world).await.as_deref(), Some("old"));
    world.clock.advance(1);
    assert_eq!(memo(&world).await, None);
    let next = take(&world).await;
    assert_eq!((next.memo(), next.took_over()), (None, false));
    // Work on the subject keeps it.
    give_back(&world, next, write("new")).await;
    for _ in 0..3 {
        world.clock.advance(6 * DAY_MS);
        let lease = take(&world).await;
        assert_eq!(lease.memo(), Some("new"));
        give_back(&world, lease, Memo::Keep).await;
    }
}

/// DynamoDB takes days to delete an expired item. Until then the next lease is written to the same item.
async fn an_old_memo_does_not_come_back(world: World) {
    let lost = take(&world).await;
    world
        .ledger
        .write_memo(&lost, Some("old".to_owned()))
        .await
        .unwrap();
    world.clock.advance(3_651 * DAY_MS);
    let lease = take(&world).await;
    assert_eq!((lease.memo(), lease.took_over()), (None, true));
    assert_eq!(memo(&world).await, None);
    give_back(&world, lease, Memo::Keep).await;
    assert_eq!(memo(&world).await, None);
    assert_eq!(take(&world).await.memo(), None);
}

async fn a_memo_stays_until_it_is_replaced(world: World) {
    assert_eq!(memo(&world).await, None);
    for (memo_then, expected) in [
        (write("a"), Some("a")),
        (Memo::Keep, Some("a")),
        (write("b"), Some("b")),
        (Memo::Write(None), None),
        (Memo::Keep, None),
    ] {
        let lease = take(&world).await;
        give_back(&world, lease, memo_then).await;
        assert_eq!(memo(&world).await.as_deref(), expected);
    }
    let lease = take(&world).await;
    for text in [Some("c"), Some("d"), None] {
        let written = world.ledger.write_memo(&lease, text.map(str::to_owned));
        assert_eq!(written.await.unwrap(), Recorded::Written);
        assert_eq!(memo(&world).await.as_deref(), text);
        assert_eq!(lease.memo(), None, "the memo of the previous owner");
    }
}

async fn leases_are_not_listed_as_events(world: World) {
    let lease = take(&world).await;
    let of_subject = Filter {
        subject: Some(SUBJECT.to_owned()),
        ..Filter::default()
    };
    for filter in [Filter::default(), of_subject] {
        assert_eq!(world.ledger.records(&filter).await.unwrap(), []);
    }
    for id in [SUBJECT, "lease#user#00u1"] {
        assert_eq!(world.ledger.record(id).await.unwrap(), None);
    }
    give_back(&world, lease, write("memo")).await;
    assert_eq!(world.ledger.records(&Filter::default()).await.unwrap(), []);
}

async fn the_last_lease_of_a_subject_is_reported(world: World) {
    let subjects: Vec<String> = [SUBJECT, "group#00g1", "user#00u9"]
        .map(str::to_owned)
        .into();
    let held = async || world.ledger.last_leased(&subjects).await.unwrap();
    assert!(held().await.is_empty());
    assert!(world.ledger.last_leased(&[]).await.unwrap().is_empty());
    let lease = take(&world).await;
    world.clock.advance(3_000);
    let group = ours(world.ledger.lease("group#00g1", LEASE).await.unwrap());
    let found = held().await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[SUBJECT], START_MS);
    assert_eq!(found["group#00g1"], START_MS + 3_000);
    world.clock.advance(2_000);
    give_back(&world, lease, Memo::Keep).await;
    assert_eq!(held().await[SUBJECT], START_MS + 5_000, "given back");
    // A refused lease leaves no trace.
    let refused = world
        .ledger
        .lease("group#00g1", Duration::from_secs(1))
        .await;
    assert!(matches!(refused.unwrap(), Leased::Busy { .. }));
    assert_eq!(held().await["group#00g1"], START_MS + 3_000);
    drop(group);
}
