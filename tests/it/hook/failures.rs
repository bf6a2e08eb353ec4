//! Two processes at once, kills, an unreachable table, missing settings.

use std::time::Duration;

use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use serde_json::Value;

use super::{Hook, delivery, environment, now_s, status_and, text};
use crate::runtime_api::{Failed, Function, Lambda};
use crate::world::{APP, World};

#[tokio::test(flavor = "multi_thread")]
async fn two_sandboxes_with_one_event_make_one_account_in_dynamodb() {
    let hook = Hook::new().await;
    let other = Lambda::start(Function::Hook, &environment(&hook.world, &hook.table)).await;
    other.ready(Duration::from_secs(20)).await.unwrap();
    hook.world
        .anypoint
        .traffic()
        .set_latency(Duration::from_millis(10));
    for trial in 0..10 {
        let user = hook.world.user(&format!("user_{trial}"));
        let events = hook.world.okta_does(|okta| okta.assign(APP, &user));
        let event = delivery(&hook.world, &events);
        let (one, two) = tokio::join!(
            hook.lambda.invoke(event.clone(), Duration::from_secs(10)),
            other.invoke(event.clone(), Duration::from_secs(10)),
        );
        let answers = [&one.unwrap()["statusCode"], &two.unwrap()["statusCode"]].map(Value::as_u64);
        assert!(answers.contains(&Some(204)), "{answers:?}");
        let creates = hook
            .world
            .anypoint
            .traffic()
            .count(&http::Method::POST, "/users");
        assert_eq!(creates, trial + 1);
        assert_eq!(hook.ask(event).await.0, 204);
    }
    assert_eq!(hook.world.anypoint().mails.len(), 10);
}

/// A sandbox is killed between the create at Anypoint and its record. The next one finishes the work.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_create_and_record_makes_no_second_account() {
    let hook = Hook::new().await;
    let ann = hook.world.user("ann");
    let events = hook.world.okta_does(|okta| okta.assign(APP, &ann));
    let slow = FaultKind::Delay(Duration::from_secs(30));
    let fault = Fault::new("/users", slow)
        .on(http::Method::POST)
        .after_effect()
        .once();
    hook.world.anypoint.traffic().inject(fault);
    let event = delivery(&hook.world, &events);
    let delivery = hook.lambda.invoke(event.clone(), Duration::from_secs(10));
    let kill = async {
        while hook.world.anypoint.world().users.is_empty() {
            tokio::task::yield_now().await;
        }
        hook.lambda.kill9();
    };
    let (answer, ()) = tokio::join!(delivery, kill);
    assert!(matches!(answer, Err(Failed::Exited(_))), "{answer:?}");
    let record = hook.record(&events[0]).await;
    assert_eq!(text(&record, "status"), "in_progress");
    let lease_left = text(&record, "lease_until_ms").parse::<i64>().unwrap() - now_s() * 1000;
    assert!(
        lease_left < 12_500,
        "a lease of {lease_left} ms outlives the invocation by too much"
    );

    let next = Lambda::start(Function::Hook, &environment(&hook.world, &hook.table)).await;
    next.ready(Duration::from_secs(20)).await.unwrap();
    let mut statuses = Vec::new();
    let began = std::time::Instant::now();
    while statuses.last() != Some(&204) && began.elapsed() < Duration::from_secs(20) {
        let answer = next
            .invoke(event.clone(), Duration::from_secs(10))
            .await
            .unwrap();
        statuses.push(answer["statusCode"].as_u64().unwrap());
    }
    assert_eq!(statuses.first(), Some(&503), "while the lease runs");
    assert_eq!(statuses.last(), Some(&204));
    assert_eq!(hook.world.anypoint().users.len(), 1);
    assert!(hook.item(&format!("user#{ann}")).await.is_some());
    let record = hook.record(&events[0]).await;
    assert_eq!(status_and(&record, "attempts"), ["done", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_table_is_answered_with_503_in_time() {
    let world = World::new().await;
    let mut environment = environment(&world, "no-such-table");
    let lambda = Lambda::start(Function::Hook, &environment).await;
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    let event = delivery(&world, &events);
    let answer = lambda
        .invoke(event.clone(), Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(answer["statusCode"], 503);

    // A server that accepts the connection and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    for (name, value) in &mut environment {
        if *name == "AWS_ENDPOINT_URL_DYNAMODB" {
            value.clone_from(&address);
        }
    }
    let lambda = Lambda::start(Function::Hook, &environment).await;
    lambda.ready(Duration::from_secs(20)).await.unwrap();
    let began = std::time::Instant::now();
    let answer = lambda.invoke(event, Duration::from_secs(10)).await.unwrap();
    assert_eq!(answer["statusCode"], 503);
    assert!(
        began.elapsed() < Duration::from_millis(2_700),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(world.account("ann"), "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_settings_stop_the_program_at_the_start() {
    let lambda = Lambda::start(Function::Hook, &[("HOOK_SECRET", "s3cr3t-value")]).await;
    let failed = lambda.ready(Duration::from_secs(20)).await.unwrap_err();
    assert!(
        matches!(failed, Failed::Exited(status) if !status.success()),
        "{failed:?}"
    );
    let output = lambda.output();
    for name in [
        "OKTA_ORG_URL",
        "OKTA_APP_ID",
        "OKTA_API_TOKEN",
        "ANYPOINT_ORG_ID",
        "ANYPOINT_CLIENT_ID",
        "TABLE_NAME",
    ] {
        assert!(output.contains(name), "{name} not in {output}");
    }
    assert!(!output.contains("s3cr3t-value"));
}
