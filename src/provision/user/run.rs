//! One piece of work on a user, and one run through a plan within it: what they share and how they end.

use std::collections::HashSet;

use super::action::AccountRef;
use super::look::defect;
use super::view::UserView;
use crate::failure::Failure;
use crate::ids::AccountId;
use crate::provision::provisioner::{Applied, Provisioner};
use crate::store::FreshTeams;

/// How the work on a plan ended.
pub(super) enum End {
    /// All is done, but for what was refused for good.
    Done(Option<Failure>),
    /// Another run is creating the account right now.
    Held,
    /// The username is taken: by an account that appeared since the look, or by another customer.
    NameTaken,
    /// Whether the account was created is not known: the next look tells.
    Unsure(Failure),
}

impl End {
    pub(super) const DONE: Self = Self::Done(None);
}

/// What one piece of work has come to, over all its looks.
#[derive(Default)]
pub(super) struct Course {
    pub(super) applied: Applied,
    /// The usernames for which it has asked for a mail.
    pub(super) mailed: HashSet<String>,
    pub(super) intent: Intent,
}

/// Whether the note about an account that is being created may still say that this work is at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Intent {
    #[default]
    Closed,
    Open,
}

/// One plan that is being carried out: what it rests on, and what has come of it so far.
pub(super) struct Run<'a> {
    pub(super) provisioner: &'a Provisioner,
    pub(super) view: &'a UserView,
    /// The account that this run has created.
    pub(super) created: Option<AccountId>,
    /// The account that was closed and that this run has enabled.
    pub(super) opened: Option<AccountId>,
    pub(super) course: &'a mut Course,
    pub(super) written: FreshTeams,
}

impl Run<'_> {
    /// The account was refused, closed or linked: nothing is left to find again.
    pub(super) async fn forget_intent(&mut self) -> Result<(), Failure> {
        let store = &self.provisioner.store;
        store.forget_intent(&self.view.user).await?;
        self.course.intent = Intent::Closed;
        Ok(())
    }

    pub(super) fn resolve(&self, account: &AccountRef) -> Result<AccountId, Failure> {
        match account {
            AccountRef::Known(id) => Ok(id.clone()),
            AccountRef::Created => self
                .created
                .clone()
                .ok_or_else(|| defect("an action came before its account")),
        }
    }
}
