//! Base address, token and sending: what every resource of Anypoint's shares.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::token::{ConnectedApp, ConnectedAppTokens};
use crate::deadline::Deadline;
use crate::failure::{Class, Side};
use crate::http::{
    Call, CallError, CallErrorKind, Entry, HttpClient, RemoteAnswer, Session, address, if_found,
};
use crate::ids::OrganizationId;
use crate::secrets::Renewable;

/// A client of one Anypoint root organization. Cheap to clone.
#[derive(Clone)]
pub struct Anypoint {
    http: HttpClient,
    base_url: Url,
    organization: OrganizationId,
    session: Session,
    /// When the organization was last read to confirm a 404.
    confirmed: Arc<Mutex<Option<Instant>>>,
}

/// Before a refused write without values is sent again.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// How long a read of the organization confirms 404s: about as long as one look.
const CONFIRMATION_STANDS: Duration = Duration::from_secs(5);

impl Anypoint {
    /// A client of `organization` on the control plane at `base_url`
    /// (`https://anypoint.mulesoft.com`).
    pub fn new(
        http: HttpClient,
        base_url: Url,
        organization: OrganizationId,
        client_id: String,
        client_secret: SecretString,
    ) -> Self {
        let app = ConnectedApp {
            client_id,
            client_secret,
        };
        Self::with_app(http, base_url, organization, app)
    }

    /// The same with a connected app that may be renewed.
    pub(crate) fn with_app(
        http: HttpClient,
        base_url: Url,
        organization: OrganizationId,
        app: impl Into<Renewable<ConnectedApp>>,
    ) -> Self {
        let tokens = ConnectedAppTokens {
            http: http.clone(),
            url: address(&base_url, &["accounts", "api", "v2", "oauth2", "token"]),
            app: app.into(),
        };
        Self {
            session: Session::new(http.clone(), Side::Anypoint, &base_url, Arc::new(tokens)),
            http,
            base_url,
            organization,
            confirmed: Arc::default(),
        }
    }

    /// A call below `/accounts/api`.
    pub(super) fn outer_call(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
    ) -> Call {
        let path = [&["accounts", "api"], path].concat();
        let url = address(&self.base_url, &path);
        Call::new(Side::Anypoint, operation, method, url)
    }

    /// A call below the organization.
    pub(super) fn call(&self, operation: &'static str, method: Method, path: &[&str]) -> Call {
        let path = [&["organizations", self.organization.as_str()], path].concat();
        self.outer_call(operation, method, &path)
    }

    /// A read below the organization.
    pub(super) fn get(&self, operation: &'static str, path: &[&str]) -> Call {
        self.call(operation, Method::GET, path)
    }

    /// Fetches a token ahead of need, so that the first call does not wait for it.
    pub async fn warm_up(&self, deadline: Deadline) {
        self.session.warm_up(deadline).await;
    }

    /// Fetches a token, to see whether the connected app is accepted.
    #[cfg(feature = "local")]
    pub async fn probe_token(&self, deadline: Deadline) -> Result<(), CallError> {
        self.session.sign_in(deadline).await
    }

    /// Sends a call with the current token. A 401 means an expired token or a missing permission:
    /// one new token is tried, a second 401 is a permission problem (Access Management API: team
    /// writes answer 401 for a missing permission). A 404 is passed on as such only beside an
    /// organization that can be read: a gateway's 404 says nothing about the object.
    pub(super) async fn send(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        match self.send_unconfirmed(call, deadline).await {
            Err(error) if error.is_not_found() => {
                self.confirm_absence(call, deadline).await?;
                Err(error)
            }
            other => other,
        }
    }

    /// As [`Anypoint::send`], for a write that holds ids and flags only. There is no value in it that could be refused for
    /// good, so one refusal proves nothing, and the call is sent once more.
    pub(super) async fn send_without_values(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        match self.send(call, deadline).await {
            Err(error)
                if error.class() == Class::Permanent
                    && deadline.remaining() > REFUSED_PAUSE * 2 =>
            {
                tokio::time::sleep(REFUSED_PAUSE).await;
                self.send(call, deadline).await
            }
            other => other,
        }
    }

    /// As [`Anypoint::send`], with every 404 as it came.
    pub(super) async fn send_unconfirmed(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        let answer = self.session.send(call, deadline).await;
        answer.map_err(|error| match error.status() {
            Some(StatusCode::UNAUTHORIZED) => {
                let what = "401 after a fresh token: a scope is missing".to_owned();
                call.error(CallErrorKind::Unauthorized(what))
            }
            _ => error,
        })
    }

    /// Makes sure that the 404 of `call` was Anypoint's own. One read of the organization counts for all
    /// 404s of a look.
    async fn confirm_absence(&self, call: &Call, deadline: Deadline) -> Result<(), CallError> {
        let mut confirmed = self.confirmed.lock().await;
        if confirmed.is_some_and(|at| at.elapsed() < CONFIRMATION_STANDS) {
            return Ok(());
        }
        self.check_organization(deadline)
            .await
            .map_err(|error| match error.kind {
                CallErrorKind::Unreadable(_) => call.error(CallErrorKind::NotTheServices404),
                _ if error.is_not_found() => call.error(CallErrorKind::NotTheServices404),
                _ => error,
            })?;
        *confirmed = Some(Instant::now());
        Ok(())
    }

    /// Reads the organization: a call about nobody in particular. It fails when the side is out of
    /// order for everybody, such as when the credentials or the scopes are refused.
    ///
    /// # Errors
    /// When the organization cannot be read.
    pub async fn check_organization(&self, deadline: Deadline) -> Result<(), CallError> {
        /// As far as it shows that Anypoint itself answers.
        #[derive(Deserialize)]
        struct Found {
            id: Option<String>,
            name: Option<String>,
        }
        let call = self.get("read the organization", &[]);
        let answer = self.send_unconfirmed(&call, deadline).await?;
        let found: Found = answer.json(&call)?;
        let is_it = match &found.id {
            Some(id) => id.eq_ignore_ascii_case(self.organization.as_str()),
            None => found.name.is_some(),
        };
        if is_it {
            return Ok(());
        }
        let what = "not the organization that was asked for".to_owned();
        Err(call.error(CallErrorKind::Unreadable(what)))
    }

    /// Sends a call that needs no sign-in.
    pub(super) async fn send_anonymously(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        self.http.send(call, deadline).await
    }

    /// Reads the object with this id; `None` when it does not exist.
    pub(super) async fn read<T: Entry>(
        &self,
        call: &Call,
        id: &str,
        deadline: Deadline,
    ) -> Result<Option<T>, CallError> {
        let answer = if_found(self.send(call, deadline).await)?;
        answer.map(|answer| answer.object(call, id)).transpose()
    }
}
