//! What counts as known. No single strange answer takes access away. Pure.
//!
//! What Okta *says* counts at the first look: a status, another username, an ended app user. What Okta
//! *does not show* is a [`Finding`]. It counts when an event announced it, or when a second look, at
//! least `CONFIRM_SECONDS` and at most an hour after the first, did not show it either. The time of the
//! first look is kept in the subject's memory. The planner asks [`Evidence::weigh`], or [`Evidence::weigh_end`] for a
//! group that is not pushed. It plans a removal only if [`Weight::is_enough`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::announced::{Announced, Fact, Sense};
use super::finding::{Finding, Unpushed, Weight};
use super::selection::GroupSelection;
use crate::failure::{Cause, Failure, Side};
use crate::ids::OktaGroupId;

/// A first look older than this is forgotten, in milliseconds.
const MAX_AGE_MS: i64 = 60 * 60 * 1000;

/// The evidence for the findings of one look.
#[derive(Debug, Clone)]
pub struct Evidence {
    announced: Announced,
    first_seen: BTreeMap<String, i64>,
    /// Findings that a second read in this run confirmed.
    reread: BTreeSet<Finding>,
    /// Whether a second read in this run did not show what was announced, either.
    facts_reread: bool,
    now_ms: i64,
    confirm_ms: i64,
}

impl Evidence {
    /// The evidence at `now_ms`: what was announced, what earlier looks saw first and when, and how long
    /// after a first look the second one follows.
    pub(crate) fn new(
        announced: Announced,
        first_seen: &BTreeMap<String, i64>,
        now_ms: i64,
        confirm: Duration,
    ) -> Self {
        let mut first_seen = first_seen.clone();
        for (finding, at) in &announced.planned {
            first_seen.entry(finding.clone()).or_insert(*at);
        }
        first_seen.retain(|_, at| now_ms.saturating_sub(*at) <= MAX_AGE_MS && *at <= now_ms);
        Self {
            announced,
            first_seen,
            reread: BTreeSet::new(),
            facts_reread: false,
            now_ms,
            confirm_ms: i64::try_from(confirm.as_millis()).unwrap_or(MAX_AGE_MS),
        }
    }

    /// For a reconcile, which plans from one look. The worker's own look is the second.
    pub fn first_look() -> Self {
        Self::new(Announced::everything(), &BTreeMap::new(), 0, Duration::ZERO)
    }

    /// For a first look that no event announced.
    pub(crate) fn without_events(now_ms: i64, confirm: Duration) -> Self {
        Self::new(Announced::default(), &BTreeMap::new(), now_ms, confirm)
    }

    /// How sure a finding of this look is.
    pub(crate) fn weigh(&self, finding: &Finding) -> Weight {
        if self.announced.announces(finding) {
            return Weight::Announced;
        }
        let first = self.first_seen(finding);
        let is_old = first < self.now_ms && self.believed_after(finding) <= self.now_ms;
        if is_old || self.reread.contains(finding) {
            Weight::SeenTwice
        } else {
            Weight::SeenOnce
        }
    }

    /// How sure it is that a group is not pushed.
    pub(crate) fn weigh_end(&self, why: Unpushed, selection: &GroupSelection) -> Weight {
        if self.announced.ends_team(why, selection) {
            return Weight::Announced;
        }
        self.weigh(&Finding::NotPushed)
    }

    /// When a finding of this look was seen first, in milliseconds since the epoch.
    pub(crate) fn first_seen(&self, finding: &Finding) -> i64 {
        self.recorded(finding).unwrap_or(self.now_ms)
    }

    /// When an earlier look recorded a finding, in milliseconds since the epoch.
    pub(crate) fn recorded(&self, finding: &Finding) -> Option<i64> {
        let seen = |finding: &Finding| self.first_seen.get(&finding.to_string()).copied();
        // A user who does not exist is not assigned either (a look that says otherwise contradicts itself). So a look
        // without the user and a look without the assignment confirm each other.
        let also = match finding {
            Finding::NoUser => seen(&Finding::NotAssigned),
            Finding::NotAssigned => seen(&Finding::NoUser),
            _ => None,
        };
        seen(finding).into_iter().chain(also).min()
    }

    /// When a second look will be enough, in milliseconds since the epoch.
    pub(crate) fn believed_after(&self, finding: &Finding) -> i64 {
        self.first_seen(finding).saturating_add(self.confirm_ms)
    }

    /// A second read in this run found the same.
    pub(crate) fn confirm(&mut self, finding: &Finding) {
        self.reread.insert(finding.clone());
    }

    /// What to remember of a look with these findings. Earlier looks that it contradicts are forgotten.
    pub(crate) fn remember<'a>(
        &self,
        findings: impl IntoIterator<Item = &'a Finding>,
    ) -> BTreeMap<String, i64> {
        let seen = |finding: &Finding| (finding.to_string(), self.first_seen(finding));
        findings.into_iter().map(seen).collect()
    }

    /// Until when an announcement of `fact` that the look contradicts is too young to be overruled, in
    /// milliseconds since the epoch. `None`: nothing contrary was announced, or the look stands.
    pub(crate) fn too_young(&self, fact: &Fact, shown: Sense) -> Option<i64> {
        let (sense, published_ms) = self.announced.last(fact)?;
        let until_ms = published_ms
            .min(self.now_ms)
            .saturating_add(self.confirm_ms);
        // `log_event` drops a time that is far ahead. This machine's clock catches up with the rest.
        let is_settled = self.facts_reread || until_ms <= self.now_ms;
        (sense != shown && !is_settled).then_some(until_ms)
    }

    /// The facts that the changes announce.
    pub(super) fn announced_facts(&self) -> impl Iterator<Item = &Fact> {
        self.announced.facts.keys()
    }

    /// Whether the end of `needed` was announced, and `fact` was not announced after that.
    pub(super) fn ends_later(&self, needed: &Fact, fact: &Fact) -> bool {
        let announced_ms = self.announced.last(fact).map(|(_, at_ms)| at_ms);
        let ended = self.announced.last(needed);
        ended.is_some_and(|(sense, at_ms)| sense == Sense::Ended && Some(at_ms) >= announced_ms)
    }

    /// A second read in this run did not show what was announced, either.
    pub(crate) fn confirm_look(&mut self) {
        self.facts_reread = true;
    }

    /// The groups that the user is announced to have joined or left.
    pub(crate) fn announced_groups(&self) -> impl Iterator<Item = &OktaGroupId> {
        self.announced.facts.keys().filter_map(|fact| match fact {
            Fact::InGroup(group) => Some(group),
            _ => None,
        })
    }

    /// The groups that the user is announced to have left.
    pub(crate) fn left_groups(&self) -> impl Iterator<Item = &OktaGroupId> {
        self.announced_groups()
            .filter(|group| self.announced.revokes(&Fact::InGroup((*group).clone())))
    }

    /// Whether the user is known to have left this group, although the list of their groups is incomplete.
    pub(crate) fn announces_leaving(&self, group: &OktaGroupId) -> bool {
        self.passes_gaps() || self.announced.revokes(&Fact::InGroup(group.clone()))
    }

    /// Whether the operator asked to count what an incomplete list lacks as absent.
    pub(crate) fn passes_gaps(&self) -> bool {
        self.announced.despite_gaps
    }

    /// Whether an event announced that the user is in this group.
    pub(crate) fn announces_in(&self, group: &OktaGroupId) -> bool {
        self.announced.grants(&Fact::InGroup(group.clone()))
    }

    /// Whether an event announced that the user comes into this group's team.
    pub(crate) fn announces_joining(&self, group: &OktaGroupId) -> bool {
        let announced = &self.announced;
        announced.grants(&Fact::InGroup(group.clone()))
            || announced.grants(&Fact::Assigned)
            || announced.grants(&Fact::Active)
            || announced.grants(&Fact::Suspended)
    }

    /// Whether an event announced that the Okta user is deactivated or deleted.
    pub(crate) fn user_ended(&self) -> bool {
        self.announced.revokes(&Fact::Active)
    }

    /// Whether an event announced that the group is deleted.
    pub(crate) fn group_ended(&self) -> bool {
        self.announced.revokes(&Fact::GroupExists)
    }

    /// The time of this look, in milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }
}

/// The failure of a look whose answers cannot all be true.
pub(super) fn contradiction(side: Side, what: &str) -> Failure {
    let what = format!("two answers of {side} contradict each other: {what}; nothing was changed");
    Failure::retryable(side, what).because(Cause::Contradiction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Change;
    use crate::ids::{OktaUserId, Subject};

    const SECOND: i64 = 1000;
    const CONFIRM: Duration = Duration::from_secs(15);
    const NOW: i64 = 1_800_000_000_000;

    fn change(event_type: &str, group: Option<&str>, at_ms: i64) -> Change {
        let subject = Subject::User(OktaUserId::parse("00u1").unwrap());
        let mut change = Change::found(subject, at_ms);
        change.event_type = event_type.to_owned();
        change.group = group.map(|group| OktaGroupId::parse(group).unwrap());
        change
    }

    fn evidence(changes: &[Change], first: Option<(&str, i64)>) -> Evidence {
        let first = first.map(|(finding, at)| (finding.to_owned(), at));
        let announced = Announced::by(changes, None, NOW);
        Evidence::new(announced, &first.into_iter().collect(), NOW, CONFIRM)
    }

    #[test]
    fn a_finding_counts_when_it_is_announced_or_seen_twice() {
        use Weight::{SeenOnce, SeenTwice};
        let of = |changes: &[Change], first: Option<i64>| {
            let evidence = evidence(changes, first.map(|at| ("not_assigned", at)));
            let finding = Finding::NotAssigned;
            (evidence.weigh(&finding), evidence.first_seen(&finding))
        };
        let weigh = |changes: &[Change], first| of(changes, first).0;
        assert_eq!(of(&[], None), (SeenOnce, NOW));
        let seen = |ago: i64| of(&[], Some(NOW - ago));
        assert_eq!(seen(14 * SECOND), (SeenOnce, NOW - 14 * SECOND));
        assert_eq!(seen(15 * SECOND), (SeenTwice, NOW - 15 * SECOND));
        assert_eq!(seen(3600 * SECOND), (SeenTwice, NOW - 3600 * SECOND));
        assert_eq!(seen(3601 * SECOND), (SeenOnce, NOW), "too long ago");
        assert_eq!(seen(-SECOND), (SeenOnce, NOW), "a clock was set back");
        for announced in [
            "application.user_membership.remove",
            "user.lifecycle.suspend",
            "user.lifecycle.deactivate",
            "user.lifecycle.delete.initiated",
        ] {
            assert_eq!(
                weigh(&[change(announced, None, NOW)], None),
                Weight::Announced
            );
        }
        for other in [
            "user.account.update_profile",
            "reconcile",
            "group.user_membership.remove",
        ] {
            let weight = weigh(&[change(other, Some("00g1"), NOW)], None);
            assert!(!weight.is_enough(), "{other}");
        }
    }

    #[test]
    fn the_last_published_of_contradicting_events_counts() {
        let add = |at| change("application.user_membership.add", None, at);
        let remove = |at| change("application.user_membership.remove", None, at);
        let enough = |changes: &[Change]| {
            evidence(changes, None)
                .weigh(&Finding::NotAssigned)
                .is_enough()
        };
        assert!(enough(&[add(NOW - 2), remove(NOW - 1)]));
        assert!(!enough(&[add(NOW - 1), remove(NOW - 2)]));
        // Okta's clock may be ahead of this machine's.
        assert!(!enough(&[add(NOW + 2), remove(NOW + 1)]));
        assert!(enough(&[remove(NOW + 2), add(NOW + 1)]));
    }

    #[test]
    fn an_announced_leave_counts_for_its_own_group_only() {
        let left = [change("group.user_membership.remove", Some("00g1"), NOW)];
        let evidence = evidence(&left, None);
        let of =
            |group: &str| evidence.weigh(&Finding::NotInGroup(OktaGroupId::parse(group).unwrap()));
        assert!(of("00g1").is_enough());
        assert!(!of("00g2").is_enough());
    }

    #[test]
    fn a_young_announcement_is_not_overruled_by_the_look() {
        let add = |ago: i64| {
            let add = change("application.user_membership.add", None, NOW - ago);
            evidence(&[add], None).too_young(&Fact::Assigned, Sense::Ended)
        };
        assert_eq!(add(SECOND), Some(NOW + 14 * SECOND));
        assert_eq!(add(15 * SECOND), None);
        // This machine's clock is behind.
        assert_eq!(add(-10 * SECOND), Some(NOW + 15 * SECOND));
        assert_eq!(add(-60 * SECOND), Some(NOW + 15 * SECOND));
    }

    #[test]
    fn a_reconcile_is_the_first_look_only_for_its_own_findings() {
        let mut change = change("reconcile", None, NOW - 20 * SECOND);
        change.planned = vec!["not_assigned".to_owned()];
        let evidence = evidence(&[change], None);
        assert!(evidence.weigh(&Finding::NotAssigned).is_enough());
        assert!(!evidence.weigh(&Finding::NotPushed).is_enough());
    }

    #[test]
    fn a_look_without_the_user_confirms_one_without_the_assignment() {
        let deleted = |first: &str| {
            let evidence = evidence(&[], Some((first, NOW - 20 * SECOND)));
            let weights = [Finding::NoUser, Finding::NotAssigned].map(|f| evidence.weigh(&f));
            weights.map(Weight::is_enough)
        };
        assert_eq!(deleted("not_assigned"), [true, true]);
        assert_eq!(deleted("no_user"), [true, true]);
        assert_eq!(deleted("owner_gone:00u2"), [false, false]);
    }

    #[test]
    fn an_event_announces_the_end_of_a_team_only_for_its_own_reason() {
        let assigned = GroupSelection::Assigned;
        let named = GroupSelection::Named("Dev*".to_owned());
        let announces = |event_type: &str, why: Unpushed, selection: &GroupSelection| {
            let evidence = evidence(&[change(event_type, None, NOW)], None);
            evidence.weigh_end(why, selection).is_enough()
        };
        for selection in [&assigned, &named] {
            assert!(announces(
                "group.lifecycle.delete",
                Unpushed::Gone,
                selection
            ));
            assert!(!announces(
                "group.lifecycle.create",
                Unpushed::Gone,
                selection
            ));
        }
        let unassigned = "group.application_assignment.remove";
        assert!(announces(unassigned, Unpushed::NotAssigned, &assigned));
        assert!(announces(unassigned, Unpushed::Gone, &assigned));
        assert!(!announces(unassigned, Unpushed::Gone, &named));
        let renamed = "group.profile.update";
        assert!(announces(renamed, Unpushed::NotSelected, &named));
        assert!(!announces(renamed, Unpushed::Gone, &named));
        assert!(!announces(renamed, Unpushed::NotAssigned, &assigned));
    }

    #[test]
    fn a_contrary_look_forgets_the_finding() {
        let evidence = evidence(&[], Some(("not_assigned", NOW - 20 * SECOND)));
        assert_eq!(evidence.remember([]), BTreeMap::new());
        let kept = evidence.remember([&Finding::NotAssigned, &Finding::NotPushed]);
        let kept: Vec<_> = kept.into_iter().collect();
        assert_eq!(
            kept,
            [
                ("not_assigned".to_owned(), NOW - 20 * SECOND),
                ("not_pushed".to_owned(), NOW)
            ]
        );
    }
}
