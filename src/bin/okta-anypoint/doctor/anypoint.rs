//! Anypoint's side: token, organization, rights, native accounts, root team.

use http::StatusCode;
use okta_anypoint::anypoint::{Anypoint, Organization};
use okta_anypoint::deadline::Deadline;

use super::Section;

pub async fn check(section: &mut Section, anypoint: &Anypoint, deadline: Deadline) {
    let token = anypoint.probe_token(deadline).await;
    let right = "the connected app access";
    if section.answered("token", token, right).is_none() {
        return;
    }
    section.ok("token", "the connected app is accepted");
    let (organization, accounts, teams, native) = futures_util::join!(
        anypoint.organization(deadline),
        anypoint.shows_accounts(deadline),
        anypoint.list_teams(deadline),
        anypoint.allows_native_accounts(deadline),
    );
    let right = "the connected app the scope View Organization";
    match section.answered("organization", organization, right) {
        Some(Some(found)) => {
            let name = found.name.clone().unwrap_or_else(|| "unnamed".to_owned());
            match found.is_root() {
                Some(true) => section.ok("organization", format!("\"{name}\", the root")),
                Some(false) => section.wrong(
                    "organization",
                    format!("\"{name}\" is a business group, not the root organization"),
                    "Set ANYPOINT_ORG_ID to the id of the root organization (Access Management, Business \
                     Groups, the topmost).",
                ),
                None => section.not_checked("organization", "Anypoint does not say if it is the root"),
            }
            sign_on(section, &found);
        }
        Some(None) => section.wrong(
            "organization",
            "Anypoint does not know it, or does not show it to this connected app",
            "Set ANYPOINT_ORG_ID to the id of the root organization, and give the connected app its \
             scopes there.",
        ),
        None => {}
    }
    let right = "the connected app the scopes View Users in a particular organization and Edit users in an \
                 organization";
    match section.answered("reads accounts", accounts, right) {
        Some(true) => section.ok("reads accounts", "View Users in a particular organization"),
        // An organization has at least one user, its owner.
        Some(false) => section.not_checked(
            "reads accounts",
            "Anypoint answers, and shows no user at all. Give the connected app the scope View Users in a particular \
             organization, on the root business group",
        ),
        None => {}
    }
    let right = "the connected app the scopes Access Controls Viewer and Access Controls Admin";
    if let Some(listed) = section.answered("reads teams", teams, right) {
        let teams = &listed.items;
        let count = teams.len();
        section.ok(
            "reads teams",
            format!("Access Controls Viewer; {count} teams"),
        );
        section.unread("unreadable teams", &listed);
        let mut roots = teams.iter().filter(|team| team.is_internal_root());
        match (roots.next(), roots.next()) {
            (Some(root), None) => section.ok("root team", root.id.to_string()),
            (Some(_), Some(_)) => section.wrong(
                "root team",
                "the list of teams has several internal root teams",
                "An organization has exactly one internal root team. Run doctor again. If it still finds several, ask MuleSoft's support.",
            ),
            (None, _) => section.wrong(
                "root team",
                "the list of teams has no internal root team",
                "Check that ANYPOINT_ORG_ID is the root organization and that teams are in use there.",
            ),
        }
    }
    section.not_checked(
        "writes accounts and teams",
        "only a write would show it; scopes Edit users in an organization, Access Controls Admin",
    );
    match native {
        Ok(Some(true)) => section.ok("native accounts", "may be created"),
        Ok(Some(false)) => section.wrong(
            "native accounts",
            "the organization does not allow new users who do not sign in by single sign-on",
            "Allow them in Access Management, Identity Providers, or bring people in by single sign-on.",
        ),
        Ok(None) => section.not_checked("native accounts", "Anypoint does not say"),
        Err(error)
            if matches!(
                error.status(),
                Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
            ) =>
        {
            section.not_checked("native accounts", "Anypoint does not show this setting");
        }
        Err(error) => section.refused("native accounts", error, "View Organization"),
    }
}

/// Says what follows from single sign-on, which is not an error.
fn sign_on(section: &mut Section, organization: &Organization) {
    match organization.is_federated() {
        Some(true) => section.ok(
            "single sign-on",
            "people sign in through an identity provider. The accounts made here are native ones: without \"Link \
             multiple SSO profiles\" each person has two, and a deactivation disables the native one only. See \
             docs/single-sign-on.md",
        ),
        Some(false) => section.ok("single sign-on", "the organization names no identity provider"),
        None => section.not_checked("single sign-on", "Anypoint does not say"),
    }
}
