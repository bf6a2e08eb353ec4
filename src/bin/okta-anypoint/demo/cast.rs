//! The people and groups of `events/README.md`.

use anyhow::{Context as _, Result};
use okta_anypoint::simulator::anypoint::AnypointWorld;
use okta_anypoint::simulator::okta::{NewUser, OktaWorld};
use serde_json::{Value, json};

pub const APP: &str = "0oaANYPOINT1demo";
pub const HOOK_SECRET: &str = "demo-hook-secret";
pub const ADA: &str = "00uADA0000000001";
pub const GRACE: &str = "00uGRACE00000002";
pub const KATHERINE: &str = "00uKATHERINE0003";
pub const MALLORY: &str = "00uMALLORY000004";
pub const INTEGRATORS: &str = "00gINTEGRATORS1";
pub const OPERATIONS: &str = "00gOPERATIONS02";

/// Okta and Anypoint as they are at the start.
pub fn first_worlds() -> Result<(OktaWorld, AnypointWorld)> {
    let (mut okta, anypoint) = (OktaWorld::default(), AnypointWorld::default());
    okta.add_app(APP, "Anypoint Platform");
    hire(&mut okta, MALLORY, "Mallory", "Malone", true, true)?;
    Ok((okta, anypoint))
}

/// A new user with an id of the samples.
pub fn hire(
    okta: &mut OktaWorld,
    id: &str,
    first: &str,
    last: &str,
    activate: bool,
    password: bool,
) -> Result<()> {
    let login = format!("{first}.{last}@acme.example").to_lowercase();
    let mut new = NewUser::active(&login, first, last, &login, None);
    new.id = Some(id.to_owned());
    new.activate = activate;
    new.has_password = password;
    okta.create_user_from(new)?;
    Ok(())
}

/// A new group with an id of the samples.
pub fn found(okta: &mut OktaWorld, id: &str, name: &str) -> Result<()> {
    let Value::Object(profile) = json!({"name": name, "description": null}) else {
        anyhow::bail!("a profile is an object");
    };
    okta.create_group_from(Some(id), profile)
        .with_context(|| format!("group {name}"))?;
    Ok(())
}
