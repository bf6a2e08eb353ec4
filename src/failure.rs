//! What can go wrong, in the one shape that everything above the adapters reasons about.
//!
//! A [`Failure`] says on which side it happened, whether a retry may heal it, why it happened, and what
//! to do about it. Its text never holds names, addresses, secrets or bodies: it goes into logs and
//! into the table as it is.

use std::fmt;
use std::time::Duration;

words! {
    /// Whether a retry may help (`error_class` in the table).
    pub enum Class {
        /// A retry may heal it: throttling, time-outs, 5xx, lost connections.
        Retryable = "retryable",
        /// Somebody has to change something first.
        Permanent = "permanent",
    }
}

words! {
    /// Where it went wrong.
    pub enum Side {
        /// Okta refused or did not answer.
        Okta = "okta",
        /// Anypoint refused or did not answer.
        Anypoint = "anypoint",
        /// The table (DynamoDB or the embedded database).
        Table = "table",
        /// The queue.
        Queue = "queue",
        /// A setting, or a rule that a setting turns on.
        Settings = "settings",
        /// This program.
        Program = "program",
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Okta => "Okta",
            Self::Anypoint => "Anypoint",
            Self::Table => "the table",
            Self::Queue => "the queue",
            Self::Settings => "the settings",
            Self::Program => "this program",
        })
    }
}

words! {
    /// Why it went wrong, as one word that stays the same when the text changes (`error_code` in the
    /// table). Records, metrics and commands group failures by it.
    pub enum Cause {
        /// Somebody else has the username.
        UsernameTaken = "username_taken",
        /// Anypoint does not accept the app username, or Okta's answer lacks it.
        UsernameInvalid = "username_invalid",
        /// An account of that name exists, and `ADOPT` does not let this user have it.
        AdoptionRefused = "adoption_refused",
        /// The account, or the team, is linked to another Okta object.
        LinkedElsewhere = "linked_elsewhere",
        /// The Okta profile lacks something that Anypoint asks for.
        ProfileIncomplete = "profile_incomplete",
        /// Another team, or another group, has the team's name.
        TeamNameTaken = "team_name_taken",
        /// The group has a name that no team can have.
        TeamNameInvalid = "team_name_invalid",
        /// The team has teams below it.
        TeamHasChildren = "team_has_children",
        /// The service does not accept a value that was sent.
        ValueRefused = "value_refused",
        /// The service refused the credentials: 401, or no token.
        RefusedCredentials = "refused_credentials",
        /// The service refused the rights for the call: 403.
        RefusedRights = "refused_rights",
        /// A 404 that the service itself did not give, such as a gateway's.
        NotTheServices404 = "not_the_services_404",
        /// The service says that a required object does not exist.
        NotFound = "not_found",
        /// The service refused the call for another reason.
        Rejected = "rejected",
        /// Answers of one look that cannot all be true.
        Contradiction = "contradiction",
        /// The service asked to be called less often.
        Throttled = "throttled",
        /// No answer in time.
        Timeout = "timeout",
        /// No time was left to begin.
        OutOfTime = "out_of_time",
        /// The connection could not be made, or was lost.
        Unreachable = "unreachable",
        /// The service answers 5xx.
        Unavailable = "unavailable",
        /// The server did not prove who it is.
        Certificate = "certificate",
        /// An answer that is not what the API describes.
        Unreadable = "unreadable",
        /// Another run works on the subject or has the claim.
        Busy = "busy",
        /// The run lost its lease, or could not renew it.
        LostLease = "lost_lease",
        /// Something changed between the look and the write.
        Overtaken = "overtaken",
        /// A limit, such as `MAX_DEACTIVATIONS`, stopped the work.
        LimitReached = "limit_reached",
        /// A setting is missing, or does not fit.
        BadSettings = "bad_settings",
        /// A record, a message or a file cannot be read or used as it is.
        BadRecord = "bad_record",
        /// The runs that worked on it died, one after the other.
        RunsDied = "runs_died",
        /// A defect of this program.
        Defect = "defect",
    }
}

impl Cause {
    /// Whether a service refused our credentials or our rights. The caller then asks the side's probe whether it
    /// refuses everybody.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::RefusedCredentials | Self::RefusedRights)
    }

    /// Whether the next call would end in the same way, whatever it is about: the side wants to be left alone or cannot
    /// be reached, or the run has no time or no lease.
    fn is_about_the_run(self) -> bool {
        matches!(
            self,
            Self::Throttled
                | Self::Timeout
                | Self::OutOfTime
                | Self::Unreachable
                | Self::Certificate
                | Self::Busy
                | Self::LostLease
        )
    }

    /// Whether a group's name cannot be its team's.
    pub(crate) fn is_about_team_name(self) -> bool {
        matches!(self, Self::TeamNameTaken | Self::TeamNameInvalid)
    }

    /// The cause of a failure that was made without one.
    fn assumed(side: Side, class: Class) -> Self {
        match (class, side) {
            (Class::Retryable, _) => Self::Unavailable,
            (Class::Permanent, Side::Okta | Side::Anypoint) => Self::Rejected,
            (Class::Permanent, Side::Table | Side::Queue) => Self::BadRecord,
            (Class::Permanent, Side::Settings) => Self::BadSettings,
            (Class::Permanent, Side::Program) => Self::Defect,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One failure: where, what, of which class, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it went wrong.
    pub side: Side,
    /// Whether a retry may heal it.
    pub class: Class,
    /// Why it failed.
    pub cause: Cause,
    /// What failed, without personal data.
    pub message: String,
    /// What an operator can do about it, when there is something.
    pub advice: Option<String>,
    /// How long the remote asked us to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that a retry may heal.
    pub fn retryable(side: Side, message: impl Into<String>) -> Self {
        Self {
            side,
            class: Class::Retryable,
            cause: Cause::assumed(side, Class::Retryable),
            message: message.into(),
            advice: None,
            retry_after: None,
        }
    }

    /// A failure that stays until somebody follows `advice`.
    pub fn permanent(side: Side, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            side,
            class: Class::Permanent,
            cause: Cause::assumed(side, Class::Permanent),
            message: message.into(),
            advice: Some(advice.into()),
            retry_after: None,
        }
    }

    /// The same failure, with its cause named.
    #[must_use]
    pub fn because(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// The same failure, with something that an operator can do about it.
    #[must_use]
    pub(crate) fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same failure for the record of an event: the advice of a permanent one ends with the replay. A plan has no
    /// event to replay and does without.
    #[must_use]
    pub fn of_event(mut self) -> Self {
        if let (Class::Permanent, Some(advice)) = (self.class, &mut self.advice) {
            let end = if advice.ends_with('.') { "" } else { "." };
            *advice = format!("{advice}{end} Then replay the event.");
        }
        self
    }

    /// The same failure, not to be retried before `wait` is over.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Whether a retry may heal it.
    pub fn is_retryable(&self) -> bool {
        self.class == Class::Retryable
    }

    /// The failure of work of which two parts failed: the one that a retry may heal, so that the work is repeated.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        if other.is_retryable() && !self.is_retryable() {
            other
        } else {
            self
        }
    }

    /// The same of parts that may have failed.
    pub(crate) fn of_parts(parts: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        parts.into_iter().flatten().reduce(Self::and)
    }

    /// Whether the failure may be the one object's alone that a call was about, so that the rest can go on.
    pub(crate) fn may_be_of_one_object(&self) -> bool {
        matches!(self.side, Side::Okta | Side::Anypoint) && !self.cause.is_about_the_run()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.side, self.message)?;
        if let Some(advice) = &self.advice {
            let end = if self.message.ends_with('.') { "" } else { "." };
            write!(f, "{end} What to do: {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_advice_of_a_permanent_failure_ends_with_a_replay() {
        let advice = |failure: Failure| failure.advice;
        let failure = Failure::permanent(Side::Okta, "wrong", "Fix it.");
        assert_eq!(advice(failure.clone()).unwrap(), "Fix it.");
        let replay = "Fix it. Then replay the event.";
        assert_eq!(advice(failure.of_event()).unwrap(), replay);
        let failure = Failure::permanent(Side::Okta, "wrong", "Fix it").of_event();
        assert_eq!(advice(failure).unwrap(), replay);
        let again = Failure::retryable(Side::Okta, "down").advising("Wait.");
        assert_eq!(advice(again.of_event()).unwrap(), "Wait.");
    }

    #[test]
    fn a_named_cause_replaces_the_assumed_one() {
        let failure = Failure::permanent(Side::Settings, "wrong", "fix it");
        assert_eq!(failure.cause, Cause::BadSettings);
        let failure = failure.because(Cause::LimitReached);
        assert_eq!(failure.cause, Cause::LimitReached);
        assert_eq!(failure.class, Class::Permanent);
    }
}
