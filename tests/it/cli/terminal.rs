//! What a person at a terminal sees. `script` (util-linux) provides the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::{APP, Desk, MAX_TIME, PROGRAM};

/// The program on its own terminal.
struct Terminal {
    script: Child,
    shown: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts a command on the desk's file.
    fn start(desk: &Desk, arguments: &str) -> Self {
        // A new terminal has no size, so set the most common one.
        let file = desk.data.display();
        let line = format!("stty cols 80 rows 24; {PROGRAM} {arguments} --data {file}");
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .envs(&desk.environment)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of util-linux");
        let mut out = script.stdout.take().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut some) {
                if sender.send(some[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            script,
            shown,
            seen: String::new(),
        }
    }

    /// Waits until the program asks its question.
    fn asked(&mut self) {
        while !self.seen.contains("[y/N] ") {
            let Ok(more) = self.shown.recv_timeout(MAX_TIME) else {
                panic!("nothing was asked: {}", self.seen);
            };
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn types(&mut self, keys: &str) {
        let stdin = self.script.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// The exit code and the whole output.
    fn ended(mut self) -> (i32, String) {
        while let Ok(more) = self.shown.recv_timeout(MAX_TIME) {
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        let code = self.script.wait().unwrap().code().unwrap_or(-1);
        (code, self.seen)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconcile_asks_before_it_changes_anything() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let has_account = || desk.has_account("lin_example");
    // Enter alone, another word and the end of input do not mean "yes". Nor does --json.
    for (arguments, keys) in [
        ("reconcile", "n\n"),
        ("reconcile", "\n"),
        ("reconcile", "what?\n"),
        ("reconcile", "\u{4}"),
        ("reconcile --json", "n\n"),
    ] {
        let mut terminal = Terminal::start(&desk, arguments);
        terminal.asked();
        assert!(!desk.wrote() && !has_account(), "{arguments} did not wait");
        if !arguments.contains("--json") {
            assert!(
                terminal.seen.contains("create account"),
                "{}",
                terminal.seen
            );
        }
        terminal.types(keys);
        let (code, seen) = terminal.ended();
        assert_eq!(code, 1, "{seen}");
        assert!(seen.contains("nothing was changed"), "{seen}");
        assert!(!desk.wrote() && !has_account(), "{arguments} {keys:?}");
    }

    let mut terminal = Terminal::start(&desk, "reconcile");
    terminal.asked();
    terminal.types("y\n");
    let (code, seen) = terminal.ended();
    assert_eq!(code, 0, "{seen}");
    assert!(desk.wrote() && has_account());
    // Both sides are in sync now, so there is nothing to ask.
    let (code, seen) = Terminal::start(&desk, "reconcile").ended();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains("[y/N]") && !desk.wrote(), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_yes_option_skips_the_question() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let (code, seen) = Terminal::start(&desk, "reconcile --yes").ended();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains("[y/N]") && desk.wrote(), "{seen}");
}

/// Colours do not count in a table's width, and ids are not cut. Every line fits, with its trailing spaces, because a
/// terminal wraps those too. Only a command may be longer, so that it can be copied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_fit_a_terminal_of_eighty_columns_in_colour() {
    let desk = Desk::new().await;
    let (user, group) = ("00u7ab2cd3EF4gh5ij6k", "00g7ab2cd3EF4gh5ij6k");
    let failed = desk.assigned("kim", "kim x");
    desk.on_file(&["push", user, group]).await.expect(1);
    desk.on_file(&["push", &failed]).await.expect(1);
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    // The widest possible age.
    let aged = "UPDATE events SET updated_at_ms = updated_at_ms - 7000000";
    file.execute(aged, []).unwrap();
    let long = "Anypoint: refused. What to do: Read this long text, which is wider than the terminal, to its end.";
    for state in [
        "done",
        "dry run",
        "in_progress",
        "waiting",
        "held",
        "resolved",
        "failed",
    ] {
        let status = state.replace("dry run", "done");
        let sql = "UPDATE events SET status = ?1, dry_run = NULL, planned = NULL, error = NULL, error_class = NULL, \
                   error_code = NULL, lease_until_ms = 1";
        file.execute(sql, [&status]).unwrap();
        let more = match state {
            "dry run" => {
                "dry_run = 1, planned = '[\"create_account\",\"mail_reset\",\"link\",\"join_team:1\"]'"
            }
            "failed" => "error = ?1, error_class = 'permanent', error_code = 'rejected'",
            _ => "attempts = 1",
        };
        let more = format!("UPDATE events SET {more} WHERE ?1 <> ''");
        file.execute(&more, [long]).unwrap();
        for arguments in ["events", "events --failed", "events --status dry_run"] {
            let (code, shown) = Terminal::start(&desk, arguments).ended();
            assert_eq!(code, 0, "{shown}");
            let plain = without_colour(&shown).replace('\r', "");
            if arguments == "events" {
                assert!(shown.contains("\u{1b}["), "no colour: {shown}");
                for subject in [format!("user#{user}"), format!("group#{group}")] {
                    assert!(plain.contains(&subject), "{state}: {plain}");
                }
                let word = state.replace("in_progress", "cut off");
                assert!(plain.contains(&word), "{state}: {plain}");
            }
            for line in plain.lines() {
                let is_command = line.trim_start().starts_with("okta-anypoint ");
                let columns = line.chars().count();
                assert!(is_command || columns <= 80, "{columns}, {state}: {line:?}");
            }
        }
    }
}

/// Texts wrap between words. Only a single word may be longer: an id, a name, or a command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_texts_fit_a_terminal_of_eighty_columns() {
    let desk = Desk::new().await;
    let name = "ada_of_the_integration_engineers_of_the_northern_region";
    let ada = desk.assigned("ada", name);
    let kim = desk.assigned("kim", "kim x");
    desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &ada]).await.expect(0);
    desk.on_file(&["push", &kim]).await.expect(1);
    let explain = [format!("explain {ada}"), format!("explain {kim}")];
    let explain = explain.each_ref().map(String::as_str);
    for arguments in ["doctor", "plan", "history", explain[0], explain[1]] {
        // Without the progress bar.
        let arguments = format!("{arguments} 2>/dev/null");
        let (_, shown) = Terminal::start(&desk, &arguments).ended();
        let plain = without_colour(&shown).replace('\r', "");
        assert!(plain.lines().count() > 5, "{shown}");
        for line in plain.lines() {
            let columns = line.chars().count();
            let is_one_word = !line.trim_start().contains(' ') || line.contains("  `");
            let is_name = line.ends_with(name);
            let fits = columns <= 80 || is_one_word || is_name;
            assert!(fits, "{columns}, {arguments}: {line:?}");
        }
    }
    // A pipe gets no wrapping.
    let piped = desk.on_file(&["explain", &kim]).await;
    let longest = piped.out.lines().map(|line| line.chars().count()).max();
    assert!(longest > Some(120), "{}", piped.out);
}

/// The closing line must not appear under the plan that the question is about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_question_comes_before_the_closing_line() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let mut terminal = Terminal::start(&desk, "reconcile");
    terminal.asked();
    assert!(
        terminal.seen.contains("Change 1 user or group? [y/N]"),
        "{}",
        terminal.seen
    );
    assert!(!terminal.seen.contains("nothing was changed"));
    terminal.types("y\n");
    let (code, seen) = terminal.ended();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains("this is a report"), "{seen}");

    // In a dry run there is nothing to ask.
    desk.assigned("kim", "kim_example");
    desk.wrote();
    let mut desk = desk;
    desk.environment
        .insert("CHANGES".to_owned(), "report".to_owned());
    let (code, seen) = Terminal::start(&desk, "reconcile").ended();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains("[y/N]") && !desk.wrote(), "{seen}");
    assert!(seen.contains("this is a report"), "{seen}");
}

/// A plan does not show everything that a look may find, such as a phone number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconcile_asks_before_it_takes_up_dry_runs() {
    let mut desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &lin]).await.expect(0);
    let phone = [("primaryPhone", "+41 44 000 00 00".into())];
    desk.okta.world().update_profile(&lin, &phone).unwrap();
    desk.environment
        .insert("CHANGES".to_owned(), "report".to_owned());
    desk.on_file(&["push", &lin]).await.expect(0);
    desk.environment.remove("CHANGES");
    desk.wrote();

    for (keys, code, still_planned) in [("n\n", 1, true), ("y\n", 0, false)] {
        let mut terminal = Terminal::start(&desk, "reconcile");
        terminal.asked();
        let question = "Take up the dry runs of 1 user or group: look at each, and change what is not in sync? [y/N]";
        assert!(terminal.seen.contains(question), "{}", terminal.seen);
        assert!(!desk.wrote(), "it did not wait");
        terminal.types(keys);
        let (ended, seen) = terminal.ended();
        assert_eq!(ended, code, "{seen}");
        assert_eq!(desk.wrote(), !still_planned, "{seen}");
        let doctor = desk.on_file(&["doctor"]).await;
        let said = doctor.out.contains("planned only");
        assert_eq!(said, still_planned, "{}", doctor.out);
    }
    let (code, seen) = Terminal::start(&desk, "reconcile").ended();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains("[y/N]") && !desk.wrote(), "{seen}");

    // With differences, the question names both.
    desk.environment
        .insert("CHANGES".to_owned(), "report".to_owned());
    desk.on_file(&["push", &lin]).await.expect(0);
    desk.environment.remove("CHANGES");
    desk.assigned("kim", "kim_example");
    let mut terminal = Terminal::start(&desk, "reconcile");
    terminal.asked();
    let question = "Change 1 user or group, and take up the dry runs of 1 other: look at each";
    assert!(terminal.seen.contains(question), "{}", terminal.seen);
    terminal.types("y\n");
    let (code, seen) = terminal.ended();
    assert_eq!(code, 0, "{seen}");
    assert!(desk.has_account("kim_example"));
}

fn without_colour(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// Part of a name that looks like a line of this program, in its colour.
const FORGED: &str = "\n  ok       forged\n\u{1b}[32m  ok       forged\u{1b}[0m\u{1b}[38;5;2mX";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_cannot_forge_a_line_or_a_colour() {
    let desk = Desk::new().await;
    let name = |kind: &str| format!("{kind}{FORGED}");
    let (lin, kim) = (
        desk.assigned("lin", "lin_example"),
        desk.assigned("kim", &name("kim")),
    );
    let [group, other] = ["Engineers", "Designers"].map(|kind| desk.pushed_group(kind, &lin));
    desk.on_file(&["push", &lin, &group, &other])
        .await
        .expect(0);
    desk.on_file(&["push", &kim]).await.expect(1);
    let linked = {
        let mut okta = desk.okta.world();
        okta.apps.get_mut(APP).unwrap().label = name("App");
        okta.rename_group(&group, &name("Group")).unwrap();
        let mut anypoint = desk.anypoint.world();
        anypoint.org_name = name("Organization");
        let free = anypoint.add_team("Free", None).unwrap();
        for team in anypoint.teams.values_mut() {
            if ["Designers", "Free"].contains(&&*team.name) {
                team.name.push_str(FORGED);
            }
        }
        free
    };
    // As if an earlier look had stored such names.
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    for (table, column) in [("user_links", "username"), ("team_links", "team_name")] {
        let sql = format!("UPDATE {table} SET {column} = {column} || ?1");
        file.execute(&sql, [FORGED]).unwrap();
    }
    drop(file);
    desk.on_file(&["unlink-group", &other]).await.expect(0);
    for (arguments, code) in [
        ("doctor", 1),
        (&*format!("explain {lin}"), 0),
        (&format!("explain {group}"), 0),
        (&format!("explain {kim}"), 1),
        ("plan", 1),
        ("events --wide", 0),
        ("history", 0),
        (&format!("link-group {other} {linked}"), 0),
        (&format!("explain {other}"), 0),
        ("reconcile --yes", 1),
        ("history", 0),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let piped = desk.on_file(&words).await;
        let (_, shown) = Terminal::start(&desk, arguments).ended();
        assert_eq!(piped.code, code, "{arguments}: {}{}", piped.out, piped.err);
        for text in [piped.out + &piped.err, shown] {
            assert!(
                !text.contains("\u{1b}[32m  ok       forged"),
                "{arguments}: {text}"
            );
            assert!(!text.contains("\u{1b}[38;5;2mX"), "{arguments}: {text}");
            let plain = without_colour(&text).replace('\r', "");
            let is_forged = |line: &str| line.starts_with("  ok       forged");
            assert!(!plain.lines().any(is_forged), "{arguments}: {plain}");
        }
    }
}
