//! The vendors' documents describe every request of the clients.
//!
//! One world sees every method of both clients. Without the vendors' files, the requests must be those listed here, and
//! the simulators, which encode the same rules, must accept them. If `OPENAPI_DIR` names the folder of the files, each
//! request is also checked against them.

mod document;
mod every_call;
mod known;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use okta_anypoint::simulator::traffic::RecordedRequest;

use document::Document;
use known::{KNOWN_DEFECTS, NOT_IN_THE_FILES};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vendor {
    Okta,
    Anypoint,
}
use Vendor::{Anypoint, Okta};

/// Every operation that the clients use, as the vendors write it.
const OPERATIONS: &[(Vendor, &str, &str)] = &[
    (Okta, "GET", "/api/v1/users"),
    (Okta, "POST", "/api/v1/users"),
    (Okta, "GET", "/api/v1/users/me"),
    (Okta, "GET", "/api/v1/users/{id}"),
    (Okta, "POST", "/api/v1/users/{id}"),
    (Okta, "GET", "/api/v1/users/{id}/groups"),
    (Okta, "GET", "/api/v1/groups"),
    (Okta, "GET", "/api/v1/groups/{groupId}"),
    (Okta, "GET", "/api/v1/groups/{groupId}/users"),
    (Okta, "GET", "/api/v1/apps"),
    (Okta, "GET", "/api/v1/apps/{appId}"),
    (Okta, "GET", "/api/v1/apps/{appId}/users"),
    (Okta, "POST", "/api/v1/apps/{appId}/users"),
    (Okta, "GET", "/api/v1/apps/{appId}/users/{userId}"),
    (Okta, "GET", "/api/v1/apps/{appId}/groups"),
    (Okta, "GET", "/api/v1/apps/{appId}/groups/{groupId}"),
    (Okta, "GET", "/api/v1/eventHooks"),
    (Okta, "POST", "/api/v1/eventHooks"),
    (Okta, "PUT", "/api/v1/eventHooks/{eventHookId}"),
    (Okta, "DELETE", "/api/v1/eventHooks/{eventHookId}"),
    (
        Okta,
        "POST",
        "/api/v1/eventHooks/{eventHookId}/lifecycle/deactivate",
    ),
    (
        Okta,
        "POST",
        "/api/v1/eventHooks/{eventHookId}/lifecycle/activate",
    ),
    (
        Okta,
        "POST",
        "/api/v1/eventHooks/{eventHookId}/lifecycle/verify",
    ),
    (Okta, "GET", "/api/v1/logs"),
    (Okta, "GET", "/api/v1/api-tokens"),
    (Anypoint, "POST", "/v2/oauth2/token"),
    (Anypoint, "POST", "/recover/password"),
    (Anypoint, "GET", "/organizations/{organizationId}"),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/identityProviderSettings",
    ),
    (Anypoint, "GET", "/organizations/{organizationId}/users"),
    (Anypoint, "POST", "/organizations/{organizationId}/users"),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users/{userId}",
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users/{userId}/teams",
    ),
    (Anypoint, "GET", "/organizations/{organizationId}/teams"),
    (Anypoint, "POST", "/organizations/{organizationId}/teams"),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/teams/{teamId}",
    ),
    (
        Anypoint,
        "PATCH",
        "/organizations/{organizationId}/teams/{teamId}",
    ),
    (
        Anypoint,
        "DELETE",
        "/organizations/{organizationId}/teams/{teamId}",
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/teams/{teamId}/members",
    ),
    (
        Anypoint,
        "PATCH",
        "/organizations/{organizationId}/teams/{teamId}/members",
    ),
    (
        Anypoint,
        "DELETE",
        "/organizations/{organizationId}/teams/{teamId}/members",
    ),
];

#[tokio::test]
async fn every_request_is_in_the_vendors_documents() {
    let traffic = every_call::everything().await;
    let mut problems = traffic.unexpected;
    let mut seen = BTreeSet::new();
    for (vendor, request) in &traffic.requests {
        match operation(*vendor, request) {
            Some(operation) => {
                seen.insert(operation);
            }
            None => problems.push(format!("an unlisted operation: {}", named(request))),
        }
    }
    let listed: BTreeSet<_> = OPERATIONS.iter().copied().collect();
    for operation in listed.difference(&seen) {
        problems.push(format!("listed and not seen: {operation:?}"));
    }
    match std::env::var_os("OPENAPI_DIR").map(PathBuf::from) {
        Some(folder) => {
            let checked = check_against(&folder, &traffic.requests, &mut problems);
            println!("{checked} requests checked against the vendors' files");
        }
        None => println!(
            "NOT CHECKED against the vendors' files: OPENAPI_DIR is not set. {} requests checked \
             against the list of operations and the simulators' own rules.",
            traffic.requests.len()
        ),
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Without this, a client method that is not called above would stay unchecked.
#[test]
fn every_method_of_the_clients_is_called() {
    let mut found = BTreeSet::new();
    for client in ["okta", "anypoint"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(client);
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let Some(text) = path.is_file().then(|| std::fs::read_to_string(&path)) else {
                continue;
            };
            for line in text.unwrap().lines() {
                if let Some(rest) = line.trim_start().strip_prefix("pub async fn ") {
                    let name = rest.split(['(', '<']).next().unwrap();
                    found.insert(format!("{client}.{name}"));
                }
            }
        }
    }
    let called: BTreeSet<String> = every_call::METHODS
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(
        found, called,
        "left: in the source; right: in every_call.rs"
    );
}

fn named(request: &RecordedRequest) -> String {
    format!(
        "{} {} {:?} {:?}",
        request.method, request.path, request.query, request.body
    )
}

/// The path below the vendor's server address.
fn path(vendor: Vendor, request: &RecordedRequest) -> &str {
    match vendor {
        Okta => &request.path,
        Anypoint => request.path.strip_prefix("/accounts/api").unwrap_or(""),
    }
}

/// The listed operation that a request belongs to.
fn operation(
    vendor: Vendor,
    request: &RecordedRequest,
) -> Option<(Vendor, &'static str, &'static str)> {
    OPERATIONS.iter().copied().find(|(of, method, template)| {
        *of == vendor && request.method == *method && fits(template, path(vendor, request))
    })
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(wanted, found)| {
            wanted == found || (wanted.starts_with('{') && !found.is_empty())
        })
}

/// Checks requests against the files. Returns how many it checked.
fn check_against(
    folder: &Path,
    requests: &[(Vendor, RecordedRequest)],
    problems: &mut Vec<String>,
) -> usize {
    let okta = Document::read(&folder.join("okta-management-subset.yaml"));
    let anypoint = Document::read(&folder.join("anypoint-access-management-subset.yaml"));
    let mut checked = 0;
    for (vendor, request) in requests {
        let Some((_, method, template)) = operation(*vendor, request) else {
            continue;
        };
        if NOT_IN_THE_FILES
            .iter()
            .any(|(v, m, t, _)| v == vendor && *m == method && *t == template)
        {
            continue;
        }
        let defects: Vec<(&str, &str)> = KNOWN_DEFECTS
            .iter()
            .filter(|(v, m, t, ..)| v == vendor && *m == method && *t == template)
            .map(|(_, _, _, kind, name, _)| (*kind, *name))
            .collect();
        let document = match vendor {
            Okta => &okta,
            Anypoint => &anypoint,
        };
        let found = document.check(method, template, path(*vendor, request), request, &defects);
        for what in found {
            let problem = format!("{method} {template}: {what}");
            // One example of each operation is enough.
            if !problems.iter().any(|other| other.starts_with(&problem)) {
                problems.push(format!("{problem}, such as {}", named(request)));
            }
        }
        checked += 1;
    }
    checked
}
