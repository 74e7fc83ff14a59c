//! The process runtime, as activation drives it: through the running supervisor.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::service::board;
use super::{Client, port};
use crate::activate::{Bundle, Observed, Plan, Running, Runtime, RuntimeError, State, Step, Target};
use crate::render::process::{Process, Processes};

/// The file of a bundle that says what to run.
const FILE: &str = "processes.json";

/// The processes of a profile on this host, carried by `monprov up`.
#[derive(Debug)]
pub struct ProcessRuntime {
    client: Client,
    /// A supervisor has taken a change over: one that is gone since is a failure, and not a host
    /// on which nothing runs.
    applied: Cell<bool>,
}

impl ProcessRuntime {
    /// The runtime of a profile in a state directory.
    pub fn new(directory: &Path, profile: &str) -> Self {
        ProcessRuntime { client: Client::new(directory, profile), applied: Cell::new(false) }
    }
}

impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    fn observe(&self) -> Result<Observed, RuntimeError> {
        let services = match self.client.status()? {
            Some(status) => status.services,
            None if self.applied.get() => return Err(self.client.not_running().into()),
            None => Default::default(),
        };
        Ok(Observed(services.into_iter().filter_map(|(n, s)| Some((n, running(s)?))).collect()))
    }

    fn check(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError> {
        let processes = processes(target.bundle)?;
        self.client.check(&processes)?;
        let new: Vec<_> = plan.having(Step::Create).collect();
        let taken = |p: &Process| {
            let port = p.port.filter(|_| new.contains(&p.name.as_str()))?;
            Some(format!("port {port} of {} is in use by {}", p.name, port::taken(port)?))
        };
        let taken: Vec<String> = processes.processes.iter().filter_map(taken).collect();
        if taken.is_empty() {
            return Ok(());
        }
        let remedy = "end what has it, or give the service another `port`";
        Err(RuntimeError::unavailable(taken.join("; "), remedy))
    }

    fn apply(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError> {
        let restart: BTreeSet<String> = plan.having(Step::Restart).map(str::to_owned).collect();
        self.client.apply(&processes(target.bundle)?, &restart)?;
        self.applied.set(true);
        Ok(())
    }

    fn address(&self, service: &str, port: u16) -> Result<Option<String>, RuntimeError> {
        let status = self.client.status()?;
        let runs = status.is_some_and(|s| s.services.get(service).is_some_and(|s| s.pid.is_some()));
        Ok(runs.then(|| crate::stack::Runtime::Process.address(service, port)))
    }

    fn logs(&self, service: &str, lines: usize) -> String {
        let all = self.client.logs(service).unwrap_or_default();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    fn stop(&self) -> Result<(), RuntimeError> {
        self.client.stop()?;
        self.applied.set(false);
        Ok(())
    }
}

/// What a bundle runs.
pub fn processes(bundle: &Bundle) -> Result<Processes, RuntimeError> {
    let runtime = &bundle.manifest.runtime;
    if *runtime != crate::stack::Runtime::Process.name() {
        let what = format!("{} is a bundle of the runtime `{runtime}`", bundle.short());
        return Err(RuntimeError::unavailable(
            what,
            "`up` runs profiles with `[stack] runtime = \"process\"`",
        ));
    }
    let rejected = |why: String| RuntimeError::Rejected { what: why, logs: None };
    let text = bundle.text(FILE).map_err(|error| rejected(error.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|error| rejected(format!("{FILE} of {} can't be read: {error}", bundle.short())))
}

/// `None`: it is on its way out.
fn running(status: board::ServiceStatus) -> Option<Running> {
    let why = status.problem.unwrap_or_default();
    let state = match status.state {
        board::State::Waiting | board::State::Starting => State::Starting,
        board::State::Running => State::Running,
        board::State::Healthy => State::Healthy,
        board::State::Unhealthy => State::Unhealthy(why),
        board::State::Restarting => State::Failed(why),
        board::State::Missing => State::Absent(why),
        board::State::Stopping => return None,
    };
    Some(Running {
        state,
        definition: Some(status.definition),
        since: status.started.map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
        restarts: u64::from(status.restarts),
    })
}
