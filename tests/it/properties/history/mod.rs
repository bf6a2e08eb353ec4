//! The steps of a history, and how they are drawn.
//!
//! A step names people, groups, teams and accounts by number, counted among those that exist when it runs. So any
//! sub-sequence of a history is a history, and shrinking works.

mod draw;
mod fault;
mod lie;

use std::fmt;

use okta_anypoint::provision::{Changes, Policy};

pub use draw::history;
pub use fault::{FaultChoice, FaultStep, FaultsPlayed};
pub use lie::{Lasts, LieChoice, LieStep};

/// Logins of people, before the `@`. The app's template makes them the first username.
pub const PEOPLE: [&str; 5] = ["ann", "bob", "cat", "dan", "hand1"];
/// App usernames: the same name in two cases, invalid ones, two that collide when they are sanitized, one that another
/// customer has, and those of accounts made by hand.
pub const USERNAMES: [&str; 11] = [
    "ann", "ANN", "bob", "cat", "ann.lee", "ann_lee", "al", "taken", "hand1", "hand2", "new1",
];
pub const EMAILS: [&str; 4] = [
    "ann@acme.example",
    "Ann@Acme.example",
    "bob@acme.example",
    "hand1@acme.example",
];
/// Group names: in two cases, with characters that Anypoint refuses, two that collide, an empty one.
pub const GROUPS: [&str; 9] = [
    "Red", "Green", "Blue", "RED", "R&D", "R-D", "Any One", "Any/Two", " ",
];
/// Names that never collide.
pub const TAME_GROUPS: [&str; 4] = ["Red", "Green", "Blue", "Any One"];
pub const TEAMS: [&str; 6] = ["Red", "green", "R-D", "Blue", "Private", "Child"];
pub const PHONES: [&str; 3] = ["555-0100", " 555-0101 ", ""];
pub const FIRST_NAMES: [&str; 4] = ["Ann", " Anna ", "Änne", "Bo"];

/// A whole history with the settings it runs under.
#[derive(Clone)]
pub struct History {
    pub policy: Policy,
    /// How many reads of members lag behind a write.
    pub lag: u32,
    pub steps: Vec<Step>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Always one line for each step.
        write!(f, "lag {}, {:?}", self.lag, self.policy)?;
        self.steps
            .iter()
            .try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Join {
    Plain,
    Maintainer,
    External,
}

#[derive(Debug, Clone)]
pub enum Step {
    // In Okta.
    CreateUser {
        person: usize,
        email: usize,
    },
    Assign {
        user: usize,
        username: Option<usize>,
    },
    Unassign {
        user: usize,
    },
    Username {
        user: usize,
        name: usize,
    },
    SwapUsernames {
        one: usize,
        two: usize,
    },
    FirstName {
        user: usize,
        name: usize,
    },
    Phone {
        user: usize,
        phone: usize,
    },
    Email {
        user: usize,
        email: usize,
    },
    Suspend {
        user: usize,
    },
    Unsuspend {
        user: usize,
    },
    Deactivate {
        user: usize,
    },
    Activate {
        user: usize,
    },
    DeleteUser {
        user: usize,
    },
    CreateGroup {
        name: usize,
    },
    RenameGroup {
        group: usize,
        name: usize,
    },
    /// Two or more groups rotate their names.
    PassNames {
        groups: Vec<usize>,
    },
    DeleteGroup {
        group: usize,
    },
    AssignGroup {
        group: usize,
    },
    UnassignGroup {
        group: usize,
    },
    AddMember {
        group: usize,
        user: usize,
    },
    RemoveMember {
        group: usize,
        user: usize,
    },
    // By hand in Anypoint.
    HandUser {
        name: usize,
        email: usize,
        enabled: bool,
    },
    SsoUser {
        name: usize,
    },
    HandTeam {
        name: usize,
        parent: Option<usize>,
    },
    HandJoin {
        account: usize,
        team: usize,
        how: Join,
    },
    HandLeave {
        account: usize,
        team: usize,
    },
    HandEnable {
        account: usize,
        enabled: bool,
    },
    HandName {
        account: usize,
    },
    HandRenameTeam {
        team: usize,
        name: usize,
    },
    HandDeleteTeam {
        team: usize,
    },
    HandDeleteAccount {
        account: usize,
    },
    ForeignName {
        name: usize,
    },
    RevokeTokens,
    // What happens to the events.
    /// A share of the waiting events, in random order.
    Deliver {
        percent: u8,
        twice: bool,
        both: bool,
        wait: bool,
        crash_after_ms: Option<u8>,
        dice: u64,
    },
    /// Okta drops a share of the waiting events.
    Lose {
        percent: u8,
        dice: u64,
    },
    // Faults.
    Fault(FaultStep),
    Lie(LieStep),
    // By the operator.
    /// An operator approves all held changes, or the oldest one.
    Approve(Approved),
    /// Changes are applied, only planned, or paused.
    Changes(Changes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approved {
    One,
    All,
}

/// Which steps a history has.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    pub by_hand: bool,
    pub usernames: bool,
    pub lost: bool,
    pub faults: FaultsPlayed,
    pub wild_names: bool,
    /// Whether Okta changes during deliveries. Of two overlapping deliveries of one user, the earlier one can then write
    /// what the later one already knows to be outdated. The next event or reconcile fixes it. (A FIFO queue has one
    /// delivery of a subject at a time.)
    pub racing: bool,
    /// Whether the history runs through the deployed binaries, SQS and DynamoDB.
    pub binaries: bool,
}
