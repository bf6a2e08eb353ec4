//! The product as it is deployed, under a history: the hook's and the workers' binaries, SQS as moto
//! plays it, DynamoDB Local, and trouble at both. This file plays Lambda's event source mapping: it
//! hands batches to two workers, kills them, hands out again what was done, and what is being done.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use okta_anypoint::provision::{
    Adopt, GroupSelection, Policy, ResetEmail, SuspendedUsers, TeamNamePolicy, TeamRemoval,
    UsernamePolicy,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::queued::between::Between;
use crate::queued::queue::TestQueue;
use crate::queued::{Message, batch_event, failed_of};
use crate::runtime_api::{Failed, Function, Lambda, Request};
use crate::servers;
use crate::world::{APP, SECRET, World};

const OKTA_TOKEN: &str = "simulated-okta-token";
/// The time of a worker's invocation: little, so that the lease of one that was killed ends soon.
const INVOCATION: Duration = Duration::from_secs(7);
/// How long a message that went back stays hidden.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a message that is out stays hidden, seconds: longer than any history.
const OUT: i32 = 900;
/// The bound on everything that has to end.
const PATIENCE: Duration = Duration::from_secs(300);

/// See the module.
pub struct Lambdas {
    hook: Lambda,
    workers: [Mutex<Arc<Lambda>>; 2],
    env: Vec<(&'static str, String)>,
    queue: TestQueue,
    sqs: Between,
    dynamodb: Between,
    dice: Mutex<StdRng>,
    is_troubled: AtomicBool,
    killed: AtomicUsize,
    handed_out_again: AtomicUsize,
    problems: Mutex<Vec<String>>,
}

impl Lambdas {
    /// Starts the binaries on `table`, between the simulators of `world`.
    pub async fn start(world: &World, table: &str, policy: &Policy, seed: u64) -> Self {
        let (sqs, dynamodb) = (
            Between::start(servers::moto_url()).await,
            Between::start(servers::dynamodb_url()).await,
        );
        let queue = TestQueue::create().await;
        let mut env = settings(policy);
        {
            let anypoint = world.anypoint.world();
            env.extend([
                ("OKTA_ORG_URL", world.okta.base_url().to_owned()),
                ("OKTA_APP_ID", APP.to_owned()),
                ("OKTA_API_TOKEN", OKTA_TOKEN.to_owned()),
                ("ANYPOINT_BASE_URL", world.anypoint.base_url().to_owned()),
                ("ANYPOINT_ORG_ID", anypoint.org_id.clone()),
                ("ANYPOINT_CLIENT_ID", anypoint.client_id.clone()),
                ("ANYPOINT_CLIENT_SECRET", anypoint.client_secret.clone()),
                ("AWS_ENDPOINT_URL_SQS", sqs.url().to_owned()),
                ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url().to_owned()),
                ("QUEUE_URL", queue.url.clone()),
                ("TABLE_NAME", table.to_owned()),
                ("HOOK_SECRET", SECRET.to_owned()),
                ("MAX_DEACTIVATIONS", "1000".to_owned()),
            ]);
        }
        let (hook, one, two) = tokio::join!(
            start(Function::Hook, &env),
            start(Function::Provision, &env),
            start(Function::Provision, &env),
        );
        sqs.trouble(seed);
        dynamodb.trouble(seed.wrapping_add(1));
        Self {
            hook,
            workers: [one, two].map(|worker| Mutex::new(Arc::new(worker))),
            env,
            queue,
            sqs,
            dynamodb,
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            is_troubled: AtomicBool::new(true),
            killed: AtomicUsize::new(0),
            handed_out_again: AtomicUsize::new(0),
            problems: Mutex::default(),
        }
    }

    /// Sends a delivery to the hook; gives the status.
    pub async fn deliver(&self, body: String) -> u64 {
        let request = Request::new("POST", "/okta")
            .header("Authorization", SECRET)
            .body(body);
        let answer = self.hook.invoke(request.http_api(), PATIENCE).await;
        answer.unwrap()["statusCode"].as_u64().unwrap()
    }

    /// Whether, in troubled times, something of which one in `n` happens does happen.
    fn one_in(&self, n: u32) -> bool {
        self.is_troubled.load(Ordering::SeqCst) && self.dice.lock().unwrap().random_range(0..n) == 0
    }

    /// Hands a batch to each worker, at once.
    pub async fn turn(self: Arc<Self>) {
        let one = self.queue.receive(OUT).await;
        if one.is_empty() {
            return;
        }
        let two = self.queue.receive(OUT).await;
        if two.is_empty() && self.one_in(3) {
            // Handed out again although the first is still at it; what the second says comes too late.
            self.handed_out_again.fetch_add(one.len(), Ordering::SeqCst);
            let (answer, _) = tokio::join!(self.invoke(0, &one), self.invoke(1, &one));
            self.take_back(&one, answer).await;
        } else {
            let (first, second) = tokio::join!(self.invoke(0, &one), self.invoke(1, &two));
            tokio::join!(self.take_back(&one, first), self.take_back(&two, second));
        }
    }

    /// Deletes what did not fail, and shows the rest again; without an answer that is everything.
    async fn take_back(&self, batch: &[Message], answer: Option<Value>) {
        let failed = match answer {
            Some(answer) => failed_of(&answer),
            None => batch.iter().map(|message| message.id.clone()).collect(),
        };
        let mut shown = Vec::new();
        for message in batch {
            if failed.contains(&message.id) {
                shown.push(self.queue.show(message, PAUSE));
            } else if self.one_in(6) {
                self.handed_out_again.fetch_add(1, Ordering::SeqCst);
                shown.push(self.queue.show(message, Duration::ZERO));
            } else {
                self.queue.delete(message).await;
            }
        }
        join_all(shown).await;
    }

    /// The worker's answer; `None` when it did not get that far.
    async fn invoke(&self, at: usize, batch: &[Message]) -> Option<Value> {
        if batch.is_empty() {
            return None;
        }
        let worker = self.workers[at].lock().unwrap().clone();
        let is_doomed = self.one_in(6);
        let kill = async {
            if is_doomed {
                let after = self.dice.lock().unwrap().random_range(1..150);
                tokio::time::sleep(Duration::from_millis(after)).await;
                worker.kill9();
            }
        };
        let (answer, ()) = tokio::join!(worker.invoke(batch_event(batch), INVOCATION), kill);
        if is_doomed || matches!(answer, Err(Failed::TimedOut | Failed::Exited(_))) {
            let next = start(Function::Provision, &self.env).await;
            *self.workers[at].lock().unwrap() = Arc::new(next);
        }
        match answer {
            Ok(answer) => Some(answer),
            Err(Failed::Exited(_)) if is_doomed => {
                self.killed.fetch_add(1, Ordering::SeqCst);
                None
            }
            Err(Failed::TimedOut) => None,
            Err(other) => {
                let text = format!("the worker did not answer: {other:?}");
                self.problems.lock().unwrap().push(text);
                None
            }
        }
    }

    /// Trouble ends, and what is queued is worked off.
    pub async fn calm(self: &Arc<Self>) {
        self.is_troubled.store(false, Ordering::SeqCst);
        self.sqs.calm();
        self.dynamodb.calm();
        self.drain().await;
    }

    /// Works off what the System Log and a reconcile find.
    pub async fn run_schedules(self: &Arc<Self>) {
        let schedule = start(Function::Schedule, &self.env).await;
        for task in ["catch_up", "reconcile"] {
            let done = schedule.invoke(json!({"task": task}), PATIENCE).await;
            if let Err(failed) = done {
                let text = format!("{task} failed: {failed:?}");
                self.problems.lock().unwrap().push(text);
            }
            self.drain().await;
        }
    }

    async fn drain(self: &Arc<Self>) {
        let begun = Instant::now();
        while self.queue.depth().await != (0, 0) {
            if begun.elapsed() > PATIENCE {
                let text = "messages stay in the queue".to_owned();
                return self.problems.lock().unwrap().push(text);
            }
            self.clone().turn().await;
        }
    }

    /// Workers killed, calls of AWS struck, messages handed out again.
    pub fn trouble(&self) -> (usize, usize, usize) {
        (
            self.killed.load(Ordering::SeqCst),
            self.sqs.struck() + self.dynamodb.struck(),
            self.handed_out_again.load(Ordering::SeqCst),
        )
    }

    /// What went wrong, and every secret or address that went to the queue or the table.
    pub fn problems(&self, world: &World) -> Vec<String> {
        let mut secrets = vec![
            OKTA_TOKEN.to_owned(),
            SECRET.to_owned(),
            world.anypoint.world().client_secret.clone(),
            "@acme.example".to_owned(),
        ];
        for call in world.anypoint.traffic().writes() {
            let password = call.body.and_then(|body| body.get("password").cloned());
            secrets.extend(password.and_then(|password| Some(password.as_str()?.to_owned())));
        }
        let mut problems = self.problems.lock().unwrap().clone();
        for call in self.sqs.calls().iter().chain(&self.dynamodb.calls()) {
            let text = call.body.to_string();
            if let Some(secret) = secrets.iter().find(|secret| text.contains(*secret)) {
                problems.push(format!("{} carries {secret}", call.operation));
            }
        }
        problems
    }
}

async fn start(function: Function, env: &[(&'static str, String)]) -> Lambda {
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let lambda = Lambda::start(function, &env).await;
    lambda.ready(PATIENCE).await.unwrap();
    lambda
}

/// The variables that say what `policy` says.
fn settings(policy: &Policy) -> Vec<(&'static str, String)> {
    let groups = match &policy.groups {
        GroupSelection::Assigned => "assigned".to_owned(),
        GroupSelection::None => "none".to_owned(),
        GroupSelection::All => "all".to_owned(),
        GroupSelection::Ids(ids) => {
            let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
            format!("ids:{}", ids.join(","))
        }
        GroupSelection::Named(pattern) => format!("name:{pattern}"),
    };
    let usernames = match policy.usernames {
        UsernamePolicy::Strict => "strict",
        UsernamePolicy::Sanitize => "sanitize",
    };
    let adopt = match policy.adopt {
        Adopt::UsernameAndEmail => "username_and_email",
        Adopt::Username => "username",
        Adopt::Never => "never",
    };
    let suspended = match policy.suspended {
        SuspendedUsers::Deactivate => "deactivate",
        SuspendedUsers::Keep => "keep",
    };
    let team_names = match policy.team_names {
        TeamNamePolicy::Sanitize => "sanitize",
        TeamNamePolicy::Strict => "strict",
    };
    let removal = match policy.team_removal {
        TeamRemoval::Empty => "empty",
        TeamRemoval::Keep => "keep",
        TeamRemoval::Delete => "delete",
    };
    let reset = match policy.reset_email {
        ResetEmail::Send => "true",
        ResetEmail::Skip => "false",
    };
    let words = [
        ("USERNAME_POLICY", usernames),
        ("ADOPT", adopt),
        ("SUSPENDED_USERS", suspended),
        ("TEAM_NAME_POLICY", team_names),
        ("TEAM_REMOVAL", removal),
        ("RESET_EMAIL", reset),
    ];
    let mut all = vec![("PUSH_GROUPS", groups)];
    all.extend(words.map(|(name, word)| (name, word.to_owned())));
    all
}
