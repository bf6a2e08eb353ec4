//! The least that a Rust function on Lambda can do with a delivery: it puts the body into a queue with
//! one signed call of the SDK and answers 204. It checks nothing. `benches/hook/main.rs` measures the
//! receiver against it.

use aws_config::BehaviorVersion;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Request {
    body: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::rustls(CryptoMode::Ring))
        .build_https();
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .load()
        .await;
    let queue = aws_sdk_sqs::Client::new(&sdk);
    let url = std::env::var("QUEUE_URL")?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Request>| {
        queue
            .send_message()
            .queue_url(&url)
            .message_group_id("all")
            .message_deduplication_id(&event.context.request_id)
            .message_body(event.payload.body)
            .send()
            .await?;
        Ok::<Value, Error>(json!({"statusCode": 204}))
    }))
    .await
}
