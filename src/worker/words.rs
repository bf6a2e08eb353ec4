//! The words for what a run did, in its log entry and in the audit trail.

use crate::ids::Subject;
use crate::provision::{Applied, action};

/// "provisioned user 00u…: created account 1a2b…, sent reset mail, linked", or "user 00u… in sync: nothing to do".
pub(super) fn ended(subject: &Subject, applied: &[Applied]) -> String {
    let subject = subject.to_string().replacen('#', " ", 1);
    if applied.is_empty() {
        format!("{subject} in sync: nothing to do")
    } else {
        format!("provisioned {subject}: {}", done(applied))
    }
}

/// The writes in order: "created account 1a2b…, sent reset mail".
pub(super) fn done(applied: &[Applied]) -> String {
    let words = applied.iter().map(|applied| {
        let word = past(applied.action);
        match &applied.id {
            Some(id) => format!("{word} {id}"),
            None => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

fn past(name: &'static str) -> &'static str {
    match name {
        action::CREATE_ACCOUNT => "created account",
        action::UPDATE_ACCOUNT => "updated account",
        action::ENABLE_ACCOUNT => "enabled account",
        action::DISABLE_ACCOUNT => "disabled account",
        action::MAIL_RESET => "sent reset mail",
        action::LINK => "linked",
        action::JOIN_TEAM => "joined team",
        action::LEAVE_TEAM => "left team",
        action::CREATE_TEAM => "created team",
        action::RENAME_TEAM => "renamed team",
        action::ADOPT_TEAM => "adopted team",
        action::LINK_TEAM => "linked team",
        action::UNLINK_TEAM => "unlinked team",
        action::ADD_MEMBERS => "added members to team",
        action::REMOVE_MEMBERS => "removed members from team",
        action::DELETE_TEAM => "deleted team",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_logged_in_one_sentence() {
        let subject: Subject = "user#00u1".parse().unwrap();
        let applied = [
            Applied::on(action::CREATE_ACCOUNT, "a1", ""),
            Applied::plain(action::MAIL_RESET, ""),
            Applied::plain(action::LINK, ""),
            Applied::on(action::JOIN_TEAM, "t1", ""),
        ];
        assert_eq!(
            ended(&subject, &applied),
            "provisioned user 00u1: created account a1, sent reset mail, linked, joined team t1"
        );
        assert_eq!(ended(&subject, &[]), "user 00u1 in sync: nothing to do");
    }
}
