use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::event::Change;
use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::provision::{Adopt, Announced, ImportedNames, Release, Step};
use crate::store::{AccountOwner, AgreedProfile, Tenure, UserLink};

const USER: &str = "00u1";
const NOW_MS: i64 = 1_790_000_000_000;
const CONFIRM: Duration = Duration::from_secs(15);

fn account(id: &str, username: &str, enabled: bool) -> Account {
    serde_json::from_value(json!({
        "id": id, "username": username, "firstName": "Ann", "lastName": "Lee", "email": "Ann@acme.example",
        "phoneNumber": "1", "enabled": enabled, "idprovider_id": "mulesoft"}))
    .unwrap()
}

fn person() -> Person {
    Person {
        username: Ok("ann".to_owned()),
        first_name: Some("Ann".to_owned()),
        last_name: Some("Lee".to_owned()),
        email: Some("ann@acme.example".to_owned()),
        phone: Some("1".to_owned()),
        unread: Vec::new(),
    }
}

fn link(id: &str, username: &str) -> UserLink {
    UserLink {
        anypoint_id: AccountId::parse(id).unwrap(),
        username: username.to_owned(),
        origin: Origin::Created,
        agreed: None,
        reset_mail: ResetMail::Settled,
    }
}

fn view(wanted: Wanted) -> UserView {
    UserView {
        user: OktaUserId::parse(USER).unwrap(),
        wanted,
        link: None,
        linked: None,
        linked_teams: Vec::new(),
        named: None,
        groups: GroupsSeen::Whole(HashSet::new()),
        teams: Vec::new(),
    }
}

/// An enabled, linked account that is in sync with Okta.
fn settled() -> UserView {
    UserView {
        link: Some(link("a1", "ann")),
        linked: Some(account("a1", "ann", true)),
        ..view(Wanted::Account(person()))
    }
}

/// The same account, of a user who is to have none any more.
fn unwanted(reason: Unwanted) -> UserView {
    UserView {
        link: Some(link("a1", "ann")),
        linked: Some(account("a1", "ann", true)),
        ..view(Wanted::Nothing(reason))
    }
}

fn named(account: Account) -> Option<NamedAccount> {
    Some(NamedAccount {
        account,
        owner: None,
        freed_from: None,
        teams: Vec::new(),
        listed: Vec::new(),
    })
}

fn team(id: &str) -> TeamId {
    TeamId::parse(id).unwrap()
}

fn group(id: &str) -> OktaGroupId {
    OktaGroupId::parse(id).unwrap()
}

/// Team `t<n>` of group `00g<n>`, as found.
fn found(n: usize, membership: Membership) -> FoundTeam {
    FoundTeam {
        team: team(&format!("t{n}")),
        group: group(&format!("00g{n}")),
        membership,
    }
}

fn wanted_team(n: usize) -> WantedTeam {
    WantedTeam {
        group: group(&format!("00g{n}")),
        group_name: "Devs".to_owned(),
        team: Some(team(&format!("t{n}"))),
    }
}

/// The user is in these groups, and their teams are wanted.
fn in_groups(view: &mut UserView, groups: &[usize]) {
    let ids = groups.iter().map(|n| group(&format!("00g{n}")));
    view.groups = GroupsSeen::Whole(ids.collect());
    view.teams = groups.iter().map(|n| wanted_team(*n)).collect();
}

fn plan(view: &UserView) -> Vec<String> {
    plan_with(view, &Policy::default())
}

fn plan_with(view: &UserView, policy: &Policy) -> Vec<String> {
    let plan = plan_user(view, policy, &Evidence::first_look()).unwrap();
    assert_eq!(plan.findings.doubted, []);
    steps(&plan)
}

/// Each step as its name and what tells it apart.
fn steps(plan: &UserPlan) -> Vec<String> {
    let told = |step: Step| {
        let mut words = vec![step.action.to_string()];
        words.extend(step.id);
        if !step.fields.is_empty() {
            words.push(step.fields.join(","));
        }
        words.join(" ")
    };
    plan.steps().into_iter().map(told).collect()
}

/// The evidence when nothing was announced and nothing was seen before.
fn first_look() -> Evidence {
    seen(&[])
}

/// The evidence when earlier looks first saw these findings, each this many seconds ago.
fn seen(findings: &[(Finding, i64)]) -> Evidence {
    let before = findings
        .iter()
        .map(|(finding, ago)| (finding.to_string(), NOW_MS - ago * 1_000));
    Evidence::new(Announced::default(), &before.collect(), NOW_MS, CONFIRM)
}

/// The evidence when an event announced it.
fn announced(event_type: &str, group: Option<&str>) -> Evidence {
    let user = Subject::User(OktaUserId::parse(USER).unwrap());
    let mut change = Change::found(user, NOW_MS);
    change.event_type = event_type.to_owned();
    change.group = group.map(|id| OktaGroupId::parse(id).unwrap());
    let announced = Announced::by([&change], None, NOW_MS);
    Evidence::new(announced, &BTreeMap::new(), NOW_MS, CONFIRM)
}

fn plan_on(view: &UserView, evidence: &Evidence) -> UserPlan {
    plan_user(view, &Policy::default(), evidence).unwrap()
}

/// The link that a plan writes, and whether a mail goes out.
fn written(plan: &UserPlan) -> Option<(UserLink, ResetEmail)> {
    match &plan.account {
        AccountPlan::Keep { link, mail, .. } => Some((link.clone()?, *mail)),
        AccountPlan::Adopt(Adoption { link, mail, .. }) => Some((link.clone(), *mail)),
        AccountPlan::Nothing | AccountPlan::Create { .. } => None,
    }
}

#[test]
fn an_account_in_sync_gets_an_empty_plan() {
    assert!(plan(&settled()).is_empty());
    assert!(plan(&view(Wanted::Nothing(Unwanted::NoUser))).is_empty());
}

#[test]
fn a_new_user_gets_an_account_a_reset_mail_a_link_and_teams() {
    let mut view = view(Wanted::Account(person()));
    in_groups(&mut view, &[1]);
    assert_eq!(
        plan(&view),
        ["create_account", "mail_reset", "link", "join_team t1"]
    );
    let quiet = Policy {
        reset_email: ResetEmail::Skip,
        ..Policy::default()
    };
    assert_eq!(plan_with(&view, &quiet)[..2], ["create_account", "link"]);
}

#[test]
fn an_account_is_created_with_all_that_anypoint_asks_for() {
    let created = |person: Person, policy: &Policy| {
        let view = view(Wanted::Account(person));
        let plan = plan_user(&view, policy, &first_look())?;
        match plan.account {
            AccountPlan::Create { person, .. } => Ok(person),
            other => panic!("{other:?}"),
        }
    };
    let policy = Policy {
        default_phone: Some("0".to_owned()),
        ..Policy::default()
    };
    let whole = NewPerson {
        username: "ann".to_owned(),
        first_name: "Ann".to_owned(),
        last_name: "Lee".to_owned(),
        email: "ann@acme.example".to_owned(),
        phone: Some("1".to_owned()),
    };
    assert_eq!(created(person(), &policy).unwrap(), whole);
    let without_phone = || Person {
        phone: None,
        ..person()
    };
    let default = created(without_phone(), &policy).unwrap();
    assert_eq!(default.phone.as_deref(), Some("0"));
    let none = created(without_phone(), &Policy::default()).unwrap();
    assert_eq!(none.phone, None);
    let lacking = [
        (
            "first name",
            Person {
                first_name: None,
                ..person()
            },
        ),
        (
            "last name",
            Person {
                last_name: None,
                ..person()
            },
        ),
        (
            "e-mail address",
            Person {
                email: None,
                ..person()
            },
        ),
    ];
    for (what, person) in lacking {
        let failure: Failure = created(person.clone(), &policy).unwrap_err();
        assert!(!failure.is_retryable());
        assert_eq!(failure.cause, Cause::ProfileIncomplete);
        assert!(failure.message.contains(what), "{failure}");
        assert!(!failure.to_string().contains("ann"), "{failure}");
        // An existing account needs none of it.
        let mut there = settled();
        there.wanted = Wanted::Account(person);
        assert!(plan(&there).is_empty());
    }
    assert!(!format!("{whole:?}").contains("ann"));
}

/// A refused new username does not disable the old account, and does not keep its memberships.
#[test]
fn a_user_with_a_refused_username_keeps_the_old_account() {
    let refused = Failure::permanent(Side::Settings, "no such username", "Choose another.");
    let lacking = Person {
        email: None,
        ..person()
    };
    let unnamed = Person {
        username: Err(refused),
        ..person()
    };
    for person in [lacking, unnamed] {
        let mut view = settled();
        view.link = Some(link("a1", "old"));
        view.linked = Some(account("a1", "old", false));
        view.linked_teams = vec![found(1, Membership::Ours)];
        in_groups(&mut view, &[2]);
        view.wanted = Wanted::Account(person);
        let plan = plan_on(&view, &Evidence::first_look());
        assert!(plan.refused.as_ref().is_some_and(|why| !why.is_retryable()));
        assert_eq!(
            steps(&plan),
            ["enable_account a1 enabled", "leave_team t1", "join_team t2"]
        );
        view.linked = None;
        assert!(plan_user(&view, &Policy::default(), &first_look()).is_err());
    }
}

#[test]
fn a_linked_account_is_never_replaced_by_itself() {
    for (shown, linked_as, listed) in [
        ("stranger", "ann", None),
        ("stranger", "ann", Some("a1")),
        ("old", "old", Some("a1")),
        ("old", "old", None),
        ("old", "old", Some("a2")),
    ] {
        let mut view = settled();
        view.linked = Some(account("a1", shown, true));
        view.link = Some(link("a1", linked_as));
        view.named = listed.map(|id| NamedAccount {
            account: account(id, "ann", true),
            owner: None,
            freed_from: None,
            teams: Vec::new(),
            listed: Vec::new(),
        });
        let planned = plan_user(&view, &Policy::default(), &first_look());
        if linked_as == "old" && listed != Some("a1") {
            let retired = planned.unwrap().retire.unwrap();
            assert_eq!(retired.account.as_str(), "a1");
        } else {
            let failure = planned.unwrap_err();
            assert_eq!(failure.cause, Cause::Contradiction);
            assert!(failure.is_retryable());
        }
    }
}

/// A membership that cannot be read is not changed, and its announced end does not count as done.
#[test]
fn an_unreadable_membership_that_has_to_end_is_retried() {
    for (membership, is_refused) in [(Membership::Unread, true), (Membership::Special, false)] {
        let mut ended = unwanted(Unwanted::Suspended);
        ended.linked_teams = vec![found(1, membership)];
        let mut left = settled();
        left.linked_teams = vec![found(1, membership)];
        for view in [ended, left] {
            let plan = plan_on(&view, &Evidence::first_look());
            assert!(
                !steps(&plan)
                    .iter()
                    .any(|step| step.starts_with("leave_team"))
            );
            assert_eq!(plan.refused.is_some(), is_refused);
        }
        let mut stays = settled();
        stays.linked_teams = vec![found(1, membership)];
        in_groups(&mut stays, &[1]);
        let plan = plan_on(&stays, &Evidence::first_look());
        assert!(steps(&plan).is_empty() && plan.refused.is_none());
    }
}

#[test]
fn only_names_phone_and_enabled_are_ever_changed() {
    let mut view = settled();
    view.linked = Some(account("a1", "ann", false));
    view.wanted = Wanted::Account(Person {
        first_name: Some("Anna".to_owned()),
        phone: Some("2".to_owned()),
        email: Some("other@acme.example".to_owned()),
        ..person()
    });
    assert_eq!(plan(&view), ["enable_account a1 first name,phone,enabled"]);
    view.linked = Some(account("a1", "ann", true));
    assert_eq!(plan(&view), ["update_account a1 first name,phone"]);
    // Anypoint keeps values that Okta does not have.
    view.wanted = Wanted::Account(Person {
        first_name: None,
        phone: None,
        ..person()
    });
    assert!(plan(&view).is_empty());
}

#[test]
fn unwanted_accounts_are_disabled_and_leave_only_our_teams() {
    let mut view = unwanted(Unwanted::Suspended);
    view.linked_teams = vec![
        found(1, Membership::Ours),
        found(2, Membership::Special),
        // The account joined it moments ago, and Anypoint does not show that yet.
        found(3, Membership::Uncertain),
    ];
    assert_eq!(
        plan(&view),
        [
            "disable_account a1 disabled",
            "leave_team t1",
            "leave_team t3"
        ]
    );
    view.linked = Some(account("a1", "ann", false));
    assert_eq!(plan(&view), ["leave_team t1", "leave_team t3"]);
    view.linked = None;
    assert!(plan(&view).is_empty(), "a deleted account needs nothing");
}

#[test]
fn a_new_username_enables_the_new_account_before_it_disables_the_old_one() {
    let mut view = settled();
    view.linked = Some(account("a1", "old", true));
    view.link = Some(link("a1", "old"));
    view.linked_teams = vec![found(1, Membership::Ours)];
    in_groups(&mut view, &[1]);
    // What Okta says outright needs no second look.
    assert_eq!(
        steps(&plan_on(&view, &first_look())),
        [
            "create_account",
            "mail_reset",
            "disable_account a1 disabled",
            "leave_team t1",
            "link",
            "join_team t1"
        ]
    );
    view.named = named(account("a2", "ann", false));
    assert_eq!(
        steps(&plan_on(&view, &first_look())),
        [
            "enable_account a2 enabled",
            "disable_account a1 disabled",
            "leave_team t1",
            "link a2",
            "join_team t1"
        ]
    );
}

#[test]
fn an_account_is_adopted_only_by_the_rules() {
    let mut view = view(Wanted::Account(person()));
    view.named = named(account("a2", "ANN", true));
    let with = |adopt| Policy {
        adopt,
        ..Policy::default()
    };
    let plan_as = |view: &UserView, adopt| plan_user(view, &with(adopt), &Evidence::first_look());
    let link_of = |plan: UserPlan| {
        let steps = steps(&plan);
        let (link, mail) = written(&plan).unwrap();
        (steps.join(", "), link.origin, mail)
    };
    let adopted = ("link a2".to_owned(), Origin::Adopted, ResetEmail::Skip);
    let plan = plan_as(&view, Adopt::UsernameAndEmail).unwrap();
    assert_eq!(link_of(plan), adopted);
    let failure = plan_as(&view, Adopt::Never).unwrap_err();
    assert_eq!(failure.cause, Cause::AdoptionRefused);
    view.wanted = Wanted::Account(Person {
        email: Some("x@acme.example".to_owned()),
        ..person()
    });
    let failure = plan_as(&view, Adopt::UsernameAndEmail).unwrap_err();
    assert_eq!(failure.cause, Cause::AdoptionRefused);
    let plan = plan_as(&view, Adopt::Username).unwrap();
    assert_eq!(link_of(plan), adopted);
    let owned = |user: &str, tenure, origin| {
        let owner = AccountOwner {
            okta_user: OktaUserId::parse(user).unwrap(),
            tenure,
            origin,
        };
        let mut view = view.clone();
        if let Some(named) = &mut view.named {
            named.owner = Some(owner);
        }
        plan_as(&view, Adopt::Never)
    };
    // A run that was cut off created it, so it is adopted whatever the setting. That run may not have asked for the
    // mail.
    let ours = owned(USER, Tenure::Former, Some(Origin::Created)).unwrap();
    let created = (
        "mail_reset, link a2".to_owned(),
        Origin::Created,
        ResetEmail::Send,
    );
    assert_eq!(link_of(ours), created);
    // A former account of this user is adopted whatever the setting.
    let former = owned(USER, Tenure::Former, None).unwrap();
    let AccountPlan::Adopt(Adoption { was_theirs, .. }) = former.account else {
        panic!("{:?}", former.account)
    };
    assert_eq!(was_theirs, FormerOwner::ThisUser);
    assert_eq!(link_of(owned(USER, Tenure::Former, None).unwrap()), adopted);
    // An account that was created for another user is never adopted.
    assert!(owned("00u2", Tenure::Former, None).is_err());
    assert!(owned("00u2", Tenure::Former, Some(Origin::Created)).is_err());
    let refused = owned("00u2", Tenure::Current, None).unwrap_err();
    assert!(refused.message.contains("00u2"));
    assert_eq!(refused.cause, Cause::UsernameTaken);
}

#[test]
fn an_uncertain_membership_is_written_again_but_a_maintainers_is_not() {
    let mut view = settled();
    in_groups(&mut view, &[1]);
    for (membership, expected) in [
        (Membership::Ours, &[][..]),
        (Membership::Uncertain, &["join_team t1"]),
        (Membership::Special, &[]),
    ] {
        view.linked_teams = vec![found(1, membership)];
        assert_eq!(plan(&view), expected);
    }
}

/// The run asks for a reset mail that is owed, and the link forgets it.
#[test]
fn an_owed_reset_mail_is_asked_for_again() {
    let mut view = settled();
    if let Some(link) = &mut view.link {
        link.reset_mail = ResetMail::Owed;
    }
    assert_eq!(plan(&view), ["mail_reset", "link a1"]);
    let (link, mail) = written(&plan_on(&view, &first_look())).unwrap();
    assert_eq!(
        (link.reset_mail, mail),
        (ResetMail::Settled, ResetEmail::Send)
    );
    let quiet = Policy {
        reset_email: ResetEmail::Skip,
        ..Policy::default()
    };
    assert_eq!(plan_with(&view, &quiet), ["link a1"]);
}

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

#[test]
fn another_user_gets_an_account_only_when_its_owner_is_believed_gone() {
    let mut view = settled();
    view.link = Some(link("a1", "old"));
    view.linked = Some(account("a1", "old", true));
    view.linked_teams = vec![found(1, Membership::Ours)];
    in_groups(&mut view, &[1]);
    let gone = OktaUserId::parse("00u2").unwrap();
    let freed = Freed {
        owner: gone.clone(),
        by: Release::Ended(Unwanted::NoUser),
    };
    view.named = Some(NamedAccount {
        account: account("a2", "ann", false),
        owner: Some(AccountOwner {
            okta_user: gone.clone(),
            tenure: Tenure::Current,
            origin: None,
        }),
        freed_from: Some(freed.clone()),
        teams: Vec::new(),
        listed: Vec::new(),
    });
    let finding = Finding::OwnerGone(gone.clone());
    // Until then the user keeps the old account and its teams.
    let plan = plan_on(&view, &first_look());
    assert_eq!(steps(&plan), [""; 0]);
    assert_eq!(
        (&plan.account, &plan.retire),
        (&AccountPlan::Nothing, &None)
    );
    assert_eq!(plan.findings.doubted, std::slice::from_ref(&finding));
    let plan = plan_on(&view, &seen(&[(finding.clone(), 20)]));
    assert_eq!(
        steps(&plan),
        [
            "enable_account a2 enabled",
            "disable_account a1 disabled",
            "leave_team t1",
            "link a2",
            "join_team t1"
        ]
    );
    assert_eq!(plan.findings.believed, [finding]);
    let AccountPlan::Adopt(Adoption {
        freed_from,
        was_theirs,
        ..
    }) = plan.account
    else {
        panic!("{:?}", plan.account)
    };
    assert_eq!((freed_from, was_theirs), (Some(freed), FormerOwner::Other));
    // The setting refuses the adoption even if the owner is gone.
    let never = Policy {
        adopt: Adopt::Never,
        ..Policy::default()
    };
    let kept = plan_user(&view, &never, &Evidence::first_look()).unwrap();
    let refused = kept.refused.unwrap();
    assert_eq!(refused.cause, Cause::AdoptionRefused);
}

/// An account "ann" of user 00u2, who gave it up.
fn freed_by(by: Release) -> UserView {
    let owner = OktaUserId::parse("00u2").unwrap();
    let mut view = view(Wanted::Account(person()));
    view.named = Some(NamedAccount {
        account: account("a2", "ann", true),
        owner: Some(AccountOwner {
            okta_user: owner.clone(),
            tenure: Tenure::Current,
            origin: None,
        }),
        freed_from: Some(Freed { owner, by }),
        teams: Vec::new(),
        listed: Vec::new(),
    });
    view
}

#[test]
fn an_owners_end_that_okta_says_outright_needs_no_second_look() {
    for by in [
        Release::Renamed,
        Release::Ended(Unwanted::Deprovisioned),
        Release::Ended(Unwanted::AssignmentEnded),
    ] {
        let plan = plan_on(&freed_by(by), &first_look());
        assert_eq!(steps(&plan), ["link a2"], "{by:?}");
        assert_eq!(
            (plan.findings.believed, plan.findings.doubted),
            (vec![], vec![])
        );
    }
}

#[test]
fn the_brake_counts_an_unassigned_owner_whose_enabled_account_another_user_adopts() {
    for (by, expected) in [
        (Release::Ended(Unwanted::NotAssigned), vec!["00u2"]),
        (Release::Ended(Unwanted::AssignmentEnded), vec!["00u2"]),
        (Release::Ended(Unwanted::Deprovisioned), vec![]),
        (Release::Renamed, vec![]),
    ] {
        let gone = Finding::OwnerGone(OktaUserId::parse("00u2").unwrap());
        let evidence = seen(&[(gone, 20)]);
        let mut view = freed_by(by);
        assert_eq!(plan_on(&view, &evidence).removes(&view), expected, "{by:?}");
        let named = view.named.as_mut().unwrap();
        named.account = account("a2", "ann", false);
        assert_eq!(plan_on(&view, &evidence).removes(&view), [""; 0]);
    }
}

fn imported(agreed: (&str, &str), anypoint: (&str, &str), okta: (&str, &str)) -> UserView {
    let mut view = settled();
    view.link = Some(UserLink {
        origin: Origin::Imported,
        agreed: Some(AgreedProfile {
            first_name: agreed.0.to_owned(),
            last_name: agreed.1.to_owned(),
        }),
        ..link("a1", "ann")
    });
    let mut account = account("a1", "ann", true);
    account.first_name = Some(anypoint.0.to_owned());
    account.last_name = Some(anypoint.1.to_owned());
    view.linked = Some(account);
    view.wanted = Wanted::Account(Person {
        first_name: Some(okta.0.to_owned()),
        last_name: Some(okta.1.to_owned()),
        ..person()
    });
    view
}

#[test]
fn an_imported_link_decides_by_the_last_agreed_names() {
    let three_way = Policy {
        imported_names: ImportedNames::LastChangeDecides,
        ..Policy::default()
    };
    let old = ("Ann", "Lee");
    // A change in Okta is pushed, and becomes the agreed name.
    let view = imported(old, old, ("Anna", "Lee"));
    assert_eq!(
        plan_with(&view, &three_way),
        ["update_account a1 first name", "link a1"]
    );
    // A change in Anypoint, or on both sides, is left for the import.
    for okta in [old, ("Annie", "Lee")] {
        let view = imported(old, ("Anna", "Lee"), okta);
        assert!(plan_with(&view, &three_way).is_empty(), "{okta:?}");
    }
    // Each name is compared separately.
    let view = imported(old, ("Anna", "Lee"), ("Ann", "Li"));
    let plan_of_both = plan_user(&view, &three_way, &first_look()).unwrap();
    let (link, _) = written(&plan_of_both).unwrap();
    assert_eq!(link.origin, Origin::Imported);
    assert_eq!(
        link.agreed,
        Some(AgreedProfile {
            first_name: "Ann".to_owned(),
            last_name: "Li".to_owned()
        })
    );
    // Otherwise Okta decides.
    let view = imported(old, ("Anna", "Lee"), old);
    assert_eq!(plan(&view), ["update_account a1 first name"]);
    let mut created = view;
    if let Some(link) = &mut created.link {
        link.origin = Origin::Created;
    }
    assert_eq!(
        plan_with(&created, &three_way),
        ["update_account a1 first name"]
    );
}
