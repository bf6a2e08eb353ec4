//! `explain`: both sides of one user or group, the link, and what would follow.

use anyhow::Result;
use futures_util::future::try_join4;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Failure;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, Subject};
use okta_anypoint::okta::{AppUser, Assignment};
use okta_anypoint::provision::GroupWanted;
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
\"reason\"}], \"failure\": {\"side\", \"class\", \"message\", \"advice\"}}.

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
}

pub async fn run(args: &Args, console: &Console) -> Result<Verdict> {
    let operator = args.table.open_to_read().await?;
    let explanation = match names::subject(&operator, &args.name).await? {
        Subject::User(user) => of_user(&operator, user).await?,
        Subject::Group(group) => of_group(&operator, group).await?,
    };
    show(&explanation, console)?;
    Ok(match explanation.plan {
        Ok(_) => Verdict::Done,
        Err(_) => Verdict::Problem,
    })
}

async fn of_user(operator: &Operator, user: OktaUserId) -> Result<Explanation> {
    let provisioner = &operator.provisioner;
    let deadline = Deadline::within(LOOK_TIME);
    let (found, app_user, groups, link) = try_join4(
        async { Ok(provisioner.okta.user(&user, deadline).await?) },
        async {
            let app_user = provisioner.okta.app_user(&provisioner.app, &user, deadline);
            Ok(app_user.await?)
        },
        async { Ok(provisioner.okta.groups_of_user(&user, deadline).await?) },
        provisioner.store.user_link(&user),
    )
    .await?;
    let outlook = outlook::look_at_user(provisioner, &user, deadline).await;

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
            (
                "groups",
                groups
                    .iter()
                    .flatten()
                    .map(|group| json!({"id": group.id, "name": group.name()}))
                    .collect(),
            ),
        ],
    };
    let linked = link.as_ref().map(|link| link.anypoint_id.clone());
    let named = outlook
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
        plan: outlook.plan,
    })
}

async fn account_facts(
    operator: &Operator,
    id: &AccountId,
    deadline: Deadline,
) -> Result<Vec<(&'static str, Value)>> {
    let anypoint = &operator.provisioner.anypoint;
    let Some(account) = anypoint.account(id, deadline).await? else {
        return Ok(vec![("account", json!(id)), ("exists", json!(false))]);
    };
    let teams = anypoint.teams_of_account(id, deadline).await?;
    let all = anypoint.teams(deadline).await?;
    let owners = operator
        .table
        .store
        .account_owners(std::slice::from_ref(id))
        .await?;
    let teams: Vec<Value> = teams
        .unwrap_or_default()
        .iter()
        .map(|team| {
            let name = all.iter().find(|known| known.id == team.id);
            json!({"id": team.id, "name": name.map(|team| &team.name)})
        })
        .collect();
    Ok(vec![
        ("account", json!(id)),
        ("username", json!(account.username)),
        ("enabled", json!(account.is_enabled())),
        ("teams", json!(teams)),
        ("belongs to", json!(owners.get(id))),
    ])
}

async fn of_group(operator: &Operator, group: OktaGroupId) -> Result<Explanation> {
    let provisioner = &operator.provisioner;
    let deadline = Deadline::within(LOOK_TIME);
    let outlook = outlook::look_at_group(provisioner, &group, deadline).await?;
    let mut okta = match &outlook.group {
        None => vec![("exists", json!(false))],
        Some(found) => vec![("name", json!(found.name()))],
    };
    match &outlook.view.wanted {
        GroupWanted::Nothing(reason) => {
            okta.push(("pushed", json!(false)));
            okta.push(("because", json!(reason)));
        }
        GroupWanted::Team { members, unlinked } => {
            okta.push(("pushed", json!(true)));
            okta.push(("members with an account", json!(members.len())));
            okta.push(("members without", json!(unlinked)));
        }
    }
    let anypoint = match &outlook.view.link {
        None => vec![("team", Value::Null)],
        Some(link) => team_facts(operator, link, &outlook, deadline).await?,
    };
    Ok(Explanation {
        subject: Subject::Group(group),
        okta,
        anypoint,
        link: json!(outlook.view.link),
        plan: outlook.plan,
    })
}

async fn team_facts(
    operator: &Operator,
    link: &TeamLink,
    outlook: &outlook::GroupOutlook,
    deadline: Deadline,
) -> Result<Vec<(&'static str, Value)>> {
    let anypoint = &operator.provisioner.anypoint;
    let Some(team) = anypoint.team(&link.team_id, deadline).await? else {
        return Ok(vec![
            ("team", json!(link.team_id)),
            ("exists", json!(false)),
        ]);
    };
    let found = outlook.view.found.as_deref().unwrap_or_default();
    let ours = found.iter().filter(|found| found.can_end()).count();
    Ok(vec![
        ("team", json!(team.id)),
        ("name", json!(team.name)),
        ("members that are ours", json!(ours)),
        ("other members", json!(found.len() - ours)),
    ])
}

fn show(explanation: &Explanation, console: &Console) -> Result<()> {
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
        Ok(actions) if actions.is_empty() => {
            console.say(console.paint(Tone::Good, "  nothing: both sides agree"))
        }
        Ok(actions) => {
            for action in actions {
                let reason = console.paint(Tone::Quiet, format!("({})", action.reason));
                console.say(format!("  {} {reason}", action.what))?;
            }
            Ok(())
        }
        Err(failure) => console.say(console.paint(Tone::Bad, format!("  {failure}"))),
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
