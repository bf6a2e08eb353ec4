use super::*;

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
        // Every Okta user has an address, so an answer without it is strange.
        assert_eq!(failure.is_retryable(), what == "e-mail address");
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
        last_name: None,
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
        let evidence = Evidence::first_look();
        assert!(plan_user(&view, &Policy::default(), &evidence).is_err());
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
            freed_from: Ok(None),
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
