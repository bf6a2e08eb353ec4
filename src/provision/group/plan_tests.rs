use super::*;
use crate::provision::wanted::MemberWanted;
use crate::store::Origin;

fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

fn user(id: &str) -> OktaUserId {
    OktaUserId::parse(id).unwrap()
}

fn found(id: &str, plain: bool, owner: Option<&str>) -> MemberFound {
    MemberFound {
        account: account(id),
        membership: match plain {
            true => Membership::Ours,
            false => Membership::Special,
        },
        owner: owner.map_or(Owner::Unknown, |id| Owner::Current(user(id))),
    }
}

fn view(wanted: GroupWanted, found: Option<Vec<MemberFound>>) -> GroupView {
    let link = TeamLink {
        team_id: TeamId::parse("t1").unwrap(),
        team_name: "Ops".to_owned(),
        origin: Origin::Created,
    };
    GroupView {
        wanted,
        link: Some(link),
        found,
        below: 0,
        past: Past::OfNoOther,
        incomplete: None,
        name_owner: None,
    }
}

fn mixed() -> Vec<MemberFound> {
    vec![
        found("stays", true, Some("00u1")),
        found("extra", true, Some("00u2")),
        found("unlinked", true, None),
        found("maintainer", false, Some("00u3")),
    ]
}

fn members(accounts: &[&str]) -> GroupWanted {
    GroupWanted::Team(WantedMembers {
        accounts: accounts.iter().map(|id| account(id)).collect(),
        ..WantedMembers::default()
    })
}

fn plan(view: &GroupView, policy: &Policy) -> GroupPlan {
    plan_group(view, policy, &Evidence::first_look())
}

#[test]
fn only_plain_linked_members_are_removed() {
    let wanted = members(&["stays", "missing", "maintainer"]);
    let plan = plan(&view(wanted, Some(mixed())), &Policy::default());
    assert_eq!(plan.remove, [account("extra")]);
    assert_eq!(plan.add, [account("missing")]);
}

#[test]
fn a_member_whose_new_account_does_not_exist_yet_keeps_the_old_membership() {
    let mut wanted = WantedMembers::default();
    wanted.add(&user("00u1"), MemberWanted::Later(Some(account("stays"))));
    wanted.add(&user("00u2"), MemberWanted::Stuck(Some(account("extra"))));
    let plan = plan(
        &view(GroupWanted::Team(wanted), Some(mixed())),
        &Policy::default(),
    );
    assert_eq!(plan.remove, []);
    assert_eq!(
        plan.add,
        [],
        "an account that the user gives up is not added"
    );
    assert_eq!(plan.later, [user("00u1")], "no look can help the other");
}

#[test]
fn a_member_missing_from_one_look_stays_until_a_second_look() {
    let once = Evidence::without_events(1_000_000, std::time::Duration::from_secs(15));
    let view = |ended: HashSet<OktaUserId>| {
        let wanted = WantedMembers {
            accounts: vec![account("stays")],
            ended,
            ..WantedMembers::default()
        };
        view(GroupWanted::Team(wanted), Some(mixed()))
    };
    let plan = plan_group(&view(HashSet::new()), &Policy::default(), &once);
    assert_eq!(plan.remove, []);
    assert_eq!(plan.findings.doubted, [Finding::NotMember(user("00u2"))]);
    let said = plan_group(&view([user("00u2")].into()), &Policy::default(), &once);
    assert_eq!(said.remove, [account("extra")], "Okta says so outright");
}

#[test]
fn a_member_of_the_group_whose_link_moved_during_the_look_is_no_leaver() {
    let mut wanted = WantedMembers::default();
    wanted.add(&user("00u1"), MemberWanted::Account(account("stays")));
    wanted.add(&user("00u2"), MemberWanted::Account(account("new")));
    let once = Evidence::without_events(1_000_000, std::time::Duration::from_secs(15));
    let seen = view(GroupWanted::Team(wanted.clone()), Some(mixed()));
    let plan = plan_group(&seen, &Policy::default(), &once);
    assert_eq!(plan.remove, []);
    assert!(
        plan.findings == Findings::default(),
        "Okta shows the user in the group"
    );
    assert_eq!(plan.later, [user("00u2")], "their own look decides");
    wanted.add(&user("00u2"), MemberWanted::Ended);
    let ended = view(GroupWanted::Team(wanted), Some(mixed()));
    let plan = plan_group(&ended, &Policy::default(), &once);
    assert_eq!(plan.remove, [account("extra")]);
}

#[test]
fn incomplete_lists_add_members_and_remove_none() {
    let mut pushed = view(members(&["stays", "missing"]), Some(mixed()));
    pushed.incomplete = Some(Side::Anypoint);
    let found = plan(&pushed, &Policy::default());
    assert_eq!((found.remove.len(), found.add.len()), (0, 1));
    let refused = found.refused.unwrap();
    assert_eq!(
        (refused.side, refused.cause),
        (Side::Anypoint, Cause::Unreadable)
    );
    assert!(found.findings == Findings::default());
    pushed.wanted = GroupWanted::Nothing(Unpushed::Gone);
    for team_removal in [TeamRemoval::Empty, TeamRemoval::Delete] {
        let policy = Policy {
            team_removal,
            ..Policy::default()
        };
        assert!(plan(&pushed, &policy).writes_nothing());
    }
}

#[test]
fn a_membership_of_an_unknown_kind_is_reported_where_it_has_to_end() {
    let unread = |owner: Owner| MemberFound {
        account: account("unread"),
        membership: Membership::Unread,
        owner,
    };
    let current = || Owner::Current(user("00u9"));
    let refused = |wanted: GroupWanted, found: MemberFound, evidence: &Evidence| {
        let mut members = mixed();
        members.push(found);
        let plan = plan_group(&view(wanted, Some(members)), &Policy::default(), evidence);
        assert!(!plan.remove.contains(&account("unread")));
        plan.refused
    };
    let known = Evidence::first_look();
    let gone = || GroupWanted::Nothing(Unpushed::Gone);
    for wanted in [members(&["stays"]), gone()] {
        for owner in [current(), Owner::Former(user("00u9"))] {
            let failure = refused(wanted.clone(), unread(owner), &known).unwrap();
            assert!(failure.is_retryable() && failure.cause == Cause::Unreadable);
            assert!(failure.to_string().contains("account unread"), "{failure}");
        }
        for owner in [Owner::Unknown, Owner::Excluded] {
            assert_eq!(refused(wanted.clone(), unread(owner), &known), None);
        }
    }
    // It does not end: the user is in the group, or may be.
    assert_eq!(
        refused(members(&["unread"]), unread(current()), &known),
        None
    );
    let once = Evidence::without_events(1_000_000, std::time::Duration::from_secs(15));
    assert_eq!(refused(members(&[]), unread(current()), &once), None);
    // Under this setting nobody leaves.
    let keep = Policy {
        team_removal: TeamRemoval::Keep,
        ..Policy::default()
    };
    let kept = view(gone(), Some(vec![unread(current())]));
    assert_eq!(plan(&kept, &keep).refused, None);
}

/// Whatever one of two readings shows is there, and the more careful one decides about a membership.
#[test]
fn two_readings_of_a_team_are_united() {
    let read = |members: &[(&str, bool)], below: usize| {
        let members = members.iter();
        let members = members.map(|(id, plain)| found(id, *plain, Some("00u1")));
        GroupView {
            below,
            ..view(
                GroupWanted::Nothing(Unpushed::Gone),
                Some(members.collect()),
            )
        }
    };
    let one = || read(&[("a", true), ("b", false)], 1);
    let other = || read(&[("b", true), ("c", true)], 0);
    let all = read(&[("a", true), ("b", false), ("c", true)], 1);
    assert_eq!(one().united(other()).unwrap(), all);
    assert_eq!(other().united(one()).unwrap(), all);
    let gone = view(GroupWanted::Nothing(Unpushed::Gone), None);
    assert!(one().united(gone).unwrap_err().is_retryable());
}

#[test]
fn a_team_in_sync_gets_an_empty_plan() {
    let view = view(members(&["a"]), Some(vec![found("a", true, Some("00u1"))]));
    let plan = plan(&view, &Policy::default());
    assert!(plan.writes_nothing() && plan.steps().is_empty());
}

#[test]
fn the_team_of_an_unpushed_group_follows_team_removal() {
    let gone = || view(GroupWanted::Nothing(Unpushed::Gone), Some(mixed()));
    let mut policy = Policy::default();
    assert_eq!(
        plan(&gone(), &policy).remove,
        [account("extra"), account("stays")]
    );
    policy.team_removal = TeamRemoval::Keep;
    let kept = plan(&gone(), &policy);
    assert!(kept.remove.is_empty());
    assert_eq!(kept.end, Some(TeamEnd::Unlink));
    policy.team_removal = TeamRemoval::Delete;
    assert_eq!(plan(&gone(), &policy).end, Some(TeamEnd::Delete));
    let mut parent = gone();
    parent.below = 1;
    let refused = plan(&parent, &policy);
    assert_eq!(refused.remove, [account("extra"), account("stays")]);
    assert!(refused.end.is_none() && refused.refused.is_some());
    let team_gone = view(GroupWanted::Nothing(Unpushed::Gone), None);
    assert!(plan(&team_gone, &policy).writes_nothing());
}

/// The team has teams below it, and the kind of a membership that has to end cannot be read.
#[test]
fn teams_below_do_not_hide_a_membership_that_a_retry_may_end() {
    let unread = MemberFound {
        membership: Membership::Unread,
        ..found("unread", true, Some("00u1"))
    };
    let view = GroupView {
        below: 1,
        ..view(GroupWanted::Nothing(Unpushed::Gone), Some(vec![unread]))
    };
    let policy = Policy {
        team_removal: TeamRemoval::Delete,
        ..Policy::default()
    };
    let refused = plan(&view, &policy).refused.unwrap();
    assert_eq!(refused.cause, Cause::Unreadable);
}
