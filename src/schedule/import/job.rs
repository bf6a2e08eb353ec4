//! What an import does for one account, and how reports describe it.

use std::borrow::Cow;

use super::names::Names;
use super::pair::By;
use crate::anypoint::Account;
use crate::ids::{OktaUserId, Subject};
use crate::provision::Step;
use crate::schedule::summary::Difference;
use crate::store::UserLink;

/// The names of what an import does, in reports and in the audit trail.
pub(super) mod action {
    pub(crate) const CREATE_USER: &str = "create_okta_user";
    pub(crate) const ASSIGN_APP: &str = "assign_app";
    pub(crate) const UPDATE_NAMES: &str = "update_okta_names";
    pub(crate) const LINK: &str = "link";
}

/// What to do for one account.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) account: Account,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Link it to an assigned user.
    Link { user: OktaUserId, by: By },
    /// Assign an Okta user under the account's username, then link.
    Assign { user: OktaUserId, by: By },
    /// Create an Okta user, assign it, link.
    Create { email: String },
    /// Bring names to Okta, and remember the names that both sides agree on.
    Agree {
        user: OktaUserId,
        link: Box<UserLink>,
        names: Names,
    },
}

impl Job {
    pub(super) fn count_name(&self) -> &'static str {
        match &self.kind {
            Kind::Link { .. } => "to_link",
            Kind::Assign { .. } => "to_assign",
            Kind::Create { .. } => "to_create",
            Kind::Agree { names, link, .. } if names.is_agreed(link) => "to_leave",
            Kind::Agree { .. } => "to_agree",
        }
    }

    pub(super) fn creates(&self) -> bool {
        matches!(self.kind, Kind::Create { .. })
    }

    /// Whether it writes to Okta.
    pub(super) fn writes_to_okta(&self) -> bool {
        match &self.kind {
            Kind::Link { .. } => false,
            Kind::Assign { .. } | Kind::Create { .. } => true,
            Kind::Agree { names, .. } => !names.fields().is_empty(),
        }
    }

    pub(super) fn user(&self) -> Option<&OktaUserId> {
        match &self.kind {
            Kind::Link { user, .. } | Kind::Assign { user, .. } | Kind::Agree { user, .. } => {
                Some(user)
            }
            Kind::Create { .. } => None,
        }
    }

    /// What the account and the user are paired by. `None`: by their link.
    pub(super) fn by(&self) -> Option<By> {
        match &self.kind {
            Kind::Link { by, .. } | Kind::Assign { by, .. } => Some(*by),
            Kind::Create { .. } => Some(By::Login),
            Kind::Agree { .. } => None,
        }
    }

    /// Why the import takes a step.
    pub(super) fn reason(&self, step: &str) -> Option<Cow<'static, str>> {
        let steps = self.describe().actions;
        let found = steps.into_iter().find(|found| found.action == step);
        found.map(|found| found.reason)
    }

    pub(super) fn describe(&self) -> Difference {
        let assign = || Step::new(action::ASSIGN_APP, "under the account's username");
        let link = |why| Step::new(action::LINK, why);
        let actions = match &self.kind {
            Kind::Link { by, .. } => vec![link(by.as_str())],
            Kind::Assign { by, .. } => vec![assign(), link(by.as_str())],
            Kind::Create { .. } => vec![
                Step::new(
                    action::CREATE_USER,
                    "no Okta user has that login or address",
                ),
                assign(),
                link("the account belongs to the new user"),
            ],
            Kind::Agree { names, link, .. } => describe_names(names, link),
        };
        Difference {
            subject: self.user().cloned().map(Subject::User),
            account: Some(self.account.id.clone()),
            actions,
        }
    }
}

fn describe_names(names: &Names, link: &UserLink) -> Vec<Step> {
    let mut steps = Vec::new();
    if !names.fields().is_empty() {
        let mut bring = Step::new(action::UPDATE_NAMES, names.reason());
        bring.fields = names.fields().into_iter().map(Into::into).collect();
        steps.push(bring);
    }
    if !names.left.is_empty() {
        let mut leave = Step::new(
            "leave_names",
            "changed in Anypoint, and ATTRIBUTES takes them from where an import does not write: change them \
             there, or back in Anypoint",
        );
        leave.fields = names.left.iter().map(|name| (*name).into()).collect();
        steps.push(leave);
    }
    if !names.is_agreed(link) {
        let why = "the link remembers what both sides agree on";
        steps.push(Step::new("agree", why));
    }
    steps
}
