//! Random histories of several owners, with the clock jumping, against a model of what the contract
//! says. Every answer has to be the model's; besides, nobody ever sees two owners of a running lease.

use std::time::Duration;

use okta_anypoint::failure::Class;
use okta_anypoint::ledger::{Claim, Outcome, Reason, Recorded};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{START_MS, TTL_DAYS, World, busy_remote, dynamodb, refused, sqlite, work};

const OWNERS: usize = 3;
const LEASE_MS: i64 = 1_000;

#[derive(Debug, Clone)]
enum Step {
    Claim { owner: usize, replay: bool },
    Complete { owner: usize },
    Fail { owner: usize, class: Class },
    Reject,
    Pass { ms: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let owner = || 0..OWNERS;
    prop_oneof![
        6 => (owner(), prop::bool::weighted(0.15))
            .prop_map(|(owner, replay)| Step::Claim { owner, replay }),
        3 => owner().prop_map(|owner| Step::Complete { owner }),
        3 => (owner(), prop_oneof![3 => Just(Class::Retryable), 1 => Just(Class::Permanent)])
            .prop_map(|(owner, class)| Step::Fail { owner, class }),
        1 => Just(Step::Reject),
        // Around the ends of leases and of the record, and back a little: clocks differ.
        5 => prop_oneof![
            Just(1), Just(999), Just(1_000), Just(1_001), Just(-300), Just(400),
            Just(i64::from(TTL_DAYS) * 86_400_000),
        ].prop_map(|ms| Step::Pass { ms }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    /// Of which claim, counted from one; until when.
    InProgress(u64, i64),
    Done,
    Failed(Class),
}

/// The contract, as plainly as it can be said.
struct Model {
    state: State,
    expires_at: i64,
    attempts: u32,
    claims: u64,
}

impl Model {
    fn open(&self, now_ms: i64) -> bool {
        match self.state {
            State::Absent => true,
            _ if self.expires_at <= now_ms.div_euclid(1000) => true,
            State::InProgress(_, until_ms) => until_ms <= now_ms,
            State::Done | State::Failed(_) => false,
        }
    }

    fn touch(&mut self, now_ms: i64) {
        self.expires_at = now_ms.div_euclid(1000) + i64::from(TTL_DAYS) * 86_400;
    }

    /// The words for the answer that is due, and the number of the claim.
    fn claim(&mut self, now_ms: i64, replay: bool) -> (String, u64) {
        let retry = matches!(self.state, State::Failed(Class::Retryable));
        let finished = matches!(self.state, State::Done | State::Failed(_));
        if self.open(now_ms) || retry || (replay && finished) {
            let took_over = matches!(self.state, State::InProgress(..));
            self.claims += 1;
            self.attempts += 1;
            self.state = State::InProgress(self.claims, now_ms + LEASE_MS);
            self.touch(now_ms);
            return (
                format!("claimed {} {took_over}", self.attempts),
                self.claims,
            );
        }
        let words = match self.state {
            State::InProgress(_, until_ms) => format!("busy {until_ms}"),
            State::Done => "done".to_owned(),
            _ => "failed".to_owned(),
        };
        (words, 0)
    }

    fn finish(&mut self, now_ms: i64, claim: u64, state: State) -> Recorded {
        match self.state {
            State::InProgress(owner, _) if owner == claim => {
                self.state = state;
                self.touch(now_ms);
                Recorded::Written
            }
            _ => Recorded::Superseded,
        }
    }

    fn reject(&mut self, now_ms: i64) -> Recorded {
        if self.open(now_ms) || matches!(self.state, State::Failed(_)) {
            self.state = State::Failed(Class::Permanent);
            self.touch(now_ms);
            Recorded::Written
        } else {
            Recorded::Superseded
        }
    }
}

async fn run(world: &World, id: &str, steps: &[Step]) -> Result<(), TestCaseError> {
    world
        .clock
        .advance(START_MS - okta_anypoint::clock::Clock::now_ms(&*world.clock));
    let mut now_ms = START_MS;
    let mut model = Model {
        state: State::Absent,
        expires_at: 0,
        attempts: 0,
        claims: 0,
    };
    let mut held: [Option<(u64, Claim)>; OWNERS] = [const { None }; OWNERS];
    for step in steps {
        match *step {
            Step::Pass { ms } => {
                world.clock.advance(ms);
                now_ms += ms;
            }
            Step::Claim { owner, replay } => {
                let reason = if replay {
                    Reason::Replay
                } else {
                    Reason::Delivery
                };
                let ledger = &world.others[owner % world.others.len()];
                let lease = Duration::from_millis(LEASE_MS.unsigned_abs());
                let answer = ledger.claim(&work(id), lease, reason).await.unwrap();
                let (due, number) = model.claim(now_ms, replay);
                let words = match answer {
                    Outcome::Claimed(claim) => {
                        let words = format!("claimed {} {}", claim.attempts, claim.took_over);
                        held[owner] = Some((number, claim));
                        words
                    }
                    Outcome::AlreadyDone => "done".to_owned(),
                    Outcome::AlreadyFailed => "failed".to_owned(),
                    Outcome::Busy { until_ms } => format!("busy {until_ms}"),
                };
                prop_assert_eq!(words, due, "{:?}", step);
            }
            Step::Complete { owner } => {
                if let Some((number, claim)) = held[owner].take() {
                    let due = model.finish(now_ms, number, State::Done);
                    prop_assert_eq!(world.ledger.complete(claim).await.unwrap(), due);
                }
            }
            Step::Fail { owner, class } => {
                if let Some((number, claim)) = held[owner].take() {
                    let failure = match class {
                        Class::Retryable => busy_remote(),
                        Class::Permanent => refused(),
                    };
                    let due = model.finish(now_ms, number, State::Failed(class));
                    prop_assert_eq!(world.ledger.fail(claim, &failure).await.unwrap(), due);
                }
            }
            Step::Reject => {
                let due = model.reject(now_ms);
                let answer = world.ledger.reject(&work(id), &refused()).await.unwrap();
                prop_assert_eq!(answer, due);
            }
        }
    }
    Ok(())
}

fn check(cases: u32, world: World, runtime: &tokio::runtime::Runtime) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let history = (any::<u64>(), vec(step(), 1..40));
    runner
        .run(&history, |(seed, steps)| {
            let id = format!("{seed}-{}", uuid::Uuid::new_v4());
            runtime.block_on(run(&world, &id, &steps))
        })
        .unwrap();
}

#[test]
fn sqlite_keeps_the_contract_in_any_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(sqlite());
    check(150, world, &runtime);
}

#[test]
fn dynamodb_keeps_the_contract_in_any_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(dynamodb());
    check(100, world, &runtime);
}
