use super::*;

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
        freed_from: Ok(Some(freed.clone())),
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

/// The names that the link keeps after the plan, if it writes a link.
fn kept_after(view: &UserView, policy: &Policy) -> Option<(String, String)> {
    let plan = plan_user(view, policy, &first_look()).unwrap();
    let agreed = written(&plan).map(|(link, _)| link.agreed.clone().unwrap());
    agreed.map(|agreed| (agreed.first_name, agreed.last_name))
}

#[test]
fn names_that_both_sides_have_are_the_ones_last_agreed_on_in_every_mode() {
    let old = ("Ann", "Lee");
    let names = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
    for imported_names in [ImportedNames::LastChangeDecides, ImportedNames::OktaDecides] {
        let policy = Policy {
            imported_names,
            ..Policy::default()
        };
        // Both sides were changed to the same, or a push makes them the same.
        for anypoint in [("Anna", "Lee"), old] {
            let view = imported(old, anypoint, ("Anna", "Lee"));
            assert_eq!(kept_after(&view, &policy), names("Anna", "Lee"));
        }
        // Nothing to move.
        assert_eq!(kept_after(&imported(old, old, old), &policy), None);
        // A link that keeps no names keeps none.
        let mut view = imported(old, ("Anna", "Lee"), ("Anna", "Lee"));
        if let Some(link) = &mut view.link {
            link.agreed = None;
        }
        assert_eq!(kept_after(&view, &policy), None);
        // A name that Okta lacks was not agreed on.
        let mut view = imported(old, ("Anna", "Li"), ("Anna", "Lee"));
        if let Wanted::Account(person) = &mut view.wanted {
            person.last_name = None;
        }
        assert_eq!(kept_after(&view, &policy), names("Anna", "Lee"));
    }
}
