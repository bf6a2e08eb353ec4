//! Commands whose settings name secrets in Secrets Manager.

use serde_json::json;

use super::{Desk, TOKEN};
use crate::servers;

/// A new secret. Returns its ARN.
async fn secret(content: &str) -> String {
    let config = servers::config(servers::moto_url()).await.into_builder();
    let region = aws_config::Region::new("us-east-1");
    let client = aws_sdk_secretsmanager::Client::new(&config.region(region).build());
    let name = format!("test/{}", uuid::Uuid::new_v4());
    let made = client.create_secret().name(name).secret_string(content);
    made.send().await.unwrap().arn.unwrap()
}

/// Variables with which the program finds secrets.
fn aws(endpoint: &str) -> [(&str, &str); 4] {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
}

/// Contract §7: wrong settings exit with 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_no_use_is_a_wrong_setting() {
    let desk = Desk::new().await;
    let data = desk.data.to_str().unwrap();
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--status",
        "127.0.0.1:0",
        "--data",
        data,
    ];
    let (explain, plan) = (
        ["explain", "somebody", "--data", data],
        ["plan", "--data", data],
    );
    for (variable, in_its_place, content, commands) in [
        (
            "CREDENTIALS_SECRET_ARN",
            "OKTA_API_TOKEN",
            TOKEN,
            [&explain[..], &plan, &serve],
        ),
        (
            "HOOK_SECRET_ARN",
            "HOOK_SECRET",
            "short",
            [
                &["hook", "rotate"][..],
                &["hook", "register", "--url", "https://a.example"],
                &serve,
            ],
        ),
    ] {
        let arn = secret(content).await;
        let mut changes = aws(servers::moto_url()).to_vec();
        changes.extend([(variable, &*arn), (in_its_place, "")]);
        for command in commands {
            let ran = desk.run_with(&changes, command).await;
            ran.expect(2).says(&arn).says(variable);
        }
        // The doctor reports it as one problem of several.
        let doctor = desk.run_with(&changes, &["doctor", "--data", data]).await;
        doctor.expect(1).says("FAILED   secrets").says(variable);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_read_now_is_no_wrong_setting() {
    let desk = Desk::new().await;
    let data = desk.data.to_str().unwrap();
    let mut changes = aws("http://127.0.0.1:1").to_vec();
    changes.extend([
        ("CREDENTIALS_SECRET_ARN", "credentials"),
        ("OKTA_API_TOKEN", ""),
    ]);
    let plan = desk.run_with(&changes, &["plan", "--data", data]).await;
    plan.expect(1).says("credentials");
    let content = json!({"okta_api_token": TOKEN}).to_string();
    let arn = secret(&content).await;
    let mut changes = aws(servers::moto_url()).to_vec();
    changes.extend([("CREDENTIALS_SECRET_ARN", &*arn), ("OKTA_API_TOKEN", "")]);
    desk.run_with(&changes, &["plan", "--data", data])
        .await
        .expect(0);
}
