//! Anypoint's rate limit for a minute is used up, as its knowledge base describes it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::clock::SystemClock;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::http::HttpClient;
use okta_anypoint::ids::OrganizationId;
use okta_anypoint::simulator::fault::Fault;

use crate::world::World;

/// Before, a call failed after six attempts within three seconds. A reconcile with more teams than Anypoint allows calls
/// in a minute could never end.
#[tokio::test]
async fn calls_beyond_the_rate_limit_wait_for_the_next_window() {
    let world = World::new().await;
    let traffic = world.anypoint.traffic();
    traffic.inject(Fault::call_budget(20, Duration::from_secs(5)));
    let anypoint = &world.ports.anypoint;
    world.forget_traffic();
    let deadline = Deadline::within(Duration::from_secs(60));
    // Eight at a time, like a reconcile.
    for _ in 0..6 {
        let calls = (0..8).map(|_| anypoint.check_organization(deadline));
        for answer in futures_util::future::join_all(calls).await {
            answer.unwrap();
        }
    }
    let refused = traffic
        .log()
        .iter()
        .filter(|call| call.status == 503)
        .count();
    assert!(
        refused <= 16,
        "{refused} calls were made although none was left"
    );
    assert_eq!(traffic.count(&Method::GET, "/organizations/") - refused, 48);
}

/// A caller without time to wait learns the length of the pause.
#[tokio::test]
async fn a_call_without_time_for_the_next_window_names_the_pause() {
    let world = World::new().await;
    let anypoint = &world.ports.anypoint;
    anypoint
        .check_organization(Deadline::within(Duration::from_secs(9)))
        .await
        .unwrap();
    world
        .anypoint
        .traffic()
        .inject(Fault::call_budget(1, Duration::from_secs(600)));
    let mut last = None;
    for _ in 0..3 {
        let deadline = Deadline::within(Duration::from_secs(1));
        last = anypoint.check_organization(deadline).await.err().or(last);
    }
    let failure = Failure::from(last.unwrap());
    assert_eq!(failure.cause, Cause::Throttled, "{failure}");
    assert!(
        failure.retry_after.unwrap() > Duration::from_secs(1),
        "{failure:?}"
    );
}

/// One bare 503 is an outage like any other, and the client retries at once.
#[tokio::test]
async fn a_single_503_does_not_cost_a_whole_window() {
    let world = World::new().await;
    let anypoint = &world.ports.anypoint;
    world
        .anypoint
        .traffic()
        .inject(Fault::status("/organizations/", 503, "").once());
    let began = std::time::Instant::now();
    anypoint
        .check_organization(Deadline::within(Duration::from_secs(90)))
        .await
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// Other clients use the same rate limit. The client waits for the window that the last answer named.
#[tokio::test]
async fn a_503_near_the_rate_limit_waits_for_the_next_window() {
    let world = World::new().await;
    let traffic = world.anypoint.traffic();
    let deadline = Deadline::within(Duration::from_secs(90));
    let anypoint = &world.ports.anypoint;
    anypoint.check_organization(deadline).await.unwrap();
    traffic.inject(Fault::call_budget(5, Duration::from_secs(4)));
    anypoint.check_organization(deadline).await.unwrap();
    // A separate client. Its answers do not reach the tested one.
    let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
    let (organization, id, secret) = {
        let anypoint = world.anypoint();
        (
            anypoint.org_id.clone(),
            anypoint.client_id.clone(),
            anypoint.client_secret.clone(),
        )
    };
    let other = Anypoint::new(
        http,
        world.anypoint.base_url().parse().unwrap(),
        OrganizationId::parse(organization).unwrap(),
        id,
        secret.into(),
    );
    for _ in 0..4 {
        other.check_organization(deadline).await.unwrap();
    }
    let began = std::time::Instant::now();
    let deadline = Deadline::within(Duration::from_secs(10));
    anypoint.check_organization(deadline).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    let log = traffic.log();
    let refused = log.iter().filter(|call| call.status == 503).count();
    assert_eq!(refused, 1);
}

/// The second one in a row means that the minute's calls are used up.
#[tokio::test]
async fn repeated_503s_without_headers_wait_for_the_end_of_the_minute() {
    let world = World::new().await;
    let anypoint = &world.ports.anypoint;
    let refused = Fault::status("/organizations/", 503, "");
    world.anypoint.traffic().inject(refused);
    let deadline = Deadline::within(Duration::from_secs(2));
    let error = anypoint.check_organization(deadline).await.unwrap_err();
    assert!(error.retry_after.is_some(), "{error:?}");
}
