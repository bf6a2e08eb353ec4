//! How long a remote asks us to wait, and the part of an error body that is safe to show.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// With this few calls left, or a tenth of all, a quota is nearly used up: other callers may use them first.
const FEW_CALLS: u64 = 20;
/// The longest pause a hint can ask for; beyond that it is taken for a mistake and cut.
const MAX_PAUSE: Duration = Duration::from_secs(15 * 60);

/// How long the remote asks us to wait, at the local time `now_ms` (milliseconds since the epoch).
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
    let remote_now_s = remote_now_s(headers, now_ms);
    let asked = texts(headers, &["retry-after"])
        .filter_map(|text| match parse_http_date(text) {
            Some(at) => Some(u64::try_from(at - remote_now_s).unwrap_or_default()),
            None => text
                .split(',')
                .filter_map(|part| part.trim().parse().ok())
                .min(),
        })
        .min();
    if let Some(seconds) = asked {
        return Some(Duration::from_secs(seconds).min(MAX_PAUSE));
    }
    let quota = quota(headers, now_ms);
    if status != StatusCode::TOO_MANY_REQUESTS && quota.remaining != Some(0) {
        return None;
    }
    quota.reset
}

/// What an answer says of the calls that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Quota {
    /// How many calls one window has.
    pub(super) limit: Option<u64>,
    /// How many of them are left.
    pub(super) remaining: Option<u64>,
    /// How long until the next window.
    pub(super) reset: Option<Duration>,
}

impl Quota {
    /// Whether so few calls are left that a refusal without a reason is probably due to this.
    pub(super) fn is_nearly_used_up(&self) -> bool {
        let few = self
            .limit
            .map_or(FEW_CALLS, |limit| (limit / 10).max(FEW_CALLS));
        self.remaining.is_some_and(|remaining| remaining <= few)
    }
}

/// Reads the quota of an answer at the local time `now_ms`. A header may be given twice or as a list: of
/// several resets the earliest that is not past counts, of several numbers the smallest.
pub(super) fn quota(headers: &HeaderMap, now_ms: i64) -> Quota {
    let numbers = |names: &[&str]| {
        let parts = texts(headers, names).flat_map(|text| text.split(','));
        parts
            .filter_map(|part| part.trim().parse::<i64>().ok())
            .collect::<Vec<i64>>()
    };
    let smallest = |names: &[&str]| {
        let found = numbers(names).into_iter().min()?;
        u64::try_from(found).ok()
    };
    let remote_now_s = remote_now_s(headers, now_ms);
    let resets = numbers(&["x-rate-limit-reset", "x-ratelimit-reset"]);
    let in_seconds = resets.into_iter().map(|reset| {
        let is_millis = reset > 100_000_000_000;
        (if is_millis { reset / 1000 } else { reset }) - remote_now_s
    });
    let in_seconds: Vec<i64> = in_seconds.collect();
    let to_come = in_seconds
        .iter()
        .copied()
        .filter(|seconds| *seconds >= 0)
        .min();
    // One that is past: the next window has begun.
    let reset = to_come.or_else(|| in_seconds.first().map(|_| 0));
    Quota {
        limit: smallest(&["x-rate-limit-limit", "x-ratelimit-limit"]),
        remaining: smallest(&["x-rate-limit-remaining", "x-ratelimit-remaining"]),
        reset: reset.map(|seconds| {
            let seconds = u64::try_from(seconds).unwrap_or_default() + 1;
            Duration::from_secs(seconds).min(MAX_PAUSE)
        }),
    }
}

/// How long until the minute ends, by the remote's clock if the answer gives it.
pub(super) fn until_the_minute_ends(headers: &HeaderMap, now_ms: i64) -> Duration {
    let second = remote_now_s(headers, now_ms).rem_euclid(60);
    Duration::from_secs(60 - u64::try_from(second).unwrap_or_default())
}

fn texts<'a>(headers: &'a HeaderMap, names: &[&str]) -> impl Iterator<Item = &'a str> {
    let values: Vec<_> = names
        .iter()
        .flat_map(|name| headers.get_all(*name))
        .collect();
    values.into_iter().filter_map(|value| value.to_str().ok())
}

fn remote_now_s(headers: &HeaderMap, now_ms: i64) -> i64 {
    let date = headers.get("date").and_then(|value| value.to_str().ok());
    date.and_then(parse_http_date).unwrap_or(now_ms / 1000)
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
    fn hints_given_twice_or_as_a_list_are_understood() {
        let now_ms = 1_772_442_904_000;
        let pause = |name: &'static str, values: &[&str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(name, value.parse().unwrap());
            }
            pause_asked_for(StatusCode::TOO_MANY_REQUESTS, &map, now_ms)
        };
        // The earliest that is not past; one that cannot be read does not count.
        for values in [
            &["1772442910", "1772442970"][..],
            &["1772442970", "1772442910"],
            &["1772442910, 1772442970"],
            &["1772442890,1772442910"],
            &["soon, 1772442910"],
            &["1772442910000, 1772442970"],
        ] {
            let found = pause("x-rate-limit-reset", values);
            assert_eq!(found, Some(Duration::from_secs(7)), "{values:?}");
        }
        assert_eq!(pause("x-rate-limit-reset", &["soon"]), None);
        assert_eq!(
            pause("retry-after", &["9", "7"]),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            pause("retry-after", &["9, 7"]),
            Some(Duration::from_secs(7))
        );
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
