//! Making a bundle the one that runs.

pub mod process;
