//! When our own credential at Okta ends. Source of shapes: Okta API, "API Tokens" and "Application Client Auth
//! Credentials".
//!
//! An API token expires after 30 days (its window) without a call. Okta lists tokens by user and without their values,
//! for those who may see them. No call says which one is ours. The keys of a service app do not expire.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::client::Okta;
use crate::clock::rfc3339;
use crate::deadline::Deadline;
use crate::http::{CallError, CallErrorKind, entries};
use crate::ids::OktaUserId;

entries!(ApiToken: "id");

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The operator is warned this many days before a credential ends.
const WARNING_DAYS: u64 = 14;
/// Okta's name for tokens that people make for its API. Agents have tokens under their user, too.
const OF_THE_API: &str = "Okta API";

/// What Okta says about the end of our credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "credential")]
pub enum CredentialLife {
    /// A service app: its keys do not expire.
    ServiceApp,
    /// An API token. If its user has several, it is one of these; the first to end comes first. Never empty.
    ApiToken {
        /// The tokens of that user.
        tokens: Vec<TokenLife>,
    },
    /// Its end is unknown.
    #[serde(rename = "untold")]
    Unknown {
        /// Why not, for people.
        why: String,
    },
}

/// When a token was used and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLife {
    /// When it ends if nobody uses it.
    pub ends_ms: i64,
    /// When it was last used, as far as Okta says how long it lives without use.
    pub last_used_ms: Option<i64>,
}

impl TokenLife {
    /// Whole days until it ends; 0 when it has ended.
    pub(crate) fn days_left(&self, now_ms: i64) -> u64 {
        u64::try_from((self.ends_ms - now_ms).div_euclid(DAY_MS)).unwrap_or(0)
    }

    fn ends_soon(&self, now_ms: i64) -> bool {
        self.days_left(now_ms) < WARNING_DAYS
    }
}

/// What follows from a credential's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// It lasts.
    Lasts,
    /// It ends within 14 days: somebody has to act.
    EndsSoon,
    /// Its end is unknown.
    Unknown,
}

/// What to do about a token that ends soon.
pub const RENEWAL: &str = "An API token ends after 30 days without a call. Run any command with it, such as `okta-anypoint \
    doctor`; if its end stays, make another token in Okta (Security, API, Tokens) and set OKTA_API_TOKEN.";

impl CredentialLife {
    /// What follows from it, and in words.
    pub fn outlook(&self, now_ms: i64) -> (Outlook, String) {
        let date = |ms: i64| rfc3339(ms).get(..10).unwrap_or_default().to_owned();
        let end = |token: &TokenLife| {
            let days = token.days_left(now_ms);
            format!("{} ({days} days left)", date(token.ends_ms))
        };
        match self {
            Self::ServiceApp => {
                let text = "a service app, whose keys do not expire";
                (Outlook::Lasts, text.to_owned())
            }
            Self::Unknown { why } => (Outlook::Unknown, format!("its end is unknown: {why}")),
            Self::ApiToken { tokens } => match tokens.as_slice() {
                [] => (Outlook::Unknown, "its end is unknown".to_owned()),
                [token] => {
                    let used = match token.last_used_ms {
                        Some(used_ms) => format!("last used {}, ", date(used_ms)),
                        None => String::new(),
                    };
                    let outlook = match token.ends_soon(now_ms) {
                        true => Outlook::EndsSoon,
                        false => Outlook::Lasts,
                    };
                    let text = format!("an API token, {used}ends {} unless it is used", end(token));
                    (outlook, text)
                }
                [first, .., last] => {
                    let outlook = match (first.ends_soon(now_ms), last.ends_soon(now_ms)) {
                        (false, _) => Outlook::Lasts,
                        (true, true) => Outlook::EndsSoon,
                        (true, false) => Outlook::Unknown,
                    };
                    let text = format!(
                        "one of {} API tokens of its user, and Okta does not say which: the first ends {}, the last {}",
                        tokens.len(),
                        end(first),
                        end(last)
                    );
                    (outlook, text)
                }
            },
        }
    }

    /// The token's life, when it is known which token is ours.
    pub fn token(&self) -> Option<TokenLife> {
        match self {
            Self::ApiToken { tokens } => match tokens.as_slice() {
                [one] => Some(*one),
                _ => None,
            },
            Self::ServiceApp | Self::Unknown { .. } => None,
        }
    }

    fn unknown(why: &str) -> Self {
        let why = why.to_owned();
        Self::Unknown { why }
    }
}

#[derive(Deserialize)]
struct Me {
    id: OktaUserId,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiToken {
    id: String,
    user_id: Option<String>,
    client_name: Option<String>,
    expires_at: Option<String>,
    token_window: Option<String>,
}

impl ApiToken {
    fn is_of(&self, user: &OktaUserId) -> bool {
        let kind = self.client_name.as_deref().unwrap_or(OF_THE_API);
        self.user_id.as_deref() == Some(user.as_str()) && kind == OF_THE_API
    }

    fn life(&self) -> Option<TokenLife> {
        let ends: jiff::Timestamp = self.expires_at.as_deref()?.parse().ok()?;
        let ends_ms = ends.as_millisecond();
        Some(TokenLife {
            ends_ms,
            last_used_ms: self.window_ms().map(|window| ends_ms - window),
        })
    }

    fn window_ms(&self) -> Option<i64> {
        let window: jiff::Span = self.token_window.as_deref()?.parse().ok()?;
        let window = window.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
        i64::try_from(window.ok()?.as_millis()).ok()
    }
}

impl Okta {
    /// What Okta says about the end of our credential: nothing is asked for a service app, two calls for an API token.
    /// A missing right is an answer, too.
    pub async fn credential_life(&self, deadline: Deadline) -> Result<CredentialLife, CallError> {
        if self.is_service_app() {
            return Ok(CredentialLife::ServiceApp);
        }
        let refused = |error: CallError| {
            let is_right = matches!(
                error.status(),
                Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
            );
            // Okta's 401 for a missing right or feature (E0000015) is reported as a refused sign-in.
            match is_right || matches!(error.kind, CallErrorKind::SignIn { .. }) {
                true => Ok(CredentialLife::unknown(
                    "the admin who made this API token may not list API tokens",
                )),
                false => Err(error),
            }
        };
        let who = self.get("read its own user", &["users", "me"]);
        let me: Me = match self.send(&who, deadline).await {
            Ok(answer) => answer.json(&who)?,
            Err(error) => return refused(error),
        };
        let list = self.get("list API tokens", &["api-tokens"]);
        let listed = match self.read_list::<ApiToken>(list, deadline).await {
            Ok(listed) => listed.whole()?,
            Err(error) => return refused(error),
        };
        Ok(of_tokens(&listed, &me.id))
    }
}

fn of_tokens(listed: &[ApiToken], user: &OktaUserId) -> CredentialLife {
    let own: Vec<&ApiToken> = listed.iter().filter(|token| token.is_of(user)).collect();
    let mut tokens: Vec<TokenLife> = own.iter().filter_map(|token| token.life()).collect();
    if own.is_empty() {
        return CredentialLife::unknown("Okta lists no API token of its user");
    }
    if tokens.len() < own.len() {
        return CredentialLife::unknown(
            "Okta does not name the end of every API token of its user",
        );
    }
    tokens.sort_by_key(|token| token.ends_ms);
    CredentialLife::ApiToken { tokens }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokens(values: serde_json::Value) -> CredentialLife {
        let listed: Vec<ApiToken> = serde_json::from_value(values).unwrap();
        of_tokens(&listed, &OktaUserId::parse("00uME").unwrap())
    }

    #[test]
    fn a_token_was_last_used_one_window_before_its_end() {
        let life = tokens(json!([
            {"id": "00T1", "userId": "00uME", "clientName": "Okta API", "tokenWindow": "P30D",
             "expiresAt": "2026-03-31T00:00:00.000Z"},
            {"id": "00T2", "userId": "00uOTHER", "expiresAt": "2026-03-02T00:00:00.000Z"},
            {"id": "00T3", "userId": "00uME", "clientName": "Okta AD Agent", "expiresAt": "2026-03-02T00:00:00.000Z"},
        ]));
        let token = life.token().unwrap();
        let used: jiff::Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(token.last_used_ms, Some(used.as_millisecond()));
        let in_days = |days: i64| token.ends_ms - days * DAY_MS;
        assert_eq!(token.days_left(in_days(14)), 14);
        assert!(!token.ends_soon(in_days(14)) && token.ends_soon(in_days(14) + 1));
        assert_eq!(token.days_left(token.ends_ms + 5 * DAY_MS), 0);
    }

    #[test]
    fn with_several_tokens_ours_is_unknown() {
        let of = |end: &str| json!({"id": end, "userId": "00uME", "expiresAt": format!("{end}T00:00:00Z")});
        let life = tokens(json!([of("2026-03-09"), of("2026-03-05")]));
        let CredentialLife::ApiToken { tokens: found } = &life else {
            panic!("{life:?}");
        };
        assert!(found[0].ends_ms < found[1].ends_ms && found[0].last_used_ms.is_none());
        assert_eq!(life.token(), None);
        // Some day the first is about to end, then both are; before that it does not matter which is ours.
        let end_ms = found[0].ends_ms;
        let at = |days: i64| life.outlook(end_ms - days * DAY_MS).0;
        let outlooks = [Outlook::Lasts, Outlook::Unknown, Outlook::EndsSoon];
        assert_eq!([at(14), at(11), at(9)], outlooks);
        for odd in [
            json!([]),
            json!([of("2026-03-09"), {"id": "00T9", "userId": "00uME", "expiresAt": null}]),
        ] {
            assert!(matches!(tokens(odd), CredentialLife::Unknown { .. }));
        }
    }
}
