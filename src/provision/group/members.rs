//! Changes the members of a group's team, although Anypoint may refuse single accounts.

use crate::anypoint::{MAX_MEMBERS_PER_CALL, MemberChange, is_no_member};
use crate::failure::{Class, Failure};
use crate::ids::{AccountId, TeamId};
use crate::provision::run::Run;
use crate::provision::step::{Applied, action};

/// If so many accounts are refused one after another and none is accepted, the team is refused, not an account.
const MAX_REFUSED_MEMBERS: usize = 20;

impl Run<'_> {
    /// Changes memberships, each call a write of its own. One account may fail its whole call, so a refused call is sent in
    /// halves, until only single accounts are refused. Accounts to add that were deleted in Anypoint are left out, and their
    /// users' own events report them. Returns whether the team exists.
    pub(super) async fn change_members(
        &mut self,
        change: MemberChange,
        team: &TeamId,
        accounts: &[AccountId],
        why: &'static str,
    ) -> Result<bool, Failure> {
        let (anypoint, deadline) = (&self.ports().anypoint, self.look.deadline);
        let name = match change {
            MemberChange::Join => action::ADD_MEMBERS,
            MemberChange::Leave => action::REMOVE_MEMBERS,
        };
        let mut left: Vec<&[AccountId]> = accounts.chunks(MAX_MEMBERS_PER_CALL).rev().collect();
        let (mut refused, mut is_accepted, mut is_there) = (Vec::new(), false, false);
        while let Some(batch) = left.pop() {
            let call = anypoint.change_members(change, team, batch, deadline);
            let what = Applied::on(name, team, why).about(batch);
            let Err(error) = self.write(what, call).await? else {
                is_accepted = true;
                continue;
            };
            let is_strange = batch.len() == 1 && error.is_unreadable();
            if !error.is_about_this_call() && !is_no_member(&error) && !is_strange {
                return Err(error.into());
            }
            if error.is_not_found() && !is_there {
                is_there = anypoint.team(team, deadline).await?.is_some();
                if !is_there {
                    return Ok(false);
                }
            }
            let [account] = batch else {
                let (first, second) = batch.split_at(batch.len() / 2);
                left.extend([second, first]);
                continue;
            };
            if change == MemberChange::Join && anypoint.account(account, deadline).await?.is_none()
            {
                continue;
            }
            refused.push((account, error));
            if !is_accepted && refused.len() == MAX_REFUSED_MEMBERS {
                break;
            }
            // The next one comes from the other end, so odd accounts beside each other do not look like a refused team.
            left.reverse();
        }
        let who: Vec<&str> = refused
            .iter()
            .map(|(account, _)| account.as_str())
            .collect();
        let noun = if who.len() == 1 {
            "account"
        } else {
            "accounts"
        };
        let who = format!("{noun} {}", who.join(", "));
        let rest = match is_accepted {
            true => "the rest was done",
            false => "no membership was changed",
        };
        let failures = refused.into_iter().map(|(_, error)| Some(error.into()));
        if let Some(failure) = Failure::of_parts(failures) {
            let class = match left.is_empty() {
                true => failure.class,
                // Some were not tried.
                false => Class::Retryable,
            };
            self.set_aside(Failure {
                message: format!("{who}: {}; {rest}", failure.message),
                class,
                ..failure
            })?;
        }
        Ok(true)
    }
}
