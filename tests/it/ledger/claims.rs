//! One claim after another.

use std::time::Duration;

use okta_anypoint::failure::{Class, Failure, Side};
use okta_anypoint::ledger::{ClaimOutcome, EndState, Filter, Reason, Recorded, Status, Work};

use super::{
    DAY_MS, LEASE, START_MS, World, ask, busy_remote, claim, claimed, complete, conclude, ending,
    fail, on_record, refused, replay, work,
};

on_every!(
    ledger [dynamodb, sqlite, memory]
    a_first_claim_is_recorded_in_full,
    a_running_lease_keeps_others_out,
    an_expired_lease_can_be_taken,
    a_zero_lease_expires_at_once,
    a_done_record_is_final,
    a_retryable_failure_is_claimed_again,
    a_permanent_failure_waits_for_replay,
    a_replay_repeats_finished_work,
    late_writes_change_nothing,
    a_late_owner_can_conclude_if_nobody_else_claimed,
    an_expired_record_counts_as_absent,
    a_reason_stays_with_the_record,
    a_rejected_message_is_on_record,
    a_rejection_keeps_nothing_of_an_expired_dry_run,
    a_rejection_leaves_owned_and_done_records_alone,
    a_rejection_leaves_waiting_records_alone,
    a_rejection_leaves_the_record_of_another_subject_alone,
    a_long_error_is_cut,
);

async fn a_first_claim_is_recorded_in_full(world: World) {
    assert_eq!(world.ledger.record("e1").await.unwrap(), None);
    let run = claimed(claim(&world, "e1").await);
    assert_eq!(
        (run.claim.id(), run.claim.attempts, run.claim.deaths > 0),
        ("e1", 1, false)
    );
    assert_eq!(run.claim.deaths, 0);

    let record = on_record(&world, "e1").await;
    assert_eq!(record.id, "e1");
    assert_eq!(record.status, Status::InProgress);
    assert_eq!(record.event_type, "user.lifecycle.create");
    assert_eq!(record.subject, "user#00u1");
    assert_eq!(record.published, "2026-09-21T14:13:20.123Z");
    assert_eq!(record.attempts, 1);
    assert_eq!(record.updated_at_ms, START_MS);
    assert_eq!(record.lease_until_ms, Some(START_MS + 10_000));
    assert_eq!(record.expires_at, START_MS / 1000 + 30 * 86_400);
    assert_eq!((record.error, record.error_class), (None, None));
    assert_eq!((record.error_code, record.applied), (None, None));
    assert_eq!((record.waits_until_ms, record.waits_for), (None, None));

    world.clock.advance(5);
    assert_eq!(complete(&world, run).await, Recorded::Written);
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::Done);
    assert_eq!(record.attempts, 1);
    assert_eq!(record.updated_at_ms, START_MS + 5);
    assert_eq!(record.lease_until_ms, None);
}

async fn a_running_lease_keeps_others_out(world: World) {
    let _held = claimed(claim(&world, "e1").await);
    world.clock.advance(9_999);
    for reason in [Reason::Delivery, Reason::Replay] {
        for ledger in &world.others {
            let answer = ask(&**ledger, &work("e1"), reason, LEASE).await.outcome;
            assert!(
                matches!(answer, ClaimOutcome::Busy { until_ms } if until_ms == START_MS + 10_000),
                "{answer:?}"
            );
        }
    }
    assert_eq!(on_record(&world, "e1").await.attempts, 1);
}

async fn an_expired_lease_can_be_taken(world: World) {
    let _lost = claimed(claim(&world, "e1").await);
    world.clock.advance(10_000);
    let second = claimed(claim(&world, "e1").await);
    assert_eq!((second.claim.attempts, second.claim.deaths), (2, 1));
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::Busy { .. }
    ));
    assert_eq!(complete(&world, second).await, Recorded::Written);
}

async fn a_zero_lease_expires_at_once(world: World) {
    let zero = ask(
        &*world.ledger,
        &work("e1"),
        Reason::Delivery,
        Duration::ZERO,
    )
    .await;
    let _first = claimed(zero);
    assert!(claimed(claim(&world, "e1").await).claim.deaths > 0);
}

async fn a_done_record_is_final(world: World) {
    let first = claimed(claim(&world, "e1").await);
    complete(&world, first).await;
    for by in [0, 10_000, DAY_MS, 28 * DAY_MS] {
        world.clock.advance(by);
        assert!(matches!(
            claim(&world, "e1").await.outcome,
            ClaimOutcome::AlreadyDone
        ));
    }
    assert_eq!(on_record(&world, "e1").await.status, Status::Done);
}

async fn a_retryable_failure_is_claimed_again(world: World) {
    let first = claimed(claim(&world, "e1").await);
    assert_eq!(fail(&world, first, &busy_remote()).await, Recorded::Written);
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.error_class, Some(Class::Retryable));
    assert_eq!(record.error.as_deref(), Some("Anypoint: HTTP 503"));
    assert_eq!(
        record.error_code.as_deref(),
        Some(busy_remote().cause.as_str())
    );
    assert_eq!((record.attempts, record.lease_until_ms), (1, None));

    let second = claimed(claim(&world, "e1").await);
    assert_eq!((second.claim.attempts, second.claim.deaths), (2, 0));
    let record = on_record(&world, "e1").await;
    assert_eq!((record.error, record.error_class), (None, None));
    assert_eq!(record.error_code, None);
    complete(&world, second).await;
}

async fn a_permanent_failure_waits_for_replay(world: World) {
    let first = claimed(claim(&world, "e1").await);
    fail(&world, first, &refused()).await;
    let record = on_record(&world, "e1").await;
    assert_eq!(record.error_class, Some(Class::Permanent));
    assert!(record.error.unwrap().contains("What to do: run link"));
    world.clock.advance(DAY_MS);
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyFailed
    ));
    let again = replay(&world, "e1").await;
    assert_eq!(claimed(again).claim.attempts, 2);
}

async fn a_replay_repeats_finished_work(world: World) {
    let first = claimed(claim(&world, "e1").await);
    complete(&world, first).await;
    let again = replay(&world, "e1").await;
    let again = claimed(again);
    assert_eq!((again.claim.attempts, again.claim.deaths), (2, 0));
    fail(&world, again, &busy_remote()).await;
    let replayed = replay(&world, "e1").await;
    complete(&world, claimed(replayed)).await;
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyDone
    ));
}

async fn late_writes_change_nothing(world: World) {
    for (id, completes) in [("complete", true), ("fail", false)] {
        let slow = claimed(claim(&world, id).await);
        world.clock.advance(10_000);
        let next = claimed(claim(&world, id).await);
        let before = world.ledger.record(id).await.unwrap();
        let late = if completes {
            complete(&world, slow).await
        } else {
            fail(&world, slow, &refused()).await
        };
        assert_eq!(late, Recorded::Superseded);
        assert_eq!(world.ledger.record(id).await.unwrap(), before);

        assert_eq!(complete(&world, next).await, Recorded::Written);
    }
    // Also after the successor is done.
    let slow = claimed(claim(&world, "after").await);
    world.clock.advance(10_000);
    let next = claimed(claim(&world, "after").await);
    complete(&world, next).await;
    assert_eq!(fail(&world, slow, &refused()).await, Recorded::Superseded);
    assert_eq!(on_record(&world, "after").await.status, Status::Done);
}

async fn a_late_owner_can_conclude_if_nobody_else_claimed(world: World) {
    let slow = claimed(claim(&world, "e1").await);
    world.clock.advance(60_000);
    assert_eq!(complete(&world, slow).await, Recorded::Written);
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyDone
    ));
}

async fn an_expired_record_counts_as_absent(world: World) {
    let first = claimed(claim(&world, "e1").await);
    complete(&world, first).await;
    // To the last millisecond before the second in which it goes away.
    world.clock.advance(30 * DAY_MS - 123 - 1);
    assert!(world.ledger.record("e1").await.unwrap().is_some());
    assert_eq!(
        world
            .ledger
            .records(&Filter::default())
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyDone
    ));
    world.clock.advance(1);
    assert_eq!(world.ledger.record("e1").await.unwrap(), None);
    assert_eq!(world.ledger.records(&Filter::default()).await.unwrap(), []);
    let again = claimed(claim(&world, "e1").await);
    assert_eq!(again.claim.deaths, 0);
    let record = on_record(&world, "e1").await;
    assert_eq!((record.attempts, record.applied), (1, None));
}

/// An operator gave the reason. A replay of the event gives none.
async fn a_reason_stays_with_the_record(world: World) {
    let given = Work {
        reason: Some("asked for".to_owned()),
        ..work("e1")
    };
    let first = claimed(ask(&*world.ledger, &given, Reason::Replay, LEASE).await);
    fail(&world, first, &busy_remote()).await;
    let again = claimed(replay(&world, "e1").await);
    complete(&world, again).await;
    let record = on_record(&world, "e1").await;
    assert_eq!(record.reason.as_deref(), Some("asked for"));
}

async fn a_rejected_message_is_on_record(world: World) {
    for _ in 0..2 {
        let recorded = world.ledger.reject(&work("e1"), &refused()).await.unwrap();
        assert_eq!(recorded, Recorded::Written);
    }
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.error_class, Some(Class::Permanent));
    assert_eq!(record.attempts, 0);
    assert_eq!(record.expires_at, START_MS / 1000 + 30 * 86_400);
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyFailed
    ));
    // A retryable failure becomes a permanent one.
    let first = claimed(claim(&world, "e2").await);
    fail(&world, first, &busy_remote()).await;
    world.ledger.reject(&work("e2"), &refused()).await.unwrap();
    assert!(matches!(
        claim(&world, "e2").await.outcome,
        ClaimOutcome::AlreadyFailed
    ));
    assert_eq!(on_record(&world, "e2").await.attempts, 1);
}

async fn a_rejection_keeps_nothing_of_an_expired_dry_run(world: World) {
    let run = claimed(claim(&world, "e1").await);
    let steps = vec!["create_account".to_owned()];
    conclude(&*world.ledger, run, ending(EndState::Planned { steps })).await;
    assert!(on_record(&world, "e1").await.is_dry_run());
    world.clock.advance(31 * 86_400_000);
    world.ledger.reject(&work("e1"), &refused()).await.unwrap();
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!((record.dry_run, record.planned), (None, None));
}

async fn a_rejection_leaves_owned_and_done_records_alone(world: World) {
    let held = claimed(claim(&world, "e1").await);
    let refusal = world.ledger.reject(&work("e1"), &refused()).await.unwrap();
    assert_eq!(refusal, Recorded::Superseded);
    assert_eq!(complete(&world, held).await, Recorded::Written);
    let refusal = world.ledger.reject(&work("e1"), &refused()).await.unwrap();
    assert_eq!(refusal, Recorded::Superseded);
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyDone
    ));

    // The record no longer has an owner, so the late owner cannot undo the rejection.
    let lost = claimed(claim(&world, "e2").await);
    world.clock.advance(10_000);
    let rejected = world.ledger.reject(&work("e2"), &refused()).await.unwrap();
    assert_eq!(rejected, Recorded::Written);
    assert_eq!(complete(&world, lost).await, Recorded::Superseded);
}

/// One copy of the message is unreadable. A readable copy waits for its second look.
async fn a_rejection_leaves_waiting_records_alone(world: World) {
    let run = claimed(claim(&world, "e1").await);
    let waiting = EndState::Waiting {
        until_ms: START_MS + 15_000,
        seen: "nobody".to_owned(),
    };
    conclude(&*world.ledger, run, ending(waiting)).await;
    let before = on_record(&world, "e1").await;
    let refusal = world.ledger.reject(&work("e1"), &refused()).await.unwrap();
    assert_eq!(refusal, Recorded::Superseded);
    assert_eq!(on_record(&world, "e1").await, before);
}

async fn a_rejection_leaves_the_record_of_another_subject_alone(world: World) {
    let run = claimed(claim(&world, "e1").await);
    fail(&world, run, &busy_remote()).await;
    let before = on_record(&world, "e1").await;
    let other = Work {
        subject: "unknown".to_owned(),
        ..work("e1")
    };
    for _ in 0..2 {
        let rejected = world.ledger.reject(&other, &refused()).await.unwrap();
        assert_eq!(rejected, Recorded::Written);
    }
    assert_eq!(on_record(&world, "e1").await, before);
    let rejected = on_record(&world, "e1#unknown").await;
    assert_eq!(rejected.error_class, Some(Class::Permanent));
    assert_eq!((rejected.uuid(), &*rejected.subject), ("e1", "unknown"));
}

async fn a_long_error_is_cut(world: World) {
    let first = claimed(claim(&world, "e1").await);
    let failure = Failure::retryable(Side::Okta, "é".repeat(5_000));
    fail(&world, first, &failure).await;
    let error = on_record(&world, "e1").await.error.unwrap();
    assert!(error.len() < 2_100, "{}", error.len());
}
