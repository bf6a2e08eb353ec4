//! `okta-anypoint`: for operators, and for running without AWS. One file per command.

mod backup;
mod completions;
mod console;
mod csv;
mod demo;
mod dismiss;
mod doctor;
mod env_file;
mod events;
mod explain;
mod held;
mod history;
mod hook;
mod link;
mod link_group;
mod man;
mod names;
mod operator;
mod pause;
mod ready;
mod remote;
mod replay;
mod schedule;
mod serve;
mod simulate;
mod standing;
mod stop;
mod table;
mod time;
mod wrap;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use okta_anypoint::telemetry::start_logging_for_people;

use console::{Console, Exit, misused, report};

/// Provisions people and teams from Okta into MuleSoft Anypoint Platform.
#[derive(Debug, Parser)]
#[command(
    name = "okta-anypoint",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_long_help = "Settings come from the environment, the same variables as on Lambda, and from --env-file.\n\
                       Exit codes: 0 done; 1 a problem was found or the work failed; 2 wrong usage \
                       or settings; 128 and the signal if one ended it.\n\n\
                       Examples:\n  \
                       okta-anypoint demo\n  \
                       okta-anypoint doctor\n  \
                       okta-anypoint events --failed\n  \
                       okta-anypoint explain ada.lovelace@acme.example"
)]
struct Cli {
    /// Print JSON for machines instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    /// Read settings from this file, too: NAME=VALUE lines. Variables that are set already win.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Simulate(simulate::Args),
    Serve(serve::Args),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Doctor(doctor::Args),
    Plan(schedule::PlanArgs),
    Reconcile(schedule::ReconcileArgs),
    CatchUp(schedule::CatchUpArgs),
    Import(schedule::ImportArgs),
    Events(events::Args),
    Replay(replay::ReplayArgs),
    Dismiss(dismiss::Args),
    Held(held::HeldArgs),
    Approve(held::ApproveArgs),
    History(history::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Status(pause::StatusArgs),
    Explain(explain::Args),
    Push(replay::PushArgs),
    Link(link::LinkArgs),
    Unlink(link::UnlinkArgs),
    LinkGroup(link_group::LinkArgs),
    UnlinkGroup(link_group::UnlinkArgs),
    ResetEmail(link::ResetArgs),
    Hook(hook::Args),
    Ready(ready::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    let parsed = without_empty_variables(Cli::command())
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let console = Console::new(cli.json);
    if let Some(file) = &cli.env_file {
        return report(Err(env_file::restart_with(file)), &console);
    }
    match cli.command {
        // It runs for long and logs as the Lambdas do.
        Command::Serve(_) => {}
        // It reports refused requests itself.
        Command::Demo(_) => start_logging_for_people("error"),
        _ => start_logging_for_people("warn"),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(error.into()), &console),
    };
    let outcome = runtime.block_on(run(cli.command, &console));
    let code = report(outcome, &console);
    stop::ended_by_signal().map_or(code, ExitCode::from)
}

/// An empty variable counts as unset, for options as for settings.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| {
            let value = argument.get_env().and_then(env::var_os);
            match value.is_some_and(|value| value.to_string_lossy().trim().is_empty()) {
                true => argument.env(Resettable::Reset),
                false => argument,
            }
        })
        .mut_subcommands(without_empty_variables)
}

async fn run(command: Command, console: &Console) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(demo::Args {}) => demo::run(console).await,
        Command::Simulate(args) => simulate::run(args, console).await,
        Command::Serve(args) => serve::run(args, console).await,
        Command::Backup(args) => backup::backup(&args, console),
        Command::Restore(args) => backup::restore(&args, console),
        Command::Doctor(args) => doctor::run(&args, console).await,
        Command::Plan(args) => schedule::plan(&args, console).await,
        Command::Reconcile(args) => schedule::reconcile(&args, console).await,
        Command::CatchUp(args) => schedule::catch_up(&args, console).await,
        Command::Import(args) => schedule::import(&args, console).await,
        Command::Events(args) => events::run(&args, console).await,
        Command::Replay(args) => replay::replay(&args, console).await,
        Command::Dismiss(args) => dismiss::run(&args, console).await,
        Command::Held(args) => held::held(&args, console).await,
        Command::Approve(args) => held::approve(&args, console).await,
        Command::History(args) => history::run(&args, console).await,
        Command::Pause(args) => pause::pause(&args, console).await,
        Command::Resume(args) => pause::resume(&args, console).await,
        Command::Status(args) => pause::status(&args, console).await,
        Command::Explain(args) => explain::run(&args, console).await,
        Command::Push(args) => replay::push(&args, console).await,
        Command::Link(args) => link::link(&args, console).await,
        Command::Unlink(args) => link::unlink(&args, console).await,
        Command::LinkGroup(args) => link_group::link(&args, console).await,
        Command::UnlinkGroup(args) => link_group::unlink(&args, console).await,
        Command::ResetEmail(args) => link::reset_email(&args, console).await,
        Command::Hook(args) => hook::run(&args, console).await,
        Command::Ready(args) => ready::run(&args, console),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let of_its_own = |command: &clap::Command| {
                let after = command.get_after_long_help().map(ToString::to_string);
                after.is_some_and(|text| text.contains("Examples:"))
            };
            let shown = of_its_own(command) || command.get_subcommands().all(of_its_own);
            assert!(shown, "{name} has no examples");
        }
    }
}
