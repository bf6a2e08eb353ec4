//! `/organizations/{org}/users`.

use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::super::world::{AnypointUser, AnypointWorld, Member, NATIVE, Team};
use super::query::{contains, flag, page, word};
use super::teams::TeamQuery;
use super::{Answer, array, object, ok, render, required_text, wrong_method};
use crate::call::{Call, Reply};

pub(super) fn answer(world: &mut AnypointWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    match (method.as_str(), rest) {
        ("GET", []) => list_users(world, call),
        ("POST", []) => create(world, call),
        ("PUT", []) => update_many(world, call),
        ("DELETE", []) => {
            let ids = array(call)?;
            let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
            for id in &ids {
                world.user(id)?;
            }
            for id in ids {
                world.delete_user(id)?;
            }
            Ok(Reply::empty(204))
        }
        ("GET", [id]) => ok(render::user(world, world.user(id)?)),
        ("PUT", [id]) => {
            world.user(id)?;
            let body = object(call)?;
            apply(world, call, id, &body)?;
            match world.terse {
                true => Ok(Reply::empty(204)),
                false => ok(render::user(world, world.user(id)?)),
            }
        }
        ("DELETE", [id]) => {
            let before = render::user(world, world.user(id)?);
            world.delete_user(id)?;
            match world.terse {
                true => Ok(Reply::empty(204)),
                false => ok(before),
            }
        }
        ("GET", [id, "teams"]) => teams_of(world, call, id),
        _ => wrong_method(),
    }
}

fn list_users(world: &AnypointWorld, call: &mut Call) -> Answer {
    call.documented_query("type search deleted mfaVerificationExcluded limit offset");
    let kind = word(call, "type", &["host", "proxy", "all"])?.unwrap_or("host");
    let deleted = flag(call, "deleted")?.unwrap_or(false);
    let excluded = flag(call, "mfaVerificationExcluded")?;
    let search = call.query("search").map(str::to_lowercase);
    let matches = |user: &&AnypointUser| {
        (kind == "all" || user.kind == kind)
            && excluded.is_none_or(|excluded| user.mfa_excluded == excluded)
            && search.as_ref().is_none_or(|part| {
                let names = [
                    &user.username,
                    &user.first_name,
                    &user.last_name,
                    &user.email,
                ];
                names.iter().any(|text| contains(text, part))
            })
    };
    let source = match deleted {
        true => &world.deleted_users,
        false => &world.users,
    };
    let found: Vec<&AnypointUser> = source.values().filter(matches).collect();
    let organization = render::organization(world);
    page(
        call,
        found,
        |user| &user.id,
        |user| render::list_item(world, user, &organization),
    )
}

fn check_email(email: &str) -> Result<(), Refusal> {
    let good = match email.split('@').collect::<Vec<_>>()[..] {
        [name, host] => {
            !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
        }
        _ => false,
    };
    if !good || email.contains(char::is_whitespace) {
        let message = "must match format \"email\"";
        return Err(Refusal::field("email", "format", message));
    }
    Ok(())
}

fn check_phone(world: &AnypointWorld, phone: &str) -> Result<(), Refusal> {
    let refused = &world.refused_phones;
    match refused.contains(phone) || refused.contains("*") {
        true => Err(Refusal::field("phoneNumber", "pattern", "must match pattern").documented()),
        false => Ok(()),
    }
}

fn check_password(password: &str) -> Result<(), Refusal> {
    let has = |test: fn(&char) -> bool| password.chars().any(|c| test(&c));
    let good = (8..=64).contains(&password.len())
        && password.is_ascii()
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit);
    if !good {
        let message = "does not meet the password rules";
        return Err(Refusal::field("password", "pattern", message));
    }
    Ok(())
}

fn create(world: &mut AnypointWorld, call: &mut Call) -> Answer {
    let body = object(call)?;
    call.documented_fields(
        &body,
        "username firstName lastName email phoneNumber password mfaVerificationExcluded",
    );
    let username = required_text(&body, "username")?;
    let first = required_text(&body, "firstName")?;
    let last = required_text(&body, "lastName")?;
    let email = required_text(&body, "email")?;
    let password = required_text(&body, "password")?;
    let phone = match body.get("phoneNumber") {
        None if world.phone_required => {
            required_text(&body, "phoneNumber").map_err(Refusal::documented)?;
            None
        }
        None => None,
        Some(Value::String(text)) => {
            check_phone(world, text)?;
            Some(text.clone())
        }
        Some(_) => return Err(Refusal::field("phoneNumber", "type", "must be a string")),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if username.len() < 3 || !username.chars().all(is_plain) {
        let message = "must match pattern \"^[A-Za-z0-9_-]{3,}$\"";
        return Err(Refusal::field("username", "pattern", message));
    }
    check_email(email)?;
    check_password(password)?;
    if !world.native_accounts {
        return Err(Refusal::forbidden());
    }
    let id = world.add_user(username, first, last, email)?;
    world.edit_user(&id, |user| {
        user.phone_number = phone;
        user.mfa_excluded = body.get("mfaVerificationExcluded") == Some(&Value::Bool(true));
        user.updated_at = user.created_at;
    })?;
    match world.terse {
        true => Ok(Reply::empty(201)),
        false => Ok(Reply::json(201, render::user(world, world.user(&id)?))),
    }
}

/// Applies a partial body. `username` and `password` are tolerated and ignored.
fn apply(
    world: &mut AnypointWorld,
    call: &mut Call,
    id: &str,
    body: &Map<String, Value>,
) -> Result<(), Refusal> {
    let native = world.user(id)?.idprovider_id == NATIVE;
    for (name, value) in body {
        match (name.as_str(), value) {
            ("phoneNumber", Value::String(text)) => check_phone(world, text)?,
            ("firstName" | "lastName", Value::String(text)) if text.is_empty() => {
                return Err(Refusal::field(name, "minLength", "must not be empty"));
            }
            ("firstName" | "lastName" | "id", Value::String(_))
            | ("phoneNumber", Value::Null)
            | ("enabled" | "ipAllowlistExcluded" | "mfaVerificationExcluded", Value::Bool(_))
            | ("properties", Value::Object(_)) => {}
            ("email", Value::String(email)) => {
                check_email(email)?;
                if !native {
                    let message = "The e-mail address of a single sign-on user cannot be changed";
                    return Err(Refusal::rule(message));
                }
            }
            ("username" | "password", _) => {
                call.note(format!("`{name}` in an update has no effect"))
            }
            ("firstName" | "lastName" | "id" | "phoneNumber" | "email", _) => {
                return Err(Refusal::field(name, "type", "must be a string"));
            }
            ("enabled" | "ipAllowlistExcluded" | "mfaVerificationExcluded", _) => {
                return Err(Refusal::field(name, "type", "must be a boolean"));
            }
            _ => call.note(format!("undocumented body field `{name}`")),
        }
    }
    if body.get("id").is_some_and(|own| own != id) {
        return Err(Refusal::rule("The id in the body is another user's").undocumented());
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| body.get(name).and_then(Value::as_bool);
    world.edit_user(id, |user| {
        user.first_name = text("firstName").unwrap_or_else(|| std::mem::take(&mut user.first_name));
        user.last_name = text("lastName").unwrap_or_else(|| std::mem::take(&mut user.last_name));
        user.email = text("email").unwrap_or_else(|| std::mem::take(&mut user.email));
        if body.contains_key("phoneNumber") {
            user.phone_number = text("phoneNumber");
        }
        user.enabled = flag("enabled").unwrap_or(user.enabled);
        user.mfa_excluded = flag("mfaVerificationExcluded").unwrap_or(user.mfa_excluded);
    })
}

/// The bulk update: all or nothing.
fn update_many(world: &mut AnypointWorld, call: &mut Call) -> Answer {
    let items = array(call)?;
    let mut changes = Vec::new();
    for item in items {
        let Value::Object(body) = item else {
            return Err(Refusal::body());
        };
        let id = required_text(&body, "id")?.to_owned();
        if !world.users.contains_key(&id) {
            return Err(Refusal::not_in_organization(&id));
        }
        changes.push((id, body));
    }
    for (id, body) in changes {
        apply(world, call, &id, &body)?;
    }
    Ok(Reply::empty(204))
}

fn teams_of(world: &AnypointWorld, call: &mut Call, id: &str) -> Answer {
    call.documented_query(
        "ancestor_team_id parent_team_id membership_type team_type search sort ascending limit offset",
    );
    let user = world.user(id)?;
    let query = TeamQuery::read(call)?;
    let membership = word(call, "membership_type", &["member", "maintainer"])?;
    let everybody = Member::new("member", user.created_at);
    let mut found: Vec<(&Team, &Member)> = world
        .teams
        .values()
        .filter(|team| query.fits(team))
        .filter_map(|team| {
            let root = team.id == world.root_team_id;
            Some((team, team.members.get(id).or(root.then_some(&everybody))?))
        })
        .filter(|(_, member)| membership.is_none_or(|kind| member.membership_type == kind))
        .collect();
    query.sort(&mut found, |(team, _)| team);
    page(
        call,
        found,
        |(team, _)| &team.id,
        |(team, member)| render::team_of_user(world, team, member),
    )
}
