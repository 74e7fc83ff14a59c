//! `kubectl`, and what it says.
#![expect(clippy::disallowed_methods, reason = "asks the cluster through its command")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::activate::RuntimeError;

/// Variables that the command sees: where the cluster is, and what its log-in helpers need.
/// Variables that hold the stack's secrets are not among them.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TMPDIR",
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
];

/// Beginnings of more of them.
const PASSED_FAMILIES: &[&str] = &["AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_", "LC_", "XDG_"];

/// What it says when the cluster, and not the bundle, is the trouble, and what to do then.
const TROUBLES: &[(&str, &str)] = &[
    ("context was not found", "correct `kubernetes.context` in the profile, or set KUBECONFIG"),
    (
        "no configuration has been provided",
        "set KUBECONFIG, or write ~/.kube/config, as for every use of kubectl",
    ),
    ("current-context is not set", "set `kubernetes.context` in the profile, or a current context"),
    ("The connection to the server", "start the cluster, or correct the kubeconfig"),
    ("Unable to connect to the server", "see that this machine reaches the cluster's API"),
    ("connection refused", "start the cluster, or correct the kubeconfig"),
    ("i/o timeout", "see that this machine reaches the cluster's API"),
    ("Unauthorized", "log in to the cluster again"),
    ("You must be logged in", "log in to the cluster again"),
    ("certificate", "correct the certificate authority in the kubeconfig"),
    ("is forbidden: User", "see profiles/KUBERNETES.md for the rights that monprov needs"),
    ("exceeded quota", "raise the namespace's quota, or lower `limits` in the profile"),
    (
        "no matches for kind",
        "install the Prometheus operator and its resource definitions, or take `flavor = \"plain\"`",
    ),
    ("being terminated", "wait until the namespace is gone, then run this again"),
    ("timed out", "see how the cluster is, then run this again"),
];

/// What it says when the cluster refuses what the bundle asks for.
const REJECTIONS: &[&str] = &[
    "is invalid",
    "Invalid value",
    "denied the request",
    "violates PodSecurity",
    "unknown field",
    "immutable",
];

/// No single request takes longer where the cluster is well.
const PATIENCE: &str = "--request-timeout=60s";

/// The command for one cluster and namespace.
#[derive(Debug)]
pub(super) struct Kubectl {
    pub(super) context: Option<String>,
    pub(super) namespace: String,
}

impl Kubectl {
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(args).args(["--namespace", &self.namespace]);
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        command.stdin(Stdio::null()).env_clear();
        let passed = |name: &str| {
            PASSED.contains(&name) || PASSED_FAMILIES.iter().any(|family| name.starts_with(family))
        };
        command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passed)));
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Result<String, RuntimeError> {
        let output = self.command(args).arg(PATIENCE).output().map_err(|error| absent(&error))?;
        result(&output, args)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// With documents on its standard input: what may hold secrets is in no argument and no file.
    pub(super) fn feed(&self, args: &[&str], documents: &[Value]) -> Result<(), RuntimeError> {
        let mut command = self.command(args);
        command.arg(PATIENCE).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| absent(&error))?;
        if let Some(mut stdin) = child.stdin.take() {
            let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
            let text = zeroize::Zeroizing::new(texts.join("\n"));
            // One that refuses the document may close its end; what it says tells why.
            let _ = stdin.write_all(text.as_bytes());
        }
        let output = child.wait_with_output().map_err(|error| absent(&error))?;
        result(&output, args)
    }

    pub(super) fn json(&self, args: &[&str]) -> Result<Value, RuntimeError> {
        let text = self.run(args)?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| {
            RuntimeError::unavailable(
                format!("kubectl answers with something else than JSON: {error}"),
                "use kubectl 1.28 or later",
            )
        })
    }

    /// The items of a list.
    pub(super) fn list(&self, args: &[&str]) -> Result<Vec<Value>, RuntimeError> {
        let mut args = args.to_vec();
        args.extend(["--ignore-not-found", "--output", "json"]);
        match self.json(&args)? {
            Value::Object(mut object) => match object.remove("items") {
                Some(Value::Array(items)) => Ok(items),
                _ => Ok(vec![Value::Object(object)]),
            },
            _ => Ok(vec![]),
        }
    }

    /// What a pod wrote last; empty where nothing can be had.
    pub(super) fn logs(&self, pod: &str, lines: usize, previous: bool) -> String {
        let lines = format!("--tail={lines}");
        let mut args = vec!["logs", pod, &lines];
        if previous {
            args.push("--previous");
        }
        let output = self.command(&args).output();
        let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
        String::from_utf8_lossy(&text.unwrap_or_default()).trim_end().to_owned()
    }
}

fn absent(error: &std::io::Error) -> RuntimeError {
    RuntimeError::unavailable(
        format!("kubectl can't be started: {error}"),
        "install kubectl 1.28 or later, or build the profile with another `stack.runtime`",
    )
}

fn result(output: &Output, args: &[&str]) -> Result<(), RuntimeError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join("\n");
    let what = format!("kubectl {} failed: {last}", args.first().unwrap_or(&""));
    if REJECTIONS.iter().any(|sign| said.contains(sign)) {
        return Err(RuntimeError::Rejected { what, logs: None });
    }
    match TROUBLES.iter().find(|(sign, _)| said.contains(sign)) {
        Some((_, remedy)) => Err(RuntimeError::unavailable(what, *remedy)),
        None => Err(RuntimeError::unavailable(what, "see what `kubectl get events` says")),
    }
}
