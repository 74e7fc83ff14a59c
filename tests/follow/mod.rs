//! Hosts that run what a signed channel points to: through a real web server, with the real
//! program, and without a project.

mod fleet;
mod host;
mod refused;

use std::path::{Path, PathBuf};
use std::process::Command;

use monprov::cache::{Cache, Change, Pointer};
use monprov::store::{Store, StorePath};
use monprov::trust::SecretKey;
use tempfile::TempDir;

use crate::support::daemon::{Daemon, free_port};
use crate::support::project::{Output, Project};
use crate::support::{GENEROUS, program, repository, wait_for};

/// Where bundles are built, signed and served.
struct Source {
    server: Daemon,
    project: Project,
    key: SecretKey,
    port: u16,
}

impl Source {
    fn new() -> Source {
        let project = Project::empty();
        std::fs::create_dir(project.path("cache")).unwrap();
        let port = free_port();
        let server = serve(&project, port);
        Source { project, key: SecretKey::generate("fleet-1", &[1; 32]).unwrap(), port, server }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Builds the profile `p`, whose one program is a shell script.
    fn build(&self, script: &str) -> StorePath {
        let profile = format!(
            "[stack]\nruntime = \"process\"\n[services.one]\nprogram = \"sh\"\nargs = [\"-c\", '''{script}''']\n"
        );
        self.project.write("profiles/p.toml", profile);
        let built = self.project.run("build p --oracle off").succeeds();
        StorePath::at(&self.project.path(&built.last_line().replace("$PROJECT/", ""))).unwrap()
    }

    fn cache(&self) -> Cache {
        Cache::open_for_writing(&format!("file://{}", self.project.path("cache").display())).unwrap()
    }

    fn push(&self, bundle: &StorePath) {
        let store = Store::open(&self.project.path(".monprov")).unwrap();
        self.cache().push(&store, bundle).unwrap();
    }

    /// Pushes a bundle and lets the channel point to it.
    fn point(&self, bundle: &StorePath) -> Pointer {
        self.push(bundle);
        self.change(bundle, Change::default())
    }

    fn change(&self, bundle: &StorePath, change: Change) -> Pointer {
        self.signed(bundle, change, &self.key)
    }

    fn signed(&self, bundle: &StorePath, change: Change, key: &SecretKey) -> Pointer {
        let trust = monprov::trust::Trust { keys: vec![self.key.public()], ..Default::default() };
        let keys = std::slice::from_ref(key);
        self.cache()
            .point(bundle.name(), keys, &trust, &change, "2026-01-02T03:04:05Z".parse().unwrap())
            .unwrap()
    }

    fn channel(&self) -> PathBuf {
        self.project.path("cache/channels/p.json")
    }

    /// What the server was asked since it was asked that often.
    fn requests(&self, since: usize) -> Vec<Request> {
        let log = std::fs::read_to_string(self.project.path("requests")).unwrap_or_default();
        log.lines().skip(since).map(Request::read).collect()
    }
}

fn serve(project: &Project, port: u16) -> Daemon {
    let mut command = Command::new(program("python3"));
    command.arg(repository().join("tests/follow/server.py")).arg(port.to_string());
    command.args([project.path("cache"), project.path("requests")]);
    let mut server = Daemon::start("server", project.root(), &command);
    server.until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    server
}

/// A line of the server's notes.
#[derive(Debug)]
struct Request {
    time: f64,
    path: String,
    status: u16,
    received: u64,
    sent: u64,
}

impl Request {
    fn read(line: &str) -> Request {
        let words: Vec<&str> = line.split(' ').collect();
        Request {
            time: words[0].parse().unwrap(),
            path: words[1].to_owned(),
            status: words[2].parse().unwrap(),
            received: words[3].parse().unwrap(),
            sent: words[4].parse().unwrap(),
        }
    }
}

/// A machine with a state directory and a trust file, and nothing else.
struct Host {
    // Ends before its folder goes.
    up: Option<Daemon>,
    folder: TempDir,
    url: String,
}

impl Host {
    fn new(source: &Source) -> Host {
        let folder = tempfile::Builder::new().prefix("monprov-host-").tempdir().unwrap();
        let host = Host { folder, url: source.url(), up: None };
        host.trust(&[&source.key]);
        host
    }

    /// One on which the first bundle runs.
    fn running(source: &Source, bundle: &StorePath) -> Host {
        source.point(bundle);
        let mut host = Host::new(source);
        host.once().succeeds();
        host.up();
        host
    }

    fn trust(&self, keys: &[&SecretKey]) {
        let keys: Vec<String> = keys.iter().map(|key| key.public().to_string()).collect();
        std::fs::write(self.path("trust.toml"), format!("keys = {keys:?}\n")).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monprov"));
        command
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", crate::support::project::PATH)
            .env("HOME", self.folder.path())
            .env("MONPROV_TRUST", self.path("trust.toml"))
            .stdin(std::process::Stdio::null());
        command
    }

    fn run(&self, args: &str) -> Output {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output = self.command(&args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Output { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn once(&self) -> Output {
        self.run(&format!("follow {} p --once", self.url))
    }

    fn once_json(&self) -> serde_json::Value {
        serde_json::from_str(&self.run(&format!("follow {} p --once --json", self.url)).stdout).unwrap()
    }

    /// Starts the supervisor of what is current, and waits until that is proved.
    fn up(&mut self) {
        self.start_up();
        wait_for(GENEROUS, "proved generation", || {
            (self.proved() && self.run("status p").code == 0).then_some(())
        });
    }

    fn start_up(&mut self) {
        let command = self.command(&["up", "--no-build", "p"]);
        self.up = Some(Daemon::start("up", self.folder.path(), &command));
    }

    /// Whether the supervisor's own activation is the current generation.
    fn proved(&self) -> bool {
        let current = std::fs::read(self.path("state/current/p")).unwrap_or_default();
        let current: serde_json::Value = serde_json::from_slice(&current).unwrap_or_default();
        current["runtime"] == "process" && current["outcome"] == "activated"
    }

    fn follow(&self, args: &[&str]) -> Daemon {
        let command = self.command(&[&["follow", self.url.as_str(), "p"], args].concat());
        Daemon::start("follow", self.folder.path(), &command)
    }

    /// The oldest first.
    fn generations(&self) -> Vec<serde_json::Value> {
        let list: serde_json::Value =
            serde_json::from_str(&self.run("generations p --json").succeeds().stdout).unwrap();
        let mut all = list["generations"].as_array().unwrap().clone();
        all.sort_by_key(|one| one["number"].as_u64());
        all
    }

    /// The bundle that runs.
    fn live(&self) -> Option<String> {
        name_of(&self.path("state/run/p/live"))
    }

    fn seen(&self) -> serde_json::Value {
        let text = std::fs::read(self.path("state/follow/p.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[track_caller]
    fn runs(&self, bundle: &StorePath) {
        assert_eq!(self.live().as_deref(), Some(bundle.name().as_str()));
        self.run("status p").succeeds();
    }
}

fn name_of(link: &Path) -> Option<String> {
    Some(std::fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned())
}

/// Scripts of programs that do nothing but live.
const ONE: &str = "exec sleep 100001";
const TWO: &str = "exec sleep 100002";
