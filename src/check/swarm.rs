//! Docker Swarm: where services may run, how many of them, and what it can carry to them.

use crate::bundle::Tree;
use crate::diagnostic::{Code, Finding, Place};
use crate::render::command::command;
use crate::stack::{PublishMode, Runtime, Service, ServiceKind, Stack, SwarmMode};

macro_rules! codes {
    ($($id:ident $title:literal $explain:literal)*) => {
        $(pub static $id: Code = Code { id: stringify!($id), title: $title, explain: $explain };)*
        pub static CODES: &[&Code] = &[$(&$id),*];
    };
}

codes! {
    M320 "data that a service would leave behind"
"Volumes stay on the node where they were made. Without a constraint, Swarm may start the service on
another node the next time, and it begins with nothing. Pin it to one node, by a label or by name:

    docker node update --label-add monitoring=true NODE

    [services.prometheus.swarm]
    constraints = [\"node.labels.monitoring == true\"]"

    M321 "more of a service than there can be"
"Prometheus, Alertmanager, Grafana and the relay keep data of their own, and so does every service with
volumes: a second one on the same data breaks it, and one on other data says something else. Of a
service that is scraped by its name, each scrape would reach another one; give the targets one by one.

    [services.prometheus.swarm]
    replicas = 1"

    M322 "a file that Swarm can't carry"
"Services get their files as configs of the swarm. An engine before 23 takes 500 KB each, a newer one
1000 KB. Divide the file: rules by group, dashboards into several."

    M323 "a port that Swarm opens to everyone"
"Swarm can't publish on one address: the port is open on all addresses of the node where the service
runs (`publish_mode = \"host\"`), or of every node (`\"ingress\"`), and Prometheus, Alertmanager and many
exporters ask nobody for a password. Services reach each other without it, and so does monprov on the
node where they run. Where it has to be, close the port to others by a firewall."

    M324 "a constraint that Swarm does not know"
"A constraint compares an attribute of a node with a value, by `==` or `!=`. The attributes are
`node.id`, `node.hostname`, `node.role`, `node.platform.os`, `node.platform.arch`, `node.labels.NAME` and
`engine.labels.NAME`.

    constraints = [\"node.labels.monitoring == true\"]"
}

/// An engine before 23 refuses more.
const OLD_LIMIT: usize = 500 * 1024;

/// Every engine refuses more.
const LIMIT: usize = 1000 * 1024;

pub fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    if stack.runtime == Runtime::Swarm {
        for service in stack.services.values() {
            one(stack, service, &mut findings);
        }
    }
    findings
}

/// What only the finished files show.
pub fn files(stack: &Stack, tree: &Tree) -> Vec<Finding> {
    if stack.runtime != Runtime::Swarm {
        return vec![];
    }
    let mut findings = vec![];
    for (path, file) in tree.iter() {
        let carried = ["prometheus/", "alertmanager/", "grafana/", "relay/", "exec/", "bin/"];
        let size = file.content.len();
        if size <= OLD_LIMIT || !carried.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let message = format!("`{path}` has {} KB", size.div_ceil(1024));
        let place = Place::setting(crate::diagnostic::Path::new(["stack", "runtime"]));
        findings.push(match size > LIMIT {
            true => Finding::error(&M322, place, message).label("no engine takes more than 1000 KB"),
            false => Finding::warning(&M322, place, message).label("engines before 23 take 500 KB"),
        });
    }
    findings
}

fn one(stack: &Stack, service: &Service, findings: &mut Vec<Finding>) {
    let name = &service.name;
    let swarm = &service.swarm;
    let at = service.at.join("swarm");
    for (index, constraint) in swarm.constraints.iter().enumerate() {
        if !is_constraint(constraint) {
            let place = Place::setting(at.join("constraints").join(index));
            let message = format!("`{constraint}` is no constraint");
            findings.push(
                Finding::error(&M324, place, message).label("such as `node.labels.monitoring == true`"),
            );
        }
    }
    let keeps = command(stack, service, &Default::default()).data.is_some() || !service.volumes.is_empty();
    let global = swarm.mode == SwarmMode::Global;
    let replicas = swarm.replicas.unwrap_or(1);
    let place = || Place::setting(at.join(if global { "mode" } else { "replicas" }));
    if global && swarm.replicas.is_some() {
        let place = Place::setting(at.join("replicas"));
        let message = format!("`{name}` runs once on every node, so it has no number");
        findings.push(Finding::error(&M321, place, message).label("leave it out"));
    }
    let several = if global { "on every node".to_owned() } else { format!("{replicas} times") };
    if !global && replicas == 0 {
        let message = format!("`{name}` would not run at all");
        findings.push(Finding::error(&M321, place(), message).label("`enable = false` takes it out"));
    } else if (global || replicas > 1) && service.kind != ServiceKind::Exporter {
        let message = format!("`{name}` can't run {several}");
        findings.push(Finding::error(&M321, place(), message).label("a stack has one of it"));
    } else if !global && replicas > 1 && keeps {
        let message = format!("`{name}` has data, and can't run {several}");
        findings.push(Finding::error(&M321, place(), message).label("one for each volume"));
    } else if (global || replicas > 1)
        && let Some(scrape) = stack.scrapes.values().find(|s| s.service.as_ref() == Some(name))
    {
        let message = format!("`{name}` runs {several}, and each scrape of `{}` reaches one", scrape.name);
        findings.push(Finding::warning(&M321, place(), message).label("name the nodes as `targets`"));
    }
    if keeps && !global && swarm.constraints.is_empty() {
        let message = format!("`{name}` keeps data, and may start on another node");
        findings.push(
            Finding::warning(&M320, Place::Key(service.at.clone()), message)
                .label("set `swarm.constraints` to one node"),
        );
    }
    if let Some(port) = service.publish {
        let place = Place::setting(service.at.join("publish"));
        let (wide, where_) = match swarm.publish_mode {
            PublishMode::Host => (false, "all addresses of its node"),
            PublishMode::Ingress => (true, "all addresses of every node"),
        };
        let message = format!("port {port} of `{name}` is open on {where_}");
        findings.push(match wide || service.kind == ServiceKind::Relay {
            true => Finding::warning(&M323, place, message),
            false => Finding::advice(&M323, place, message),
        });
    }
}

fn is_constraint(text: &str) -> bool {
    let Some((attribute, value)) = text.split_once("==").or_else(|| text.split_once("!=")) else {
        return false;
    };
    let (attribute, value) = (attribute.trim(), value.trim());
    let plain =
        ["node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch"];
    let label = ["node.labels.", "engine.labels."].iter().any(|prefix| {
        attribute.strip_prefix(prefix).is_some_and(|name| !name.is_empty() && !name.contains(' '))
    });
    (plain.contains(&attribute) || label) && !value.is_empty()
}

#[cfg(test)]
mod tests {
    use super::is_constraint;

    #[test]
    fn constraints() {
        for good in [
            "node.labels.monitoring == true",
            "node.hostname==mon-1",
            "node.role != manager",
            "engine.labels.os == x",
        ] {
            assert!(is_constraint(good), "{good}");
        }
        for bad in ["", "monitoring", "node.labels. == x", "node.host == a", "node.id = a", "node.id =="] {
            assert!(!is_constraint(bad), "{bad}");
        }
    }
}
