//! `kubectl port-forward`: how this machine reaches a port of a pod. Not through the API's own
//! proxy, which takes the `Authorization` header for itself, with which the relay and Grafana are
//! asked. It needs no address of the pod's network, and passes by network policies.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::kubectl::Kubectl;

/// It says where it listens within this.
const DEADLINE: Duration = Duration::from_secs(15);

/// A port of a pod, at an address of this machine while this lives.
#[derive(Debug)]
pub(super) struct Forward {
    child: Child,
    /// The pod, by its unique number.
    pub(super) pod: String,
    pub(super) address: String,
}

impl Forward {
    /// `None`: the pod takes no connections yet.
    pub(super) fn open(kubectl: &Kubectl, name: &str, uid: &str, port: u16) -> Option<Self> {
        let (pod, port) = (format!("pod/{name}"), format!(":{port}"));
        let mut command = kubectl.command(&["port-forward", "--address", "127.0.0.1", &pod, &port]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let stdout = child.stdout.take();
        let (tell, told) = mpsc::channel();
        // Reads on to the end, so that it is never held up by what it says of each connection.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout?).lines().map_while(Result::ok) {
                let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
                if let Some(address) = address {
                    let _ = tell.send(address.to_owned());
                }
            }
            Some(())
        });
        let mut forward = Forward { child, pod: uid.to_owned(), address: String::new() };
        forward.address = told.recv_timeout(DEADLINE).ok()?;
        Some(forward)
    }

    pub(super) fn is_open(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
