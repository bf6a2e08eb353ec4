//! The real program `okta-anypoint serve` between both simulators: what it does with deliveries, with
//! kills, with clients that misbehave, and what it shows.

mod attributes;
mod back_off;
mod clients;
mod company;
mod crowd;
mod deliveries;
mod exhausted;
mod file;
mod kills;
mod load;
mod measure;
mod metrics;
mod process;
mod rig;
mod safely;
mod status;
mod words;

pub use rig::{APP, LONG, Remotes, SECRET, Serve, tenant};
pub use tenant::eventually;
