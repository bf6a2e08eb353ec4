//! The pages, as HTML made here. Whatever comes from outside goes through [`Escaped`].

use std::fmt::Write as _;

use serde_json::Value;

use crate::okta::{Outlook, RENEWAL};
use crate::schedule::NotedCredential;

use super::data::{Event, Filter, Link, Overview};
use super::plot;
use super::series::{WINDOWS, Window};
use super::text::{Escaped, count, shell_word, span, time};

/// Seconds after which the overview is loaded again by itself.
const REFRESH: u32 = 10;
/// How advice is marked in a recorded failure.
const ADVICE: &str = " What to do: ";

/// What every page needs.
pub struct Frame<'a> {
    /// The database file, as it was given.
    pub data: &'a str,
    /// The present time.
    pub now_ms: i64,
    /// When the program started.
    pub started_ms: i64,
}

impl Frame<'_> {
    /// The overview.
    pub fn overview(&self, overview: &Overview, window: Window) -> String {
        let mut main = tiles(overview);
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
        main.push_str("<h2 id=\"failures\">Failures</h2>");
        if overview.failures.is_empty() && overview.dead_letters.is_empty() {
            main.push_str("<p class=\"card empty\">Nothing has failed.</p>");
        }
        for event in &overview.failures {
            self.failure(&mut main, event);
        }
        if !overview.dead_letters.is_empty() {
            main.push_str(
                "<h2 id=\"dead\">Set aside</h2><p class=\"soft\">Tried as often as allowed. They stay \
                 until they are replayed.</p>",
            );
            table(&mut main, &overview.dead_letters);
        }
        main.push_str("<h2>Scheduled tasks</h2>");
        reports(&mut main, &overview.reports, self.now_ms);
        if let Some(noted) = &overview.credential {
            credential(&mut main, noted, self.now_ms);
        }
        self.page("Overview", "/", &main)
    }

    /// A page of events.
    pub fn events(&self, events: &[Event], filter: &Filter, more: bool) -> String {
        let mut main = String::from(
            "<form method=\"get\" action=\"/events\"><label>State<select name=\"state\">",
        );
        for (value, name) in [
            ("", "all"),
            ("queued", "queued"),
            ("in_progress", "in progress"),
            ("done", "done"),
            ("failed", "failed"),
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
        if events.is_empty() {
            main.push_str("<p class=\"card empty\">No events match.</p>");
        } else {
            table(&mut main, events);
        }
        let address = |page: u32| {
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("state", &filter.state)
                .append_pair("subject", &filter.subject)
                .append_pair("page", &page.to_string())
                .finish();
            format!("/events?{query}")
        };
        pager(&mut main, filter.page, more, address);
        self.page("Events", "/events", &main)
    }

    /// A page of links.
    pub fn links(&self, links: &[Link], page: u32, more: bool) -> String {
        let mut main = String::from(
            "<h2>Links</h2><p class=\"soft\">Which Okta object belongs to which Anypoint object. Only \
             linked objects are ever changed.</p>",
        );
        if links.is_empty() {
            main.push_str("<p class=\"card empty\">Nothing is linked yet.</p>");
        } else {
            main.push_str(
                "<div class=\"scroll\"><table><thead><tr><th>Kind<th>Okta<th>Anypoint<th>Origin\
                 </tr></thead><tbody>",
            );
            for link in links {
                let _ = write!(
                    main,
                    "<tr><td>{}<td><code>{}</code><td><code>{}</code><td>{}</tr>",
                    Escaped(&link.kind),
                    Escaped(&link.okta_id),
                    Escaped(&link.anypoint_id),
                    Escaped(&link.origin)
                );
            }
            main.push_str("</tbody></table></div>");
        }
        pager(&mut main, page, more, |page| format!("/links?page={page}"));
        self.page("Links", "/links", &main)
    }

    /// What is shown when the data cannot be read.
    pub fn trouble(&self, text: &str) -> String {
        let main = format!("<p class=\"card failure\">{}</p>", Escaped(text));
        self.page("Trouble", "", &main)
    }

    fn failure(&self, main: &mut String, event: &Event) {
        let again = event.error_class.as_deref() == Some("retryable") && !event.dead;
        let error = event.error.as_deref().unwrap_or_default();
        let (what, advice) = error.split_once(ADVICE).unwrap_or((error, ""));
        let _ = write!(
            main,
            "<article class=\"card failure{}\"><p><b>{}</b></p>",
            if again { " again" } else { "" },
            Escaped(what)
        );
        if !advice.is_empty() {
            let _ = write!(main, "<p>What to do: {}</p>", Escaped(advice));
        }
        if let Some(at_ms) = event.next_try_ms {
            let _ = write!(
                main,
                "<p>Tried again by itself in {}.</p>",
                span(to_f64(at_ms - self.now_ms))
            );
        }
        let replay = format!(
            "okta-anypoint replay {} --data {}",
            event.uuid,
            shell_word(self.data)
        );
        let _ = write!(
            main,
            "<p>{}: <code>{}</code></p><p class=\"soft\">{} · \
             <a href=\"/events?subject={}\">{}</a> · {} UTC · {} attempt{}</p></article>",
            if again {
                "To do it again now"
            } else {
                "Then do it again"
            },
            Escaped(replay),
            Escaped(&event.event_type),
            Escaped(
                url::form_urlencoded::byte_serialize(event.subject.as_bytes()).collect::<String>()
            ),
            Escaped(&event.subject),
            Escaped(time(event.updated_at_ms)),
            event.attempts,
            if event.attempts == 1 { "" } else { "s" }
        );
    }

    fn page(&self, title: &str, here: &str, main: &str) -> String {
        let mut nav = String::new();
        for (address, name) in [
            ("/", "Overview"),
            ("/events", "Events"),
            ("/links", "Links"),
        ] {
            let current = if address == here {
                " aria-current=\"page\""
            } else {
                ""
            };
            let _ = write!(nav, "<a href=\"{address}\"{current}>{name}</a>");
        }
        // Not where somebody may be typing.
        let refresh = match here {
            "/" => format!("<meta http-equiv=\"refresh\" content=\"{REFRESH}\">"),
            _ => String::new(),
        };
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             {refresh}<title>{title} · okta-anypoint</title><link rel=\"stylesheet\" href=\"/style.css\">\
             </head><body><header><h1>okta-anypoint</h1><nav>{nav}</nav>\
             <span class=\"when\">{} UTC, up for {}</span></header><main>{main}</main>\
             <footer>{} · version {} · reads only · <a href=\"/status.json\">status.json</a>\
             </footer></body></html>",
            Escaped(time(self.now_ms)),
            span(to_f64(self.now_ms - self.started_ms)),
            Escaped(self.data),
            env!("CARGO_PKG_VERSION"),
        )
    }
}

fn tiles(overview: &Overview) -> String {
    let (events, queue) = (&overview.events, &overview.queue);
    let links = |kind: &str| -> i64 {
        let of_kind = overview.links.iter().filter(|link| link.kind == kind);
        of_kind.map(|link| link.count).sum()
    };
    let tone = |count: i64, tone: &'static str| if count > 0 { tone } else { "" };
    let waiting = match queue.oldest_age_ms {
        Some(age_ms) => format!("queued, oldest {}", span(to_f64(age_ms))),
        None => "queued".to_owned(),
    };
    let mut html = String::from("<div class=\"tiles\">");
    let mut tile = |address: &str, tone: &str, number: i64, text: &str| {
        let _ = write!(
            html,
            "<a class=\"tile {tone}\" href=\"{address}\"><b>{}</b><span>{}</span></a>",
            count(number),
            Escaped(text)
        );
    };
    tile("/events?state=queued", "", queue.waiting, &waiting);
    tile(
        "/events?state=in_progress",
        "",
        events.in_progress,
        "in progress",
    );
    tile(
        "/events?state=done",
        tone(events.done, "good"),
        events.done,
        "done",
    );
    let (again, good) = (events.failed_retryable, events.failed_permanent);
    tile(
        "/events?state=failed",
        tone(again, "warn"),
        again,
        "failed, tried again",
    );
    tile(
        "/events?state=failed",
        tone(good, "bad"),
        good,
        "failed for good",
    );
    tile("/#dead", tone(queue.dead, "bad"), queue.dead, "set aside");
    tile("/links", "", links("user"), "linked users");
    tile("/links", "", links("group"), "linked teams");
    html.push_str("</div>");
    html
}

fn table(main: &mut String, events: &[Event]) {
    main.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>State<th>Event<th>User or group<th>Published \
         (UTC)<th>Written (UTC)<th>Attempts</tr></thead><tbody>",
    );
    for event in events {
        let published = event.published.get(..19).unwrap_or(&event.published);
        let _ = write!(
            main,
            "<tr><td class=\"state state-{0}\">{0}<td>{1}<code class=\"uuid\">{6}</code>\
             <td><code>{2}</code><td class=\"time\" data-label=\"Published\">{3}\
             <td class=\"time\" data-label=\"Written\">{4}<td class=\"number\" data-label=\"Attempts\">{5}",
            Escaped(&event.state),
            Escaped(&event.event_type),
            Escaped(&event.subject),
            Escaped(published.replace('T', " ")),
            Escaped(time(event.updated_at_ms)),
            event.attempts,
            Escaped(&event.uuid),
        );
        main.push_str("</tr>");
        if let Some(error) = &event.error {
            let _ = write!(
                main,
                "<tr class=\"why\"><td><td colspan=\"5\">{}</tr>",
                Escaped(error)
            );
        }
    }
    main.push_str("</tbody></table></div>");
}

fn pager(main: &mut String, page: u32, more: bool, address: impl Fn(u32) -> String) {
    if page > 0 {
        let _ = write!(
            main,
            "<p><a href=\"{}\">Newer</a></p>",
            Escaped(address(page - 1))
        );
    }
    if more {
        let next = address(page.saturating_add(1));
        let _ = write!(main, "<p><a href=\"{}\">More</a></p>", Escaped(next));
    }
}

fn reports(main: &mut String, reports: &[Value], now_ms: i64) {
    if reports.is_empty() {
        main.push_str("<p class=\"card empty\">No task has run yet.</p>");
        return;
    }
    main.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>Task<th>Outcome<th>Mode<th>Began (UTC)<th>Took\
         <th>Counts</tr></thead><tbody>",
    );
    for report in reports {
        let text = |name: &str| report[name].as_str().unwrap_or_default();
        let began: Option<jiff::Timestamp> = text("started_at").parse().ok();
        let (began, age) = match began.map(jiff::Timestamp::as_millisecond) {
            Some(at_ms) => (time(at_ms), format!("{} ago", span(to_f64(now_ms - at_ms)))),
            None => (text("started_at").to_owned(), String::new()),
        };
        let counts: Vec<String> = report["counts"]
            .as_object()
            .map_or_else(Vec::new, |counts| {
                let shown = counts
                    .iter()
                    .map(|(name, count)| format!("{}: {count}", name.replace('_', " ")));
                shown.collect()
            });
        let state = match text("outcome") {
            "completed" => "done",
            "stopped" => "failed",
            _ => "queued",
        };
        let _ = write!(
            main,
            "<tr><td>{}<td class=\"state state-{state}\">{}<td data-label=\"Mode\">{}\
             <td class=\"time\" data-label=\"Began\">{}<br><span class=\"soft\">{}</span>\
             <td class=\"number\" data-label=\"Took\">{}<td>{}",
            Escaped(text("task").replace('_', "-")),
            Escaped(text("outcome")),
            Escaped(text("mode")),
            Escaped(began),
            Escaped(age),
            span(report["took_ms"].as_f64().unwrap_or_default()),
            Escaped(counts.join(", ")),
        );
        if !text("message").is_empty() {
            let _ = write!(
                main,
                "{}<span class=\"soft\">{}</span>",
                if counts.is_empty() { "" } else { "<br>" },
                Escaped(text("message"))
            );
        }
        main.push_str("</tr>");
    }
    main.push_str("</tbody></table></div>");
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
        Escaped(text)
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

#[expect(
    clippy::cast_precision_loss,
    reason = "shown with three digits at most"
)]
fn to_f64(ms: i64) -> f64 {
    ms.max(0) as f64
}
