//! Shows both sides of one user or group, the link, and the steps that would follow. `explain` and the page of a subject
//! use it.

use futures_util::future::try_join4;
use serde::Serialize;
use serde_json::{Value, json};

use crate::anypoint::TeamOfAccount;
use crate::clock::rfc3339;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::http::Listed;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject};
use crate::ledger::{Record, Status};
use crate::okta::{AppUser, Group};
use crate::provision::{
    Announced, Doubt, GroupPreview, GroupWanted, Ports, Provisioner, Seen, Step, UserView, Wanted,
    misplaced, unread_attributes,
};
use crate::store::{TeamLink, UserLink};

/// Facts about one side, by name.
pub(crate) type Facts = Vec<(&'static str, Value)>;

/// One step that would follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The action's name, as in metrics.
    pub action: String,
    /// What it does, in words. It has only opaque ids and usernames.
    pub what: String,
    /// Why.
    pub reason: String,
}

impl Planned {
    /// A step for people.
    pub(crate) fn from_step(step: &Step) -> Self {
        Self {
            action: step.action.to_string(),
            what: step.what.clone(),
            reason: step.reason.to_string(),
        }
    }

    /// Steps for people.
    pub fn from_steps(steps: &[Step]) -> Vec<Self> {
        steps.iter().map(Self::from_step).collect()
    }
}

/// Facts by side, then the steps that would follow.
pub struct Explanation {
    /// The user or group.
    pub subject: Subject,
    /// Whether `EXCLUDE_USERS` or `EXCLUDE_GROUPS` names it. Then neither side is shown.
    pub excluded: bool,
    /// What Okta says.
    pub okta: Facts,
    /// What Anypoint says.
    pub anypoint: Facts,
    /// The link.
    pub link: Value,
    /// The steps that would follow.
    pub actions: Vec<Planned>,
    /// The failure that a run would end with, after these steps.
    pub failure: Option<Failure>,
    /// Findings that are not believed yet.
    pub doubts: Vec<Doubt>,
    /// The failure about values of the profile that are not text. A run does not fail because of it.
    pub unread: Option<Failure>,
}

impl Explanation {
    /// Looks at both sides of a subject. Writes nothing.
    ///
    /// # Errors
    /// When Okta, Anypoint or the table does not answer.
    pub async fn of(ports: &Ports, subject: Subject, deadline: Deadline) -> Result<Self, Failure> {
        let provisioner = Provisioner::new(ports.clone());
        if Box::pin(provisioner.excludes(&subject, deadline)).await? {
            return explain_excluded(ports, subject).await;
        }
        match subject {
            Subject::User(user) => Box::pin(explain_user(ports, user, deadline)).await,
            Subject::Group(group) => Box::pin(explain_group(ports, group, deadline)).await,
        }
    }

    /// Whether nothing would follow and nothing is in doubt.
    pub fn is_in_sync(&self) -> bool {
        let is_certain = self.doubts.is_empty() && self.unread.is_none();
        !self.excluded && is_certain && self.failure.is_none() && self.actions.is_empty()
    }

    /// Whether Okta does not know the user or group, and nothing is linked to it.
    pub(crate) fn is_unknown(&self) -> bool {
        let is_missing = self.okta.first() == Some(&("exists", json!(false)));
        is_missing && self.link.is_null() && self.is_in_sync()
    }
}

/// A doubt, for people.
pub fn doubt_in_words(doubt: &Doubt) -> String {
    let (finding, at) = (doubt.finding.in_words(), rfc3339(doubt.first_seen_ms));
    match doubt.seen {
        Seen::ByRun => format!(
            "{finding}, seen once at {at}; counts after {}",
            rfc3339(doubt.believed_after_ms)
        ),
        // A preview records nothing, so the time would move with every preview.
        Seen::Here => format!(
            "{finding}, seen once at {at} and by no run yet; counts after two runs that are CONFIRM_SECONDS \
             apart, or when an event announces it"
        ),
    }
}

/// Explains an excluded subject without reading either side.
async fn explain_excluded(ports: &Ports, subject: Subject) -> Result<Explanation, Failure> {
    let link = match &subject {
        Subject::User(user) => user_link(ports.store.user_link(user).await?.as_ref()),
        Subject::Group(group) => json!(ports.store.team_link(group).await?),
    };
    Ok(Explanation {
        subject,
        excluded: true,
        okta: vec![("excluded", json!(true))],
        anypoint: Vec::new(),
        link,
        actions: Vec::new(),
        failure: None,
        doubts: Vec::new(),
        unread: None,
    })
}

fn user_link(link: Option<&UserLink>) -> Value {
    json!(link.map(|link| json!({
        "anypoint_id": link.anypoint_id,
        "username": link.username,
        "origin": link.origin,
    })))
}

async fn explain_user(
    ports: &Ports,
    user: OktaUserId,
    deadline: Deadline,
) -> Result<Explanation, Failure> {
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

    let app_user = app_user.as_ref();
    let is_assigned = app_user.is_some_and(AppUser::is_assigned);
    let okta = match &found {
        None => vec![("exists", json!(false))],
        Some(found) => vec![
            ("status", json!(found.status.as_str())),
            ("assigned", json!(is_assigned)),
            ("app username", json!(app_user.and_then(AppUser::username))),
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
        Some(account) => account_facts(ports, &account, deadline).await?,
    };
    Ok(Explanation {
        subject: Subject::User(user),
        excluded: false,
        okta,
        anypoint,
        link: user_link(link.as_ref()),
        doubts: preview.doubts,
        unread: preview.view.as_ref().and_then(unread_values),
        actions: Planned::from_steps(&preview.forecast.steps),
        failure: preview.forecast.failure,
    })
}

fn unread_values(view: &UserView) -> Option<Failure> {
    match &view.wanted {
        Wanted::Account(person) => unread_attributes(&person.unread),
        Wanted::Nothing(_) | Wanted::Excluded => None,
    }
}

/// Groups with their names. An unreadable group has only its id.
fn named_groups(groups: &Listed<Group>) -> impl Iterator<Item = Value> {
    let read = groups.items.iter();
    let unread = groups.unread.iter();
    read.map(|group| json!({"id": group.id, "name": group.name()}))
        .chain(unread.map(|group| json!({"id": group.id, "name": Value::Null})))
}

async fn account_facts(
    ports: &Ports,
    id: &AccountId,
    deadline: Deadline,
) -> Result<Facts, Failure> {
    let anypoint = &ports.anypoint;
    let Some(account) = anypoint.account(id, deadline).await? else {
        return Ok(vec![("account", json!(id)), ("exists", json!(false))]);
    };
    let teams = anypoint.list_teams_of_account(id, deadline).await?;
    let all = anypoint.list_teams(deadline).await?.items;
    let owners = ports.store.account_owners(std::slice::from_ref(id)).await?;
    let teams = teams.map(|listed| listed.with_unread(TeamOfAccount::unread));
    let teams: Vec<Value> = teams
        .into_iter()
        .flatten()
        .map(|team| {
            let name = all.iter().find(|known| known.id == team.id);
            json!({"id": team.id, "name": name.map(|team| &team.name)})
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

async fn explain_group(
    ports: &Ports,
    group: OktaGroupId,
    deadline: Deadline,
) -> Result<Explanation, Failure> {
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
        Some(link) => team_facts(ports, link, &preview, deadline).await?,
    };
    Ok(Explanation {
        subject: Subject::Group(group),
        excluded: false,
        okta,
        anypoint,
        link: json!(preview.link),
        doubts: preview.doubts,
        unread: None,
        actions: Planned::from_steps(&preview.forecast.steps),
        failure: preview.forecast.failure,
    })
}

async fn team_facts(
    ports: &Ports,
    link: &TeamLink,
    preview: &GroupPreview,
    deadline: Deadline,
) -> Result<Facts, Failure> {
    let anypoint = &ports.anypoint;
    let Some(team) = anypoint.team(&link.team_id, deadline).await? else {
        return Ok(vec![
            ("team", json!(link.team_id)),
            ("exists", json!(false)),
        ]);
    };
    let found = preview.view.found.as_deref().unwrap_or_default();
    let ours = found.iter().filter(|found| found.can_end()).count();
    let mut facts = vec![
        ("team", json!(team.id)),
        ("name", json!(team.name)),
        ("members that are ours", json!(ours)),
        ("other members", json!(found.len() - ours)),
    ];
    if let Some(group) = &preview.group
        && let Some(failure) = misplaced(&group.id, &team)
    {
        facts.push(("place", json!(failure.to_string())));
    }
    Ok(facts)
}

/// The newest of a subject's records that the brake holds, if there is one.
pub fn held_of(records: &[Record]) -> Option<&Record> {
    records.iter().find(|record| record.status == Status::Held)
}

/// A text that says why the brake holds a change.
pub fn held_in_words(held: &Record) -> String {
    let why = held.held_for.as_deref();
    format!(
        "the brake holds it: {}",
        why.unwrap_or("no reason is recorded")
    )
}

/// A text that says how an event ended, and why.
pub fn what_became(event: &Record) -> String {
    let applied = event.applied.as_deref().unwrap_or_default();
    let done = if applied.is_empty() {
        "nothing to do".to_owned()
    } else {
        applied.join(", ")
    };
    match event.status {
        Status::Done if event.is_dry_run() => format!("dry run, {}", would_do(event)),
        Status::Done => done,
        Status::Held => format!(
            "held ({}), {}",
            event.held_for.as_deref().unwrap_or("no reason"),
            would_do(event)
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
    }
}

/// What a dry run, or a change that the brake holds, would do.
pub fn would_do(event: &Record) -> String {
    would(event.planned.as_deref().unwrap_or_default())
}

/// A text for steps that were only planned.
pub(crate) fn would(steps: &[String]) -> String {
    match steps {
        [] => "would do: nothing".to_owned(),
        some => format!("would do: {}", some.join(", ")),
    }
}

/// A value for people.
pub fn words(value: &Value) -> String {
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
                .map(|(name, value)| match (name.as_str(), value.as_str()) {
                    ("tenure", Some("current")) => "linked now".to_owned(),
                    ("tenure", Some("former")) => "linked before".to_owned(),
                    _ => format!("{} {}", name.replace('_', " "), words(value)),
                })
                .collect::<Vec<_>>()
                .join(", "),
        },
        Value::Number(number) => number.to_string(),
    }
}
