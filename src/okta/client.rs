//! Base address, signing and paging: what every resource of Okta's shares.

use std::collections::HashSet;
use std::sync::Arc;

use http::header::LINK;
use http::{HeaderMap, Method, StatusCode};
use serde::de::IgnoredAny;
use url::Url;

use super::auth::{Credentials, OktaTokens, Scopes};
use crate::deadline::Deadline;
use crate::failure::Side;
use crate::http::{
    Call, CallError, CallErrorKind, Entry, Gathering, HttpClient, Listed, Page, RemoteAnswer,
    Session, address, if_found, next_link,
};
use crate::secrets::Renewable;

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
            session: Session::new(http.clone(), Side::Okta, &org_url, Arc::new(tokens)),
            http,
            org_url,
            credentials,
        }
    }

    /// Fetches a token ahead of need, so that the first call does not wait for it.
    pub async fn warm_up(&self, deadline: Deadline) {
        self.session.warm_up(deadline).await;
    }

    /// A call below `/api/v1`.
    pub(super) fn call(&self, operation: &'static str, method: Method, path: &[&str]) -> Call {
        let path = [&["api", "v1"], path].concat();
        let url = address(&self.org_url, &path);
        Call::new(Side::Okta, operation, method, url)
    }

    /// A read below `/api/v1`.
    pub(super) fn get(&self, operation: &'static str, path: &[&str]) -> Call {
        self.call(operation, Method::GET, path)
    }

    /// Signs and sends a call.
    pub(super) async fn send(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
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

    /// Reads the object with this id; `None` when it does not exist.
    pub(super) async fn read_object<T: Entry>(
        &self,
        call: &Call,
        id: &str,
        deadline: Deadline,
    ) -> Result<Option<T>, CallError> {
        let answer = if_found(self.send(call, deadline).await)?;
        answer.map(|answer| answer.object(call, id)).transpose()
    }

    /// Reads the first item of a list, and returns whether there is one. Fails when the list cannot be read.
    pub(super) async fn check_list(
        &self,
        call: Call,
        deadline: Deadline,
    ) -> Result<bool, CallError> {
        let call = call.query(&[("limit", "1")]);
        let answer = self.send(&call, deadline).await?;
        let items = answer.json::<Vec<IgnoredAny>>(&call)?;
        Ok(!items.is_empty())
    }

    /// Asks for the page at the call's address. A page that is answered 5xx again and again is asked for with half
    /// the `limit`; the call then has the address that was answered.
    pub(super) async fn send_for_page(
        &self,
        call: &mut Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        while let Some(smaller) = halved(&call.url) {
            match self.send(&call.clone().twice(), deadline).await {
                Err(error) if error.is_server_fault() => call.url = smaller,
                answer => return answer,
            }
        }
        self.send(call, deadline).await
    }

    /// Reads a list to its last page, following `rel="next"`.
    pub(super) async fn read_list<T: Entry>(
        &self,
        first: Call,
        deadline: Deadline,
    ) -> Result<Listed<T>, CallError> {
        self.read_list_changing(first, |_| {}, deadline).await
    }

    /// The same; each entry is changed as soon as its page is read.
    pub(super) async fn read_list_changing<T: Entry>(
        &self,
        first: Call,
        change: impl Fn(&mut T),
        deadline: Deadline,
    ) -> Result<Listed<T>, CallError> {
        let unreadable = |what: &str| first.error(CallErrorKind::Unreadable(what.to_owned()));
        let mut list = Gathering::new(&first);
        let mut seen = HashSet::from([place_of(&first.url)]);
        let mut call = first.clone();
        loop {
            let answer = self.send_for_page(&mut call, deadline).await?;
            let mut page = Page::read(&answer.body).map_err(|error| call.unreadable(&error))?;
            page.for_each(&change);
            let is_full = Some(page.len()) == limit_of(&call.url);
            if !list.add(page) {
                return Err(unreadable("a page that was there before"));
            }
            match self.next_page(&call, &answer.headers)? {
                // Okta names every page of a list in a link, the last one, too.
                None if is_full && !answer.headers.contains_key(LINK) => {
                    return Err(unreadable("a full page without any link"));
                }
                None => return Ok(list.end()),
                Some(mut next) => {
                    keep_expand(&first.url, &mut next);
                    if !seen.insert(place_of(&next)) {
                        return Err(unreadable(
                            "a next-page link to a page that was there before",
                        ));
                    }
                    call.url = next;
                }
            }
        }
    }

    /// Whether we are a service app, and not the holder of an API token.
    pub(super) fn is_service_app(&self) -> bool {
        matches!(*self.credentials.current(), Credentials::ServiceApp { .. })
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
        let unreadable = |what: &str| call.error(CallErrorKind::Unreadable(what.to_owned()));
        let Some(link) = next_link(headers).map_err(unreadable)? else {
            return Ok(None);
        };
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

/// A page is not asked for with a smaller `limit` than this.
const MIN_PAGE: usize = 10;

fn limit_of(url: &Url) -> Option<usize> {
    let limit = url.query_pairs().find(|(name, _)| name == "limit")?;
    limit.1.parse().ok()
}

/// The same page, half as long; `None` when it has no length or would be too short.
fn halved(url: &Url) -> Option<Url> {
    let limit = limit_of(url)? / 2;
    if limit < MIN_PAGE {
        return None;
    }
    Some(with_query(url, |name, value| match name {
        "limit" => Some(limit.to_string()),
        _ => Some(value.to_owned()),
    }))
}

/// What tells a page from the others of its list: everything but its length.
fn place_of(url: &Url) -> Url {
    with_query(url, |name, value| {
        (name != "limit").then(|| value.to_owned())
    })
}

/// Until 2026-08-05 the next-page links of some lists lacked `expand` (OKTA-1230324), and the entries of those pages
/// lacked the embedded objects.
fn keep_expand(first: &Url, next: &mut Url) {
    let expand = |url: &Url| {
        let mut pairs = url.query_pairs();
        pairs
            .find(|(name, _)| name == "expand")
            .map(|(_, value)| value.into_owned())
    };
    if let (Some(wanted), None) = (expand(first), expand(next)) {
        next.query_pairs_mut().append_pair("expand", &wanted);
    }
}

fn with_query(url: &Url, change: impl Fn(&str, &str) -> Option<String>) -> Url {
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .filter_map(|(name, value)| Some((name.to_string(), change(&name, &value)?)))
        .collect();
    let mut changed = url.clone();
    changed.set_query(None);
    if !pairs.is_empty() {
        changed.query_pairs_mut().extend_pairs(pairs);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn pages_are_halved_until_they_are_small() {
        let mut page = url("https://a/users?after=1%262&limit=200&expand=user");
        let mut limits = Vec::new();
        while let Some(smaller) = halved(&page) {
            assert_eq!(place_of(&smaller), place_of(&page));
            limits.push(limit_of(&smaller).unwrap());
            page = smaller;
        }
        assert_eq!(limits, [100, 50, 25, 12]);
        assert_eq!(halved(&url("https://a/users")), None);
    }

    #[test]
    fn a_next_link_keeps_expand() {
        let first = url("https://a/users?limit=500&expand=user");
        let mut next = url("https://a/users?after=x&limit=500");
        keep_expand(&first, &mut next);
        assert_eq!(next.query(), Some("after=x&limit=500&expand=user"));
        keep_expand(&first, &mut next);
        assert_eq!(next.query(), Some("after=x&limit=500&expand=user"));
    }
}
