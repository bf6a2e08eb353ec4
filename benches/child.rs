//! Runs the measured part of a bench in a process of its own: its memory is then its own, and not that
//! of the simulators, which live in the parent.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const TASK: &str = "OKTA_ANYPOINT_BENCH_TASK";

/// In the child: what the parent asks for. In the parent: nothing.
pub fn task() -> Option<Value> {
    let task = std::env::var(TASK).ok()?;
    Some(serde_json::from_str(&task).unwrap())
}

/// In the parent: runs this program again for `task`, and reads what it prints.
pub async fn run(task: &Value) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(TASK, task.to_string()).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "the measured part failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The most memory that this process has had in use, in MiB (`VmHWM`).
pub fn peak_memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.unwrap().parse::<f64>().unwrap() / 1024.0
}

/// The time that this thread has spent on a CPU.
pub fn cpu() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let on_cpu = times.split_whitespace().next().unwrap();
    Duration::from_nanos(on_cpu.parse().unwrap())
}
