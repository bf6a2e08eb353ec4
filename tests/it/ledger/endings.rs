//! The records of finished work, and what they mean for the next claim.

use okta_anypoint::failure::Class;
use okta_anypoint::ledger::{
    AuditEntry, ClaimOutcome, Conclusion, EndState, Ending, Filter, Reason, Recorded, Resolved,
    Status, Work,
};

use super::{
    DAY_MS, LEASE, START_MS, World, ask, busy_remote, claim, claim_under, claimed, complete,
    conclude, ending, fail, on_record, ours, refused, replay, work,
};

on_every!(
    ledger [dynamodb, sqlite, memory]
    a_waiting_record_is_claimed_again_only_when_due,
    a_held_record_does_not_expire,
    a_held_record_stays_held_until_its_replay_ends,
    a_record_is_settled_by_others_only_when_its_run_is_over,
    a_replay_does_not_wait,
    applied_steps_accumulate_until_a_replay,
    a_dry_run_that_failed_shows_its_steps_until_it_ends_otherwise,
    only_runs_without_a_conclusion_count_as_deaths,
    one_id_about_two_subjects_is_two_events,
    a_second_subject_does_not_inherit_the_result_of_the_first,
    many_claims_are_concluded_together,
    a_lost_claim_does_not_spoil_the_others,
    changes_without_a_claim_are_in_the_history,
    a_lost_lease_leaves_no_history,
);

fn until(until_ms: i64, seen: &str) -> EndState {
    EndState::Waiting {
        until_ms,
        seen: seen.to_owned(),
    }
}

fn did(applied: &[&str], state: EndState) -> Ending {
    Ending {
        applied: applied.iter().map(ToString::to_string).collect(),
        planned: Vec::new(),
        state,
    }
}

async fn a_dry_run_that_failed_shows_its_steps_until_it_ends_otherwise(world: World) {
    let run = claimed(claim(&world, "e1").await);
    let planned = Ending {
        planned: vec!["join_team".to_owned()],
        ..did(&[], EndState::Failed(busy_remote()))
    };
    conclude(&*world.ledger, run, planned).await;
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.planned.unwrap(), ["join_team"]);
    assert_eq!(record.dry_run, None);
    let again = claimed(claim(&world, "e1").await);
    fail(&world, again, &busy_remote()).await;
    assert_eq!(on_record(&world, "e1").await.planned, None);
}

async fn a_waiting_record_is_claimed_again_only_when_due(world: World) {
    let run = claimed(claim(&world, "e1").await);
    let due_ms = START_MS + 15_000;
    let waiting = ending(until(due_ms, "not assigned"));
    let recorded = conclude(&*world.ledger, run, waiting).await;
    assert_eq!(recorded, Recorded::Written);
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::Waiting);
    assert_eq!(record.waits_until_ms, Some(due_ms));
    assert_eq!(record.waits_for.as_deref(), Some("not assigned"));
    assert_eq!((record.error, record.lease_until_ms), (None, None));
    assert_eq!(record.attempts, 1);
    let listed = async |status| {
        let filter = Filter {
            status: Some(status),
            ..Filter::default()
        };
        world.ledger.records(&filter).await.unwrap().len()
    };
    assert_eq!(listed(Status::Waiting).await, 1);
    assert_eq!(listed(Status::Failed).await, 0);

    for by in [0, 14_999] {
        world.clock.advance(by);
        let answer = claim(&world, "e1").await.outcome;
        assert!(
            matches!(answer, ClaimOutcome::Waiting { until_ms } if until_ms == due_ms),
            "{answer:?}"
        );
    }
    world.clock.advance(1);
    let second = claimed(claim(&world, "e1").await);
    assert_eq!((second.claim.attempts, second.claim.deaths), (2, 0));
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::InProgress);
    assert_eq!((record.waits_until_ms, record.waits_for), (None, None));
    complete(&world, second).await;
    let record = on_record(&world, "e1").await;
    assert_eq!((record.waits_until_ms, record.waits_for), (None, None));
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyDone
    ));
}

fn held() -> EndState {
    EndState::Held {
        steps: vec!["disable_account".to_owned()],
        why: "too many".to_owned(),
    }
}

/// A held change waits for a person, for however long.
async fn a_held_record_does_not_expire(world: World) {
    for (id, state) in [("e1", held()), ("e2", EndState::Failed(busy_remote()))] {
        let run = claimed(claim(&world, id).await);
        conclude(&*world.ledger, run, ending(state)).await;
    }
    world.clock.advance(40 * DAY_MS);
    assert_eq!(world.ledger.record("e2").await.unwrap(), None);
    assert_eq!(on_record(&world, "e1").await.status, Status::Held);
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyDone
    ));
    let listed = Filter::with_status(Status::Held);
    assert_eq!(world.ledger.records(&listed).await.unwrap().len(), 1);
    // A settled record expires like any other.
    let lease = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
    let conclusion = Conclusion {
        resolved: vec![Resolved {
            id: "e1".to_owned(),
            by: "e3".to_owned(),
        }],
        ..Conclusion::default()
    };
    world.ledger.conclude(lease, conclusion).await.unwrap();
    assert_eq!(on_record(&world, "e1").await.status, Status::Resolved);
    world.clock.advance(40 * DAY_MS);
    assert_eq!(world.ledger.record("e1").await.unwrap(), None);
}

/// A command that was killed leaves a record that nothing brings again.
async fn a_record_is_settled_by_others_only_when_its_run_is_over(world: World) {
    let _killed = claimed(claim(&world, "e1").await);
    for (passed, expected) in [(9_999, Status::InProgress), (1, Status::Resolved)] {
        world.clock.advance(passed);
        let lease = ours(world.ledger.lease("user#00u2", LEASE).await.unwrap());
        let conclusion = Conclusion {
            resolved: vec![Resolved {
                id: "e1".to_owned(),
                by: "operator".to_owned(),
            }],
            ..Conclusion::default()
        };
        world.ledger.conclude(lease, conclusion).await.unwrap();
        assert_eq!(on_record(&world, "e1").await.status, expected, "{passed}");
    }
    assert!(matches!(
        claim(&world, "e1").await.outcome,
        ClaimOutcome::AlreadyDone
    ));
}

/// A replay that dies does not release it.
async fn a_held_record_stays_held_until_its_replay_ends(world: World) {
    let listed = async |status| {
        let filter = Filter::with_status(status);
        world.ledger.records(&filter).await.unwrap().len()
    };
    let ask = async |reason| ask(&*world.ledger, &work("e1"), reason, LEASE).await;
    let run = claimed(claim(&world, "e1").await);
    conclude(&*world.ledger, run, ending(held())).await;
    for (died, reason) in [Reason::Replay, Reason::Approval].into_iter().enumerate() {
        let run = claimed(ask(reason).await);
        assert_eq!(usize::try_from(run.claim.deaths).unwrap(), died);
        assert_eq!(listed(Status::Held).await, 1, "while it is at work");
        let busy = ask(Reason::Replay).await.outcome;
        assert!(matches!(busy, ClaimOutcome::Busy { .. }), "{busy:?}");
        let renewed = world.ledger.renew(&run.lease, &[&run.claim], LEASE).await;
        assert_eq!(renewed.unwrap(), Recorded::Written);
        world.clock.advance(40 * DAY_MS);
        let record = on_record(&world, "e1").await;
        assert_eq!(record.status, Status::Held, "{reason:?}");
        assert_eq!(record.planned.unwrap(), ["disable_account"]);
        assert_eq!(record.held_for.as_deref(), Some("too many"));
        let delivered = claim(&world, "e1").await.outcome;
        assert!(matches!(delivered, ClaimOutcome::AlreadyDone));
    }
    let late = claimed(ask(Reason::Approval).await);
    world.clock.advance(10_000);
    let run = claimed(ask(Reason::Approval).await);
    assert_eq!(complete(&world, late).await, Recorded::Superseded);
    assert_eq!(complete(&world, run).await, Recorded::Written);
    let record = on_record(&world, "e1").await;
    assert_eq!(record.status, Status::Done);
    assert_eq!((record.planned, record.held_for), (None, None));
    assert_eq!(record.lease_until_ms, None);
    assert_eq!(listed(Status::Held).await, 0);
    world.clock.advance(40 * DAY_MS);
    assert_eq!(world.ledger.record("e1").await.unwrap(), None);
}

async fn a_replay_does_not_wait(world: World) {
    let run = claimed(claim(&world, "e1").await);
    let waiting = ending(until(START_MS + 15_000, "no user"));
    conclude(&*world.ledger, run, waiting).await;
    let again = claimed(replay(&world, "e1").await);
    assert_eq!(again.claim.attempts, 2);
    assert_eq!(on_record(&world, "e1").await.waits_for, None);
}

async fn applied_steps_accumulate_until_a_replay(world: World) {
    let applied = async || on_record(&world, "e1").await.applied;
    let texts = |texts: &[&str]| Some(texts.iter().map(ToString::to_string).collect::<Vec<_>>());
    let run = claimed(claim(&world, "e1").await);
    assert_eq!(applied().await, None);
    let cut_off = did(
        &["create_account", "mail_reset"],
        EndState::Failed(busy_remote()),
    );
    conclude(&*world.ledger, run, cut_off).await;
    assert_eq!(applied().await, texts(&["create_account", "mail_reset"]));
    let run = claimed(claim(&world, "e1").await);
    assert_eq!(applied().await, texts(&["create_account", "mail_reset"]));
    // A run that does nothing removes no step.
    fail(&world, run, &busy_remote()).await;
    let run = claimed(claim(&world, "e1").await);
    let waiting = did(&["link"], until(START_MS, "not in the group"));
    conclude(&*world.ledger, run, waiting).await;
    let run = claimed(claim(&world, "e1").await);
    conclude(
        &*world.ledger,
        run,
        did(&["join_team:t1", "link"], EndState::Done),
    )
    .await;
    let all = [
        "create_account",
        "mail_reset",
        "link",
        "join_team:t1",
        "link",
    ];
    assert_eq!(applied().await, texts(&all));
    let by_list = world.ledger.records(&Filter::default()).await.unwrap();
    assert_eq!(by_list[0].applied, texts(&all));

    let run = claimed(replay(&world, "e1").await);
    assert_eq!(applied().await, None);
    complete(&world, run).await;
    assert_eq!(applied().await, texts(&[]), "done, and nothing was to do");
}

async fn only_runs_without_a_conclusion_count_as_deaths(world: World) {
    let next = async || {
        let run = claimed(claim(&world, "e1").await);
        (run.claim.deaths, run)
    };
    let die = || world.clock.advance(10_000);
    let (deaths, run) = next().await;
    assert_eq!(deaths, 0);
    fail(&world, run, &busy_remote()).await;
    let (deaths, run) = next().await;
    assert_eq!(deaths, 0, "it reported");
    drop(run);
    for died in 1..=3 {
        die();
        let (deaths, _) = next().await;
        assert_eq!(deaths, died);
    }
    die();
    let (deaths, run) = next().await;
    assert_eq!((deaths, run.claim.attempts), (4, 6));
    let waiting = ending(until(START_MS, "no user"));
    conclude(&*world.ledger, run, waiting).await;
    let (deaths, run) = next().await;
    assert_eq!(deaths, 0, "a report ends the row");
    complete(&world, run).await;
    let run = claimed(replay(&world, "e1").await);
    assert_eq!((run.claim.deaths, run.claim.attempts), (0, 8));
}

fn about(subject: &str) -> Work {
    Work {
        subject: subject.to_owned(),
        ..work("e1")
    }
}

async fn one_id_about_two_subjects_is_two_events(world: World) {
    for (subject, id) in [
        ("user#00u1", "e1"),
        ("user#00u2", "e1#user#00u2"),
        ("group#00g1", "e1#group#00g1"),
    ] {
        let ledger = &*world.ledger;
        let asked = ask(ledger, &about(subject), Reason::Delivery, LEASE).await;
        let run = claimed(asked);
        assert_eq!((run.claim.id(), run.claim.attempts), (id, 1));
        let busy = ask(ledger, &about(subject), Reason::Delivery, LEASE).await;
        assert!(matches!(busy.outcome, ClaimOutcome::Busy { .. }));
        assert_eq!(complete(&world, run).await, Recorded::Written);
    }
    for (subject, id) in [
        ("user#00u1", "e1"),
        ("user#00u2", "e1#user#00u2"),
        ("group#00g1", "e1#group#00g1"),
    ] {
        let asked = ask(&*world.ledger, &about(subject), Reason::Delivery, LEASE).await;
        assert!(matches!(asked.outcome, ClaimOutcome::AlreadyDone));
        let record = on_record(&world, id).await;
        assert_eq!((record.status, &*record.subject), (Status::Done, subject));
        assert_eq!((record.uuid(), &*record.id), ("e1", id));
    }
    let records = world.ledger.records(&Filter::default()).await.unwrap();
    assert_eq!(records.len(), 3);
}

async fn a_second_subject_does_not_inherit_the_result_of_the_first(world: World) {
    let first = claimed(claim(&world, "e1").await);
    conclude(
        &*world.ledger,
        first,
        did(&["create_account"], EndState::Failed(refused())),
    )
    .await;
    for reason in [Reason::Delivery, Reason::Replay] {
        let asked = ask(&*world.ledger, &about("user#00u2"), reason, LEASE).await;
        let run = claimed(asked);
        assert_eq!(run.claim.id(), "e1#user#00u2");
        fail(&world, run, &busy_remote()).await;
    }
    let first = on_record(&world, "e1").await;
    assert_eq!(
        (first.error_class, first.attempts),
        (Some(Class::Permanent), 1)
    );
    let second = on_record(&world, "e1#user#00u2").await;
    assert_eq!(
        (second.error_class, second.attempts),
        (Some(Class::Retryable), 2)
    );
    assert_eq!(second.applied, None);
}

/// More claims than fit in one DynamoDB transaction.
async fn many_claims_are_concluded_together(world: World) {
    let lease = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
    let mut claims = Vec::new();
    for n in 0..150 {
        let claim = claim_under(&world, &lease, &format!("e{n}")).await;
        claims.push((claim, did(&[&format!("step:{n}")], EndState::Done)));
    }
    let recorded = world.ledger.conclude(lease, Conclusion::of(claims)).await;
    assert_eq!(recorded.unwrap(), vec![Recorded::Written; 150]);
    let records = world.ledger.records(&Filter::default()).await.unwrap();
    assert_eq!(records.len(), 150);
    for record in records {
        assert_eq!(record.status, Status::Done);
        let step = record.id.replace('e', "step:");
        assert_eq!(record.applied, Some(vec![step]));
    }
    let next = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
    assert!(!next.took_over());
}

async fn a_lost_claim_does_not_spoil_the_others(world: World) {
    let long = LEASE * 10;
    let lease = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
    let mut claims = Vec::new();
    for n in 0..120 {
        let claim = claim_under(&world, &lease, &format!("e{n}")).await;
        claims.push((claim, ending(EndState::Done)));
    }
    world.clock.advance(10_000);
    let lost = [0, 50, 98, 99, 119];
    for n in lost {
        let work = work(&format!("e{n}"));
        let _others = claimed(ask(&*world.ledger, &work, Reason::Delivery, long).await);
    }
    let recorded = world
        .ledger
        .conclude(lease, Conclusion::of(claims))
        .await
        .unwrap();
    for (n, recorded) in recorded.into_iter().enumerate() {
        let record = on_record(&world, &format!("e{n}")).await;
        let expected = if lost.contains(&n) {
            (Recorded::Superseded, Status::InProgress)
        } else {
            (Recorded::Written, Status::Done)
        };
        assert_eq!((recorded, record.status), expected, "{n}");
    }
    let next = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
    assert!(!next.took_over(), "it was given back");
}

async fn changes_without_a_claim_are_in_the_history(world: World) {
    let mut written = Vec::new();
    for action in ["link", "unlink"] {
        let lease = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
        assert_eq!(AuditEntry::for_interrupted(&lease, "", START_MS), None);
        let entry = AuditEntry::new(&lease, action, START_MS);
        let conclusion = Conclusion {
            audit: vec![entry.clone()],
            ..Conclusion::default()
        };
        world.ledger.conclude(lease, conclusion).await.unwrap();
        written.push(entry);
    }
    let found = world.ledger.history("user#00u1", START_MS).await.unwrap();
    assert_eq!(found, written);
    let other = world.ledger.history("user#00u2", START_MS).await.unwrap();
    assert_eq!(other, []);
}

async fn a_lost_lease_leaves_no_history(world: World) {
    let lost = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
    world.clock.advance(10_000);
    let later = ours(world.ledger.lease("user#00u1", LEASE).await.unwrap());
    let found = AuditEntry::for_interrupted(&later, "cut off", START_MS);
    assert_eq!(found.unwrap().action, AuditEntry::INTERRUPTED);
    let conclusion = Conclusion {
        audit: vec![AuditEntry::new(&lost, "link", START_MS)],
        ..Conclusion::default()
    };
    world.ledger.conclude(lost, conclusion).await.unwrap();
    let found = world.ledger.history("user#00u1", START_MS).await.unwrap();
    assert_eq!(found, []);
    drop(later);
}
