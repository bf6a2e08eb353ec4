//! `explain`: both sides of one user or group, the link, and what would be done.

use anyhow::Result;
use okta_anypoint::clock::rfc3339;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Failure;
use okta_anypoint::insight::{
    Explanation, doubt_in_words, held_in_words, held_of, what_became, words,
};
use okta_anypoint::ledger::{Filter, Record};
use okta_anypoint::provision::{Doubt, Exclusions, Forecast};
use serde_json::{Value, json};

use crate::console::{Console, Exit, Tone};
use crate::table::{Access, LOOK_TIME};
use crate::time::to_the_second;
use crate::{names, table};

/// Show Okta's state, Anypoint's state, the link, and the actions that would follow, with reasons.
///
/// Nothing is written. Works also for users that have no account yet, and for those that Okta no
/// longer has (named by id). Exits 1 if the run would fail, and prints why. The run would
/// still do the actions shown.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"subject\", \"excluded\", \"okta\", \"anypoint\", \"link\", \"actions\": [{\"action\", \"what\", \
\"reason\"}], \"doubts\": [{\"finding\", \"first_seen\", \"believed_after\"}], \
\"unread\": {\"side\", \"class\", \"code\", \"message\", \"advice\"}, \
\"events\": [{\"id\", \"event_type\", \"status\", \"applied\", \"error\"}], \
\"failure\": {\"side\", \"class\", \"code\", \"message\", \"advice\"}, \
\"held\": {\"id\", \"held_for\", \"planned\"} of what the brake holds, or null}.

Examples:
  okta-anypoint explain ada.lovelace@acme.example
  okta-anypoint explain \"Integration Engineers\"
  okta-anypoint explain 00u1ab2cd3EF4gh5ij6 --json")]
pub struct Args {
    /// An Okta id, a login, a username or a group name.
    #[arg(value_name = "USER_OR_GROUP")]
    name: String,
    #[command(flatten)]
    table: table::Args,
}

/// How many of a subject's last events are shown.
const MAX_EVENTS: usize = 10;

pub async fn run(args: &Args, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Read).await?;
    let subject = names::subject(&operator, &args.name).await?;
    let deadline = Deadline::within(LOOK_TIME);
    let explanation = Explanation::of(&operator.ports, subject, deadline).await?;
    let filter = Filter {
        subject: Some(explanation.subject.to_string()),
        ..Filter::default()
    };
    let mut events = operator.ports.ledger.records(&filter).await?;
    let held = held_of(&events).cloned();
    events.truncate(MAX_EVENTS);
    let option = args.table.option();
    show(&explanation, held.as_ref(), &events, &option, console)?;
    Ok(Exit::with_problems(usize::from(
        explanation.failure.is_some(),
    )))
}

fn show(
    explanation: &Explanation,
    held: Option<&Record>,
    events: &[Record],
    option: &str,
    console: &Console,
) -> Result<()> {
    let object = |facts: &[(&'static str, Value)]| -> Value {
        facts
            .iter()
            .map(|(name, value)| (name.replace(' ', "_"), value.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    console.emit(&json!({
        "subject": explanation.subject,
        "excluded": explanation.excluded,
        "okta": object(&explanation.okta),
        "anypoint": object(&explanation.anypoint),
        "link": explanation.link,
        "actions": explanation.actions,
        "doubts": explanation.doubts.iter().map(doubt_json).collect::<Vec<_>>(),
        "unread": explanation.unread.as_ref().map(failure_json),
        "events": events,
        "held": held.map(|held| json!({
            "id": held.id, "held_for": held.held_for, "planned": held.planned,
        })),
        "failure": explanation.failure.as_ref().map(failure_json),
    }))?;
    let heading = |text: &str| console.paint(Tone::Strong, text);
    console.say(heading(&explanation.subject.to_string()))?;
    for (side, facts) in [
        ("Okta", &explanation.okta),
        ("Anypoint", &explanation.anypoint),
    ] {
        // Nothing is read at Anypoint for an excluded subject.
        if !facts.is_empty() {
            console.say_gap()?;
            console.say(heading(side))?;
        }
        for (name, value) in facts {
            console.say_behind(format!("  {name:<24}"), 26, words(value))?;
        }
    }
    console.say_gap()?;
    console.say(heading("Link"))?;
    console.say_indented(2, words(&explanation.link))?;
    console.say_gap()?;
    console.say(heading("What would be done"))?;
    if let Some(held) = held {
        let subject = &explanation.subject;
        console.say_indented(2, console.paint(Tone::Bad, held_in_words(held)))?;
        console.say("  If Okta is right, approve it:")?;
        console.say_whole(format!(
            "    okta-anypoint approve {}{option}",
            subject.okta_id()
        ))?;
        console.say("  Then:")?;
    }
    if explanation.excluded {
        console.say_indented(2, Exclusions::in_words(&explanation.subject))?;
    } else if explanation.is_in_sync() {
        console.say(console.paint(Tone::Good, "  nothing: both sides are in sync"))?;
    }
    for action in &explanation.actions {
        let reason = console.paint(Tone::Quiet, format!("({})", action.reason));
        console.say_behind("  ", 4, format!("{} {reason}", action.what))?;
    }
    say_doubts(console, &explanation.doubts)?;
    for failure in [&explanation.failure, &explanation.unread]
        .into_iter()
        .flatten()
    {
        console.say_indented(2, console.paint(Tone::Bad, failure))?;
    }
    if events.is_empty() {
        return Ok(());
    }
    console.say_gap()?;
    console.say(heading("Last events"))?;
    for event in events {
        console.say_behind("  ", 4, event_line(event))?;
    }
    Ok(())
}

fn say_doubts(console: &Console, doubts: &[Doubt]) -> Result<()> {
    for doubt in doubts {
        console.say_indented(2, doubt_in_words(doubt))?;
    }
    Ok(())
}

/// As `explain`, `link` and `link-group` show it.
pub fn doubt_json(doubt: &Doubt) -> Value {
    json!({
        "finding": doubt.finding.to_string(),
        "first_seen": rfc3339(doubt.first_seen_ms),
        "believed_after": rfc3339(doubt.believed_after_ms),
    })
}

/// What one event did, and why.
fn event_line(event: &Record) -> String {
    let at = to_the_second(event.updated_at_ms);
    format!(
        "{at}  {}  {}  {}",
        event.id,
        event.event_type,
        what_became(event)
    )
}

/// Says what the next look at a subject would do.
pub fn say_next(
    console: &Console,
    id: &str,
    forecast: &Forecast,
    doubts: &[Doubt],
) -> anyhow::Result<()> {
    let Forecast { steps, failure } = forecast;
    match failure {
        None if steps.is_empty() && doubts.is_empty() => console.say("Both sides are in sync."),
        None if steps.is_empty() => console.say("Both sides are not in sync yet:"),
        Some(_) if steps.is_empty() => Ok(()),
        _ => console.say(format!(
            "The next event, or `okta-anypoint push {id}`, would:"
        )),
    }?;
    for step in steps {
        console.say_behind("  ", 4, format!("{} ({})", step.what, step.reason))?;
    }
    if let Some(failure) = failure {
        console.say(format!("The next look would fail: {failure}"))?;
    }
    say_doubts(console, doubts)
}

/// The fields that `explain` and `link` show.
pub fn failure_json(failure: &Failure) -> Value {
    json!({
        "side": failure.side,
        "class": failure.class,
        "code": failure.cause,
        "message": failure.message,
        "advice": failure.advice,
    })
}
