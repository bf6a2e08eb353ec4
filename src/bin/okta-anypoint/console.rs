//! What every command shares: where text goes, and how a command ends.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::RangeBounds;
use std::process::ExitCode;

use clap::error::ErrorKind;
use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Table, presets};
use okta_anypoint::failure::Failure;
use okta_anypoint::http::CallError;
use okta_anypoint::settings::SettingsError;
use okta_anypoint::telemetry::{Shown, painted, visible_line, visible_lines};
use serde::Serialize;
use serde_json::json;

use crate::wrap::wrapped;

/// The narrowest terminal that tables are fitted into.
const MIN_WIDTH: u16 = 60;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is done, and nothing is wrong.
    Done,
    /// It did its job and found a problem, or not everything worked.
    Problem,
}

impl Exit {
    /// How a command that found this many problems ended.
    pub fn with_problems(count: usize) -> Self {
        match count {
            0 => Self::Done,
            _ => Self::Problem,
        }
    }
}

/// Wrong usage: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Where text goes.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// Whether results are printed as JSON.
    pub json: bool,
    colour: bool,
    /// How wide the terminal is; `None`: lines are not wrapped.
    width: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
pub enum Tone {
    Good,
    Bad,
    Quiet,
    Strong,
}

impl Console {
    /// A console on standard output: with colour on a terminal, unless `NO_COLOR` is set
    /// (<https://no-color.org>).
    pub fn new(json: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_terminal = io::stdout().is_terminal();
        // A terminal that is too narrow, or does not know how wide it is, wraps lines itself.
        let width = Table::new().width().filter(|width| *width >= MIN_WIDTH);
        Self {
            json,
            colour: !json && !no_color && is_terminal,
            width: width.filter(|_| is_terminal).map(usize::from),
        }
    }

    /// Whether a person sees a progress bar on standard error.
    pub fn shows_progress(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Whether a person sits at both ends: questions can be asked.
    pub fn is_interactive() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// `text` in a colour, where there are colours.
    pub fn paint(&self, tone: Tone, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31;1",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        painted(code, text)
    }

    /// A cell in a colour. The table counts its width without the colour.
    pub fn cell(&self, tone: Tone, text: impl Display) -> Cell {
        let Cell(cell) = Cell::new(text);
        Cell(match tone {
            _ if !self.colour => cell,
            Tone::Good => cell.fg(Color::DarkGreen),
            Tone::Bad => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
            Tone::Quiet => cell.add_attribute(Attribute::Dim),
            Tone::Strong => cell.add_attribute(Attribute::Bold),
        })
    }

    /// A line for people; nothing with `--json`. A terminal wraps it at its words, and indents each line like the first.
    /// A line break in it came from a value, so it is shown.
    pub fn say(&self, line: impl Display) -> anyhow::Result<()> {
        let line = line.to_string();
        let margin = line.len() - line.trim_start_matches(' ').len();
        self.say_behind("", margin, line)
    }

    /// One line for people that is never wrapped: a command to copy, an entry of a list.
    pub fn say_whole(&self, line: impl Display) -> anyhow::Result<()> {
        self.say_text(&visible_line(&line.to_string()))
    }

    pub fn say_lines<L: Display>(&self, lines: impl IntoIterator<Item = L>) -> anyhow::Result<()> {
        lines.into_iter().try_for_each(|line| self.say(line))
    }

    pub fn say_gap(&self) -> anyhow::Result<()> {
        self.say("")
    }

    /// Comma-separated values: line breaks stand between rows and in quoted cells.
    pub fn say_csv(&self, rows: &[String]) -> anyhow::Result<()> {
        self.say_text(&visible_lines(&rows.join("\n")))
    }

    /// Prints text in which a terminal acts only upon the program's own colours and line breaks.
    fn say_text(&self, text: &str) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        write(format!("{text}\n").as_bytes())
    }

    /// The same, with `indent` spaces in front.
    pub fn say_indented(&self, indent: usize, text: impl Display) -> anyhow::Result<()> {
        self.say_behind(" ".repeat(indent), indent, text)
    }

    /// The same, with `lead` in front of the first line, and `indent` spaces in front of the others.
    pub fn say_behind(
        &self,
        lead: impl Display,
        indent: usize,
        text: impl Display,
    ) -> anyhow::Result<()> {
        let width = self.width.unwrap_or(usize::MAX);
        let (lead, text) = (lead.to_string(), text.to_string());
        // A width counts what the terminal shows, and line breaks that are made here are the program's own.
        let lines = wrapped(&visible_line(&lead), indent, &visible_line(&text), width);
        lines.iter().try_for_each(|line| self.say_text(line))
    }

    /// The result for machines; nothing without `--json`.
    pub fn emit(&self, result: &impl Serialize) -> anyhow::Result<()> {
        self.emit_text(serde_json::to_string_pretty(result)?)
    }

    /// One of many results for machines, on a line of its own; nothing without `--json`.
    pub fn emit_line(&self, result: &impl Serialize) -> anyhow::Result<()> {
        self.emit_text(serde_json::to_string(result)?)
    }

    fn emit_text(&self, text: String) -> anyhow::Result<()> {
        match self.json {
            true => write(visible_lines(&format!("{text}\n")).as_bytes()),
            false => Ok(()),
        }
    }

    /// A table for people: as wide as the terminal, plain and unwrapped in a pipe. Cells of the `whole` columns are never
    /// split.
    pub fn say_table<const N: usize>(
        &self,
        headings: [&str; N],
        whole: impl RangeBounds<usize>,
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.set_header(headings.map(|text| self.cell(Tone::Strong, text).0));
        for row in rows {
            table.add_row(row.map(|Cell(cell)| cell));
        }
        let (preset, arrangement, gap) = match self.width {
            // Each column leaves a place for the junctions of the lines between rows.
            Some(_) => (
                presets::UTF8_HORIZONTAL_ONLY,
                ContentArrangement::Dynamic,
                1,
            ),
            None => (presets::NOTHING, ContentArrangement::Disabled, 2),
        };
        table
            .load_style(preset)
            .set_content_arrangement(arrangement);
        for (position, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if position + 1 < N { gap } else { 0 }));
            if whole.contains(&position) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.say_text(&table.to_string())
    }
}

/// A cell of a table. Its text is in one line, and nothing in it acts.
pub struct Cell(comfy_table::Cell);

impl Cell {
    pub fn new(text: impl Display) -> Self {
        Self(comfy_table::Cell::new(Shown(text)))
    }
}

pub fn note(line: impl Display) {
    write_to_stderr(&format!("{}\n", visible_line(&line.to_string())));
}

/// Writes to standard error. Perhaps nobody reads it, and a command does its work all the same.
fn write_to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes bytes to standard output unchanged, for scripts. A reader that has gone (`| head`) is no failure.
pub fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Whether a word of a command line that cannot be understood asks for JSON: `--json`, also with a value that it does
/// not take, and misspelt at its end. No other option begins so.
fn asks_for_json(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"--js")
}

/// The exit code of a command line that cannot be understood, or asks for help. With `--json` in it, the
/// error comes as JSON as well.
pub fn misused(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let quotes_what_acts = |word: OsString| {
        let word = word.to_string_lossy();
        visible_line(&word) != word
    };
    if std::env::args_os().any(quotes_what_acts) {
        write_to_stderr(&visible_lines(&text));
    } else {
        // The exit code shows the failure if this cannot be written.
        let _ = error.print();
    }
    let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
    if error.use_stderr() && words.any(|word| asks_for_json(&word)) {
        let text = match error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                "a command is missing; --help shows them".to_owned()
            }
            _ => text,
        };
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        let _ = Console::new(true).emit(&json!({"error": text}));
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// The exit code of a command; its error in words on standard error, and with `--json` on standard
/// output as well.
pub fn report(outcome: anyhow::Result<Exit>, console: &Console) -> ExitCode {
    let error = match outcome {
        Ok(Exit::Done) => return ExitCode::SUCCESS,
        Ok(Exit::Problem) => return ExitCode::from(1),
        // A refused call says what to do about it.
        Err(error) => match error.downcast::<CallError>() {
            Ok(refused) => Failure::from(refused).into(),
            Err(error) => error,
        },
    };
    let usage = error.is::<Usage>() || error.is::<SettingsError>();
    let text = format!("error: {error:#}");
    if error.is::<SettingsError>() {
        // A line for each variable; no values are in them.
        write_to_stderr(&format!("{}\n", visible_lines(&text)));
    } else {
        note(text);
    }
    // The exit code shows the failure if this cannot be written.
    let _ = console.emit(&json!({"error": format!("{error:#}")}));
    ExitCode::from(if usage { 2 } else { 1 })
}
