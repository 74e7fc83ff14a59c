//! A program that runs beside a test, and ends with it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{GENEROUS, program};

/// A running program with its own process group and its output in a file. It ends when this
/// is dropped, and also (`pdeathsig`) when the test process is killed.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Daemon {
    /// Starts a program; its output goes to `NAME.log` in a folder.
    pub fn start(name: &str, folder: &Path, command: &Command) -> Daemon {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut wrapped = Command::new(program("setpriv"));
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        wrapped.env_clear().env("PATH", super::project::PATH).env("HOME", folder).env("LC_ALL", "C.UTF-8");
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        let child = wrapped
            .current_dir(command.get_current_dir().unwrap_or(folder))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Daemon { name: name.into(), child, log, ended: None }
    }

    /// Waits until it is ready; a program that ends instead fails the test at once.
    #[track_caller]
    pub fn until(&mut self, ready: impl Fn() -> bool) {
        let start = Instant::now();
        while !ready() {
            let running = self.is_running();
            assert!(
                running && start.elapsed() < GENEROUS,
                "{} {}; its output:\n{}",
                self.name,
                if running { "does not get ready" } else { "has ended" },
                self.output()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Leaves an ended program unreaped, so that its number stays taken until `kill`.
    pub fn is_running(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.ended.is_none() && waitid(WaitId::Pid(self.group()), options).unwrap().is_none()
    }

    /// Ends it as a person would, with SIGTERM.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.is_running() && start.elapsed() < GENEROUS {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill()
    }

    /// Ends it and what it started, without warning.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        *self.ended.get_or_insert_with(|| self.child.wait().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            // An error means that nobody is left in the group.
            let _ = kill_process_group(self.group(), signal);
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(40).collect();
            eprintln!("--- the last output of {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// The same command as another user. Daemons take over a command's program and variables, and
/// not the user that it has.
pub fn as_user(command: &Command, user: u32) -> Command {
    let user = user.to_string();
    let mut changed = Command::new(program("setpriv"));
    // The kernel forgets the signal when the user changes.
    changed.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--pdeathsig", "KILL", "--"]);
    changed.arg(command.get_program()).args(command.get_args());
    changed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        changed.current_dir(directory);
    }
    changed
}

/// A free port of the loopback address. They are taken from below the range from which the
/// kernel serves outgoing connections, so that none of those can take one before its daemon.
pub fn free_port() -> u16 {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 17_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id().wrapping_mul(211) % u32::from(COUNT)) as u16;
    (0..COUNT)
        .map(|_| FIRST + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("no loopback port is free")
}
