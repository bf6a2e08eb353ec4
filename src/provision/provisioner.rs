//! Who looks, plans and applies.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::anypoint::Anypoint;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{OktaAppId, OktaUserId, Subject};
use crate::ledger::Claim;
use crate::okta::Okta;
use crate::provision::Policy;
use crate::store::Store;

/// What was done for a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The names of the actions that were carried out, in order.
    pub actions: Vec<&'static str>,
    /// Users that have to be looked at next: members of a group without an account of their own yet.
    pub follow_ups: Vec<OktaUserId>,
}

/// Both remotes, the store and the rules. Cheap to clone.
#[derive(Clone)]
pub struct Provisioner {
    /// Okta.
    pub okta: Okta,
    /// Anypoint.
    pub anypoint: Anypoint,
    /// Links, intents, documents.
    pub store: Arc<dyn Store>,
    /// The rules.
    pub policy: Arc<Policy>,
    /// The app instance whose assignments decide.
    pub app: OktaAppId,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Provisioner {
    /// Makes Anypoint agree with Okta for `subject`. The claim is the permission to do so.
    ///
    /// # Errors
    /// The first failure that stopped it; what was done before stays done.
    pub fn provision<'a>(
        &'a self,
        subject: &'a Subject,
        claim: &'a Claim,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        match subject {
            Subject::User(user) => Box::pin(self.provision_user(user, claim, deadline)),
            Subject::Group(group) => Box::pin(self.provision_group(group, claim, deadline)),
        }
    }
}
