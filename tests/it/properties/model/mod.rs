//! What must be true when everything is quiet, written from contract §4 alone. Nothing here calls a planner.

mod groups;
mod unowned;
mod users;
mod wish;

use std::collections::BTreeMap;

use okta_anypoint::ledger::{Record, Status};
use okta_anypoint::provision::Policy;

use super::rig::End;
pub use wish::Wish;

/// Words of failures that can have a true reason in these histories.
pub const TRUE_REASONS: [&str; 12] = [
    "characters that Anypoint does not take in a username",
    "shorter than the three characters",
    "belongs to Okta user",
    "is linked to Okta user",
    "has another e-mail address",
    "ADOPT=never",
    "taken outside this organization",
    "the group's name is",
    "another team of the organization",
    "has the same team name",
    "teams below it",
    "cannot get a name of its own",
];

/// The final state of a user.
enum Place {
    /// No enabled account is wanted.
    Out,
    /// The linked account is the wanted one.
    In(String),
    /// Anypoint refuses the wanted account: words of the reason, and the account that stays meanwhile.
    Refused(&'static [&'static str], Option<String>),
}

pub struct Model<'a> {
    end: &'a End,
    faultless: bool,
    pub problems: Vec<String>,
    /// Refusals that had a true reason, for the summary.
    pub refusals: usize,
}

pub fn check(end: &End, faultless: bool) -> Model<'_> {
    let mut model = Model {
        end,
        faultless,
        problems: Vec::new(),
        refusals: 0,
    };
    let places: BTreeMap<&str, Place> = end
        .users
        .iter()
        .map(|user| (user.as_str(), model.place(user)))
        .collect();
    let names = model.team_names();
    for (user, place) in &places {
        model.check_user(user, place);
    }
    for group in &end.groups {
        model.check_group(group, &places, &names);
    }
    model.check_accounts();
    model.check_teams();
    model.check_mails();
    model
}

/// The final state of a group's team.
enum TeamName {
    /// The group is not pushed.
    NotPushed,
    /// The team exists below the root, with the right name.
    Right,
    /// Anypoint refuses the name: words of the reason.
    Refused(&'static [&'static str]),
}

impl<'a> Model<'a> {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn policy(&self) -> &'a Policy {
        &self.end.policy
    }

    fn wish(&self) -> Wish<'a> {
        Wish {
            okta: &self.end.okta,
            policy: &self.end.policy,
        }
    }

    // ---- Users ----

    fn record(&self, subject: &str) -> &'a Record {
        &self.end.last_looks[subject]
    }

    fn expect_done(&mut self, subject: &str) {
        let record = self.record(subject);
        if record.status != Status::Done {
            self.problem(format!(
                "{subject} should agree, and failed: {:?}",
                record.error
            ));
        }
    }

    fn expect_failed(&mut self, subject: &str, words: &[&str]) {
        let record = self.record(subject);
        let text = record.error.as_deref().unwrap_or_default();
        if record.status != Status::Failed || !words.iter().any(|word| text.contains(word)) {
            self.problem(format!(
                "{subject} should fail because of {words:?}, and is {:?}: {text:?}",
                record.status
            ));
        }
    }

    // ---- Groups ----

    fn called(&self, account: &str) -> String {
        let owner = self.end.owners.get(account);
        let name = self
            .end
            .anypoint
            .users
            .get(account)
            .map(|user| &user.username);
        format!("{account} {name:?} of {owner:?}")
    }

    // ---- What the program does not own ----
}
