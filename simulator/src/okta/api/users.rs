//! `/api/v1/users` (Okta API, Users).

use serde_json::{Value, json};

use super::super::objects::{OktaGroup, OktaUser, Profile, UserStatus};
use super::super::refusal::Refusal;
use super::super::user_verbs::NewUser;
use super::super::world::{EVERYONE, OktaWorld};
use super::groups::with_everyone;
use super::{
    Answer, Start, base, expression, no_such_endpoint, object, ok, paging, profile_of, render,
    text_of, wrong_method,
};
use crate::call::{Call, Reply};
use crate::clock::iso;

pub(super) fn answer(world: &mut OktaWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    // Okta decodes a slash before it looks where a path leads (okta/okta-sdk-nodejs#430): such a user is found by id only.
    if rest.first().is_some_and(|key| key.contains('/')) {
        return Err(wrong_method());
    }
    match (method.as_str(), rest) {
        ("GET", []) => list(world, call),
        ("POST", []) => create(world, call),
        ("GET", ["me"]) => ok(render::user(&administrator(), &base(world, call))),
        ("GET", [key]) => {
            call.documented_query("expand fields");
            let user = Refusal::unless_found(world.find_user(key), "User", key)?;
            ok(render::user(user, &base(world, call)))
        }
        ("POST" | "PUT", [key]) => update(world, call, key),
        ("DELETE", [key]) => {
            call.documented_query("sendEmail");
            let id = id_of(world, key)?;
            match world.user(&id)?.status {
                UserStatus::Deprovisioned => world.delete_user(&id)?,
                _ => world.deactivate(&id)?,
            };
            Ok(Reply::empty(204))
        }
        ("GET", [key, "groups"]) => groups_of(world, call, key),
        ("GET", [key, "appLinks"]) => app_links(world, call, key),
        ("POST", [key, "lifecycle", verb]) => lifecycle(world, call, key, verb),
        _ => no_such_endpoint(),
    }
}

fn id_of(world: &OktaWorld, key: &str) -> Result<String, Refusal> {
    let found = world.find_user(key).map(|user| user.id.clone());
    Refusal::unless_found(found, "User", key)
}

fn administrator() -> OktaUser {
    let login = "admin@acme.example";
    let profile = NewUser::active(login, "Ada", "Admin", login, None).profile;
    OktaUser {
        id: "00usimadmin000000001".to_owned(),
        status: UserStatus::Active,
        created: 0,
        activated: Some(0),
        status_changed: Some(0),
        last_updated: 0,
        has_password: true,
        profile,
    }
}

fn attribute(user: &OktaUser, name: &str) -> Option<String> {
    match name {
        "id" => Some(user.id.clone()),
        "status" => Some(user.status.as_str().to_owned()),
        "created" => Some(iso(user.created)),
        "lastUpdated" => Some(iso(user.last_updated)),
        "statusChanged" => user.status_changed.map(iso),
        "activated" => user.activated.map(iso),
        _ => text_of(&user.profile, name.strip_prefix("profile.")?),
    }
}

fn list(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query("search filter q after limit sortBy sortOrder fields expand");
    let text = match (call.query("search"), call.query("filter")) {
        (Some(_), Some(_)) => {
            return Err(Refusal::bad_search("search and filter cannot be combined"));
        }
        (search, filter) => search.or(filter),
    };
    let known = "id status created lastUpdated statusChanged activated profile.";
    let expression = expression(text, known)?;
    let start = Start::of(call);
    let is_shown = |user: &OktaUser| match &expression {
        Some(expression) => expression.matches(&|name| attribute(user, name)),
        None => {
            let names =
                ["firstName", "lastName", "email", "login"].map(|name| user.attribute(name));
            user.status != UserStatus::Deprovisioned && start.fits(&names)
        }
    };
    let users = world.users.iter().filter(|(_, user)| is_shown(user));
    let default = if start.0.is_some() { 10 } else { 200 };
    let base = base(world, call);
    let render = |user: &OktaUser| render::user(user, &base);
    paging::list(call, &base, (default, 1..=200), users, render)
}

/// Logins and addresses must look like e-mail addresses, as in the default schema.
fn check_addresses(profile: &Profile) -> Result<(), Refusal> {
    for field in ["login", "email"] {
        let Some(value) = profile.get(field).and_then(Value::as_str) else {
            continue;
        };
        let good = value.len() >= 5
            && matches!(value.split('@').collect::<Vec<_>>()[..], [a, b] if !a.is_empty() && !b.is_empty());
        if !good {
            let cause = format!("{field}: Does not match required pattern");
            return Err(Refusal::invalid(field, cause));
        }
    }
    Ok(())
}

fn create(world: &mut OktaWorld, call: &mut Call) -> Answer {
    call.documented_query("activate provider nextLogin");
    let mut body = object(call)?;
    call.documented_fields(&body, "profile credentials groupIds type realmId");
    let profile = profile_of(&mut body)?;
    check_addresses(&profile)?;
    let group_ids = body
        .get("groupIds")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let new = NewUser {
        id: None,
        profile,
        has_password: body
            .get("credentials")
            .is_some_and(|c| c.get("password").is_some()),
        activate: call.query("activate") != Some("false"),
        group_ids: group_ids
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    };
    let created = world.create_user_from(new)?;
    ok(render::user(world.user(&created.id)?, &base(world, call)))
}

fn update(world: &mut OktaWorld, call: &mut Call, key: &str) -> Answer {
    call.documented_query("strict");
    let id = id_of(world, key)?;
    let mut body = object(call)?;
    call.documented_fields(&body, "profile credentials type realmId");
    let changes = profile_of(&mut body)?;
    check_addresses(&changes)?;
    let mut profile = world.user(&id)?.profile.clone();
    if call.method == "PUT" {
        profile.clear();
    }
    profile.extend(changes);
    world.set_profile(&id, profile)?;
    ok(render::user(world.user(&id)?, &base(world, call)))
}

fn groups_of(world: &OktaWorld, call: &mut Call, key: &str) -> Answer {
    call.documented_query("after limit");
    let id = id_of(world, key)?;
    let everyone = world.everyone();
    let groups = with_everyone(&world.groups, &everyone)
        .filter(|(group_id, group)| *group_id == EVERYONE || group.members.contains(&id));
    let base = base(world, call);
    let render = |group: &OktaGroup| render::group(group, &base);
    paging::list(call, &base, (200, 1..=200), groups, render)
}

/// What the user sees in the dashboard: one link for each app.
fn app_links(world: &OktaWorld, call: &Call, key: &str) -> Answer {
    let id = id_of(world, key)?;
    let base = base(world, call);
    let links = world
        .apps
        .values()
        .filter_map(|app| Some((app, app.users.get(&id)?)))
        .map(|(app, assignment)| {
            json!({
                "id": format!("{}{}", app.id, id),
                "label": app.label,
                "linkUrl": format!("{base}/home/{}/{}", app.name, app.id),
                "logoUrl": format!("{base}/assets/img/logos/default.png"),
                "appName": app.name,
                "appInstanceId": app.id,
                "appAssignmentId": assignment.assignment_id,
                "credentialsSetup": false,
                "hidden": false,
                "sortOrder": 0,
            })
        });
    ok(links.collect())
}

fn lifecycle(world: &mut OktaWorld, call: &mut Call, key: &str, verb: &str) -> Answer {
    call.documented_query("sendEmail");
    let id = id_of(world, key)?;
    match verb {
        "activate" => world.activate(&id)?,
        "deactivate" => world.deactivate(&id)?,
        "reactivate" => world.reactivate(&id)?,
        "suspend" => world.suspend(&id)?,
        "unsuspend" => world.unsuspend(&id)?,
        _ => return no_such_endpoint(),
    };
    ok(json!({}))
}
