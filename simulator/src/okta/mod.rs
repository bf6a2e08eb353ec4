//! A simulated Okta org.
//!
//! Served: users and their life cycle, groups and members, apps with user and group assignments, the System Log, event hooks
//! with real verification and (if asked for) real deliveries, the org, `users/me`, and tokens for service apps, with DPoP.
//!
//! Group semantics: a group assigned to an app makes its members app users (scope GROUP); leaving the group, or taking the
//! group's assignment back, ends that. An individual assignment (scope USER) is independent of groups. A deactivated user
//! loses every assignment to active apps and stays in the groups; a suspended one keeps everything; a reactivated one gets
//! the assignments of the groups back. Every user is in the built-in group [`EVERYONE`].

mod api;
mod app_verbs;
mod deliver;
mod expression;
mod filter;
mod group_verbs;
mod log;
mod log_verbs;
mod oauth;
mod objects;
mod refusal;
mod user_verbs;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

pub use deliver::DeliveryRecord;
pub use log::{LogEvent, Target, delivery};
pub use oauth::{OAuth, ServiceApp};
pub use objects::{
    ApiToken, AppGroup, AppUser, EventHook, HookFilters, OktaApp, OktaGroup, OktaUser, Profile,
    UserStatus, UsernameTemplate,
};
pub use refusal::Refusal;
pub use user_verbs::NewUser;
pub use world::{Created, EVERYONE, OktaWorld};

use super::call::Call;
use super::cell::{WorldCell, WorldGuard};
use super::server::Server;
use super::traffic::Traffic;

/// How the simulated org behaves.
#[derive(Clone, Debug)]
pub struct OktaOptions {
    /// The state to start with.
    pub world: OktaWorld,
    /// SSWS tokens that are accepted. Tokens of service apps are in the world ([`OktaWorld::add_service_app`]); anything
    /// else is answered with 401.
    pub tokens: Vec<String>,
    /// At most this many items a page, whatever the caller asks for; a way to see paging with little data.
    pub page_cap: Option<usize>,
    /// Whether events are really sent to active and verified hooks.
    pub deliver: bool,
    /// How long events are collected before a delivery is sent.
    pub batch_window: Duration,
}

impl Default for OktaOptions {
    fn default() -> Self {
        Self {
            world: OktaWorld::default(),
            tokens: vec!["simulated-okta-token".to_owned()],
            page_cap: None,
            deliver: false,
            batch_window: Duration::from_millis(100),
        }
    }
}

/// A running Okta org. Dropping it stops the server.
#[derive(Debug)]
pub struct OktaSimulator {
    base_url: String,
    traffic: Traffic,
    cell: WorldCell<OktaWorld>,
    deliveries: deliver::Deliveries,
    server: Server,
    deliverer: Option<JoinHandle<()>>,
}

impl OktaSimulator {
    /// Starts a server on an address; port 0 takes a free port.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(addr: SocketAddr, options: OktaOptions) -> io::Result<Self> {
        let traffic = Traffic::default();
        let mut world = options.world;
        world.collect = options.deliver;
        let cell = WorldCell::new(world, traffic.clone());
        let deliveries = deliver::Deliveries::default();
        let model = api::Okta {
            cell: cell.clone(),
            tokens: options.tokens,
            page_cap: options.page_cap,
            client: deliver::client()?,
        };
        let server = Server::start(addr, Arc::new(model), traffic.clone()).await?;
        let base_url = format!("http://{}", server.addr());
        cell.guard().quietly().base_url.clone_from(&base_url);
        let deliverer = match options.deliver {
            true => Some(deliver::spawn(
                cell.clone(),
                deliveries.clone(),
                options.batch_window,
            )?),
            false => None,
        };
        Ok(Self {
            base_url,
            traffic,
            cell,
            deliveries,
            server,
            deliverer,
        })
    }

    /// `http://127.0.0.1:40123`, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The org, for verbs and looks. Let go of it before awaiting an answer of the simulator.
    pub fn world(&self) -> WorldGuard<'_, OktaWorld> {
        self.cell.guard()
    }

    /// Carries out a call of the API (`/api/v1/…`), as an administrator's tool would make it. The call is not recorded,
    /// and no fault strikes it.
    ///
    /// # Errors
    /// If Okta refuses it.
    pub fn administer(
        &self,
        method: Method,
        address: &str,
        body: Option<&Value>,
    ) -> Result<(), Refusal> {
        api::administer(&mut self.cell.guard(), Call::made(method, address, body))
    }

    /// Requests, findings and faults.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Deliveries sent so far (only with [`OktaOptions::deliver`]).
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        self.deliveries.list()
    }

    /// Waits until every event written so far was sent to every hook that wants it, or given up; false if that takes longer
    /// than `limit`. Without [`OktaOptions::deliver`] there is nothing to wait for.
    pub async fn delivered(&self, limit: Duration) -> bool {
        if self.deliverer.is_none() {
            return true;
        }
        self.deliveries.wait_until_idle(&self.cell, limit).await
    }

    /// Stops and waits until the port is free.
    pub async fn stop(mut self) {
        if let Some(task) = self.deliverer.take() {
            task.abort();
        }
        self.server.stop().await;
    }
}

impl Drop for OktaSimulator {
    fn drop(&mut self) {
        if let Some(task) = &self.deliverer {
            task.abort();
        }
    }
}
