//! Objects as the API prints them.

use serde_json::{Value, json};

use super::super::world::{AnypointUser, AnypointWorld, Member, NATIVE, Team};
use crate::clock::iso;

/// The organization, as it is repeated in every user.
pub(super) fn organization(world: &AnypointWorld) -> Value {
    json!({
        "id": world.org_id,
        "name": world.org_name,
        "ownerId": "0c0e51b0-0000-4000-8000-000000000001",
        "clientId": "simulatedorgclient",
        "domain": "acme",
        "idprovider_id": world.identity_provider.as_deref().unwrap_or(NATIVE),
        "isFederated": world.identity_provider.is_some(),
        "isRoot": true,
        "isMaster": true,
        "isAutomaticAdminPromotionExempt": false,
        "orgType": "anypoint",
        "createdAt": "2024-01-02T03:04:05.678Z",
        "updatedAt": "2025-01-02T03:04:05.678Z",
        "deletedAt": null,
        "mfaRequired": "true",
        "parentOrganizationIds": [],
        "subOrganizationIds": [],
        "tenantOrganizationIds": [],
        "subscription": {"category": "Customer", "type": "Platinum", "expiration": "2099-12-31T00:00:00.000Z"},
        "properties": {"cs_auth": {"session_timeout": 3600}},
        "entitlements": {
            "createSubOrgs": true, "createEnvironments": true, "globalDeployment": false,
            "vCoresProduction": {"assigned": 4, "reassigned": 0}, "vCoresSandbox": {"assigned": 4, "reassigned": 0},
            "staticIps": {"assigned": 8, "reassigned": 0}, "vpcs": {"assigned": 1, "reassigned": 0},
            "vpns": {"assigned": 1, "reassigned": 0}, "hybrid": {"enabled": true}, "loadBalancer": {"assigned": 1},
            "externalIdentity": true, "autoscaling": false, "armAlerts": true, "apis": {"enabled": true},
        },
    })
}

/// The organization on its own: with its environments and its owner.
pub(super) fn whole_organization(world: &AnypointWorld) -> Value {
    let mut value = organization(world);
    value["environments"] = json!([environment(world)]);
    let mut owner = owner(world);
    if let Some(fields) = owner.as_object_mut() {
        fields.remove("organization");
    }
    value["owner"] = owner;
    value
}

fn environment(world: &AnypointWorld) -> Value {
    json!({
        "id": "0d0e51b0-0000-4000-8000-000000000001",
        "name": "Sandbox",
        "organizationId": world.org_id,
        "isProduction": false,
        "type": "sandbox",
        "clientId": "simulatedenvironmentclient",
    })
}

pub(super) fn environments(world: &AnypointWorld) -> Value {
    json!({"data": [environment(world)], "total": 1})
}

/// A user in a list: without the phone number.
pub(super) fn list_item(world: &AnypointWorld, user: &AnypointUser, organization: &Value) -> Value {
    json!({
        "id": user.id,
        "createdAt": iso(user.created_at),
        "updatedAt": iso(user.updated_at),
        "organizationId": world.org_id,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "email": user.email,
        "email_verified_at": user.email_verified_at.map(iso),
        "username": user.username,
        "enabled": user.enabled,
        "idprovider_id": user.idprovider_id,
        "lastLogin": user.last_login.map(iso),
        "mfaVerificationExcluded": user.mfa_excluded,
        "mfaVerifiersConfigured": "false",
        "isFederated": user.idprovider_id != NATIVE,
        "isApiConsumer": false,
        "type": user.kind,
        "organization": organization,
    })
}

/// A user on its own.
pub(super) fn user(world: &AnypointWorld, user: &AnypointUser) -> Value {
    let mut value = list_item(world, user, &organization(world));
    value["deleted"] = Value::from(false);
    value["phoneNumber"] = json!(user.phone_number);
    value["previousLastLogin"] = Value::Null;
    value["ipAllowlistExcluded"] = Value::from(false);
    value["properties"] = json!({});
    value
}

/// The owner of the organization, as it is in other objects.
fn owner(world: &AnypointWorld) -> Value {
    let person = AnypointUser {
        id: "0c0e51b0-0000-4000-8000-000000000001".to_owned(),
        username: "acme-owner".to_owned(),
        first_name: "Olga".to_owned(),
        last_name: "Owner".to_owned(),
        email: "owner@acme.example".to_owned(),
        phone_number: None,
        enabled: true,
        idprovider_id: NATIVE.to_owned(),
        kind: "host".to_owned(),
        created_at: 0,
        updated_at: 0,
        last_login: None,
        email_verified_at: Some(0),
        mfa_excluded: false,
    };
    user(world, &person)
}

/// The person who made the connected app.
pub(super) fn creator(world: &AnypointWorld) -> Value {
    let mut value = owner(world);
    value["memberOfOrganizations"] = json!([organization(world)]);
    value["contributorOfOrganizations"] = json!([]);
    value
}

pub(super) fn me(world: &AnypointWorld) -> Value {
    json!({
        "client": {
            "client_id": world.client_id, "name": "Simulated connected app", "org_id": world.org_id,
            "redirect_uris": [], "grant_types": ["client_credentials"],
        },
        "user": creator(world),
    })
}

pub(super) fn team(world: &AnypointWorld, team: &Team) -> Value {
    json!({
        "team_id": team.id,
        "team_name": team.name,
        "org_id": world.org_id,
        "org_name": world.org_name,
        "team_type": team.team_type,
        "ancestor_team_ids": team.ancestors,
        "created_at": iso(team.created_at),
        "updated_at": iso(team.updated_at),
    })
}

/// A team as seen from one of its members.
pub(super) fn team_of_user(world: &AnypointWorld, of: &Team, member: &Member) -> Value {
    let mut value = team(world, of);
    value["membership_type"] = Value::from(member.membership_type.as_str());
    value["is_assigned_via_external_groups"] = Value::from(member.external);
    value
}

pub(super) fn user_member(user: &AnypointUser, member: &Member) -> Value {
    json!({
        "identity_type": "user",
        "id": user.id,
        "name": format!("{} {}", user.first_name, user.last_name),
        "membership_type": member.membership_type,
        "is_assigned_via_external_groups": member.external,
        "created_at": iso(member.created_at),
        "updated_at": iso(member.updated_at),
    })
}

pub(super) fn team_member(team: &Team) -> Value {
    json!({
        "identity_type": "team",
        "id": team.id,
        "name": team.name,
        "membership_type": "member",
        "is_assigned_via_external_groups": false,
        "created_at": iso(team.created_at),
        "updated_at": iso(team.updated_at),
    })
}
