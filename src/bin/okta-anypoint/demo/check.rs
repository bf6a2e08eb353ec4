//! Whether a step ended as the story says. Every difference is a sentence.

use std::collections::BTreeMap;

use anyhow::Result;
use okta_anypoint::ids::Subject;
use okta_anypoint::ledger::Status;
use okta_anypoint::simulator::anypoint::AnypointWorld;
use serde::Serialize;
use serde_json::{Value, json};

use super::stage::{Plan, ProgramAnswer, Stage, body, messages};
use super::story::{Records, Sent, Step};

/// What must be true in Anypoint, gathered from step to step: `account NAME` and `team NAME`.
#[derive(Default)]
pub struct Expected {
    objects: BTreeMap<String, Value>,
    /// Ids as they were first seen: an account or team stays the same one.
    ids: BTreeMap<String, String>,
}

/// How a step went. With `--json` it is printed as it is.
#[derive(Serialize)]
pub struct Played {
    pub sample: &'static str,
    #[serde(rename = "okta_before")]
    pub before: &'static str,
    pub sent: Vec<String>,
    pub status: Option<u16>,
    /// What a program without a status answered, in short.
    #[serde(skip)]
    pub said: String,
    pub took_ms: u64,
    #[serde(rename = "okta_requests")]
    pub okta: Vec<String>,
    #[serde(rename = "anypoint_requests")]
    pub anypoint: Vec<String>,
    pub planned: Vec<Plan>,
    pub applied: Vec<String>,
    pub accounts: Vec<FoundAccount>,
    pub teams: Vec<FoundTeam>,
    /// Names of accounts and teams that the step changed.
    #[serde(skip)]
    pub changed: Vec<String>,
    pub problems: Vec<String>,
}

#[derive(Serialize)]
pub struct FoundAccount {
    pub username: String,
    pub name: String,
    pub enabled: bool,
}

#[derive(Serialize)]
pub struct FoundTeam {
    pub name: String,
    /// Usernames.
    pub members: Vec<String>,
}

impl Played {
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// Names instead of Anypoint's ids, for people who read along.
    pub fn name_ids(&mut self, world: &AnypointWorld) {
        let users = world.users.values().map(|user| (&user.id, &user.username));
        let teams = world.teams.values().map(|team| (&team.id, &team.name));
        let names: Vec<(&String, String)> = users
            .chain(teams)
            .map(|(id, name)| (id, format!("\"{name}\"")))
            .collect();
        let plans = self.planned.iter_mut().flat_map(|plan| &mut plan.actions);
        let texts = plans
            .map(|planned| &mut planned.what)
            .chain(&mut self.anypoint);
        for text in texts {
            for (id, name) in &names {
                *text = text.replace(id.as_str(), name);
            }
        }
    }

    fn compare(&mut self, what: &str, expected: impl Into<Value>, found: impl Into<Value>) {
        let (expected, found) = (expected.into(), found.into());
        if expected != found {
            self.problems
                .push(format!("{what}: expected {expected}, found {found}"));
        }
    }
}

/// The event types in a sample, for the narrative.
pub fn types_of(sent: Sent, event: &Value) -> Vec<String> {
    let texts = |list: Vec<Value>, key: &str| {
        list.iter()
            .filter_map(|item| item[key].as_str())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    match sent {
        Sent::Hook(_) => match delivered(event) {
            None => vec!["GET with a challenge".to_owned()],
            Some(events) => texts(events, "eventType"),
        },
        Sent::Batch => texts(messages(event).collect(), "event_type"),
        Sent::Task => vec![event.to_string()],
    }
}

fn delivered(event: &Value) -> Option<Vec<Value>> {
    let delivery: Value = serde_json::from_slice(&body(event)?).ok()?;
    delivery["data"]["events"].as_array().cloned()
}

/// What a worker or a run answered, for the narrative: counts without zeros, or the answer itself.
pub fn in_short(body: &Value) -> String {
    let Some(counts) = body["counts"].as_object() else {
        return body.to_string();
    };
    let counts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
        .collect();
    format!(
        "{}: {}",
        body["outcome"].as_str().unwrap_or_default(),
        counts.join(", ")
    )
}

/// The answer: its status, and its body.
pub fn answer(step: &Step, event: &Value, answer: &ProgramAnswer, played: &mut Played) {
    match step.sent {
        Sent::Hook(expected) => {
            played.compare("status of the answer", Some(expected), answer.status);
            let challenge = &event["headers"]["x-okta-verification-challenge"];
            let body = match challenge.as_str() {
                Some(challenge) => json!({"verification": challenge}).to_string(),
                None => String::new(),
            };
            played.compare("body of the answer", body, answer.body.clone());
        }
        Sent::Batch => played.compare(
            "answer of the worker",
            json!({"batchItemFailures": []}),
            answer.body.clone(),
        ),
        Sent::Task => {
            let ended = |key: &str| answer.body[key].clone();
            played.compare("outcome of the run", "completed", ended("outcome"));
            played.compare("problems of the run", json!([]), ended("problems"));
            for (name, count) in &step.counts {
                let found = answer.body["counts"][name].clone();
                played.compare(&format!("count {name} of the run"), *count, found);
            }
        }
    }
}

/// The ledger: what it says of every event in the sample.
pub async fn records(stage: &Stage, step: &Step, event: &Value, played: &mut Played) -> Result<()> {
    let events = match step.sent {
        Sent::Hook(_) => delivered(event).unwrap_or_default(),
        Sent::Batch => messages(event).collect(),
        Sent::Task => Vec::new(),
    };
    for event in events {
        let uuid = event["uuid"].as_str().unwrap_or_default();
        let record = stage.record(uuid).await?;
        let found = record.map(|record| (record.status, record.attempts));
        let as_expected = match step.records {
            Records::Absent => found.is_none(),
            Records::Done => found == Some((Status::Done, 1)),
        };
        if !as_expected {
            played.problems.push(format!(
                "record of event {uuid}: expected {:?}, found {found:?}",
                step.records
            ));
        }
    }
    Ok(())
}

/// Anypoint: every account, every team, and the mails.
pub fn world(
    stage: &Stage,
    step: &Step,
    mails_before: usize,
    expected: &mut Expected,
    played: &mut Played,
) {
    let world = stage.anypoint.world();
    expected.follow(step);
    for account in &step.accounts {
        played.changed.push(account.username.to_owned());
    }
    for team in step.teams.keys() {
        played.changed.push((*team).to_owned());
    }
    expected.compare(&world, played);
    let mails: Vec<&str> = world
        .mails
        .iter()
        .skip(mails_before)
        .map(|mail| mail.username.as_str())
        .collect();
    played.compare("reset mails to", step.mails.clone(), mails);
}

/// The requests to both sides.
pub fn traffic(stage: &Stage, step: &Step, played: &mut Played) {
    for unexpected in [
        stage.okta.traffic().unexpected(),
        stage.anypoint.traffic().unexpected(),
    ]
    .concat()
    {
        played.problems.push(format!(
            "a request that the vendor does not document: {unexpected}"
        ));
    }
    if step.silent && !(played.okta.is_empty() && played.anypoint.is_empty()) {
        played
            .problems
            .push("a request went to Okta or Anypoint, and none was needed".to_owned());
    }
    // The steps planned for one user are exactly the steps that were carried out.
    if let [plan] = played.planned.as_slice()
        && let Subject::User(_) = plan.subject
    {
        let actions = plan.actions.iter();
        let mut names: Vec<String> = actions.map(|planned| planned.action.clone()).collect();
        names.sort_unstable();
        let applied = played.applied.clone();
        played.compare("actions", names, applied);
    }
}

impl Expected {
    fn follow(&mut self, step: &Step) {
        for account in &step.accounts {
            let state = json!([account.name, account.email, account.enabled]);
            self.objects
                .insert(format!("account {}", account.username), state);
        }
        if let Some((old, new)) = step.renamed {
            self.objects.remove(&format!("team {old}"));
            if let Some(id) = self.ids.remove(&format!("team {old}")) {
                self.ids.insert(format!("team {new}"), id);
            }
        }
        for (name, members) in &step.teams {
            self.objects.insert(format!("team {name}"), json!(members));
        }
    }

    fn compare(&mut self, world: &AnypointWorld, played: &mut Played) {
        let mut found = BTreeMap::new();
        for user in world.users.values() {
            let name = format!("{} {}", user.first_name, user.last_name);
            let state = json!([name, user.email, user.enabled]);
            found.insert(format!("account {}", user.username), (&user.id, state));
            played.accounts.push(FoundAccount {
                username: user.username.clone(),
                name,
                enabled: user.enabled,
            });
        }
        for team in world.teams.values() {
            if team.id == world.root_team_id {
                continue;
            }
            let members = world.members_of(&team.id);
            found.insert(format!("team {}", team.name), (&team.id, json!(members)));
            let ancestors = team.ancestors.clone();
            let what = format!("teams above team {}", team.name);
            played.compare(&what, vec![world.root_team_id.clone()], ancestors);
            played.teams.push(FoundTeam {
                name: team.name.clone(),
                members,
            });
        }
        for (object, state) in &self.objects {
            let found = found.get(object).map(|(_, state)| state.clone());
            played.compare(object, Some(state.clone()), found);
        }
        for (object, (id, _)) in found {
            if !self.objects.contains_key(&object) {
                let problem = format!("{object} is there and should not be");
                played.problems.push(problem);
            }
            let first = self.ids.entry(object.clone()).or_insert_with(|| id.clone());
            played.compare(&format!("id of {object}"), first.clone(), id.clone());
        }
        played.compare("deleted accounts", 0, world.deleted_users.len());
    }
}
