//! Random histories against a model of the contract. Several runs work on two subjects that share one event id,
//! while the clock jumps. Every answer must equal the model's. And a subject never has two runs that are both
//! younger than their leases.
//!
//! A clock that jumps ahead ends leases early, as the module says. Runs from before such a jump do not count as
//! young.

use std::time::Duration;

use okta_anypoint::clock::Clock as _;
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::{
    Claim, ClaimOutcome, Conclusion, EndState, Ending, Lease, Leased, Memo, Reason, Recorded, Work,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model::{Adapter, End, LEASE_MS, Model, SUBJECTS, State, WAIT_MS};
use super::{DAY_MS, START_MS, TTL_DAYS, World, busy_remote, dynamodb, refused, sqlite, work};

const RUNS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Lease {
        run: usize,
        subject: usize,
    },
    Renew {
        run: usize,
    },
    Note {
        run: usize,
    },
    Claim {
        run: usize,
        reason: Reason,
    },
    Conclude {
        run: usize,
        end: End,
        notes: bool,
    },
    Die {
        run: usize,
    },
    Reject {
        subject: usize,
    },
    /// Time passes.
    Pass {
        ms: i64,
    },
    /// Somebody sets the clock.
    Jump {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let run = || 0..RUNS;
    let subject = || 0..SUBJECTS;
    let reason = prop_oneof![6 => Just(Reason::Delivery), 1 => Just(Reason::Replay)];
    let end = prop_oneof![
        3 => Just(End::Done),
        3 => Just(End::Failed(Class::Retryable)),
        1 => Just(End::Failed(Class::Permanent)),
        3 => Just(End::Waiting),
        1 => Just(End::Held),
    ];
    prop_oneof![
        6 => (run(), subject()).prop_map(|(run, subject)| Step::Lease { run, subject }),
        2 => run().prop_map(|run| Step::Renew { run }),
        1 => run().prop_map(|run| Step::Note { run }),
        6 => (run(), reason).prop_map(|(run, reason)| Step::Claim { run, reason }),
        4 => (run(), end, any::<bool>())
            .prop_map(|(run, end, notes)| Step::Conclude { run, end, notes }),
        1 => run().prop_map(|run| Step::Die { run }),
        1 => subject().prop_map(|subject| Step::Reject { subject }),
        // Around the moments at which leases, waits, memos and records end.
        4 => prop_oneof![
            6 => prop_oneof![
                Just(1), Just(300), Just(400), Just(700), Just(999), Just(1_000), Just(1_001),
            ],
            1 => prop_oneof![
                Just(119_000), Just(7 * DAY_MS), Just(i64::from(TTL_DAYS) * DAY_MS),
            ],
        ].prop_map(|ms| Step::Pass { ms }),
        1 => prop_oneof![Just(-300), Just(-DAY_MS), Just(DAY_MS)].prop_map(|ms| Step::Jump { ms }),
    ]
}

/// A run that works on a subject, as the test knows it.
struct Run {
    subject: usize,
    lease: Lease,
    owner: u64,
    claim: Option<(Option<usize>, u64, Claim)>,
    /// When it took or renewed its lease, by a clock that never jumps.
    since_ms: i64,
}

impl Run {
    fn claimed(&self) -> Option<(Option<usize>, u64)> {
        self.claim.as_ref().map(|(key, claim, _)| (*key, *claim))
    }
}

struct History<'w> {
    world: &'w World,
    id: String,
    model: Model,
    runs: [Option<Run>; RUNS],
    true_ms: i64,
    /// Runs from before this moment are older than the clock says.
    trusted_since_ms: i64,
}

impl History<'_> {
    fn subject(&self, subject: usize) -> String {
        format!("user#{}-{subject}", self.id)
    }

    fn work(&self, subject: usize) -> Work {
        Work {
            subject: self.subject(subject),
            ..work(&self.id)
        }
    }

    async fn lease(&mut self, number: usize, subject: usize) -> Result<(), TestCaseError> {
        let name = self.subject(subject);
        let ledger = &self.world.others[number % self.world.others.len()];
        let time = Duration::from_millis(LEASE_MS.unsigned_abs());
        let answer = ledger.lease(&name, time).await.unwrap();
        let (due, owner) = self.model.lease(subject);
        let lease = match answer {
            Leased::Busy { until_ms } => {
                prop_assert_eq!(format!("busy {until_ms}"), due);
                return Ok(());
            }
            Leased::Ours(lease) => lease,
        };
        let words = format!("ours {} {:?}", lease.took_over(), lease.memo());
        prop_assert_eq!(words, due);
        for other in self.runs.iter().flatten() {
            let is_young =
                self.true_ms - other.since_ms < LEASE_MS && other.since_ms >= self.trusted_since_ms;
            prop_assert!(other.subject != subject || !is_young, "two owners");
        }
        self.runs[number] = Some(Run {
            subject,
            lease,
            owner,
            claim: None,
            since_ms: self.true_ms,
        });
        Ok(())
    }

    async fn renew(&mut self, number: usize) -> Result<(), TestCaseError> {
        let Some(run) = &mut self.runs[number] else {
            return Ok(());
        };
        let due = self.model.renew(run.subject, run.owner, run.claimed());
        let claims: Vec<&Claim> = run.claim.iter().map(|(_, _, claim)| claim).collect();
        let time = Duration::from_millis(LEASE_MS.unsigned_abs());
        let renewed = self.world.ledger.renew(&run.lease, &claims, time).await;
        prop_assert_eq!(renewed.unwrap(), due);
        if due == Recorded::Written {
            run.since_ms = self.true_ms;
        }
        Ok(())
    }

    async fn note(&mut self, number: usize) -> Result<(), TestCaseError> {
        let Some(run) = &self.runs[number] else {
            return Ok(());
        };
        let memo = Some(format!("noted by {}", run.owner));
        let due = self.model.note(run.subject, run.owner, memo.clone());
        let written = self.world.ledger.write_memo(&run.lease, memo).await;
        prop_assert_eq!(written.unwrap(), due);
        Ok(())
    }

    async fn claim(&mut self, number: usize, reason: Reason) -> Result<(), TestCaseError> {
        let Some(run) = self.runs[number].as_ref().filter(|run| run.claim.is_none()) else {
            return Ok(());
        };
        let subject = run.subject;
        let until_ms = run.lease.until_ms();
        let ledger = &self.world.others[number % self.world.others.len()];
        let answer = ledger
            .claim(&self.work(subject), &run.lease, reason)
            .await
            .unwrap();
        let (due, key, claim) = self.model.claim(subject, until_ms, reason);
        let words = match answer {
            ClaimOutcome::Claimed(ours) => {
                let words = format!("claimed {} {}", ours.attempts, ours.deaths);
                prop_assert_eq!(ours.id(), self.record_id(key));
                if let Some(run) = &mut self.runs[number] {
                    run.claim = Some((key, claim, ours));
                }
                words
            }
            ClaimOutcome::AlreadyDone => "done".to_owned(),
            ClaimOutcome::AlreadyFailed => "failed".to_owned(),
            ClaimOutcome::Waiting { until_ms } => format!("waiting {until_ms}"),
            ClaimOutcome::Busy { until_ms } => format!("busy {until_ms}"),
        };
        prop_assert_eq!(words, due);
        Ok(())
    }

    fn record_id(&self, key: Option<usize>) -> String {
        match key {
            None => self.id.clone(),
            Some(subject) => format!("{}#{}", self.id, self.subject(subject)),
        }
    }

    async fn conclude(
        &mut self,
        number: usize,
        end: End,
        notes: bool,
    ) -> Result<(), TestCaseError> {
        let Some(run) = self.runs[number].take() else {
            return Ok(());
        };
        let memo = if notes {
            Memo::Write(Some(format!("left by {}", run.owner)))
        } else {
            Memo::Keep
        };
        let due = self
            .model
            .conclude(run.subject, run.owner, run.claimed(), end, &memo);
        let state = match end {
            End::Done => EndState::Done,
            End::Failed(Class::Permanent) => EndState::Failed(refused()),
            End::Failed(_) => EndState::Failed(busy_remote()),
            End::Waiting => EndState::Waiting {
                until_ms: self.model.now_ms + WAIT_MS,
                seen: "nobody".to_owned(),
            },
            End::Held => EndState::Held {
                steps: vec!["disable_account".to_owned()],
                why: "too many".to_owned(),
            },
        };
        let claims = run.claim.map(|(_, number, claim)| {
            let applied = vec![number.to_string()];
            let planned = Vec::new();
            let ending = Ending {
                applied,
                planned,
                state,
            };
            (claim, ending)
        });
        let conclusion = Conclusion {
            claims: claims.into_iter().collect(),
            memo,
            ..Conclusion::default()
        };
        let recorded = self.world.ledger.conclude(run.lease, conclusion).await;
        prop_assert_eq!(recorded.unwrap(), due);
        Ok(())
    }

    /// The readable state equals the model's, too.
    async fn compare(&self) -> Result<(), TestCaseError> {
        let ledger = &self.world.ledger;
        for subject in 0..SUBJECTS {
            let memo = ledger.memo(&self.subject(subject)).await.unwrap();
            prop_assert_eq!(memo, self.model.memo(subject));
        }
        for key in [None, Some(0), Some(1)] {
            let found = ledger.record(&self.record_id(key)).await.unwrap();
            let found = found.map(|record| {
                let applied = record.applied.unwrap_or_default();
                (
                    record.status.as_str(),
                    record.subject,
                    record.attempts,
                    applied,
                )
            });
            let due = self.model.events.get(&key);
            let due = due.filter(|event| event.expires_at > self.model.now_s());
            let due = due.map(|event| {
                let status = match event.state {
                    State::Held => "held",
                    State::InProgress(..) if event.stays_held => "held",
                    State::InProgress(..) => "in_progress",
                    State::Waiting(_) => "waiting",
                    State::Done => "done",
                    State::Failed(_) => "failed",
                };
                let subject = self.subject(event.subject);
                (status, subject, event.attempts, event.applied.clone())
            });
            prop_assert_eq!(found, due);
        }
        Ok(())
    }

    async fn go(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Lease { run, subject } => self.lease(run, subject).await,
            Step::Renew { run } => self.renew(run).await,
            Step::Note { run } => self.note(run).await,
            Step::Claim { run, reason } => self.claim(run, reason).await,
            Step::Conclude { run, end, notes } => self.conclude(run, end, notes).await,
            Step::Die { run } => {
                self.runs[run] = None;
                Ok(())
            }
            Step::Reject { subject } => {
                let due = self.model.reject(subject);
                let work = self.work(subject);
                let answer = self.world.ledger.reject(&work, &refused()).await;
                prop_assert_eq!(answer.unwrap(), due);
                Ok(())
            }
            Step::Pass { ms } => {
                self.true_ms += ms;
                self.set(ms);
                Ok(())
            }
            Step::Jump { ms } => {
                if ms > 0 {
                    self.trusted_since_ms = self.true_ms + 1;
                    self.true_ms += 1;
                }
                self.set(ms);
                Ok(())
            }
        }
    }

    fn set(&mut self, ms: i64) {
        self.world.clock.advance(ms);
        self.model.now_ms += ms;
    }
}

async fn run(
    world: &World,
    adapter: Adapter,
    id: String,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    world.clock.advance(START_MS - world.clock.now_ms());
    let mut history = History {
        world,
        id,
        model: Model::new(adapter),
        runs: [const { None }; RUNS],
        true_ms: 0,
        trusted_since_ms: 0,
    };
    for (number, step) in steps.iter().enumerate() {
        let failed = |error| match error {
            TestCaseError::Fail(why) => {
                TestCaseError::fail(format!("step {number}, {step:?}: {why}"))
            }
            rejected => rejected,
        };
        history.go(step).await.map_err(failed)?;
    }
    history.compare().await
}

fn check(cases: u32, world: World, adapter: Adapter, runtime: &tokio::runtime::Runtime) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let history = (any::<u64>(), vec(step(), 1..60));
    runner
        .run(&history, |(seed, steps)| {
            let id = format!("{seed}-{}", uuid::Uuid::new_v4());
            runtime.block_on(run(&world, adapter, id, &steps))
        })
        .unwrap();
}

#[test]
fn sqlite_keeps_the_contract_in_every_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(sqlite());
    check(250, world, Adapter::Sqlite, &runtime);
}

#[test]
fn dynamodb_keeps_the_contract_in_every_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(dynamodb());
    check(120, world, Adapter::DynamoDb, &runtime);
}
