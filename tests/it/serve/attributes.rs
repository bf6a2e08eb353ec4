//! `ATTRIBUTES` in the running program.

use okta_anypoint::event::HOOK_EVENT_TYPES;

use super::{APP, LONG, Remotes, Serve, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_app_profile_is_announced_and_pushed() {
    let remotes = Remotes::start().await;
    let mut command = remotes.command(&["--reconcile-every", "off", "--catch-up-every", "off"]);
    command.env("ATTRIBUTES", "first_name=app.givenName");
    let serve = Serve::start(command, remotes.folder.path());
    remotes.register(&serve, &HOOK_EVENT_TYPES).await;

    let ada = remotes.user("ada");
    remotes.assign(&ada);
    let is = |account: &str| remotes.account("ada") == account;
    let unmapped = || is("ada Example - enabled");
    eventually("an account with the name of the user's profile", unmapped).await;

    let changes = [("givenName".to_owned(), "Mapped".into())];
    let mut okta = remotes.okta.world();
    okta.update_app_profile(APP, &ada, changes.into_iter().collect())
        .unwrap();
    drop(okta);
    let mapped = || is("Mapped Example - enabled");
    eventually("the name of the app profile", mapped).await;

    assert!(remotes.okta.delivered(LONG).await);
    serve.settled(&remotes).await;
}
