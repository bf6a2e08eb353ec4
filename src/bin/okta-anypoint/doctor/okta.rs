//! Okta's side: credentials, rights, the app, its usernames, the hook.

use futures_util::future::join4;
use http::StatusCode;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Failure;
use okta_anypoint::ids::{OktaAppId, OktaGroupId};
use okta_anypoint::okta::{AppUser, Okta, Outlook, RENEWAL, Readable, Scopes, Source};
use okta_anypoint::provision::{AccountField, GroupSelection, Policy};
use okta_anypoint::settings::{EngineSettings, HookSettings};

use super::{Section, State};
use crate::hook;
use crate::table::clock;

/// Assignments that are looked at.
const MAX_SAMPLE: usize = 200;
/// Users that are named in one line.
const MAX_NAMED: usize = 5;

pub async fn check(
    section: &mut Section,
    okta: &Okta,
    engine: &EngineSettings,
    deadline: Deadline,
) {
    // A service app's token is refused as a whole when one scope is missing, so the log has its own.
    let with_log = okta.clone().with_scopes(Scopes::default().with_log());
    let (users, groups, apps, log) = join4(
        okta.probe(Readable::Users, deadline),
        okta.probe(Readable::Groups, deadline),
        okta.probe(Readable::Apps, deadline),
        with_log.probe(Readable::Log, deadline),
    )
    .await;
    // This is not about one right: every check below would say the same.
    if let Err(error) = &users
        && error.status() != Some(StatusCode::FORBIDDEN)
    {
        return section.refused("credentials", error.clone(), "access");
    }
    section.ok("credentials", "Okta accepts them");
    for (what, result, name) in [
        (Readable::Users, users, "reads users"),
        (Readable::Groups, groups, "reads groups"),
        (Readable::Apps, apps, "reads apps"),
        (Readable::Log, log, "reads the System Log"),
    ] {
        let right = format!(
            "the token's admin role, or the service app, {}",
            what.scope()
        );
        match section.answered(name, result, &right) {
            None => {}
            // Every organization has an administrator and the group of everyone. Okta leaves out what a role may not see.
            Some(false) if matches!(what, Readable::Users | Readable::Groups) => {
                let doubt = format!(
                    "Okta answers, and shows none. If it has some, give {right}, and an admin role that sees them"
                );
                section.not_checked(name, doubt);
            }
            Some(_) => section.ok(name, what.scope()),
        }
    }
    life(section, okta, deadline).await;
    app(section, okta, engine, deadline).await;
}

/// When the credential ends. A missing right to know it is not an error.
async fn life(section: &mut Section, okta: &Okta, deadline: Deadline) {
    let (outlook, found) = match okta.credential_life(deadline).await {
        Ok(life) => life.outlook(clock().now_ms()),
        Err(error) => (Outlook::Unknown, Failure::from(error).message),
    };
    match outlook {
        Outlook::Lasts => section.ok("credential's end", found),
        Outlook::Unknown => section.not_checked("credential's end", found),
        Outlook::EndsSoon => section.wrong("credential's end", found, RENEWAL),
    }
}

async fn app(section: &mut Section, okta: &Okta, engine: &EngineSettings, deadline: Deadline) {
    let id = &engine.remotes.app;
    let right = "okta.apps.read";
    match section.answered("the app", okta.app(id, deadline).await, right) {
        Some(Some(app)) => {
            let or = |text: &Option<String>, other: &str| {
                text.clone().unwrap_or_else(|| other.to_owned())
            };
            let found = format!(
                "\"{}\", {}, {}",
                or(&app.label, "without a label"),
                or(&app.sign_on_mode, "sign-on mode unknown"),
                or(&app.status, "status unknown"),
            );
            if app.status.as_deref() == Some("INACTIVE") {
                section.wrong("the app", found, "Activate the app in Okta.");
            } else {
                section.ok("the app", found);
            }
        }
        Some(None) => {
            return section.wrong(
                "the app",
                format!("Okta has no app {id}"),
                "Set OKTA_APP_ID to the id in the app's address in Okta's admin console (`0oa…`).",
            );
        }
        None => return,
    }
    let assigned = okta.some_app_users(id, MAX_SAMPLE, deadline).await;
    if let Some(assigned) = section.answered("app usernames", assigned, right) {
        section.unread("unreadable app users", &assigned);
        let assigned = &assigned.items;
        usernames(section, assigned, &engine.policy);
        attributes(section, okta, assigned, &engine.policy, deadline).await;
    }
    if engine.policy.groups == GroupSelection::Assigned {
        let groups = okta.list_app_groups(id, deadline).await;
        if let Some(groups) = section.answered("pushed groups", groups, right) {
            let count = groups.items.len();
            section.ok(
                "pushed groups",
                format!("{count} assigned to the app (PUSH_GROUPS=assigned)"),
            );
            section.unread("unreadable groups", &groups);
        }
    }
    if let GroupSelection::Ids(ids) = &engine.policy.groups {
        named_groups(section, okta, ids, deadline).await;
    }
}

/// Whether Okta has the groups that `PUSH_GROUPS` names by id.
async fn named_groups(section: &mut Section, okta: &Okta, ids: &[OktaGroupId], deadline: Deadline) {
    let (mut found, mut missing) = (0, Vec::new());
    for id in ids {
        match section.answered(
            "pushed groups",
            okta.group(id, deadline).await,
            "okta.groups.read",
        ) {
            Some(Some(_)) => found += 1,
            Some(None) => missing.push(id.as_str()),
            None => return,
        }
    }
    let said = format!("{found} of {} named by PUSH_GROUPS", ids.len());
    if missing.is_empty() {
        return section.ok("pushed groups", said);
    }
    section.wrong(
        "pushed groups",
        format!("{said}; Okta does not show {}", missing.join(", ")),
        "Take the groups that are gone out of PUSH_GROUPS. If they exist, give the credentials an admin role that sees \
         all groups.",
    );
}

/// Names that the policy would refuse. People are named by id.
fn usernames(section: &mut Section, assigned: &[AppUser], policy: &Policy) {
    let live = assigned.iter().filter(|user| user.is_assigned());
    let mut looked_at = 0_usize;
    let mut refused: Vec<&str> = Vec::new();
    let mut advice = None;
    for user in live {
        looked_at += 1;
        match user.username().map(|name| policy.usernames.apply(name)) {
            Some(Ok(_)) => {}
            Some(Err(failure)) => {
                refused.push(user.id.as_str());
                advice = advice.or(failure.advice);
            }
            None => refused.push(user.id.as_str()),
        }
    }
    if refused.is_empty() {
        section.ok(
            "app usernames",
            format!("{looked_at} looked at, Anypoint accepts all of them"),
        );
        return;
    }
    let named: Vec<&str> = refused.iter().take(MAX_NAMED).copied().collect();
    let more = if refused.len() > named.len() {
        ", …"
    } else {
        ""
    };
    section.wrong(
        "app usernames",
        format!(
            "{} of {looked_at} looked at would be refused: {}{more}",
            refused.len(),
            named.join(", ")
        ),
        advice.unwrap_or_else(|| {
            "Set the application username of the app, or of these users, in Okta.".to_owned()
        }),
    );
}

/// Where `ATTRIBUTES` takes the names and the phone number of one user from. Values are not shown.
async fn attributes(
    section: &mut Section,
    okta: &Okta,
    assigned: &[AppUser],
    policy: &Policy,
    deadline: Deadline,
) {
    const NAME: &str = "attributes";
    let attributes = &policy.attributes;
    if attributes.is_empty() {
        return;
    }
    let is_live = |user: &&AppUser| user.is_assigned();
    let live: Vec<&AppUser> = assigned.iter().filter(is_live).collect();
    let Some(shown) = live.first() else {
        return section.not_checked(NAME, "nobody is assigned to the app");
    };
    for source in attributes.sources() {
        if let Source::App(name) = source
            && live.iter().all(|user| user.text(name).is_none())
        {
            section.wrong(
                NAME,
                format!("none of {} looked at has a text in {source}", live.len()),
                "Compare the name in ATTRIBUTES with the variable names of the app's profile in Okta (Directory, \
                 Profile Editor), and look at the app's mappings.",
            );
        }
    }
    let user = match okta.user(&shown.id, deadline).await {
        Ok(Some(user)) => user,
        Ok(None) => return section.not_checked(NAME, format!("user {} is gone", shown.id)),
        Err(error) => return section.refused(NAME, error, Readable::Users.scope()),
    };
    let taken = AccountField::ALL.map(|target| {
        let Some(taken) = attributes.take(target, &user, Some(shown)) else {
            return format!("no {}", target.as_str());
        };
        let place = taken.place.to_string();
        let instead = match attributes.source(target) {
            Some(source) if source.to_string() != place => format!(" ({source} has no text)"),
            _ => String::new(),
        };
        format!("{} from {place}{instead}", target.as_str())
    });
    section.ok(NAME, format!("user {}: {}", user.id, taken.join(", ")));
}

pub async fn check_hook(
    section: &mut Section,
    okta: &Okta,
    app: &OktaAppId,
    settings: Option<&HookSettings>,
    deadline: Deadline,
) {
    let okta = okta.clone().with_scopes(Scopes::default().with_hooks());
    let hooks = okta.event_hooks(deadline).await;
    let right = "the token's admin role, or the service app, okta.eventHooks.manage";
    let Some(hooks) = section.answered("registered", hooks, right) else {
        return;
    };
    let found: Vec<_> = hooks
        .iter()
        .filter(|found| found.name == hook::NAME)
        .collect();
    let [hook] = found.as_slice() else {
        let fix = if found.is_empty() {
            "Run `okta-anypoint hook register --url URL`."
        } else {
            "Deactivate and delete all but one in Okta: every event comes more than once."
        };
        let text = format!("{} hooks named \"{}\"", found.len(), hook::NAME);
        return section.wrong("registered", text, fix);
    };
    section.ok("registered", format!("{} for {}", hook.id, hook.url()));
    let judged = hook::judge(hook, app);
    if judged.problems.is_empty() {
        section.ok(
            "delivers",
            "active, verified, exactly the needed event types",
        );
        let filter = hook::filter_text(&judged.filtering);
        section.add(State::Ok, "filter", filter, judged.advice);
    }
    for problem in judged.problems {
        section.wrong(
            "delivers",
            problem,
            "Run `okta-anypoint hook register --url URL`.",
        );
    }
    let wanted = settings.map(|settings| settings.header.as_str());
    if let (Some(wanted), Some(header)) = (wanted, hook.auth_header())
        && !wanted.eq_ignore_ascii_case(header)
    {
        section.wrong(
            "header",
            format!("Okta sends the secret in \"{header}\", HOOK_AUTH_HEADER is \"{wanted}\""),
            "Set HOOK_AUTH_HEADER, or run `okta-anypoint hook register --url URL`.",
        );
    }
}
