//! The pages, as HTML made here. Text from outside goes through [`Escaped`].

use std::fmt::Write as _;

use crate::insight::would;
use crate::ledger::DRY_RUN;
use crate::okta::{Outlook, RENEWAL};
use crate::schedule::NotedCredential;
use crate::serve::numbers::Numbers;

use super::data::{Event, EventFilter, Link, LinkFilter, Names, OnePage, Overview, Situation};
use super::failures::tasks;
use super::frame::Frame;
use super::plot;
use super::series::{WINDOWS, Window};
use super::text::{Escaped, count, sentence, span, subject_link, time, to_f64};
use super::verdict::verdict;

impl Frame<'_> {
    /// The overview.
    pub fn overview(&self, overview: &Overview, situation: &Situation, window: Window) -> String {
        let (tone, text) = verdict(situation, &overview.numbers);
        let mut main = format!(
            "<p class=\"card verdict {}\"><b>{}</b></p>",
            tone.class(),
            Escaped(text)
        );
        main.push_str(&tiles(&overview.numbers));
        tasks(&mut main, &situation.runs, self.now_ms);
        self.failures(&mut main, overview, situation);
        if !overview.dead_letters.is_empty() {
            main.push_str(
                "<h2 id=\"dead\">Dead letters</h2><p class=\"soft\">Tried as often as allowed. They stay \
                 until a replay or a later look settles them, or somebody dismisses them.</p>",
            );
            table(&mut main, &overview.dead_letters);
        }
        main.push_str("<h2 class=\"choices\">Over time");
        for choice in WINDOWS {
            let current = if choice == window {
                " aria-current=\"true\""
            } else {
                ""
            };
            let _ = write!(
                main,
                " <a href=\"/?window={0}\"{current}>{0}</a>",
                choice.name
            );
        }
        let _ = write!(
            main,
            "</h2><div class=\"two\"><div class=\"card\"><h3>Throughput</h3>{}\
             <p class=\"key\">Events done, and failed on top.</p></div>\
             <div class=\"card\"><h3>Lag</h3>{}\
             <p class=\"key\">From publication at Okta until done: mean (large), longest (small).</p>\
             </div></div>",
            plot::throughput(&overview.series),
            plot::lag(&overview.series)
        );
        if let Some(noted) = &overview.numbers.credential {
            credential(&mut main, noted, self.now_ms);
        }
        self.page("Overview", "/", &main)
    }

    /// A page of events.
    pub fn events(&self, events: &OnePage<Event>, filter: &EventFilter) -> String {
        let mut main = String::from(
            "<form method=\"get\" action=\"/events\"><label>State<select name=\"state\">",
        );
        for (value, name) in [
            ("", "all"),
            ("queued", "queued"),
            ("in_progress", "in progress"),
            ("done", "done"),
            (DRY_RUN, DRY_RUN),
            ("failed", "failed"),
            ("held", "held"),
            ("waiting", "waiting"),
            ("resolved", "resolved"),
        ] {
            let chosen = if value == filter.state {
                " selected"
            } else {
                ""
            };
            let _ = write!(main, "<option value=\"{value}\"{chosen}>{name}</option>");
        }
        let _ = write!(
            main,
            "</select></label><label>User or group (Okta id)<input name=\"subject\" value=\"{}\" \
             placeholder=\"00u…\"></label><button>Filter</button> <a href=\"/events\">Clear</a></form>",
            Escaped(&filter.subject)
        );
        if events.rows.is_empty() {
            let is_filtered = !filter.state.is_empty() || !filter.subject.is_empty();
            main.push_str(match is_filtered || filter.page > 0 {
                true => "<p class=\"card empty\">No events match.</p>",
                false => "<p class=\"card empty\">No event has arrived yet.</p>",
            });
        } else {
            table(&mut main, &events.rows);
        }
        let query = [("state", &*filter.state), ("subject", &*filter.subject)];
        let address = |page| address("/events", &query, page);
        pager(&mut main, "Newer", filter.page, events, address);
        self.page("Events", "/events", &main)
    }

    /// A page of links.
    pub fn links(&self, links: &OnePage<Link>, filter: &LinkFilter) -> String {
        let is_named = filter.names == Names::Shown;
        let what = if is_named { "Id or name" } else { "Id" };
        let mut main = format!(
            "<h2>Links</h2><p class=\"soft\">Which Okta object belongs to which Anypoint object. Only linked \
             objects, those about to be linked, and former accounts are ever changed.{}</p><form method=\"get\" action=\"/links\"><label>{what}\
             <input name=\"q\" value=\"{}\"></label><button>Search</button> <a href=\"/links\">Clear</a></form>",
            if is_named {
                ""
            } else {
                " Names are shown only to a browser on the machine that serves this page."
            },
            Escaped(&filter.text)
        );
        if links.rows.is_empty() {
            main.push_str(if filter.text.is_empty() {
                "<p class=\"card empty\">Nothing is linked yet.</p>"
            } else {
                "<p class=\"card empty\">No link matches.</p>"
            });
        } else {
            main.push_str("<div class=\"scroll\"><table><thead><tr>");
            if is_named {
                main.push_str("<th>Name");
            }
            main.push_str("<th>Okta<th>Anypoint<th>Origin</tr></thead><tbody>");
            for link in &links.rows {
                main.push_str("<tr>");
                if is_named {
                    let _ = write!(main, "<td><b>{}</b>", Escaped(&link.name));
                }
                let _ = write!(
                    main,
                    "<td>{}<td><code>{}</code><td>{}</tr>",
                    subject_link(&format!("{}#{}", link.kind, link.okta_id)),
                    Escaped(&link.anypoint_id),
                    Escaped(&link.origin)
                );
            }
            main.push_str("</tbody></table></div>");
        }
        let address = |page| address("/links", &[("q", &*filter.text)], page);
        pager(&mut main, "Back", filter.page, links, address);
        self.page("Links", "/links", &main)
    }

    /// What is shown when the data cannot be read.
    pub fn trouble(&self, text: &str) -> String {
        let main = format!("<p class=\"card failure\">{}</p>", Escaped(text));
        self.page("Trouble", "", &main)
    }

    /// What is shown when there is no such page.
    pub fn not_found(&self, text: &str) -> String {
        let main = format!("<p class=\"card empty\">{}</p>", Escaped(text));
        self.page("Not found", "", &main)
    }
}

fn tiles(numbers: &Numbers) -> String {
    let (events, queue) = (&numbers.events, &numbers.queue);
    let links = |kind: &str| -> i64 {
        let of_kind = numbers.links.iter().filter(|link| link.kind == kind);
        of_kind.map(|link| link.count).sum()
    };
    let waiting = match queue.oldest_age_ms {
        Some(age_ms) => format!("queued, oldest {}", span(to_f64(age_ms))),
        None => "queued".to_owned(),
    };
    let one_or_many = |number: i64, one: &'static str, many| if number == 1 { one } else { many };
    let (dead, users, teams) = (queue.dead, links("user"), links("group"));
    let dead_letters = one_or_many(dead, "dead letter", "dead letters");
    let linked_users = one_or_many(users, "linked user", "linked users");
    let linked_teams = one_or_many(teams, "linked team", "linked teams");
    let (retried, for_good) = (events.failed_retryable, events.failed_permanent);
    let (planned_only, second_look) = ("planned only (dry run)", "waiting for a second look");
    let state = |state: &str| format!("/events?state={state}");
    let mut html = String::from("<div class=\"tiles\">");
    for (address, tone, number, text) in [
        (state("queued"), "", queue.waiting, &*waiting),
        (state("in_progress"), "", events.in_progress, "in progress"),
        (state("done"), "good", events.done, "done"),
        (state("dry+run"), "warn", events.dry_run, planned_only),
        (state("failed"), "warn", retried, "failed, retried"),
        (state("failed"), "bad", for_good, "failed for good"),
        (state("held"), "bad", events.held, "held by the brake"),
        (state("waiting"), "", events.waiting, second_look),
        ("/#dead".to_owned(), "bad", dead, dead_letters),
        ("/links".to_owned(), "", users, linked_users),
        ("/links".to_owned(), "", teams, linked_teams),
    ] {
        if number == 0 && text == planned_only {
            continue;
        }
        let _ = write!(
            html,
            "<a class=\"tile {}\" href=\"{address}\"><b>{}</b><span>{}</span></a>",
            if number > 0 { tone } else { "" },
            count(number),
            Escaped(text)
        );
    }
    html.push_str("</div>");
    html
}

fn table(main: &mut String, events: &[Event]) {
    main.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>State<th>Event<th>User or group<th>Published \
         (UTC)<th>Written (UTC)<th>Tries</tr></thead><tbody>",
    );
    for event in events {
        let published = event.published.get(..19).unwrap_or(&event.published);
        let _ = write!(
            main,
            "<tr><td class=\"state state-{7}\">{0}<td>{1}<code class=\"uuid\">{6}</code>\
             <td>{2}<td class=\"time\" data-label=\"Published\">{3}\
             <td class=\"time\" data-label=\"Written\">{4}<td class=\"number\" data-label=\"Tries\">{5}",
            Escaped(&event.state),
            Escaped(&event.event_type),
            subject_link(&event.subject),
            Escaped(published.replace('T', " ")),
            Escaped(time(event.updated_at_ms)),
            event.attempts,
            Escaped(&event.uuid),
            Escaped(event.state.replace([' ', '_'], "-")),
        );
        main.push_str("</tr>");
        let would = event.planned.as_deref().map(would);
        for line in event.error.iter().chain(&would) {
            let _ = write!(
                main,
                "<tr class=\"why\"><td><td colspan=\"5\">{}</tr>",
                Escaped(line)
            );
        }
    }
    main.push_str("</tbody></table></div>");
}

/// The address of another page of a list.
fn address(path: &str, query: &[(&str, &str)], page: u32) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query);
    text.append_pair("page", &page.to_string());
    format!("{path}?{}", text.finish())
}

fn pager<T>(
    main: &mut String,
    back: &str,
    page: u32,
    shown: &OnePage<T>,
    address: impl Fn(u32) -> String,
) {
    if page > 0 {
        let _ = write!(
            main,
            "<p><a href=\"{}\">{back}</a></p>",
            Escaped(address(page - 1))
        );
    }
    if shown.has_more {
        let next = address(page.saturating_add(1));
        let _ = write!(main, "<p><a href=\"{}\">More</a></p>", Escaped(next));
    }
}

fn credential(main: &mut String, noted: &NotedCredential, now_ms: i64) {
    let (outlook, text) = noted.life.outlook(now_ms);
    let (card, advice) = match outlook {
        Outlook::EndsSoon => ("card failure again", RENEWAL),
        Outlook::Lasts | Outlook::Unknown => ("card", ""),
    };
    let _ = write!(
        main,
        "<h2>Credential at Okta</h2><div class=\"{card}\"><p>{}</p>",
        Escaped(sentence(&text))
    );
    if !advice.is_empty() {
        let _ = write!(main, "<p>What to do: {}</p>", Escaped(advice));
    }
    let _ = write!(
        main,
        "<p class=\"soft\">Asked {} ago, by a reconcile.</p></div>",
        span(to_f64(now_ms - noted.checked_at_ms))
    );
}
