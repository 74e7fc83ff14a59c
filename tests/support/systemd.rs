//! A real systemd as process 1 of name spaces of its own: units are booted, not only verified.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::{GENEROUS, program, repository, wait_for};

/// A booted system; all of it ends when this is dropped.
#[derive(Debug)]
pub struct Systemd {
    daemon: Daemon,
    /// Its process 1, as this machine numbers it.
    init: u32,
    cgroup: String,
    folder: TempDir,
}

impl Systemd {
    /// Boots these units. `shared`: folders that both sides see.
    pub fn boot(units: &[(&str, &str)], shared: &[&Path]) -> Systemd {
        let folder = tempfile::Builder::new().prefix("monprov-boot-").tempdir().unwrap();
        let own = folder.path().join("units");
        std::fs::create_dir(&own).unwrap();
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        let wanted = names.join(" ");
        std::fs::write(
            own.join("test.target"),
            format!("[Unit]\nDefaultDependencies=no\nWants={wanted}\nAfter={wanted}\n"),
        )
        .unwrap();
        for (name, text) in units {
            // What a unit needs by default is the rest of a machine.
            let text = text.replacen("[Unit]\n", "[Unit]\nDefaultDependencies=no\n", 1);
            std::fs::write(own.join(name), text).unwrap();
        }
        let cgroup = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut command = Command::new(repository().join("tests/support/parts/boot.sh"));
        command.arg(folder.path()).arg(&cgroup).arg(&own).args(shared);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let daemon = Daemon::start("systemd", folder.path(), &command);
        let children = format!("/proc/{0}/task/{0}/children", daemon.id());
        let init = wait_for(GENEROUS, "process 1", || {
            let child: u32 =
                std::fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()?;
            let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name == "systemd\n").then_some(child)
        });
        let systemd = Systemd { daemon, init, cgroup, folder };
        wait_for(GENEROUS, "answer of systemd", || {
            systemd.run(&["systemctl", "is-system-running"]).status.code().filter(|code| *code <= 1)
        });
        systemd
    }

    /// Runs a command in the booted system.
    pub fn run(&self, command: &[&str]) -> Output {
        let mut entered = Command::new(program("nsenter"));
        entered.args(["--target", &self.init.to_string(), "--mount", "--pid", "--net", "--ipc", "--"]);
        entered.arg("chroot").arg(self.folder.path().join("root")).args(command);
        entered.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap()
    }

    #[track_caller]
    pub fn succeeds(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command:?}: {}\n{}", said(&output.stderr), self.daemon.output());
        said(&output.stdout).trim().to_owned()
    }

    /// A property of a unit, as systemd has it now.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.succeeds(&["systemctl", "show", "--value", "--property", name, unit])
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.daemon.kill();
        for hierarchy in ["", "systemd", "unified"] {
            let own = Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.cgroup);
            // Deepest first; the kernel may need a moment to empty them.
            let start = std::time::Instant::now();
            while own.exists() && start.elapsed() < GENEROUS {
                for entry in walkdir::WalkDir::new(&own).contents_first(true).into_iter().flatten() {
                    if entry.file_type().is_dir() {
                        let _ = std::fs::remove_dir(entry.path());
                    }
                }
            }
        }
    }
}
