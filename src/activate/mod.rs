//! A bundle becomes the running stack: a plan, the runtime that carries it out, the proof that
//! it runs, and the way back.
//!
//! [`Runtime`] is what an engine must be able to do: processes of this host, Docker Compose, Docker
//! Swarm and Kubernetes today. It knows nothing of generations, and the sequence knows nothing of
//! engines.

pub mod bundle;
pub mod compose;
mod docker;
pub mod http;
pub mod interrupted;
pub mod kubernetes;
pub mod plan;
pub mod process;
pub mod proof;
mod reload;
pub mod sequence;
pub mod swarm;
pub mod sync;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::secret::Secret;

pub use bundle::Bundle;
pub use plan::{Plan, Step};

/// What carries the services of one profile. Every call looks afresh: nothing that an engine
/// said before is remembered.
pub trait Runtime {
    /// As the manifest names it: `compose`.
    fn name(&self) -> &'static str;

    /// What runs of the profile now, also services that no bundle knows any more.
    fn observe(&self) -> Result<Observed, RuntimeError>;

    /// Refuses what can be seen before anything is touched: an engine that can't be reached,
    /// an image, program or network that is missing, a port that somebody else has.
    fn check(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError>;

    /// Creates, restarts and removes as the plan says; services that it keeps or reloads go on
    /// undisturbed. The bundle is in its place (`run/PROFILE/live`) and so are its secrets.
    /// Returns once the engine has taken everything over, not once all is healthy. Can be
    /// called again after it was cut short.
    fn apply(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError>;

    /// Whether a service sees the new bundle without being started anew. Engines that pin
    /// configuration to a container (Swarm) restart what others reload.
    fn reloads(&self) -> bool {
        true
    }

    /// Where this host reaches a service's port: `127.0.0.1:9090`. `None` while it can't be
    /// reached, since the service does not run or publishes nothing.
    fn address(&self, service: &str, port: u16) -> Result<Option<String>, RuntimeError>;

    /// The last lines that a service wrote, for messages; empty where there are none.
    fn logs(&self, service: &str, lines: usize) -> String;

    /// Ends every service of the profile. Data stays.
    fn stop(&self) -> Result<(), RuntimeError>;

    /// Removes what only the way back would have needed; called once a bundle is proved.
    fn tidy(&self) -> Result<(), RuntimeError> {
        Ok(())
    }
}

/// What is to run.
#[derive(Debug)]
pub struct Target<'a> {
    pub bundle: &'a Bundle,
    /// Variables that the engine needs in its own environment and nowhere else (`allow_env`).
    pub environment: &'a BTreeMap<String, Secret>,
}

/// What runs, by service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Observed(pub BTreeMap<String, Running>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    #[serde(flatten)]
    pub state: State,
    /// The digest of the definition that it was started with; `None` where nobody noted it.
    pub definition: Option<String>,
    /// When it was started last.
    pub since: Option<SystemTime>,
    /// How often the engine has had to start it again.
    pub restarts: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "why", rename_all = "lowercase")]
pub enum State {
    /// Started, and its health check has not spoken yet.
    Starting,
    /// Runs, and has no health check.
    Running,
    Healthy,
    /// Runs, and its health check says what is wrong.
    Unhealthy(String),
    /// Ended, or is started again and again: why, as far as the engine knows.
    Failed(String),
    /// Can't run here and need not: a program that is missing, say.
    Absent(String),
}

impl State {
    /// As good as it gets.
    pub fn is_well(&self) -> bool {
        matches!(self, State::Running | State::Healthy | State::Absent(_))
    }

    pub fn is_up(&self) -> bool {
        matches!(self, State::Starting | State::Running | State::Healthy | State::Unhealthy(_))
    }
}

/// Why a runtime did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine, the host or the network: says nothing about the bundle.
    #[error("{what}: {remedy}")]
    Unavailable { what: String, remedy: String },
    /// The engine refused what the bundle asks for, or one of its services did not start.
    #[error("{what}{}", logs.as_deref().map(|l| format!("; it said:\n{l}")).unwrap_or_default())]
    Rejected { what: String, logs: Option<String> },
}

impl RuntimeError {
    pub fn unavailable(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        RuntimeError::Unavailable { what: what.into(), remedy: remedy.into() }
    }

    /// Whether the bundle is to blame.
    pub fn blames_bundle(&self) -> bool {
        matches!(self, RuntimeError::Rejected { .. })
    }
}
