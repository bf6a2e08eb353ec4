//! A failure that would follow, for machines.

use okta_anypoint::failure::Failure;

/// The fields that `explain` and `link` show.
pub fn failure_json(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "side": failure.side,
        "class": failure.class,
        "code": failure.cause,
        "message": failure.message,
        "advice": failure.advice,
    })
}
