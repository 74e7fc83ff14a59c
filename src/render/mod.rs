//! Stack → files, one file a tool.

pub mod prometheus;
pub mod yaml;
