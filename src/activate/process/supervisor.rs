//! All services of a profile: in which order they start, what an `apply` changes, and the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{getpid, set_child_subreaper};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::control::{Applied, Change, Done, lock::Lock, server::Server};
use super::error::{ProcessError, Refusal};
use super::events::{Event, Events};
use super::kept::Keepers;
use super::service::board::Board;
use super::service::{Service, Shared};
use super::{health, program};
use crate::bundle::manifest::sha256;
use crate::render::process::{Process, Processes, VERSION};

/// How long even a killed program may take, stuck in the kernel on a dead disk.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// The one supervisor of a profile.
#[derive(Debug)]
pub struct Supervisor {
    directory: PathBuf,
    profile: String,
    server: Server,
    lock: Lock,
    clients: std::sync::mpsc::Sender<()>,
}

/// What ended a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A person, or the system that goes down.
    Interrupted,
    /// A [`Client`](super::Client).
    Asked,
}

/// All has been stopped. As long as this lives, nobody else becomes the profile's supervisor,
/// and whoever asked for the end waits.
#[derive(Debug)]
#[must_use]
pub struct Stopped {
    pub ended: Ended,
    lock: Lock,
}

impl Stopped {
    /// Here, and not somewhere before.
    pub fn release(self) {
        self.lock.release();
    }
}

impl Supervisor {
    /// Becomes the supervisor of a profile in a state directory, or says who is. From here on
    /// [`Client`](super::Client) finds it; it answers once it runs. `clients` is told of everybody
    /// who is about to change what runs.
    pub fn open(
        directory: &Path,
        profile: &str,
        clients: std::sync::mpsc::Sender<()>,
    ) -> Result<Supervisor, ProcessError> {
        let lock = Lock::take(directory, profile)?;
        let server = Server::bind(directory, profile)?;
        let (directory, profile) = (directory.to_owned(), profile.to_owned());
        Ok(Supervisor { directory, profile, server, lock, clients })
    }

    /// Supervises what it is told to until Ctrl-C, SIGTERM, a closed terminal or a `down`.
    pub fn run(self, events: Events) -> anyhow::Result<Stopped> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(self.supervise(events));
        runtime.shutdown_timeout(Duration::from_millis(100));
        ended
    }

    async fn supervise(self, events: Events) -> anyhow::Result<Stopped> {
        let mut interrupts = Interrupts::new()?;
        // What a killed keeper leaves is ours.
        set_child_subreaper(Some(getpid()))?;
        let shared = Shared {
            directory: self.directory.clone(),
            profile: self.profile,
            path: program::search_path()?,
            home: std::env::var("HOME").ok(),
            board: Board::new(),
            events,
            keepers: Keepers::default(),
            http: health::client()?,
            clients: self.clients,
            lines: Default::default(),
        };
        let (sender, mut changes) = mpsc::channel(1);
        let answering = tokio::spawn(self.server.answer(shared.clone(), sender));
        let mut stack = Stack { shared, services: BTreeMap::new() };
        let down = loop {
            tokio::select! {
                () = interrupts.next() => break None,
                change = changes.recv() => match change {
                    Some((Change::Apply { processes, restart }, reply)) => {
                        tokio::select! {
                            applied = stack.apply(processes, &restart) => {
                                let _ = reply.send(applied.map(Done::Applied));
                            }
                            () = interrupts.next() => break None,
                        }
                    }
                    Some((Change::Stop, reply)) => break Some(reply),
                    None => break None,
                }
            }
        };
        Server::remove(&stack.shared.directory, &stack.shared.profile);
        let names: Vec<String> = stack.services.keys().cloned().collect();
        if !names.is_empty() {
            stack.shared.events.send(Event::Stopping { services: names.len() });
        }
        tokio::select! {
            () = stack.stop(names) => {}
            () = interrupts.next() => stack.kill().await,
        }
        let ended = if down.is_some() { Ended::Asked } else { Ended::Interrupted };
        if let Some(reply) = down {
            let _ = reply.send(Ok(Done::Stopped));
        }
        // Those that asked get their answer.
        drop(changes);
        answering.abort();
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(Stopped { ended, lock: self.lock })
    }
}

/// Refuses what could not run: else the services whose programs are missing and need not be
/// there.
pub(super) fn check(shared: &Shared, wanted: &Processes) -> Result<Vec<String>, Refusal> {
    let Shared { path, directory, profile, .. } = shared;
    if wanted.version != VERSION {
        return Err(Refusal {
            what: format!("processes.json has version {}; this monprov knows {VERSION}", wanted.version),
            remedy: "use the release that built the bundle".into(),
        });
    }
    if wanted.profile != *profile {
        return Err(Refusal {
            what: format!("this bundle is of the profile {}", wanted.profile),
            remedy: format!("the supervisor runs {profile}"),
        });
    }
    let missing: Vec<&Process> =
        wanted.processes.iter().filter(|p| program::find(&p.program, path, directory).is_none()).collect();
    let required: Vec<_> =
        missing.iter().filter(|p| p.required).map(|p| format!("`{}` ({})", p.program, p.name)).collect();
    if required.is_empty() {
        return Ok(missing.into_iter().map(|p| p.name.clone()).collect());
    }
    Err(Refusal {
        what: format!("not on PATH: {}", required.join(", ")),
        remedy: "install what is missing, or name it as it is called here: services.NAME.program; \
                 `required = false` lets the rest run without it"
            .into(),
    })
}

#[derive(Debug)]
struct Stack {
    shared: Shared,
    services: BTreeMap<String, Service>,
}

impl Stack {
    /// Makes exactly these processes run: what is not among them, has another definition or is
    /// to be restarted is stopped first. Failed starts of the others are tried again. Whether
    /// all get healthy is for the one who asked to see.
    async fn apply(&mut self, wanted: Processes, restart: &BTreeSet<String>) -> Result<Applied, Refusal> {
        let missing = check(&self.shared, &wanted)?;
        let processes = wanted.processes;
        let services = processes.iter().map(|p| p.name.clone()).collect();
        self.shared.events.send(Event::Services { services });
        let mut applied = Applied { missing, ..Applied::default() };
        let digest = |p: &Process| sha256(p.definition().unwrap_or_default().as_bytes());
        let definitions: BTreeMap<String, String> =
            processes.iter().map(|p| (p.name.clone(), digest(p))).collect();
        let stays = |name: &String, service: &Service| {
            definitions.get(name) == Some(&service.definition) && !restart.contains(name)
        };
        let stop: Vec<String> =
            self.services.iter().filter(|(n, s)| !stays(n, s)).map(|(n, _)| n.clone()).collect();
        self.stop(stop.clone()).await;
        for process in processes {
            let name = process.name.clone();
            if let Some(service) = self.services.get(&name) {
                service.nudge();
                continue;
            }
            let definition = definitions.get(&name).cloned().unwrap_or_default();
            let list = if stop.contains(&name) { &mut applied.restarted } else { &mut applied.started };
            list.push(name.clone());
            self.services.insert(name, Service::start(&self.shared, process, definition));
        }
        applied.stopped = stop.into_iter().filter(|name| !definitions.contains_key(name)).collect();
        Ok(applied)
    }

    /// Stops services, each after those that stand behind it. What has ended is forgotten, also
    /// where this is dropped half-way.
    async fn stop(&mut self, mut names: Vec<String>) {
        while !names.is_empty() {
            let needed = |name: &String| {
                let behind = |other: &String| {
                    other != name && self.services.get(other).is_some_and(|s| s.process.after.contains(name))
                };
                names.iter().any(behind)
            };
            let (rest, mut wave): (Vec<_>, Vec<_>) = names.iter().cloned().partition(needed);
            if wave.is_empty() {
                // A circle, which the checks refuse.
                wave = names;
                names = vec![];
            } else {
                names = rest;
            }
            for service in wave.iter().filter_map(|name| self.services.get(name)) {
                service.stop();
            }
            self.shared.board.until(|all| !wave.iter().any(|name| all.contains_key(name))).await;
            self.services.retain(|name, _| !wave.contains(name));
        }
    }

    async fn kill(&mut self) {
        self.services.values().for_each(Service::kill);
        let gone = self.shared.board.until(|all| all.is_empty());
        let _ = tokio::time::timeout(LAST_GRACE, gone).await;
    }
}

/// Ctrl-C, SIGTERM and a closed terminal. The first asks to end, the next to hurry.
struct Interrupts(Vec<Signal>);

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        // `nohup` asks to outlive the terminal.
        if !is_ignored(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        Ok(Interrupts(kinds.into_iter().map(signal).collect::<Result<_, _>>()?))
    }

    async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let heard = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if heard { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (kind.as_raw_value() - 1)) != 0
}
