//! Lists that do not end well: links that lead nowhere, and pages that are too large.

use serde_json::json;

use super::*;
use crate::fault::{Fault, FaultKind, Links};

#[tokio::test]
async fn links_are_unreadable_or_lead_in_a_circle() {
    let (okta, ann, _) = org().await;
    okta.sim.world().assign(APP, &ann).unwrap();
    let ben = okta.user("ben");
    okta.sim.world().assign(APP, &ben).unwrap();
    let first = format!("/api/v1/apps/{APP}/users?expand=user&limit=1");
    let traffic = okta.sim.traffic();
    let next = |seen: &Seen| seen.links.last().unwrap().clone();
    let good = next(&okta.get(&first).await);
    assert!(
        good.contains("expand=user") && good.ends_with("rel=\"next\""),
        "{good}"
    );
    for (links, like) in [
        (Links::RawByte, good.replacen('<', "<\u{fffd}", 1)),
        (Links::NoBracket, good.replace('>', "")),
        (
            Links::TwoRelations,
            good.replace("\"next\"", "\"next last\""),
        ),
        (Links::DropExpand, good.replace("expand=user&", "")),
    ] {
        let lie = traffic.inject(Fault::new("/apps", FaultKind::Links(links)).once());
        assert_eq!(next(&okta.get(&first).await), like);
        assert_eq!(traffic.fired(lie), 1);
    }
    traffic.inject(Fault::new("/apps", FaultKind::Links(Links::Circle)));
    let second = okta.get(&first).await.next().unwrap();
    let back = okta.get(&second).await.next().unwrap();
    assert!(back.ends_with(&first), "{back}");

    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    for name in ["ann", "ben"] {
        anypoint
            .sim
            .world()
            .add_user(name, "A", "B", "a@acme.example")
            .unwrap();
    }
    anypoint
        .sim
        .traffic()
        .inject(Fault::new("/users", FaultKind::Links(Links::Circle)));
    let first = anypoint.get("/users?limit=1").await;
    assert_eq!(
        anypoint.get("/users?limit=1&offset=1").await.body,
        first.body
    );
}

#[tokio::test]
async fn the_service_fails_at_large_pages() {
    let (okta, _, group) = org().await;
    okta.sim.traffic().inject(Fault::new(
        "/api/v1/groups/*/users",
        FaultKind::PagesAbove(500),
    ));
    let members = format!("/api/v1/groups/{group}/users");
    let seen = okta.get(&members).await;
    assert_eq!(
        (seen.status, &seen.body["errorCode"]),
        (500, &json!("E0000009"))
    );
    assert_eq!(okta.get(&format!("{members}?limit=501")).await.status, 500);
    assert_eq!(okta.get(&format!("{members}?limit=500")).await.status, 200);
}
