use std::collections::BTreeMap;

use serde_json::json;

use super::run;

/// The demo needs no settings, no network, no AWS, and not even a home folder.
#[tokio::test]
async fn the_demo_plays_every_sample_as_expected() {
    let ran = run(&BTreeMap::new(), &["demo", "--json"]).await.expect(0);
    let result = ran.json();
    assert_eq!(result["ok"], true);
    let steps = result["steps"].as_array().unwrap();
    let played: Vec<&str> = steps
        .iter()
        .map(|step| step["sample"].as_str().unwrap())
        .collect();
    let mut samples: Vec<String> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/events"))
            .unwrap()
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.strip_suffix(".json").map(str::to_owned)
            })
            .filter(|name| name != "story")
            .collect();
    samples.sort();
    let mut sorted: Vec<&str> = played.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, samples, "a sample is not played");
    let numbered = played
        .iter()
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()));
    assert!(numbered.is_sorted(), "{played:?}");
    let assigned = &steps[5];
    assert_eq!(assigned["status"], 204);
    assert_eq!(
        assigned["applied"],
        json!(["create_account", "link", "mail_reset"])
    );
    assert_eq!(steps[6]["okta_requests"], json!([]));
}

#[tokio::test]
async fn the_demo_is_readable() {
    let ran = run(&BTreeMap::new(), &["demo"]).await.expect(0);
    let ran = ran
        .says("06-user-assigned  ok")
        .says("create account \"ada_lovelace\" (the user is assigned and has no account)")
        .says("team \"Integration Engineers\": ada_king, kjohnson")
        .says("steps ended as expected")
        .says("* marks what the step changed")
        .says("What next:");
    assert_eq!(ran.err, "");
}
