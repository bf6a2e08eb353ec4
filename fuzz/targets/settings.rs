//! Every setting, from one text of lines `NAME=value`.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use okta_anypoint::settings::{EngineSettings, HookSettings, Reader, ScheduleSettings};

/// How a secret begins that is looked for.
const PLANTED: &str = "planted-";

fuzz_target!(|text: &str| {
    let variables: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let lookup = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let mut reader = Reader::new(lookup);
    let hook = HookSettings::read(&mut reader);
    let engine = EngineSettings::read(&mut reader);
    let schedule = ScheduleSettings::read(&mut reader);
    let secrets = ["HOOK_SECRET", "OKTA_API_TOKEN", "OKTA_PRIVATE_KEY", "ANYPOINT_CLIENT_SECRET"];
    let said = match reader.finish(hook.zip(engine).zip(schedule)) {
        Ok(((hook, engine), schedule)) => {
            assert!(schedule.limit.allowed(10_000) <= usize::MAX);
            format!("{:?}{engine:?}", hook.header)
        }
        Err(error) => error.to_string(),
    };
    for secret in secrets.iter().filter_map(|name| variables.get(name)) {
        // Others can be part of a variable's name or of the explanation; or be another setting's, too.
        let is_planted = secret.starts_with(PLANTED) && secret.len() > 2 * PLANTED.len();
        let places = variables.values().filter(|value| value.contains(secret)).count();
        assert!(!is_planted || places > 1 || !said.contains(secret), "a secret shows");
    }
});
