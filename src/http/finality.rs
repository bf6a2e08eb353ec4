//! Whether an error status settles a call, or whether the same call may succeed later.

use http::{Method, StatusCode};
use serde_json::Value;

use crate::failure::Side;

/// What an error status says about the same call, sent again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// The service itself refuses what the write asks for, and will refuse it again.
    Final,
    /// A later call may succeed: it was a read, or the refusal says nothing about a value, or a gateway may
    /// have answered in the service's place.
    Passing,
    /// As [`Finality::Passing`], of a write; and nothing shows that the service answered, because the body is no JSON.
    Unsigned,
}

impl Finality {
    /// What `status` and `body` say about a call to `side`. A read has no value that could be refused.
    pub(super) fn of(side: Side, method: &Method, status: StatusCode, body: &[u8]) -> Self {
        let is_about_values = match status {
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                true
            }
            StatusCode::FORBIDDEN => side == Side::Okta,
            _ => false,
        };
        if *method == Method::GET || !is_about_values {
            return Self::Passing;
        }
        let is_refused = match serde_json::from_slice(body) {
            Ok(body) if side == Side::Okta => okta_refuses(status, &body),
            Ok(body) => anypoint_refuses(status, &body),
            Err(_) => return Self::Unsigned,
        };
        if is_refused {
            Self::Final
        } else {
            Self::Passing
        }
    }
}

/// Okta names each error: `E` and seven digits. A 403 is final only when it is about the object's state.
fn okta_refuses(status: StatusCode, body: &Value) -> bool {
    let Some(code) = body["errorCode"].as_str() else {
        return false;
    };
    let digits = code.strip_prefix('E').unwrap_or_default();
    let is_a_code = digits.len() == 7 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_a_code && !is_busy(code) && (status != StatusCode::FORBIDDEN || is_about_state(code))
}

/// Anypoint's validation answers with `errors`, each with `type` and `message`. Its business rules answer with
/// `status` and `message` (Access Management API, "Error bodies").
fn anypoint_refuses(status: StatusCode, body: &Value) -> bool {
    let first = &body["errors"][0];
    let by_validation = first["type"].is_string() && first["message"].is_string();
    let by_rule = body["status"] == status.as_u16() && body["message"].is_string();
    by_validation || by_rule
}

/// Whether Okta refused because of the object: it is not in the right state, or the attribute is mapped or
/// read-only (Okta, "Error codes").
pub(super) fn is_about_state(code: &str) -> bool {
    matches!(code, "E0000038" | "E0000075" | "E0000111")
}

/// Whether Okta will take the same call soon: a user that is still activating, a conflict, a running
/// reconciliation (Okta, "Error codes").
pub(super) fn is_busy(code: &str) -> bool {
    matches!(code, "E0000112" | "E0000195" | "E0000239")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OKTA: &str = r#"{"errorCode":"E0000001","errorSummary":"Api validation failed"}"#;
    const VALIDATION: &str = r#"{"errors":[{"type":"json","message":"must be a string"}]}"#;

    fn finality(side: Side, method: Method, status: u16, body: &str) -> Finality {
        let status = StatusCode::from_u16(status).unwrap();
        Finality::of(side, &method, status, body.as_bytes())
    }

    #[test]
    fn only_the_services_own_refusal_of_a_write_is_final() {
        for (side, body) in [(Side::Okta, OKTA), (Side::Anypoint, VALIDATION)] {
            for status in 400..500 {
                let is_value = [400, 409, 422].contains(&status);
                let written = finality(side, Method::PUT, status, body);
                assert_eq!(written == Finality::Final, is_value, "{side} {status}");
                let read = finality(side, Method::GET, status, body);
                assert_eq!(read, Finality::Passing, "{side} {status}");
            }
        }
        let rule = r#"{"status":400,"message":"not in the organization"}"#;
        let ruled = |status| finality(Side::Anypoint, Method::PUT, status, rule);
        assert_eq!(ruled(400), Finality::Final);
        assert_eq!(ruled(409), Finality::Passing);
    }

    #[test]
    fn a_gateways_answer_is_not_final() {
        for side in [Side::Okta, Side::Anypoint] {
            for body in [
                "",
                "{}",
                "null",
                "[]",
                "<html>400 Bad Request</html>",
                "400 Bad Request",
                r#"{"message":"Bad Request"}"#,
                r#"{"error":"bad_request"}"#,
                r#"{"errorCode":"invalid"}"#,
                r#"{"errors":[]}"#,
                r#"{"errors":["bad"]}"#,
            ] {
                let found = finality(side, Method::POST, 400, body);
                let expected = match serde_json::from_str::<Value>(body) {
                    Ok(_) => Finality::Passing,
                    Err(_) => Finality::Unsigned,
                };
                assert_eq!(found, expected, "{side} {body}");
            }
        }
    }

    #[test]
    fn a_403_from_okta_is_final_only_about_the_objects_state() {
        for (code, expected) in [
            ("E0000006", Finality::Passing),
            ("E0000038", Finality::Final),
            ("E0000075", Finality::Final),
        ] {
            let body = format!(r#"{{"errorCode":"{code}"}}"#);
            assert_eq!(finality(Side::Okta, Method::POST, 403, &body), expected);
        }
        let busy = r#"{"errorCode":"E0000112"}"#;
        assert_eq!(
            finality(Side::Okta, Method::POST, 409, busy),
            Finality::Passing
        );
    }
}
