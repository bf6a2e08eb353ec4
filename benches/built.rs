//! Builds what a bench runs as it is deployed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `target` for release as the Lambda functions are built, and says where it is.
pub fn built(target: [&str; 2], place: &str) -> PathBuf {
    built_in("release", target, place)
}

/// The same in a profile of Cargo.toml.
pub fn built_in(profile: &str, target: [&str; 2], place: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args(["build", "--profile", profile])
        .args(["--locked", "--no-default-features"])
        .arg("--manifest-path")
        .arg(manifest)
        .args(target)
        .status()
        .unwrap();
    assert!(done.success(), "{} is not built", target[1]);
    // This program is target/PROFILE/deps/hook-….
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().join(profile).join(place)
}

/// `VmHWM`: the most resident memory that the process ever had.
pub fn peak_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<f64>().unwrap() / 1024.0
}
