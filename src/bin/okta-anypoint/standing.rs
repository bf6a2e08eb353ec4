//! How changes are worked on, for `status` and `doctor`: a pause, dry runs, a brake that is off.

use okta_anypoint::clock::rfc3339;
use okta_anypoint::counted::users_and_groups;
use okta_anypoint::insight::Standing;
use okta_anypoint::provision::Changes;

pub struct Finding {
    pub about: &'static str,
    pub text: String,
    /// What to do. `None`: nothing is wrong.
    pub fix: Option<String>,
}

pub fn findings(standing: &Standing, option: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |about, text: String, fix: Option<String>| {
        findings.push(Finding { about, text, fix });
    };
    if let Some(since_ms) = standing.paused_since_ms {
        add(
            "changes",
            format!(
                "paused since {}, by `okta-anypoint pause`",
                rfc3339(since_ms)
            ),
            Some(format!(
                "Run `okta-anypoint resume{option}`. Until then changes wait, and nothing is lost."
            )),
        );
    }
    match standing.changes {
        Changes::Pause => add(
            "changes",
            "paused by CHANGES=pause".to_owned(),
            Some(format!(
                "{SET_APPLY}. Until then changes wait, and nothing is lost."
            )),
        ),
        Changes::Report => {
            let text = "a dry run (CHANGES=report): they are planned, and nothing is written";
            add("changes", text.to_owned(), None);
        }
        Changes::Apply if standing.is_paused() => {}
        Changes::Apply => add("changes", "are applied".to_owned(), None),
    }
    let (here, there) = (standing.here.as_str(), standing.changes.as_str());
    if here != there {
        let fix =
            "Restart `serve` with this setting, or run commands with the settings of `serve`.";
        add(
            "changes",
            format!(
                "`serve` started with CHANGES={there}, and commands here follow CHANGES={here}"
            ),
            Some(fix.to_owned()),
        );
    }
    let planned = standing.planned_only.len();
    let who = users_and_groups(planned);
    match (planned, standing.changes) {
        (0, _) => {}
        (_, Changes::Report) => add(
            "dry runs",
            format!("{who} planned; the first reconcile under CHANGES=apply takes them up"),
            None,
        ),
        _ => add(
            "dry runs",
            format!("{who} planned only, and nothing applied that yet"),
            Some(format!(
                "Run `okta-anypoint reconcile{option}`: it takes them up. A scheduled reconcile that applies does so, too."
            )),
        ),
    }
    if let Some(until_ms) = standing.brake_off_until_ms {
        let text = format!(
            "off until {}, by `approve --all --for`; `okta-anypoint approve --end{option}` ends that",
            rfc3339(until_ms)
        );
        add("brake", text, None);
    }
    findings
}

/// How a pause by the setting ends.
pub const SET_APPLY: &str = "Set CHANGES=apply, and restart `serve` or deploy";
