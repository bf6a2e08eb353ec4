//! The section "Try it without AWS" of README.md, run as a reader would: the same commands in the same order, in a
//! shell, with the real programs. Only the ports and the path of the programs are replaced.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{MAX_TIME, PROGRAM, Ran};

const SECTION: &str = "## Try it without AWS";

/// The commands of the section, one entry a block.
fn blocks() -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once(SECTION).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let mut blocks: Vec<String> = Vec::new();
    let mut open = false;
    for line in section.lines() {
        match (line, open) {
            ("```sh", false) => {
                open = true;
                blocks.push(String::new());
            }
            ("```", true) => open = false,
            (line, true) => {
                let block = blocks.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            (line, false) => assert!(
                !line.starts_with("```"),
                "a block that is not tried: {line}"
            ),
        }
    }
    blocks
}

/// A program that keeps running in its own terminal. Dropping it ends it.
struct Running {
    child: Child,
    said: Vec<String>,
}

impl Running {
    /// Starts a line and waits until its output contains `last`.
    fn start(mut line: Command, last: &str) -> Self {
        let mut child = line
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        for line in lines.by_ref() {
            said.push(line.unwrap());
            if said.last().is_some_and(|line| line.contains(last)) {
                break;
            }
        }
        // Keep reading its output, so that it does not block.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, said }
    }

    /// The first word with this beginning.
    #[track_caller]
    fn word(&self, begins: &str) -> &str {
        let mut words = self.said.iter().flat_map(|line| line.split(' '));
        let word = words.find_map(|word| word.strip_prefix(begins));
        word.unwrap_or_else(|| panic!("no {begins}…: {:?}", self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The reader's folder, and what replaces the README's addresses.
struct Reader {
    folder: PathBuf,
    exports: String,
    put_in: Vec<(&'static str, String)>,
}

impl Reader {
    /// A shell that runs the exports, then some lines.
    fn shell(&self, lines: &str) -> Command {
        let mut lines = format!("{}\n{lines}", self.exports);
        for (of_readme, here) in &self.put_in {
            lines = lines.replace(of_readme, here);
        }
        let mut shell = Command::new("sh");
        shell.args(["-euc", &lines]).current_dir(&self.folder);
        shell
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap());
        shell.stdin(Stdio::null());
        shell
    }

    fn run(&self, lines: &str) -> Ran {
        let output = self.shell(lines).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Repeats lines that change nothing until they print all of this.
    fn until(&self, lines: &str, code: i32, texts: &[&str]) -> Ran {
        let begun = Instant::now();
        loop {
            let ran = self.run(lines);
            if ran.code == code && texts.iter().all(|text| ran.out.contains(text)) {
                return ran;
            }
            let late = begun.elapsed() > MAX_TIME;
            assert!(
                !late,
                "{lines}ended with {}: {}{}",
                ran.code, ran.out, ran.err
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// `target/release` of the reader is where the tested program is.
fn place_program(folder: &Path) {
    let place = folder.join("target/release");
    std::fs::create_dir_all(&place).unwrap();
    std::os::unix::fs::symlink(PROGRAM, place.join("okta-anypoint")).unwrap();
}

#[test]
fn the_readme_walk_works_as_written() {
    let blocks = blocks();
    let [
        simulate,
        exports,
        serve,
        register,
        grace,
        appears,
        break_it,
        find,
        repair,
    ] = blocks.as_slice()
    else {
        panic!("a step was added or taken away; this test walks them: {blocks:#?}");
    };
    let folder = tempfile::tempdir().unwrap();
    place_program(folder.path());
    let mut reader = Reader {
        folder: folder.path().to_owned(),
        exports: String::new(),
        put_in: Vec::new(),
    };

    // The program is built already; free ports take the place of the usual ones.
    let (build, simulate) = simulate.split_once('\n').unwrap();
    assert_eq!(build, "cargo build --release");
    let ports = " --okta 127.0.0.1:0 --anypoint 127.0.0.1:0";
    let simulate = format!("exec {}{ports}", simulate.trim_end());
    let simulate = Running::start(reader.shell(&simulate), "Ctrl-C stops");
    let okta = simulate.word("OKTA_ORG_URL=").to_owned();
    let anypoint = simulate.word("ANYPOINT_BASE_URL=").to_owned();
    reader.put_in.push(("http://127.0.0.1:8081", okta));
    reader.put_in.push(("http://127.0.0.1:8082", anypoint));
    // The README shows the settings that `simulate` prints.
    reader.exports.clone_from(exports);
    let settings = reader.run("env").expect(0).out;
    let printed = simulate
        .said
        .iter()
        .filter_map(|line| line.strip_prefix("export "));
    let printed: Vec<&str> = printed.collect();
    assert!(printed.len() >= 8, "{printed:?}");
    for variable in printed {
        assert!(
            settings.lines().any(|line| line == variable),
            "{variable}: {settings}"
        );
    }

    let serve = format!(
        "exec {} --listen 127.0.0.1:0 --status 127.0.0.1:0",
        serve.trim_end()
    );
    let serve = Running::start(reader.shell(&serve), "hook register");
    let hook = serve
        .said
        .last()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .to_owned();
    reader.put_in.push(("http://127.0.0.1:8080/", hook));

    reader.run(register).expect(0).says("ACTIVE, VERIFIED");
    reader.run(grace).expect(0);
    let done = ["grace_hopper", "nothing: both sides are in sync"];
    reader.until(appears, 0, &done).says("membership.add");

    reader.run(break_it).expect(0);
    let word = "okta-anypoint replay ";
    let failed = ["user#00uKATHERINE0003", "USERNAME_POLICY=sanitize", word];
    let found = reader.until(find, 1, &failed);
    let (_, rest) = found.out.split_once(word).expect("how to do it again");
    let uuid = rest.split_whitespace().next().unwrap();
    // `explain` says that it would fail again, so the block exits with 1.
    assert!(found.out.contains("What to do:"), "{}", found.out);

    let repaired = reader.run(&repair.replace("UUID", uuid));
    repaired
        .expect(0)
        .says(&format!("done  user#00uKATHERINE0003  {uuid}"));
    let explain = "okta-anypoint explain katherine_johnson --data provisioning.db";
    reader
        .run(explain)
        .expect(0)
        .says("nothing: both sides are in sync");
    let failed = "okta-anypoint events --failed --data provisioning.db";
    let failed = reader.run(failed).expect(0);
    assert!(!failed.out.contains(uuid), "{}", failed.out);
}
