//! `compose.yaml` is read back by the real docker-compose 1.29 (`config` needs no engine).

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use monprov::profile::text::Text;
use monprov::render::{command, compose};
use monprov::stack::*;
use serde_json::Value;

use super::golden;
use crate::support::by_hand::{add, empty, reference, secret, service};

fn render(stack: &Stack) -> String {
    let commands = command::commands(stack, &BTreeMap::new());
    let digests = stack.services.keys().map(|name| (name.clone(), format!("digest-of-{name}"))).collect();
    compose::compose(stack, &commands, &digests).unwrap()
}

/// What docker-compose understands, with `environment` as its own.
fn config(yaml: &str, environment: &[(&str, &str)]) -> Result<Value, String> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("compose.yaml"), yaml).unwrap();
    let output = Command::new("docker-compose")
        .args(["--project-name", "test", "--project-directory", "."])
        .args(["--file", "compose.yaml", "config"])
        .current_dir(dir.path())
        .envs(environment.iter().copied())
        .output()
        .expect("docker-compose 1.29 is installed");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("WARNING"), "{stderr}");
    if output.status.success() { Ok(serde_saphyr::from_slice(&output.stdout).unwrap()) } else { Err(stderr) }
}

fn alone(service: Service) -> Stack {
    let mut stack = empty("prod", Runtime::Compose);
    add(&mut stack, service);
    stack
}

#[test]
fn reference_stack() {
    let yaml = render(&reference(Runtime::Compose));
    golden("compose.yaml", &yaml);
    let config = config(&yaml, &[]).unwrap();
    assert_eq!(config["networks"]["default"]["name"], "xihong_erp_network");
    assert_eq!(
        config["services"]["prometheus"]["depends_on"]["celery-exporter"]["condition"],
        "service_healthy"
    );
    assert_eq!(config["services"]["celery-exporter"]["mem_limit"], "128m");
    assert_eq!(config["services"]["celery-exporter"]["cpus"], 0.25);
}

#[test]
fn mounts_are_directories_of_the_state() {
    let stack = reference(Runtime::Compose);
    let config = config(&render(&stack), &[]).unwrap();
    for (name, service) in config["services"].as_object().unwrap() {
        for mount in service["volumes"].as_array().unwrap() {
            let mount = mount.as_str().unwrap_or_default();
            assert!(!mount.ends_with(".yml"), "{name}: {mount}");
        }
    }
    let secrets = config["services"]["alertmanager"]["volumes"].to_string();
    assert!(!secrets.contains("/run/monprov/secrets"), "nothing secret is mounted where nothing is needed");
}

#[test]
fn every_character_arrives() {
    let hairy = [
        "$HOME",
        "${HOME:-x}",
        "$$",
        "yes",
        "0x10",
        "1:30",
        "a\nb\n",
        " lead",
        "tail ",
        "'\"\\",
        "#c",
        "é",
        "",
    ];
    let mut exporter = service("exporter", ServiceKind::Exporter, "example/exporter:1.0", 9000);
    exporter.args = hairy.iter().map(|s| (*s).to_owned()).collect();
    for (i, value) in hairy.iter().enumerate() {
        exporter.environment.insert(format!("V{i}"), Text::plain(*value));
    }
    exporter.health.command = vec!["test".into(), "$HOME".into()];
    let config = config(&render(&alone(exporter)), &[("HOME", "/wrong")]).unwrap();
    // docker-compose escapes what it prints in the same way.
    let escaped = |s: &str| s.replace('$', "$$");
    let exporter = &config["services"]["exporter"];
    for (i, value) in hairy.iter().enumerate() {
        assert_eq!(exporter["command"][i], escaped(value));
        assert_eq!(exporter["environment"][format!("V{i}")], escaped(value));
    }
    assert_eq!(exporter["healthcheck"]["test"][2], "$$HOME");
}

#[test]
fn a_secret_is_read_by_a_wrapper_in_front_of_the_entrypoint() {
    let stack = reference(Runtime::Compose);
    let config = config(&render(&stack), &[]).unwrap();
    let exporter = &config["services"]["celery-exporter"];
    let entrypoint = ["/bin/sh", "/monprov/run/prod/live/exec/celery-exporter", "python", "/app/cli.py"];
    assert_eq!(exporter["entrypoint"], serde_json::json!(entrypoint));
    assert!(exporter["environment"].get("CE_BROKER_URL").is_none());
    let grafana = &config["services"]["grafana"];
    assert!(grafana.get("entrypoint").is_none());
    let file = &grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"];
    assert_eq!(file, "/run/monprov/secrets/GF_SECURITY_ADMIN_PASSWORD");
}

#[test]
fn an_allowed_secret_comes_from_the_environment_of_compose() {
    let mut exporter = service("redis-exporter", ServiceKind::Exporter, "example/exporter:1.0", 9000);
    exporter.allow_env = true;
    exporter.environment.insert("REDIS_PASSWORD".into(), secret("", "redis_password", ""));
    let stack = alone(exporter);
    let yaml = render(&stack);
    assert!(config(&yaml, &[]).unwrap_err().contains("MONPROV_REDIS_EXPORTER__REDIS_PASSWORD"));
    let config = config(&yaml, &[("MONPROV_REDIS_EXPORTER__REDIS_PASSWORD", "p$w d")]).unwrap();
    assert_eq!(config["services"]["redis-exporter"]["environment"]["REDIS_PASSWORD"], "p$$w d");
    let commands = command::commands(&stack, &BTreeMap::new());
    assert_eq!(compose::outer_variable("redis-exporter", "X"), "MONPROV_REDIS_EXPORTER__X");
    assert!(commands["redis-exporter"].open_environment["REDIS_PASSWORD"].is_secret());
    assert!(commands["redis-exporter"].secret_files.is_empty());
}

#[test]
fn ports_are_published_where_the_profile_says() {
    let mut open = service("open", ServiceKind::Exporter, "example/exporter:1.0", 9000);
    open.publish_address = "::1".into();
    let mut stack = alone(open);
    add(&mut stack, service("closed", ServiceKind::Exporter, "example/exporter:1.0", 9001)).publish = None;
    let config = config(&render(&stack), &[]).unwrap();
    assert!(config["services"]["closed"].get("ports").is_none());
    assert!(config["services"]["open"]["ports"].to_string().contains("::1"));
}

#[test]
fn a_volume_of_the_profile_takes_the_place_of_the_default_one() {
    let mut prometheus = service("prometheus", ServiceKind::Prometheus, "prom/prometheus:v3.14.0", 9090);
    prometheus.volumes.insert("tsdb".into(), "/prometheus".into());
    let config = config(&render(&alone(prometheus)), &[]).unwrap();
    let volumes: Vec<_> = config["volumes"].as_object().unwrap().keys().collect();
    assert_eq!(volumes, ["tsdb"]);
}

#[test]
fn a_flag_of_the_profile_wins_over_ours() {
    let mut prometheus = service("prometheus", ServiceKind::Prometheus, "prom/prometheus:v3.14.0", 9090);
    prometheus.args = vec!["--storage.tsdb.retention.time=30d".into(), "--no-web.enable-lifecycle".into()];
    let config = config(&render(&alone(prometheus)), &[]).unwrap();
    let args = config["services"]["prometheus"]["command"].to_string();
    assert_eq!(args.matches("retention.time").count(), 1, "{args}");
    assert!(args.contains("retention.time=30d"), "{args}");
    assert_eq!(args.matches("web.enable-lifecycle").count(), 1, "{args}");
}
