//! What every page of the status page has around it.

use std::fmt::Write as _;

use super::text::{Escaped, span, time, to_f64};

/// Seconds after which the overview is loaded again by itself.
const REFRESH: u32 = 10;

/// What every page needs.
pub(crate) struct Frame<'a> {
    /// The database file, as it was given.
    pub data: &'a str,
    /// The present time.
    pub now_ms: i64,
    /// When the program started.
    pub started_ms: i64,
}

/// A page for a reader who may not even see the file's name.
pub fn bare(text: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Refused · okta-anypoint</title></head><body><p>{}</p></body></html>",
        Escaped(text)
    )
}

impl Frame<'_> {
    /// Puts the frame around what is shown.
    pub fn page(&self, title: &str, here: &str, main: &str) -> String {
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
