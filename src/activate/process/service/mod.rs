//! One service from its start to its end: it waits for others, starts, is watched, starts again
//! after it ended by itself, and is stopped.

mod backoff;
pub(super) mod board;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::events::{Event, Events, Stream};
use super::health;
use super::keeper::{self, Exit, Start};
use super::kept::{Keepers, Kept};
use super::logs::{self, LastLines};
use super::{port, program};
use crate::profile::units;
use crate::render::process::{Health, HealthCheck, Process};
use backoff::BackOff;
use board::{Board, ServiceStatus, State};

/// How long a program has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How long a service waits for those that it stands behind: a stack that can't watch
/// everything should watch the rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// Health is asked often until the first good answer, less often the longer that takes, and
/// then now and then, where the profile does not say how often.
const ASK_SOON: Duration = Duration::from_millis(50);
const ASK_LATER: Duration = Duration::from_secs(1);
const ASK_RUNNING: Duration = Duration::from_secs(3);
/// As many bad answers in a row make a service unhealthy where the profile does not say how many.
const BAD_ANSWERS: u32 = 3;
/// As many of its last lines are shown when a program fails.
const SHOWN: usize = 10;

/// What the services of a supervisor share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// The state directory, in which every program runs.
    pub(super) directory: PathBuf,
    pub(super) profile: String,
    pub(super) path: String,
    pub(super) home: Option<String>,
    pub(super) board: Board,
    pub(super) events: Events,
    pub(super) keepers: Keepers,
    pub(super) http: reqwest::Client,
    /// Told of everybody who is about to change what runs.
    pub(super) clients: mpsc::Sender<()>,
    /// The last lines of every service.
    pub(super) lines: Arc<Mutex<BTreeMap<String, LastLines>>>,
}

impl Shared {
    pub(super) fn lines_of(&self, service: &str) -> LastLines {
        let mut all = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.entry(service.to_owned()).or_default().clone()
    }
}

/// What a service is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Run; another number means that a failed start is tried again now.
    Run(u32),
    Stop,
    Kill,
}

/// A service under supervision.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) process: Process,
    pub(super) definition: String,
    orders: watch::Sender<Order>,
}

impl Service {
    pub(super) fn start(shared: &Shared, process: Process, definition: String) -> Service {
        shared.board.put(&process.name, ServiceStatus::new(definition.clone()));
        let (orders, receiver) = watch::channel(Order::Run(0));
        let life = Life {
            shared: shared.clone(),
            process: process.clone(),
            orders: receiver,
            backoff: BackOff::new(),
            failures: 0,
        };
        tokio::spawn(life.live());
        Service { process, definition, orders }
    }

    pub(super) fn stop(&self) {
        self.orders.send_if_modified(|order| {
            let runs = matches!(order, Order::Run(_));
            if runs {
                *order = Order::Stop;
            }
            runs
        });
    }

    pub(super) fn kill(&self) {
        self.orders.send_replace(Order::Kill);
    }

    /// Tries again at once what failed before.
    pub(super) fn nudge(&self) {
        self.orders.send_if_modified(|order| match order {
            Order::Run(number) => {
                *number = number.wrapping_add(1);
                true
            }
            Order::Stop | Order::Kill => false,
        });
    }
}

struct Life {
    shared: Shared,
    process: Process,
    orders: watch::Receiver<Order>,
    backoff: BackOff,
    failures: u32,
}

/// How a start came to its end.
enum End {
    /// As ordered.
    Stopped,
    Missing,
    Failed(Failure),
}

struct Failure {
    why: String,
    help: Option<String>,
    last_lines: Vec<String>,
    /// How long it had been well.
    well: Duration,
}

impl Failure {
    /// It was not even started.
    fn to_start(why: String, help: Option<String>) -> End {
        End::Failed(Failure { why, help, last_lines: vec![], well: Duration::ZERO })
    }
}

impl Life {
    async fn live(mut self) {
        self.wait_for_others().await;
        while self.is_wanted() {
            let end = self.run().await;
            if !self.is_wanted() {
                break;
            }
            match end {
                End::Stopped => break,
                End::Missing => self.next_order().await,
                End::Failed(failure) => self.rest(failure).await,
            }
        }
        self.shared.board.remove(&self.process.name);
    }

    fn is_wanted(&mut self) -> bool {
        matches!(*self.orders.borrow_and_update(), Order::Run(_))
    }

    async fn wait_for_others(&mut self) {
        let after = self.process.after.clone();
        let board = self.shared.board.clone();
        // A service that is not there is not waited for: it is missing, or was taken out.
        let unwell = |all: &board::Statuses| -> Vec<String> {
            let holds_up = |state: State| !state.is_well() && state != State::Missing;
            after.iter().filter(|name| all.get(*name).is_some_and(|s| holds_up(s.state))).cloned().collect()
        };
        let on = unwell(&board.now());
        if on.is_empty() {
            return;
        }
        let service = self.process.name.clone();
        self.shared.events.send(Event::Waits { service: service.clone(), on });
        tokio::select! {
            () = board.until(|all| unwell(all).is_empty()) => {}
            () = self.next_order() => {}
            () = tokio::time::sleep(PATIENCE) => {
                let on = unwell(&board.now());
                self.shared.events.send(Event::WaitsNoLonger { service, on });
            }
        }
    }

    /// Waits until it is told something new. A supervisor that has gone tells to kill.
    async fn next_order(&mut self) {
        if self.orders.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// One start of the program, to its end.
    async fn run(&mut self) -> End {
        let start = match self.prepare() {
            Ok(start) => start,
            Err(end) => return end,
        };
        let (events, name) = (self.shared.events.clone(), self.process.name.clone());
        self.change(|status| {
            status.state = State::Starting;
            status.problem = None;
        });
        let started = Instant::now();
        let kept = self.shared.keepers.start(&name, &start, &self.shared.directory, true).await;
        let (mut kept, output) = match kept {
            Ok(kept) => kept,
            Err(error) => return Failure::to_start(format!("can't be started: {error}"), None),
        };
        let last = self.shared.lines_of(&name);
        last.clear();
        let mut readers = tokio::task::JoinSet::new();
        if let Some((stdout, stderr)) = output {
            let follow = (name.clone(), events.clone(), last.clone());
            readers.spawn(logs::follow(stdout, follow.0, Stream::Stdout, follow.1, follow.2));
            let follow = (name.clone(), events.clone(), last.clone());
            readers.spawn(logs::follow(stderr, follow.0, Stream::Stderr, follow.1, follow.2));
        }
        if let Some(pid) = kept.started().await {
            self.change(|status| {
                status.pid = Some(pid);
                status.started = Some(board::now());
            });
            events.send(Event::Started { service: name.clone(), pid });
        }
        let watching = self.watch_health(&start, started);
        let mut orders = self.orders.clone();
        let exit = tokio::select! {
            exit = kept.ended() => Some(exit),
            () = watching => None,
            _ = orders.wait_for(|order| !matches!(order, Order::Run(_))) => None,
        };
        let killed = match exit {
            Some(_) => false,
            None => self.stop(&mut kept).await,
        };
        // What it wrote last is shown before its end, and part of the message.
        let all = async { while readers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
        match exit {
            Some(exit) => self.failed(exit, last.all()),
            None => {
                events.send(Event::Stopped { service: name, killed });
                End::Stopped
            }
        }
    }

    /// What is needed before a start.
    fn prepare(&mut self) -> Result<Start, End> {
        let Process { name, program: wanted, .. } = &self.process;
        let Shared { directory, path, .. } = &self.shared;
        let Some(program) = program::find(wanted, path, directory) else {
            let (service, program) = (name.clone(), wanted.clone());
            self.change(|status| {
                status.state = State::Missing;
                status.problem = Some(format!("`{program}` is not on PATH"));
            });
            self.shared.events.send(Event::Missing { service, program });
            return Err(End::Missing);
        };
        for data in &self.process.directories {
            make_private(&directory.join(data)).map_err(|error| {
                Failure::to_start(format!("can't be started: its data directory {data}: {error}"), None)
            })?;
        }
        if let Some((port, who)) = self.process.port.and_then(|port| Some((port, port::taken(port)?))) {
            let help = format!("end that one, or give this one another port: services.{name}.port");
            let why = format!("can't be started: port {port} is in use by {who}");
            return Err(Failure::to_start(why, Some(help)));
        }
        let mut environment = self.process.environment.clone();
        environment.entry("PATH".into()).or_insert_with(|| path.clone());
        if let Some(home) = &self.shared.home {
            environment.entry("HOME".into()).or_insert_with(|| home.clone());
        }
        Ok(Start {
            program,
            args: self.process.args.clone(),
            environment,
            secret_environment: self.process.secret_environment.clone(),
        })
    }

    /// Never ends: says on the board whether the service is well.
    async fn watch_health(&self, start: &Start, started: Instant) {
        let service = self.process.name.clone();
        let events = &self.shared.events;
        let healthy = |ms| {
            self.change(|status| {
                status.state = State::Healthy;
                status.problem = None;
            });
            events.send(Event::Healthy { service: service.clone(), ms });
        };
        let Some(Health { check, interval, timeout, retries, start_period }) = &self.process.health else {
            self.change(|status| status.state = State::Running);
            return std::future::pending().await;
        };
        let or = |set: &Option<units::Duration>, else_: Duration| {
            set.map_or(else_, |set| Duration::from_millis(set.0))
        };
        let (interval, timeout) = (or(interval, ASK_RUNNING), or(timeout, health::DEADLINE));
        let start_period = or(start_period, Duration::MAX);
        let retries = retries.unwrap_or(BAD_ANSWERS).max(1);
        let (mut bad, mut well) = (0, false);
        loop {
            let mut pause = interval;
            match self.ask(check, start, timeout).await {
                Ok(()) => {
                    if !well {
                        healthy(started.elapsed().as_millis());
                    }
                    (bad, well) = (0, true);
                }
                Err(why) if well || started.elapsed() >= start_period => {
                    bad += 1;
                    if bad == retries {
                        well = false;
                        self.change(|status| {
                            status.state = State::Unhealthy;
                            status.problem = Some(why.clone());
                        });
                        events.send(Event::Unhealthy { service: service.clone(), why });
                    } else if bad > retries {
                        self.change(|status| status.problem = Some(why));
                    }
                }
                Err(why) => {
                    self.change(|status| status.problem = Some(why));
                    pause = (started.elapsed() / 10).clamp(ASK_SOON, ASK_LATER).min(interval);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self, check: &HealthCheck, start: &Start, deadline: Duration) -> Result<(), String> {
        let Shared { http, keepers, directory, path, .. } = &self.shared;
        match check {
            HealthCheck::Http(url) => health::ask_http(http, url, deadline).await,
            HealthCheck::Command(words) => {
                let (command, args) = words.split_first().ok_or("the health check is empty")?;
                let program = program::find(command, path, directory)
                    .ok_or_else(|| format!("the health check's `{command}` is not on PATH"))?;
                let check = Start {
                    program,
                    args: args.to_vec(),
                    environment: start.environment.clone(),
                    secret_environment: Default::default(),
                };
                health::ask_command(keepers, &check, directory, deadline).await
            }
        }
    }

    /// SIGTERM, and after the grace, or when told so, SIGKILL: true if that was needed.
    async fn stop(&self, kept: &mut Kept) -> bool {
        self.change(|status| status.state = State::Stopping);
        kept.order(keeper::Order::Terminate);
        let mut orders = self.orders.clone();
        let killed = tokio::select! {
            _ = kept.ended() => false,
            () = tokio::time::sleep(GRACE) => true,
            _ = orders.wait_for(|order| *order == Order::Kill) => true,
        };
        if killed {
            kept.order(keeper::Order::Kill);
            kept.ended().await;
        }
        killed
    }

    /// It ended by itself.
    fn failed(&mut self, exit: Exit, last_lines: Vec<String>) -> End {
        let before = self.shared.board.now().remove(&self.process.name);
        let well = before.filter(|status| status.state.is_well()).map(|status| status.age());
        self.change(|status| {
            status.last_exit = Some(exit);
            status.pid = None;
        });
        let shown = last_lines.len().saturating_sub(SHOWN);
        let last_lines = last_lines.get(shown..).unwrap_or_default().to_vec();
        let said = last_lines.join("\n").to_lowercase();
        let help = if said.contains("address already in use") {
            Some("a port that it wants is in use: `ss -ltnp` shows by whom; give it another in its `args`")
        } else if exit == Exit::Code(0) {
            Some("a program has to stay in the foreground: its `args` must not make it a daemon")
        } else {
            None
        };
        let why = format!("ended: {exit}");
        End::Failed(Failure {
            why,
            help: help.map(str::to_owned),
            last_lines,
            well: well.unwrap_or_default(),
        })
    }

    /// The pause before the next start.
    async fn rest(&mut self, failure: Failure) {
        let Failure { why, help, last_lines, well } = failure;
        let pause = self.backoff.after(well);
        self.failures += 1;
        let problem = std::iter::once(why.clone()).chain(last_lines.iter().cloned()).collect::<Vec<_>>();
        let failures = self.failures;
        self.change(|status| {
            status.state = State::Restarting;
            status.restarts = failures;
            status.problem = Some(problem.join("\n"));
        });
        self.shared.events.send(Event::Failed {
            service: self.process.name.clone(),
            why,
            help,
            last_lines,
            again_in_ms: pause.as_millis(),
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.next_order() => self.backoff = BackOff::new(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut ServiceStatus)) {
        self.shared.board.change(&self.process.name, change);
    }
}

/// A directory for its owner alone, with all above it.
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
