//! Docker Swarm, through `docker stack deploy`.
//!
//! A stack file says what a service is to be, and the engine works out what that changes; to say
//! the same with `docker service update` would mean to work out the changes here, and by the
//! engine's own API to speak to each kind of endpoint that `docker` can reach. The command has no
//! memory, and no say in what is changed: it gets those services only that the plan names.
//!
//! It returns before anything has happened, so all is read back from the managers: which tasks
//! there are, what they were made from, and how they end. Swarm's own rollback stays switched off:
//! it would bring back one service, and the way back here is one of the whole stack.
#![expect(clippy::disallowed_methods, reason = "waits for the swarm")]

mod file;
mod look;
mod secrets;
mod service;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::compose::Compose;
use super::docker::{self, docker, feed};
use super::{Observed, Plan, Runtime, RuntimeError, Step, Target};
use crate::render::swarm::untemplated;
use crate::secret::Secret;
use file::StackFile;
use look::{Node, Seen, gateway, observed, tasks, telling};
use service::{STACK, Service, Task};

/// Services that others wait for get that long, and then the others start all the same.
const PATIENCE: Duration = Duration::from_secs(120);

/// What ends writes out what it holds for up to a minute.
const GRACE: Duration = Duration::from_secs(75);

/// The lines of a log in which the reason of an end is looked for.
const ENOUGH: usize = 60;

const LOOK: Duration = Duration::from_millis(200);

/// The services of a profile.
#[derive(Debug)]
pub struct Swarm {
    /// The state directory.
    state: PathBuf,
    profile: String,
    /// The stacks in which something of the profile may run: a bundle may bring another name.
    stacks: BTreeSet<String>,
    /// What the last look at the swarm gave, for addresses; nothing after a change.
    seen: RefCell<Option<Seen>>,
    /// The node whose engine is asked.
    node: OnceCell<Node>,
}

impl Swarm {
    pub fn new(state: &Path, profile: &str, stacks: BTreeSet<String>) -> Self {
        let (state, profile) = (state.to_owned(), profile.to_owned());
        Swarm { state, profile, stacks, seen: RefCell::default(), node: OnceCell::new() }
    }

    fn node(&self) -> Result<&Node, RuntimeError> {
        match self.node.get() {
            Some(node) => Ok(node),
            None => Node::of_a_manager().map(|node| self.node.get_or_init(|| node)),
        }
    }

    fn look(&self) -> Result<Seen, RuntimeError> {
        self.node()?;
        // What ends between two questions is no trouble.
        for _ in 0..3 {
            if let Ok(seen) = Seen::of(&self.stacks) {
                return Ok(seen);
            }
        }
        Seen::of(&self.stacks)
    }

    /// What there is, as it was seen last.
    fn with<T>(&self, read: impl FnOnce(&Seen) -> T) -> Result<T, RuntimeError> {
        if self.seen.borrow().is_none() {
            let seen = self.look()?;
            self.seen.replace(Some(seen));
        }
        let seen = self.seen.borrow();
        Ok(read(seen.as_ref().unwrap_or(&Seen::default())))
    }

    /// Deploys some services of a bundle.
    fn deploy(&self, target: &Target<'_>, file: &StackFile, services: &[&str]) -> Result<(), RuntimeError> {
        let stack = Compose::project(target.bundle);
        let names = secrets::provide(&self.state, &stack, target.bundle, services)?;
        let text = file.only(services, &names).to_string();
        let value =
            |(name, secret): (&String, &Secret)| (name.clone(), Secret::new(untemplated(secret.expose())));
        let environment: BTreeMap<String, Secret> = target.environment.iter().map(value).collect();
        let args = [
            "stack",
            "deploy",
            // The bundle names images as exactly as the profile demands.
            "--resolve-image=never",
            "--with-registry-auth",
            "--compose-file=-",
            &stack,
        ];
        again(|| feed(&args, text.as_bytes(), Some(target.bundle.path.path()), &environment))
    }

    /// Starts what is to run anew and has not changed: Swarm leaves that alone.
    fn force(&self, before: &Observed, then: &Seen, services: &[&str]) -> Result<(), RuntimeError> {
        let now = self.look()?;
        for service in &now.services {
            let Some(name) = service.name().filter(|name| services.contains(name)) else { continue };
            let same = then.services.iter().any(|old| old.id == service.id && old.version == service.version);
            if same && !before.0.get(name).is_some_and(|running| running.state.is_up()) {
                again(|| docker(&["service", "update", "--detach", "--force", &service.id]))?;
            }
        }
        Ok(())
    }

    /// Waits for services that others wait for. What comes of them is for the proof to say.
    fn settle(&self, services: &[&str]) -> Result<(), RuntimeError> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let seen = observed(&self.look()?);
            let settled = |name: &&str| {
                seen.0.get(*name).is_some_and(|running| {
                    running.state.is_well() || !running.state.is_up() || running.restarts > 1
                })
            };
            if services.iter().all(settled) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends services, and waits for their containers: the next ones want their data and ports.
    fn remove(&self, services: &[&Service]) -> Result<(), RuntimeError> {
        if services.is_empty() {
            return Ok(());
        }
        let mut args = vec!["service", "rm"];
        args.extend(services.iter().map(|service| service.id.as_str()));
        docker(&args)?;
        let start = Instant::now();
        let gone = |task: &Task| task.has_ended() || !services.iter().any(|s| s.id == task.service);
        while start.elapsed() < GRACE {
            // One that ends between two questions makes the answer an error.
            let left: Result<Vec<Vec<Task>>, _> = self.stacks.iter().map(|stack| tasks(stack)).collect();
            if left.is_ok_and(|left| left.iter().flatten().all(gone)) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// A network that something is still attached to stays a moment longer.
    fn remove_networks(&self, stack: &str) -> Result<(), RuntimeError> {
        let filter = format!("label={STACK}={stack}");
        let start = Instant::now();
        loop {
            let networks = docker(&["network", "ls", "--quiet", "--filter", &filter])?;
            if networks.is_empty() {
                return Ok(());
            }
            let mut args = vec!["network", "rm"];
            args.extend(networks.lines());
            match docker(&args) {
                Err(error) if start.elapsed() > Duration::from_secs(10) => return Err(error),
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    /// Removes what has no user any more; what somebody else uses, the swarm keeps.
    fn remove_unused(&self, what: &str, used: &BTreeSet<String>) -> Result<(), RuntimeError> {
        for name in secrets::list(what, &self.profile)?.difference(used) {
            if let Err(error) = docker(&[what, "rm", name]) {
                tracing::debug!(%error, name, "stays");
            }
        }
        Ok(())
    }
}

/// The swarm writes how an update goes on into the service, and refuses who has read it before.
fn again(mut change: impl FnMut() -> Result<String, RuntimeError>) -> Result<(), RuntimeError> {
    for _ in 0..5 {
        match change() {
            Err(error) if error.to_string().contains("update out of sequence") => {
                std::thread::sleep(LOOK);
            }
            done => return done.map(|_| ()),
        }
    }
    change().map(|_| ())
}

impl Runtime for Swarm {
    fn name(&self) -> &'static str {
        "swarm"
    }

    fn observe(&self) -> Result<Observed, RuntimeError> {
        self.seen.replace(Some(self.look()?));
        self.with(observed)
    }

    fn check(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError> {
        let file = StackFile::of(target.bundle)?;
        let alone = self.node()?.nodes == 1;
        if let Some((network, external)) = file.network() {
            let create = format!("docker network create --driver overlay --attachable {network}");
            match docker(&["network", "inspect", "--format", "{{.Scope}}", &network]) {
                Ok(scope) if scope.trim() == "swarm" => {}
                Ok(_) => {
                    return Err(RuntimeError::unavailable(
                        format!("the network `{network}` is one of this host, not of the swarm"),
                        format!("name another in `stack.network`, or remove it and run: {create}"),
                    ));
                }
                Err(_) if external => {
                    return Err(RuntimeError::unavailable(
                        format!("the network `{network}` does not exist"),
                        format!("start the stack that it belongs to, or create it: {create}"),
                    ));
                }
                Err(_) => {}
            }
        }
        // Of other nodes nothing can be seen from here; their tasks say what they lack.
        for name in plan.having(Step::Create).chain(plan.having(Step::Restart)).filter(|_| alone) {
            docker::require_image(name, &file.image(name))?;
        }
        for name in plan.having(Step::Create).filter(|_| alone) {
            for port in file.published(name) {
                if let Err(error) = TcpListener::bind(("0.0.0.0", port))
                    && error.kind() == std::io::ErrorKind::AddrInUse
                {
                    return Err(RuntimeError::unavailable(
                        format!("port {port}, where {name} is to be published, is in use"),
                        "end what has it, or set another `publish` in the profile",
                    ));
                }
            }
        }
        Ok(())
    }

    fn apply(&self, target: &Target<'_>, plan: &Plan) -> Result<(), RuntimeError> {
        let file = StackFile::of(target.bundle)?;
        let stack = Compose::project(target.bundle);
        let seen = self.look()?;
        let before = observed(&seen);
        let is_gone =
            |s: &&Service| s.stack() != stack || plan.having(Step::Remove).any(|name| s.name() == Some(name));
        self.seen.replace(None);
        self.remove(&seen.services.iter().filter(is_gone).collect::<Vec<_>>())?;
        for other in self.stacks.iter().filter(|other| **other != stack) {
            // The new stack may want its name; where others are attached, it stays.
            let _ = self.remove_networks(other);
        }
        let services: Vec<&str> = plan.having(Step::Restart).chain(plan.having(Step::Create)).collect();
        let mut waves = file.waves(&services).into_iter().peekable();
        while let Some(wave) = waves.next() {
            self.deploy(target, &file, &wave)?;
            self.force(&before, &seen, &wave)?;
            if waves.peek().is_some() {
                self.settle(&wave)?;
            }
        }
        Ok(())
    }

    /// Configs and secrets are those that a container was made with.
    fn reloads(&self) -> bool {
        false
    }

    fn address(&self, service: &str, port: u16) -> Result<Option<String>, RuntimeError> {
        let node = &self.node()?.id;
        let found = self.with(|seen| {
            let service = seen.services.iter().find(|s| s.name() == Some(service))?;
            let task = service.up(&seen.tasks)?;
            let container = task.container().unwrap_or_default().to_owned();
            Some((service.published(port).cloned(), task.node.clone(), container))
        })?;
        let Some((published, at, container)) = found else { return Ok(None) };
        Ok(match published {
            Some(port) if port.is_of_host() && at == *node => {
                Some(format!("127.0.0.1:{}", port.published_port))
            }
            Some(port) if port.is_of_host() => {
                let address = docker(&["node", "inspect", "--format", "{{.Status.Addr}}", &at])?;
                Some(format!("{}:{}", address.trim(), port.published_port))
            }
            published => {
                let own = if at == *node { gateway(&container) } else { None };
                let mesh = published.map(|port| format!("127.0.0.1:{}", port.published_port));
                own.map(|address| format!("{address}:{port}")).or(mesh)
            }
        })
    }

    fn logs(&self, service: &str, lines: usize) -> String {
        let task = self.with(|seen| {
            let service = seen.services.iter().find(|s| s.name() == Some(service))?;
            service.speaker(&seen.tasks).cloned()
        });
        let (Ok(Some(task)), Ok(node)) = (task, self.node()) else { return String::new() };
        let said = match task.container() {
            Some(container) if task.node == node.id => docker::logs(&["logs"], container, ENOUGH),
            _ => docker::logs(&["service", "logs", "--raw"], &task.id, ENOUGH),
        };
        let mut said = telling(&said, lines);
        if !task.trouble().is_empty() {
            said = format!("{said}\n{}", task.trouble()).trim_start().to_owned();
        }
        said
    }

    fn stop(&self) -> Result<(), RuntimeError> {
        let seen = self.look()?;
        self.seen.replace(None);
        self.remove(&seen.services.iter().collect::<Vec<_>>())?;
        self.stacks.iter().try_for_each(|stack| self.remove_networks(stack))?;
        ["secret", "config"].iter().try_for_each(|what| self.remove_unused(what, &BTreeSet::new()))
    }

    fn tidy(&self) -> Result<(), RuntimeError> {
        let seen = self.look()?;
        let names = |of: &dyn Fn(&Service) -> Vec<String>| seen.services.iter().flat_map(of).collect();
        let secrets = names(&|service| service.secrets().map(str::to_owned).collect());
        self.remove_unused("secret", &secrets)?;
        let configs = names(&|service| service.configs().map(str::to_owned).collect());
        self.remove_unused("config", &configs)
    }
}
