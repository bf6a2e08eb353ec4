//! `/organizations/{org}/teams`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::super::world::{AnypointWorld, Team};
use super::query::{contains, flag, list, page, word};
use super::{Answer, object, ok, render, required_text, wrong_method};
use crate::call::{Call, Reply};

/// The types of teams that can be created.
const TYPES: [&str; 3] = ["internal", "private", "shared"];

pub(super) fn answer(world: &mut AnypointWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    match (method.as_str(), rest) {
        ("GET", []) => list_teams(world, call),
        ("POST", []) => {
            let body = object(call)?;
            only(&body, &["parent_team_id", "team_name", "team_type"])?;
            let parent = required_text(&body, "parent_team_id")?;
            let name = team_name(&body)?;
            let kind = team_type(&body)?;
            let id = world.add_team_of_type(name, parent, kind)?;
            Ok(Reply::json(201, render::team(world, world.team(&id)?)))
        }
        ("GET", [id]) => ok(render::team(world, world.team(id)?)),
        ("PATCH", [id]) => {
            world.team(id)?;
            let body = object(call)?;
            only(&body, &["team_name", "team_type"])?;
            if body.is_empty() {
                return Err(Refusal::body());
            }
            if body.contains_key("team_type") && team_type(&body)? != world.team(id)?.team_type {
                return Err(Refusal::conflict("The type of a team cannot be changed"));
            }
            if body.contains_key("team_name") {
                world.rename_team(id, team_name(&body)?)?;
            }
            Ok(Reply::json(201, render::team(world, world.team(id)?)))
        }
        ("DELETE", [id]) => {
            world.delete_team(id)?;
            Ok(Reply::empty(204))
        }
        ("PUT", [id, "parent"]) => {
            let body = object(call)?;
            only(&body, &["parent_team_id"])?;
            world.move_team(id, required_text(&body, "parent_team_id")?)?;
            Ok(Reply::json(201, render::team(world, world.team(id)?)))
        }
        _ => wrong_method(),
    }
}

pub(super) fn only(body: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match body.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Refusal::additional(key)),
    }
}

fn team_name(body: &Map<String, Value>) -> Result<&str, Refusal> {
    let name = required_text(body, "team_name")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c.is_whitespace();
    if name.chars().count() > 255 || !name.chars().all(allowed) {
        let message = "must match pattern \"^[a-zA-Z\\d\\-_\\s]+$\"";
        return Err(Refusal::field("team_name", "pattern", message));
    }
    Ok(name)
}

fn team_type(body: &Map<String, Value>) -> Result<&str, Refusal> {
    let kind = required_text(body, "team_type")?;
    match TYPES.contains(&kind) {
        true => Ok(kind),
        false => Err(Refusal::not_allowed("team_type")),
    }
}

/// Which teams a list shows, and in which order.
pub(super) struct TeamQuery {
    ancestors: Option<Vec<String>>,
    parents: Option<Vec<String>>,
    ids: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
    search: Option<String>,
    order: fn(&Team, &Team) -> Ordering,
    ascending: bool,
}

impl TeamQuery {
    pub fn read(call: &Call) -> Result<Self, Refusal> {
        let sort = word(call, "sort", &["team_name", "created_at", "team_id"])?;
        Ok(Self {
            ancestors: list(call, "ancestor_team_id"),
            parents: list(call, "parent_team_id"),
            ids: list(call, "team_id"),
            kinds: list(call, "team_type"),
            search: call.query("search").map(str::to_lowercase),
            order: match sort {
                Some("created_at") => |a, b| a.created_at.cmp(&b.created_at),
                Some("team_id") => |a, b| a.id.cmp(&b.id),
                _ => |a, b| a.name.cmp(&b.name),
            },
            ascending: flag(call, "ascending")?.unwrap_or(true),
        })
    }

    pub fn fits(&self, team: &Team) -> bool {
        let among = |wanted: &Option<Vec<String>>, found: &[String]| {
            let is_wanted = |wanted: &Vec<String>| found.iter().any(|found| wanted.contains(found));
            wanted.as_ref().is_none_or(is_wanted)
        };
        let parent = team.ancestors.last().map(std::slice::from_ref);
        let part = self.search.as_ref();
        among(&self.ancestors, &team.ancestors)
            && among(&self.parents, parent.unwrap_or_default())
            && among(&self.ids, std::slice::from_ref(&team.id))
            && among(&self.kinds, std::slice::from_ref(&team.team_type))
            && part.is_none_or(|part| contains(&team.name, part))
    }

    pub fn sort<T>(&self, items: &mut [T], team: impl Fn(&T) -> &Team) {
        items.sort_by(|a, b| {
            let order = (self.order)(team(a), team(b));
            if self.ascending {
                order
            } else {
                order.reverse()
            }
        });
    }
}

fn list_teams(world: &AnypointWorld, call: &mut Call) -> Answer {
    call.documented_query(
        "ancestor_team_id parent_team_id team_id team_type search sort ascending limit offset",
    );
    let query = TeamQuery::read(call)?;
    let mut found: Vec<&Team> = world
        .teams
        .values()
        .filter(|team| query.fits(team))
        .collect();
    query.sort(&mut found, |team| team);
    page(
        call,
        found,
        |team| &team.id,
        |team| render::team(world, team),
    )
}
