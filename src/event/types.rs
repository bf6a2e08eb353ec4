//! Which event types act, and on what. To add one: add a row here, and a sample in `events/`.

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

/// The event types that Okta can deliver to a hook (Okta, "Event types", tag
/// `event-hook-eligible`): what `hook register` subscribes to.
pub const HOOK_EVENT_TYPES: [&str; 19] = [
    "application.user_membership.add",
    "application.user_membership.remove",
    "application.user_membership.update",
    "user.lifecycle.create",
    "user.lifecycle.activate",
    "user.lifecycle.reactivate",
    "user.lifecycle.suspend",
    "user.lifecycle.unsuspend",
    "user.lifecycle.deactivate",
    "user.lifecycle.delete.initiated",
    "user.account.update_profile",
    "group.user_membership.add",
    "group.user_membership.remove",
    "group.lifecycle.create",
    "group.lifecycle.delete",
    "group.profile.update",
    "group.application_assignment.add",
    "group.application_assignment.remove",
    "group.application_assignment.update",
];

/// The event types that only the System Log shows (not eligible for hooks).
pub const LOG_EVENT_TYPES: [&str; 2] = [
    "application.user_membership.change_username",
    "application.user_membership.restore",
];

/// The rule for `event_type`; `None` when the type does not concern us.
pub(super) fn rule_for_hook(event_type: &str) -> Option<SubjectRule> {
    if !HOOK_EVENT_TYPES.contains(&event_type) {
        return None;
    }
    let family = |prefix: &str| event_type.starts_with(prefix);
    Some(if family("application.user_membership.") {
        SubjectRule::UserOfOurApp
    } else if family("group.application_assignment.") {
        SubjectRule::GroupOfOurApp
    } else if family("group.lifecycle.") || family("group.profile.") {
        SubjectRule::Group
    } else {
        SubjectRule::User
    })
}

/// As [`rule_for_hook`], with the types that only the System Log shows.
pub(super) fn rule_for_log(event_type: &str) -> Option<SubjectRule> {
    if LOG_EVENT_TYPES.contains(&event_type) {
        Some(SubjectRule::UserOfOurApp)
    } else {
        rule_for_hook(event_type)
    }
}
