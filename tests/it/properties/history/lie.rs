//! The kinds of lies: wrong but well-formed answers, and temporary refusals.

/// A lie about one user or group, and an event that makes the program look there.
#[derive(Debug, Clone)]
pub struct LieStep {
    pub kind: LieChoice,
    pub user: usize,
    pub group: usize,
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LieChoice {
    UserGone,
    AppUserGone,
    AllOfUserGone,
    GroupsOfUserGone,
    GroupsOfUserEmpty,
    GroupsOfUserLackOne,
    GroupsOfUserLackBuiltIn,
    GroupGone,
    AppGroupGone,
    MembersGone,
    MembersEmpty,
    MembersLackOne,
    MembersLate,
    AppGroupsEmpty,
    ForeignAbsence,
    RefusedCredentials,
    RefusedSession,
    RefusedRight,
    TeamMembersEmpty,
    TeamsOfAccountEmpty,
    AppUsersLackOne,
    TeamsLackOne,
    RefusedSignIn,
}

/// How long a lie may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// Shorter than the wait for a second look. Nothing else contradicts it.
    Short,
    /// Longer. Another answer contradicts it, or it is not about anybody.
    Long,
}

impl LieChoice {
    pub const ALL: [Self; 23] = [
        Self::UserGone,
        Self::AppUserGone,
        Self::AllOfUserGone,
        Self::GroupsOfUserGone,
        Self::GroupsOfUserEmpty,
        Self::GroupsOfUserLackOne,
        Self::GroupsOfUserLackBuiltIn,
        Self::GroupGone,
        Self::AppGroupGone,
        Self::MembersGone,
        Self::MembersEmpty,
        Self::MembersLackOne,
        Self::MembersLate,
        Self::AppGroupsEmpty,
        Self::ForeignAbsence,
        Self::RefusedCredentials,
        Self::RefusedSession,
        Self::RefusedRight,
        Self::TeamMembersEmpty,
        Self::TeamsOfAccountEmpty,
        Self::AppUsersLackOne,
        Self::TeamsLackOne,
        Self::RefusedSignIn,
    ];

    /// Its name in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserGone => "user denied",
            Self::AppUserGone => "assignment denied",
            Self::AllOfUserGone => "everything of a user denied",
            Self::GroupsOfUserGone => "groups of a user denied",
            Self::GroupsOfUserEmpty => "groups of a user empty",
            Self::GroupsOfUserLackOne => "groups of a user without one",
            Self::GroupsOfUserLackBuiltIn => "groups of a user without the built-in one",
            Self::GroupGone => "group denied",
            Self::AppGroupGone => "assignment of a group denied",
            Self::MembersGone => "members of a group denied",
            Self::MembersEmpty => "members of a group empty",
            Self::MembersLackOne => "members of a group without one",
            Self::MembersLate => "members of a group late",
            Self::AppGroupsEmpty => "groups of the app empty",
            Self::ForeignAbsence => "404 that is not the service's",
            Self::RefusedCredentials => "credentials refused",
            Self::RefusedSession => "session over",
            Self::RefusedRight => "right refused",
            Self::TeamMembersEmpty => "members of a team empty",
            Self::TeamsOfAccountEmpty => "teams of an account empty",
            Self::AppUsersLackOne => "users of the app without one",
            Self::TeamsLackOne => "teams without one",
            Self::RefusedSignIn => "sign-in refused",
        }
    }

    /// Whether it misleads no caller: it is no answer, or obviously not the service's own.
    pub fn is_honest(self) -> bool {
        self == Self::ForeignAbsence || self.is_refusal()
    }

    /// Whether it refuses the caller.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::RefusedCredentials
                | Self::RefusedSession
                | Self::RefusedRight
                | Self::RefusedSignIn
        )
    }

    pub fn lasts(self) -> Lasts {
        match self {
            Self::UserGone
            | Self::AppUserGone
            | Self::AllOfUserGone
            | Self::GroupsOfUserLackOne
            | Self::AppGroupGone
            | Self::TeamMembersEmpty
            | Self::TeamsOfAccountEmpty
            | Self::AppUsersLackOne
            | Self::TeamsLackOne => Lasts::Short,
            Self::GroupsOfUserGone
            | Self::GroupsOfUserEmpty
            | Self::GroupsOfUserLackBuiltIn
            | Self::GroupGone
            | Self::MembersGone
            | Self::MembersEmpty
            | Self::MembersLackOne
            | Self::MembersLate
            | Self::AppGroupsEmpty
            | Self::ForeignAbsence
            | Self::RefusedCredentials
            | Self::RefusedSession
            | Self::RefusedRight
            | Self::RefusedSignIn => Lasts::Long,
        }
    }
}
