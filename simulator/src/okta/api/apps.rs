//! `/api/v1/apps` with its user and group assignments (Okta API, Apps, App Users, App Groups).

use serde_json::{Value, json};

use super::super::objects::{AppGroup, AppUser, OktaApp, OktaGroup, OktaUser, Profile};
use super::super::refusal::Refusal;
use super::super::world::OktaWorld;
use super::render::Embed;
use super::{
    Answer, Start, base, expression, no_such_endpoint, object, ok, paging, render, text_of,
};
use crate::call::{Call, Reply};

pub(super) fn answer(world: &mut OktaWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    match (method.as_str(), rest) {
        ("GET", []) => list(world, call),
        ("GET", [id]) => ok(render::app(world.app(id)?, &base(world, call))),
        ("GET", [id, "users"]) => users(world, call, id),
        ("POST", [id, "users"]) => assign(world, call, id),
        ("GET", [id, "users", user]) => {
            call.documented_query("expand");
            app_user(world, call, id, user)
        }
        ("POST", [id, "users", user]) => update(world, call, id, user),
        ("DELETE", [id, "users", user]) => {
            call.documented_query("sendEmail");
            world.unassign(id, user)?;
            Ok(Reply::empty(204))
        }
        ("GET", [id, "groups"]) => groups(world, call, id),
        ("GET", [id, "groups", group]) => {
            call.documented_query("expand");
            app_group(world, call, id, group)
        }
        ("PUT", [id, "groups", group]) => {
            let body = match call.body.is_empty() {
                true => Profile::new(),
                false => object(call)?,
            };
            call.documented_fields(&body, "priority profile");
            let priority = body.get("priority").and_then(Value::as_u64);
            let priority = priority.and_then(|priority| u32::try_from(priority).ok());
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
    call.documented_query("q after limit filter expand");
    let known = "user.id id status name group.id";
    let filter = expression(call.query("filter"), known)?;
    let of_user = filter
        .as_ref()
        .and_then(|filter| filter.only_equals("user.id"));
    let attribute = |app: &OktaApp, name: &str| match name {
        "id" => Some(app.id.clone()),
        "name" => Some(app.name.clone()),
        "status" => Some(if app.active { "ACTIVE" } else { "INACTIVE" }.to_owned()),
        _ => None,
    };
    let start = Start::of(call);
    let is_shown = |app: &OktaApp| {
        let is_chosen = match (of_user, &filter) {
            (Some(user), _) => app.users.contains_key(user),
            (None, Some(filter)) => filter.matches(&|name| attribute(app, name)),
            (None, None) => true,
        };
        is_chosen && start.fits(&[&app.label])
    };
    let apps = world.apps.iter().filter(|(_, app)| is_shown(app));
    let base = base(world, call);
    let embedded = call
        .query("expand")
        .and_then(|expand| expand.strip_prefix("user/"));
    let embedded = embedded.and_then(|id| world.users.get(id));
    let render = |app: &OktaApp| {
        let mut value = render::app(app, &base);
        if let Some(user) = embedded
            && let Some(assignment) = app.users.get(&user.id)
        {
            let user = render::app_user(app, assignment, user, Embed::Nothing, &base);
            value["_embedded"] = json!({"user": user});
        }
        value
    };
    paging::list(call, &base, (20, 1..=200), apps, render)
}

fn users(world: &OktaWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query("q after limit expand");
    let app = world.app(id)?;
    let start = Start::of(call);
    let assigned = app.users.iter().filter_map(|(id, assignment)| {
        let user = world.users.get(id)?;
        let [first, last, email] =
            ["firstName", "lastName", "email"].map(|name| user.attribute(name));
        let names = [first, last, email, &assignment.user_name];
        start.fits(&names).then_some((id, (assignment, user)))
    });
    let base = base(world, call);
    let embed = Embed::asked(call, "user");
    let render = |(assignment, user): (&AppUser, &OktaUser)| {
        render::app_user(app, assignment, user, embed, &base)
    };
    paging::list(call, &base, (50, 1..=500), assigned, render)
}

fn app_user(world: &OktaWorld, call: &Call, id: &str, user: &str) -> Answer {
    let app = world.app(id)?;
    let found = app.users.get(user).zip(world.users.get(user));
    let (assignment, user) = Refusal::unless_found(found, "AppUser", user)?;
    let embed = Embed::asked(call, "user");
    let base = base(world, call);
    ok(render::app_user(app, assignment, user, embed, &base))
}

fn username(body: &Profile) -> Option<String> {
    text_of(body.get("credentials")?.as_object()?, "userName")
}

fn assign(world: &mut OktaWorld, call: &mut Call, id: &str) -> Answer {
    let body = object(call)?;
    call.documented_fields(&body, "id scope credentials profile");
    let user = text_of(&body, "id").ok_or_else(|| Refusal::blank("id").undocumented())?;
    let profile = body.get("profile").and_then(Value::as_object).cloned();
    world.assign_as(id, &user, username(&body).as_deref(), profile)?;
    app_user(world, call, id, &user)
}

fn update(world: &mut OktaWorld, call: &mut Call, id: &str, user: &str) -> Answer {
    let body = object(call)?;
    call.documented_fields(&body, "credentials profile");
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
    call.documented_query("q after limit expand");
    let app = world.app(id)?;
    let start = Start::of(call);
    let assigned = app.groups.iter().filter_map(|(id, assignment)| {
        let group = world.groups.get(id)?;
        start
            .fits(&[group.name()])
            .then_some((id, (assignment, group)))
    });
    let base = base(world, call);
    let embed = Embed::asked(call, "group");
    let render = |(assignment, group): (&AppGroup, &OktaGroup)| {
        render::app_group(app, assignment, group, embed, &base)
    };
    paging::list(call, &base, (20, 20..=200), assigned, render)
}

fn app_group(world: &OktaWorld, call: &Call, id: &str, group: &str) -> Answer {
    let app = world.app(id)?;
    let found = app.groups.get(group).zip(world.groups.get(group));
    let (assignment, group) = Refusal::unless_found(found, "ApplicationGroupAssignment", group)?;
    let embed = Embed::asked(call, "group");
    let base = base(world, call);
    ok(render::app_group(app, assignment, group, embed, &base))
}
