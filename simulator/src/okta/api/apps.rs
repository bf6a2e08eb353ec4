//! `/api/v1/apps` with its user and group assignments (Okta API, Apps, App Users, App Groups).

use serde_json::{Value, json};

use super::super::expression::Expression;
use super::super::objects::{AppUser, OktaApp, OktaUser};
use super::super::refusal::Refusal;
use super::super::world::OktaWorld;
use super::paging::{after, cut, limit, page};
use super::{Answer, base, known_fields, no_such_endpoint, object, render};
use crate::call::{Call, Reply};

pub(super) fn answer(world: &mut OktaWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    match (method.as_str(), rest) {
        ("GET", []) => list(world, call),
        ("GET", [id]) => Ok(Reply::json(
            200,
            render::app(world.app(id)?, &base(world, call)),
        )),
        ("GET", [id, "users"]) => users(world, call, id),
        ("POST", [id, "users"]) => assign(world, call, id),
        ("GET", [id, "users", user]) => {
            call.documented_query(&["expand"]);
            app_user(world, call, id, user)
        }
        ("POST", [id, "users", user]) => update(world, call, id, user),
        ("DELETE", [id, "users", user]) => {
            call.documented_query(&["sendEmail"]);
            world.unassign(id, user)?;
            Ok(Reply::empty(204))
        }
        ("GET", [id, "groups"]) => groups(world, call, id),
        ("GET", [id, "groups", group]) => {
            call.documented_query(&["expand"]);
            app_group(world, call, id, group)
        }
        ("PUT", [id, "groups", group]) => {
            let body = if call.body.is_empty() {
                serde_json::Map::new()
            } else {
                object(call)?
            };
            known_fields(call, &body, &["priority", "profile"]);
            let priority = body
                .get("priority")
                .and_then(Value::as_u64)
                .and_then(|p| u32::try_from(p).ok());
            let profile = body.get("profile").and_then(Value::as_object).cloned();
            world.assign_group_as(id, group, priority, profile)?;
            app_group(world, call, id, group)
        }
        ("DELETE", [id, "groups", group]) => {
            world.unassign_group(id, group)?;
            Ok(Reply::empty(204))
        }
        _ => no_such_endpoint(),
    }
}

fn list(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query(&["q", "after", "limit", "filter", "expand"]);
    let filter = call
        .query("filter")
        .map(Expression::parse)
        .transpose()
        .map_err(Refusal::bad_search)?;
    let of_user = filter
        .as_ref()
        .and_then(|filter| filter.only_equals("user.id"))
        .map(str::to_owned);
    if let Some(unknown) = filter
        .iter()
        .flat_map(Expression::attributes)
        .find(|name| !matches!(*name, "user.id" | "id" | "status" | "name" | "group.id"))
    {
        return Err(Refusal::bad_search(format!("unknown attribute {unknown}")));
    }
    let attribute = |app: &OktaApp, name: &str| match name {
        "id" => Some(app.id.clone()),
        "name" => Some(app.name.clone()),
        "status" => Some(if app.active { "ACTIVE" } else { "INACTIVE" }.to_owned()),
        _ => None,
    };
    let starts = call.query("q").map(str::to_lowercase);
    let matches = |app: &OktaApp| {
        let kept = match (&of_user, &filter) {
            (Some(user), _) => app.users.contains_key(user),
            (None, Some(filter)) => filter.matches(&|name| attribute(app, name)),
            (None, None) => true,
        };
        kept && starts
            .as_ref()
            .is_none_or(|starts| app.label.to_lowercase().starts_with(starts))
    };
    let limit = limit(call, 20, 1, 200)?;
    let after = after(call)?;
    let (found, next) = cut(
        call,
        world.apps.iter().filter(|(_, app)| matches(app)),
        after.as_deref(),
        limit,
    );
    let base = base(world, call);
    let embedded = call
        .query("expand")
        .and_then(|expand| expand.strip_prefix("user/"))
        .map(str::to_owned);
    let render = |app: &OktaApp| {
        let mut value = render::app(app, &base);
        if let Some(user) = embedded.as_ref().and_then(|id| world.users.get(id))
            && let Some(assignment) = app.users.get(&user.id)
        {
            value["_embedded"] =
                json!({"user": render::app_user(app, assignment, user, false, &base)});
        }
        value
    };
    Ok(page(
        call,
        &base,
        found.into_iter().map(render).collect(),
        next,
    ))
}

fn users(world: &OktaWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query(&["q", "after", "limit", "expand"]);
    let app = world.app(id)?;
    let limit = limit(call, 50, 1, 500)?;
    let after = after(call)?;
    let starts = call.query("q").map(str::to_lowercase);
    let matches = |assignment: &AppUser, user: &OktaUser| {
        let Some(starts) = &starts else { return true };
        let names = [
            user.attribute("firstName"),
            user.attribute("lastName"),
            user.attribute("email"),
        ];
        names
            .iter()
            .chain([&assignment.user_name.as_str()])
            .any(|name| name.to_lowercase().starts_with(starts))
    };
    let assigned = app.users.iter().filter_map(|(id, assignment)| {
        let user = world.users.get(id)?;
        matches(assignment, user).then_some((id, (assignment, user)))
    });
    let (found, next) = cut(call, assigned, after.as_deref(), limit);
    let base = base(world, call);
    let embed = call.query("expand") == Some("user");
    let items = found
        .into_iter()
        .map(|(assignment, user)| render::app_user(app, assignment, user, embed, &base));
    Ok(page(call, &base, items.collect(), next))
}

fn app_user(world: &OktaWorld, call: &Call, id: &str, user: &str) -> Answer {
    let app = world.app(id)?;
    let found = app.users.get(user).zip(world.users.get(user));
    let (assignment, user) = found.ok_or_else(|| Refusal::not_found("AppUser", user))?;
    let embed = call.query("expand") == Some("user");
    Ok(Reply::json(
        200,
        render::app_user(app, assignment, user, embed, &base(world, call)),
    ))
}

fn username(body: &serde_json::Map<String, Value>) -> Option<String> {
    body.get("credentials")?
        .get("userName")?
        .as_str()
        .map(str::to_owned)
}

fn assign(world: &mut OktaWorld, call: &mut Call, id: &str) -> Answer {
    let body = object(call)?;
    known_fields(call, &body, &["id", "scope", "credentials", "profile"]);
    let Some(user) = body.get("id").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Refusal::invalid("id", "id: The field cannot be left blank").outside());
    };
    let profile = body.get("profile").and_then(Value::as_object).cloned();
    world.assign_as(id, &user, username(&body).as_deref(), profile)?;
    app_user(world, call, id, &user)
}

fn update(world: &mut OktaWorld, call: &mut Call, id: &str, user: &str) -> Answer {
    let body = object(call)?;
    known_fields(call, &body, &["credentials", "profile"]);
    let profile = body.get("profile").and_then(Value::as_object).cloned();
    match (username(&body), profile) {
        (Some(_), Some(_)) => call.note("profile and credentials in one update"),
        (Some(username), None) => drop(world.set_app_username(id, user, &username)?),
        (None, Some(profile)) => drop(world.update_app_profile(id, user, profile)?),
        (None, None) => return Err(Refusal::malformed()),
    }
    app_user(world, call, id, user)
}

fn groups(world: &OktaWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query(&["q", "after", "limit", "expand"]);
    let app = world.app(id)?;
    let limit = limit(call, 20, 20, 200)?;
    let after = after(call)?;
    let starts = call.query("q").map(str::to_lowercase);
    let assigned = app.groups.iter().filter_map(|(id, assignment)| {
        let group = world.groups.get(id)?;
        let kept = starts
            .as_ref()
            .is_none_or(|starts| group.name().to_lowercase().starts_with(starts));
        kept.then_some((id, (assignment, group)))
    });
    let (found, next) = cut(call, assigned, after.as_deref(), limit);
    let base = base(world, call);
    let embed = call.query("expand") == Some("group");
    let items = found
        .into_iter()
        .map(|(assignment, group)| render::app_group(app, assignment, group, embed, &base));
    Ok(page(call, &base, items.collect(), next))
}

fn app_group(world: &OktaWorld, call: &Call, id: &str, group: &str) -> Answer {
    let app = world.app(id)?;
    let found = app.groups.get(group).zip(world.groups.get(group));
    let (assignment, group) =
        found.ok_or_else(|| Refusal::not_found("ApplicationGroupAssignment", group))?;
    let embed = call.query("expand") == Some("group");
    Ok(Reply::json(
        200,
        render::app_group(app, assignment, group, embed, &base(world, call)),
    ))
}
