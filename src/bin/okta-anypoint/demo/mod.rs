//! `demo`: the story of `events/`, played on simulators through the real receiver and worker.

mod cast;
mod check;
mod show;
mod stage;
mod story;

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use crate::console::{Console, Exit};
use check::{Expected, Played};
use stage::{Stage, short};
use story::Step;

pub use cast::{ADA, APP, GRACE, INTEGRATORS, KATHERINE};
pub use stage::settings;
pub use story::{Worlds, first_worlds};

/// Play the whole story on simulators: no settings, no network, no AWS.
///
/// Starts a simulated Okta, a simulated Anypoint and the embedded store in memory, sends every
/// sample of `events/` through the real receiver and worker, and shows step by step what happened.
/// Exits 0 only if each step ended as expected.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
                             okta-anypoint demo\n  \
                             okta-anypoint demo --json | jq '.steps[] | select(.ok | not)'")]
pub struct Args {}

pub async fn run(console: &Console) -> Result<Exit> {
    let started = Instant::now();
    let stage = Stage::set_up().await?;
    show::opening(console, &stage)?;
    let mut expected = Expected::default();
    let mut played = Vec::new();
    for (position, step) in story::steps()?.iter().enumerate() {
        let result = play(&stage, step, &mut expected).await?;
        show::step(console, position + 1, &result)?;
        played.push(result);
    }
    stage.tear_down().await;
    show::ending(console, &played, started.elapsed())?;
    let problems = played.iter().map(|step| step.problems.len());
    Ok(Exit::with_problems(problems.sum()))
}

async fn play(stage: &Stage, step: &Step, expected: &mut Expected) -> Result<Played> {
    step.prepare(&stage.okta, &stage.anypoint)?;
    let text = step.event()?;
    let event: Value = serde_json::from_str(text)?;
    let changes = stage.changes(step.sent, &event);
    let planned = stage.plan(&changes).await?;
    stage.clear();
    stage.applied();
    let mails_before = stage.anypoint.world().mails.len();

    let sent_at = Instant::now();
    let answer = stage.send(step.sent, text).await?;
    let took = sent_at.elapsed();

    let organization = stage.anypoint.world().org_id.clone();
    let mut played = Played {
        sample: step.sample,
        before: step.before,
        sent: check::types_of(step.sent, &event),
        status: answer.status,
        said: check::in_short(&answer.body),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        okta: short(stage.okta.traffic(), &organization),
        anypoint: short(stage.anypoint.traffic(), &organization),
        planned,
        applied: stage.applied(),
        accounts: Vec::new(),
        teams: Vec::new(),
        changed: Vec::new(),
        problems: Vec::new(),
    };
    check::answer(step, &event, &answer, &mut played);
    check::records(stage, step, &event, &mut played).await?;
    check::world(stage, step, mails_before, expected, &mut played);
    check::traffic(stage, step, &mut played);
    played.name_ids(&stage.anypoint.world());
    Ok(played)
}
