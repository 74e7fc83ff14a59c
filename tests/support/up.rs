//! A running `monprov up`, and what can be seen of it from outside.

use std::path::PathBuf;
use std::time::Duration;

use monprov::activate::process::{Client, ServiceStatus, State, Status};
use rustix::process::Signal;

use super::daemon::{self, Daemon};
use super::project::Project;
use super::{GENEROUS, wait_for};

pub struct Up {
    pub daemon: Daemon,
    pub client: Client,
    pub project: Project,
}

impl Up {
    /// Starts the profile `dev` of a project.
    pub fn start(project: Project) -> Up {
        Up::of("dev", project, &["--oracle", "off"])
    }

    pub fn of(profile: &str, project: Project, args: &[&str]) -> Up {
        let mut command = project.command(["up", profile].iter().chain(args));
        if let Some(user) = project.user() {
            command = daemon::as_user(&command, user);
        }
        let daemon = Daemon::start("up", project.root(), &command);
        let client = Client::new(&project.path(".monprov"), profile);
        Up { daemon, client, project }
    }

    pub fn status(&self) -> Status {
        self.client.status().unwrap().expect("the supervisor does not run")
    }

    /// The status of a service once it has that state.
    #[track_caller]
    pub fn until(&self, service: &str, state: State) -> ServiceStatus {
        self.until_that(service, &format!("{state:?}"), |status| status.state == state)
    }

    #[track_caller]
    pub fn until_that(
        &self,
        service: &str,
        what: &str,
        is: impl Fn(&ServiceStatus) -> bool,
    ) -> ServiceStatus {
        let start = std::time::Instant::now();
        loop {
            let status = self.client.status().unwrap();
            let status = status.and_then(|mut status| status.services.remove(service));
            if let Some(status) = &status
                && is(status)
            {
                return status.clone();
            }
            assert!(
                start.elapsed() < GENEROUS && self.daemon.is_running(),
                "{service} is never {what}, but {status:?}; so far:\n{}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has printed, logs and messages.
    pub fn output(&self) -> String {
        self.daemon.output()
    }

    #[track_caller]
    pub fn until_printed(&self, text: &str) {
        wait_for(GENEROUS, &format!("`{text}` in the output"), || self.output().contains(text).then_some(()));
    }

    /// Waits until it has ended by itself: its exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        wait_for(GENEROUS, "end of `up`", || (!self.daemon.is_running()).then_some(()));
        self.daemon.kill().code()
    }

    #[track_caller]
    pub fn interrupt(&mut self) -> Option<i32> {
        self.daemon.signal(Signal::INT);
        self.ended()
    }

    /// The command lines of all processes that work in the project's folder: whatever the
    /// supervisor has started, and itself.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let root = self.project.root();
        let numbers = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let here = |pid: &u32| {
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(root))
        };
        numbers.filter(here).map(|pid| (pid, file_of(pid, "cmdline").replace('\0', " "))).collect()
    }

    /// The process whose command line ends so.
    #[track_caller]
    pub fn process(&self, end: &str) -> u32 {
        wait_for(GENEROUS, &format!("process `{end}`"), || {
            Some(self.processes().into_iter().find(|(_, line)| line.trim_end().ends_with(end))?.0)
        })
    }

    #[track_caller]
    pub fn nothing_remains(&self) {
        wait_for(Duration::from_secs(5), "end of all processes", || {
            self.processes().is_empty().then_some(())
        });
    }
}

/// A file of a process, as text.
pub fn file_of(pid: u32, file: &str) -> String {
    let bytes = std::fs::read(PathBuf::from(format!("/proc/{pid}/{file}"))).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
