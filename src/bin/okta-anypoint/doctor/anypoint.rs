//! Anypoint's side: token, organization, rights, native accounts, root team.

use http::StatusCode;
use okta_anypoint::anypoint::{Anypoint, Organization};
use okta_anypoint::deadline::Deadline;

use super::Group;

pub async fn check(group: &mut Group, anypoint: &Anypoint, deadline: Deadline) {
    if let Err(error) = anypoint.probe_token(deadline).await {
        return group.refused("token", error, "the connected app access");
    }
    group.ok("token", "the connected app is accepted");
    let (organization, accounts, teams, native) = futures_util::join!(
        anypoint.organization(deadline),
        anypoint.shows_accounts(deadline),
        anypoint.list_teams(deadline),
        anypoint.allows_native_accounts(deadline),
    );
    match organization {
        Ok(Some(found)) => {
            let name = found.name.clone().unwrap_or_else(|| "unnamed".to_owned());
            match found.is_root() {
                Some(true) => group.ok("organization", format!("\"{name}\", the root")),
                Some(false) => group.wrong(
                    "organization",
                    format!("\"{name}\" is a business group, not the root organization"),
                    "Set ANYPOINT_ORG_ID to the id of the root organization (Access Management, Business \
                     Groups, the topmost).",
                ),
                None => group.not_checked("organization", "Anypoint does not say if it is the root"),
            }
            sign_on(group, &found);
        }
        Ok(None) => group.wrong(
            "organization",
            "Anypoint does not know it, or does not show it to this connected app",
            "Set ANYPOINT_ORG_ID to the id of the root organization, and give the connected app its \
             scopes there.",
        ),
        Err(error) => group.refused(
            "organization",
            error,
            "the connected app the scope View Organization",
        ),
    }
    match accounts {
        Ok(_) => group.ok("reads accounts", "View Users in a particular organization"),
        Err(error) => group.refused(
            "reads accounts",
            error,
            "the connected app the scopes View Users in a particular organization and Edit users in an \
             organization",
        ),
    }
    match teams {
        Ok(listed) => {
            let teams = &listed.items;
            group.ok(
                "reads teams",
                format!("Access Controls Viewer; {} teams", teams.len()),
            );
            group.unread("unreadable teams", &listed);
            match teams.iter().find(|team| team.is_internal_root()) {
                Some(root) => group.ok("root team", root.id.to_string()),
                None => group.wrong(
                    "root team",
                    "the list of teams has no internal root team",
                    "Check that ANYPOINT_ORG_ID is the root organization and that teams are in use there.",
                ),
            }
        }
        Err(error) => group.refused(
            "reads teams",
            error,
            "the connected app the scopes Access Controls Viewer and Access Controls Admin",
        ),
    }
    group.not_checked(
        "writes accounts and teams",
        "only a write would show it; scopes Edit users in an organization, Access Controls Admin",
    );
    match native {
        Ok(Some(true)) => group.ok("native accounts", "may be created"),
        Ok(Some(false)) => group.wrong(
            "native accounts",
            "the organization does not allow new users who do not sign in by single sign-on",
            "Allow them in Access Management, Identity Providers, or bring people in by single sign-on.",
        ),
        Ok(None) => group.not_checked("native accounts", "Anypoint does not say"),
        Err(error)
            if matches!(
                error.status(),
                Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
            ) =>
        {
            group.not_checked("native accounts", "Anypoint does not show this setting");
        }
        Err(error) => group.refused("native accounts", error, "View Organization"),
    }
}

/// Says what follows from single sign-on. It is no fault.
fn sign_on(group: &mut Group, organization: &Organization) {
    match organization.is_federated() {
        Some(true) => group.ok(
            "single sign-on",
            "people sign in through an identity provider. The accounts made here are native ones: without \"Link \
             multiple SSO profiles\" each person has two, and a deactivation disables the native one only. See \
             docs/single-sign-on.md",
        ),
        Some(false) => group.ok("single sign-on", "the organization names no identity provider"),
        None => group.not_checked("single sign-on", "Anypoint does not say"),
    }
}
