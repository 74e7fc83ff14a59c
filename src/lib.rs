//! `monprov`: a monitoring stack as a value.
//!
//! Data flows one way, and the modules stand in the order of that flow:
//!
//! ```text
//! profiles/*.toml ─ layers, merged ─► Profile ─ resolve ─► Stack ─ threshold plugins ─► Stack
//!     Stack ─ checks, policy plugins ─► findings (an error stops here)
//!     Stack ─ render ─► Tree of files ─ pack ─► bundle (hash) ─ put ─► store ─ activate ─► running stack
//!     bundles, read back into Stacks ─ diff ─► what changes for the people on call
//! ```
//!
//! Everything from [`profile`] to [`bundle`], and [`trust`], is pure: values in, values out, no clock, no
//! environment, no file system. Effects stand at the edge: [`secret`], [`store`], [`activate`],
//! [`registry`], [`oracle`] and the file reading in [`engine`], which is the one file that knows the whole sequence.
//! [`cli`] calls only the engine and is the only room that prints.

pub mod bundle;
pub mod check;
pub mod diagnostic;
pub mod diff;
pub mod plugin;
pub mod profile;
pub mod render;
pub mod stack;
pub mod trust;

pub mod activate;
pub mod cache;
pub mod cli;
mod compiled;
pub mod engine;
mod memo;
pub mod observe;
pub mod oracle;
pub mod pins;
pub mod project;
pub mod registry;
pub mod relay;
pub mod secret;
pub mod store;
