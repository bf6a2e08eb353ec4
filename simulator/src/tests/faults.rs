use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::traffic::{Fault, FaultKind, Hold, Moment};

#[tokio::test]
async fn a_status_strikes_as_often_as_told() {
    let okta = Okta::start(OktaOptions::default()).await;
    let limited = FaultKind::Status {
        code: 429,
        headers: vec![("x-rate-limit-reset".to_owned(), "1".to_owned())],
        body: r#"{"errorCode":"E0000047"}"#.to_owned(),
    };
    let fault = okta
        .sim
        .traffic()
        .inject(Fault::new("/api/v1/users", limited).skipping(1).times(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(okta.get("/api/v1/users").await.status);
    }
    assert_eq!(seen, [200, 429, 429, 200]);
    assert_eq!(okta.sim.traffic().fired(fault), 2);
    okta.nothing_unexpected();
}

#[tokio::test]
async fn a_lost_answer_is_not_a_lost_effect() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let create = |name: &str| json!({"username": name, "firstName": "A", "lastName": "B", "email": "a@acme.example", "password": "Example-Passw0rd"});
    let traffic = anypoint.sim.traffic();
    traffic.inject(
        Fault::new("/users", FaultKind::DropConnection)
            .on(Method::POST)
            .once(),
    );
    let lost = anypoint
        .request(Method::POST, "/users")
        .json(&create("ann"))
        .send()
        .await;
    assert!(lost.unwrap_err().status().is_none());
    assert!(anypoint.sim.world().users.is_empty());

    traffic.inject(
        Fault::new("/users", FaultKind::DropConnection)
            .on(Method::POST)
            .once()
            .after_effect(),
    );
    assert!(
        anypoint
            .request(Method::POST, "/users")
            .json(&create("ann"))
            .send()
            .await
            .is_err()
    );
    assert_eq!(anypoint.sim.world().users.len(), 1);

    traffic.inject(
        Fault::new("/users", FaultKind::TruncatedBody)
            .on(Method::POST)
            .once()
            .after_effect(),
    );
    let half = anypoint
        .request(Method::POST, "/users")
        .json(&create("ben"))
        .send()
        .await
        .unwrap();
    assert_eq!(half.status(), 201);
    assert!(half.text().await.is_err());
    assert_eq!(anypoint.sim.world().users.len(), 2);

    traffic.inject(Fault::new("/users", FaultKind::WrongJson).once());
    assert_eq!(anypoint.get("/users").await.body["data"], Value::Null);
    assert_eq!(
        traffic
            .log()
            .iter()
            .filter(|request| request.status == 0)
            .count(),
        2
    );
    anypoint.nothing_unexpected();
}

#[tokio::test]
async fn reads_can_be_stale_short_or_slow() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let traffic = anypoint.sim.traffic();
    let stale = traffic.inject(Fault::new("/teams", FaultKind::StaleRead).once());
    anypoint.sim.world().add_team("A", None).unwrap();
    assert_eq!(anypoint.get("/teams").await.body["total"], 1);
    assert_eq!(anypoint.get("/teams").await.body["total"], 2);
    assert_eq!(traffic.fired(stale), 1);

    let short = traffic.inject(Fault::new("/teams", FaultKind::ShortPage(1)));
    let page = anypoint.get("/teams?limit=500").await;
    assert_eq!(
        (
            page.body["data"].as_array().unwrap().len(),
            &page.body["total"]
        ),
        (1, &json!(2))
    );
    traffic.remove_fault(short);

    traffic.inject(Fault::new("/teams", FaultKind::LostItem).once());
    let page = anypoint.get("/teams?limit=500").await;
    let ends_early = (
        page.body["data"].as_array().unwrap().len(),
        &page.body["total"],
    );
    assert_eq!(ends_early, (1, &json!(2)));

    traffic.inject(Fault::new("/teams", FaultKind::SlowBody(Duration::from_millis(60))).once());
    let begun = Instant::now();
    assert_eq!(anypoint.get("/teams").await.body["total"], 2);
    assert!(begun.elapsed() >= Duration::from_millis(60));

    traffic.inject(Fault::new("/teams", FaultKind::Delay(Duration::from_millis(60))).once());
    traffic.set_latency(Duration::from_millis(30));
    let begun = Instant::now();
    anypoint.get("/teams").await;
    assert!(begun.elapsed() >= Duration::from_millis(90));
    assert!(traffic.log().last().unwrap().took_ms >= 90);
}

#[tokio::test]
async fn a_stopped_server_frees_its_port() {
    let okta = Okta::start(OktaOptions::default()).await;
    let addr: SocketAddr = okta
        .sim
        .base_url()
        .trim_start_matches("http://")
        .parse()
        .unwrap();
    assert_eq!(okta.get("/api/v1/org").await.status, 200);
    okta.sim.stop().await;
    assert!(
        okta.http
            .get(format!("http://{addr}/api/v1/org"))
            .send()
            .await
            .is_err()
    );
    OktaSimulator::start(addr, OktaOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_held_request_waits_until_it_is_let_go() {
    let okta = Okta::start(OktaOptions::default()).await;
    let ann = okta.user("ann");
    let path = format!("/api/v1/users/{ann}");
    let first_name = || {
        let world = okta.sim.world();
        world.users[&ann].attribute("firstName").to_owned()
    };
    for (moment, name, seen) in [
        (Moment::BeforeEffect, "Anna", "ann"),
        (Moment::AfterEffect, "Annie", "Annie"),
    ] {
        let hold = Hold::default();
        let mut fault = Fault::held(&path, &hold).on(Method::POST);
        fault.moment = moment;
        okta.sim.traffic().inject(fault);
        let looks = async {
            hold.reached().await;
            assert_eq!(first_name(), seen);
            hold.release();
        };
        let change = json!({"profile": {"firstName": name}});
        let (answer, ()) = tokio::join!(okta.send(Method::POST, &path, change), looks);
        assert_eq!((answer.status, first_name()), (200, name.to_owned()));
    }
    okta.nothing_unexpected();
}
