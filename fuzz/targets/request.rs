//! A whole invocation of the hook: header names and values, base64, method, body.
#![no_main]

use std::panic::{set_hook, take_hook};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use okta_anypoint::clock::SystemClock;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Failure;
use okta_anypoint::ids::OktaAppId;
use okta_anypoint::lambda::http::{HttpEvent, answer};
use okta_anypoint::queue::Queue;
use okta_anypoint::receiver::{Gate, Receiver};
use okta_anypoint::telemetry::Metrics;
use tokio::runtime::Runtime;

/// Takes everything.
struct Taken;

#[async_trait::async_trait]
impl Queue for Taken {
    async fn send(&self, _: &[Change]) -> Result<(), Failure> {
        Ok(())
    }
}

static HOOK: LazyLock<(Runtime, Receiver)> = LazyLock::new(|| {
    // The fuzzer's own hook ends the process, also where a panic is caught: those of lambda_http are, and answered 400.
    let ends = take_hook();
    set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("", |place| place.file());
        if !place.contains("lambda_http") && !place.contains("aws_lambda_events") {
            ends(panic);
        }
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let secret = vec!["demo-hook-secret".to_owned().into()];
    let header = "authorization".parse().expect("a header name");
    let gate = Gate::new(header, secret).expect("a gate");
    let app = OktaAppId::parse("0oaANYPOINT1demo").expect("an id");
    let metrics = Arc::new(Metrics::for_lambda("hook"));
    let receiver = Receiver::new(gate, app, Arc::new(Taken), Arc::new(SystemClock), metrics);
    (runtime, receiver)
});

fuzz_target!(|invocation: &[u8]| {
    let Ok(event) = serde_json::from_slice::<HttpEvent>(invocation) else {
        return;
    };
    let (runtime, receiver) = &*HOOK;
    let answer = runtime.block_on(answer(receiver, event));
    let answer = serde_json::to_value(answer).expect("an answer is JSON");
    let status = answer["statusCode"].as_u64();
    assert!(
        matches!(status, Some(200 | 204 | 400 | 401 | 405 | 413)),
        "{answer}"
    );
    let knows_the_secret = String::from_utf8_lossy(invocation).contains("demo-hook-secret")
        // JSON can spell it with escapes.
        || invocation.contains(&b'\\');
    assert!(
        matches!(status, Some(400 | 401)) || knows_the_secret,
        "{answer}"
    );
});
