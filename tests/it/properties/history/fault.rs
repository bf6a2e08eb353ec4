//! Which faults can strike.

/// A fault at one of the remotes.
#[derive(Debug, Clone)]
pub struct FaultStep {
    pub at_okta: bool,
    pub path: usize,
    pub kind: FaultChoice,
    pub times: u32,
    pub skip: u32,
    pub after_effect: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum FaultChoice {
    Status500,
    Status503,
    Status503RetryAfter,
    Status429,
    Status429Reset,
    Html502,
    Drop,
    Truncated,
    WrongJson,
    Delay,
    SlowBody,
    Stale,
    ShortPage,
    LostItem,
    TokenRevoked,
}

impl FaultChoice {
    pub const ALL: [Self; 15] = [
        Self::Status500,
        Self::Status503,
        Self::Status503RetryAfter,
        Self::Status429,
        Self::Status429Reset,
        Self::Html502,
        Self::Drop,
        Self::Truncated,
        Self::WrongJson,
        Self::Delay,
        Self::SlowBody,
        Self::Stale,
        Self::ShortPage,
        Self::LostItem,
        Self::TokenRevoked,
    ];

    /// Its name in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status500 => "500",
            Self::Status503 => "503",
            Self::Status503RetryAfter => "503 with Retry-After",
            Self::Status429 => "429",
            Self::Status429Reset => "429 with the time of its end",
            Self::Html502 => "502 with HTML",
            Self::Drop => "connection dropped",
            Self::Truncated => "body cut short",
            Self::WrongJson => "wrong JSON",
            Self::Delay => "late answer",
            Self::SlowBody => "slow body",
            Self::Stale => "stale read",
            Self::ShortPage => "page of one item",
            Self::LostItem => "list without its last item",
            Self::TokenRevoked => "token revoked",
        }
    }

    /// Whether it matters if it occurs before or after the effect of a write.
    pub fn has_two_moments(self) -> bool {
        matches!(
            self,
            Self::Status500
                | Self::Status503
                | Self::Status503RetryAfter
                | Self::Html502
                | Self::Drop
                | Self::Truncated
        )
    }
}

/// The faults that a history plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultsPlayed {
    None,
    /// All but those that show old data as current.
    Honest,
    All,
}
