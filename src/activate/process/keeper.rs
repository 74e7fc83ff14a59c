//! The processes between the supervisor and a program: this executable, started again.
//!
//! `@keep` reads what to start from its standard input, a socket that is also the supervisor's
//! sign of life, and reports on it. It starts `@exec`, which binds itself to its keeper by the
//! death signal, takes up the secrets and becomes the program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, set_child_subreaper,
    set_parent_process_death_signal, setsid, wait,
};
use serde::{Deserialize, Serialize};

use super::tree;

/// The first argument that makes this executable a keeper.
pub(super) const KEEP: &str = "@keep";
const EXEC: &str = "@exec";

/// This executable, also after an update has replaced the file.
pub(super) const OWN: &str = "/proc/self/exe";

/// How long what a program leaves behind has to end by itself.
const LEFT_OVER_GRACE: Duration = Duration::from_secs(2);

/// What a keeper starts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    /// Variables by the file whose content is their value.
    pub(super) secret_environment: BTreeMap<String, String>,
}

/// What the supervisor tells a keeper, a line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    Terminate,
    Kill,
}

/// What a keeper reports, a line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Report {
    Started(u32),
    Exited(Exit),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// Its keeper was killed, and it with it.
    Lost,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "killed by signal {signal}"),
            Exit::Lost => write!(f, "killed with its keeper"),
        }
    }
}

/// Runs this executable as one of those processes, if that is what the arguments ask for.
pub fn internal(mut args: impl Iterator<Item = OsString>) -> Option<anyhow::Result<ExitCode>> {
    let verb = args.nth(1)?;
    let argument = args.next().unwrap_or_default();
    match verb.to_str()? {
        KEEP => Some(keep(&argument.to_string_lossy()).map(|()| ExitCode::SUCCESS)),
        EXEC => Some(become_program(&argument.to_string_lossy())),
        _ => None,
    }
}

fn keep(name: &str) -> anyhow::Result<()> {
    // `pkill monprov` is for the supervisor; its keepers must live to clean up behind it.
    let name: String = format!("keep {name}").replace('\0', "").chars().take(15).collect();
    rustix::thread::set_name(&std::ffi::CString::new(name)?)?;
    set_child_subreaper(Some(getpid()))?;
    // Fresh descriptors, which the program does not inherit.
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut orders = BufReader::new(socket.try_clone()?).lines();
    let start = orders.next().context("the supervisor has gone")??;

    let mut child = Command::new(OWN)
        .args([EXEC, &getpid().to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .spawn()
        .context("can't start a process")?;
    let program = Pid::from_child(&child);
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(start.as_bytes())?;
    }
    // A supervisor that has gone is noticed by the thread below.
    let mut report = |report: Report| {
        let _ = serde_json::to_string(&report).map(|line| socket.write_all(format!("{line}\n").as_bytes()));
    };
    report(Report::Started(child.id()));
    std::thread::spawn(move || obey(orders));

    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == program => {
                report(Report::Exited(exit_of(status)));
                std::thread::spawn(clear_away);
            }
            Ok(_) | Err(Errno::INTR) => {}
            // No child is left, and whatever lost its parent was ours.
            Err(_) => return Ok(()),
        }
    }
}

/// Hands on the supervisor's orders; its end is the order to kill.
fn obey(orders: impl Iterator<Item = std::io::Result<String>>) {
    for order in orders.map_while(Result::ok) {
        match serde_json::from_str(&order) {
            Ok(Order::Terminate) => tree::signal_below(getpid(), Signal::TERM),
            Ok(Order::Kill) | Err(_) => break,
        }
    }
    kill_all();
}

/// Ends what the program has left behind.
fn clear_away() {
    tree::signal_below(getpid(), Signal::TERM);
    std::thread::sleep(LEFT_OVER_GRACE);
    kill_all();
}

/// Again and again: a process may be started while the others are being killed. This ends
/// with the keeper, when nothing is left.
fn kill_all() {
    loop {
        tree::signal_below(getpid(), Signal::KILL);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Lost,
    }
}

/// Returns only where the program can't be started.
fn become_program(keeper: &str) -> anyhow::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A keeper that died before that sends no signal any more.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    anyhow::ensure!(parent.as_deref() == Some(keeper), "the keeper has gone");
    // Away from the terminal's Ctrl-C, and a `kill 0` of the program stays its own.
    setsid()?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let start: Start = serde_json::from_str(&text)?;
    let mut command = Command::new(&start.program);
    command.args(&start.args).env_clear().envs(&start.environment).stdin(Stdio::null());
    for (variable, file) in &start.secret_environment {
        // Nothing of this memory is left once the program has taken its place.
        let value = std::fs::read(file).with_context(|| format!("the secret for {variable}, {file}"))?;
        command.env(variable, OsString::from_vec(value));
    }
    let error = command.exec();
    Err(error).with_context(|| format!("can't start {}", start.program.display()))
}
