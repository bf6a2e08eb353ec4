//! What a token may be used for.

use std::collections::BTreeSet;

/// The scopes that a service app's token asks for. A token is refused as a whole when the app lacks
/// one of them, so each program asks for what it uses and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(BTreeSet<&'static str>);

impl Default for Scopes {
    /// What looking at users, groups and assignments takes.
    fn default() -> Self {
        Self(BTreeSet::from([
            "okta.apps.read",
            "okta.groups.read",
            "okta.users.read",
        ]))
    }
}

impl Scopes {
    /// Also reads the System Log (catch-up).
    #[must_use]
    pub fn with_log(self) -> Self {
        self.with(&["okta.logs.read"])
    }

    /// Also makes and changes users and assigns them to the app (an import that creates).
    #[must_use]
    pub fn with_import(self) -> Self {
        self.with(&["okta.apps.manage", "okta.users.manage"])
    }

    /// Also registers the event hook.
    #[must_use]
    pub fn with_hooks(self) -> Self {
        self.with(&["okta.eventHooks.manage"])
    }

    fn with(mut self, more: &[&'static str]) -> Self {
        self.0.extend(more);
        self
    }

    /// As the token request spells them.
    pub(crate) fn as_text(&self) -> String {
        self.0.iter().copied().collect::<Vec<_>>().join(" ")
    }
}
