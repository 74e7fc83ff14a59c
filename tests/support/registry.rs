//! A real registry, Debian's `docker-registry`, and what is pushed there by hand.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::daemon::{Daemon, free_port};
use super::program;

/// A registry on a port of this machine; it ends with the test.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    pub port: u16,
    folder: TempDir,
    more: String,
    login: Option<String>,
    scheme: &'static str,
}

/// Of `me`; it must show nowhere.
pub const PASSWORD: &str = "canary-registry-4711";

/// How an image or index is known.
pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Registry {
    /// Anybody may read and write.
    pub fn start() -> Registry {
        Registry::with("", "http", None)
    }

    /// `me` alone may, with [`PASSWORD`].
    pub fn with_password() -> Registry {
        let folder = folder();
        // bcrypt, as `htpasswd -B` makes it.
        let line = "me:$2b$04$monprovmonprovmonpro.u1epneEaFbQq0IaA5apDZE5rUt/g98V2\n";
        std::fs::write(folder.path().join("htpasswd"), line).unwrap();
        let more = format!(
            "auth:\n  htpasswd:\n    realm: here\n    path: {}\n",
            folder.path().join("htpasswd").display()
        );
        Registry::within(folder, &more, "http", Some(format!("me:{PASSWORD}")))
    }

    /// With TLS, and a certificate of an authority that nobody knows.
    pub fn with_tls() -> Registry {
        let folder = folder();
        certify(folder.path());
        let at = |name: &str| folder.path().join(name).display().to_string();
        let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", at("server.pem"), at("server.key"));
        Registry::within(folder, &tls, "https", None)
    }

    /// With other configuration: what follows `http:` first.
    fn with(more: &str, scheme: &'static str, login: Option<String>) -> Registry {
        Registry::within(folder(), more, scheme, login)
    }

    fn within(folder: TempDir, more: &str, scheme: &'static str, login: Option<String>) -> Registry {
        let port = free_port();
        let daemon = start(folder.path(), port, more);
        let mut registry = Registry { daemon, port, folder, more: more.into(), login, scheme };
        registry.wait();
        registry
    }

    fn wait(&mut self) {
        let port = self.port;
        self.daemon.until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn stop(&mut self) {
        self.daemon.kill();
    }

    /// The same content with other configuration.
    pub fn start_with(&mut self, more: &str) {
        self.stop();
        self.more = more.into();
        self.start_again();
    }

    pub fn start_again(&mut self) {
        self.daemon = start(self.folder.path(), self.port, &self.more);
        self.wait();
    }

    /// The file of the authority that signed its certificate.
    pub fn authority(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// A call of its API: status, digest that it tells, body.
    pub fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut command = Command::new(program("curl"));
        command.args(["--silent", "--show-error", "--insecure", "--noproxy", "*", "-D", "-", "-X", method]);
        if let Some(login) = &self.login {
            command.args(["--user", login]);
        }
        command.args(["-H", &format!("Content-Type: {kind}"), "-H", &format!("Accept: {IMAGE}, {INDEX}")]);
        if !body.is_empty() {
            let file = self.folder.path().join("body");
            std::fs::write(&file, body).unwrap();
            command.arg("--data-binary").arg(format!("@{}", file.display()));
        }
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}://{}/v2/{path}", self.scheme, self.host())
        };
        let output = command.arg(url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let end = output.stdout.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let told = header("Location").or_else(|| header("Docker-Content-Digest")).unwrap_or_default();
        (status, told, output.stdout[end + 4..].to_vec())
    }

    /// Uploads a blob; its digest.
    pub fn blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let (status, location, body) = self.call("POST", &format!("{repository}/blobs/uploads/"), "", b"");
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
        let url = format!("{location}&digest={digest}");
        let (status, ..) = self.call("PUT", &url, "application/octet-stream", bytes);
        assert_eq!(status, 201);
        digest
    }

    /// Puts a manifest under a tag; its digest.
    pub fn manifest(&self, repository: &str, tag: &str, kind: &str, manifest: &Value) -> String {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let (status, _, body) = self.call("PUT", &format!("{repository}/manifests/{tag}"), kind, &bytes);
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        digest(&bytes)
    }

    /// An image for one platform whose only content is a text; its digest.
    pub fn image(&self, repository: &str, tag: &str, architecture: &str, content: &str) -> String {
        let (manifest, _) = self.image_of(repository, architecture, content);
        self.manifest(repository, tag, IMAGE, &manifest)
    }

    fn image_of(&self, repository: &str, architecture: &str, content: &str) -> (Value, usize) {
        let config = json!({
            "os": "linux", "architecture": architecture, "config": {},
            "rootfs": { "type": "layers", "diff_ids": [] }, "history": [{ "comment": content }],
        });
        let config = serde_json::to_vec(&config).unwrap();
        let (layer, config_digest) =
            (self.blob(repository, content.as_bytes()), self.blob(repository, &config));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest, "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": content.len(),
            }],
        });
        let size = serde_json::to_vec(&manifest).unwrap().len();
        (manifest, size)
    }

    /// An index of images for several platforms; its digest.
    pub fn index(&self, repository: &str, tag: &str, architectures: &[&str], content: &str) -> String {
        let entries: Vec<Value> = architectures
            .iter()
            .map(|architecture| {
                let (manifest, size) = self.image_of(repository, architecture, content);
                let bytes = serde_json::to_vec(&manifest).unwrap();
                let digest = self.manifest(repository, &digest(&bytes), IMAGE, &manifest);
                json!({
                    "mediaType": IMAGE, "digest": digest, "size": size,
                    "platform": { "os": "linux", "architecture": architecture },
                })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        self.manifest(repository, tag, INDEX, &index)
    }

    /// The manifest that a tag or digest stands for.
    pub fn read(&self, repository: &str, reference: &str) -> Value {
        let (status, _, body) = self.call("GET", &format!("{repository}/manifests/{reference}"), "", b"");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub fn log(&self) -> String {
        self.daemon.output()
    }
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("monprov-registry-").tempdir().unwrap()
}

fn start(folder: &Path, port: u16, more: &str) -> Daemon {
    Daemon::start("docker-registry", folder, &command(folder, port, more))
}

/// The program on a port, with its files in a folder.
pub fn command(folder: &Path, port: u16, more: &str) -> Command {
    let (http, rest) = if more.starts_with("  ") { (more, "") } else { ("", more) };
    let config = format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: 127.0.0.1:{port}\n{http}{rest}",
        folder.join("storage").display()
    );
    std::fs::write(folder.join("config.yml"), config).unwrap();
    let mut command = Command::new(program("docker-registry"));
    command.arg("serve").arg(folder.join("config.yml")).env("OTEL_TRACES_EXPORTER", "none");
    command
}

/// An authority, and a certificate for this machine that it signed.
fn certify(folder: &Path) {
    let script = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
            -days 2 -subj /CN=authority -addext keyUsage=critical,keyCertSign
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr \
            -subj /CN=registry
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' >names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 \
            -extfile names
    ";
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
