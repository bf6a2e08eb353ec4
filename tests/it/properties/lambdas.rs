//! The deployed product under a history: the binaries of the hook and the workers, SQS simulated by moto, DynamoDB
//! Local, and trouble at both. This file plays Lambda's event source mapping: it hands batches to two workers, kills
//! them, and hands out messages again that are done or still in work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use okta_anypoint::clock::{Clock as _, SystemClock};
use okta_anypoint::okta::PrivateKey;
use okta_anypoint::provision::{
    Adopt, GroupSelection, Policy, RemovalLimit, ResetEmail, SuspendedUsers, TeamNamePolicy,
    TeamRemoval, UsernamePolicy,
};
use okta_anypoint::store::Memory;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::counts::{Counts, Remote};
use super::killing::{Counted, HOSTS, Traps};
use super::lies::CONFIRM_SECONDS;
use super::secrets::{PRIVATE_KEY, Secrets};
use crate::queued::between::Between;
use crate::queued::queue::TestQueue;
use crate::queued::{Message, batch_event, failed_of};
use crate::runtime_api::{Failed, Function, Lambda, Request};
use crate::servers;
use crate::world::{SECRET, World};

/// The service app that some histories use for Okta.
const CLIENT: &str = "0oaSERVICE";
const KEY_ID: &str = "key-1";
const SCOPES: [&str; 4] = [
    "okta.users.read",
    "okta.apps.read",
    "okta.groups.read",
    "okta.logs.read",
];
/// A trap kills a worker at one of so many calls.
const MAX_CALLS: u32 = 30;
/// The same for traps that count only writes to Anypoint.
const MAX_WRITES: u32 = 2;
/// The time of an invocation while workers are killed. It is short, so that the lease of a killed worker ends soon.
const INVOCATION: Duration = Duration::from_secs(7);
/// The time of an invocation without kills. On a very slow machine, the short time would kill workers again and again.
const CALM_INVOCATION: Duration = Duration::from_secs(60);
/// How long a returned message stays hidden.
const PAUSE: Duration = Duration::from_millis(200);
/// How many seconds a message in work stays hidden: longer than any history.
const OUT: i32 = 900;
/// Longer than lists may lack a new account, in milliseconds.
const LAG_MS: i64 = 11 * 60_000;
/// The limit for every wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// See the module.
pub struct Lambdas {
    hook: Lambda,
    workers: [Mutex<Arc<Lambda>>; 2],
    env: Vec<(&'static str, String)>,
    queue: TestQueue,
    items: aws_sdk_dynamodb::Client,
    table: String,
    sqs: Between,
    /// The hook's way to the queue.
    sqs_of_hook: Between,
    dynamodb: Between,
    traps: Arc<Traps>,
    dice: Mutex<StdRng>,
    is_troubled: AtomicBool,
    handed_out_again: AtomicUsize,
    /// The output of all processes that have ended.
    outputs: Mutex<Vec<String>>,
    problems: Mutex<Vec<String>>,
}

impl Lambdas {
    /// Starts the binaries on `table`, between the simulators of `world`.
    pub async fn start(world: &World, table: &str, policy: &Policy, seed: u64) -> Self {
        let (sqs, sqs_of_hook, dynamodb) = (
            Between::start(servers::moto_url()).await,
            Between::start(servers::moto_url()).await,
            Between::start(servers::dynamodb_url()).await,
        );
        let traps = Traps::lay(world, &dynamodb, &sqs);
        let queue = TestQueue::create().await;
        let mut env = settings(policy);
        env.extend(world.environment());
        if seed.is_multiple_of(2) {
            env.retain(|(name, _)| *name != "OKTA_API_TOKEN");
            env.extend(service_app(world));
        }
        env.extend([
            ("AWS_ENDPOINT_URL_SQS", sqs.url().to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url().to_owned()),
            ("QUEUE_URL", queue.url.clone()),
            ("TABLE_NAME", table.to_owned()),
            ("HOOK_SECRET", SECRET.to_owned()),
            ("MAX_DEACTIVATIONS", "1000".to_owned()),
            ("CONFIRM_SECONDS", CONFIRM_SECONDS.to_string()),
        ]);
        let mut env_of_hook = env.clone();
        let queue_of_hook = env_of_hook
            .iter_mut()
            .find(|(name, _)| *name == "AWS_ENDPOINT_URL_SQS");
        queue_of_hook.unwrap().1 = sqs_of_hook.url().to_owned();
        let env_of_workers = [0, 1].map(|at| env_of(at, &env));
        let (hook, one, two) = tokio::join!(
            start(Function::Hook, &env_of_hook),
            start(Function::Provision, &env_of_workers[0]),
            start(Function::Provision, &env_of_workers[1]),
        );
        for (between, n) in [(&sqs, 0), (&dynamodb, 1), (&sqs_of_hook, 2)] {
            between.trouble(seed.wrapping_add(n));
        }
        Self {
            hook,
            workers: [one, two].map(|worker| Mutex::new(Arc::new(worker))),
            env,
            queue,
            items: servers::dynamodb().await,
            table: table.to_owned(),
            sqs,
            sqs_of_hook,
            dynamodb,
            traps,
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            is_troubled: AtomicBool::new(true),
            handed_out_again: AtomicUsize::new(0),
            outputs: Mutex::default(),
            problems: Mutex::default(),
        }
    }

    /// Sends a delivery to the hook. Returns the status.
    pub async fn deliver(&self, body: String) -> u64 {
        let request = Request::new("POST", "/okta")
            .header("Authorization", SECRET)
            .body(body);
        let answer = self.hook.invoke(request.http_api(), PATIENCE).await;
        answer.unwrap()["statusCode"].as_u64().unwrap()
    }

    /// Draws whether an event of probability one in `n` happens. Always false without trouble.
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
            // Handed out again while the first worker still works. The second answer comes too late.
            self.handed_out_again.fetch_add(one.len(), Ordering::SeqCst);
            let (answer, _) = tokio::join!(self.invoke(0, &one), self.invoke(1, &one));
            self.take_back(&one, answer).await;
        } else {
            let (first, second) = tokio::join!(self.invoke(0, &one), self.invoke(1, &two));
            tokio::join!(self.take_back(&one, first), self.take_back(&two, second));
        }
    }

    /// Deletes the messages that did not fail, and shows the rest again. Without an answer, all of them.
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

    /// The worker's answer. `None` if it ended before.
    async fn invoke(&self, at: usize, batch: &[Message]) -> Option<Value> {
        if batch.is_empty() {
            return None;
        }
        let worker = self.workers[at].lock().unwrap().clone();
        if self.one_in(3) {
            let (counted, most) = match self.dice.lock().unwrap().random() {
                true => (Counted::WritesToAnypoint, MAX_WRITES),
                false => (Counted::All, MAX_CALLS),
            };
            let call = self.dice.lock().unwrap().random_range(1..=most);
            self.traps.set(at, worker.clone(), counted, call);
        }
        let time = if self.is_troubled.load(Ordering::SeqCst) {
            INVOCATION
        } else {
            CALM_INVOCATION
        };
        let answer = worker.invoke(batch_event(batch), time).await;
        let is_killed = self.traps.take(at);
        if is_killed || matches!(answer, Err(Failed::TimedOut | Failed::Exited(_))) {
            worker.kill9();
            self.outputs.lock().unwrap().push(worker.output());
            let next = start(Function::Provision, &env_of(at, &self.env)).await;
            *self.workers[at].lock().unwrap() = Arc::new(next);
        }
        match answer {
            Ok(answer) => Some(answer),
            Err(Failed::Exited(_)) if is_killed => None,
            Err(Failed::TimedOut) => None,
            Err(other) => {
                let text = format!("the worker did not answer: {other:?}");
                self.problems.lock().unwrap().push(text);
                None
            }
        }
    }

    /// Ends the trouble, and works until the queue is empty.
    pub async fn calm(self: &Arc<Self>) {
        self.is_troubled.store(false, Ordering::SeqCst);
        for between in [&self.sqs, &self.sqs_of_hook, &self.dynamodb] {
            between.calm();
        }
        self.drain().await;
    }

    /// Applies what the System Log and a reconcile find. Returns their failures.
    pub async fn run_schedules(self: &Arc<Self>) -> Vec<String> {
        let schedule = start(Function::Schedule, &self.env).await;
        let mut failures = Vec::new();
        for task in ["catch_up", "reconcile"] {
            let done = schedule.invoke(json!({"task": task}), PATIENCE).await;
            if let Err(failed) = done {
                failures.push(format!("{task} failed: {failed:?}"));
            }
            self.drain().await;
        }
        self.outputs.lock().unwrap().push(schedule.output());
        failures
    }

    /// A reconcile during wrong answers. It may be stopped, and its findings are applied later.
    pub async fn reconcile_amid_trouble(self: &Arc<Self>) {
        let schedule = start(Function::Schedule, &self.env).await;
        let _ = schedule
            .invoke(json!({"task": "reconcile"}), PATIENCE)
            .await;
        self.outputs.lock().unwrap().push(schedule.output());
    }

    /// Makes creations without an answer as old as lists may be behind. The binaries run on the real clock, and would
    /// wait for the account until then. No worker runs meanwhile.
    async fn let_creations_age(&self) {
        let read = self.items.scan().table_name(&self.table);
        let found = read
            .filter_expression("begins_with(pk, :lease) AND contains(memo, :created)")
            .expression_attribute_values(":lease", AttributeValue::S("lease#user#".to_owned()))
            .expression_attribute_values(":created", AttributeValue::S("since_ms".to_owned()))
            .send()
            .await
            .unwrap();
        let aged_ms = SystemClock.now_ms() - LAG_MS;
        for item in found.items() {
            let memo = item["memo"].as_s().unwrap();
            let mut memory = Memory::from_text(Some(memo), 0);
            let intent = memory.intent.as_mut();
            let Some(new) = intent.and_then(|intent| intent.new.as_mut()) else {
                continue;
            };
            new.since_ms = new.since_ms.min(aged_ms);
            let written = self.items.update_item().table_name(&self.table);
            written
                .key("pk", item["pk"].clone())
                .update_expression("SET memo = :memo")
                .expression_attribute_values(":memo", AttributeValue::S(memory.to_text().unwrap()))
                .send()
                .await
                .unwrap();
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
            self.let_creations_age().await;
        }
    }

    /// Adds the faults that occurred here.
    pub fn count(&self, counts: &mut Counts) {
        counts.killed += self.traps.killed();
        counts.handed_out_again += self.handed_out_again.load(Ordering::SeqCst);
        for (between, remote) in [
            (&self.sqs, Remote::Queue),
            (&self.sqs_of_hook, Remote::Queue),
            (&self.dynamodb, Remote::Table),
        ] {
            for (kind, times) in between.struck() {
                counts.faults.add(kind, remote, times);
            }
        }
    }

    /// What went wrong, and every secret that reached the queue, the table or a log.
    pub fn problems(&self, world: &World) -> Vec<String> {
        let secrets = Secrets::of(world);
        let mut problems = self.problems.lock().unwrap().clone();
        for between in [&self.sqs, &self.sqs_of_hook, &self.dynamodb] {
            for call in between.calls() {
                if let Some(secret) = secrets.first_in(&call.body.to_string()) {
                    problems.push(format!("{} carries {secret}", call.operation));
                }
            }
        }
        let mut outputs = self.outputs.lock().unwrap().clone();
        outputs.push(self.hook.output());
        outputs.extend(
            self.workers
                .iter()
                .map(|worker| worker.lock().unwrap().output()),
        );
        for output in outputs {
            for line in output.lines() {
                if let Some(secret) = secrets.first_in(line) {
                    problems.push(format!("a log line shows {secret}: {line}"));
                }
            }
        }
        problems
    }
}

/// The environment of the worker at `at`. The host name in its calls identifies it.
fn env_of(at: usize, env: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let host = format!("http://{}:", HOSTS[at]);
    let named = env
        .iter()
        .map(|(name, value)| (*name, value.replace("http://127.0.0.1:", &host)));
    named.collect()
}

/// Every second history reads Okta as a service app, whose token can be revoked.
fn service_app(world: &World) -> [(&'static str, String); 3] {
    let key = PrivateKey::parse(&PRIVATE_KEY.to_owned().into()).unwrap();
    let mut okta = world.okta.world();
    okta.add_service_app(CLIENT, KEY_ID, key.public_jwk(), &SCOPES);
    [
        ("OKTA_CLIENT_ID", CLIENT.to_owned()),
        ("OKTA_KEY_ID", KEY_ID.to_owned()),
        ("OKTA_PRIVATE_KEY", PRIVATE_KEY.to_owned()),
    ]
}

async fn start(function: Function, env: &[(&'static str, String)]) -> Lambda {
    let lambda = Lambda::start(function, env).await;
    lambda.ready(PATIENCE).await.unwrap();
    lambda
}

/// The variables for `policy`.
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
    let removals = match policy.removals {
        RemovalLimit::Count(count) => count.to_string(),
        RemovalLimit::Percent(percent) => format!("{percent}%"),
        RemovalLimit::Off => "off".to_owned(),
    };
    let words = [
        ("USERNAME_POLICY", usernames),
        ("ADOPT", adopt),
        ("SUSPENDED_USERS", suspended),
        ("TEAM_NAME_POLICY", team_names),
        ("TEAM_REMOVAL", removal),
        ("RESET_EMAIL", reset),
    ];
    let mut all = vec![("PUSH_GROUPS", groups), ("MAX_REMOVALS_PER_HOUR", removals)];
    all.extend(words.map(|(name, word)| (name, word.to_owned())));
    all
}
