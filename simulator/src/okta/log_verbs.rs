//! Verbs that write to the System Log, and that make it a slow one.

use serde_json::Value;
use uuid::Uuid;

use super::log::{By, LogEvent, Target, delivery};
use super::world::OktaWorld;

impl OktaWorld {
    /// Writes an event of your own making; the rest of this module's events come from verbs and API calls.
    pub fn write_event(
        &mut self,
        event_type: &str,
        targets: Vec<Target>,
        debug: &[(&str, &str)],
    ) -> LogEvent {
        self.write(event_type, targets, debug, By::Request)
    }

    pub(super) fn write(
        &mut self,
        event_type: &str,
        targets: Vec<Target>,
        debug: &[(&str, &str)],
        by: By,
    ) -> LogEvent {
        let event = LogEvent {
            uuid: Uuid::new_v4().to_string(),
            published_ms: self.clock.tick(),
            event_type: event_type.to_owned(),
            outcome: "SUCCESS".to_owned(),
            targets,
            debug: debug
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            by_job: by == By::Job,
        };
        match self.hold_log {
            true => self.held.push(event.clone()),
            false => self.log.push(event.clone()),
        }
        if self.collect {
            self.outbox.push(event.clone());
        }
        event
    }

    /// The envelope Okta would send for these events, from the first hook of the org (or an invented one).
    pub fn delivery(&self, events: &[LogEvent]) -> Value {
        let first = self.hooks.keys().next();
        let hook = first.map_or("whosim00000000000000", String::as_str);
        let source = format!("{}/api/v1/eventHooks/{hook}", self.base_url);
        delivery(&source, self.clock.now_ms(), events)
    }

    /// From now on new entries stay out of the readable System Log (they are still delivered): a slow log.
    pub fn hold_log(&mut self) {
        self.hold_log = true;
    }

    /// Appends the entries that were held back, with their original `published`: they appear late.
    pub fn release_log(&mut self) {
        self.hold_log = false;
        self.log.append(&mut self.held);
    }
}
