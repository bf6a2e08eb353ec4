//! `explain`: both sides of one user or group, the link, and what would follow.

use anyhow::Result;
use futures_util::future::try_join4;
use okta_anypoint::clock::rfc3339;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Failure;
use okta_anypoint::http::Listed;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use okta_anypoint::ledger::{Filter, Record, Status};
use okta_anypoint::okta::{AppUser, Assignment};
use okta_anypoint::provision::{Announced, Doubt, GroupPreview, GroupWanted, Provisioner};
use okta_anypoint::store::TeamLink;
use serde_json::{Value, json};

use crate::console::{Console, Tone, Verdict};
use crate::outlook::{self, Planned};
use crate::table::{LOOK_TIME, Operator};
use crate::{names, table};

/// Show Okta's state, Anypoint's state, the link, and the actions that would follow, with reasons.
///
/// Nothing is written. Works also for users that have no account yet, and for those that Okta no
/// longer has (named by id). Exits 1 when what would follow cannot be done, with the reason.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"subject\", \"okta\", \"anypoint\", \"link\", \"actions\": [{\"action\", \"what\", \
\"reason\"}], \"doubts\": [{\"finding\", \"first_seen\", \"believed_after\"}], \
\"events\": [{\"id\", \"event_type\", \"status\", \"applied\", \"error\"}], \
\"failure\": {\"side\", \"class\", \"code\", \"message\", \"advice\"}}.

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

/// What is shown: facts by side, then the actions.
struct Explanation {
    subject: Subject,
    okta: Vec<(&'static str, Value)>,
    anypoint: Vec<(&'static str, Value)>,
    link: Value,
    plan: Result<Vec<Planned>, Failure>,
    doubts: Vec<Doubt>,
}

/// How many of a subject's last events are shown.
const SHOWN_EVENTS: usize = 10;

pub async fn run(args: &Args, console: &Console) -> Result<Verdict> {
    let operator = args.table.open_to_read().await?;
    let explanation = match names::subject(&operator, &args.name).await? {
        Subject::User(user) => of_user(&operator, user).await?,
        Subject::Group(group) => of_group(&operator, group).await?,
    };
    let filter = Filter {
        subject: Some(explanation.subject.to_string()),
        ..Filter::default()
    };
    let mut events = operator.table.ledger.records(&filter).await?;
    events.truncate(SHOWN_EVENTS);
    show(&explanation, &events, console)?;
    Ok(match explanation.plan {
        Ok(_) => Verdict::Done,
        Err(_) => Verdict::Problem,
    })
}

async fn of_user(operator: &Operator, user: OktaUserId) -> Result<Explanation> {
    let ports = &operator.ports;
    let deadline = Deadline::within(LOOK_TIME);
    let (found, app_user, groups, link) = try_join4(
        async { Ok(ports.okta.user(&user, deadline).await?) },
        async {
            let app_user = ports.okta.app_user(&ports.app, &user, deadline);
            Ok(app_user.await?)
        },
        async { Ok(ports.okta.list_groups_of_user(&user, deadline).await?) },
        ports.store.user_link(&user),
    )
    .await?;
    let preview = Provisioner::new(ports.clone())
        .preview_user(&user, Announced::default(), deadline)
        .await?;

    let assigned = |app_user: &AppUser| app_user.assignment() == Assignment::Assigned;
    let okta = match &found {
        None => vec![("exists", json!(false))],
        Some(found) => vec![
            ("status", json!(found.status.as_str())),
            ("assigned", json!(app_user.as_ref().is_some_and(assigned))),
            (
                "app username",
                json!(app_user.as_ref().and_then(AppUser::username)),
            ),
            ("groups", groups.iter().flat_map(named_groups).collect()),
        ],
    };
    let linked = link.as_ref().map(|link| link.anypoint_id.clone());
    let named = preview
        .view
        .as_ref()
        .and_then(|view| view.named.as_ref())
        .map(|named| named.account.id.clone());
    let anypoint = match linked.or(named) {
        None => vec![("account", Value::Null)],
        Some(account) => account_facts(operator, &account, deadline).await?,
    };
    Ok(Explanation {
        subject: Subject::User(user),
        okta,
        anypoint,
        link: json!(link.map(|link| json!({
            "anypoint_id": link.anypoint_id,
            "username": link.username,
            "origin": link.origin,
        }))),
        doubts: preview.doubts(),
        plan: preview.plan.map(|plan| Planned::from_steps(&plan.steps())),
    })
}

/// Groups with their names; of one that cannot be read, the id.
fn named_groups(groups: &Listed<okta_anypoint::okta::Group>) -> impl Iterator<Item = Value> {
    let read = groups.items.iter();
    let unread = groups.unread.iter();
    read.map(|group| json!({"id": group.id, "name": group.name()}))
        .chain(unread.map(|group| json!({"id": group.id, "name": Value::Null})))
}

async fn account_facts(
    operator: &Operator,
    id: &AccountId,
    deadline: Deadline,
) -> Result<Vec<(&'static str, Value)>> {
    let anypoint = &operator.ports.anypoint;
    let Some(account) = anypoint.account(id, deadline).await? else {
        return Ok(vec![("account", json!(id)), ("exists", json!(false))]);
    };
    let teams = anypoint.list_teams_of_account(id, deadline).await?;
    let all = anypoint.list_teams(deadline).await?.items;
    let owners = operator
        .table
        .store
        .account_owners(std::slice::from_ref(id))
        .await?;
    let teams = teams.iter().flat_map(|listed| {
        let unread: Vec<TeamId> = listed.ids_unread().collect();
        listed
            .items
            .iter()
            .map(|team| team.id.clone())
            .chain(unread)
    });
    let teams: Vec<Value> = teams
        .map(|team| {
            let name = all.iter().find(|known| known.id == team);
            json!({"id": team, "name": name.map(|team| &team.name)})
        })
        .collect();
    Ok(vec![
        ("account", json!(id)),
        ("username", json!(account.username)),
        ("enabled", json!(account.enabled())),
        ("teams", json!(teams)),
        ("belongs to", json!(owners.get(id))),
    ])
}

async fn of_group(operator: &Operator, group: OktaGroupId) -> Result<Explanation> {
    let ports = &operator.ports;
    let deadline = Deadline::within(LOOK_TIME);
    let preview = Provisioner::new(ports.clone())
        .preview_group(&group, Announced::default(), deadline)
        .await?;
    let found = match &preview.group {
        Some(found) => Some(found.clone()),
        None => ports.okta.group(&group, deadline).await?,
    };
    let mut okta = match &found {
        None => vec![("exists", json!(false))],
        Some(found) => vec![("name", json!(found.name()))],
    };
    match &preview.view.wanted {
        GroupWanted::Nothing(why) => {
            okta.push(("pushed", json!(false)));
            okta.push(("because", json!(why.as_str())));
        }
        GroupWanted::Excluded => okta.push(("excluded", json!(true))),
        GroupWanted::Team(wanted) => {
            okta.push(("pushed", json!(true)));
            okta.push(("members with an account", json!(wanted.accounts.len())));
            okta.push(("members without", json!(wanted.later)));
        }
    }
    let anypoint = match &preview.view.link {
        None => vec![("team", Value::Null)],
        Some(link) => team_facts(operator, link, &preview, deadline).await?,
    };
    Ok(Explanation {
        subject: Subject::Group(group),
        okta,
        anypoint,
        link: json!(preview.view.link),
        doubts: preview.doubts(),
        plan: preview.steps.map(|steps| Planned::from_steps(&steps)),
    })
}

async fn team_facts(
    operator: &Operator,
    link: &TeamLink,
    preview: &GroupPreview,
    deadline: Deadline,
) -> Result<Vec<(&'static str, Value)>> {
    let anypoint = &operator.ports.anypoint;
    let Some(team) = anypoint.team(&link.team_id, deadline).await? else {
        return Ok(vec![
            ("team", json!(link.team_id)),
            ("exists", json!(false)),
        ]);
    };
    let found = preview.view.found.as_deref().unwrap_or_default();
    let ours = found.iter().filter(|found| found.can_end()).count();
    Ok(vec![
        ("team", json!(team.id)),
        ("name", json!(team.name)),
        ("members that are ours", json!(ours)),
        ("other members", json!(found.len() - ours)),
    ])
}

fn show(explanation: &Explanation, events: &[Record], console: &Console) -> Result<()> {
    let object = |facts: &[(&'static str, Value)]| -> Value {
        facts
            .iter()
            .map(|(name, value)| (name.replace(' ', "_"), value.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    console.emit(&json!({
        "subject": explanation.subject,
        "okta": object(&explanation.okta),
        "anypoint": object(&explanation.anypoint),
        "link": explanation.link,
        "actions": explanation.plan.as_ref().ok(),
        "doubts": explanation.doubts.iter().map(doubt_json).collect::<Vec<_>>(),
        "events": events,
        "failure": explanation.plan.as_ref().err().map(outlook::failure_json),
    }))?;
    let heading = |text: &str| console.paint(Tone::Strong, text);
    console.say(heading(&explanation.subject.to_string()))?;
    for (side, facts) in [
        ("Okta", &explanation.okta),
        ("Anypoint", &explanation.anypoint),
    ] {
        console.say(format!("\n{}", heading(side)))?;
        for (name, value) in facts {
            console.say(format!("  {name:<24}{}", words(value)))?;
        }
    }
    console.say(format!(
        "\n{}\n  {}",
        heading("Link"),
        words(&explanation.link)
    ))?;
    console.say(format!("\n{}", heading("What would follow")))?;
    match &explanation.plan {
        Ok(actions) if actions.is_empty() && !explanation.doubts.is_empty() => Ok(()),
        Ok(actions) if actions.is_empty() => {
            console.say(console.paint(Tone::Good, "  nothing: both sides are in sync"))
        }
        Ok(actions) => {
            for action in actions {
                let reason = console.paint(Tone::Quiet, format!("({})", action.reason));
                console.say(format!("  {} {reason}", action.what))?;
            }
            Ok(())
        }
        Err(failure) => console.say(console.paint(Tone::Bad, format!("  {failure}"))),
    }?;
    for doubt in &explanation.doubts {
        console.say(format!(
            "  {}, seen once at {}; will be believed after {}",
            doubt.finding.in_words(),
            rfc3339(doubt.first_seen_ms),
            rfc3339(doubt.believed_after_ms)
        ))?;
    }
    if events.is_empty() {
        return Ok(());
    }
    console.say(format!("\n{}", heading("Last events")))?;
    for event in events {
        console.say(format!("  {}", event_line(event)))?;
    }
    Ok(())
}

fn doubt_json(doubt: &Doubt) -> Value {
    json!({
        "finding": doubt.finding.to_string(),
        "first_seen": rfc3339(doubt.first_seen_ms),
        "believed_after": rfc3339(doubt.believed_after_ms),
    })
}

/// What one event did, and why.
fn event_line(event: &Record) -> String {
    let at = rfc3339(event.updated_at_ms.div_euclid(1000) * 1000);
    let applied = event.applied.as_deref().unwrap_or_default();
    let done = if applied.is_empty() {
        "nothing to do".to_owned()
    } else {
        applied.join(", ")
    };
    let what = match event.status {
        Status::Done if event.dry_run == Some(true) => {
            format!("dry run, would do: {}", planned(event))
        }
        Status::Done => done,
        Status::Held => format!(
            "held ({}), would do: {}",
            event.held_for.as_deref().unwrap_or("no reason"),
            planned(event)
        ),
        Status::Resolved => format!(
            "resolved by {}",
            event.resolved_by.as_deref().unwrap_or("a later look")
        ),
        Status::InProgress => "in progress".to_owned(),
        Status::Waiting => {
            format!(
                "waits: {}",
                event.waits_for.as_deref().unwrap_or("for a second look")
            )
        }
        Status::Failed => format!("failed: {}", event.error.as_deref().unwrap_or("no reason")),
    };
    format!("{at}  {}  {what}", event.event_type)
}

fn planned(event: &Record) -> String {
    let steps = event.planned.as_deref().unwrap_or_default();
    if steps.is_empty() {
        "nothing".to_owned()
    } else {
        steps.join(", ")
    }
}

/// A value for people.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match (fields.get("name"), fields.get("id")) {
            (Some(Value::String(name)), Some(Value::String(id))) => format!("{name} ({id})"),
            _ => fields
                .iter()
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), words(value)))
                .collect::<Vec<_>>()
                .join(", "),
        },
        Value::Number(number) => number.to_string(),
    }
}
