//! Runs the measured part of a bench in a process of its own, on one thread, as in Lambda: its memory and
//! its CPU time are then its own, and not those of the simulators, which live in the parent.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const TASK: &str = "OKTA_ANYPOINT_BENCH_TASK";

/// In the child: does the parent's task and prints the result. In the parent: does nothing and returns `false`.
pub fn is_done<T: DeserializeOwned, F: Serialize>(work: impl AsyncFnOnce(T) -> F) -> bool {
    let Ok(task) = std::env::var(TASK) else {
        return false;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let found = runtime.block_on(work(serde_json::from_str(&task).unwrap()));
    println!("{}", serde_json::to_string(&found).unwrap());
    true
}

/// In the parent: runs this program again for `task`, and reads the result.
pub async fn run<T: Serialize, F: DeserializeOwned>(task: &T) -> F {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let task = serde_json::to_string(task).unwrap();
    command.env(TASK, task).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "the measured part failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the child's work cost.
#[derive(Serialize, Deserialize)]
pub struct Cost {
    pub time: Duration,
    pub cpu: Duration,
    pub peak_mib: f64,
}

impl Cost {
    /// Of all that this process did, and the time since `begun`.
    pub fn since(begun: Instant) -> Self {
        let time = begun.elapsed();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        Self {
            time,
            cpu: cpu(),
            peak_mib: kib.unwrap().parse::<f64>().unwrap() / 1024.0,
        }
    }
}

/// The time that this thread has spent on a CPU.
pub fn cpu() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let on_cpu = times.split_whitespace().next().unwrap();
    Duration::from_nanos(on_cpu.parse().unwrap())
}
