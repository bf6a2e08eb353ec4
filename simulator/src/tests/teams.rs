use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn teams_have_unique_names_and_take_their_children_along() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let root = anypoint.sim.world().root_team_id.clone();
    let body = |name: &str, parent: &str| json!({"parent_team_id": parent, "team_name": name, "team_type": "internal"});
    let made = anypoint
        .send(Method::POST, "/teams", body("Integrators", &root))
        .await;
    assert_eq!(
        (made.status, &made.body["ancestor_team_ids"]),
        (201, &json!([root]))
    );
    let team = made.body["team_id"].as_str().unwrap().to_owned();
    assert_eq!(
        anypoint
            .send(Method::POST, "/teams", body("Integrators", &team))
            .await
            .status,
        409
    );
    assert_eq!(
        anypoint
            .send(Method::POST, "/teams", body("Child", "nowhere"))
            .await
            .status,
        409
    );
    let child = anypoint
        .send(Method::POST, "/teams", body("Child", &team))
        .await
        .body["team_id"]
        .clone();
    let other = anypoint
        .send(Method::POST, "/teams", body("Other", &root))
        .await;
    let other = other.body["team_id"].as_str().unwrap();
    let path = format!("/teams/{team}");
    assert_eq!(
        anypoint
            .send(Method::PATCH, &path, json!({"team_name": "Other"}))
            .await
            .status,
        409
    );
    assert_eq!(
        anypoint
            .send(Method::PATCH, &path, json!({"team_name": "Renamed"}))
            .await
            .status,
        201
    );

    let members = anypoint.get(&format!("{path}/members")).await;
    assert_eq!(members.body["data"][0]["identity_type"], "team");
    assert_eq!(
        anypoint
            .get(&format!("{path}/members?identity_type=user"))
            .await
            .body["total"],
        0
    );
    let below = anypoint
        .get(&format!("/teams?parent_team_id={root}&search=OTH&limit=1"))
        .await;
    assert_eq!(
        (&below.body["total"], &below.body["data"][0]["team_id"]),
        (&json!(1), &json!(other))
    );

    let moved = anypoint
        .send(
            Method::PUT,
            &format!("{path}/parent"),
            json!({"parent_team_id": other}),
        )
        .await;
    assert_eq!(
        (moved.status, &moved.body["ancestor_team_ids"]),
        (201, &json!([root, other]))
    );
    let seen = anypoint
        .get(&format!("/teams/{}", child.as_str().unwrap()))
        .await;
    assert_eq!(seen.body["ancestor_team_ids"], json!([root, other, team]));
    assert_eq!(
        anypoint
            .send(Method::DELETE, &format!("/teams/{other}"), Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(anypoint.sim.world().teams.len(), 1);
    anypoint.nothing_unexpected();
}

#[tokio::test]
async fn members_come_and_go_in_batches() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let (team, users) = {
        let mut world = anypoint.sim.world();
        let add = |n: usize| {
            world
                .add_user(&format!("user{n}"), "U", "X", "u@acme.example")
                .unwrap()
        };
        let users: Vec<String> = (0..30).map(add).collect();
        (world.add_team("Integrators", None).unwrap(), users)
    };
    let path = format!("/teams/{team}/members");
    let batch: Vec<Value> = users
        .iter()
        .map(|id| json!({"id": id, "membership_type": "member"}))
        .collect();
    assert_eq!(
        anypoint
            .send(Method::PATCH, &path, json!(batch))
            .await
            .status,
        204
    );
    let first = anypoint.get(&path).await;
    assert_eq!(
        (
            first.body["data"].as_array().unwrap().len(),
            &first.body["total"]
        ),
        (25, &json!(30))
    );
    assert_eq!(
        anypoint.get(&format!("{path}?offset=25")).await.body["data"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    let of_user = anypoint.get(&format!("/users/{}/teams", users[0])).await;
    let names: Vec<&str> = of_user.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["team_name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Everyone at Acme", "Integrators"]);

    let stranger = json!([{"id": users[0], "membership_type": "maintainer"}, {"id": "nobody", "membership_type": "member"}]);
    assert_eq!(
        anypoint.send(Method::PATCH, &path, stranger).await.status,
        400
    );
    let maintainers = anypoint
        .get(&format!("{path}?membership_type=maintainer"))
        .await;
    assert_eq!(maintainers.body["total"], 0);

    anypoint.sim.world().member_read_lag = 1;
    assert_eq!(
        anypoint
            .send(Method::DELETE, &path, json!(users[..29]))
            .await
            .status,
        204
    );
    assert_eq!(anypoint.get(&path).await.body["total"], 30);
    assert_eq!(anypoint.get(&path).await.body["total"], 1);
    let single = format!("{path}/{}", users[0]);
    assert_eq!(
        anypoint
            .send(Method::DELETE, &single, Value::Null)
            .await
            .status,
        404
    );
    let kind = json!({"membership_type": "member"});
    assert_eq!(anypoint.send(Method::PUT, &single, kind).await.status, 204);
    anypoint.nothing_unexpected();

    assert_eq!(
        anypoint.send(Method::PATCH, &path, json!([])).await.status,
        400
    );
    let as_member = json!([{"id": team, "membership_type": "member"}]);
    assert_eq!(
        anypoint.send(Method::PATCH, &path, as_member).await.status,
        400
    );
    let root = anypoint.sim.world().root_team_id.clone();
    let refused = anypoint
        .send(
            Method::DELETE,
            &format!("/teams/{root}/members"),
            json!([users[0]]),
        )
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(anypoint.sim.traffic().unexpected().len(), 3);
}
