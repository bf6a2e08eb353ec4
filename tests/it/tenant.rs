//! The base of every world in these tests: both simulators, with one app in Okta. The load bench uses it, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::http::HttpClient;
use okta_anypoint::ids::{OktaAppId, OrganizationId};
use okta_anypoint::okta::{Credentials, Okta};
use okta_anypoint::provision::{Policy, Ports};
use okta_anypoint::simulator::anypoint::{AnypointOptions, AnypointSimulator};
use okta_anypoint::simulator::okta::{LogEvent, OktaOptions, OktaSimulator, Target};
use okta_anypoint::simulator::traffic::{Fault, Hold, Moment, RecordedRequest};
use okta_anypoint::wiring::Table;

pub const APP: &str = "0oaAPP1";

/// Both simulators. Dropping them fails the test if either saw a request that its vendor does not document.
pub struct Tenant {
    pub okta: OktaSimulator,
    pub anypoint: AnypointSimulator,
    /// The API token that Okta accepts.
    token: String,
}

impl Tenant {
    pub async fn new() -> Self {
        Self::start(OktaOptions::default(), AnypointOptions::default()).await
    }

    pub async fn start(okta: OktaOptions, anypoint: AnypointOptions) -> Self {
        let free = "127.0.0.1:0".parse().unwrap();
        let token = okta.tokens[0].clone();
        let okta = OktaSimulator::start(free, okta).await.unwrap();
        okta.world().add_app(APP, "Anypoint");
        let anypoint = AnypointSimulator::start(free, anypoint).await.unwrap();
        Self {
            okta,
            anypoint,
            token,
        }
    }

    /// A client of Okta.
    pub fn client(&self, credentials: Credentials) -> Okta {
        self.client_at(credentials, Arc::new(SystemClock))
    }

    pub fn client_at(&self, credentials: Credentials, clock: Arc<dyn Clock>) -> Okta {
        let http = HttpClient::new(clock).unwrap();
        Okta::new(http, self.okta.base_url().parse().unwrap(), credentials)
    }

    pub fn api_token(&self) -> Credentials {
        Credentials::ApiToken(self.token.clone().into())
    }

    pub fn ports(&self, table: &Table, policy: Policy, clock: Arc<dyn Clock>) -> Ports {
        let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
        let url = self.okta.base_url().parse().unwrap();
        let world = self.anypoint.world();
        Ports {
            okta: Okta::new(http.clone(), url, self.api_token()),
            anypoint: Anypoint::new(
                http,
                self.anypoint.base_url().parse().unwrap(),
                OrganizationId::parse(world.org_id.clone()).unwrap(),
                world.client_id.clone(),
                world.client_secret.clone().into(),
            ),
            store: table.store.clone(),
            ledger: table.ledger.clone(),
            documents: table.documents.clone(),
            policy: Arc::new(policy),
            app: OktaAppId::parse(APP).unwrap(),
            clock,
        }
    }

    /// The settings that name the simulators.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let world = self.anypoint.world();
        vec![
            ("OKTA_ORG_URL", self.okta.base_url().to_owned()),
            ("OKTA_APP_ID", APP.to_owned()),
            ("OKTA_API_TOKEN", self.token.clone()),
            ("ANYPOINT_BASE_URL", self.anypoint.base_url().to_owned()),
            ("ANYPOINT_ORG_ID", world.org_id.clone()),
            ("ANYPOINT_CLIENT_ID", world.client_id.clone()),
            ("ANYPOINT_CLIENT_SECRET", world.client_secret.clone()),
        ]
    }

    /// Creates an active Okta user `name` (login `name@acme.example`) without a delivery. Returns the id.
    pub fn user(&self, name: &str) -> String {
        self.person(&format!("{name}@acme.example"), name, "Example")
    }

    /// Creates an active Okta user with this login. Returns the id.
    pub fn person(&self, login: &str, first: &str, last: &str) -> String {
        let mut okta = self.okta.world();
        let made = okta.create_user(login, first, last, login, None);
        made.unwrap().id
    }

    /// An event that only asks for another look at this user.
    pub fn hint(&self, user: &str) -> LogEvent {
        let target = Target {
            id: user.to_owned(),
            kind: "User".to_owned(),
            alternate_id: "xaveria@planted.example".to_owned(),
            display_name: "Xaveria Plantedname".to_owned(),
        };
        let mut okta = self.okta.world();
        okta.write_event("user.account.update_profile", vec![target], &[])
    }

    /// `first last phone enabled|disabled` of an account, or `none`.
    pub fn account(&self, username: &str) -> String {
        match self.anypoint.world().user_by_username(username) {
            None => "none".to_owned(),
            Some(user) => format!(
                "{} {} {} {}",
                user.first_name,
                user.last_name,
                user.phone_number.as_deref().unwrap_or("-"),
                if user.enabled { "enabled" } else { "disabled" }
            ),
        }
    }

    pub fn account_id(&self, username: &str) -> String {
        let world = self.anypoint.world();
        let account = world.user_by_username(username).expect("an account");
        account.id.clone()
    }

    /// Whether the account with that name is enabled. `None` if there is no account.
    pub fn enabled(&self, username: &str) -> Option<bool> {
        let world = self.anypoint.world();
        Some(world.user_by_username(username)?.enabled)
    }

    pub fn is_enabled(&self, username: &str) -> bool {
        self.enabled(username).expect("an account")
    }

    pub fn has_account(&self, username: &str) -> bool {
        self.enabled(username).is_some()
    }

    pub fn team_id(&self, name: &str) -> String {
        let world = self.anypoint.world();
        world.team_by_name(name).expect("a team").id.clone()
    }

    /// The usernames in a team, sorted, or `none`.
    pub fn team(&self, name: &str) -> String {
        let world = self.anypoint.world();
        let Some(team) = world.team_by_name(name) else {
            return "none".to_owned();
        };
        let mut members = world.members_of(&team.id);
        members.sort();
        members.join(" ")
    }

    /// The usernames in a team.
    pub fn members(&self, team: &str) -> Vec<String> {
        let world = self.anypoint.world();
        world.members_of(&world.team_by_name(team).expect("a team").id)
    }

    /// Delays the next call of this method to Anypoint.
    pub fn held(&self, method: Method, path: &str, moment: Moment) -> Hold {
        let hold = Hold::default();
        let mut fault = Fault::held(path, &hold).on(method);
        fault.moment = moment;
        self.anypoint.traffic().inject(fault);
        hold
    }

    /// `METHOD path` of every call to both since the last time, without token calls.
    pub fn calls(&self) -> Vec<String> {
        let (okta, anypoint) = (self.okta.traffic().log(), self.anypoint.traffic().log());
        let calls = okta.iter().chain(&anypoint);
        calls
            .filter(|call| !call.path.ends_with("/token"))
            .map(said)
            .collect()
    }

    /// The same for calls that change something.
    pub fn writes(&self) -> Vec<String> {
        let (okta, anypoint) = (self.okta.traffic(), self.anypoint.traffic());
        let writes = [okta.writes(), anypoint.writes()].concat();
        writes.iter().map(said).collect()
    }

    /// Counts the calls from now on.
    pub fn forget_traffic(&self) {
        assert_eq!(self.take_unexpected(), Vec::<String>::new());
    }

    /// The undocumented requests so far, for a test that makes them on purpose.
    pub fn take_unexpected(&self) -> Vec<String> {
        let (okta, anypoint) = (self.okta.traffic(), self.anypoint.traffic());
        let unexpected = [okta.unexpected(), anypoint.unexpected()].concat();
        okta.clear();
        anypoint.clear();
        unexpected
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.forget_traffic();
        }
    }
}

/// Waits until `holds` is true. The limit is far longer than any wait here needs.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn said(call: &RecordedRequest) -> String {
    format!("{} {}", call.method, call.path)
}
