//! `/api/v1/groups` (Okta API, Groups).

use std::collections::BTreeMap;
use std::ops::Bound;

use super::super::expression::Expression;
use super::super::objects::{OktaApp, OktaGroup, OktaUser, Profile};
use super::super::refusal::Refusal;
use super::super::world::{EVERYONE, OktaWorld};
use super::{
    Answer, Start, base, expression, no_such_endpoint, object, ok, paging, profile_of, render,
    text_of,
};
use crate::call::{Call, Reply};
use crate::clock::iso;

pub(super) fn answer(world: &mut OktaWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    if let [EVERYONE, rest @ ..] = rest {
        return match (method.as_str(), rest) {
            ("GET", []) => ok(render::group(&world.everyone(), &base(world, call))),
            ("GET", ["users"]) => everybody(world, call),
            ("GET", ["apps"]) => apps_of(world, call, EVERYONE),
            _ => Err(built_in()),
        };
    }
    match (method.as_str(), rest) {
        ("GET", []) => list(world, call),
        ("POST", []) => {
            let profile = profile_in(call)?;
            let created = world.create_group_from(None, profile)?;
            ok(render::group(world.group(&created.id)?, &base(world, call)))
        }
        ("GET", [id]) => ok(render::group(world.group(id)?, &base(world, call))),
        ("PUT", [id]) => {
            world.group(id)?;
            let profile = profile_in(call)?;
            world.set_group_profile(id, profile)?;
            ok(render::group(world.group(id)?, &base(world, call)))
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

fn profile_in(call: &mut Call) -> Result<Profile, Refusal> {
    let mut body = object(call)?;
    call.documented_fields(&body, "profile");
    profile_of(&mut body)
}

fn built_in() -> Refusal {
    Refusal::no_permission().undocumented()
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
        _ => text_of(&group.profile, name.strip_prefix("profile.")?),
    }
}

fn list(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query("search filter q after limit expand sortBy sortOrder");
    let text = call.query("search").or_else(|| call.query("filter"));
    let known = "id type created lastUpdated lastMembershipUpdated profile.";
    let expression = expression(text, known)?;
    let start = Start::of(call);
    let is_shown = |group: &OktaGroup| {
        let fits = |expression: &Expression| expression.matches(&|name| attribute(group, name));
        expression.as_ref().is_none_or(fits) && start.fits(&[group.name()])
    };
    let everyone = world.everyone();
    let groups = with_everyone(&world.groups, &everyone).filter(|(_, group)| is_shown(group));
    let base = base(world, call);
    let render = |group: &OktaGroup| render::group(group, &base);
    paging::list(call, &base, (200, 1..=10_000), groups, render)
}

fn everybody(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query("after limit");
    users(world, call, world.users.iter())
}

fn members(world: &OktaWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query("after limit");
    let group = world.group(id)?;
    if let Some(lag) = call.member_lag {
        let lag_ms = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
        let since = world.clock.now_ms().saturating_sub(lag_ms);
        let late = group.joined.iter().filter(|(_, joined)| **joined > since);
        call.hidden.extend(late.map(|(user, _)| user.clone()));
    }
    let members = group.members.iter();
    let members = members.filter_map(|user| Some((user, world.users.get(user)?)));
    users(world, call, members)
}

fn users<'a>(
    world: &OktaWorld,
    call: &mut Call,
    users: impl Iterator<Item = (&'a String, &'a OktaUser)>,
) -> Answer {
    let base = base(world, call);
    let render = |user: &OktaUser| render::user(user, &base);
    paging::list(call, &base, (1000, 1..=1000), users, render)
}

fn apps_of(world: &OktaWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query("after limit");
    if id != EVERYONE {
        world.group(id)?;
    }
    let apps = world.apps.iter();
    let apps = apps.filter(|(_, app)| app.groups.contains_key(id));
    let base = base(world, call);
    let render = |app: &OktaApp| render::app(app, &base);
    paging::list(call, &base, (20, 1..=200), apps, render)
}
