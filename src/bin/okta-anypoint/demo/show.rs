//! The narrative, and its JSON form.

use std::time::Duration;

use anyhow::Result;
use okta_anypoint::counted::counted;
use serde_json::{Value, json};

use super::check::Played;
use super::stage::Stage;
use crate::console::{Console, Tone};

/// Requests of one kind that are shown in a step; the JSON form has all.
const MAX_REQUESTS: usize = 6;

/// Where a person goes from here.
const NEXT: &str = "
What next:
  okta-anypoint simulate
      both simulators as servers, to try `serve` and the commands on; it prints the settings
  okta-anypoint plan --data okta-anypoint.db
      with your own settings: what a first run would do. Changes nothing, makes no file
  CHANGES=report okta-anypoint serve --data okta-anypoint.db
      watches and records what it would do, and writes nothing at Okta or Anypoint";

/// What a step shows.
const OPENING: &str = "\
Every sample of events/ goes through the real receiver and worker; after each, Anypoint must look as events/README.md says.

plan: what the worker says it would do, and why. read, wrote: its calls. applied: what it did.
* marks what the step changed in Anypoint, !! what is not as expected.";

pub fn opening(console: &Console, stage: &Stage) -> Result<()> {
    console.say(console.paint(Tone::Strong, "From Okta to Anypoint, step by step"))?;
    console.say_gap()?;
    console.say(format!(
        "A simulated Okta at {}, a simulated Anypoint at {}, an embedded store in memory.",
        stage.okta.base_url(),
        stage.anypoint.base_url()
    ))?;
    console.say_lines(OPENING.lines())
}

pub fn step(console: &Console, number: usize, played: &Played) -> Result<()> {
    let mark = if played.is_ok() {
        console.paint(Tone::Good, "ok")
    } else {
        console.paint(Tone::Bad, "NOT AS EXPECTED")
    };
    console.say_gap()?;
    console.say(format!(
        "{}  {mark}",
        console.paint(Tone::Strong, format!("{number:>2}. {}", played.sample))
    ))?;
    let label = |name: &str| console.paint(Tone::Quiet, format!("    {name:<10}"));
    console.say(format!("{}{}", label("in Okta"), played.before))?;
    console.say(format!("{}{}", label("sent"), list(&played.sent)))?;
    for (subject, plan) in &played.planned {
        if plan.is_empty() {
            console.say(format!("{}{subject}: in sync", label("plan")))?;
        }
        for planned in plan {
            console.say(format!(
                "{}{subject}: {} {}",
                label("plan"),
                planned.what,
                console.paint(Tone::Quiet, format!("({})", planned.reason))
            ))?;
        }
    }
    for (side, requests) in [("Okta", &played.okta), ("Anypoint", &played.anypoint)] {
        for (name, reads) in [("read", true), ("wrote", false)] {
            let of_kind: Vec<&str> = requests
                .iter()
                .filter(|(is_read, _)| *is_read == reads)
                .map(|(_, text)| text.as_str())
                .collect();
            if !of_kind.is_empty() {
                let shown = of_kind
                    .iter()
                    .take(MAX_REQUESTS)
                    .copied()
                    .collect::<Vec<_>>();
                let more = match of_kind.len() - shown.len() {
                    0 => String::new(),
                    more => format!("  and {more} more"),
                };
                let text = format!("{side}: {}{more}", shown.join("  "));
                console.say(format!("{}{text}", label(name)))?;
            }
        }
    }
    if !played.applied.is_empty() {
        console.say(format!("{}{}", label("applied"), played.applied.join(", ")))?;
    }
    let answered = match played.status {
        Some(status) => format!("{status} after {} ms", played.took_ms),
        None => format!("{} after {} ms", played.said, played.took_ms),
    };
    console.say(format!("{}{answered}", label("answer")))?;
    anypoint(console, played, &label("Anypoint"))?;
    for problem in &played.problems {
        console.say(console.paint(Tone::Bad, format!("    !! {problem}")))?;
    }
    Ok(())
}

/// What Anypoint looks like: whole, with a mark at what the step changed.
fn anypoint(console: &Console, played: &Played, label: &str) -> Result<()> {
    let marked = |name: &str, text: String| {
        if played.changed.iter().any(|changed| changed == name) {
            console.paint(Tone::Strong, format!("* {text}"))
        } else {
            format!("  {text}")
        }
    };
    let mut lines = Vec::new();
    if played.changed.is_empty() && played.is_ok() && !played.accounts.is_empty() {
        let accounts = counted(played.accounts.len(), "account", "accounts");
        let teams = counted(played.teams.len(), "team", "teams");
        return console.say(format!("{label}as before ({accounts}, {teams})"));
    }
    for (username, name, enabled) in &played.accounts {
        let state = if *enabled { "enabled" } else { "disabled" };
        lines.push(marked(username, format!("{username:<18}{name:<22}{state}")));
    }
    for (name, members) in &played.teams {
        let members = match members.as_slice() {
            [] => "nobody".to_owned(),
            members => members.join(", "),
        };
        lines.push(marked(name, format!("team \"{name}\": {members}")));
    }
    if lines.is_empty() {
        lines.push("  no accounts, no teams".to_owned());
    }
    let indent = " ".repeat(14);
    for (position, line) in lines.iter().enumerate() {
        let lead = if position == 0 { label } else { &indent };
        console.say(format!("{lead}{line}"))?;
    }
    Ok(())
}

pub fn ending(console: &Console, played: &[Played], took: Duration) -> Result<()> {
    let good = played.iter().filter(|played| played.is_ok()).count();
    let summary = format!(
        "{good} of {} steps ended as expected, in {:.1} s",
        played.len(),
        took.as_secs_f64()
    );
    let tone = if good == played.len() {
        Tone::Good
    } else {
        Tone::Bad
    };
    console.say_gap()?;
    console.say(console.paint(tone, summary))?;
    if good == played.len() {
        console.say_lines(NEXT.lines())?;
    }
    console.emit(&json!({
        "ok": good == played.len(),
        "steps": played.iter().map(machine).collect::<Vec<_>>(),
    }))
}

fn machine(played: &Played) -> Value {
    let requests = |requests: &[(bool, String)]| {
        requests
            .iter()
            .map(|(is_read, text)| match is_read {
                true => format!("GET {text}"),
                false => text.clone(),
            })
            .collect::<Vec<_>>()
    };
    let planned: Vec<Value> = played
        .planned
        .iter()
        .map(|(subject, actions)| json!({"subject": subject, "actions": actions}))
        .collect();
    let accounts: Vec<Value> = played
        .accounts
        .iter()
        .map(|(username, name, enabled)| {
            json!({"username": username, "name": name, "enabled": enabled})
        })
        .collect();
    let teams: Vec<Value> = played
        .teams
        .iter()
        .map(|(name, members)| json!({"name": name, "members": members}))
        .collect();
    json!({
        "sample": played.sample,
        "ok": played.is_ok(),
        "okta_before": played.before,
        "sent": played.sent,
        "status": played.status,
        "took_ms": played.took_ms,
        "planned": planned,
        "applied": played.applied,
        "okta_requests": requests(&played.okta),
        "anypoint_requests": requests(&played.anypoint),
        "accounts": accounts,
        "teams": teams,
        "problems": played.problems,
    })
}

fn list(types: &[String]) -> String {
    match types {
        [] => "no event".to_owned(),
        types => types.join(", "),
    }
}
