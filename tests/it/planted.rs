//! Text that no output of the product may show, in any test: the credentials that the tests give it, and personal
//! data.
//!
//! [`watch`] reads every log line of the library in the tests' own process, at every level. When a function or
//! `serve` ends, its whole output is checked. The tests of the commands check what commands print.

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// In lower case: the worlds' secrets, the beginnings of credentials in headers, and parts of planted addresses,
/// names and numbers.
const PLANTED: [&str; 17] = [
    "hook-secret",
    "planted-secret",
    "simulated-okta-token",
    "simulated-secret",
    "bearer ",
    "ssws ",
    "eyjhbgcioi",
    "eyj0exaioi",
    "eyjrawqioi",
    "@acme.example",
    "planted.example",
    "plantedname",
    "planted group",
    "planted_user",
    "xaver",
    "+4930555",
    "555 0199",
];

/// The first of them in `text`. `more` adds the passwords and tokens of a test.
fn first_in<'w>(text: &str, more: &'w [String]) -> Option<&'w str> {
    let text = text.to_lowercase();
    let mut words = PLANTED.into_iter().chain(more.iter().map(String::as_str));
    words.find(|word| text.contains(&word.to_lowercase()))
}

/// Fails the test when a line of `said` shows one of them.
pub fn check(place: &str, said: &str, more: &[String]) {
    for line in said.lines() {
        if let Some(word) = first_in(line, more) {
            panic!("{word} shows in {place}: {line}");
        }
    }
}

/// Reads what the library logs in this process from now on. A line that shows planted text ends the process, because
/// the logging code might catch a panic.
pub fn watch() {
    let ours = Targets::new().with_target("okta_anypoint", LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer().json().with_writer(|| Line);
    // Only the first call has an effect, and none if a test shows its log.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(ours))
        .try_init();
}

/// One line of the log.
struct Line;

impl std::io::Write for Line {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if let Some(word) = first_in(&text, &[]) {
            let _ = writeln!(std::io::stderr(), "{word} shows in a log line: {text}");
            std::process::abort();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
