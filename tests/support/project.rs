//! A project in a temporary folder, and the real `monprov` run in it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use tempfile::TempDir;

use super::repository;

/// Where the tools are that monprov asks: promtool, amtool.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A project: a folder with `profiles/`, and a HOME beside it. Nothing of the environment
/// that the tests run in reaches `monprov`.
#[derive(Debug)]
pub struct Project {
    // Removed on drop.
    _temp: TempDir,
    root: PathBuf,
    home: PathBuf,
    environment: Vec<(String, String)>,
    /// As whom `monprov` runs, if not as who runs the tests.
    user: Option<u32>,
}

impl Project {
    /// Without any profile.
    pub fn empty() -> Project {
        let temp = tempfile::Builder::new().prefix("monprov-test-").tempdir().unwrap();
        let base = temp.path().canonicalize().unwrap();
        let (root, home) = (base.join("project"), base.join("home"));
        std::fs::create_dir_all(root.join("profiles")).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        Project { _temp: temp, root, home, environment: Vec::new(), user: None }
    }

    /// With a copy of the repository's own `profiles/` and the plugins that they use.
    pub fn reference() -> Project {
        let project = Project::empty();
        copy_folder(&repository().join("profiles"), &project.root.join("profiles"));
        copy_plugins(&project.root);
        project
    }

    /// Writes a file; folders are made.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Project {
        self.write(path, content);
        self
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        let path = self.path(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Makes the whole project a user's, so that `monprov` can run in it as that user.
    pub fn give_to(&self, user: u32) {
        // The project's folder and the temporary folder around it.
        for folder in [self.root.parent().unwrap(), &self.root] {
            let status = Command::new("chmod").arg("755").arg(folder).status().unwrap();
            assert!(status.success());
        }
        let owner = format!("{user}:{user}");
        let status = Command::new("chown").args(["-hR", &owner]).arg(&self.root).status().unwrap();
        assert!(status.success());
    }

    /// Makes the whole project a user's, as whom `monprov` runs in it from now on.
    #[must_use]
    pub fn of_user(mut self, user: u32) -> Project {
        self.give_to(user);
        self.user = Some(user);
        self
    }

    pub fn user(&self) -> Option<u32> {
        self.user
    }

    /// A variable that `monprov` sees in this project.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Project {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// `monprov` with an argument list, not yet run.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monprov"));
        command
            .args(args)
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.home)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs `monprov` with arguments separated by blanks.
    pub fn run(&self, args: &str) -> Output {
        self.output(self.command(args.split_whitespace()))
    }

    /// Runs a command made by [`Project::command`].
    pub fn output(&self, mut command: Command) -> Output {
        let output = command.output().unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: self.normalise(&String::from_utf8_lossy(&output.stdout)),
            stderr: self.normalise(&String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// What differs from run to run by a name: the folders as `$PROJECT` and `$HOME`, times
    /// as `N ms`.
    pub fn normalise(&self, text: &str) -> String {
        let text = text
            .replace(&*self.root.to_string_lossy(), "$PROJECT")
            .replace(&*self.home.to_string_lossy(), "$HOME");
        Regex::new(r"\b\d+(\.\d+)? (ms|s)\b").unwrap().replace_all(&text, "N ms").into_owned()
    }
}

/// What a run printed, normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// -1 where a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Fails the test unless the run ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Output {
        assert_eq!(self.code, code, "\n-- stdout --\n{}-- stderr --\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn succeeds(self) -> Output {
        self.exits(0)
    }

    /// The last line of stdout: the store path after a build.
    #[track_caller]
    pub fn last_line(&self) -> &str {
        self.stdout.lines().last().expect("nothing on stdout")
    }
}

/// Copies the shipped plugins and their pins.
pub fn copy_plugins(to: &Path) {
    let lock = std::fs::read_to_string(repository().join("monprov.lock")).unwrap();
    let files = Regex::new(r#"(?m)^\[plugins\."(.+)"\]$"#).unwrap();
    for file in files.captures_iter(&lock).map(|found| PathBuf::from(&found[1])) {
        std::fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        std::fs::copy(repository().join(&file), to.join(&file)).unwrap();
    }
    std::fs::write(to.join("monprov.lock"), lock).unwrap();
}

/// Copies a folder of ordinary files.
pub fn copy_folder(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
