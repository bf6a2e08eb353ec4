//! What a remote says about when to come back, and what of an error body is safe to show.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// The longest pause a hint can ask for; beyond that it is taken for a mistake and cut.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// How long the remote asks to be left alone, at the local time `now_ms` (milliseconds since the
/// epoch).
///
/// `Retry-After` counts in seconds or names a date (RFC 9110, 10.2.3). Okta's
/// `X-Rate-Limit-Reset` and Anypoint's `X-RateLimit-Reset` are epoch seconds in UTC (Okta, "Rate
/// limits: monitor"; Anypoint Access Management API). Both come with every answer, so they only count
/// on a 429 or when nothing remains of the quota; they are compared with the answer's own `Date`, so
/// that a wrong clock here does no harm. A value above 10^11 is taken for milliseconds.
pub(super) fn pause_asked_for(
    status: StatusCode,
    headers: &HeaderMap,
    now_ms: i64,
) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let remote_now_s = text("date")
        .and_then(parse_http_date)
        .unwrap_or(now_ms / 1000);
    if let Some(value) = text("retry-after") {
        let seconds = match value.trim().parse::<u64>() {
            Ok(seconds) => Some(seconds),
            Err(_) => parse_http_date(value)
                .map(|at| u64::try_from(at - remote_now_s).unwrap_or_default()),
        };
        if let Some(seconds) = seconds {
            return Some(Duration::from_secs(seconds).min(LONGEST_PAUSE));
        }
    }
    let remaining = text("x-rate-limit-remaining").or_else(|| text("x-ratelimit-remaining"));
    if status != StatusCode::TOO_MANY_REQUESTS && remaining != Some("0") {
        return None;
    }
    let reset = text("x-rate-limit-reset").or_else(|| text("x-ratelimit-reset"))?;
    let mut reset_s: i64 = reset.trim().parse().ok()?;
    if reset_s > 100_000_000_000 {
        reset_s /= 1000;
    }
    let seconds = u64::try_from(reset_s - remote_now_s).unwrap_or_default() + 1;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// Seconds since the epoch of an HTTP date (`Mon, 02 Mar 2026 09:15:04 GMT`).
pub(crate) fn parse_http_date(value: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(value)
        .ok()
        .map(|at| at.timestamp().as_second())
}

/// The name of the error, from the body or from the challenge of a 401 (RFC 6750, 3; RFC 9449, 9). A
/// demand for a nonce comes first: it is about this attempt only.
pub(super) fn error_code(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let challenged = challenge_error(headers);
    if challenged.as_deref() == Some("use_dpop_nonce") {
        return challenged;
    }
    safe_code(body).or(challenged)
}

/// `error="…"` of `WWW-Authenticate`.
fn challenge_error(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(http::header::WWW_AUTHENTICATE)
        .iter()
        .find_map(|challenge| {
            let (_, rest) = challenge.to_str().ok()?.split_once("error=\"")?;
            let (error, _) = rest.split_once('"')?;
            let plain = error.len() <= 64
                && error
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_');
            plain.then(|| error.to_owned())
        })
}

/// The part of an error body that names the error without any value: Okta's `errorCode`, the
/// `error` of OAuth (RFC 6749, 5.2), or the keyword and path of Anypoint's validation errors.
pub(super) fn safe_code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let word = |value: &Value| {
        value
            .as_str()
            .filter(|text| {
                !text.is_empty()
                    && text.len() <= 64
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._-[]/".contains(&b))
            })
            .map(str::to_owned)
    };
    if let Some(code) = word(&body["errorCode"]).or_else(|| word(&body["error"])) {
        return Some(code);
    }
    let first = body["errors"].get(0)?;
    let keyword = word(&first["keyword"]).or_else(|| word(&first["type"]));
    let path = word(&first["dataPath"]).or_else(|| word(&first["datapath"]));
    match (keyword, path) {
        (Some(keyword), Some(path)) => Some(format!("{keyword} {path}")),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.insert(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn hints_of_both_vendors_are_understood() {
        let now_ms = 1_772_442_904_000; // Mon, 02 Mar 2026 09:15:04 GMT
        let date = ("date", "Mon, 02 Mar 2026 09:15:04 GMT");
        type Case<'a> = (&'a [(&'static str, &'a str)], Option<u64>);
        let cases: [Case<'_>; 8] = [
            (&[("retry-after", "7")], Some(7)),
            (
                &[date, ("retry-after", "Mon, 02 Mar 2026 09:15:10 GMT")],
                Some(6),
            ),
            (&[date, ("x-rate-limit-reset", "1772442910")], Some(7)),
            (&[date, ("x-ratelimit-reset", "1772442910000")], Some(7)),
            (&[("x-ratelimit-reset", "1772442900")], Some(1)),
            (&[("retry-after", "999999")], Some(900)),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ];
        for (given, seconds) in cases {
            assert_eq!(
                pause_asked_for(StatusCode::TOO_MANY_REQUESTS, &headers(given), now_ms),
                seconds.map(Duration::from_secs),
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_wrong_local_clock_does_not_lengthen_the_pause() {
        let given = headers(&[
            ("date", "Mon, 02 Mar 2026 09:15:04 GMT"),
            ("x-rate-limit-reset", "1772442910"),
        ]);
        let pause = pause_asked_for(StatusCode::TOO_MANY_REQUESTS, &given, 0);
        assert_eq!(pause, Some(Duration::from_secs(7)));
    }

    #[test]
    fn the_reset_that_every_answer_carries_does_not_delay_other_errors() {
        let pause = |remaining: &str| {
            let given = headers(&[
                ("x-rate-limit-reset", "1772442910"),
                ("x-rate-limit-remaining", remaining),
            ]);
            pause_asked_for(StatusCode::SERVICE_UNAVAILABLE, &given, 1_772_442_904_000)
        };
        assert_eq!(pause("12"), None);
        assert_eq!(pause("0"), Some(Duration::from_secs(7)));
    }

    #[test]
    fn challenges_name_errors_too() {
        let given = headers(&[(
            "www-authenticate",
            "DPoP algs=\"ES256\", error=\"invalid_token\"",
        )]);
        assert_eq!(error_code(&given, b"").as_deref(), Some("invalid_token"));
        let body = br#"{"errorCode":"E0000011"}"#;
        assert_eq!(error_code(&given, body).as_deref(), Some("E0000011"));
        let given = headers(&[("www-authenticate", "DPoP error=\"use_dpop_nonce\"")]);
        assert_eq!(error_code(&given, body).as_deref(), Some("use_dpop_nonce"));
        let given = headers(&[("www-authenticate", "Bearer error=\"ann@acme.example\"")]);
        assert_eq!(error_code(&given, b""), None);
    }

    #[test]
    fn only_codes_and_paths_are_taken_from_error_bodies() {
        let cases = [
            (
                r#"{"errorCode":"E0000007","errorSummary":"no ann@acme.example"}"#,
                Some("E0000007"),
            ),
            (r#"{"error":"invalid_client"}"#, Some("invalid_client")),
            (
                r#"{"error":"You must reauthenticate","location":"/login"}"#,
                None,
            ),
            (
                r#"{"errors":[{"type":"json","keyword":"format","dataPath":"email","message":"ann@acme.example"}]}"#,
                Some("format email"),
            ),
            (
                r#"{"status":400,"message":"ann@acme.example is taken"}"#,
                None,
            ),
            ("Unauthorized", None),
            ("", None),
        ];
        for (body, code) in cases {
            assert_eq!(safe_code(body.as_bytes()).as_deref(), code, "{body}");
        }
    }
}
