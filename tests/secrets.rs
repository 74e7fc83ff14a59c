//! Secrets that need no server: where they come from, how they are handed over, and what a
//! rotation does. What is wrong with a profile's `[secrets]` is in `golden/`.

mod exchange;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::project::{Output, Project};

/// Two services that take secrets up in different ways, and a generated one.
const DEV: &str = r#"
[stack]
runtime = "process"

[services.alertmanager]
kind = "alertmanager"
program = "alertmanager"
version = "0.25.0"
port = 9093

[alertmanager]
channel = "ops"

[alertmanager.smtp]
smarthost = "localhost:25"
from = "monitoring@example.com"
username = "monitoring"
password = "${secret.smtp}"

[channels.ops.email]
to = "ops@example.com"

[services.exporter]
program = "exporter"
port = 9121
health = { http = "/health" }
environment = { URL = "redis://:${secret.redis|url}@localhost" }
secret_files = { "both.json" = '["${secret.redis|json}", "${secret.made}"]' }
reload = "/-/reload"

[secrets]
smtp = { file = "./smtp" }
redis = { env = "REDIS" }
made = { generate = 32 }
"#;

fn dev() -> Project {
    let project = Project::empty().file("profiles/dev.toml", DEV).file("profiles/smtp", "smtp-one\n");
    std::fs::set_permissions(project.path("profiles/smtp"), PermissionsExt::from_mode(0o600)).unwrap();
    project.env("REDIS", "redis/one")
}

/// Builds and takes the profile as the one that runs, without running anything.
fn activate(project: &Project, profile: &str) {
    let built = project.run(&format!("build {profile} --oracle off --no-secrets")).succeeds();
    let bundle = built.last_line().rsplit('/').next().unwrap().to_owned();
    project.run(&format!("activate {bundle} --runtime none")).succeeds();
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn sync_hands_over_what_is_new_and_says_what_each_service_needs() {
    let project = dev();
    activate(&project, "dev");
    let sync = |project: &Project| json(&project.run("secrets sync dev --json").succeeds());

    let first = sync(&project);
    assert_eq!(first["generation"], 1);
    assert_eq!(first["services"]["alertmanager"]["needs"], "nothing");
    assert_eq!(first["services"]["exporter"]["needs"], "restart");
    let place = project.path(".monprov/secrets/dev");
    let made = std::fs::read_to_string(project.path(".monprov/generated/dev/made")).unwrap();
    assert_eq!(std::fs::read_to_string(place.join("alertmanager/smtp")).unwrap(), "smtp-one");
    assert_eq!(
        std::fs::read_to_string(place.join("exporter/URL")).unwrap(),
        "redis://:redis%2Fone@localhost"
    );
    let both = std::fs::read_to_string(place.join("exporter/both.json")).unwrap();
    assert_eq!(both, format!(r#"["redis/one", "{made}"]"#));

    let again = sync(&project);
    assert_eq!((&again["generation"], &again["services"]), (&1.into(), &serde_json::json!({})));

    std::fs::write(project.path("profiles/smtp"), "smtp-two\n").unwrap();
    let rotated = sync(&project);
    assert_eq!(rotated["generation"], 2);
    let change = serde_json::json!({ "files": ["smtp"], "secrets": ["smtp"], "needs": "nothing" });
    assert_eq!(rotated["services"], serde_json::json!({ "alertmanager": change }));
    assert_eq!(std::fs::read_to_string(place.join("alertmanager/smtp")).unwrap(), "smtp-two");

    // Only the file of which the service says that it can be told to read it again.
    std::fs::remove_file(project.path(".monprov/generated/dev/made")).unwrap();
    let rotated = sync(&project);
    let change =
        serde_json::json!({ "files": ["both.json"], "secrets": ["made", "redis"], "needs": "reload" });
    assert_eq!(rotated["services"], serde_json::json!({ "exporter": change }));

    let history = json(&project.run("secrets history dev --json").succeeds());
    let numbers: Vec<_> = history.as_array().unwrap().iter().map(|g| g["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let list = json(&project.run("secrets list dev --json").succeeds());
    assert_eq!(list[1]["secret"], "redis");
    assert_eq!(list[1]["handed_over"]["provider"], "env");
    assert_eq!(list[1]["services"], serde_json::json!(["exporter"]));
}

#[test]
fn a_dry_run_writes_nothing_and_says_the_same() {
    let project = dev();
    activate(&project, "dev");
    let dry = json(&project.run("secrets sync dev --dry-run --json").succeeds());
    assert_eq!(dry["written"], false);
    for path in ["secrets", "generated", "secret-generations"] {
        assert!(!project.path(".monprov").join(path).exists(), "{path}");
    }
    let real = json(&project.run("secrets sync dev --json").succeeds());
    assert_eq!(dry["services"], real["services"]);
}

#[test]
fn values_are_open_to_their_service_and_to_nobody_else() {
    let project = dev();
    activate(&project, "dev");
    project.run("secrets sync dev").succeeds();
    let place = project.path(".monprov/secrets/dev");
    assert_eq!(mode(&project.path(".monprov/secrets")), 0o711);
    assert_eq!(mode(&place), 0o711);
    for service in ["alertmanager", "exporter"] {
        assert_eq!(mode(&place.join(service)), 0o700);
        assert_eq!(mode(&place.join(service).join("..data")), 0o700);
        for entry in std::fs::read_dir(place.join(service).join("..data")).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o400);
        }
    }
    assert_eq!(mode(&project.path(".monprov/generated/dev")), 0o700);
    assert_eq!(mode(&project.path(".monprov/generated/dev/made")), 0o600);
}

#[test]
fn containers_get_them_as_the_user_that_they_run_as() {
    let project = Project::reference();
    let env = "--env-file profiles/prod.env.example";
    let built = project.run(&format!("build prod --oracle off {env}")).succeeds();
    let bundle = built.last_line().rsplit('/').next().unwrap().to_owned();
    project.run(&format!("activate {bundle} --runtime none")).succeeds();
    project.run(&format!("secrets sync prod {env}")).succeeds();
    let place = project.path(".monprov/secrets/prod");
    for (service, uid) in
        [("alertmanager", 65534), ("grafana", 472), ("celery-exporter", 1000), ("redis-exporter", 59000)]
    {
        for path in [place.join(service), place.join(service).join("..data")] {
            assert_eq!(std::fs::metadata(&path).unwrap().uid(), uid, "{}", path.display());
        }
        for entry in std::fs::read_dir(place.join(service).join("..data")).unwrap() {
            assert_eq!(std::fs::metadata(entry.unwrap().path()).unwrap().uid(), uid);
        }
    }
    assert!(!place.join("prometheus").exists(), "it needs none");
}

#[test]
fn without_the_right_to_give_files_away_nothing_is_written() {
    let project = Project::reference();
    open_to_all(&project);
    let env = "--env-file profiles/prod.env.example";
    let as_user = |args: &str| {
        let mut command = project.command(args.split_whitespace());
        std::os::unix::process::CommandExt::uid(&mut command, 12345);
        project.output(command)
    };
    let built = as_user(&format!("build prod --oracle off {env}")).succeeds();
    let bundle = built.last_line().rsplit('/').next().unwrap().to_owned();
    as_user(&format!("activate {bundle} --runtime none")).succeeds();
    let refused = as_user(&format!("secrets sync prod {env}")).exits(1);
    assert!(refused.stderr.contains("`grafana` (user 472)"), "{}", refused.stderr);
    assert!(refused.stderr.contains("run this with sudo"), "{}", refused.stderr);
    assert!(!project.path(".monprov/secrets/prod").exists());
}

fn open_to_all(project: &Project) {
    for folder in [project.root().parent().unwrap(), project.root()] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    }
}

/// In a mount name space of its own, with a tmpfs where a usual machine has one.
#[test]
fn values_lie_in_memory_where_the_machine_has_a_place_for_that() {
    let project = dev();
    activate(&project, "dev");
    let monprov = env!("CARGO_BIN_EXE_monprov");
    // The second mount stands for a reboot.
    let script = format!(
        "set -e
        mount -t tmpfs tmpfs /run
        {monprov} secrets sync dev
        readlink .monprov/secrets/dev
        stat -f -c %T .monprov/secrets/dev/
        cat .monprov/secrets/dev/alertmanager/smtp; echo
        umount /run; mount -t tmpfs tmpfs /run
        {monprov} secrets sync dev
        cat .monprov/secrets/dev/alertmanager/smtp; echo"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).current_dir(project.root()).env("REDIS", "redis/one");
    let output = command.output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<&str> = stdout.lines().filter(|l| !l.contains("  ")).collect();
    assert!(lines[0].starts_with("/run/monprov/") && lines[0].ends_with("/dev"), "{stdout}");
    assert_eq!(lines[1..], ["tmpfs", "smtp-one", "smtp-one"], "{stdout}");
}

#[test]
fn systemd_and_docker_secrets_are_found_by_name() {
    let profile = "[grafana]\nadmin_password = \"${secret.a}\"\n[secrets]\na = { file = \"smtp\" }\n";
    let project = Project::empty().file("profiles/p.toml", profile).file("credentials/smtp", "from-systemd");
    let project = {
        let directory = project.path("credentials");
        std::fs::set_permissions(directory.join("smtp"), PermissionsExt::from_mode(0o400)).unwrap();
        let directory = directory.to_string_lossy().into_owned();
        project.env("CREDENTIALS_DIRECTORY", &directory)
    };
    let check = project.run("secrets check p --json").succeeds();
    assert_eq!(json(&check)["secrets"]["a"]["provider"], "file");
}

/// Each waits for the file that the other one writes: one after the other would never end.
#[test]
fn commands_run_side_by_side_and_see_no_other_secret() {
    let meet = |mine: &str, other: &str| {
        format!(
            r#"["sh", "-c", 'touch {mine}; while [ ! -e {other} ]; do sleep 0.01; done; echo "$SMTP|$HOME"']"#
        )
    };
    let profile = format!(
        "[grafana]\nadmin_password = \"${{secret.a}}${{secret.b}}${{secret.c}}\"\n[secrets]\n\
         a = {{ exec = {}, pattern = '\\|.+' }}\nb = {{ exec = {} }}\nc = {{ env = \"SMTP\" }}\n",
        meet("../one", "../two"),
        meet("../two", "../one")
    );
    let project = Project::empty().file("profiles/p.toml", profile).env("SMTP", "a-secret-of-its-own");
    project.run("secrets check p").succeeds();
}

#[test]
fn what_is_generated_stays_and_is_made_once_by_runs_side_by_side() {
    let project = dev();
    activate(&project, "dev");
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let mut command = project.command(["secrets", "sync", "dev"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    let made = std::fs::read_to_string(project.path(".monprov/generated/dev/made")).unwrap();
    assert!(made.len() == 32 && made.chars().all(|c| c.is_ascii_alphanumeric()), "{}", made.len());
    let both = std::fs::read_to_string(project.path(".monprov/secrets/dev/exporter/both.json")).unwrap();
    assert!(both.contains(&made));
}

#[test]
fn a_rollback_keeps_the_secrets_of_today() {
    let project = dev();
    activate(&project, "dev");
    project.run("secrets sync dev").succeeds();
    project.write("profiles/dev.toml", DEV.replace("localhost:25", "localhost:26"));
    activate(&project, "dev");
    std::fs::write(project.path("profiles/smtp"), "smtp-two").unwrap();
    project.run("secrets sync dev").succeeds();
    project.run("rollback dev --runtime none").succeeds();
    let smtp = project.path(".monprov/secrets/dev/alertmanager/smtp");
    assert_eq!(std::fs::read_to_string(&smtp).unwrap(), "smtp-two");
    let sync = json(&project.run("secrets sync dev --json").succeeds());
    assert_eq!(sync["services"], serde_json::json!({}));
}

#[test]
fn a_secret_that_can_not_be_had_leaves_what_services_have() {
    let project = dev();
    activate(&project, "dev");
    project.run("secrets sync dev").succeeds();
    std::fs::remove_file(project.path("profiles/smtp")).unwrap();
    let refused = project.run("secrets sync dev").exits(4);
    assert!(refused.stderr.contains("M501"), "{}", refused.stderr);
    let smtp = project.path(".monprov/secrets/dev/alertmanager/smtp");
    assert_eq!(std::fs::read_to_string(smtp).unwrap(), "smtp-one");
}
