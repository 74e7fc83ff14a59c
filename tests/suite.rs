//! The one test binary: each topic is a module, so that everything links once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "tests stand at the edge, and a panic is how they fail"
)]

mod support;

mod abi;
mod activate;
mod alerting;
mod authors;
mod boot;
mod boundaries;
mod build;
mod cache;
mod canaries;
mod catalogs;
mod check;
mod crash;
mod diff;
mod drill;
mod e2e;
mod flake;
mod follow;
mod gc;
mod generations;
mod golden;
mod hostile;
mod kubernetes;
mod matrix;
mod nix;
mod parts;
mod plugins;
mod process;
mod provenance;
mod readme;
mod registry;
mod relay;
mod render;
mod secrets;
mod shipped;
mod store;
mod store_faults;
mod swarm;
mod trust;
mod vault;
mod verify;
