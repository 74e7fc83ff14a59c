//! A program with its keeper, as the supervisor sees it. Dropping it kills the program and all
//! that it started.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::keeper::{self, Exit, Order, Report, Start};
use super::tree;

/// Starts keepers and knows which run.
#[derive(Debug, Clone, Default)]
pub(super) struct Keepers(Arc<Mutex<BTreeSet<u32>>>);

#[derive(Debug)]
pub(super) struct Kept {
    keepers: Keepers,
    id: u32,
    keeper: Child,
    orders: OwnedWriteHalf,
    reports: Lines<BufReader<OwnedReadHalf>>,
    exit: Option<Exit>,
}

/// What the program writes, if it is wanted.
pub(super) type Output = Option<(ChildStdout, ChildStderr)>;

impl Keepers {
    /// Starts a program in a directory. Nothing of the supervisor's environment reaches it.
    pub(super) async fn start(
        &self,
        name: &str,
        start: &Start,
        directory: &Path,
        output: bool,
    ) -> std::io::Result<(Kept, Output)> {
        let (own, its) = std::os::unix::net::UnixStream::pair()?;
        own.set_nonblocking(true)?;
        let output = || if output { Stdio::piped() } else { Stdio::null() };
        let mut command = Command::new(keeper::OWN);
        command
            .arg0("keeper")
            .args([keeper::KEEP, name])
            .env_clear()
            .current_dir(directory)
            // Ctrl-C is the supervisor's to hear.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(its)))
            .stdout(output())
            .stderr(output());
        let mut keeper = command.spawn()?;
        // The command holds the keeper's end of the socket.
        drop(command);
        let id = keeper.id().unwrap_or_default();
        self.known().insert(id);
        let output = keeper.stdout.take().zip(keeper.stderr.take());
        let (reports, orders) = UnixStream::from_std(own)?.into_split();
        let reports = BufReader::new(reports).lines();
        let mut kept = Kept { keepers: self.clone(), id, keeper, orders, reports, exit: None };
        let line = serde_json::to_string(start)? + "\n";
        kept.orders.write_all(line.as_bytes()).await?;
        Ok((kept, output))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends what a killed keeper left to the supervisor.
    async fn clear_away(&self) {
        loop {
            let strays: Vec<Pid> = tree::children(getpid())
                .into_iter()
                .filter(|pid| !self.known().contains(&pid.as_raw_nonzero().get().unsigned_abs()))
                .collect();
            if strays.is_empty() {
                return;
            }
            for stray in strays {
                tree::signal_below(stray, Signal::KILL);
                let _ = kill_process(stray, Signal::KILL);
                let _ = waitpid(Some(stray), WaitOptions::NOHANG);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Kept {
    /// The program's number; `None` where it could not be started.
    pub(super) async fn started(&mut self) -> Option<u32> {
        match self.report().await? {
            Report::Started(pid) => Some(pid),
            Report::Exited(exit) => {
                self.exit = Some(exit);
                None
            }
        }
    }

    /// Waits until the program and all that it started have ended. May be dropped and called
    /// again.
    pub(super) async fn ended(&mut self) -> Exit {
        while let Some(report) = self.report().await {
            if let Report::Exited(exit) = report {
                self.exit = Some(exit);
            }
        }
        let clean = self.keeper.wait().await.is_ok_and(|status| status.success());
        self.keepers.known().remove(&self.id);
        if !clean {
            self.keepers.clear_away().await;
        }
        self.exit.unwrap_or(Exit::Lost)
    }

    pub(super) fn order(&self, order: Order) {
        // A keeper that has gone, or is to be gone, needs no order; a line fits the buffer.
        let _ =
            serde_json::to_string(&order).map(|line| self.orders.try_write(format!("{line}\n").as_bytes()));
    }

    async fn report(&mut self) -> Option<Report> {
        let line = self.reports.next_line().await.ok()??;
        serde_json::from_str(&line).ok()
    }
}
