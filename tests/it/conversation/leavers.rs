//! People whom the list of a group's members lacks are asked by their own answers before they leave its team. One whose
//! own answers cannot be used stays in the team and is reported, and the rest goes on.

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::{OktaGroupId, Subject};
use okta_anypoint::ledger::{Filter, Record, Status};
use okta_anypoint::provision::Policy;
use okta_anypoint::simulator::traffic::Fault;
use okta_anypoint::worker::Verdict;
use rstest::rstest;

use super::groups::devs_with_ann;
use crate::world::{World, look_at, worker};

/// Ann and ben left the group "Devs", cat joined it, and no event said so. Dan joined, too, and has no account.
struct Stage {
    world: World,
    devs: String,
    ann: String,
}

impl Stage {
    async fn new() -> Self {
        let (world, devs, ann) = devs_with_ann(Policy::default()).await;
        let ben = world.assigned_user("ben").await;
        let cat = world.assigned_user("cat").await;
        let dan = world.user("dan");
        world.when(|okta| okta.add_member(&devs, &ben)).await;
        for left in [&ann, &ben] {
            world.okta_does(|okta| okta.remove_member(&devs, left));
        }
        for joined in [&cat, &dan] {
            world.okta_does(|okta| okta.add_member(&devs, joined));
        }
        Self { world, devs, ann }
    }

    fn of_ann(&self, status: u16, body: &str) -> Fault {
        let path = format!("/api/v1/users/{}/groups", self.ann);
        Fault::status(&path, status, body).on(Method::GET)
    }

    /// Looks at the group under the fault, which lasts. Returns the record.
    async fn play(&self, fault: Fault) -> Record {
        self.world.okta.traffic().inject(fault);
        let verdict = self.look_at_devs().await;
        assert!(verdict.is_retry(), "{verdict:?}");
        let failed = Filter::with_status(Status::Failed);
        let failed = self.world.table.ledger.records(&failed).await.unwrap();
        assert_eq!(failed.len(), 1);
        failed[0].clone()
    }

    async fn look_at_devs(&self) -> Verdict {
        let subject = Subject::Group(OktaGroupId::parse(&self.devs).unwrap());
        look_at(&worker(&self.world.ports), subject).await
    }
}

#[rstest]
#[case::of_another_form(200, "{}")]
#[case::denied(403, r#"{"errorCode":"E0000006"}"#)]
#[case::without_a_built_in_group(200, "[]")]
#[case::rejected(400, r#"{"errorCode":"E0000001"}"#)]
#[case::failing(500, r#"{"errorCode":"E0000009"}"#)]
#[tokio::test]
async fn a_leaver_who_cannot_be_read_stays_alone(#[case] status: u16, #[case] body: &str) {
    let stage = Stage::new().await;
    let record = stage.play(stage.of_ann(status, body)).await;
    assert_eq!(stage.world.team("Devs"), "ann cat dan");
    assert_eq!(record.error_class, Some(Class::Retryable));
    let error = record.error.unwrap();
    assert!(
        error.contains(&format!("user {} stays", stage.ann)),
        "{error}"
    );
    stage.world.okta.traffic().remove_all_faults();
    assert_eq!(stage.look_at_devs().await, Verdict::Settled);
    assert_eq!(stage.world.team("Devs"), "cat dan");
}

/// The opposite: nothing follows from a list that a person's own groups contradict.
#[tokio::test]
async fn a_leaver_whose_groups_name_the_group_ends_the_look() {
    let stage = Stage::new().await;
    let devs = &stage.devs;
    let groups = format!(r#"[{{"id":"{devs}","type":"OKTA_GROUP","profile":{{"name":"Devs"}}}}]"#);
    let record = stage.play(stage.of_ann(200, &groups)).await;
    assert_eq!(stage.world.team("Devs"), "ann ben");
    assert_eq!(record.error_code.as_deref(), Some("contradiction"));
}
