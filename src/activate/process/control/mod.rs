//! How another `monprov` talks to the running supervisor: one line of JSON there, one back, on
//! the socket `run/PROFILE/up.sock`, which only its owner may use.
//!
//! ```text
//! {"version":1,"request":"status"}            {"version":1,"status":{…}}
//! {"version":1,"request":{"apply":{…}}}       {"version":1,"applied":{…}}
//! {"version":1,"request":{"check":{…}}}       {"version":1,"agreed":["missing"]}
//! {"version":1,"request":{"logs":"grafana"}}  {"version":1,"logs":["…"]}
//! {"version":1,"request":"stop"}              {"version":1,"stopped":null}
//!                                             {"version":1,"error":{"what":"…","remedy":"…"}}
//! ```

pub(super) mod client;
pub(super) mod lock;
pub(super) mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{At, ProcessError, Refusal};
use super::service::board::ServiceStatus;
use crate::render::process::Processes;

/// The version of the protocol; changes when an older side would go wrong.
const VERSION: u32 = 1;

/// A longer line is no request.
const LONGEST: u64 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Request<T> {
    version: u32,
    request: T,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ask {
    Status,
    /// The last lines of a service.
    Logs(String),
    /// Whether `apply` would be refused.
    Check(Processes),
    #[serde(untagged)]
    Change(Change),
}

/// What changes something; one at a time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    Apply { processes: Processes, restart: BTreeSet<String> },
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    version: u32,
    #[serde(flatten)]
    answer: Said,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Status(Status),
    Logs(Vec<String>),
    /// With the services whose programs are missing.
    Agreed(Vec<String>),
    Error(Refusal),
    #[serde(untagged)]
    Done(Done),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Done {
    Applied(Applied),
    Stopped,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The supervisor.
    pub pid: u32,
    pub services: BTreeMap<String, ServiceStatus>,
}

/// What an `apply` did, by service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub started: Vec<String>,
    pub restarted: Vec<String>,
    pub stopped: Vec<String>,
    /// Their programs are not on PATH; the rest runs without them.
    pub missing: Vec<String>,
}

/// The socket, by a path that is short enough for one wherever the state directory is. The
/// path is good as long as the open directory is.
fn socket(directory: &Path, profile: &str) -> Result<(std::fs::File, PathBuf), ProcessError> {
    let folder = run_directory(directory, profile);
    let open = std::fs::File::open(&folder).at("open", &folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/up.sock", open.as_raw_fd()));
    Ok((open, path))
}

fn run_directory(directory: &Path, profile: &str) -> PathBuf {
    directory.join("run").join(profile)
}
