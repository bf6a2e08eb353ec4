//! The story of `events/README.md`: what happens in Okta before each sample, and what must be true afterwards.

use anyhow::Result;
use okta_anypoint::simulator::anypoint::AnypointWorld;
use okta_anypoint::simulator::okta::OktaWorld;
use serde_json::json;

use super::cast::{ADA, APP, GRACE, INTEGRATORS, KATHERINE, OPERATIONS, found, hire};

/// To which of the three programs a sample goes, and what it has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// To the receiver, which answers with this status.
    Hook(u16),
    /// To the worker behind the queue, which gives no message back.
    Batch,
    /// To the scheduled tasks, whose run ends well.
    Task,
}

/// What the table says of a sample's events afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// It does not know them.
    Absent,
    /// They are done, at the first attempt.
    Done,
}

/// An account as it must be: first and last name, address, and whether it is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub username: &'static str,
    pub name: &'static str,
    pub email: &'static str,
    pub enabled: bool,
}

type Change = fn(&mut OktaWorld, &mut AnypointWorld) -> Result<()>;

/// One sample and what belongs to it. Accounts and teams are those that differ from the step before.
pub struct Step {
    pub sample: &'static str,
    pub event: &'static str,
    pub before: &'static str,
    pub change: Change,
    pub sent: Sent,
    pub records: Records,
    pub accounts: Vec<Account>,
    /// Name and usernames of the members.
    pub teams: Vec<(&'static str, &'static [&'static str])>,
    /// Old and new name of one and the same team.
    pub renamed: Option<(&'static str, &'static str)>,
    /// Usernames to whose owners a reset mail is sent.
    pub mails: &'static [&'static str],
    /// Counts in the answer of a run.
    pub counts: &'static [(&'static str, u64)],
    /// Neither Okta nor Anypoint may be asked anything.
    pub silent: bool,
}

macro_rules! step {
    ($sample:literal, $sent:expr, $before:literal, $change:expr) => {
        Step {
            sample: $sample,
            event: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/events/",
                $sample,
                ".json"
            )),
            before: $before,
            change: $change,
            sent: $sent,
            records: Records::Done,
            accounts: Vec::new(),
            teams: Vec::new(),
            renamed: None,
            mails: &[],
            counts: &[],
            silent: false,
        }
    };
}

impl Step {
    fn account(mut self, username: &'static str, name: &'static str, enabled: bool) -> Self {
        let email = match username {
            "ada_lovelace" | "ada_king" => "ada.lovelace@acme.example",
            "grace_hopper" => "grace.hopper@acme.example",
            "alan_turing" => "alan.turing@acme.example",
            _ => "katherine.johnson@acme.example",
        };
        self.accounts.push(Account {
            username,
            name,
            email,
            enabled,
        });
        self
    }

    fn team(mut self, name: &'static str, members: &'static [&'static str]) -> Self {
        self.teams.push((name, members));
        self
    }

    fn mail(mut self, usernames: &'static [&'static str]) -> Self {
        self.mails = usernames;
        self
    }

    fn unrecorded(mut self) -> Self {
        self.records = Records::Absent;
        self.silent = true;
        self
    }
}

const NOTHING: Change = |_, _| Ok(());

/// Every sample, in order.
pub fn steps() -> Vec<Step> {
    use Sent::{Batch, Hook, Task};
    vec![
        step!("01-verification", Hook(200), "nothing yet", NOTHING).unrecorded(),
        step!("02-wrong-secret", Hook(401), "nothing; somebody else sends", NOTHING).unrecorded(),
        step!("03-console-preview", Hook(204), "an administrator looks at the preview", NOTHING)
            .unrecorded(),
        step!("04-user-created", Hook(204), "Ada is created: STAGED, not assigned", |okta, _| {
            hire(okta, ADA, "Ada", "Lovelace", false, true)
        }),
        step!("05-user-activated", Hook(204), "Ada is activated", |okta, _| {
            okta.activate(ADA)?;
            Ok(())
        }),
        step!(
            "06-user-assigned",
            Hook(204),
            "Ada is assigned to the app as ada_lovelace",
            |okta, _| {
                okta.assign_with_username(APP, ADA, "ada_lovelace")?;
                Ok(())
            }
        )
        .account("ada_lovelace", "Ada Lovelace", true)
        .mail(&["ada_lovelace"]),
        Step {
            silent: true,
            ..step!("07-duplicate", Hook(204), "nothing; Okta sends 06 again", NOTHING)
        },
        step!("08-profile-updated", Hook(204), "Ada's first name becomes Augusta Ada", |okta, _| {
            okta.update_profile(ADA, &[("firstName", json!("Augusta Ada"))])?;
            Ok(())
        })
        .account("ada_lovelace", "Augusta Ada Lovelace", true),
        step!(
            "09-app-username-changed",
            Hook(204),
            "Ada's app username becomes ada_king",
            |okta, _| {
                okta.set_app_username(APP, ADA, "ada_king")?;
                Ok(())
            }
        )
        .account("ada_lovelace", "Augusta Ada Lovelace", false)
        .account("ada_king", "Augusta Ada Lovelace", true)
        .mail(&["ada_king"]),
        step!("10-user-suspended", Hook(204), "Ada is suspended", |okta, _| {
            okta.suspend(ADA)?;
            Ok(())
        })
        .account("ada_king", "Augusta Ada Lovelace", false),
        step!("11-user-unsuspended", Hook(204), "Ada is unsuspended", |okta, _| {
            okta.unsuspend(ADA)?;
            Ok(())
        })
        .account("ada_king", "Augusta Ada Lovelace", true),
        step!("12-user-unassigned", Hook(204), "Ada's assignment is removed", |okta, _| {
            okta.unassign(APP, ADA)?;
            Ok(())
        })
        .account("ada_king", "Augusta Ada Lovelace", false),
        step!(
            "13-user-assigned-again",
            Hook(204),
            "Ada is assigned as ada_king again",
            |okta, _| {
                okta.assign_with_username(APP, ADA, "ada_king")?;
                Ok(())
            }
        )
        .account("ada_king", "Augusta Ada Lovelace", true),
        step!(
            "14-user-reactivated",
            Hook(204),
            "Grace is created, assigned as grace_hopper, and her activation is started again",
            |okta, _| {
                hire(okta, GRACE, "Grace", "Hopper", true, false)?;
                okta.assign_with_username(APP, GRACE, "grace_hopper")?;
                okta.reactivate(GRACE)?;
                Ok(())
            }
        )
        .account("grace_hopper", "Grace Hopper", true)
        .mail(&["grace_hopper"]),
        step!(
            "15-group-created",
            Hook(204),
            "the group Integrators is created, empty, not assigned",
            |okta, _| found(okta, INTEGRATORS, "Integrators")
        ),
        step!("16-group-assigned", Hook(204), "Integrators is assigned to the app", |okta, _| {
            okta.assign_group(APP, INTEGRATORS)?;
            Ok(())
        })
        .team("Integrators", &[]),
        step!("17-member-added", Hook(204), "Ada joins Integrators", |okta, _| {
            okta.add_member(INTEGRATORS, ADA)?;
            Ok(())
        })
        .team("Integrators", &["ada_king"]),
        step!(
            "18-several-events",
            Hook(204),
            "Katherine is created, active, assigned; the group Operations is created and assigned; \
             Katherine joins it; Grace joins Integrators",
            |okta, _| {
                hire(okta, KATHERINE, "Katherine", "Johnson", true, true)?;
                okta.assign_with_username(APP, KATHERINE, "katherine_johnson")?;
                found(okta, OPERATIONS, "Operations")?;
                okta.assign_group(APP, OPERATIONS)?;
                okta.add_member(OPERATIONS, KATHERINE)?;
                okta.add_member(INTEGRATORS, GRACE)?;
                Ok(())
            }
        )
        .account("katherine_johnson", "Katherine Johnson", true)
        .team("Operations", &["katherine_johnson"])
        .team("Integrators", &["ada_king", "grace_hopper"])
        .mail(&["katherine_johnson"]),
        step!(
            "19-group-assignment-updated",
            Hook(204),
            "nothing that matters: a priority changes",
            NOTHING
        ),
        Step {
            renamed: Some(("Integrators", "Integration Engineers")),
            ..step!(
                "20-group-renamed",
                Hook(204),
                "Integrators becomes Integration Engineers",
                |okta, _| {
                    okta.rename_group(INTEGRATORS, "Integration Engineers")?;
                    Ok(())
                }
            )
        }
        .team("Integration Engineers", &["ada_king", "grace_hopper"]),
        step!("21-member-removed", Hook(204), "Grace leaves Integration Engineers", |okta, _| {
            okta.remove_member(INTEGRATORS, GRACE)?;
            Ok(())
        })
        .team("Integration Engineers", &["ada_king"]),
        step!("22-base64-body", Hook(204), "Grace's last name becomes Murray Hopper", |okta, _| {
            okta.update_profile(GRACE, &[("lastName", json!("Murray Hopper"))])?;
            Ok(())
        })
        .account("grace_hopper", "Grace Murray Hopper", true),
        step!("23-user-deactivated", Hook(204), "Grace is deactivated", |okta, _| {
            okta.deactivate(GRACE)?;
            Ok(())
        })
        .account("grace_hopper", "Grace Murray Hopper", false),
        step!("24-user-deleted", Hook(204), "Grace is deleted", |okta, _| {
            okta.delete_user(GRACE)?;
            Ok(())
        }),
        step!(
            "25-group-unassigned",
            Hook(204),
            "Integration Engineers is unassigned from the app",
            |okta, _| {
                okta.unassign_group(APP, INTEGRATORS)?;
                Ok(())
            }
        )
        .team("Integration Engineers", &[]),
        step!("26-group-deleted", Hook(204), "Operations is deleted", |okta, _| {
            okta.delete_group(OPERATIONS)?;
            Ok(())
        })
        .team("Operations", &[]),
        step!(
            "27-forged",
            Hook(204),
            "nothing; Mallory, who is not assigned, is said to be",
            NOTHING
        ),
        step!("28-another-app", Hook(204), "Ada's assignment to another app is removed", NOTHING)
            .unrecorded(),
        step!("29-unknown-type", Hook(204), "somebody signs in", NOTHING).unrecorded(),
        step!(
            "provision-batch",
            Batch,
            "Katherine joins Integration Engineers, which is assigned again; Ada's last name becomes King",
            |okta, _| {
                okta.add_member(INTEGRATORS, KATHERINE)?;
                okta.assign_group(APP, INTEGRATORS)?;
                okta.update_profile(ADA, &[("lastName", json!("King"))])?;
                Ok(())
            }
        )
        .account("ada_king", "Augusta Ada King", true)
        .team("Integration Engineers", &["ada_king", "katherine_johnson"]),
        step!(
            "schedule-catch-up",
            Task,
            "Katherine's app username becomes kjohnson; only the System Log tells of it",
            |okta, _| {
                okta.set_app_username(APP, KATHERINE, "kjohnson")?;
                Ok(())
            }
        )
        .account("katherine_johnson", "Katherine Johnson", false)
        .account("kjohnson", "Katherine Johnson", true)
        .team("Integration Engineers", &["ada_king", "kjohnson"])
        .mail(&["kjohnson"]),
        step!(
            "schedule-reconcile",
            Task,
            "nothing; in Anypoint somebody disables ada_king and renames the team to Old name",
            |_, anypoint| {
                let user = anypoint.user_by_username("ada_king").map(|user| user.id.clone());
                anypoint.disable(&user.unwrap_or_default())?;
                let team = anypoint.team_by_name("Integration Engineers");
                let team = team.map(|team| team.id.clone()).unwrap_or_default();
                anypoint.rename_team(&team, "Old name")?;
                Ok(())
            }
        )
        .account("ada_king", "Augusta Ada King", true)
        .team("Integration Engineers", &["ada_king", "kjohnson"]),
        Step {
            counts: &[("to_create", 1)],
            ..step!(
                "schedule-import",
                Task,
                "nothing; in Anypoint somebody makes the user alan_turing by hand",
                |_, anypoint| {
                    let email = "alan.turing@acme.example";
                    anypoint.add_user("alan_turing", "Alan", "Turing", email)?;
                    Ok(())
                }
            )
        }
        .account("alan_turing", "Alan Turing", true),
    ]
}
