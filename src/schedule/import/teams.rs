//! Which pushed teams people leave because an import links them.
//!
//! In a team of a pushed group the plain memberships of linked users follow the group. So the next look removes people
//! who are not in the group. The import links them all the same. Its report says so beforehand, so that an operator
//! can add the membership in Okta.

use std::collections::{HashMap, HashSet};

use futures_util::future::try_join_all;

use super::job::{Job, Kind};
use crate::failure::Failure;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::provision::TeamRemoval;
use crate::schedule::Scheduler;
use crate::schedule::reconcile::reader::SideReader;

/// The accounts that are to be linked, each with its Okta user if there is one yet.
type Newcomers<'a> = HashMap<&'a AccountId, Option<&'a OktaUserId>>;

impl Scheduler {
    /// How many teams each account leaves because a job links it. Reads the members of the linked teams. Reads those of
    /// a group only if a newcomer is in its team.
    pub(super) async fn teams_left(
        &self,
        jobs: &[Job],
        reader: &SideReader<'_>,
    ) -> Result<HashMap<AccountId, usize>, Failure> {
        let newcomers: Newcomers<'_> = jobs
            .iter()
            .filter(|job| !matches!(job.kind, Kind::Agree { .. }))
            .map(|job| (&job.account.id, job.user()))
            .collect();
        if newcomers.is_empty() {
            return Ok(HashMap::new());
        }
        let links = self.store().all_team_links().await?;
        if links.is_empty() {
            return Ok(HashMap::new());
        }
        let selected = reader.selected().await?;
        let pushed: HashSet<OktaGroupId> = selected.into_iter().map(|group| group.id).collect();
        let keeps = self.ports.policy.team_removal == TeamRemoval::Keep;
        let mut reads = Vec::new();
        for (group, link) in &links {
            if pushed.contains(group) || !keeps {
                reads.push(self.leaving(&link.team_id, group, &pushed, &newcomers, reader));
            }
        }
        let found = try_join_all(reads).await?;
        reader.check_lists()?;
        let mut left = HashMap::new();
        for account in found.into_iter().flatten() {
            *left.entry(account).or_default() += 1;
        }
        Ok(left)
    }

    /// The newcomers that are in a team and not in its group. A team that is gone has no members.
    async fn leaving(
        &self,
        team: &TeamId,
        group: &OktaGroupId,
        pushed: &HashSet<OktaGroupId>,
        newcomers: &Newcomers<'_>,
        reader: &SideReader<'_>,
    ) -> Result<Vec<AccountId>, Failure> {
        let members = match reader.team_members(team).await? {
            Ok(Some(members)) => members,
            Ok(None) => return Ok(Vec::new()),
            Err(failure) => {
                reader
                    .unread()
                    .note_team_without_members(team.clone(), group.clone(), failure);
                return Ok(Vec::new());
            }
        };
        let mut leaving: Vec<AccountId> = members
            .telling()
            .items
            .into_iter()
            .filter(|member| member.is_plain() && newcomers.contains_key(&member.id))
            .map(|member| member.id)
            .collect();
        if leaving.is_empty() || !pushed.contains(group) {
            return Ok(leaving);
        }
        let mut members: HashSet<OktaUserId> = HashSet::new();
        match reader.group_members(group).await? {
            Ok(Some(listed)) => {
                members.extend(listed.telling().map(|user| user.id).with_unread(|id| id));
            }
            Ok(None) => {}
            Err(failure) => {
                reader.unread().groups.insert(group.clone(), failure);
                return Ok(Vec::new());
            }
        }
        leaving.retain(|account| {
            let user = newcomers.get(account).copied().flatten();
            !user.is_some_and(|user| members.contains(user))
        });
        Ok(leaving)
    }
}
