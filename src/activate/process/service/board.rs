//! What every service is doing, on one board that all can watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::activate::process::keeper::Exit;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// For those that it stands behind.
    Waiting,
    Starting,
    /// It lives, and has no health check.
    Running,
    Healthy,
    /// It was healthy, lives, and does not answer any more.
    Unhealthy,
    /// It ended by itself and is started again after a while.
    Restarting,
    /// Its program is not there.
    Missing,
    Stopping,
}

impl State {
    pub(super) fn is_well(self) -> bool {
        matches!(self, State::Running | State::Healthy)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub state: State,
    /// The program, while it runs.
    pub pid: Option<u32>,
    /// Milliseconds since 1970: since when it is in that state.
    pub since: u64,
    /// Milliseconds since 1970: when its program was started last.
    pub started: Option<u64>,
    /// How often it was started again after it ended by itself.
    pub restarts: u32,
    /// The digest of the definition that it was started with, as in the bundle's manifest.
    pub definition: String,
    pub last_exit: Option<Exit>,
    /// Why it is not well, with the program's last lines.
    pub problem: Option<String>,
}

/// All services by name.
pub(crate) type Statuses = BTreeMap<String, ServiceStatus>;

#[derive(Debug, Clone)]
pub(in crate::activate::process) struct Board(Arc<watch::Sender<Statuses>>);

impl Board {
    pub(in crate::activate::process) fn new() -> Self {
        Board(Arc::new(watch::Sender::new(Statuses::new())))
    }

    pub(in crate::activate::process) fn now(&self) -> Statuses {
        self.0.borrow().clone()
    }

    pub(in crate::activate::process) fn put(&self, service: &str, status: ServiceStatus) {
        self.0.send_modify(|all| {
            all.insert(service.to_owned(), status);
        });
    }

    pub(in crate::activate::process) fn remove(&self, service: &str) {
        self.0.send_modify(|all| {
            all.remove(service);
        });
    }

    pub(super) fn change(&self, service: &str, change: impl FnOnce(&mut ServiceStatus)) {
        self.0.send_modify(|all| {
            if let Some(status) = all.get_mut(service) {
                let before = status.state;
                change(status);
                if status.state != before {
                    status.since = now();
                }
            }
        });
    }

    /// Waits until the board shows it.
    pub(in crate::activate::process) async fn until(&self, shows: impl FnMut(&Statuses) -> bool) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(shows).await;
    }
}

impl ServiceStatus {
    pub(super) fn new(definition: String) -> Self {
        ServiceStatus {
            state: State::Waiting,
            pid: None,
            since: now(),
            started: None,
            restarts: 0,
            definition,
            last_exit: None,
            problem: None,
        }
    }

    /// How long it has been in its state.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(now().saturating_sub(self.since))
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
