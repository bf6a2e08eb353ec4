//! How histories are drawn.

use okta_anypoint::ids::OktaGroupId;
use okta_anypoint::provision::{
    Adopt, Changes, GroupSelection, Policy, RemovalLimit, ResetEmail, SuspendedUsers,
    TeamNamePolicy, TeamRemoval, UsernamePolicy,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::{
    Approved, EMAILS, FIRST_NAMES, FaultChoice, FaultStep, FaultsPlayed, GROUPS, History, Join,
    Kinds, Lasts, LieChoice, LieStep, PEOPLE, PHONES, Step, TAME_GROUPS, TEAMS, USERNAMES,
};

fn policy() -> impl Strategy<Value = Policy> {
    let chosen = ["00g0", "00g2"].map(|id| OktaGroupId::parse(id).unwrap());
    let groups = prop_oneof![
        4 => Just(GroupSelection::Assigned),
        1 => Just(GroupSelection::None),
        2 => Just(GroupSelection::All),
        1 => Just(GroupSelection::Ids(chosen.to_vec())),
        2 => Just(GroupSelection::Named("*R*e*".to_owned())),
    ];
    let usernames = prop_oneof![Just(UsernamePolicy::Strict), Just(UsernamePolicy::Sanitize)];
    let adopt = prop_oneof![
        2 => Just(Adopt::UsernameAndEmail),
        1 => Just(Adopt::Username),
        1 => Just(Adopt::Never)
    ];
    let suspended = prop_oneof![
        2 => Just(SuspendedUsers::Deactivate),
        1 => Just(SuspendedUsers::Keep)
    ];
    let team_names = prop_oneof![
        2 => Just(TeamNamePolicy::Sanitize),
        1 => Just(TeamNamePolicy::Strict)
    ];
    let removal = prop_oneof![
        2 => Just(TeamRemoval::Empty),
        1 => Just(TeamRemoval::Keep),
        1 => Just(TeamRemoval::Delete)
    ];
    let reset = prop_oneof![3 => Just(ResetEmail::Send), 1 => Just(ResetEmail::Skip)];
    // A share means at least ten people, which is more than a history has.
    let removals = prop_oneof![
        4 => Just(RemovalLimit::default()),
        1 => Just(RemovalLimit::Off),
        1 => Just(RemovalLimit::Count(0)),
        2 => Just(RemovalLimit::Count(1)),
    ];
    let names = (groups, usernames, team_names);
    let rest = (adopt, suspended, removal, reset, removals);
    (names, rest).prop_map(
        |(
            (groups, usernames, team_names),
            (adopt, suspended, team_removal, reset_email, removals),
        )| Policy {
            groups,
            usernames,
            adopt,
            suspended,
            team_names,
            team_removal,
            reset_email,
            removals,
            ..Policy::default()
        },
    )
}

/// A number that selects an object when the step runs.
fn any_one() -> std::ops::Range<usize> {
    0..6
}

/// One of several strategies, without those of weight 0.
fn one_of(choices: Vec<(u32, BoxedStrategy<Step>)>) -> BoxedStrategy<Step> {
    let choices = choices.into_iter().filter(|(weight, _)| *weight > 0);
    Union::new_weighted(choices.collect()).boxed()
}

fn okta_user_step(kinds: Kinds) -> BoxedStrategy<Step> {
    let named = if kinds.usernames { 6 } else { 0 };
    let username = if kinds.usernames {
        option::of(0..USERNAMES.len()).boxed()
    } else {
        Just(None).boxed()
    };
    let of_a_user = |weight, step: fn(usize) -> Step| (weight, any_one().prop_map(step).boxed());
    one_of(vec![
        (
            5,
            (0..PEOPLE.len(), 0..EMAILS.len())
                .prop_map(|(person, email)| Step::CreateUser { person, email })
                .boxed(),
        ),
        (
            5,
            (any_one(), username)
                .prop_map(|(user, username)| Step::Assign { user, username })
                .boxed(),
        ),
        (
            named,
            (any_one(), 0..USERNAMES.len())
                .prop_map(|(user, name)| Step::Username { user, name })
                .boxed(),
        ),
        (
            named / 3,
            (any_one(), any_one())
                .prop_map(|(one, two)| Step::SwapUsernames { one, two })
                .boxed(),
        ),
        (
            2,
            (any_one(), 0..FIRST_NAMES.len())
                .prop_map(|(user, name)| Step::FirstName { user, name })
                .boxed(),
        ),
        (
            1,
            (any_one(), 0..PHONES.len())
                .prop_map(|(user, phone)| Step::Phone { user, phone })
                .boxed(),
        ),
        (
            1,
            (any_one(), 0..EMAILS.len())
                .prop_map(|(user, email)| Step::Email { user, email })
                .boxed(),
        ),
        of_a_user(2, |user| Step::Unassign { user }),
        of_a_user(2, |user| Step::Suspend { user }),
        of_a_user(1, |user| Step::Unsuspend { user }),
        of_a_user(2, |user| Step::Deactivate { user }),
        of_a_user(1, |user| Step::Activate { user }),
        of_a_user(2, |user| Step::DeleteUser { user }),
    ])
}

fn okta_group_step(kinds: Kinds) -> BoxedStrategy<Step> {
    let names = if kinds.wild_names {
        GROUPS.len()
    } else {
        TAME_GROUPS.len()
    };
    prop_oneof![
        4 => (0..names).prop_map(|name| Step::CreateGroup { name }),
        3 => (any_one(), 0..names).prop_map(|(group, name)| Step::RenameGroup { group, name }),
        2 => vec(any_one(), 2..4).prop_map(|groups| Step::PassNames { groups }),
        1 => any_one().prop_map(|group| Step::DeleteGroup { group }),
        5 => any_one().prop_map(|group| Step::AssignGroup { group }),
        2 => any_one().prop_map(|group| Step::UnassignGroup { group }),
        7 => (any_one(), any_one()).prop_map(|(group, user)| Step::AddMember { group, user }),
        3 => (any_one(), any_one()).prop_map(|(group, user)| Step::RemoveMember { group, user }),
    ]
    .boxed()
}

fn hand_step() -> BoxedStrategy<Step> {
    let how = prop_oneof![
        3 => Just(Join::Plain),
        2 => Just(Join::Maintainer),
        1 => Just(Join::External)
    ];
    prop_oneof![
        4 => (0..USERNAMES.len(), 0..EMAILS.len(), any::<bool>())
            .prop_map(|(name, email, enabled)| Step::HandUser { name, email, enabled }),
        1 => (0..USERNAMES.len()).prop_map(|name| Step::SsoUser { name }),
        4 => (0..TEAMS.len(), option::weighted(0.4, any_one()))
            .prop_map(|(name, parent)| Step::HandTeam { name, parent }),
        8 => (any_one(), any_one(), how)
            .prop_map(|(account, team, how)| Step::HandJoin { account, team, how }),
        3 => (any_one(), any_one()).prop_map(|(account, team)| Step::HandLeave { account, team }),
        2 => (any_one(), any::<bool>())
            .prop_map(|(account, enabled)| Step::HandEnable { account, enabled }),
        1 => any_one().prop_map(|account| Step::HandName { account }),
        2 => (any_one(), 0..TEAMS.len())
            .prop_map(|(team, name)| Step::HandRenameTeam { team, name }),
        1 => any_one().prop_map(|team| Step::HandDeleteTeam { team }),
        1 => any_one().prop_map(|account| Step::HandDeleteAccount { account }),
        1 => (0..USERNAMES.len()).prop_map(|name| Step::ForeignName { name }),
        1 => Just(Step::RevokeTokens),
    ]
    .boxed()
}

fn delivery_step(kinds: Kinds) -> BoxedStrategy<Step> {
    let crash = if kinds.faults != FaultsPlayed::None {
        option::weighted(0.2, 1..120_u8).boxed()
    } else {
        Just(None).boxed()
    };
    let deliver = (
        20..=100_u8,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        crash,
        any::<u64>(),
    )
        .prop_map(
            |(percent, twice, both, wait, crash_after_ms, dice)| Step::Deliver {
                percent,
                twice,
                both,
                wait,
                crash_after_ms,
                dice,
            },
        );
    let lose = (10..=60_u8, any::<u64>()).prop_map(|(percent, dice)| Step::Lose { percent, dice });
    one_of(vec![
        (6, deliver.boxed()),
        (u32::from(kinds.lost), lose.boxed()),
    ])
}

fn fault_step(faults: FaultsPlayed) -> BoxedStrategy<Step> {
    let mut kinds = FaultChoice::ALL.to_vec();
    kinds.retain(|kind| faults == FaultsPlayed::All || !matches!(kind, FaultChoice::Stale));
    let kind = prop::sample::select(kinds);
    (
        any::<bool>(),
        0..6_usize,
        kind,
        1..7_u32,
        0..4_u32,
        any::<bool>(),
    )
        .prop_map(|(at_okta, path, kind, times, skip, after_effect)| {
            Step::Fault(FaultStep {
                at_okta,
                path,
                kind,
                times,
                skip,
                after_effect,
            })
        })
        .boxed()
}

fn lie_step(faults: FaultsPlayed) -> BoxedStrategy<Step> {
    let mut kinds = LieChoice::ALL.to_vec();
    // Nothing contradicts the short lies, so they test the evidence rules best.
    for _ in 0..2 {
        kinds.extend(
            LieChoice::ALL
                .into_iter()
                .filter(|kind| kind.lasts() == Lasts::Short),
        );
    }
    kinds.retain(|kind| faults == FaultsPlayed::All || kind.is_honest());
    (
        prop::sample::select(kinds),
        any_one(),
        any_one(),
        0..6_usize,
    )
        .prop_map(|(kind, user, group, at)| {
            Step::Lie(LieStep {
                kind,
                user,
                group,
                at,
            })
        })
        .boxed()
}

fn operator_step(kinds: Kinds) -> BoxedStrategy<Step> {
    // Without a later look, a dry run's plan would never be applied.
    let report = u32::from(kinds.lost);
    one_of(vec![
        (1, Just(Step::Approve(Approved::All)).boxed()),
        (2, Just(Step::Approve(Approved::One)).boxed()),
        (report, Just(Step::Changes(Changes::Report)).boxed()),
        (1, Just(Step::Changes(Changes::Pause)).boxed()),
        (3, Just(Step::Changes(Changes::Apply)).boxed()),
    ])
}

pub fn history(kinds: Kinds, length: usize) -> impl Strategy<Value = History> {
    let mut steps = vec![
        (12, okta_user_step(kinds)),
        (10, okta_group_step(kinds)),
        (9, delivery_step(kinds)),
        (2, operator_step(kinds)),
    ];
    if kinds.by_hand {
        steps.push((8, hand_step()));
    }
    if kinds.faults != FaultsPlayed::None {
        steps.push((8, fault_step(kinds.faults)));
        steps.push((5, lie_step(kinds.faults)));
    }
    let step = one_of(steps);
    (
        policy(),
        0..3_u32,
        beginning(kinds),
        vec(step, length / 2..length),
    )
        .prop_map(|(policy, lag, mut steps, more)| {
            steps.extend(more);
            History { policy, lag, steps }
        })
}

/// Some initial people and groups, so that the later steps find somebody.
fn beginning(kinds: Kinds) -> impl Strategy<Value = Vec<Step>> {
    let names = if kinds.wild_names {
        GROUPS.len()
    } else {
        TAME_GROUPS.len()
    };
    let people = vec(0..EMAILS.len(), 2..4);
    let groups = vec(0..names, 2..4);
    (people, groups).prop_map(|(people, groups)| {
        let mut steps = Vec::new();
        for (person, email) in people.into_iter().enumerate() {
            steps.push(Step::CreateUser { person, email });
            steps.push(Step::Assign {
                user: person,
                username: None,
            });
        }
        for (group, name) in groups.into_iter().enumerate() {
            steps.push(Step::CreateGroup { name });
            steps.push(Step::AssignGroup { group });
            steps.push(Step::AddMember { group, user: group });
        }
        steps
    })
}
