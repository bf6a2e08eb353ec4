//! Base address, signing and paging: what every resource of Okta's shares.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::auth::{Credentials, OktaTokens, Scopes};
use crate::deadline::Deadline;
use crate::failure::Side;
use crate::http::{Answer, Call, CallError, CallErrorKind, HttpClient, Session, if_found};
use crate::secrets::Renewable;

/// Pages of one list at the most: far above any org, low enough to end a loop of links.
const MOST_PAGES: usize = 10_000;

/// A client of one Okta org. Cheap to clone.
#[derive(Clone)]
pub struct Okta {
    http: HttpClient,
    org_url: Url,
    credentials: Renewable<Credentials>,
    session: Session,
}

impl Okta {
    /// A client of the org at `org_url` (`https://acme.okta.com`) that looks at users, groups and
    /// assignments.
    pub fn new(
        http: HttpClient,
        org_url: Url,
        credentials: impl Into<Renewable<Credentials>>,
    ) -> Self {
        Self::with(http, org_url, credentials.into(), Scopes::default())
    }

    /// The same client with other scopes. They count for a service app only; an API token has the
    /// rights of the admin who made it.
    #[must_use]
    pub fn with_scopes(self, scopes: Scopes) -> Self {
        Self::with(self.http, self.org_url, self.credentials, scopes)
    }

    fn with(
        http: HttpClient,
        org_url: Url,
        credentials: Renewable<Credentials>,
        scopes: Scopes,
    ) -> Self {
        let tokens = OktaTokens::new(http.clone(), &org_url, credentials.clone(), scopes);
        Self {
            session: Session::new(http.clone(), &org_url, Arc::new(tokens)),
            http,
            org_url,
            credentials,
        }
    }

    /// Fetches a token ahead of need, so that the first call does not wait for it.
    pub async fn warm_up(&self, deadline: Deadline) {
        self.session.warm_up(deadline).await;
    }

    /// The address of `path`, which starts with `/` and is already escaped.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.org_url.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// A call that is not signed yet.
    pub(super) fn call(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Call {
        Call::new(Side::Okta, operation, method, self.url(path, query))
    }

    /// Signs and sends a call.
    pub(super) async fn send(&self, call: &Call, deadline: Deadline) -> Result<Answer, CallError> {
        let answer = self.session.send(call, deadline).await;
        answer.map_err(|error| match (error.status(), error.code()) {
            (Some(StatusCode::UNAUTHORIZED), Some("E0000015")) => {
                call.error(CallErrorKind::SignIn {
                    cause: "Okta has no permission or feature for this (E0000015)".to_owned(),
                    fix: "Give the service app, or the admin who made the API token, a role that \
                          allows this call."
                        .to_owned(),
                })
            }
            // Okta answers 403 E0000005 to a token that ended, and to a call without one.
            (Some(StatusCode::UNAUTHORIZED), code)
            | (Some(StatusCode::FORBIDDEN), code @ Some("E0000005")) => {
                let code = code.unwrap_or("401").to_owned();
                call.error(CallErrorKind::Unauthorized(code))
            }
            _ => error,
        })
    }

    /// Reads one object; `None` when it does not exist.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<Option<T>, CallError> {
        let answer = if_found(self.send(call, deadline).await)?;
        answer.map(|answer| answer.json(call)).transpose()
    }

    /// Reads a list to its last page, following `rel="next"`.
    pub(super) async fn read_all<T: DeserializeOwned>(
        &self,
        first: Call,
        deadline: Deadline,
    ) -> Result<Vec<T>, CallError> {
        let mut items = Vec::new();
        let mut call = first;
        for _ in 0..MOST_PAGES {
            let answer = self.send(&call, deadline).await?;
            items.append(&mut answer.json::<Vec<T>>(&call)?);
            match self.next_page(&call, &answer.headers)? {
                Some(next) if next == call.url => {
                    let what = "a next-page link to the same page".to_owned();
                    return Err(call.error(CallErrorKind::Unreadable(what)));
                }
                Some(next) => call.url = next,
                None => return Ok(items),
            }
        }
        Err(call.error(CallErrorKind::Unreadable(
            "the list does not end".to_owned(),
        )))
    }

    /// Whether `url` belongs to this org.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.org_url.origin()
    }

    /// The address of the next page. A link to another host is refused: it would carry the token
    /// there.
    pub(super) fn next_page(
        &self,
        call: &Call,
        headers: &HeaderMap,
    ) -> Result<Option<Url>, CallError> {
        let Some(link) = next_link(headers) else {
            return Ok(None);
        };
        let unreadable = |what: &str| call.error(CallErrorKind::Unreadable(what.to_owned()));
        let next = self
            .org_url
            .join(&link)
            .map_err(|_| unreadable("a next-page link that is no URL"))?;
        if !self.owns(&next) {
            return Err(unreadable("a next-page link to another host"));
        }
        Ok(Some(next))
    }
}

/// The target of `rel="next"`. Okta sends one `Link` header per relation (Okta API, "Design
/// principles: pagination"); a comma-separated list (RFC 8288) is read as well.
fn next_link(headers: &HeaderMap) -> Option<String> {
    for header in headers.get_all(http::header::LINK) {
        let mut rest = header.to_str().ok()?;
        while let Some(start) = rest.find('<') {
            let (target, after) = rest[start + 1..].split_once('>')?;
            let parameters = after.split('<').next().unwrap_or(after);
            let is_next = parameters.split([';', ',']).any(|parameter| {
                let parameter = parameter.trim();
                parameter.eq_ignore_ascii_case("rel=\"next\"")
                    || parameter.eq_ignore_ascii_case("rel=next")
            });
            if is_next {
                return Some(target.to_owned());
            }
            rest = after;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_in_every_form() {
        let cases: [(&[&str], Option<&str>); 5] = [
            (
                &[
                    "<https://a/x>; rel=\"self\"",
                    "<https://a/y?after=1,2>; rel=\"next\"",
                ],
                Some("https://a/y?after=1,2"),
            ),
            (
                &["<https://a/x>; rel=\"self\", <https://a/y>; rel=\"next\""],
                Some("https://a/y"),
            ),
            (
                &["<https://a/y>; title=\"t\"; rel=next"],
                Some("https://a/y"),
            ),
            (&["<https://a/x>; rel=\"self\""], None),
            (&[], None),
        ];
        for (links, next) in cases {
            let mut headers = HeaderMap::new();
            for link in links {
                headers.append(http::header::LINK, link.parse().unwrap());
            }
            assert_eq!(next_link(&headers).as_deref(), next, "{links:?}");
        }
    }
}
