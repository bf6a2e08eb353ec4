//! Everything that provisioning works with.

use std::sync::Arc;

use super::policy::Policy;
use crate::anypoint::Anypoint;
use crate::clock::Clock;
use crate::ids::OktaAppId;
use crate::ledger::Ledger;
use crate::okta::Okta;
use crate::store::{Documents, Store};

/// Both remotes, the table and the rules: what wiring hands to each part. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// Okta.
    pub okta: Okta,
    /// Anypoint.
    pub anypoint: Anypoint,
    /// Links.
    pub store: Arc<dyn Store>,
    /// Claims and leases.
    pub ledger: Arc<dyn Ledger>,
    /// Cursors, reports and marks.
    pub documents: Arc<dyn Documents>,
    /// The rules.
    pub policy: Arc<Policy>,
    /// The app instance whose assignments decide.
    pub app: OktaAppId,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
