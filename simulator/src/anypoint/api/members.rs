//! `/organizations/{org}/teams/{team}/members`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::super::world::{AnypointUser, AnypointWorld, Member, Team};
use super::query::{contains, flag, list, page, word};
use super::teams::only;
use super::{Answer, array, object, render, required_text, wrong_method};
use crate::call::{Call, Reply};

/// Most items in one change.
const MAX_BATCH: usize = 100;

pub(super) fn answer(
    world: &mut AnypointWorld,
    call: &mut Call,
    team: &str,
    rest: &[&str],
) -> Answer {
    world.team(team)?;
    if call.method != "GET" && team == world.root_team_id {
        return Err(Refusal::rule("Members of the root team cannot be changed").undocumented());
    }
    let method = call.method.clone();
    match (method.as_str(), rest) {
        ("GET", []) => list_members(world, call, team),
        ("PATCH", []) => {
            let mut changes = Vec::new();
            for item in batch(call)? {
                let Value::Object(body) = item else {
                    return Err(Refusal::body());
                };
                only(&body, &["id", "membership_type"])?;
                let id = required_text(&body, "id")?.to_owned();
                check_user(world, &id)?;
                changes.push((id, membership_type(&body)?));
            }
            for (id, kind) in changes {
                world.add_member(team, &id, kind)?;
            }
            Ok(Reply::empty(204))
        }
        ("DELETE", []) => {
            let mut ids = Vec::new();
            for item in batch(call)? {
                let Value::String(id) = item else {
                    return Err(Refusal::body());
                };
                if world.teams.contains_key(&id) {
                    return Err(Refusal::rule(format!("{id} is a team")).undocumented());
                }
                ids.push(id);
            }
            let members = &world.team(team)?.members;
            if !ids.iter().any(|id| members.contains_key(id)) {
                return Err(Refusal::missing("Member"));
            }
            for id in ids {
                // Ids that are not in the team are skipped.
                let _ = world.remove_member(team, &id);
            }
            Ok(Reply::empty(204))
        }
        ("PUT", [id]) => {
            check_single(world, id)?;
            let body = object(call)?;
            world.add_member(team, id, membership_type(&body)?)?;
            Ok(Reply::empty(204))
        }
        ("DELETE", [id]) => {
            check_single(world, id)?;
            world.remove_member(team, id)?;
            Ok(Reply::empty(204))
        }
        _ => wrong_method(),
    }
}

fn batch(call: &Call) -> Result<Vec<Value>, Refusal> {
    let items = array(call)?;
    match (1..=MAX_BATCH).contains(&items.len()) {
        true => Ok(items),
        false => Err(Refusal::field("", "maxItems", "must have 1 to 100 items")),
    }
}

fn membership_type(body: &Map<String, Value>) -> Result<&'static str, Refusal> {
    match required_text(body, "membership_type")? {
        "member" => Ok("member"),
        "maintainer" => Ok("maintainer"),
        _ => Err(Refusal::not_allowed("membership_type")),
    }
}

fn check_user(world: &AnypointWorld, id: &str) -> Result<(), Refusal> {
    if world.teams.contains_key(id) {
        return Err(Refusal::rule(format!("{id} is a team")).undocumented());
    }
    match world.users.contains_key(id) {
        true => Ok(()),
        false => Err(Refusal::not_in_organization(id)),
    }
}

fn check_single(world: &AnypointWorld, id: &str) -> Result<(), Refusal> {
    if world.teams.contains_key(id) {
        let message = "Cannot change a child team using this endpoint";
        return Err(Refusal::wrong_method(message).undocumented());
    }
    Ok(())
}

enum Item<'a> {
    User(&'a AnypointUser, &'a Member),
    Team(&'a Team),
}

impl Item<'_> {
    fn id(&self) -> &str {
        match self {
            Self::User(user, _) => &user.id,
            Self::Team(team) => &team.id,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::User(user, _) => format!("{} {}", user.first_name, user.last_name),
            Self::Team(team) => team.name.clone(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::User(..) => "user",
            Self::Team(_) => "team",
        }
    }
}

fn list_members(world: &mut AnypointWorld, call: &mut Call, team_id: &str) -> Answer {
    call.documented_query(
        "membership_type identity_type member_ids search displayUserDetails sort ascending limit offset",
    );
    let membership = word(call, "membership_type", &["member", "maintainer"])?;
    let identity = word(call, "identity_type", &["user", "team"])?;
    let sort = word(call, "sort", &["identity_type", "name"])?;
    let ascending = flag(call, "ascending")?.unwrap_or(true);
    flag(call, "displayUserDetails")?;
    let ids = list(call, "member_ids");
    let search = call.query("search").map(str::to_lowercase);

    let members = shown_members(world, team_id);
    let users = members
        .iter()
        .filter_map(|(id, member)| Some(Item::User(world.users.get(id)?, member)));
    let is_child = |team: &&Team| {
        team.ancestors
            .last()
            .is_some_and(|parent| parent == team_id)
    };
    let children = world.teams.values().filter(is_child);
    let mut found: Vec<Item> = users
        .chain(children.map(Item::Team))
        .filter(|item| {
            let kind = match item {
                Item::User(_, member) => member.membership_type.as_str(),
                Item::Team(_) => "member",
            };
            identity.is_none_or(|identity| item.kind() == identity)
                && membership.is_none_or(|membership| kind == membership)
                && (ids.as_ref()).is_none_or(|ids| ids.iter().any(|id| id == item.id()))
                && (search.as_ref()).is_none_or(|part| contains(&item.name(), part))
        })
        .collect();
    match sort {
        Some("name") => found.sort_by_key(Item::name),
        Some(_) => found.sort_by_key(Item::kind),
        None => {}
    }
    if !ascending {
        found.reverse();
    }
    page(call, found, Item::id, |item| match item {
        Item::User(user, member) => render::user_member(user, member),
        Item::Team(team) => render::team_member(team),
    })
}

/// The members a read sees now: the old ones while a lag lasts, everybody for the root team.
fn shown_members(world: &mut AnypointWorld, team_id: &str) -> BTreeMap<String, Member> {
    if team_id == world.root_team_id {
        let users = world.users.values();
        let members = users.map(|user| (user.id.clone(), Member::new("member", user.created_at)));
        return members.collect();
    }
    let Some(team) = world.teams.get_mut(team_id) else {
        return BTreeMap::new();
    };
    match team.lag.take() {
        Some(mut lag) if lag.reads > 0 => {
            lag.reads -= 1;
            let members = lag.members.clone();
            team.lag = Some(lag);
            members
        }
        _ => team.members.clone(),
    }
}
