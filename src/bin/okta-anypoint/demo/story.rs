//! The story of `events/story.json`: what happens in Okta before each sample, and what must be true afterwards.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use include_dir::{Dir, include_dir};
use okta_anypoint::simulator::anypoint::{AnypointSimulator, AnypointWorld};
use okta_anypoint::simulator::okta::{OktaSimulator, OktaWorld};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

static SAMPLES: Dir = include_dir!("$CARGO_MANIFEST_DIR/events");

/// Read from the program itself, so that texts need not be copied.
const STORY: &str = include_str!("../../../../events/story.json");

/// Both sides at the start, and every sample in order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "'de: 'static"))]
struct Story {
    start: Worlds,
    steps: Vec<Step>,
}

/// The state of both sides.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worlds {
    #[serde(deserialize_with = "from_object")]
    pub okta: OktaWorld,
    #[serde(deserialize_with = "from_object")]
    pub anypoint: AnypointWorld,
}

/// A world has defaults for all its fields, and serde takes a list for it as well.
fn from_object<'de, D: Deserializer<'de>, T: DeserializeOwned>(world: D) -> Result<T, D::Error> {
    let object = serde_json::Map::deserialize(world)?;
    serde_json::from_value(object.into()).map_err(D::Error::custom)
}

/// To which of the three programs a sample goes, and what it has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// To the receiver, which answers with this status.
    Hook(u16),
    /// To the worker behind the queue, which gives no message back.
    Batch,
    /// To the scheduled tasks, whose run ends well.
    Task,
}

/// What the table says of a sample's events afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// It does not know them.
    Absent,
    /// They are done, at the first attempt.
    #[default]
    Done,
}

/// An account as it must be: first and last name, address, and whether it is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub username: &'static str,
    pub name: &'static str,
    pub email: &'static str,
    pub enabled: bool,
}

/// A change on one side, by a call of its API: `POST /users/…`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    okta: Option<&'static str>,
    anypoint: Option<&'static str>,
    body: Option<Value>,
}

/// One sample and what belongs to it. Accounts and teams are those that differ from the step before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub sample: &'static str,
    pub sent: Sent,
    pub before: &'static str,
    #[serde(default)]
    changes: Vec<Change>,
    #[serde(default)]
    pub records: Records,
    #[serde(default)]
    pub accounts: Vec<Account>,
    /// Usernames of the members, by name.
    #[serde(default)]
    pub teams: BTreeMap<&'static str, Vec<&'static str>>,
    /// Old and new name of one and the same team.
    pub renamed: Option<(&'static str, &'static str)>,
    /// Usernames to whose owners a reset mail is sent.
    #[serde(default)]
    pub mails: Vec<&'static str>,
    /// Counts in the answer of a run.
    #[serde(default)]
    pub counts: BTreeMap<&'static str, u64>,
    /// Neither Okta nor Anypoint may be asked anything.
    #[serde(default)]
    pub silent: bool,
}

fn story() -> Result<Story> {
    serde_json::from_str(STORY).context("events/story.json")
}

/// Okta and Anypoint as they are at the start.
pub fn first_worlds() -> Result<Worlds> {
    Ok(story()?.start)
}

pub fn steps() -> Result<Vec<Step>> {
    Ok(story()?.steps)
}

impl Step {
    /// The event as it is sent.
    pub fn event(&self) -> Result<&'static str> {
        SAMPLES
            .get_file(format!("{}.json", self.sample))
            .and_then(|file| file.contents_utf8())
            .with_context(|| format!("no sample events/{}.json", self.sample))
    }

    /// Brings both sides into the state before it.
    pub fn prepare(&self, okta: &OktaSimulator, anypoint: &AnypointSimulator) -> Result<()> {
        for change in &self.changes {
            let body = change.body.as_ref();
            if let Some(call) = change.okta {
                let (method, path) = method_and_path(call)?;
                okta.administer(method, &format!("/api/v1{path}"), body)?;
            }
            if let Some(call) = change.anypoint {
                let call = with_ids(call, &anypoint.world())?;
                let (method, path) = method_and_path(&call)?;
                anypoint.administer(method, path, body)?;
            }
        }
        Ok(())
    }
}

fn method_and_path(call: &str) -> Result<(http::Method, &str)> {
    let (method, path) = call
        .split_once(' ')
        .with_context(|| format!("not a method and a path: {call}"))?;
    Ok((method.parse()?, path))
}

/// Anypoint's ids in the place of `{user:NAME}` and `{team:NAME}`.
fn with_ids(call: &str, world: &AnypointWorld) -> Result<String> {
    let Some((before, rest)) = call.split_once('{') else {
        return Ok(call.to_owned());
    };
    let found = rest.split_once('}').and_then(|(what, after)| {
        let id = match what.split_once(':')? {
            ("user", name) => &world.user_by_username(name)?.id,
            ("team", name) => &world.team_by_name(name)?.id,
            _ => return None,
        };
        Some(format!("{before}{id}{after}"))
    });
    found.ok_or_else(|| anyhow!("Anypoint has nothing of that name: {call}"))
}
