//! The page of one user or group: both sides, what would be done, its last events, and its history.

use std::fmt::Write as _;
use std::time::Duration;

use super::data::Names;
use super::frame::Frame;
use super::text::{Escaped, shell_word, time};
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::Subject;
use crate::insight::{
    Explanation, Facts, doubt_in_words, held_in_words, held_of, what_became, words,
};
use crate::ledger::{AuditEntry, Filter, Record};
use crate::provision::{Exclusions, Ports};

/// A look at both sides may take this long: the connection ends after a minute.
const MAX_LOOK: Duration = Duration::from_secs(20);
/// Events and audit entries that are shown.
const MAX_EVENTS: usize = 20;
const MAX_ENTRIES: usize = 100;

/// Everything on the page of a subject.
pub(crate) struct Dossier {
    subject: Subject,
    link: Option<Linked>,
    /// `None`: this reader may not make the program ask Okta and Anypoint.
    looked: Option<Result<Explanation, Failure>>,
    held: Option<Record>,
    events: Vec<Record>,
    history: Vec<AuditEntry>,
    names: Names,
}

impl Dossier {
    /// Reads what the table says. For those who see names, looks at both sides as well; nobody else may make this
    /// program call them.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn read(ports: &Ports, subject: Subject, names: Names) -> Result<Self, Failure> {
        let key = subject.to_string();
        let filter = Filter {
            subject: Some(key.clone()),
            ..Filter::default()
        };
        let look = async {
            match names {
                Names::Hidden => None,
                Names::Shown => {
                    let deadline = Deadline::within(MAX_LOOK);
                    Some(Explanation::of(ports, subject.clone(), deadline).await)
                }
            }
        };
        let (events, history, link, looked) = futures_util::join!(
            ports.ledger.records(&filter),
            ports.ledger.history(&key, 0),
            link_of(ports, &subject),
            look,
        );
        let (mut events, mut history, link) = (events?, history?, link?);
        let held = held_of(&events).cloned();
        events.truncate(MAX_EVENTS);
        history.reverse();
        history.truncate(MAX_ENTRIES);
        Ok(Self {
            subject,
            link,
            looked,
            held,
            events,
            history,
            names,
        })
    }
}

/// The link of the table.
struct Linked {
    /// The username, or the team's name.
    name: String,
    /// What it is linked to, and how that came to be.
    to: String,
}

async fn link_of(ports: &Ports, subject: &Subject) -> Result<Option<Linked>, Failure> {
    Ok(match subject {
        Subject::User(user) => {
            let link = ports.store.user_link(user).await?;
            link.map(|link| Linked {
                to: format!("account {}, {}", link.anypoint_id, link.origin.as_str()),
                name: link.username,
            })
        }
        Subject::Group(group) => {
            let link = ports.store.team_link(group).await?;
            link.map(|link| Linked {
                to: format!("team {}, {}", link.team_id, link.origin.as_str()),
                name: link.team_name,
            })
        }
    })
}

impl Frame<'_> {
    /// The page of a subject.
    pub fn subject(&self, dossier: &Dossier) -> String {
        let mut main = String::new();
        let key = dossier.subject.to_string();
        let name = dossier.link.as_ref().map(|link| link.name.as_str());
        let name = name.filter(|_| dossier.names == Names::Shown);
        let _ = write!(
            main,
            "<h2>{} <code>{}</code></h2>",
            Escaped(name.unwrap_or_default()),
            Escaped(&key)
        );
        if let Some(held) = &dossier.held {
            let approve = format!(
                "okta-anypoint approve {} --data {}",
                dossier.subject.okta_id(),
                shell_word(self.data)
            );
            let _ = write!(
                main,
                "<div class=\"card failure\"><p>{}</p><p>What to do: if Okta is right, approve it; else undo the \
                 change in Okta.</p><p><code>{}</code></p></div>",
                Escaped(held_in_words(held)),
                Escaped(approve)
            );
        }
        match &dossier.looked {
            None => main.push_str(
                "<p class=\"card empty\">Names, and what Okta and Anypoint say, are shown only to a browser on \
                 the machine that serves this page. On that machine, open the overview first.</p>",
            ),
            Some(Err(failure)) => {
                let _ = write!(
                    main,
                    "<p class=\"card failure\">The look failed. {}</p>",
                    Escaped(failure)
                );
            }
            Some(Ok(explanation)) => explained(&mut main, explanation),
        }
        let link = match &dossier.link {
            Some(link) => link.to.clone(),
            None => "none".to_owned(),
        };
        let _ = write!(main, "<h2>Link</h2><p class=\"card\">{}</p>", Escaped(link));
        events(&mut main, &dossier.events, &key);
        history(&mut main, &dossier.history, dossier.names);
        self.page("User or group", "/subject", &main)
    }
}

fn explained(main: &mut String, explanation: &Explanation) {
    main.push_str("<h2>What would be done</h2>");
    match &explanation.subject {
        _ if explanation.excluded => {
            let why = Exclusions::in_words(&explanation.subject);
            let _ = write!(main, "<p class=\"card\">{}</p>", Escaped(why));
        }
        subject if explanation.is_unknown() => {
            let what = match subject {
                Subject::User(_) => "user",
                Subject::Group(_) => "group",
            };
            let _ = write!(
                main,
                "<p class=\"card\">Okta does not know this {what}, and nothing is linked.</p>"
            );
        }
        _ if explanation.is_in_sync() => {
            main.push_str("<p class=\"card good\"><b>Nothing: both sides are in sync.</b></p>");
        }
        _ => steps(main, explanation),
    }
    main.push_str("<div class=\"two\">");
    facts(main, "Okta", &explanation.okta);
    facts(main, "Anypoint", &explanation.anypoint);
    main.push_str("</div>");
}

fn steps(main: &mut String, explanation: &Explanation) {
    if let Some(failure) = &explanation.failure {
        let _ = write!(main, "<p class=\"card failure\">{}</p>", Escaped(failure));
    }
    let is_failure_all = explanation.actions.is_empty() && explanation.doubts.is_empty();
    if is_failure_all && explanation.unread.is_none() {
        return;
    }
    main.push_str("<div class=\"card\">");
    for action in &explanation.actions {
        let _ = write!(
            main,
            "<p>{} <span class=\"soft\">({})</span></p>",
            Escaped(&action.what),
            Escaped(&action.reason)
        );
    }
    for doubt in &explanation.doubts {
        let _ = write!(main, "<p>{}</p>", Escaped(doubt_in_words(doubt)));
    }
    if let Some(failure) = &explanation.unread {
        let _ = write!(main, "<p>{}</p>", Escaped(failure.to_string()));
    }
    main.push_str("</div>");
}

fn facts(main: &mut String, side: &str, facts: &Facts) {
    // Who is excluded is not read at Anypoint.
    if facts.is_empty() {
        return;
    }
    let _ = write!(main, "<div class=\"card\"><h3>{side}</h3><dl>");
    for (name, value) in facts {
        let _ = write!(main, "<dt>{}<dd>{}", Escaped(name), Escaped(words(value)));
    }
    main.push_str("</dl></div>");
}

fn events(main: &mut String, events: &[Record], key: &str) {
    let query: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
    let _ = write!(
        main,
        "<h2 class=\"choices\">Last events <a href=\"/events?subject={}\">all</a></h2>",
        Escaped(query)
    );
    if events.is_empty() {
        main.push_str("<p class=\"card empty\">No event is recorded.</p>");
        return;
    }
    main.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>Written (UTC)<th>State<th>Event<th>What became of \
         it</tr></thead><tbody>",
    );
    for event in events {
        let _ = write!(
            main,
            "<tr><td class=\"time\">{}<td class=\"state state-{4}\">{1}<td>{2}\
             <code class=\"uuid\">{5}</code><td>{3}</tr>",
            Escaped(time(event.updated_at_ms)),
            event.state(),
            Escaped(&event.event_type),
            Escaped(what_became(event)),
            event.state().replace([' ', '_'], "-"),
            Escaped(&event.id),
        );
    }
    main.push_str("</tbody></table></div>");
}

fn history(main: &mut String, entries: &[AuditEntry], names: Names) {
    main.push_str("<h2>History</h2>");
    if entries.is_empty() {
        main.push_str("<p class=\"card empty\">Nothing was changed.</p>");
        return;
    }
    main.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>When (UTC)<th>Change<th>Before and after<th>Why, and who \
         asked</tr></thead><tbody>",
    );
    for entry in entries {
        let mut what = entry.action.replace('_', " ");
        for id in entry.id.iter().chain(&entry.ids) {
            what.push(' ');
            what.push_str(id);
        }
        if let Some(people) = entry.people() {
            let _ = write!(what, " ({people})");
        }
        let mut change: Vec<String> = Vec::new();
        if let (Some(before), Some(after)) = (&entry.before, &entry.after) {
            change.push(format!("{before} → {after}"));
        }
        if !entry.fields.is_empty() {
            change.push(entry.fields.join(", "));
        }
        let shown =
            |text: &Option<String>, label: &str| text.as_ref().map(|text| format!("{label}{text}"));
        let named = |text: &Option<String>, label: &str| match names {
            Names::Shown => shown(text, label),
            Names::Hidden => None,
        };
        let asked = [
            shown(&entry.why, ""),
            shown(&entry.event_type, "event "),
            shown(&entry.actor, "actor "),
            named(&entry.reason, "reason: "),
            named(&entry.username, "username "),
        ];
        let asked: Vec<String> = asked.into_iter().flatten().collect();
        let _ = write!(
            main,
            "<tr><td class=\"time\">{}<td>{}<td>{}<td>{}</tr>",
            Escaped(time(entry.at_ms)),
            Escaped(what),
            Escaped(change.join("; ")),
            Escaped(asked.join("; ")),
        );
    }
    main.push_str("</tbody></table></div>");
}
