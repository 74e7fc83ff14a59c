//! Unique values for every secret, and a search for them in everything that a run leaves
//! behind: files, outputs, arguments and environments of children, cores.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use crate::support::project::{PATH, Project};

/// Every kind of source that needs no server, in every place that takes a secret.
const PROFILE: &str = r#"
[stack]
runtime = "compose"

[services.prometheus]
kind = "prometheus"
image = "prom/prometheus:v3.14.0"
port = 9090

[services.alertmanager]
kind = "alertmanager"
image = "prom/alertmanager:v0.34.0"
port = 9093

[services.grafana]
kind = "grafana"
image = "grafana/grafana:13.2.0"
port = 3000

[services.wrapped]
image = "example/wrapped:1.0"
port = 9100
user = "1000"
entrypoint = ["wrapped"]
health = { http = "/health" }
environment = { URL = "redis://:${secret.by_env|url}@redis:6379/0" }
secret_files = { "all.json" = '["${secret.by_exec|json}", "${secret.by_file|base64}"]' }

[services.open]
image = "example/open:1.0"
port = 9101
allow_env = true
health = { http = "/health" }
environment = { PASSWORD = "${secret.by_env_file}" }

[scrapes.open]
service = "open"
bearer_token = "${secret.by_file}"

[grafana]
admin_password = "${secret.made}"

[alertmanager]
channel = "ops"

[alertmanager.smtp]
smarthost = "mail.example.com:25"
from = "a@example.com"
username = "a"
password = "${secret.by_exec}"

[channels.ops.email]
to = "ops@example.com"

[channels.ops.webhook]
url = "https://example.com/${secret.by_env|url}"

[alerts.Down]
expr = "up == 0"
summary = "{{ $labels.job }} is down"
severity = "critical"

[secrets]
by_env = { env = "BY_ENV", min_length = 8 }
by_env_file = { env = "BY_ENV_FILE" }
by_file = [{ file = "nothing-of-that-name" }, { file = "./by_file" }]
by_exec = { exec = ["pass", "show", "by_exec"] }
made = { generate = 40 }
"#;

/// What each secret is: long, unlike anything else, and other in every escaped form.
fn canary(name: &str) -> String {
    format!(
        "c4n4ry \"{name}\" \\ %/+& é {:x}",
        name.bytes().fold(7u64, |h, b| h.wrapping_mul(31) + u64::from(b))
    )
}

struct Canaries {
    project: Project,
    values: Vec<(String, String)>,
    /// What children were started with, and every command line of the machine while they ran.
    witness: std::path::PathBuf,
    seen: String,
}

impl Canaries {
    fn new() -> Canaries {
        let project = Project::empty().file("profiles/p.toml", PROFILE);
        let witness = project.root().parent().unwrap().join("witness");
        std::fs::write(&witness, "").unwrap();
        let values: Vec<(String, String)> = ["by_env", "by_env_file", "by_file", "by_exec"]
            .map(|name| (name.to_owned(), canary(name)))
            .into();
        let value = |name: &str| values.iter().find(|(n, _)| n == name).unwrap().1.clone();
        project.write("profiles/by_file", value("by_file"));
        project.write("../vault-of-pass", value("by_exec"));
        project.write("../env-file", format!("BY_ENV_FILE='{}'\n", value("by_env_file")));
        for file in ["profiles/by_file", "../vault-of-pass", "../env-file"] {
            std::fs::set_permissions(project.path(file), PermissionsExt::from_mode(0o600)).unwrap();
        }
        let note = format!(
            "{{ tr '\\0' '\\n' < /proc/$$/environ; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; }} >> {} 2>/dev/null",
            witness.display()
        );
        let programs = project.path("../programs");
        std::fs::create_dir_all(&programs).unwrap();
        for (name, does) in [
            ("pass", format!("exec cat {}", project.path("../vault-of-pass").display())),
            ("promtool", "exec /usr/bin/promtool \"$@\"".into()),
            ("amtool", "exec /usr/bin/amtool \"$@\"".into()),
        ] {
            std::fs::write(programs.join(name), format!("#!/bin/sh\n{note}\n{does}\n")).unwrap();
            std::fs::set_permissions(programs.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{PATH}", programs.display());
        let project = project.env("BY_ENV", &value("by_env")).env("PATH", &path).env("RUST_LOG", "trace");
        Canaries { project, values, witness, seen: String::new() }
    }

    /// Runs a command and keeps what it prints; with `env`, it finds all secrets.
    fn run(&mut self, args: &str, codes: &[i32]) {
        for json in ["", " --json"] {
            let output = self.project.run(&format!("{args}{json}"));
            assert!(codes.contains(&output.code), "{args}{json}: {} {}", output.code, output.stderr);
            self.seen += &output.stdout;
            self.seen += &output.stderr;
        }
    }

    /// Everything in which a value may not stand.
    fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let mut places = vec![("the output".to_owned(), self.seen.clone().into_bytes())];
        places.push(("a child's environment".to_owned(), std::fs::read(&self.witness).unwrap()));
        let state = self.project.path(".monprov");
        for entry in walkdir::WalkDir::new(self.project.root()) {
            let entry = entry.unwrap();
            let materialised = ["secrets", "generated"].map(|d| state.join(d));
            let source = entry.path() == self.project.path("profiles/by_file");
            if source || materialised.iter().any(|d| entry.path().starts_with(d)) {
                continue;
            }
            let name = entry.path().display().to_string();
            if entry.file_type().is_file() {
                places.push((name.clone(), std::fs::read(entry.path()).unwrap()));
            }
            places.push((name, entry.file_name().as_encoded_bytes().to_vec()));
        }
        places
    }

    fn search(&self) {
        let places = self.everything();
        assert!(places.len() > 30, "only {} places", places.len());
        for (name, value) in &self.values {
            for form in forms(value) {
                let finder = memchr::memmem::Finder::new(form.as_bytes());
                for (place, content) in &places {
                    assert!(finder.find(content).is_none(), "`{name}` stands in {place} as {form}");
                }
            }
        }
    }
}

/// A value as it may be written.
fn forms(value: &str) -> BTreeSet<String> {
    let json = serde_json::to_string(value).unwrap();
    let url: String =
        percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string();
    // Wherever it begins within a longer text: the first and last group belong to others.
    let base64 = (0..3).map(|pad| {
        let text = BASE64.encode(format!("{}{value}", "x".repeat(pad)));
        text[4..text.len() - 4].to_owned()
    });
    let reversed: String = value.chars().rev().collect();
    let hash = monprov::bundle::manifest::sha256(value.as_bytes());
    [value.to_owned(), json.trim_matches('"').to_owned(), url, reversed, hash]
        .into_iter()
        .chain(base64)
        .collect()
}

#[test]
fn values_stand_nowhere_but_where_they_were_handed_over() {
    let mut canaries = Canaries::new();
    let env = "--env-file ../env-file";
    canaries.run(&format!("check p {env}"), &[0]);
    canaries.run(&format!("build p {env} --oracle require"), &[0]);
    canaries.run(&format!("build p {env}"), &[0]);
    canaries.run(&format!("build p {env} --rebuild"), &[0]);
    canaries.run(&format!("path p {env}"), &[0]);
    let built = canaries.project.run(&format!("build p {env} -q")).succeeds();
    let bundle = built.last_line().rsplit('/').next().unwrap().to_owned();
    canaries.run(&format!("show {bundle}"), &[0]);
    canaries.run(&format!("show {bundle} manifest.json"), &[0]);
    canaries.run(&format!("activate {bundle} --runtime none -m because"), &[0]);
    canaries.run(&format!("secrets check p {env}"), &[0]);
    canaries.run(&format!("secrets sync p {env} --dry-run"), &[0]);
    canaries.run(&format!("secrets sync p {env}"), &[0]);
    canaries.run("secrets list p", &[0]);
    canaries.run("secrets history p", &[0]);
    canaries.run("generations p", &[0]);
    canaries.run(&format!("diff p {bundle} {env}"), &[0]);
    canaries.run("explain p secrets.by_env", &[0]);

    let place = canaries.project.path(".monprov/secrets/p");
    let made = std::fs::read_to_string(place.join("grafana/GF_SECURITY_ADMIN_PASSWORD")).unwrap();
    assert_eq!(made.len(), 40);
    canaries.values.push(("made".into(), made));
    let open = std::fs::read_to_string(place.join("_environment/MONPROV_OPEN__PASSWORD")).unwrap();
    assert_eq!(open, canary("by_env_file"), "the search would find it");

    // And where something goes wrong.
    let change = |canaries: &Canaries, from: &str, to: &str| {
        assert!(PROFILE.contains(from), "{from}");
        canaries.project.write("profiles/p.toml", PROFILE.replace(from, to));
    };
    canaries.run("check p", &[4]);
    canaries.run("secrets sync p", &[4]);
    change(&canaries, "min_length = 8", "min_length = 999, max_length = 1000, pattern = 'x', url = true");
    canaries.run(&format!("build p {env}"), &[3]);
    change(&canaries, "[\"pass\", ", "[\"no-such-pass\", ");
    canaries.run(&format!("build p {env}"), &[4]);
    change(&canaries, "up == 0", "up ==");
    canaries.run(&format!("build p {env}"), &[3]);
    change(&canaries, "\"up == 0\"", "\"up == 1\"");
    canaries.run(&format!("diff p {bundle} {env}"), &[1]);
    canaries.run(&format!("diff p {bundle} {env} --files"), &[1]);
    tamper(&canaries.project.path(".monprov/store").join(&bundle).join("prometheus/prometheus.yml"));
    canaries.run(&format!("verify {bundle}"), &[1]);
    canaries.run(&format!("activate {bundle} --runtime none"), &[3]);
    canaries.run("gc --dry-run", &[0]);
    canaries.search();
}

fn tamper(file: &Path) {
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(file, "scrape_configs: []\n").unwrap();
}

/// A value pasted into a profile is told of without being shown again.
#[test]
fn a_pasted_value_is_refused_and_not_repeated() {
    let mut canaries = Canaries::new();
    let pasted = canary("by_env").replace('\\', "\\\\").replace('"', "\\\"");
    canaries.project.write(
        "profiles/p.toml",
        PROFILE.replace(
            "severity = \"critical\"",
            &format!("description = \"{pasted}\"\nseverity = \"critical\""),
        ),
    );
    canaries.run("build p --env-file ../env-file --oracle off", &[3]);
    assert!(canaries.seen.contains("M502"), "{}", canaries.seen);
    assert!(!canaries.project.path(".monprov/store").exists());
    assert!(!canaries.seen.contains("c4n4ry"), "{}", canaries.seen);
}

/// Dies by a signal that dumps core, in the middle of resolving secrets.
#[test]
fn a_crash_leaves_no_core() {
    let canaries = Canaries::new();
    let pass = canaries.project.path("../programs/pass");
    let cat = canaries.project.path("../vault-of-pass");
    std::fs::write(&pass, format!("#!/bin/sh\nkill -ABRT $PPID\nsleep 1\ncat {}\n", cat.display())).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_monprov")]);
    let command = canaries.project.command(["build", "p", "--env-file", "../env-file"]);
    shell.args(command.get_args()).current_dir(canaries.project.root()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let status = shell.output().unwrap().status;
    assert_eq!(status.signal(), Some(6), "{status}");
    assert!(!status.core_dumped());
    canaries.search_for_cores();
}

impl Canaries {
    fn search_for_cores(&self) {
        for entry in std::fs::read_dir(self.project.root()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with("core"), "{name}");
        }
    }
}

#[test]
fn no_value_is_shown_by_debug_output_or_a_panic() {
    let secret = monprov::secret::Secret::new(canary("debug"));
    let payload = std::panic::catch_unwind(|| Err::<(), _>(&secret).expect("a forced panic")).unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("a forced panic") && !text.contains("c4n4ry"), "{text}");
    assert!(!format!("{secret:#?}").contains("c4n4ry"));
}
