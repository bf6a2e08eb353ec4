//! Calls every method of both clients, alone and in a conversation.

use okta_anypoint::anypoint::{AccountChanges, MemberChange, NewAccount};
use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};
use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::ids::{AccountId, OktaAppId, OktaGroupId, OktaUserId, TeamId};
use okta_anypoint::okta::{HookFilter, HookSpec, NewUser, Readable};
use okta_anypoint::provision::{GroupSelection, Policy, RemovalLimit, TeamRemoval};
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal};
use okta_anypoint::simulator::traffic::{Fault, FaultKind, RecordedRequest};
use serde_json::json;

use super::Vendor;
use crate::world::{APP, World, soon};

/// The methods called below. A client method that is missing here fails a test.
pub const METHODS: &[&str] = &[
    "anypoint.account",
    "anypoint.account_named",
    "anypoint.list_accounts",
    "anypoint.allows_native_accounts",
    "anypoint.check_organization",
    "anypoint.create_account",
    "anypoint.create_team",
    "anypoint.delete_team",
    "anypoint.mail_password_reset",
    "anypoint.list_members",
    "anypoint.members_among",
    "anypoint.organization",
    "anypoint.probe_token",
    "anypoint.change_members",
    "anypoint.rename_team",
    "anypoint.shows_accounts",
    "anypoint.team",
    "anypoint.list_teams",
    "anypoint.list_teams_of_account",
    "anypoint.update_account",
    "anypoint.warm_up",
    "okta.activate_event_hook",
    "okta.app",
    "okta.list_app_groups",
    "okta.list_app_groups_expanded",
    "okta.app_user",
    "okta.list_app_users",
    "okta.assign",
    "okta.check_app",
    "okta.create_event_hook",
    "okta.create_staged_user",
    "okta.credential_life",
    "okta.deactivate_event_hook",
    "okta.delete_event_hook",
    "okta.event_hooks",
    "okta.group",
    "okta.list_group_members",
    "okta.list_groups",
    "okta.groups_named",
    "okta.list_groups_of_user",
    "okta.is_app_group",
    "okta.log_page",
    "okta.log_since",
    "okta.probe",
    "okta.replace_event_hook",
    "okta.some_app_users",
    "okta.update_names",
    "okta.user",
    "okta.user_by_login",
    "okta.users_with_email",
    "okta.users_with_login",
    "okta.verify_event_hook",
    "okta.warm_up",
];

#[derive(Default)]
pub struct Traffic {
    pub requests: Vec<(Vendor, RecordedRequest)>,
    /// Requests that the simulators did not find in the vendors' documents.
    pub unexpected: Vec<String>,
}

impl Traffic {
    fn of(mut self, world: &World) -> Self {
        for (vendor, traffic) in [
            (Vendor::Okta, world.okta.traffic()),
            (Vendor::Anypoint, world.anypoint.traffic()),
        ] {
            let requests = traffic.log().into_iter().map(|request| (vendor, request));
            self.requests.extend(requests);
            self.unexpected.extend(traffic.unexpected());
        }
        self
    }
}

pub async fn everything() -> Traffic {
    let world = World::new().await;
    // Small pages, so that there are requests for a next page.
    for traffic in [world.okta.traffic(), world.anypoint.traffic()] {
        traffic.inject(Fault::new("", FaultKind::ShortPage(1)));
    }
    converse(&world).await;
    ask_okta(&world).await;
    ask_anypoint(&world).await;
    let traffic = Traffic::default().of(&world);

    let world = World::with(Policy {
        groups: GroupSelection::All,
        team_removal: TeamRemoval::Delete,
        default_phone: Some("555-0100".to_owned()),
        // More people lose their assignment than the brake allows.
        removals: RemovalLimit::Off,
        ..Policy::default()
    })
    .await;
    converse(&world).await;
    traffic.of(&world)
}

/// Changes Okta and delivers the events until all are done. If a list changes between two short pages, it is read again
/// later.
async fn done(
    world: &World,
    change: impl FnOnce(&mut OktaWorld) -> Result<Vec<LogEvent>, Refusal>,
) {
    let events = world.okta_does(change);
    for _ in 0..5 {
        if world.deliver(&events).await == 204 {
            return;
        }
    }
    panic!("the events stay open");
}

/// People and groups are added, changed and removed.
async fn converse(world: &World) {
    let devs = world.pushed_group("Devs & Co").await;
    let mut users = Vec::new();
    for n in 0..23 {
        let user = world.user(&format!("user_{n}"));
        world.okta_does(|okta| okta.add_member(&devs, &user));
        users.push(user);
    }
    done(world, |okta| okta.rename_group(&devs, "Devs & all")).await;
    let ann = &users[0];
    done(world, |okta| {
        okta.update_profile(
            ann,
            &[
                ("firstName", json!("Änne")),
                ("lastName", json!("O'Neil")),
                ("mobilePhone", json!("+49 30 555-0100")),
                ("email", json!("other@acme.example")),
            ],
        )
    })
    .await;
    done(world, |okta| okta.suspend(ann)).await;
    done(world, |okta| okta.unsuspend(ann)).await;
    world.rename(ann, "another_name").await;
    done(world, |okta| okta.remove_member(&devs, &users[1])).await;
    done(world, |okta| okta.deactivate(&users[2])).await;
    done(world, |okta| okta.unassign_group(APP, &devs)).await;
    done(world, |okta| okta.delete_group(&devs)).await;
}

async fn ask_okta(world: &World) {
    let okta = &world.ports.okta;
    let app = OktaAppId::parse(APP).unwrap();
    let user_id = world.assigned_user("ann").await;
    let user = OktaUserId::parse(user_id.as_str()).unwrap();
    let group_id = world.pushed_group("Readers").await;
    let group = OktaGroupId::parse(group_id.as_str()).unwrap();
    world
        .when(|okta| okta.add_member(&group_id, &user_id))
        .await;

    okta.warm_up(soon()).await;
    okta.user(&user, soon()).await.unwrap();
    for login in ["ann+odd name@acme.example", "ann/o\"dd?x@acme.example"] {
        okta.user_by_login(login, soon()).await.unwrap();
    }
    okta.users_with_email("ann\"o@acme.example", soon())
        .await
        .unwrap();
    okta.list_groups_of_user(&user, soon()).await.unwrap();
    okta.update_names(&user, Some("Ann"), Some("Lee"), soon())
        .await
        .unwrap();
    let new = NewUser {
        login: "new@acme.example".to_owned(),
        email: "new@acme.example".to_owned(),
        first_name: "New".to_owned(),
        last_name: "Person".to_owned(),
    };
    let staged = okta.create_staged_user(&new, soon()).await.unwrap();
    okta.assign(&app, &staged.id, "new_person", soon())
        .await
        .unwrap();
    okta.group(&group, soon()).await.unwrap();
    okta.list_groups(soon()).await.unwrap();
    okta.groups_named("Read & write", soon()).await.unwrap();
    okta.list_group_members(&group, soon()).await.unwrap();
    okta.app(&app, soon()).await.unwrap();
    okta.app_user(&app, &user, soon()).await.unwrap();
    okta.list_app_users(&app, &[], soon()).await.unwrap();
    okta.some_app_users(&app, 20, soon()).await.unwrap();
    okta.check_app(&app, soon()).await.unwrap();
    okta.credential_life(soon()).await.unwrap();
    okta.list_app_groups(&app, soon()).await.unwrap();
    okta.list_app_groups_expanded(&app, soon()).await.unwrap();
    okta.is_app_group(&app, &group, soon()).await.unwrap();
    for what in [
        Readable::Users,
        Readable::Groups,
        Readable::Apps,
        Readable::Log,
    ] {
        okta.probe(what, soon()).await.unwrap();
    }
    let types = ["user.lifecycle.create", "group.user_membership.add"];
    let since = rfc3339(SystemClock.now_ms() - 3_600_000);
    let page = okta.log_since(&since, &types, soon()).await.unwrap();
    okta.log_page(&page.next.expect("a next page"), soon())
        .await
        .unwrap();

    let url = "https://127.0.0.1:9/okta".parse().unwrap();
    let spec = HookSpec {
        name: "okta-anypoint",
        url: &url,
        auth_header: "authorization",
        secret: &"a secret".to_owned().into(),
        event_types: &types,
        filter: None,
    };
    let filter = HookFilter::for_app(&app);
    let filtered = HookSpec {
        event_types: &HOOK_EVENT_TYPES,
        filter: Some(&filter),
        ..spec.clone()
    };
    let hook = okta.create_event_hook(&spec, soon()).await.unwrap();
    okta.event_hooks(soon()).await.unwrap();
    okta.replace_event_hook(&hook, &filtered, soon())
        .await
        .unwrap();
    // Nothing listens there. Only the request matters here.
    let _ = okta.verify_event_hook(&hook.id, soon()).await;
    let _ = okta.activate_event_hook(&hook.id, soon()).await;
    okta.deactivate_event_hook(&hook.id, soon()).await.unwrap();
    okta.delete_event_hook(&hook.id, soon()).await.unwrap();
}

async fn ask_anypoint(world: &World) {
    let anypoint = &world.ports.anypoint;
    anypoint.warm_up(soon()).await;
    anypoint.probe_token(soon()).await.unwrap();
    anypoint.organization(soon()).await.unwrap();
    anypoint.check_organization(soon()).await.unwrap();
    anypoint.shows_accounts(soon()).await.unwrap();
    anypoint.allows_native_accounts(soon()).await.unwrap();
    let mut accounts = Vec::new();
    for (n, phone) in [None, Some("555-0100".to_owned())].into_iter().enumerate() {
        let new = NewAccount {
            username: format!("direct_{n}"),
            first_name: "Dir".to_owned(),
            last_name: "Ect".to_owned(),
            email: "direct@acme.example".to_owned(),
            phone,
            password: "Initial0Password".to_owned().into(),
        };
        let id = anypoint
            .create_account(&new, soon())
            .await
            .unwrap()
            .unwrap();
        accounts.push(id);
    }
    let account: &AccountId = &accounts[0];
    anypoint.account(account, soon()).await.unwrap();
    anypoint.account_named("direct_0", soon()).await.unwrap();
    anypoint.list_accounts(soon()).await.unwrap();
    let everything = AccountChanges {
        first_name: Some("Änne".to_owned()),
        last_name: Some("O'Neil".to_owned()),
        phone_number: Some("+49 30 555-0100".to_owned()),
        enabled: Some(true),
    };
    for changes in [everything, AccountChanges::disabled()] {
        anypoint
            .update_account(account, &changes, soon())
            .await
            .unwrap();
    }
    anypoint
        .mail_password_reset("direct_0", soon())
        .await
        .unwrap();
    let root = TeamId::parse(world.anypoint().root_team_id.clone()).unwrap();
    let team = anypoint
        .create_team(&root, "Direct - team_1", soon())
        .await
        .unwrap()
        .unwrap();
    anypoint.list_teams(soon()).await.unwrap();
    anypoint.team(&team, soon()).await.unwrap();
    anypoint
        .rename_team(&team, "Direct team 2", soon())
        .await
        .unwrap();
    anypoint
        .change_members(MemberChange::Join, &team, &accounts, soon())
        .await
        .unwrap();
    anypoint.list_members(&team, soon()).await.unwrap();
    anypoint
        .members_among(&team, &accounts, soon())
        .await
        .unwrap();
    anypoint
        .list_teams_of_account(account, soon())
        .await
        .unwrap();
    anypoint
        .change_members(MemberChange::Leave, &team, &accounts, soon())
        .await
        .unwrap();
    anypoint.delete_team(&team, soon()).await.unwrap();
}
