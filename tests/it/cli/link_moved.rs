//! `link` after a refused adoption: the user is linked to the account of the old app username.

use super::explain::actions;
use super::{APP, Desk};

/// Ada is linked to "ada_old" and in a team. Okta gives her the username of a native account with another e-mail address.
struct Renamed {
    desk: Desk,
    ada: String,
    group: String,
    old: String,
    new: String,
}

async fn renamed() -> Renamed {
    let desk = Desk::new().await;
    let ada = desk.assigned("ada", "ada_old");
    let group = desk.pushed_group("Devs", &ada);
    desk.on_file(&["push", &group, &ada]).await.expect(0);
    let mut world = desk.anypoint.world();
    let id = |(id, _): (&String, _)| id.clone();
    let old = world
        .users
        .iter()
        .find(|(_, user)| user.username == "ada_old");
    let old = old.map(id).unwrap();
    let new = world.add_user("ada_new", "Ada", "Elsewhere", "other@acme.example");
    let new = new.unwrap();
    drop(world);
    let mut okta = desk.okta.world();
    okta.set_app_username(APP, &ada, "ada_new").unwrap();
    drop(okta);
    desk.on_file(&["push", &ada])
        .await
        .expect(1)
        .says("okta-anypoint link");
    Renamed {
        desk,
        ada,
        group,
        old,
        new,
    }
}

impl Renamed {
    /// Who is enabled, and who is in the team.
    fn state(&self) -> (Vec<String>, Vec<String>) {
        let world = self.desk.anypoint.world();
        let ours = world
            .users
            .values()
            .filter(|user| user.username.starts_with("ada"));
        let enabled = ours.filter(|user| user.enabled);
        let mut enabled: Vec<String> = enabled.map(|user| user.username.clone()).collect();
        enabled.sort();
        let mut members = world.members_of(&world.team_by_name("Devs").unwrap().id);
        members.sort();
        (enabled, members)
    }
}

fn people(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn the_link_moves_and_the_old_account_ends() {
    let renamed = renamed().await;
    let Renamed {
        desk,
        ada,
        group,
        old,
        new,
    } = &renamed;
    let linked = desk.on_file(&["link", ada, "ada_new", "--json"]).await;
    let linked = linked.expect(0).json();
    assert_eq!(linked["anypoint_id"], **new);
    assert_eq!(
        actions(&linked),
        ["disable_account", "update_account", "join_team"]
    );
    assert_eq!(renamed.state().0, people(&["ada_new", "ada_old"]));
    // The same command again changes nothing.
    desk.on_file(&["link", ada, new]).await.expect(0).says(old);

    desk.on_file(&["push", ada]).await.expect(0);
    assert_eq!(
        renamed.state(),
        (people(&["ada_new"]), people(&["ada_new", "ada_old"]))
    );
    desk.on_file(&["push", group]).await.expect(0);
    assert_eq!(renamed.state().1, people(&["ada_new"]));
    desk.on_file(&["explain", ada])
        .await
        .expect(0)
        .says("in sync");

    desk.okta.world().deactivate(ada).unwrap();
    desk.on_file(&["push", ada]).await.expect(0);
    assert_eq!(renamed.state(), (Vec::new(), Vec::new()));
}

/// A deactivation before the push ends both accounts.
#[tokio::test]
async fn a_leaver_loses_both_accounts() {
    let renamed = renamed().await;
    let Renamed { desk, ada, old, .. } = &renamed;
    desk.on_file(&["link", ada, "ada_new"])
        .await
        .expect(0)
        .says(&format!("Anypoint user {old} was linked before"))
        .says(&format!("okta-anypoint push {ada} --data"));
    desk.okta.world().deactivate(ada).unwrap();
    desk.on_file(&["push", ada]).await.expect(0);
    assert_eq!(renamed.state().0, Vec::<String>::new());
}

/// Okta takes the rename back before the push: the old account is adopted again, and the new one ends.
#[tokio::test]
async fn a_rename_taken_back_adopts_the_old_account_again() {
    let renamed = renamed().await;
    let Renamed { desk, ada, .. } = &renamed;
    desk.on_file(&["link", ada, "ada_new"]).await.expect(0);
    let mut okta = desk.okta.world();
    okta.set_app_username(APP, ada, "ada_old").unwrap();
    drop(okta);
    desk.on_file(&["push", ada]).await.expect(0);
    assert_eq!(
        renamed.state(),
        (people(&["ada_old"]), people(&["ada_old"]))
    );
}

/// Only Okta's app username shows that the old account is to be replaced.
#[tokio::test]
async fn a_link_to_another_name_is_refused_with_a_warning() {
    let renamed = renamed().await;
    let Renamed { desk, ada, old, .. } = &renamed;
    let mut world = desk.anypoint.world();
    let other = world.add_user("ada_other", "Ada", "Family", "ada@acme.example");
    other.unwrap();
    drop(world);
    let refused = desk.on_file(&["link", ada, "ada_other"]).await.expect(1);
    refused
        .says(&format!("okta-anypoint unlink {ada}"))
        .says("nobody disables it when the user leaves");
    let explained = desk.on_file(&["explain", ada, "--json"]).await.expect(1);
    assert_eq!(explained.json()["link"]["anypoint_id"], **old);
}

/// Somebody deleted the linked account at Anypoint and made another of the same username.
#[tokio::test]
async fn a_link_to_an_account_that_is_gone_moves() {
    let desk = Desk::new().await;
    let ada = desk.assigned("ada", "ada");
    desk.on_file(&["push", &ada]).await.expect(0);
    // The push after it leaves nothing that keeps the link from moving again.
    for _ in 0..2 {
        let old = desk.account_id("ada");
        let mut world = desk.anypoint.world();
        world.users.remove(&old);
        let new = world.add_user("ada", "Ada", "Elsewhere", "other@acme.example");
        let new = new.unwrap();
        drop(world);
        let linked = desk.on_file(&["link", &ada, &new]).await.expect(0);
        let linked = linked.says(&format!(
            "Anypoint user {old} was linked before, and is gone"
        ));
        assert!(!linked.out.contains("disable"), "{}", linked.out);
        desk.on_file(&["push", &ada]).await.expect(0);
        assert!(desk.is_enabled("ada"));
        let explained = desk.on_file(&["explain", &ada, "--json"]).await.expect(0);
        assert_eq!(explained.json()["link"]["anypoint_id"], new);
    }
}
