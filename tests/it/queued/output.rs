//! The output of the programs: metrics in the embedded format, JSON log lines, no personal data, and missing settings.

use std::collections::BTreeMap;
use std::time::Duration;

use okta_anypoint::simulator::traffic::Fault;
use serde_json::Value;

use super::{APP, LONG, Scene, batch_event};
use crate::planted::check;
use crate::runtime_api::{Failed, Function, Lambda};

/// The metrics in an output, from `NAME[SECOND DIMENSION]` to value. Checks each line against the embedded metric
/// format.
fn metrics(lambda: &Lambda) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for line in lambda.stdout().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(line["_aws"]["Timestamp"].as_i64().unwrap() > 1_700_000_000_000);
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 1);
        assert_eq!(directives[0]["Namespace"], "OktaAnypoint");
        let sets = directives[0]["Dimensions"].as_array().unwrap();
        let mut second = String::new();
        for set in sets {
            for dimension in set.as_array().unwrap() {
                let name = dimension.as_str().unwrap();
                let value = line[name]
                    .as_str()
                    .unwrap_or_else(|| panic!("{name} in {line}"));
                if name != "Function" && second.is_empty() {
                    second = format!("[{value}]");
                }
            }
        }
        for metric in directives[0]["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            assert!(["Count", "Milliseconds"].contains(&metric["Unit"].as_str().unwrap()));
            let sum = match &line[name] {
                Value::Array(values) => {
                    assert!((2..=100).contains(&values.len()));
                    values.iter().map(|value| value.as_u64().unwrap()).sum()
                }
                value => value.as_u64().unwrap_or_else(|| panic!("{name} in {line}")),
            };
            *found.entry(format!("{name}{second}")).or_default() += sum;
        }
    }
    found
}

/// Checks that every line is one JSON object without planted text, and without the texts in `more`.
fn check_words(lambda: &Lambda, more: &[String]) {
    for line in lambda.output().lines() {
        let read: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(line);
        assert!(read.is_ok(), "not one JSON object: {line}");
        check("a log line", line, more);
    }
}

/// A complete story at the highest log level: creates, groups, changes, failures of both classes, unreadable messages.
#[tokio::test]
async fn no_output_of_the_functions_holds_personal_data() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let secret = scene.anypoint.world().client_secret.clone();
    let (user, assigned) = scene.assigned("planted_user");
    let mut events = vec![assigned];
    {
        let mut okta = scene.okta.world();
        let changes = [
            ("mobilePhone", "+4930555".into()),
            ("firstName", "Xaverine".into()),
        ];
        events.extend(okta.update_profile(&user, &changes).unwrap());
        let group = okta.create_group("Planted Group").unwrap();
        events.extend(group.events);
        events.extend(okta.add_member(&group.id, &user).unwrap());
        events.extend(okta.assign_group(APP, &group.id).unwrap());
    }
    assert_eq!(scene.deliver(&hook, &events).await, 204);
    scene.drain(&worker).await;
    assert!(scene.has_account("planted_user"));

    // Refusals whose bodies quote the person, on both sides and of both classes.
    let quote =
        r#"{"errorCode":"E0000001","message":"Xaveria Plantedname xaveria@planted.example"}"#;
    for (status, path) in [
        (403, "users/"),
        (400, "users/"),
        (500, "users/"),
        (404, "apps/"),
    ] {
        let traffic = scene.okta.traffic();
        let fault = traffic.inject(Fault::status(path, status, quote));
        let event = scene.hint(&user);
        assert_eq!(scene.deliver(&hook, &[event]).await, 204);
        let batch = scene.received(60).await;
        let back = scene
            .work(&worker, &batch, Duration::from_secs(8))
            .await
            .unwrap();
        traffic.remove_fault(fault);
        if !back.is_empty() {
            scene.show(&batch[0]).await;
            scene.drain(&worker).await;
        }
    }
    let (taken, event) = scene.assigned("planted_user2");
    let fault = scene
        .anypoint
        .traffic()
        .inject(Fault::status("/users", 409, quote));
    assert_eq!(scene.deliver(&hook, &[event]).await, 204);
    let batch = scene.received(60).await;
    scene
        .work(&worker, &batch, Duration::from_secs(8))
        .await
        .unwrap();
    scene.anypoint.traffic().remove_fault(fault);
    scene
        .send_raw(
            &format!("user#{taken}2"),
            "odd",
            r#"{"name":"Xaveria Plantedname"}"#,
        )
        .await;
    let batch = scene.received(60).await;
    scene.work_raw(&worker, &batch).await;
    hook.invoke(
        serde_json::json!({"body": "Xaveria"}),
        Duration::from_secs(3),
    )
    .await
    .unwrap();

    let log = scene.anypoint.traffic().log();
    let passwords = log
        .iter()
        .filter_map(|call| call.body.as_ref()?["password"].as_str());
    let mut more: Vec<String> = passwords.map(str::to_owned).collect();
    more.push(secret);
    check_words(&hook, &more);
    check_words(&worker, &more);
    for call in scene.sqs.calls() {
        check("a queue message", &call.body.to_string(), &more);
    }
    for record in scene.ledger_records().await {
        check("a record", &serde_json::to_string(&record).unwrap(), &more);
    }
    assert!(
        worker.output().lines().count() > 20,
        "the log is not simply empty"
    );
}

#[tokio::test]
async fn everything_is_counted_in_the_embedded_metric_format() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, event) = scene.assigned("ann");
    let unknown = scene
        .okta
        .world()
        .write_event("nobody.knows", Vec::new(), &[]);
    let mut refused = scene.hint(&ann);
    refused.outcome = "FAILURE".to_owned();
    assert_eq!(scene.deliver(&hook, &[event, unknown, refused]).await, 204);
    let batch = scene.received(60).await;
    scene.work(&worker, &batch, LONG).await.unwrap();
    worker.invoke(batch_event(&batch), LONG).await.unwrap(); // a duplicate
    let event = scene.hint(&ann);
    assert_eq!(scene.deliver(&hook, &[event]).await, 204);
    let path = format!("/api/v1/users/{ann}");
    scene
        .okta
        .traffic()
        .inject(Fault::status(&path, 400, r#"{"errorCode":"E0000112"}"#));
    let batch = scene.received(60).await;
    scene.work(&worker, &batch, LONG).await.unwrap();

    // A separate thread reads their output. It has the whole output only after they have ended.
    hook.kill9();
    worker.kill9();
    let of_hook = metrics(&hook);
    let ignored: Vec<&String> = of_hook
        .keys()
        .filter(|k| k.starts_with("Ignored["))
        .collect();
    assert_eq!((of_hook["Received"], ignored.len()), (4, 2), "{of_hook:?}");
    let of_worker = metrics(&worker);
    let counted = |name: &str| of_worker.get(name).copied();
    assert_eq!(counted("Received"), Some(3), "{of_worker:?}");
    assert_eq!(counted("Duplicate"), Some(1), "{of_worker:?}");
    assert_eq!(counted("Failed[retryable]"), Some(1), "{of_worker:?}");
    let applied: Vec<&String> = of_worker
        .keys()
        .filter(|k| k.starts_with("Applied["))
        .collect();
    assert!(applied.len() >= 3, "create, link, mail: {applied:?}");
    assert!(
        counted("AgeMs").is_some_and(|age| age < 60_000),
        "{of_worker:?}"
    );
}

/// Contract §2: one message that names every variable at fault, before any work is taken.
#[tokio::test]
async fn the_program_names_all_missing_settings_and_ends() {
    let engine = [
        "OKTA_ORG_URL",
        "OKTA_APP_ID",
        "OKTA_API_TOKEN",
        "ANYPOINT_ORG_ID",
        "ANYPOINT_CLIENT_ID",
        "ANYPOINT_CLIENT_SECRET",
        "TABLE_NAME",
    ];
    let hook = Function::Hook;
    let inline: Vec<&str> = engine.into_iter().chain(["HOOK_SECRET"]).collect();
    let queued = ["HOOK_SECRET", "OKTA_APP_ID"];
    let queue_url = ("QUEUE_URL", "http://127.0.0.1:1/1/q.fifo");
    let malformed = ("USERNAME_POLICY", "sometimes");
    for (binary, env, missing) in [
        (Function::Provision, vec![], &engine[..]),
        (
            Function::Provision,
            vec![malformed],
            &["USERNAME_POLICY", "TABLE_NAME"][..],
        ),
        (hook, vec![], &inline[..]),
        (hook, vec![queue_url], &queued[..]),
    ] {
        let lambda = Lambda::start(binary, &env).await;
        let failed = lambda.ready(Duration::from_secs(20)).await.unwrap_err();
        let Failed::Exited(status) = failed else {
            panic!("{failed:?}");
        };
        assert!(!status.success());
        let output = lambda.output();
        let lines: Vec<&str> = output
            .lines()
            .filter(|line| line.contains("ERROR"))
            .collect();
        assert_eq!(lines.len(), 1, "{output}");
        for name in missing {
            assert!(lines[0].contains(name), "{name} is not named: {output}");
        }
    }
}

/// `FATAL` is a level that Lambda offers.
#[tokio::test]
async fn no_log_level_hides_why_a_program_stops() {
    for (variable, level) in [
        ("AWS_LAMBDA_LOG_LEVEL", "FATAL"),
        ("AWS_LAMBDA_LOG_LEVEL", "off"),
        ("RUST_LOG", "off"),
        ("RUST_LOG", "okta_anypoint::worker=debug"),
    ] {
        for function in [Function::Hook, Function::Provision, Function::Schedule] {
            // An empty value counts as unset.
            let env = [("AWS_LAMBDA_LOG_LEVEL", ""), (variable, level)];
            let lambda = Lambda::start(function, &env).await;
            let failed = lambda.ready(Duration::from_secs(20)).await.unwrap_err();
            assert!(matches!(failed, Failed::Exited(_)), "{failed:?}");
            let output = lambda.output();
            let said = output.contains("ERROR") && output.contains("OKTA_APP_ID is missing");
            assert!(said, "{variable}={level}: {output}");
        }
    }
}

/// The functions log no request and no answer, even if `RUST_LOG` names their crates and modules exactly. A secret read
/// from Secrets Manager shows nowhere.
#[tokio::test]
async fn log_filters_cannot_enable_details_of_crates() {
    let lock = include_str!("../../../Cargo.lock");
    let crates = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    let directives: Vec<String> = crates
        .flat_map(|name| {
            let name = name.trim_matches('"').replace('-', "_");
            // The second is longer than any rule that names the crate alone.
            [format!("{name}=trace"), format!("{name}::=trace")]
        })
        .collect();
    assert!(directives.len() > 300);

    let config = crate::servers::config(crate::servers::moto_url()).await;
    let config = config.into_builder();
    let config = config.region(aws_config::Region::new("us-east-1")).build();
    let secrets = aws_sdk_secretsmanager::Client::new(&config);
    let name = format!("hook-{}", uuid::Uuid::new_v4());
    let made = secrets
        .create_secret()
        .name(name)
        .secret_string(super::HOOK_SECRET);
    let arn = made.send().await.unwrap().arn.unwrap();

    let scene = Scene::new().await;
    let hook = scene
        .inline_hook_with(&[
            ("HOOK_SECRET", String::new()),
            ("HOOK_SECRET_ARN", arn),
            (
                "AWS_ENDPOINT_URL_SECRETS_MANAGER",
                crate::servers::moto_url().to_owned(),
            ),
            ("AWS_LAMBDA_LOG_LEVEL", String::new()),
            ("RUST_LOG", directives.join(",")),
        ])
        .await;
    let (user, event) = scene.assigned("planted_user9");
    assert_eq!(
        scene.deliver(&hook, &[event]).await,
        204,
        "{}",
        hook.output()
    );
    assert!(scene.link(&user).await.is_some());
    check_words(&hook, &[super::HOOK_SECRET.to_owned()]);
    let said = hook.output();
    let details = said
        .lines()
        .filter(|line| line.contains("\"level\":\"DEBUG\""))
        .count();
    let ours = said.contains("\"level\":\"INFO\"");
    assert!(ours && details < 50, "{details} entries of details: {said}");
}
