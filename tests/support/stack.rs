//! A bundle of the process runtime, run as the bundle itself says it: what its
//! `processes.json` starts, with the secret files that its `manifest.json` asks for.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::daemon::Daemon;
use super::http;
use super::project::PATH;

/// The running processes of a bundle, by service.
#[derive(Debug)]
pub struct Stack {
    pub daemons: BTreeMap<String, Daemon>,
}

/// What a bundle is run with.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The state directory; the bundle is in its `store`.
    pub state: &'a Path,
    /// Searched for programs before the system's folders.
    pub programs: &'a Path,
    pub secrets: &'a [(&'a str, &'a str)],
    /// Services that are not started, since their program can't be had.
    pub without: &'a [&'a str],
}

impl Stack {
    /// Starts every process and waits until it is healthy.
    pub fn start(bundle: &Path, around: &Surroundings<'_>) -> Stack {
        let json = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(bundle.join(name)).unwrap()).unwrap()
        };
        let (manifest, processes) = (json("manifest.json"), json("processes.json"));
        let profile = processes["profile"].as_str().unwrap();

        let live = around.state.join("run").join(profile);
        std::fs::create_dir_all(&live).unwrap();
        symlink(Path::new("../../store").join(bundle.file_name().unwrap()), live.join("live")).unwrap();
        write_secrets(&manifest, profile, around);

        let mut daemons = BTreeMap::new();
        for process in processes["processes"].as_array().unwrap() {
            let name = process["name"].as_str().unwrap();
            if !around.without.contains(&name) {
                daemons.insert(name.to_owned(), start(process, around));
            }
        }
        Stack { daemons }
    }
}

fn write_secrets(manifest: &Value, profile: &str, around: &Surroundings<'_>) {
    for (service, entry) in manifest["services"].as_object().unwrap() {
        let folder = around.state.join("secrets").join(profile).join(service);
        std::fs::create_dir_all(&folder).unwrap();
        for (file, reference) in entry["secrets"].as_object().unwrap() {
            std::fs::write(folder.join(file), fill(reference.as_str().unwrap(), around.secrets)).unwrap();
        }
    }
}

/// Puts the secrets into a text such as `redis://:${secret.redis_password|url}@redis`.
fn fill(reference: &str, secrets: &[(&str, &str)]) -> String {
    let filled = secrets.iter().fold(reference.to_owned(), |text, (name, value)| {
        let json = serde_json::to_string(value).unwrap();
        text.replace(&format!("${{secret.{name}}}"), value)
            .replace(&format!("${{secret.{name}|url}}"), &http::encode(value))
            .replace(&format!("${{secret.{name}|json}}"), json.trim_matches('"'))
    });
    assert!(!filled.contains("${"), "no value for all of {reference}");
    filled
}

fn start(process: &Value, around: &Surroundings<'_>) -> Daemon {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let pairs = |value: &Value| -> Vec<(String, String)> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned()))
            .collect()
    };
    for directory in texts(&process["directories"]) {
        std::fs::create_dir_all(around.state.join(directory)).unwrap();
    }
    let mut command = Command::new(process["program"].as_str().unwrap());
    command
        .args(texts(&process["args"]))
        .current_dir(around.state)
        .env("PATH", format!("{}:{PATH}", around.programs.display()))
        .envs(pairs(&process["environment"]));
    for (variable, file) in pairs(&process["secret_environment"]) {
        command.env(variable, std::fs::read_to_string(around.state.join(file)).unwrap());
    }
    let logs: PathBuf = around.state.join("log");
    std::fs::create_dir_all(&logs).unwrap();
    let mut daemon = Daemon::start(process["name"].as_str().unwrap(), &logs, &command);
    if let Some(url) = process["health"]["http"].as_str() {
        daemon.until(|| http::is_ok(url));
    }
    daemon
}
