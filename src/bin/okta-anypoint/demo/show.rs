//! The narrative, and its JSON form.

use std::time::Duration;

use anyhow::Result;
use okta_anypoint::counted::counted;
use serde_json::json;

use super::check::{FoundAccount, FoundTeam, Played};
use super::stage::{Plan, Stage};
use crate::console::{Console, Tone};

/// Requests of one kind that are shown in a step; the JSON form has all.
const MAX_REQUESTS: usize = 6;

/// Where the text behind a label begins.
const MARGIN: usize = 14;

/// How a request that only reads begins.
const READ: &str = "GET ";

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
    let say = |name: &str, text: String| console.say_behind(label(name), MARGIN, text);
    say("in Okta", played.before.to_owned())?;
    say("sent", list(&played.sent))?;
    for Plan { subject, actions } in &played.planned {
        if actions.is_empty() {
            say("plan", format!("{subject}: in sync"))?;
        }
        for planned in actions {
            let reason = console.paint(Tone::Quiet, format!("({})", planned.reason));
            say("plan", format!("{subject}: {} {reason}", planned.what))?;
        }
    }
    for (side, requests) in [("Okta", &played.okta), ("Anypoint", &played.anypoint)] {
        let (reads, writes): (Vec<&str>, Vec<&str>) = requests
            .iter()
            .map(String::as_str)
            .partition(|request| request.starts_with(READ));
        let reads = reads.iter().map(|read| &read[READ.len()..]).collect();
        for (name, requests) in [("read", reads), ("wrote", writes)] {
            let shown = &requests[..requests.len().min(MAX_REQUESTS)];
            let more = match requests.len() - shown.len() {
                0 => String::new(),
                more => format!("  and {more} more"),
            };
            if !requests.is_empty() {
                let shown = shown.join("  ");
                say(name, format!("{side}: {shown}{more}"))?;
            }
        }
    }
    if !played.applied.is_empty() {
        say("applied", played.applied.join(", "))?;
    }
    let answered = match played.status {
        Some(status) => format!("{status} after {} ms", played.took_ms),
        None => format!("{} after {} ms", played.said, played.took_ms),
    };
    say("answer", answered)?;
    anypoint(console, played, &label("Anypoint"))?;
    for problem in &played.problems {
        let problem = console.paint(Tone::Bad, format!("!! {problem}"));
        console.say_behind("    ", 7, problem)?;
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
        return console.say_behind(label, MARGIN, format!("as before ({accounts}, {teams})"));
    }
    for account in &played.accounts {
        let FoundAccount { username, name, .. } = account;
        let state = if account.enabled {
            "enabled"
        } else {
            "disabled"
        };
        lines.push(marked(username, format!("{username:<18}{name:<22}{state}")));
    }
    for FoundTeam { name, members } in &played.teams {
        let members = match members.as_slice() {
            [] => "nobody".to_owned(),
            members => members.join(", "),
        };
        lines.push(marked(name, format!("team \"{name}\": {members}")));
    }
    if lines.is_empty() {
        lines.push("  no accounts, no teams".to_owned());
    }
    let margin = " ".repeat(MARGIN);
    for (position, line) in lines.iter().enumerate() {
        let lead = if position == 0 { label } else { &margin };
        console.say_behind(lead, MARGIN + 4, line)?;
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
    let mut steps = json!(played);
    for (step, played) in steps.as_array_mut().into_iter().flatten().zip(played) {
        step["ok"] = json!(played.is_ok());
    }
    console.emit(&json!({"ok": good == played.len(), "steps": steps}))
}

fn list(types: &[String]) -> String {
    match types {
        [] => "no event".to_owned(),
        types => types.join(", "),
    }
}
