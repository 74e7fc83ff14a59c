//! `stack.yaml` as it is rendered, read back by the real docker-compose 1.29 (`config` needs no
//! engine); that `docker stack deploy` takes it, the stacks that live here show.

use std::collections::BTreeMap;
use std::process::Command;

use monprov::bundle::Tree;
use monprov::profile::text::Text;
use monprov::render::{command, render, swarm};
use monprov::stack::*;
use serde_json::{Value, json};

use crate::support::by_hand::{add, empty, reference, secret, service};

/// What docker-compose understands.
fn config(yaml: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stack.yaml"), yaml).unwrap();
    let output = Command::new("docker-compose")
        .args(["--project-name", "test", "--file", "stack.yaml", "config"])
        .current_dir(dir.path())
        .output()
        .expect("docker-compose 1.29 is installed");
    assert!(output.status.success(), "{}\n{yaml}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_slice(&output.stdout).unwrap()
}

fn alone(service: Service) -> Value {
    let mut stack = empty("prod", Runtime::Swarm);
    add(&mut stack, service);
    let commands = command::commands(&stack, &BTreeMap::new());
    config(&swarm::swarm(&stack, &commands, &BTreeMap::new(), &Tree::new()).unwrap())
}

fn exporter() -> Service {
    let mut exporter = service("exporter", ServiceKind::Exporter, "example/exporter:1.0", 9000);
    exporter.publish = None;
    exporter
}

fn rendered() -> monprov::render::Rendered {
    render(&reference(Runtime::Swarm)).unwrap()
}

fn text(rendered: &monprov::render::Rendered) -> String {
    String::from_utf8(rendered.tree.get(swarm::FILE).unwrap().content.clone()).unwrap()
}

#[test]
fn a_service_gets_each_file_that_it_reads_where_it_would_be_under_compose() {
    let rendered = rendered();
    let config = config(&text(&rendered));
    let configs = config["services"]["prometheus"]["configs"].as_array().unwrap();
    let own = rendered.tree.iter().filter(|(path, _)| path.starts_with("prometheus/"));
    let mut wanted: Vec<String> = own.map(|(path, _)| format!("/monprov/run/prod/live/{path}")).collect();
    wanted.push("/monprov/run/prod/live/bin/probe".into());
    wanted.sort();
    let mut targets: Vec<&str> = configs.iter().map(|c| c["target"].as_str().unwrap()).collect();
    targets.sort();
    assert_eq!(targets, wanted);
    for mounted in configs {
        let source = mounted["source"].as_str().unwrap();
        let config = &config["configs"][source];
        assert_eq!(config["name"], source);
        assert!(source.starts_with("monprov-prod-") && source.len() <= 64, "{source}");
        let executable = mounted["target"].as_str().unwrap().ends_with("/bin/probe");
        assert_eq!(mounted["mode"], if executable { 0o555 } else { 0o444 });
    }
    let services = config["services"].as_object().unwrap();
    assert!(!services["prometheus"]["configs"].to_string().contains("alertmanager"));
}

#[test]
fn a_changed_file_is_another_definition() {
    let definition = |change: bool| {
        let mut stack = reference(Runtime::Swarm);
        if change {
            stack.prometheus.external_labels.insert("site".into(), "a".into());
        }
        let rendered = render(&stack).unwrap();
        let of = |name: &str| rendered.services[name].definition.clone();
        (of("prometheus"), of("alertmanager"))
    };
    let (before, after) = (definition(false), definition(true));
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
}

#[test]
fn secrets_are_named_for_people_and_read_by_one_user() {
    let mut exporter = exporter();
    exporter.user = Some("59000:59001".into());
    exporter.secret_files.insert("token".into(), secret("", "token", ""));
    let config = alone(exporter);
    assert_eq!(config["secrets"]["exporter.token"]["external"], true);
    let mounted = &config["services"]["exporter"]["secrets"][0];
    let expected = json!({ "source": "exporter.token", "target": "/run/monprov/secrets/token",
                           "uid": "59000", "gid": "59001", "mode": 0o400 });
    assert_eq!(*mounted, expected);
}

#[test]
fn what_swarm_would_fill_in_is_left_as_it_stands() {
    let mut exporter = exporter();
    exporter.environment.insert("A".into(), Text::plain("{{.Node.ID}} $HOME"));
    let config = alone(exporter);
    assert_eq!(config["services"]["exporter"]["environment"]["A"], "{{\"{{\"}}.Node.ID}} $$HOME");
}

#[test]
fn placement_number_and_limits_are_those_of_the_profile() {
    let mut exporter = exporter();
    exporter.swarm.mode = SwarmMode::Global;
    exporter.swarm.constraints = vec!["node.platform.os == linux".into()];
    exporter.limits = Limits { cpus: Some("0.25".into()), memory: Some("128MiB".parse().unwrap()) };
    let config = alone(exporter);
    let deploy = &config["services"]["exporter"]["deploy"];
    assert_eq!((&deploy["mode"], &deploy["replicas"]), (&json!("global"), &Value::Null));
    assert_eq!(deploy["placement"]["constraints"], json!(["node.platform.os == linux"]));
    assert_eq!(deploy["resources"]["limits"], json!({ "cpus": 0.25, "memory": "128m" }));
    assert_eq!(deploy["endpoint_mode"], "dnsrr");
    assert_eq!(deploy["update_config"]["failure_action"], "pause");
    assert_eq!(deploy["restart_policy"]["condition"], "any");
}

#[test]
fn ports_are_open_on_the_node_of_the_service_or_on_all() {
    let open = |mode: PublishMode| {
        let mut exporter = exporter();
        exporter.publish = Some(19000);
        exporter.swarm.publish_mode = mode;
        let config = alone(exporter);
        let exporter = &config["services"]["exporter"];
        (exporter["ports"][0].clone(), exporter["deploy"]["endpoint_mode"].clone())
    };
    let (port, endpoint) = open(PublishMode::Host);
    assert_eq!(
        (&port["mode"], &port["published"], &endpoint),
        (&json!("host"), &json!(19000), &json!("dnsrr"))
    );
    let (port, endpoint) = open(PublishMode::Ingress);
    assert_eq!((&port["mode"], &endpoint), (&json!("ingress"), &json!("vip")));
    assert!(alone(exporter())["services"]["exporter"].get("ports").is_none());
}
