//! Which event types act, and on what. How to add one: CONTRIBUTING.md, "Add an event type".

/// How the subject of an event is found among its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubjectRule {
    /// The target of type `User`.
    User,
    /// The target of type `User`, if the target of type `AppInstance` is our app.
    UserOfOurApp,
    /// The target of type `UserGroup`.
    Group,
    /// The target of type `UserGroup`, if the target of type `AppInstance` is our app.
    GroupOfOurApp,
}

/// What an event type asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// An account that can sign in.
    Access,
    /// No account that can.
    NoAccess,
    /// Another username: one account ends, another begins.
    Username,
    /// Other names, or another phone number.
    Profile,
    /// To be in a team.
    Membership,
    /// Not to be in a team any more.
    NoMembership,
    /// A team.
    Team,
    /// No team.
    NoTeam,
    /// A team of another name, or none.
    TeamName,
}

use Asks::*;
use SubjectRule::*;

type Row = (&'static str, SubjectRule, Asks);

/// The types that Okta can deliver to a hook (Okta, "Event types", tag `event-hook-eligible`).
const OF_HOOKS: &[Row] = &[
    ("application.user_membership.add", UserOfOurApp, Access),
    ("application.user_membership.remove", UserOfOurApp, NoAccess),
    ("application.user_membership.update", UserOfOurApp, Username),
    ("user.lifecycle.create", User, Access),
    ("user.lifecycle.activate", User, Access),
    ("user.lifecycle.reactivate", User, Access),
    ("user.lifecycle.suspend", User, NoAccess),
    ("user.lifecycle.unsuspend", User, Access),
    ("user.lifecycle.deactivate", User, NoAccess),
    ("user.lifecycle.delete.initiated", User, NoAccess),
    ("user.account.update_profile", User, Profile),
    ("group.user_membership.add", User, Membership),
    ("group.user_membership.remove", User, NoMembership),
    ("group.lifecycle.create", Group, Team),
    ("group.lifecycle.delete", Group, NoTeam),
    ("group.profile.update", Group, TeamName),
    ("group.application_assignment.add", GroupOfOurApp, Team),
    ("group.application_assignment.remove", GroupOfOurApp, NoTeam),
    ("group.application_assignment.update", GroupOfOurApp, Team),
];

/// The types that only the System Log shows (not eligible for hooks).
const OF_THE_LOG: &[Row] = &[
    (
        "application.user_membership.change_username",
        UserOfOurApp,
        Username,
    ),
    ("application.user_membership.restore", UserOfOurApp, Access),
];

/// The event types that act and that Okta can deliver to a hook: `hook register` subscribes to these.
pub const HOOK_EVENT_TYPES: [&str; OF_HOOKS.len()] = names(OF_HOOKS);

/// The event types that act when the System Log shows them, beside [`HOOK_EVENT_TYPES`].
pub(crate) const LOG_EVENT_TYPES: [&str; OF_THE_LOG.len()] = names(OF_THE_LOG);

/// Those of [`HOOK_EVENT_TYPES`] that carry an app: only events about our own app act.
#[cfg(feature = "local")]
pub fn app_event_types() -> impl Iterator<Item = &'static str> {
    let of_an_app = |rule| matches!(rule, UserOfOurApp | GroupOfOurApp);
    let rows = OF_HOOKS.iter().filter(move |row| of_an_app(row.1));
    rows.map(|row| row.0)
}

const fn names<const N: usize>(rows: &[Row]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut n = 0;
    while n < N {
        names[n] = rows[n].0;
        n += 1;
    }
    names
}

/// The rule for `event_type` in a delivery; `None` when the type does not concern us.
pub(super) fn rule_for_hook(event_type: &str) -> Option<SubjectRule> {
    rule_in(OF_HOOKS, event_type)
}

/// As [`rule_for_hook`], with the types that only the System Log shows.
pub(super) fn rule_for_log(event_type: &str) -> Option<SubjectRule> {
    rule_in(OF_THE_LOG, event_type).or_else(|| rule_for_hook(event_type))
}

/// What an event of this type asks for; `None` when it is only to be looked at.
pub(crate) fn asks(event_type: &str) -> Option<Asks> {
    let mut rows = OF_HOOKS.iter().chain(OF_THE_LOG);
    rows.find(|row| row.0 == event_type).map(|row| row.2)
}

fn rule_in(rows: &[Row], event_type: &str) -> Option<SubjectRule> {
    let mut rows = rows.iter();
    rows.find(|row| row.0 == event_type).map(|row| row.1)
}
