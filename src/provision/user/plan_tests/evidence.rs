use super::*;

#[test]
fn a_state_that_okta_says_outright_ends_access_at_the_first_look() {
    for reason in [
        Unwanted::Suspended,
        Unwanted::Deprovisioned,
        Unwanted::AssignmentEnded,
    ] {
        let plan = plan_on(&unwanted(reason), &first_look());
        assert_eq!(steps(&plan), ["disable_account a1 disabled"], "{reason:?}");
        assert_eq!(
            (plan.findings.believed, plan.findings.doubted),
            (vec![], vec![])
        );
    }
}

#[test]
fn a_finding_ends_access_only_when_it_is_believed() {
    for (reason, finding, event) in [
        (
            Unwanted::NotAssigned,
            Finding::NotAssigned,
            "application.user_membership.remove",
        ),
        (
            Unwanted::NoUser,
            Finding::NoUser,
            "user.lifecycle.delete.initiated",
        ),
    ] {
        let mut view = unwanted(reason);
        view.linked_teams = vec![found(1, Membership::Ours)];
        in_groups(&mut view, &[1]);
        for evidence in [
            first_look(),
            seen(&[(finding.clone(), 14)]),
            // A finding about something else, and one from too long ago.
            seen(&[(Finding::NotInGroup(group("00g1")), 60)]),
            seen(&[(finding.clone(), 3_601)]),
            announced("group.user_membership.remove", Some("00g1")),
        ] {
            let plan = plan_on(&view, &evidence);
            assert_eq!(steps(&plan), [""; 0]);
            assert_eq!((plan.retire, plan.findings.believed), (None, vec![]));
            assert_eq!(plan.findings.doubted, std::slice::from_ref(&finding));
        }
        for evidence in [seen(&[(finding.clone(), 15)]), announced(event, None)] {
            let plan = plan_on(&view, &evidence);
            assert_eq!(
                steps(&plan),
                ["disable_account a1 disabled", "leave_team t1"]
            );
            assert_eq!(plan.findings.believed, std::slice::from_ref(&finding));
            assert_eq!(plan.findings.doubted, []);
        }
        // A finding without consequences is not doubted, so it needs no second look.
        view.linked = Some(account("a1", "ann", false));
        view.linked_teams = Vec::new();
        let plan = plan_on(&view, &first_look());
        assert_eq!(
            (plan.findings.doubted, plan.findings.believed),
            (vec![], vec![])
        );
    }
}

#[test]
fn a_team_is_left_only_when_the_finding_is_believed() {
    let mut view = settled();
    in_groups(&mut view, &[2, 4]);
    view.linked_teams = vec![
        found(1, Membership::Ours),
        found(2, Membership::Ours),
        found(3, Membership::Special),
    ];
    let gone = Finding::NotInGroup(group("00g1"));
    // Joining a team needs no second look.
    let plan = plan_on(&view, &first_look());
    assert_eq!(steps(&plan), ["join_team t4"]);
    assert_eq!(plan.findings.doubted, std::slice::from_ref(&gone));
    for evidence in [
        seen(&[(gone.clone(), 20)]),
        announced("group.user_membership.remove", Some("00g1")),
    ] {
        let plan = plan_on(&view, &evidence);
        assert_eq!(steps(&plan), ["leave_team t1", "join_team t4"]);
        assert_eq!(plan.findings.believed, std::slice::from_ref(&gone));
        assert_eq!(plan.findings.doubted, []);
    }
    let other = announced("group.user_membership.remove", Some("00g2"));
    assert_eq!(plan_on(&view, &other).leave, []);
}

/// Lists may lack a new account for some minutes, so one list without it proves nothing.
#[test]
fn an_account_whose_creation_got_no_answer_is_looked_for_twice() {
    for (wanted, creates) in [
        (Wanted::Account(person()), true),
        (Wanted::Nothing(Unwanted::Deprovisioned), false),
    ] {
        let view = UserView {
            orphan: Orphan::Unshown,
            ..view(wanted)
        };
        let once = plan_on(&view, &first_look());
        assert_eq!(steps(&once), [""; 0]);
        assert_eq!(once.findings.doubted, [Finding::NotCreated]);
        let twice = plan_on(&view, &seen(&[(Finding::NotCreated, 20)]));
        assert_eq!(twice.findings.believed, [Finding::NotCreated]);
        assert_eq!(matches!(twice.account, AccountPlan::Create { .. }), creates);
    }
    // Also when the user cannot have the account that is wanted now.
    let mut refused = person();
    refused.username = Err(Failure::permanent(Side::Okta, "no username", ""));
    let view = UserView {
        orphan: Orphan::Unshown,
        ..view(Wanted::Account(refused))
    };
    let once = plan_on(&view, &first_look());
    assert_eq!(once.findings.doubted, [Finding::NotCreated]);
    assert!(once.refused.is_some());
}

/// A doubt about the account is none about the groups.
#[test]
fn a_known_leave_does_not_wait_with_the_account() {
    let mut unassigned = unwanted(Unwanted::NotAssigned);
    let mut owner_gone = freed_by(Release::Ended(Unwanted::NotAssigned));
    owner_gone.link = Some(link("a1", "old"));
    owner_gone.linked = Some(account("a1", "old", true));
    for view in [&mut unassigned, &mut owner_gone] {
        in_groups(view, &[2]);
        view.linked_teams = vec![
            found(1, Membership::Ours),
            found(2, Membership::Ours),
            found(3, Membership::Special),
        ];
        let gone = Finding::NotInGroup(group("00g1"));
        let once = plan_on(view, &first_look());
        assert_eq!(steps(&once), [""; 0]);
        assert!(
            once.findings.doubted.contains(&gone),
            "a second look counts"
        );
        for evidence in [
            seen(&[(gone.clone(), 20)]),
            announced("group.user_membership.remove", Some("00g1")),
        ] {
            let plan = plan_on(view, &evidence);
            assert_eq!(steps(&plan), ["leave_team t1"]);
            assert_eq!(plan.findings.believed, std::slice::from_ref(&gone));
            assert_eq!(plan.findings.doubted.len(), 1, "the account waits");
        }
    }
    unassigned.groups = GroupsSeen::Unread;
    let gone = Finding::NotInGroup(group("00g1"));
    let plan = plan_on(&unassigned, &seen(&[(gone, 20)]));
    assert_eq!(plan.leave, []);
}

#[test]
fn an_incomplete_list_of_groups_removes_no_membership() {
    let mut view = settled();
    in_groups(&mut view, &[2]);
    let GroupsSeen::Whole(groups) = view.groups.clone() else {
        panic!()
    };
    view.groups = GroupsSeen::Incomplete(groups);
    view.linked_teams = vec![
        found(1, Membership::Ours),
        found(3, Membership::Uncertain),
        found(4, Membership::Special),
    ];
    let gone = Finding::NotInGroup(group("00g1"));
    // No number of looks changes that.
    for evidence in [first_look(), seen(&[(gone.clone(), 60)])] {
        let plan = plan_on(&view, &evidence);
        assert_eq!(steps(&plan), ["join_team t2"]);
        assert_eq!(
            (plan.findings.believed, plan.findings.doubted),
            (vec![], vec![])
        );
    }
    // An announcement counts for its own group.
    let left = announced("group.user_membership.remove", Some("00g1"));
    let plan = plan_on(&view, &left);
    assert_eq!(steps(&plan), ["leave_team t1", "join_team t2"]);
    assert_eq!(plan.findings.believed, [gone]);
    // `push` announces what it finds, and finds no absence. `push --now` counts the list.
    for (by, expected) in [
        (Announced::everything(), &["join_team t2"][..]),
        (
            Announced::despite_gaps(),
            &["leave_team t1", "leave_team t3", "join_team t2"],
        ),
    ] {
        let evidence = Evidence::new(by, &BTreeMap::new(), NOW_MS, CONFIRM);
        assert_eq!(steps(&plan_on(&view, &evidence)), expected);
    }
    // If the groups were not read, no membership changes.
    view.groups = GroupsSeen::Unread;
    view.teams = Vec::new();
    let plan = plan_on(&view, &seen(&[(Finding::NotInGroup(group("00g1")), 60)]));
    assert_eq!(plan.leave, []);
}
