//! Stack → files, one file a tool.

pub mod alertmanager;
pub mod integrations;
pub mod prometheus;
pub mod versions;
pub mod yaml;
