//! A simulated Anypoint control plane with one organization.
//!
//! Served under `/accounts/api`: tokens (client credentials, JSON or form), `me`, users, teams, members, recovery mail,
//! identity provider settings. The validation layer is played as strictly as the vendor describes it.
//!
//! Answers the vendor does not document, and what was chosen here: a duplicate team name on creation is 409; a batch with an
//! unknown user is refused as a whole with 400; removing somebody who is not a member is 404 (in a batch only if none of them
//! is); 404 and 409 carry the `errors` array; user search is partial and ignores case; lists come in order of creation;
//! changes to the members of the root team are refused with 400; a `limit` above 500 is refused with 400.

mod api;
mod refusal;
mod verbs;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use serde_json::Value;

pub use refusal::Refusal;
pub use world::{AnypointUser, AnypointWorld, Mail, Member, NATIVE, Team};

use super::call::Call;
use super::cell::{WorldCell, WorldGuard};
use super::server::Server;
use super::traffic::Traffic;

/// How the simulated control plane behaves; most of it is part of the world.
#[derive(Clone, Debug, Default)]
pub struct AnypointOptions {
    /// The state to start with.
    pub world: AnypointWorld,
    /// At most this many items a page, whatever the caller asks for; a way to see paging with little data.
    pub page_cap: Option<usize>,
}

/// A running control plane. Dropping it stops the server.
#[derive(Debug)]
pub struct AnypointSimulator {
    base_url: String,
    traffic: Traffic,
    cell: WorldCell<AnypointWorld>,
    server: Server,
}

impl AnypointSimulator {
    /// Starts a server on an address; port 0 takes a free port.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(addr: SocketAddr, options: AnypointOptions) -> io::Result<Self> {
        let traffic = Traffic::default();
        let cell = WorldCell::new(options.world, traffic.clone());
        let model = api::Anypoint {
            cell: cell.clone(),
            page_cap: options.page_cap,
        };
        let server = Server::start(addr, Arc::new(model), traffic.clone()).await?;
        let base_url = format!("http://{}", server.addr());
        Ok(Self {
            base_url,
            traffic,
            cell,
            server,
        })
    }

    /// `http://127.0.0.1:40124`, without a slash at the end; the API is below `/accounts/api`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The organization, for verbs and looks. Let go of it before awaiting an answer of the simulator.
    pub fn world(&self) -> WorldGuard<'_, AnypointWorld> {
        self.cell.guard()
    }

    /// Carries out a call below the organization (`/users/…`, `/teams/…`), as an administrator's tool would make it.
    /// The call is not recorded, no fault strikes it, and it needs no scope.
    ///
    /// # Errors
    /// If Anypoint refuses it.
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

    /// Stops and waits until the port is free.
    pub async fn stop(mut self) {
        self.server.stop().await;
    }
}
