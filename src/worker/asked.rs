//! Finds which of a run's changes asked for a step, for the audit trail. Pure.
//!
//! One look serves all open changes of a subject. The audit trail names the last change whose type asks for such a step.
//! If there is none, it names the last change.

use crate::event::{Asks, Change, asks};
use crate::provision::action;

/// The kinds of request that can ask for a step of this name.
fn askers(step: &str) -> &'static [Asks] {
    use Asks::{
        Access, Membership, NoAccess, NoMembership, NoTeam, Profile, Team, TeamName, Username,
    };
    match step {
        action::CREATE_ACCOUNT | action::ENABLE_ACCOUNT | action::MAIL_RESET | action::LINK => {
            &[Access, Username]
        }
        action::DISABLE_ACCOUNT => &[NoAccess, Username],
        action::UPDATE_ACCOUNT => &[Profile, Username],
        action::JOIN_TEAM => &[Membership, Access, Username],
        action::LEAVE_TEAM => &[NoMembership, NoAccess, Username],
        action::CREATE_TEAM | action::ADOPT_TEAM | action::LINK_TEAM | action::ADD_MEMBERS => {
            &[Team, TeamName, Membership]
        }
        action::RENAME_TEAM => &[TeamName, Team],
        action::REMOVE_MEMBERS | action::DELETE_TEAM | action::UNLINK_TEAM => &[NoTeam, TeamName],
        _ => &[],
    }
}

/// The change that asked for a step. `None`: the run had no change.
pub(super) fn who_asked<'c>(changes: &[&'c Change], step: &str) -> Option<&'c Change> {
    let askers = askers(step);
    let rank = |change: &&&Change| {
        let fits = asks(&change.event_type).is_some_and(|asks| askers.contains(&asks));
        (fits, change.published_ms(0))
    };
    changes.iter().max_by_key(rank).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Subject;

    fn change(event_type: &str, published: &str) -> Change {
        let subject: Subject = "user#00u1".parse().unwrap();
        Change {
            event_type: event_type.to_owned(),
            published: published.to_owned(),
            ..Change::found(subject, 0)
        }
    }

    #[test]
    fn a_step_is_attributed_to_the_last_change_that_asks_for_it() {
        let profile = change("user.account.update_profile", "2026-01-01T00:00:02Z");
        let removed = change("application.user_membership.remove", "2026-01-01T00:00:01Z");
        let earlier = change("application.user_membership.remove", "2026-01-01T00:00:00Z");
        let all = [&profile, &earlier, &removed];
        assert_eq!(who_asked(&all, action::DISABLE_ACCOUNT), Some(&removed));
        assert_eq!(who_asked(&all, action::LEAVE_TEAM), Some(&removed));
        assert_eq!(who_asked(&all, action::UPDATE_ACCOUNT), Some(&profile));
        assert_eq!(
            who_asked(&all, action::ENABLE_ACCOUNT),
            Some(&profile),
            "the last of all"
        );
        assert_eq!(who_asked(&[], action::ENABLE_ACCOUNT), None);
    }
}
