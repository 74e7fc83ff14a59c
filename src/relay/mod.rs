//! `monprov relay`: takes groups of alerts from Alertmanager and delivers them through channel
//! plugins.
//!
//! Alertmanager stays the one source of truth. It sends a group as it is, and again until it
//! gets a 2xx; the relay keeps no queue. It answers 2xx when all of the group is delivered, 503
//! where it may pass later, and 4xx where it can't pass as it is.
//!
//! | file | what |
//! | --- | --- |
//! | `server` | connections, paths, answers |
//! | `lanes` | the threads that serve connections |
//! | `delivery` | one group through one channel |
//! | `groups` | one attempt at a time for a group |
//! | `progress` | what of a group is delivered already |
//! | `budget` | how often, and not before when |
//! | `guests` | threads for plugins |
//! | `config`, `reload` | what runs, and another in its place |
//! | `tokens` | who may ask |
//! | `join`, `values` | the requests of plugins, made of their pieces and secrets |
//! | `endpoint`, `dial`, `send` | where they go, and nowhere else |
//! | `redact`, `reading` | answers, without secrets |
//! | `metrics`, `outcomes`, `record` | what is seen of it |
#![expect(
    clippy::disallowed_methods,
    reason = "reads its configuration and secrets, keeps time, and writes records"
)]

mod body;
mod budget;
mod config;
mod delivery;
mod dial;
mod endpoint;
mod groups;
mod guests;
mod join;
mod judged;
mod lanes;
mod metrics;
mod outcomes;
mod outliving;
mod progress;
mod reading;
mod record;
mod redact;
mod reload;
mod send;
mod server;
mod tokens;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use server::run;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// `relay.json`, perhaps through a link that moves.
    pub config: PathBuf,
    /// The folder of the service's secret files.
    pub secrets: PathBuf,
    /// Where compiled code is kept.
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Where payloads are kept.
    pub record: Option<PathBuf>,
}

fn now() -> Instant {
    Instant::now()
}

/// What a mutex guards is whole whenever it is let go of.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
