//! `processes.json`, and the command lines in it tried on the real programs.

use std::collections::BTreeMap;

use monprov::render::command;
use monprov::render::process::{self, Health, HealthCheck, Processes};
use monprov::stack::*;

use super::golden;
use crate::support::by_hand::reference;

fn render(stack: &Stack) -> String {
    process::process(stack, &command::commands(stack, &BTreeMap::new())).unwrap()
}

#[test]
fn reference_stack() {
    golden("processes.json", &render(&reference(Runtime::Process)));
}

#[test]
fn processes_stand_behind_those_that_they_wait_for() {
    let processes: Processes = serde_json::from_str(&render(&reference(Runtime::Process))).unwrap();
    let names: Vec<_> = processes.processes.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["alertmanager", "celery-exporter", "grafana", "prometheus"]);
}

#[test]
fn a_cycle_of_waiting_still_names_every_process_once() {
    let mut stack = reference(Runtime::Process);
    stack.services.get_mut("alertmanager").unwrap().after = vec!["prometheus".into(), "gone".into()];
    let processes: Processes = serde_json::from_str(&render(&stack)).unwrap();
    assert_eq!(processes.processes.len(), 4);
}

#[test]
fn everything_listens_on_the_loopback_address() {
    let processes: Processes = serde_json::from_str(&render(&reference(Runtime::Process))).unwrap();
    for process in &processes.processes {
        if let Some(Health { check: HealthCheck::Http(url), .. }) = &process.health {
            assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        }
        for arg in &process.args {
            assert!(!arg.contains("listen-address=:") && !arg.contains("0.0.0.0"), "{arg}");
        }
    }
}
