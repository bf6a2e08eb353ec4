//! `link-group` and `unlink-group`: a group and a team with another name.

use anyhow::{Result, bail};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::ids::{OktaGroupId, Subject};
use okta_anypoint::insight::Planned;
use okta_anypoint::ledger::Lease;
use okta_anypoint::provision::{Announced, Pairing, Provisioner};
use okta_anypoint::store::{Linked, Origin, TeamLink};
use serde_json::json;

use crate::console::{Console, Exit};
use crate::operator::{LINKED, Operator, UNLINKED, link_entry};
use crate::table::{Access, LOOK_TIME};
use crate::{explain, names, table};

/// Pair an Okta group with an Anypoint team that has another name.
///
/// Writes the link only. The next event, or `push`, gives the team the group's name and members. The command shows what
/// that would do. The team has to be directly below the root team, and neither may have another link.
/// The group has to be selected by PUSH_GROUPS, because the next reconcile would empty the team of any other. A group
/// that is selected gets a team of its own at once, so: pause, select the group, link it, resume.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"okta_group\", \"team_id\", \"team_name\", \"next_name\", \"actions\": [{\"action\", \
\"what\", \"reason\"}], \"doubts\": [{\"finding\", \"first_seen\", \"believed_after\"}], \"failure\"}.

Examples:
  okta-anypoint link-group 'Anypoint Developers' developers
  okta-anypoint link-group 00g1ab2cd3EF4gh5ij6 2f1d9a3e-0000-4000-8000-000000000002")]
pub struct LinkArgs {
    /// The Okta group: id or name.
    #[arg(value_name = "GROUP")]
    group: String,
    /// The Anypoint team: id or name.
    #[arg(value_name = "TEAM")]
    team: String,
    #[command(flatten)]
    table: table::Args,
}

/// Unlink an Okta group from its Anypoint team. Neither is changed.
///
/// While the group is selected, its next event takes over a team of the group's name, or creates one. Works for a
/// group that EXCLUDE_GROUPS names, too: it writes at neither side, and another group can have the team then.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"okta_group\", \"unlinked\": the link that was there, or null}.

Examples:
  okta-anypoint unlink-group 'Anypoint Developers'")]
pub struct UnlinkArgs {
    /// The Okta group: id or name.
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    table: table::Args,
}

pub async fn link(args: &LinkArgs, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Write).await?;
    let deadline = Deadline::within(LOOK_TIME);
    names::check(&args.team)?;
    let group = names::group(&operator, &args.group).await?;
    let provisioner = Provisioner::new(operator.ports.clone());
    let link = async |lease: &Lease| {
        let look = provisioner.look(deadline);
        let pairing = look.pairing(&group, &args.team).await?;
        say_renaming(console, &pairing)?;
        write_link(&operator, lease, &group, &pairing).await?;
        let entry = pairing
            .link
            .is_none()
            .then(|| link_entry(lease, "link_team", &pairing.team.id, LINKED));
        Ok((pairing, entry))
    };
    let subject = Subject::Group(group.clone());
    let Pairing { team, name, .. } = operator.under_lease(&subject, link).await?;
    console.say(format!(
        "Okta group {group} and Anypoint team {} (\"{}\") are linked.",
        team.id, team.name
    ))?;
    let preview = provisioner
        .preview_group(&group, Announced::default(), deadline)
        .await?;
    let doubts = preview.doubts;
    let forecast = preview.forecast;
    explain::say_next(console, group.as_str(), &forecast, &doubts)?;
    console.emit(&json!({
        "okta_group": group,
        "team_id": team.id,
        "team_name": team.name,
        "next_name": name,
        "actions": Planned::from_steps(&forecast.steps),
        "doubts": doubts.iter().map(explain::doubt_json).collect::<Vec<_>>(),
        "failure": forecast.failure.as_ref().map(explain::failure_json),
    }))?;
    Ok(Exit::Done)
}

fn say_renaming(console: &Console, pairing: &Pairing) -> Result<()> {
    let Pairing { team, name, .. } = pairing;
    if team.name == *name {
        return Ok(());
    }
    console.say(format!(
        "The next look renames team {} from \"{}\" to \"{name}\".",
        team.id, team.name
    ))
}

async fn write_link(
    operator: &Operator,
    lease: &Lease,
    group: &OktaGroupId,
    pairing: &Pairing,
) -> Result<()> {
    let link = pairing.link.clone().unwrap_or_else(|| TeamLink {
        team_id: pairing.team.id.clone(),
        team_name: pairing.team.name.clone(),
        origin: Origin::Adopted,
    });
    let store = &operator.ports.store;
    let linked = store.link_team(lease, group, &link, pairing.link.as_ref());
    if let Linked::TakenBy(other) = linked.await? {
        bail!(
            "Anypoint team {} is linked to Okta group {other}; unlink them first: okta-anypoint \
             unlink-group {other}",
            link.team_id
        );
    }
    Ok(())
}

pub async fn unlink(args: &UnlinkArgs, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Write).await?;
    let group = names::group(&operator, &args.group).await?;
    let unlink = async |lease: &Lease| {
        let link = operator.ports.store.team_link(&group).await?;
        operator.ports.store.unlink_team(lease, &group).await?;
        let entry = link
            .as_ref()
            .map(|link| link_entry(lease, "unlink_team", &link.team_id, UNLINKED));
        Ok((link, entry))
    };
    let subject = Subject::Group(group.clone());
    let link = operator.under_lease(&subject, unlink).await?;
    console.say(match &link {
        Some(link) => format!(
            "Okta group {group} and Anypoint team {} are unlinked; neither was changed.",
            link.team_id
        ),
        None => format!("Okta group {group} was not linked."),
    })?;
    console.emit(&json!({"okta_group": group, "unlinked": link}))?;
    Ok(Exit::Done)
}
