//! A batch as SQS hands it over, and the bodies of its messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use okta_anypoint::event::Change;
use okta_anypoint::lambda::sqs::SqsEvent;
use okta_anypoint::schedule::Invocation;

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<SqsEvent>(bytes);
    if let Ok(change) = serde_json::from_slice::<Change>(bytes) {
        let text = serde_json::to_string(&change).expect("a change is JSON");
        assert_eq!(serde_json::from_str::<Change>(&text).ok(), Some(change));
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        let _ = Invocation::parse(&value);
    }
});
