//! The first line of the page: how it all stands.

use super::data::Situation;
use super::text::{count, span, time, to_f64};
use crate::insight::{Health, LastRun, Next, Standing, usual_interval};
use crate::provision::Changes;
use crate::schedule::{Mode, Task};
use crate::serve::numbers::Numbers;

/// How it stands, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// Nothing is open.
    Good,
    /// Something is under way, or switched off.
    Soft,
    /// Somebody has to do something.
    Bad,
}

impl Tone {
    /// The class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Soft => "soft-tone",
            Self::Bad => "bad",
        }
    }
}

/// The verdict in one line, what needs a person in front.
pub fn verdict(situation: &Situation, numbers: &Numbers) -> (Tone, String) {
    let (queue, events) = (&numbers.queue, &numbers.events);
    let mut said: Vec<(Tone, String)> = Vec::new();
    let mut say = |tone, text: String| said.push((tone, text));
    if let Some(who) = who(situation.inbox.waiting().iter().copied()) {
        let verb = if who.0 == 1 { "waits" } else { "wait" };
        say(Tone::Bad, format!("{} {verb} for you.", who.1));
    }
    if queue.dead > 0 {
        let changes = changes(queue.dead);
        say(Tone::Bad, format!("{changes} in the dead letters."));
    }
    for run in &situation.runs {
        match run.health {
            Health::Stopped => say(
                Tone::Bad,
                format!("The last {} was stopped.", name(run.task)),
            ),
            Health::Overdue => say(Tone::Bad, format!("The {} is overdue.", name(run.task))),
            Health::Problems => say(
                Tone::Bad,
                format!(
                    "The last {} left {} for you.",
                    name(run.task),
                    problems(run)
                ),
            ),
            Health::Unfinished => {
                let by_hand = match usual_interval(run.task) {
                    Some(_) => "",
                    None => " If none is scheduled, run `okta-anypoint import`.",
                };
                say(
                    Tone::Soft,
                    format!(
                        "The last {} ended before all was done. The next one does the rest.{by_hand}",
                        name(run.task)
                    ),
                );
            }
            Health::Never | Health::Good => {}
        }
    }
    for text in standing(&situation.standing, numbers.at_ms) {
        say(Tone::Soft, text);
    }
    if let Some(text) = situation.runs.iter().find_map(reported) {
        say(Tone::Soft, text);
    }
    let again = situation.inbox.failed(Next::Retry);
    let retried = who(again.into_iter());
    if let Some((_, who)) = &retried {
        say(Tone::Soft, format!("Changes of {who} are retried."));
    }
    let second_looks = events.waiting.min(queue.postponed);
    if second_looks > 0 {
        let wait = wait(second_looks);
        say(Tone::Soft, format!("{wait} for a second look."));
    }
    // Whose changes they are is said already where a failure is recorded.
    let retries = queue.postponed - second_looks;
    if retries > 0 && retried.is_none() {
        say(Tone::Soft, format!("{} for a retry.", wait(retries)));
    }
    match queue.waiting - queue.postponed + queue.in_flight {
        0 => {}
        some if situation.standing.is_paused() => say(Tone::Soft, format!("{}.", wait(some))),
        some => say(Tone::Soft, format!("{} on the way.", changes(some))),
    }
    said.sort_by_key(|(tone, _)| std::cmp::Reverse(*tone));
    let worst = said.first().map(|(tone, _)| *tone);
    let compared = situation
        .runs
        .iter()
        .any(|run| run.task == Task::Reconcile && run.health == Health::Good);
    let tone = worst.unwrap_or(if compared { Tone::Good } else { Tone::Soft });
    if said.is_empty() {
        let text = match compared {
            true => "All in sync.",
            false => "Nothing is open. The two sides have not been compared yet.",
        };
        return (tone, text.to_owned());
    }
    let texts: Vec<String> = said.into_iter().map(|(_, text)| text).collect();
    (tone, texts.join(" "))
}

/// What an operator or a setting has changed.
fn standing(standing: &Standing, now_ms: i64) -> Vec<String> {
    let mut said = Vec::new();
    match (standing.changes, standing.paused_since_ms) {
        (Changes::Pause, _) => said.push("Changes are paused by CHANGES=pause.".to_owned()),
        (_, Some(since_ms)) => {
            let time = span(to_f64(now_ms - since_ms));
            said.push(format!("Changes have been paused for {time}."));
        }
        (Changes::Report, None) => said.push("A dry run: nothing is written.".to_owned()),
        (Changes::Apply, None) => {}
    }
    let planned = who(standing.planned_only.iter().map(String::as_str));
    if let Some((number, who)) = planned.filter(|_| standing.changes != Changes::Report) {
        let verb = if number == 1 { "waits" } else { "wait" };
        said.push(format!(
            "{who} {verb} for the first reconcile that applies what the dry runs planned."
        ));
    }
    if let Some(until_ms) = standing.brake_off_until_ms {
        said.push(format!("The brake is off until {} UTC.", time(until_ms)));
    }
    said
}

/// What the last reconcile found and left, because it only reported.
fn reported(run: &LastRun) -> Option<String> {
    let summary = run.summary.as_ref()?;
    let found = summary.count("differing_users") + summary.count("differing_groups");
    if run.task != Task::Reconcile || summary.mode != Mode::Report || found == 0 {
        return None;
    }
    let differences = match found {
        1 => "1 difference".to_owned(),
        some => format!("{some} differences"),
    };
    Some(format!(
        "The last reconcile only reported, and found {differences}."
    ))
}

/// How many, and `3 people`, `1 group`, `2 people and 1 group`.
fn who<'s>(subjects: impl Iterator<Item = &'s str>) -> Option<(usize, String)> {
    let (groups, people): (Vec<&str>, Vec<&str>) =
        subjects.partition(|subject| subject.starts_with("group#"));
    let of = |number: usize, one: &str, more: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {more}")),
    };
    let parts = [
        of(people.len(), "person", "people"),
        of(groups.len(), "group", "groups"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let all = people.len() + groups.len();
    (all > 0).then(|| (all, parts.join(" and ")))
}

fn changes(number: i64) -> String {
    match number {
        1 => "1 change is".to_owned(),
        _ => format!("{} changes are", count(number)),
    }
}

fn wait(number: i64) -> String {
    match number {
        1 => "1 change waits".to_owned(),
        _ => format!("{} changes wait", count(number)),
    }
}

fn problems(run: &LastRun) -> String {
    match run
        .summary
        .as_ref()
        .map_or(0, |summary| summary.problems.len())
    {
        1 => "1 problem".to_owned(),
        some => format!("{some} problems"),
    }
}

/// A task, for people.
pub fn name(task: Task) -> String {
    task.as_str().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;
    use crate::insight::{Inbox, SameCause};
    use crate::queue::Depth;
    use crate::serve::numbers::States;

    fn run(task: Task, health: Health) -> LastRun {
        LastRun {
            task,
            summary: None,
            ended_ms: None,
            health,
        }
    }

    fn said(situation: &Situation, queue: Depth) -> (Tone, String) {
        let numbers = Numbers {
            at_ms: 3_600_000,
            queue,
            ..Numbers::default()
        };
        verdict(situation, &numbers)
    }

    #[test]
    fn the_verdict_begins_with_what_needs_a_person() {
        let mut situation = Situation {
            runs: vec![run(Task::Reconcile, Health::Good)],
            ..Situation::default()
        };
        let idle = Depth::default();
        assert_eq!(
            said(&situation, idle),
            (Tone::Good, "All in sync.".to_owned())
        );
        let busy = Depth { waiting: 1, ..idle };
        let on_the_way = (Tone::Soft, "1 change is on the way.".to_owned());
        assert_eq!(said(&situation, busy), on_the_way);

        let held = |subjects: &[&str]| Inbox {
            held: subjects.iter().map(ToString::to_string).collect(),
            ..Inbox::default()
        };
        situation.inbox = held(&["user#1"]);
        assert_eq!(said(&situation, idle).1, "1 person waits for you.");
        situation.inbox = held(&["user#1", "user#2", "group#3"]);
        situation.runs = vec![
            run(Task::CatchUp, Health::Overdue),
            run(Task::Reconcile, Health::Stopped),
        ];
        situation.standing.paused_since_ms = Some(0);
        let (tone, text) = said(&situation, busy);
        assert_eq!(tone, Tone::Bad);
        assert_eq!(
            text,
            "2 people and 1 group wait for you. The catch-up is overdue. The last reconcile was stopped. \
             Changes have been paused for 60 min. 1 change waits."
        );
    }

    #[test]
    fn a_change_that_waits_is_not_on_the_way() {
        let situation = Situation::default();
        let queue = Depth {
            waiting: 9,
            postponed: 8,
            ..Depth::default()
        };
        let of = |waiting| {
            let events = States {
                waiting,
                ..States::default()
            };
            let numbers = Numbers {
                events,
                queue,
                ..Numbers::default()
            };
            verdict(&situation, &numbers).1
        };
        assert_eq!(of(0), "8 changes wait for a retry. 1 change is on the way.");
        assert_eq!(
            of(7),
            "7 changes wait for a second look. 1 change waits for a retry. 1 change is on the way."
        );
        let failed = SameCause {
            cause: "throttled".to_owned(),
            error_class: Class::Retryable,
            next: Next::Retry,
            count: 8,
            newest_at_ms: 0,
            error: String::new(),
            advice: None,
            subjects: ["user#1", "user#2"].map(str::to_owned).into(),
            ids: Vec::new(),
        };
        let mut situation = situation.clone();
        situation.inbox.failures.push(failed);
        let (_, text) = said(&situation, queue);
        assert_eq!(
            text,
            "Changes of 2 people are retried. 1 change is on the way."
        );
    }

    #[test]
    fn planned_or_reported_changes_are_not_called_in_sync() {
        let mut situation = Situation {
            runs: vec![run(Task::Reconcile, Health::Good)],
            ..Situation::default()
        };
        let planned = ["user#1", "user#2", "group#3"].map(str::to_owned);
        situation.standing.planned_only = planned.into();
        let (tone, text) = said(&situation, Depth::default());
        assert_eq!(tone, Tone::Soft);
        assert_eq!(
            text,
            "2 people and 1 group wait for the first reconcile that applies what the dry runs planned."
        );
        situation.standing.changes = Changes::Report;
        let (_, text) = said(&situation, Depth::default());
        assert_eq!(text, "A dry run: nothing is written.");
        situation.standing = Standing {
            changes: Changes::Pause,
            paused_since_ms: Some(0),
            ..Standing::default()
        };
        let (_, text) = said(&situation, Depth::default());
        assert_eq!(text, "Changes are paused by CHANGES=pause.");
    }

    #[test]
    fn a_reconcile_that_did_not_finish_calls_nothing_in_sync() {
        let situation = Situation {
            runs: vec![run(Task::Reconcile, Health::Unfinished)],
            ..Situation::default()
        };
        assert_eq!(
            said(&situation, Depth::default()),
            (
                Tone::Soft,
                "The last reconcile ended before all was done. The next one does the rest."
                    .to_owned()
            )
        );
    }

    #[test]
    fn without_a_comparison_nothing_is_called_in_sync() {
        let (tone, text) = said(&Situation::default(), Depth::default());
        assert_eq!(tone, Tone::Soft);
        assert!(!text.contains("sync"), "{text}");
    }
}
