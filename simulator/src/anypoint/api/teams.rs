//! `/organizations/{org}/teams`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::super::world::{AnypointWorld, Team};
use super::query::{contains, flag, list, page, word};
use super::{Answer, object, render, required_text, wrong_method};
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
        ("GET", [id]) => Ok(Reply::json(200, render::team(world, world.team(id)?))),
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

fn only(body: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match body.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Refusal::field(
            key,
            "additionalProperties",
            "must NOT have additional properties",
        )),
    }
}

fn team_name(body: &Map<String, Value>) -> Result<&str, Refusal> {
    let name = required_text(body, "team_name")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c.is_whitespace();
    match name.chars().count() <= 255 && name.chars().all(allowed) {
        true => Ok(name),
        false => Err(Refusal::field(
            "team_name",
            "pattern",
            "must match pattern \"^[a-zA-Z\\d\\-_\\s]+$\"",
        )),
    }
}

fn team_type(body: &Map<String, Value>) -> Result<&str, Refusal> {
    let kind = required_text(body, "team_type")?;
    match TYPES.contains(&kind) {
        true => Ok(kind),
        false => Err(Refusal::field(
            "team_type",
            "enum",
            "must be equal to one of the allowed values",
        )),
    }
}

/// Sorts by what `sort` names.
pub(super) fn sort_teams<T>(
    items: &mut [T],
    team: impl Fn(&T) -> &Team,
    sort: &str,
    ascending: bool,
) {
    items.sort_by(|a, b| {
        let (a, b) = (team(a), team(b));
        let order: Ordering = match sort {
            "created_at" => a.created_at.cmp(&b.created_at),
            "team_id" => a.id.cmp(&b.id),
            _ => a.name.cmp(&b.name),
        };
        if ascending { order } else { order.reverse() }
    });
}

fn list_teams(world: &AnypointWorld, call: &mut Call) -> Answer {
    call.documented_query(
        "ancestor_team_id parent_team_id team_id team_type search sort ascending limit offset",
    );
    let ancestors = list(call, "ancestor_team_id");
    let parents = list(call, "parent_team_id");
    let ids = list(call, "team_id");
    let kinds = list(call, "team_type");
    let sort = word(call, "sort", &["team_name", "created_at", "team_id"])?.unwrap_or("team_name");
    let ascending = flag(call, "ascending")?.unwrap_or(true);
    let search = call.query("search").map(str::to_lowercase);
    let mut found: Vec<&Team> = world
        .teams
        .values()
        .filter(|team| {
            ancestors
                .as_ref()
                .is_none_or(|ids| team.ancestors.iter().any(|id| ids.contains(id)))
                && parents
                    .as_ref()
                    .is_none_or(|ids| team.ancestors.last().is_some_and(|id| ids.contains(id)))
                && ids.as_ref().is_none_or(|ids| ids.contains(&team.id))
                && kinds
                    .as_ref()
                    .is_none_or(|kinds| kinds.contains(&team.team_type))
                && search
                    .as_ref()
                    .is_none_or(|part| contains(&team.name, part))
        })
        .collect();
    sort_teams(&mut found, |team| team, sort, ascending);
    page(
        call,
        found,
        |team| &team.id,
        |team| render::team(world, team),
    )
}
