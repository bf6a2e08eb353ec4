//! `--env-file`: settings from a file that the operator names.
//!
//! The program starts again, in the same process, with the file's variables in its environment. So every reader of
//! variables sees them, those in the AWS SDK included, and no variable changes while threads run. A variable that is
//! set already wins over the file's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

use anyhow::anyhow;

use crate::console::{Usage, note};

const OPTION: &str = "--env-file";

/// Restarts the program with the variables of `file`. Returns only to say why it could not.
pub fn restart_with(file: &Path) -> anyhow::Error {
    let variables = match read(file) {
        Ok(variables) => variables,
        Err(why) => return Usage(format!("{}: {why}", file.display())).into(),
    };
    let missing = variables
        .into_iter()
        .filter(|(name, _)| env::var_os(name).is_none_or(|value| value.is_empty()));
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    let mut command = Command::new(program);
    command
        .args(without_option(env::args_os().skip(1)))
        .envs(missing);
    if let Some(name) = env::args_os().next() {
        command.arg0(name);
    }
    anyhow!(command.exec()).context("the program could not be restarted")
}

fn read(file: &Path) -> Result<BTreeMap<String, String>, String> {
    let in_words = |error: io::Error| format!("the file cannot be read ({})", error.kind());
    let mode = fs::metadata(file).map_err(in_words)?.permissions().mode();
    if mode & 0o007 != 0 {
        note(format!(
            "warning: everybody on this machine may read {0}; make it yours alone: chmod 600 {0}",
            file.display()
        ));
    }
    parse(&fs::read_to_string(file).map_err(in_words)?)
}

/// The arguments without `--env-file` and its value.
fn without_option(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if argument == OPTION {
            arguments.next();
        } else if argument == "--" {
            kept.push(argument);
            kept.extend(arguments.by_ref());
        } else if !argument.to_string_lossy().starts_with("--env-file=") {
            kept.push(argument);
        }
    }
    kept
}

/// `NAME=VALUE` lines, as Docker and systemd read them. Blank lines and lines that begin with `#` are ignored. A value
/// in single quotes is taken as it is; in double quotes `\\n`, `\\"` and `\\\\` mean a line break, a quote and a
/// backslash. A quoted value may span several lines. `$` is never expanded.
fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (head, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        let content = head.trim();
        if content.is_empty() || content.starts_with('#') {
            (rest, line) = (behind, line + 1);
            continue;
        }
        let content = content.strip_prefix("export ").unwrap_or(content);
        let (name, value) = content
            .split_once('=')
            .ok_or_else(|| format!("line {line}: expected NAME=VALUE"))?;
        let name = name.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("line {line}: expected NAME=VALUE"));
        }
        let value = value.trim();
        let value = if value.starts_with(['"', '\'']) {
            let from = rest.len()
                - rest
                    .split_once('=')
                    .map_or(0, |(_, value)| value.trim_start().len());
            let (value, used) = quoted(&rest[from..]).ok_or_else(|| {
                format!("line {line}: expected a closing quote, and nothing behind it")
            })?;
            line += rest[..from + used].matches('\n').count();
            rest = &rest[from + used..];
            rest = rest.strip_prefix('\n').unwrap_or(rest);
            value
        } else {
            rest = behind;
            value.to_owned()
        };
        line += 1;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// The value of a text that begins with a quote, and how many bytes it takes with the blanks to the line's end.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut characters = text.char_indices();
    let (_, quote) = characters.next()?;
    let mut value = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other @ ('"' | '\\' | '$' | '`') => value.push(other),
                other => value.extend(['\\', other]),
            },
            c if c == quote => {
                let behind = &text[at + 1..];
                let line = behind.split('\n').next().unwrap_or_default();
                return line
                    .trim()
                    .is_empty()
                    .then_some((value, at + 1 + line.len()));
            }
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_docker_and_systemd_read_it() {
        let text = "# settings\n\nA=plain value # kept\n  B = x=y  \nexport C='$HOME \\n'\nD=\"two\\nlines \\\" \\\\\"\n\
                    E=\"-----BEGIN\nkey\n-----END\"  \nF=\nG=$A\n";
        let variables = parse(text).unwrap();
        let expected = [
            ("A", "plain value # kept"),
            ("B", "x=y"),
            ("C", "$HOME \\n"),
            ("D", "two\nlines \" \\"),
            ("E", "-----BEGIN\nkey\n-----END"),
            ("F", ""),
            ("G", "$A"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, expected.into());
    }

    #[test]
    fn a_fault_names_its_line_and_shows_no_value() {
        for (text, line) in [
            ("A=1\nplanted\n", 2),
            ("A=\"x\ny\"\n\nB=\"planted\n", 4),
            ("A='planted' more\n", 1),
            ("A B=planted\n", 1),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.starts_with(&format!("line {line}:")), "{fault}");
            assert!(!fault.contains("planted"), "{fault}");
        }
    }

    #[test]
    fn the_option_is_removed_from_the_arguments() {
        let arguments = [
            "serve",
            "--env-file",
            "a",
            "--data=b",
            "--env-file=c",
            "--",
            "--env-file",
            "d",
        ];
        let kept = without_option(arguments.map(OsString::from).into_iter());
        assert_eq!(kept, ["serve", "--data=b", "--", "--env-file", "d"]);
    }
}
