use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::ids::{OktaGroupId, OktaUserId};
use crate::provision::{Adopt, FoundTeam, ImportedNames, NamedAccount};
use crate::store::{AccountOwner, AgreedProfile, Tenure, UserLink};

const USER: &str = "00u1";

fn account(id: &str, username: &str, enabled: bool) -> Account {
    serde_json::from_value(json!({
        "id": id, "username": username, "firstName": "Ann", "lastName": "Lee", "email": "Ann@acme.example",
        "phoneNumber": "1", "enabled": enabled, "idprovider_id": "mulesoft"}))
    .unwrap()
}

fn person() -> Person {
    Person {
        username: "ann".to_owned(),
        first_name: Some("Ann".to_owned()),
        last_name: Some("Lee".to_owned()),
        email: Some("ann@acme.example".to_owned()),
        phone: Some("1".to_owned()),
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
        linked_teams: TeamsFound::default(),
        named: None,
        intended: None,
        teams: Vec::new(),
        fresh: FreshTeams::new(),
        special: HashSet::new(),
    }
}

/// An enabled, linked account that agrees with Okta.
fn settled() -> UserView {
    UserView {
        link: Some(link("a1", "ann")),
        linked: Some(account("a1", "ann", true)),
        ..view(Wanted::Account(person()))
    }
}

fn named(account: Account) -> Option<NamedAccount> {
    Some(NamedAccount {
        account,
        owner: None,
        teams: TeamsFound::default(),
    })
}

fn team(id: &str) -> TeamId {
    TeamId::parse(id).unwrap()
}

fn wanted_team(id: &str) -> WantedTeam {
    WantedTeam {
        group: OktaGroupId::parse("00g1").unwrap(),
        group_name: "Devs".to_owned(),
        team: Some(team(id)),
    }
}

fn plan(view: &UserView) -> Vec<String> {
    plan_with(view, &Policy::default())
}

/// Each step as `name` and what tells it apart.
fn plan_with(view: &UserView, policy: &Policy) -> Vec<String> {
    plan_user(view, policy)
        .unwrap()
        .into_iter()
        .map(|step| match step.action {
            UserAction::Update {
                account: AccountRef::Known(id),
                changes,
            } => {
                format!("update {id} {}", changes.fields().join(","))
            }
            UserAction::LeaveTeam { account, team } => format!("leave {account} {team}"),
            UserAction::JoinTeam { account, team } => {
                format!("join {account:?} {:?}", team.team.map(|t| t.to_string()))
            }
            UserAction::Link {
                account: AccountRef::Known(id),
                origin,
                reset_mail,
                ..
            } => match reset_mail {
                ResetMail::Settled => format!("link {id} {}", origin.as_str()),
                ResetMail::Owed => format!("link {id} {}, mail owed", origin.as_str()),
            },
            action => action.name().to_owned(),
        })
        .collect()
}

#[test]
fn agreement_is_an_empty_plan() {
    assert!(plan(&settled()).is_empty());
    assert!(plan(&view(Wanted::Nothing(Unwanted::NoUser))).is_empty());
}

#[test]
fn a_new_user_is_created_mailed_linked_and_joins() {
    let mut view = view(Wanted::Account(person()));
    view.teams = vec![wanted_team("t1")];
    assert_eq!(
        plan(&view),
        [
            "create_account",
            "mail_reset",
            "link",
            "join Created Some(\"t1\")"
        ]
    );
    let quiet = Policy {
        reset_email: ResetEmail::Skip,
        ..Policy::default()
    };
    assert_eq!(plan_with(&view, &quiet)[..2], ["create_account", "link"]);
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
    assert_eq!(plan(&view), ["update a1 first name,phone,enabled"]);
    // What Okta does not have stays.
    view.linked = Some(account("a1", "ann", true));
    view.wanted = Wanted::Account(Person {
        first_name: None,
        phone: None,
        ..person()
    });
    assert!(plan(&view).is_empty());
}

#[test]
fn unwanted_accounts_are_disabled_and_leave_only_our_teams() {
    let mut view = settled();
    view.wanted = Wanted::Nothing(Unwanted::Suspended);
    view.linked_teams = TeamsFound(vec![
        FoundTeam {
            team: team("ours"),
            ours: true,
        },
        FoundTeam {
            team: team("theirs"),
            ours: false,
        },
    ]);
    view.fresh = FreshTeams::from([
        (team("fresh"), LastWrite::Joined),
        (team("left"), LastWrite::Left),
        (team("theirs"), LastWrite::Joined),
    ]);
    assert_eq!(
        plan(&view),
        ["update a1 disabled", "leave a1 ours", "leave a1 fresh"]
    );
    view.linked = Some(account("a1", "ann", false));
    assert_eq!(plan(&view), ["leave a1 ours", "leave a1 fresh"]);
    view.linked = None;
    assert!(plan(&view).is_empty(), "what is gone needs nothing");
}

#[test]
fn a_new_username_opens_one_account_before_it_closes_the_other() {
    let mut view = settled();
    view.linked = Some(account("a1", "old", true));
    view.link = Some(link("a1", "old"));
    view.linked_teams = TeamsFound(vec![FoundTeam {
        team: team("t1"),
        ours: true,
    }]);
    view.teams = vec![wanted_team("t1")];
    assert_eq!(
        plan(&view),
        [
            "create_account",
            "mail_reset",
            "update a1 disabled",
            "leave a1 t1",
            "link",
            "join Created Some(\"t1\")"
        ]
    );
    view.named = named(account("a2", "ann", false));
    assert_eq!(
        plan(&view),
        [
            "update a2 enabled",
            "update a1 disabled",
            "leave a1 t1",
            "link a2 adopted",
            "join Known(AccountId(\"a2\")) Some(\"t1\")"
        ]
    );
}

#[test]
fn adoption_needs_grounds() {
    let mut view = view(Wanted::Account(person()));
    view.named = named(account("a2", "ANN", true));
    let with = |adopt| Policy {
        adopt,
        ..Policy::default()
    };
    assert_eq!(
        plan_with(&view, &with(Adopt::UsernameAndEmail)),
        ["link a2 adopted"]
    );
    assert!(plan_user(&view, &with(Adopt::Never)).is_err());
    view.wanted = Wanted::Account(Person {
        email: Some("x@acme.example".to_owned()),
        ..person()
    });
    assert!(plan_user(&view, &with(Adopt::UsernameAndEmail)).is_err());
    assert_eq!(
        plan_with(&view, &with(Adopt::Username)),
        ["link a2 adopted"]
    );
    // Ours after a cut-off run, whatever the setting; the mail may not have been asked for.
    view.intended = Some("ann".to_owned());
    assert_eq!(
        plan_with(&view, &with(Adopt::Never)),
        ["mail_reset", "link a2 created"]
    );
    // This user's account of earlier, whatever the setting.
    view.intended = None;
    let owned = |user: &str, tenure| {
        let owner = AccountOwner {
            okta_user: OktaUserId::parse(user).unwrap(),
            tenure,
        };
        let mut view = view.clone();
        if let Some(named) = &mut view.named {
            named.owner = Some(owner);
        }
        plan_user(&view, &with(Adopt::Never))
    };
    assert!(owned(USER, Tenure::Former).is_ok());
    assert!(owned("00u2", Tenure::Former).is_err());
    let refused = owned("00u2", Tenure::Current).unwrap_err();
    assert!(refused.message.contains("00u2"));
}

#[test]
fn what_shows_is_not_believed_against_what_was_written_moments_ago() {
    let mut view = settled();
    view.teams = vec![wanted_team("t1")];
    view.linked_teams = TeamsFound(vec![FoundTeam {
        team: team("t1"),
        ours: true,
    }]);
    assert!(plan(&view).is_empty());
    view.fresh = FreshTeams::from([(team("t1"), LastWrite::Joined)]);
    assert!(
        plan(&view).is_empty(),
        "what shows and what was written agree"
    );
    view.fresh = FreshTeams::from([(team("t1"), LastWrite::Left)]);
    assert_eq!(plan(&view), ["join Known(AccountId(\"a1\")) Some(\"t1\")"]);
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
fn imported_links_compare_three_ways() {
    let three_way = Policy {
        imported_names: ImportedNames::LastChangeDecides,
        ..Policy::default()
    };
    let old = ("Ann", "Lee");
    // Changed in Okta: pushed, and agreed anew.
    let view = imported(old, old, ("Anna", "Lee"));
    assert_eq!(
        plan_with(&view, &three_way),
        ["update a1 first name", "link a1 imported"]
    );
    // Changed in Anypoint, or on both sides: left for the import.
    for okta in [old, ("Annie", "Lee")] {
        let view = imported(old, ("Anna", "Lee"), okta);
        assert!(plan_with(&view, &three_way).is_empty(), "{okta:?}");
    }
    // Each name for itself.
    let view = imported(old, ("Anna", "Lee"), ("Ann", "Li"));
    let steps = plan_user(&view, &three_way).unwrap();
    let agreed = steps.iter().find_map(|step| match &step.action {
        UserAction::Link { agreed, .. } => agreed.clone(),
        _ => None,
    });
    assert_eq!(
        agreed,
        Some(AgreedProfile {
            first_name: "Ann".to_owned(),
            last_name: "Li".to_owned()
        })
    );
    // Otherwise Okta decides.
    let view = imported(old, ("Anna", "Lee"), old);
    assert_eq!(plan(&view), ["update a1 first name"]);
    let mut created = view;
    if let Some(link) = &mut created.link {
        link.origin = Origin::Created;
    }
    assert_eq!(plan_with(&created, &three_way), ["update a1 first name"]);
}
