//! As much of a Kubernetes cluster as the real `kubectl` needs, since no API server can be had
//! here: `parts/kube_api.py` says what it does. Its pods of Prometheus and Alertmanager are the
//! real programs, with the volumes, user and read-only root that the manifests give them.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::project::{PATH, Project};
use super::{installed, repository};

/// It ends, pods and all, when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    _daemon: Daemon,
    folder: TempDir,
}

impl Cluster {
    pub fn start() -> Cluster {
        let folder = tempfile::Builder::new().prefix("monprov-cluster-").tempdir().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        symlink(installed("kubernetes/bin/kubectl"), folder.path().join("bin/kubectl")).unwrap();
        let programs = r#"{"prom/prometheus": "prometheus", "prom/alertmanager": "prometheus-alertmanager"}"#;
        let mut command = Command::new(installed("kubernetes/bin/python"));
        command
            .arg(repository().join("tests/support/parts/kube_api.py"))
            .arg(folder.path())
            .arg(programs)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("KUBECTL", installed("kubernetes/bin/kubectl"));
        let mut daemon = Daemon::start("cluster", folder.path(), &command);
        let port = folder.path().join("port");
        daemon.until(|| port.exists());
        let cluster = Cluster { _daemon: daemon, folder };
        let port = std::fs::read_to_string(port).unwrap();
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
            "users": [{ "name": "test", "user": {} }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "current-context": "test",
        });
        std::fs::write(cluster.kubeconfig(), config.to_string()).unwrap();
        cluster
    }

    pub fn kubeconfig(&self) -> String {
        self.folder.path().join("kubeconfig").display().to_string()
    }

    /// A project whose `monprov` finds this cluster.
    pub fn serves(&self, project: Project) -> Project {
        let path = format!("{}:{PATH}", self.folder.path().join("bin").display());
        project.env("PATH", &path).env("KUBECONFIG", &self.kubeconfig())
    }

    pub fn kubectl(&self, args: &str) -> String {
        let output = Command::new(installed("kubernetes/bin/kubectl"))
            .args(args.split_whitespace())
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "kubectl {args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Resources of a kind in a namespace.
    pub fn all(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let text = self.kubectl(&format!("get {kind} --namespace {namespace} --output json"));
        let list: Value = serde_json::from_str(&text).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    pub fn names(&self, kind: &str, namespace: &str) -> Vec<String> {
        let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
        self.all(kind, namespace).iter().map(name).collect()
    }
}
