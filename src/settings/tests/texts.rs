//! Which characters a value may have.

use super::*;

/// The service would only say that it refuses them.
#[test]
fn an_id_or_a_token_is_visible_ascii_in_one_piece() {
    let all = |reader: &mut Reader<'_>| {
        let engine = EngineSettings::read(reader);
        engine
            .zip(queue_url(reader))
            .zip(table_name(reader, "a table"))
    };
    for name in [
        "OKTA_APP_ID",
        "OKTA_API_TOKEN",
        "OKTA_CLIENT_ID",
        "OKTA_KEY_ID",
        "ANYPOINT_ORG_ID",
        "ANYPOINT_CLIENT_ID",
        "TABLE_NAME",
    ] {
        for value in [
            "planted value",
            "planted\nvalue",
            "planted\r\nvalue",
            "planted\tvalue",
            "planted\u{7f}value",
            "planted\0value",
            "planted\u{200b}value",
            "planted\u{a0}value",
            "planted\u{fffd}value",
        ] {
            let fault = fault_of(name, value, all).unwrap();
            assert!(fault.contains("has a blank, a line break or"), "{fault}");
        }
        // White space around it is not part of it. It may have any length and beginning.
        for value in [" planted-value\r\n", "x", "ABC_def-0123456789"] {
            assert_eq!(fault_of(name, value, all), None);
        }
        let fault = fault_of(name, " \r\n", all).unwrap();
        assert!(fault.contains("is missing"), "{fault}");
    }
    let token = fault_of("OKTA_API_TOKEN", "SSWS planted", all).unwrap();
    assert!(token.contains("without `SSWS` in front"), "{token}");
}

#[test]
fn every_other_value_is_text_in_one_line() {
    let all = |reader: &mut Reader<'_>| {
        let engine = EngineSettings::read(reader);
        let schedule = ScheduleSettings::read(reader);
        engine.zip(schedule).zip(queue_url(reader))
    };
    for name in [
        "ANYPOINT_CLIENT_SECRET",
        "OKTA_ORG_URL",
        "ANYPOINT_BASE_URL",
        "QUEUE_URL",
        "DEFAULT_PHONE",
        "EXCLUDE_USERS",
        "EXCLUDE_GROUPS",
        "PUSH_GROUPS",
        "MAX_DEACTIVATIONS",
        "MAX_REMOVALS_PER_HOUR",
        "EVENT_TTL_DAYS",
        "CHANGES",
        "ADOPT",
    ] {
        for value in [
            "https://planted\n.example",
            "name:planted\tvalue*",
            "planted\u{7f}*@value",
            "planted*\u{fffd}",
        ] {
            let fault = fault_of(name, value, all).unwrap();
            assert!(
                fault.contains("has a line break, a control character"),
                "{fault}"
            );
        }
    }
    // Only a key has several lines.
    assert_eq!(fault_of("OKTA_PRIVATE_KEY", PEM, all), None);
    assert_eq!(fault_of("ANYPOINT_CLIENT_SECRET", " a secret\n", all), None);
    assert_eq!(fault_of("DEFAULT_PHONE", "+1 555 0100\n", all), None);
    let phone = fault_of("DEFAULT_PHONE", "none", all).unwrap();
    assert!(phone.contains("expected a phone number"), "{phone}");
    assert_eq!(fault_of("EXCLUDE_GROUPS", "Break glass*", all), None);
}
