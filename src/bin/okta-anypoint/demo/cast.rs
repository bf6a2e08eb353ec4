//! The people and groups of `events/README.md`, as far as the code names them.

pub const APP: &str = "0oaANYPOINT1demo";
pub const HOOK_SECRET: &str = "demo-hook-secret";
pub const ADA: &str = "00uADA0000000001";
pub const GRACE: &str = "00uGRACE00000002";
pub const KATHERINE: &str = "00uKATHERINE0003";
pub const INTEGRATORS: &str = "00gINTEGRATORS1";
