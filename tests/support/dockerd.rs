//! A real Docker engine in name spaces of its own (network, mounts, processes), so that nothing
//! of it reaches the machine and all of it ends with the test. Images are made of the
//! programs that are installed here, since none can be pulled.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::{GENEROUS, program, wait_for};

/// A running engine; it ends, containers and all, when this is dropped.
#[derive(Debug)]
pub struct Dockerd {
    daemon: Daemon,
    /// The engine's first process, whose name spaces commands enter.
    inside: u32,
    folder: TempDir,
}

impl Dockerd {
    pub fn start() -> Dockerd {
        let folder = tempfile::Builder::new().prefix("monprov-dockerd-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let script = format!(
            "ip link set lo up && exec dockerd --data-root {} --exec-root {} --pidfile {} --host unix://{} \
             --storage-driver overlay2",
            at("data"),
            at("exec"),
            at("pid"),
            at("docker.sock"),
        );
        let mut command = Command::new(program("unshare"));
        command
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
            .args(["sh", "-c", &script])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut daemon = Daemon::start("dockerd", folder.path(), &command);
        let socket = folder.path().join("docker.sock");
        daemon.until(|| socket.exists());
        let children = format!("/proc/{0}/task/{0}/children", daemon.id());
        let inside = std::fs::read_to_string(children).unwrap();
        let inside = inside.split_whitespace().next().unwrap().parse().unwrap();
        let dockerd = Dockerd { daemon, inside, folder };
        wait_for(GENEROUS, "answer of dockerd", || {
            dockerd
                .output(dockerd.enter(Command::new("docker").arg("version")))
                .status
                .success()
                .then_some(())
        });
        dockerd.import();
        dockerd
    }

    /// An engine that is the one node, and the manager, of a swarm.
    pub fn swarm() -> Dockerd {
        let dockerd = Dockerd::start();
        // There is no address here that another node could reach.
        dockerd.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        dockerd
    }

    /// What `DOCKER_HOST` is to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// The same command within the engine's name spaces, with its network and its processes.
    pub fn enter(&self, command: &Command) -> Command {
        let mut entered = Command::new(program("nsenter"));
        entered.args(["--target", &self.inside.to_string(), "--net", "--mount", "--pid"]);
        if let Some(directory) = command.get_current_dir() {
            entered.arg({
                let mut flag = OsString::from("--wd=");
                flag.push(directory);
                flag
            });
        }
        entered.arg("--").arg(command.get_program()).args(command.get_args());
        entered.env("DOCKER_HOST", self.host());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                entered.env(name, value);
            }
        }
        entered
    }

    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        let output = self.output(self.enter(Command::new("docker").args(args)));
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The body that a URL inside answers with; `None` where it is not 200.
    pub fn get(&self, url: &str) -> Option<String> {
        let output = self.output(self.enter(Command::new("wget").args(["-q", "-O", "-", "--no-proxy", url])));
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends the engine and its containers.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    fn output(&self, mut command: Command) -> Output {
        command.output().unwrap()
    }

    /// The images that every test may use.
    fn import(&self) {
        let tools =
            ["prometheus", "prometheus-alertmanager", "sh", "sleep", "cat", "stat", "wget"].map(program);
        let template = |name: &str| PathBuf::from(format!("/usr/share/prometheus/alertmanager/{name}.tmpl"));
        self.image(
            &tools,
            &["default", "email"].map(template),
            &["prometheus", "alertmanager"],
            &[
                ("test/prometheus:v2.42.0", r#"ENTRYPOINT ["/bin/prometheus"]"#),
                ("test/alertmanager:v0.25.0", r#"ENTRYPOINT ["/bin/prometheus-alertmanager"]"#),
                ("test/tool:v1.0.0", r#"ENTRYPOINT ["/bin/sh", "-c"]"#),
            ],
        );
    }

    /// The relay's image, as the Dockerfile makes it.
    pub fn import_relay(&self) {
        let own = PathBuf::from(env!("CARGO_BIN_EXE_monprov"));
        let programs = [own, program("sh"), program("wget")];
        let images = [("test/monprov:v0.1.0", r#"ENTRYPOINT ["/bin/monprov"]"#)];
        self.image(&programs, &[], &["var/lib/monprov"], &images);
    }

    /// One layer with programs and what they need, under a name for each entrypoint. `owned`: folders
    /// of the user that all but tools run as.
    fn image(&self, programs: &[PathBuf], files: &[PathBuf], owned: &[&str], images: &[(&str, &str)]) {
        let root = self.folder.path().join("root");
        for folder in owned.iter().chain(&["tmp", "etc"]) {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for owned in owned {
            std::os::unix::fs::chown(root.join(owned), Some(65534), Some(65534)).unwrap();
        }
        std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
            .unwrap();
        for program in programs {
            copy_with_libraries(program, &root.join("bin").join(program.file_name().unwrap()));
        }
        for file in files {
            copy_into(file, &root);
        }
        let archive = self.folder.path().join("image.tar");
        let tar =
            Command::new("tar").args(["-C"]).arg(&root).arg("-cf").arg(&archive).arg(".").output().unwrap();
        assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
        for (image, entrypoint) in images {
            let user = if image.contains("tool") { "USER 0" } else { "USER 65534" };
            self.docker(&[
                "import",
                "--change",
                entrypoint,
                "--change",
                user,
                &archive.display().to_string(),
                image,
            ]);
        }
        std::fs::remove_file(archive).unwrap();
        std::fs::remove_dir_all(root).unwrap();
    }
}

/// A program, and the shared libraries that it is linked with, at the same places.
fn copy_with_libraries(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from.canonicalize().unwrap(), to).unwrap();
    let listed = Command::new("ldd").arg(from).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let root = to.parent().unwrap().parent().unwrap();
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        copy_into(Path::new(library), root);
    }
}

fn copy_into(from: &Path, root: &Path) {
    let to: PathBuf = root.join(from.strip_prefix("/").unwrap());
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}
