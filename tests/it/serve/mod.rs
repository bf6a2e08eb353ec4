//! The real program `okta-anypoint serve` between both simulators: deliveries, kills, misbehaving clients, and the status
//! page.

mod attributes;
mod back_off;
mod backup;
mod beside;
mod clients;
mod crowd;
mod deliveries;
mod exhausted;
mod file;
mod first_run;
mod kills;
mod load;
mod measure;
mod metrics;
mod other_processes;
mod output;
mod process;
mod rig;
mod status;

pub use crate::tenant::eventually;
pub use rig::{APP, LONG, Remotes, SECRET, Serve};
