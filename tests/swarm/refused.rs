//! What Swarm can't do, or would do otherwise than meant, is said when the profile is checked.

use monprov::bundle::Tree;
use monprov::check::swarm;

use crate::support::resolved::{line, stack};

/// Findings about a stack with one Prometheus and one exporter.
fn found(prometheus: &str, exporter: &str) -> Vec<String> {
    let stack = stack(&format!(
        r#"
        [stack]
        runtime = "swarm"

        [services.prometheus]
        kind = "prometheus"
        image = "prom/prometheus:v3.14.0"
        port = 9090
        {prometheus}

        [services.node-exporter]
        image = "prom/node-exporter:v1.9.1"
        port = 9100
        {exporter}

        [scrapes.node]
        service = "node-exporter"
        "#
    ));
    swarm::check(&stack).iter().map(line).collect()
}

const PINNED: &str = "swarm.constraints = [\"node.labels.monitoring == true\"]";

#[test]
fn a_pinned_stack_that_publishes_nothing_is_left_alone() {
    assert_eq!(found(PINNED, ""), [""; 0]);
}

#[test]
fn data_is_pinned_to_a_node() {
    let lost = "keeps data, and may start on another node";
    assert_eq!(found("", ""), [format!("warning M320 services.prometheus: `prometheus` {lost}")]);
    let volumes = "volumes = { data = \"/data\" }";
    assert_eq!(
        found(PINNED, volumes),
        [format!("warning M320 services.node-exporter: `node-exporter` {lost}")]
    );
    assert_eq!(found(PINNED, &format!("{volumes}\nswarm.mode = \"global\"")).len(), 1);
}

#[test]
fn there_are_no_two_of_what_has_data() {
    let two = format!("{PINNED}\nswarm.replicas = 2");
    assert_eq!(
        found(&two, ""),
        ["error M321 services.prometheus.swarm.replicas: `prometheus` can't run 2 times"]
    );
    let none = format!("{PINNED}\nswarm.replicas = 0");
    assert_eq!(
        found(&none, ""),
        ["error M321 services.prometheus.swarm.replicas: `prometheus` would not run at all"]
    );
    assert_eq!(
        found(PINNED, "swarm.mode = \"global\""),
        [
            "warning M321 services.node-exporter.swarm.mode: `node-exporter` runs on every node, and each scrape \
          of `node` reaches one"
        ]
    );
}

#[test]
fn a_port_that_is_open_to_everyone_is_told() {
    let open = |more: &str| found(&format!("{PINNED}\npublish = 19090\n{more}"), "");
    let port = "M323 services.prometheus.publish: port 19090 of `prometheus` is open on all addresses of";
    assert_eq!(open(""), [format!("advice {port} its node")]);
    assert_eq!(open("swarm.publish_mode = \"ingress\""), [format!("warning {port} every node")]);
}

#[test]
fn a_constraint_that_nobody_understands_is_refused() {
    assert_eq!(
        found("swarm.constraints = [\"monitoring\"]", ""),
        ["error M324 services.prometheus.swarm.constraints[0]: `monitoring` is no constraint"]
    );
}

#[test]
fn a_file_has_to_fit_into_a_config() {
    let stack = stack("[stack]\nruntime = \"swarm\"");
    let found = |kilobytes: usize| -> Vec<String> {
        let mut tree = Tree::new();
        tree.insert("grafana/dashboards/big.json", vec![b' '; kilobytes * 1024]);
        // Nobody reads it in a container.
        tree.insert("manifest.json", vec![b' '; 2_000_000]);
        swarm::files(&stack, &tree).iter().map(line).collect()
    };
    assert_eq!(found(500), [""; 0]);
    assert_eq!(found(501), ["warning M322 stack.runtime: `grafana/dashboards/big.json` has 501 KB"]);
    assert_eq!(found(1001), ["error M322 stack.runtime: `grafana/dashboards/big.json` has 1001 KB"]);
}
