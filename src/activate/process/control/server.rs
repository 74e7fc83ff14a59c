//! The supervisor's side of the socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Ask, Change, Done, LONGEST, Request, Said, Status, VERSION, socket};
use crate::activate::process::error::{At, ProcessError, Refusal};
use crate::activate::process::service::Shared;
use crate::activate::process::supervisor::check;

/// A change, and where its outcome is awaited.
pub(in crate::activate::process) type Asked = (Change, oneshot::Sender<Result<Done, Refusal>>);

#[derive(Debug)]
pub(in crate::activate::process) struct Server(std::os::unix::net::UnixListener);

impl Server {
    /// For the holder of the lock: a socket that is there is left from one that was killed.
    pub(in crate::activate::process) fn bind(directory: &Path, profile: &str) -> Result<Self, ProcessError> {
        let (_open, path) = socket(directory, profile)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).at("remove", &path);
            }
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(&path).at("listen on", &path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).at("protect", &path)?;
        listener.set_nonblocking(true).at("listen on", &path)?;
        Ok(Server(listener))
    }

    /// Nobody is to come any more. For the holder of the lock.
    pub(in crate::activate::process) fn remove(directory: &Path, profile: &str) {
        if let Ok((_open, path)) = socket(directory, profile) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Answers everyone, at the same time.
    pub(in crate::activate::process) async fn answer(self, shared: Shared, changes: mpsc::Sender<Asked>) {
        let Ok(listener) = UnixListener::from_std(self.0) else { return };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(one(stream, shared.clone(), changes.clone()));
                }
                // Too many open files: some will be closed.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
    }
}

async fn one(mut stream: UnixStream, shared: Shared, changes: mpsc::Sender<Asked>) {
    // The mode of a socket is not looked at everywhere, and was set after it was made.
    let own = geteuid().as_raw();
    if !stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0) {
        return;
    }
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    if BufReader::new(reader.take(LONGEST)).read_line(&mut line).await.is_err() {
        return;
    }
    let answer = Answer { version: VERSION, answer: reply(&line, &shared, changes).await };
    if let Ok(text) = serde_json::to_string(&answer) {
        // Whoever asked may have gone.
        let _ = writer.write_all((text + "\n").as_bytes()).await;
    }
}

fn refuse(what: String, remedy: &str) -> Said {
    Said::Error(Refusal { what, remedy: remedy.to_owned() })
}

async fn reply(line: &str, shared: &Shared, changes: mpsc::Sender<Asked>) -> Said {
    // The version first: the rest of another version may be anything.
    match serde_json::from_str::<Request<serde_json::Value>>(line) {
        Ok(Request { version: VERSION, .. }) => {}
        Ok(Request { version, .. }) => {
            let what = format!("version {version} of the protocol is not known, only {VERSION}");
            return refuse(what, "use the same release as the running `monprov up`");
        }
        Err(error) => return refuse(format!("this is no request: {error}"), ""),
    }
    let change = match serde_json::from_str::<Request<Ask>>(line) {
        Ok(Request { request: Ask::Status, .. }) => {
            return Said::Status(Status { pid: std::process::id(), services: shared.board.now() });
        }
        Ok(Request { request: Ask::Logs(service), .. }) => {
            return Said::Logs(shared.lines_of(&service).all());
        }
        Ok(Request { request: Ask::Check(processes), .. }) => {
            // Whoever asks is about to change something, and holds the profile's lock.
            let _ = shared.clients.send(());
            return check(shared, &processes).map_or_else(Said::Error, Said::Agreed);
        }
        Ok(Request { request: Ask::Change(change), .. }) => change,
        Err(error) => return refuse(format!("this is no request: {error}"), ""),
    };
    let (sender, done) = oneshot::channel();
    let ends = || refuse("it is ending".into(), "start it again");
    if changes.send((change, sender)).await.is_err() {
        return ends();
    }
    match done.await {
        Ok(Ok(done)) => Said::Done(done),
        Ok(Err(why)) => Said::Error(why),
        Err(_) => ends(),
    }
}
