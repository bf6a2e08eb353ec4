//! `/api/v1/groups` (Okta API, Groups).

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::Value;

use super::super::expression::Expression;
use super::super::objects::OktaGroup;
use super::super::refusal::Refusal;
use super::super::world::{EVERYONE, OktaWorld};
use super::paging::{after, cut, limit, page};
use super::{Answer, base, known_fields, no_such_endpoint, object, render};
use crate::call::{Call, Reply};
use crate::clock::iso;

pub(super) fn answer(world: &mut OktaWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    if let [EVERYONE, rest @ ..] = rest {
        return match (method.as_str(), rest) {
            ("GET", []) => Ok(Reply::json(
                200,
                render::group(&world.everyone(), &base(world, call)),
            )),
            ("GET", ["users"]) => everybody(world, call),
            ("GET", ["apps"]) => apps_of(world, call, EVERYONE),
            _ => Err(built_in()),
        };
    }
    match (method.as_str(), rest) {
        ("GET", []) => list(world, call),
        ("POST", []) => {
            let mut body = object(call)?;
            known_fields(call, &body, &["profile"]);
            let Some(Value::Object(profile)) = body.remove("profile") else {
                return Err(Refusal::malformed());
            };
            let created = world.create_group_from(None, profile)?;
            Ok(Reply::json(
                200,
                render::group(world.group(&created.id)?, &base(world, call)),
            ))
        }
        ("GET", [id]) => Ok(Reply::json(
            200,
            render::group(world.group(id)?, &base(world, call)),
        )),
        ("PUT", [id]) => {
            world.group(id)?;
            let mut body = object(call)?;
            known_fields(call, &body, &["profile"]);
            let Some(Value::Object(profile)) = body.remove("profile") else {
                return Err(Refusal::malformed());
            };
            world.set_group_profile(id, profile)?;
            Ok(Reply::json(
                200,
                render::group(world.group(id)?, &base(world, call)),
            ))
        }
        ("DELETE", [id]) => {
            world.delete_group(id)?;
            Ok(Reply::empty(204))
        }
        ("GET", [id, "users"]) => members(world, call, id),
        ("GET", [id, "apps"]) => apps_of(world, call, id),
        ("PUT", [id, "users", user]) => {
            world.add_member(id, user)?;
            Ok(Reply::empty(204))
        }
        ("DELETE", [id, "users", user]) => {
            world.remove_member(id, user)?;
            Ok(Reply::empty(204))
        }
        _ => no_such_endpoint(),
    }
}

fn built_in() -> Refusal {
    let text = "You do not have permission to perform the requested action";
    Refusal::new(403, "E0000006", text).outside()
}

/// Groups with the built-in one in its place.
pub(super) fn with_everyone<'a>(
    groups: &'a BTreeMap<String, OktaGroup>,
    everyone: &'a OktaGroup,
) -> impl Iterator<Item = (&'a String, &'a OktaGroup)> {
    let before = groups.range::<str, _>((Bound::Unbounded, Bound::Excluded(EVERYONE)));
    let after = groups.range::<str, _>((Bound::Excluded(EVERYONE), Bound::Unbounded));
    before
        .chain(std::iter::once((&everyone.id, everyone)))
        .chain(after)
}

fn attribute(group: &OktaGroup, name: &str) -> Option<String> {
    match name {
        "id" => Some(group.id.clone()),
        "type" => Some(group.kind.clone()),
        "created" => Some(iso(group.created)),
        "lastUpdated" => Some(iso(group.last_updated)),
        "lastMembershipUpdated" => Some(iso(group.last_membership_updated)),
        _ => group
            .profile
            .get(name.strip_prefix("profile.")?)
            .and_then(Value::as_str)
            .map(str::to_owned),
    }
}

fn list(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query(&[
        "search",
        "filter",
        "q",
        "after",
        "limit",
        "expand",
        "sortBy",
        "sortOrder",
    ]);
    let text = call.query("search").or_else(|| call.query("filter"));
    let expression = text
        .map(Expression::parse)
        .transpose()
        .map_err(Refusal::bad_search)?;
    if let Some(unknown) = expression
        .iter()
        .flat_map(Expression::attributes)
        .find(|name| {
            !matches!(
                *name,
                "id" | "type" | "created" | "lastUpdated" | "lastMembershipUpdated"
            ) && !name.starts_with("profile.")
        })
    {
        return Err(Refusal::bad_search(format!("unknown attribute {unknown}")));
    }
    let starts = call.query("q").map(str::to_lowercase);
    let matches = |group: &OktaGroup| {
        expression
            .as_ref()
            .is_none_or(|expression| expression.matches(&|name| attribute(group, name)))
            && starts
                .as_ref()
                .is_none_or(|starts| group.name().to_lowercase().starts_with(starts))
    };
    let limit = limit(call, 200, 1, 10_000)?;
    let after = after(call)?;
    let everyone = world.everyone();
    let (found, next) = cut(
        call,
        with_everyone(&world.groups, &everyone).filter(|(_, group)| matches(group)),
        after.as_deref(),
        limit,
    );
    let base = base(world, call);
    Ok(page(
        call,
        &base,
        found
            .into_iter()
            .map(|group| render::group(group, &base))
            .collect(),
        next,
    ))
}

fn everybody(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query(&["after", "limit"]);
    let limit = limit(call, 1000, 1, 1000)?;
    let after = after(call)?;
    let (found, next) = cut(call, world.users.iter(), after.as_deref(), limit);
    let base = base(world, call);
    let users = found.into_iter().map(|user| render::user(user, &base));
    Ok(page(call, &base, users.collect(), next))
}

fn apps_of(world: &OktaWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query(&["after", "limit"]);
    if id != EVERYONE {
        world.group(id)?;
    }
    let limit = limit(call, 20, 1, 200)?;
    let after = after(call)?;
    let holds = world
        .apps
        .iter()
        .filter(|(_, app)| app.groups.contains_key(id));
    let (found, next) = cut(call, holds, after.as_deref(), limit);
    let base = base(world, call);
    let apps = found.into_iter().map(|app| render::app(app, &base));
    Ok(page(call, &base, apps.collect(), next))
}

fn members(world: &OktaWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query(&["after", "limit"]);
    let limit = limit(call, 1000, 1, 1000)?;
    let after = after(call)?;
    let group = world.group(id)?;
    if let Some(lag) = call.member_lag {
        let lag_ms = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
        let since = world.clock.now_ms().saturating_sub(lag_ms);
        let late = group.joined.iter().filter(|(_, joined)| **joined > since);
        call.hidden.extend(late.map(|(user, _)| user.clone()));
    }
    let members = group
        .members
        .iter()
        .filter_map(|user| Some((user, world.users.get(user)?)));
    let (found, next) = cut(call, members, after.as_deref(), limit);
    let base = base(world, call);
    Ok(page(
        call,
        &base,
        found
            .into_iter()
            .map(|user| render::user(user, &base))
            .collect(),
        next,
    ))
}
