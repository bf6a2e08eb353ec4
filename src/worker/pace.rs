//! How a worker spends its time, and what keeps it from beginning.

use std::time::Duration;

use crate::ledger::SUBJECT_WAIT;
use crate::provision::SecondLook;

/// Which pauses a worker heeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pauses {
    /// The setting `CHANGES=pause`. What gives the worker its changes heeds the command, if there is one.
    Setting,
    /// Also `okta-anypoint pause`. Costs a read of the table for each subject.
    SettingOrCommand,
}

/// How the time of one run is spent.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Kept free at the end for recording the results.
    pub recording: Duration,
    /// The worker does not begin a subject with less time left.
    pub least: Duration,
    /// How many subjects the worker works on at once. It is low because Anypoint serializes the writes of an
    /// organization.
    pub subjects_at_once: usize,
    /// How long to wait for a subject that another run works on.
    pub patience: Duration,
    /// Where a second look happens, when one is needed.
    pub second_look: SecondLook,
    /// Which pauses keep the worker from beginning a subject.
    pub pauses: Pauses,
}

impl Pace {
    /// For answering within Okta's 3 seconds.
    pub const INLINE: Self = Self {
        recording: Duration::from_millis(300),
        least: Duration::from_millis(400),
        subjects_at_once: 4,
        patience: Duration::from_millis(1500),
        second_look: SecondLook::AtOnce,
        pauses: Pauses::Setting,
    };
    /// For working from a queue.
    pub const QUEUED: Self = Self {
        recording: Duration::from_secs(2),
        least: Duration::from_secs(5),
        subjects_at_once: 4,
        patience: SUBJECT_WAIT,
        second_look: SecondLook::Later,
        pauses: Pauses::Setting,
    };
    /// For an operator who waits for the answer.
    pub const BY_HAND: Self = Self {
        second_look: SecondLook::AtOnce,
        pauses: Pauses::SettingOrCommand,
        ..Self::QUEUED
    };
}
