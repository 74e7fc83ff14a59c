//! Services and their tasks as the swarm's managers show them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::activate::{Running, State};
use crate::render::swarm::{SHAPE, Shape};

/// The label by which `docker stack` knows what is of a stack.
pub(super) const STACK: &str = "com.docker.stack.namespace";

/// A task that waits for a node is given that long before it counts as one that finds none.
const PLACEMENT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) version: Version,
    spec: Spec,
    previous_spec: Option<Spec>,
    #[serde(default)]
    endpoint: Endpoint,
    update_status: Option<UpdateStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    index: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    name: String,
    labels: Option<BTreeMap<String, String>>,
    task_template: Template,
    mode: Option<Mode>,
    endpoint_spec: Option<Endpoint>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mode {
    replicated: Option<Replicated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Replicated {
    replicas: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    #[serde(default)]
    container_spec: ContainerSpec,
    #[serde(default)]
    force_update: u64,
    placement: Option<Placement>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Placement {
    constraints: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerSpec {
    #[serde(default)]
    image: String,
    labels: Option<BTreeMap<String, String>>,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    #[serde(default)]
    user: String,
    env: Option<Vec<String>>,
    healthcheck: Option<Healthcheck>,
    configs: Option<Vec<Config>>,
    secrets: Option<Vec<SecretFile>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Healthcheck {
    test: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Config {
    #[serde(rename = "File")]
    file: Option<Mounted>,
    #[serde(rename = "ConfigID")]
    id: String,
    #[serde(rename = "ConfigName")]
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mounted {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct SecretFile {
    #[serde(rename = "SecretID")]
    id: String,
    #[serde(rename = "SecretName")]
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Port {
    target_port: u16,
    #[serde(default)]
    pub(super) published_port: u16,
    #[serde(default)]
    publish_mode: String,
}

impl Port {
    /// Open on the node of the task alone.
    pub(super) fn is_of_host(&self) -> bool {
        self.publish_mode == "host"
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateStatus {
    #[serde(default)]
    state: String,
    #[serde(default)]
    message: String,
}

/// One run of one container of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    #[serde(rename = "ID")]
    pub(super) id: String,
    created_at: String,
    #[serde(rename = "ServiceID")]
    pub(super) service: String,
    #[serde(default)]
    slot: u64,
    #[serde(rename = "NodeID", default)]
    pub(super) node: String,
    spec: Template,
    status: Status,
    #[serde(default)]
    desired_state: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    timestamp: String,
    state: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    err: String,
    container_status: Option<ContainerStatus>,
}

#[derive(Debug, Clone, Deserialize)]
struct ContainerStatus {
    #[serde(rename = "ContainerID", default)]
    id: String,
    #[serde(rename = "ExitCode", default)]
    exit_code: i64,
}

impl Service {
    fn label(&self, name: &str) -> &str {
        self.spec.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn stack(&self) -> &str {
        self.label(STACK)
    }

    /// Its name in the profile; `None` where it is of no stack.
    pub(super) fn name(&self) -> Option<&str> {
        self.spec.name.strip_prefix(self.stack())?.strip_prefix('_')
    }

    /// A port as it is published.
    pub(super) fn published(&self, port: u16) -> Option<&Port> {
        self.endpoint.ports.iter().flatten().find(|p| p.target_port == port)
    }

    /// The names of the secrets that it is given.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.spec.task_template.container_spec.secrets.iter().flatten().map(|secret| secret.name.as_str())
    }

    /// The names of the configs that it is given, and of those that `docker service rollback`
    /// would give it.
    pub(super) fn configs(&self) -> impl Iterator<Item = &str> {
        let specs = std::iter::once(&self.spec).chain(self.previous_spec.as_ref());
        let configs = specs.flat_map(|spec| spec.task_template.container_spec.configs.iter().flatten());
        configs.map(|config| config.name.as_str())
    }

    /// How it is, by the tasks that are its own.
    pub(super) fn running(&self, tasks: &[Task], now: SystemTime) -> Running {
        let own: Vec<&Task> = tasks.iter().filter(|task| task.service == self.id).collect();
        // A slot is one of the replicas; of a global service, one of the nodes.
        let mut slots: BTreeMap<(u64, &str), Vec<&Task>> = BTreeMap::new();
        for task in own {
            let node = if task.slot == 0 { task.node.as_str() } else { "" };
            slots.entry((task.slot, node)).or_default().push(task);
        }
        let mut restarts = 0;
        let mut states = vec![];
        let mut since = None;
        for tasks in slots.values_mut() {
            tasks.sort_by(|a, b| b.created_at.cmp(&a.created_at));
            if tasks.iter().all(|task| task.desired_state == "remove") {
                continue;
            }
            let falls = tasks.iter().filter(|task| self.is_current(task) && task.has_ended_itself()).count();
            restarts = restarts.max(falls as u64);
            let Some(newest) = tasks.first() else { continue };
            let state = self.state(newest, tasks, now);
            if state.is_well() {
                since = since.max(newest.since());
            }
            states.push(state);
        }
        let state = match (states.into_iter().max_by_key(badness), self.replicas()) {
            (_, Some(0)) => State::Failed("somebody has scaled it to 0".into()),
            (Some(state), _) => state,
            (None, _) => State::Starting,
        };
        let template = &self.spec.task_template.container_spec;
        let definition = template.labels.as_ref().and_then(|labels| labels.get("monprov.digest"));
        Running { state, definition: definition.filter(|_| self.is_as_deployed()).cloned(), since, restarts }
    }

    fn replicas(&self) -> Option<u64> {
        self.spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref()?.replicas)
    }

    /// Nobody has changed it by hand.
    fn is_as_deployed(&self) -> bool {
        let deployed = self.label(SHAPE);
        let open = deployed.split(' ').skip(1);
        let container = &self.spec.task_template.container_spec;
        let configs = container.configs.iter().flatten().map(|config| {
            (config.file.as_ref().map(|file| file.name.clone()).unwrap_or_default(), config.name.clone())
        });
        let environment = container.env.iter().flatten().map(|variable| {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            (name.to_owned(), value.to_owned())
        });
        let placement = self.spec.task_template.placement.as_ref().and_then(|p| p.constraints.as_ref());
        let ports = self.spec.endpoint_spec.as_ref().and_then(|endpoint| endpoint.ports.as_ref());
        let shape = Shape {
            image: container.image.clone(),
            entrypoint: container.command.clone().unwrap_or_default(),
            args: container.args.clone().unwrap_or_default(),
            user: container.user.clone(),
            environment: environment.collect(),
            configs: configs.collect(),
            constraints: placement.into_iter().flatten().cloned().collect(),
            replicas: self.replicas(),
            ports: ports.into_iter().flatten().map(|port| (port.target_port, port.published_port)).collect(),
        };
        shape.label(open) == deployed
    }

    fn state(&self, newest: &Task, slot: &[&Task], now: SystemTime) -> State {
        if !self.is_current(newest) {
            return match &self.update_status {
                Some(update) if update.state == "paused" => State::Failed(update.message.clone()),
                _ => State::Starting,
            };
        }
        let health = &self.spec.task_template.container_spec.healthcheck;
        let checked = health
            .as_ref()
            .and_then(|health| health.test.as_ref())
            .is_some_and(|test| test.first().is_some_and(|first| first != "NONE"));
        let ended = |task: &&&Task| self.is_current(task) && task.has_ended_itself();
        let last = slot.iter().find(ended);
        match newest.status.state.as_str() {
            "running" if checked => State::Healthy,
            "running" => State::Running,
            "pending" if !newest.status.err.is_empty() && newest.waits_for(now) > PLACEMENT => {
                State::Failed(newest.why())
            }
            // Nothing gets better by trying that again: an image that is not there, say. One fall
            // is forgiven, whether or not its successor is seen already.
            _ => match last {
                Some(last) if last.status.state == "rejected" || slot.iter().filter(ended).count() > 1 => {
                    State::Failed(last.why())
                }
                None if newest.has_ended() => State::Failed(newest.why()),
                _ => State::Starting,
            },
        }
    }

    /// Made from what the service is now.
    fn is_current(&self, task: &Task) -> bool {
        let key = |template: &Template| {
            let container = &template.container_spec;
            let label = container.labels.as_ref().and_then(|labels| labels.get("monprov.digest")).cloned();
            let configs: BTreeSet<String> =
                container.configs.iter().flatten().map(|config| config.id.clone()).collect();
            let secrets: BTreeSet<String> =
                container.secrets.iter().flatten().map(|secret| secret.id.clone()).collect();
            let env = container.env.clone().unwrap_or_default();
            (template.force_update, container.image.clone(), label, env, configs, secrets)
        };
        key(&self.spec.task_template) == key(&task.spec)
    }

    /// The task whose words say most: the newest that has had a container.
    pub(super) fn speaker<'a>(&self, tasks: &'a [Task]) -> Option<&'a Task> {
        let own = tasks.iter().filter(|task| task.service == self.id && task.container().is_some());
        own.max_by(|a, b| a.created_at.cmp(&b.created_at))
    }

    /// A task that can be asked something.
    pub(super) fn up<'a>(&self, tasks: &'a [Task]) -> Option<&'a Task> {
        let up = |task: &&Task| {
            task.service == self.id && task.status.state == "running" && task.desired_state == "running"
        };
        tasks.iter().filter(up).max_by_key(|task| (self.is_current(task), task.created_at.clone()))
    }
}

/// What is worst says how a service is.
fn badness(state: &State) -> u8 {
    match state {
        State::Failed(_) => 3,
        State::Unhealthy(_) => 2,
        State::Starting => 1,
        _ => 0,
    }
}

impl Task {
    pub(super) fn container(&self) -> Option<&str> {
        let container = self.status.container_status.as_ref().map(|status| status.id.as_str());
        container.filter(|id| !id.is_empty())
    }

    /// Its container is gone, or is none of the swarm's business any more.
    pub(super) fn has_ended(&self) -> bool {
        let ends = ["complete", "shutdown", "failed", "rejected", "remove", "orphaned"];
        ends.contains(&self.status.state.as_str())
    }

    /// Nobody told it to.
    fn has_ended_itself(&self) -> bool {
        ["complete", "failed", "rejected"].contains(&self.status.state.as_str())
    }

    /// What the swarm says about its end; empty where that is nothing.
    pub(super) fn trouble(&self) -> &str {
        &self.status.err
    }

    fn why(&self) -> String {
        let status = &self.status;
        let code = status.container_status.as_ref().map(|container| container.exit_code);
        match (status.err.as_str(), code) {
            ("", Some(code)) => format!("{}, exit code {code}", status.state),
            ("", None) => format!("{}, {}", status.state, status.message),
            (why, _) => format!("{}, {}", status.state, why.trim_start_matches("task: ")),
        }
    }

    fn since(&self) -> Option<SystemTime> {
        let since: jiff::Timestamp = self.status.timestamp.parse().ok()?;
        Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millisecond()).ok()?))
    }

    /// How long it has been as it is.
    fn waits_for(&self, now: SystemTime) -> Duration {
        self.since().and_then(|since| now.duration_since(since).ok()).unwrap_or_default()
    }
}
