//! The expiry of the Okta credential: a reconcile asks once a day, stores the answer, and reports it as a metric.

use std::time::Duration;

use http::Method;
use okta_anypoint::clock::Clock as _;
use okta_anypoint::schedule::{CREDENTIAL, Mode, NotedCredential, RunOutcome, Task};
use okta_anypoint::simulator::fault::{Fault, Refused};
use okta_anypoint::simulator::okta::ApiToken;

use super::Stage;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of reads of Okta's API tokens since the last call.
fn asked(stage: &Stage) -> usize {
    let count = stage
        .okta
        .traffic()
        .count(&Method::GET, "/api/v1/api-tokens");
    stage.okta.traffic().clear();
    count
}

async fn noted(stage: &Stage) -> Option<NotedCredential> {
    let document = stage.table.documents.document(CREDENTIAL).await.unwrap()?;
    Some(serde_json::from_str(&document.json).unwrap())
}

/// The values of the metric since the last call.
fn measured(stage: &Stage) -> Vec<u64> {
    let lines = stage.metrics.take_lines(0);
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<_> = lines
        .filter(|line| !line["CredentialEndsInDays"].is_null())
        .collect();
    assert!(lines.iter().all(|line| line["Side"] == "okta"));
    lines
        .iter()
        .filter_map(|line| line["CredentialEndsInDays"].as_u64())
        .collect()
}

fn used_days_ago(stage: &Stage, days: i64) {
    let last_used = stage.clock.now_ms() - days * 86_400_000;
    let mut world = stage.okta.world();
    // Half an hour allows for the time the test takes.
    world.api_tokens.values_mut().next().unwrap().last_used = Some(last_used + 1_800_000);
}

#[tokio::test]
async fn a_reconcile_asks_once_a_day_when_the_token_expires() {
    let stage = Stage::new().await;
    used_days_ago(&stage, 10);
    // A plan writes nothing, and a catch-up runs too often, so neither asks.
    stage
        .try_run(Task::Reconcile, Some(Mode::Report))
        .await
        .unwrap();
    stage.run(Task::CatchUp).await;
    assert_eq!((asked(&stage), noted(&stage).await), (0, None));
    for (expected, days) in [(1, 20), (0, 20)] {
        stage.run(Task::Reconcile).await;
        assert_eq!((asked(&stage), measured(&stage)), (expected, vec![days]));
    }
    stage.clock.advance(DAY);
    stage.run(Task::Reconcile).await;
    assert_eq!((asked(&stage), measured(&stage)), (1, vec![19]));
    // Near the expiry every reconcile asks, so that an operator soon sees the fix.
    used_days_ago(&stage, 20);
    stage.clock.advance(DAY);
    for _ in 0..2 {
        stage.run(Task::Reconcile).await;
        assert_eq!((asked(&stage), measured(&stage)), (1, vec![9]));
    }
}

#[tokio::test]
async fn an_unknown_token_expiry_stops_nothing() {
    let stage = Stage::new().await;
    let right = Fault::refused("/api/v1/api-tokens", Refused::Right);
    let right = stage.okta.traffic().inject(right);
    assert_eq!(
        stage.run(Task::Reconcile).await.outcome,
        RunOutcome::Completed
    );
    let found = serde_json::to_value(noted(&stage).await.unwrap()).unwrap();
    assert_eq!(found["credential"], "untold");
    assert!(asked(&stage) >= 1 && measured(&stage).is_empty());
    stage.run(Task::Reconcile).await;
    assert_eq!(
        asked(&stage),
        0,
        "a missing right is asked for again at once"
    );
    stage.okta.traffic().remove_fault(right);

    // After an outage the next run asks again.
    stage.clock.advance(DAY);
    let down = stage
        .okta
        .traffic()
        .inject(Fault::status("/api/v1/api-tokens", 400, "{}"));
    assert_eq!(
        stage.run(Task::Reconcile).await.outcome,
        RunOutcome::Completed
    );
    stage.okta.traffic().remove_fault(down);
    asked(&stage);
    // With two tokens of one user, the program cannot tell which one it uses.
    let other = ApiToken {
        id: "00Tother".to_owned(),
        ..stage
            .okta
            .world()
            .api_tokens
            .values()
            .next()
            .unwrap()
            .clone()
    };
    stage
        .okta
        .world()
        .api_tokens
        .insert(other.id.clone(), other);
    stage.run(Task::Reconcile).await;
    assert_eq!((asked(&stage), measured(&stage)), (1, vec![]));
    let found = serde_json::to_value(noted(&stage).await.unwrap()).unwrap();
    assert_eq!(found["tokens"].as_array().unwrap().len(), 2);
}
