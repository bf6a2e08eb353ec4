//! The middle of the overview: the tasks, and what is open.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::data::{Overview, Situation};
use super::frame::Frame;
use super::text::{Escaped, count, shell_word, span, subject_link, time, to_f64};
use super::verdict;
use crate::insight::{Health, LastRun, Next, SameCause};
use crate::schedule::{RunOutcome, Task};

/// Subjects of one cause that are listed.
const MAX_SUBJECTS: usize = 20;

impl Frame<'_> {
    /// What failed, equal failures together.
    pub fn failures(&self, main: &mut String, overview: &Overview, situation: &Situation) {
        main.push_str("<h2 id=\"failures\">Failures</h2>");
        let inbox = &situation.inbox;
        if inbox.failures.is_empty() && overview.dead_letters.is_empty() {
            main.push_str("<p class=\"card empty\">Nothing has failed.</p>");
        }
        for same in &inbox.failures {
            let next_try_ms = overview
                .failures
                .iter()
                .filter(|event| same.ids.contains(&event.uuid))
                .filter_map(|event| event.next_try_ms)
                .min();
            self.same_cause(main, same, next_try_ms);
        }
        if !inbox.held.is_empty() {
            let _ = write!(
                main,
                "<h2 id=\"held\">Held by the brake</h2><article class=\"card failure\"><p>More people would \
                 lose access within an hour than MAX_REMOVALS_PER_HOUR allows.</p><p>What to do: if Okta is \
                 right, approve them; else undo the change in Okta.</p><p><code>{}</code></p>",
                Escaped(format!(
                    "okta-anypoint held --data {}",
                    shell_word(self.data)
                ))
            );
            subjects(main, &inbox.held, "held");
            main.push_str("</article>");
        }
    }

    fn same_cause(&self, main: &mut String, same: &SameCause, next_try_ms: Option<i64>) {
        let is_again = same.next == Next::Retry;
        let _ = write!(
            main,
            "<article class=\"card failure{}\"><p><b>{}</b> <span class=\"soft\">{} event{}, newest {} \
             ago</span></p><p>{}</p>",
            if is_again { " again" } else { "" },
            Escaped(same.cause.replace('_', " ")),
            count(i64::try_from(same.count).unwrap_or(i64::MAX)),
            if same.count == 1 { "" } else { "s" },
            span(to_f64(self.now_ms - same.newest_at_ms)),
            Escaped(&same.error)
        );
        if let Some(advice) = &same.advice {
            let _ = write!(main, "<p>What to do: {}</p>", Escaped(advice));
        }
        if let Some(at_ms) = next_try_ms {
            let _ = write!(
                main,
                "<p>Retried in {}.</p>",
                span(to_f64(at_ms - self.now_ms))
            );
        }
        let which = match same.ids.as_slice() {
            [only] => only.clone(),
            _ => format!("--failed --cause {}", same.cause),
        };
        let _ = write!(
            main,
            "<p>{}: <code>{}</code></p>",
            if is_again {
                "To retry it now"
            } else {
                "Then replay it"
            },
            Escaped(format!(
                "okta-anypoint replay {which} --data {}",
                shell_word(self.data)
            )),
        );
        subjects(main, &same.subjects, "failed");
        main.push_str("</article>");
    }
}

fn subjects(main: &mut String, subjects: &BTreeSet<String>, state: &str) {
    main.push_str("<ul class=\"subjects\">");
    for subject in subjects.iter().take(MAX_SUBJECTS) {
        let _ = write!(main, "<li>{}", subject_link(subject));
    }
    main.push_str("</ul>");
    if subjects.len() > MAX_SUBJECTS {
        let _ = write!(
            main,
            "<p><a href=\"/events?state={state}\">and {} more</a></p>",
            subjects.len() - MAX_SUBJECTS
        );
    }
}

/// The last run of each task.
pub fn tasks(main: &mut String, runs: &[LastRun], now_ms: i64) {
    main.push_str("<h2 id=\"tasks\">Scheduled tasks</h2>");
    if runs.iter().all(|run| run.summary.is_none()) {
        main.push_str("<p class=\"card empty\">No task has run yet.</p>");
        return;
    }
    main.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>Task<th>Last run<th>Mode<th>Ended (UTC)<th>Took\
         <th>Counts</tr></thead><tbody>",
    );
    for run in runs {
        let Some(summary) = &run.summary else {
            continue;
        };
        let counted = summary.counts.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<String> = counted
            .map(|(name, count)| format!("{}: {count}", name.replace('_', " ")))
            .collect();
        let (state, word) = match run.health {
            Health::Stopped => ("failed", "stopped"),
            Health::Overdue => ("failed", "overdue"),
            Health::Problems => ("failed", "left problems"),
            Health::Unfinished if summary.outcome == RunOutcome::Skipped => ("queued", "paused"),
            Health::Unfinished => ("queued", "goes on"),
            Health::Good | Health::Never => ("done", "completed"),
        };
        let (ended, age) = match run.ended_ms {
            Some(at_ms) => (time(at_ms), format!("{} ago", span(to_f64(now_ms - at_ms)))),
            None => (summary.started_at.clone(), String::new()),
        };
        let mode = match (run.task, summary.mode) {
            // The worker decides what becomes of what it queues: CHANGES counts there.
            (Task::CatchUp, _) => "queues events",
            (_, mode) => mode.as_str(),
        };
        let _ = write!(
            main,
            "<tr><td>{}<td class=\"state state-{state}\">{word}<td data-label=\"Mode\">{mode}\
             <td class=\"time\" data-label=\"Ended\">{}<br><span class=\"soft\">{}</span>\
             <td class=\"number\" data-label=\"Took\">{}<td>{}",
            verdict::name(run.task),
            Escaped(ended),
            Escaped(age),
            span(to_f64(i64::try_from(summary.took_ms).unwrap_or(i64::MAX))),
            Escaped(counts.join(", ")),
        );
        let problems = summary.problems.iter().take(MAX_SUBJECTS).map(|problem| {
            let who = problem.subject.as_ref().map(ToString::to_string);
            format!("{}: {}", who.unwrap_or_default(), problem.text)
        });
        for line in summary.message.iter().cloned().chain(problems) {
            let _ = write!(main, "<br><span class=\"soft\">{}</span>", Escaped(line));
        }
        main.push_str("</tr>");
    }
    main.push_str("</tbody></table></div>");
}
