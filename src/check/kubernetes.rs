//! What a cluster, or the Prometheus operator, would refuse or do without a word.

use crate::bundle::Tree;
use crate::diagnostic::{Code, Finding, Path, Place};
use crate::render::kubernetes::{LIMIT, by_operator, operator_knows};
use crate::stack::{Flavor, Route, Runtime, Service, ServiceKind, Stack};

macro_rules! codes {
    ($($id:ident $title:literal $explain:literal)*) => {
        $(pub static $id: Code = Code { id: stringify!($id), title: $title, explain: $explain };)*
        pub static CODES: &[&Code] = &[$(&$id),*];
    };
}

codes! {
    M350 "a name that Kubernetes does not take"
"Namespaces, services, volumes and profiles become names of resources and labels: small letters, digits
and dashes, beginning with a letter, at most 63 characters, and 40 for services and volumes, since
more is added to those.

    [kubernetes]
    namespace = \"monitoring\""

    M351 "a file that no ConfigMap can hold"
"A ConfigMap holds 1 MiB. Files of a service are shared out over as many as it takes, but one file is
never cut. Make it smaller: rules into more groups, a dashboard into two."

    M352 "a service that may run as root"
"A pod says that it does not run as root, and the kubelet proves that by the number of the image's user.
An image whose user is a name, or that has none, is not started. Say the number:

    [services.redis-exporter]
    user = \"59000\""

    M353 "a thing that the Prometheus operator can't express"
"With `flavor = \"operator\"` the operator writes the configuration of Prometheus and Alertmanager from its
own resources, and some settings have no place there. Leave them out, or take `flavor = \"plain\"`."

    M354 "a volume whose size names no volume"
"`kubernetes.volumes` says how large the volume of a name is, as in `volumes` of a service, or
`SERVICE-data` where a tool that monprov knows has no volume of its own in the profile."
}

pub fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    if stack.runtime != Runtime::Kubernetes {
        return findings;
    }
    names(stack, &mut findings);
    sizes_of_volumes(stack, &mut findings);
    for service in stack.services.values() {
        users(service, &mut findings);
        if by_operator(stack, service) {
            operated(service, &mut findings);
        }
    }
    if stack.kubernetes.flavor == Flavor::Operator {
        routing(stack, &mut findings);
    }
    findings
}

/// The files of a finished bundle.
pub fn sizes(stack: &Stack, tree: &Tree) -> Vec<Finding> {
    if stack.runtime != Runtime::Kubernetes {
        return vec![];
    }
    let read = ["prometheus/", "alertmanager/", "grafana/", "relay/"];
    let large = tree.iter().filter(|(path, file)| {
        file.content.len() > LIMIT && read.iter().any(|folder| path.starts_with(folder))
    });
    let finding = |(path, file): (&str, &crate::bundle::File)| {
        let message = format!("`{path}` of the bundle has {} bytes", file.content.len());
        Finding::error(&M351, Place::Profile, message).label(format!("a ConfigMap holds {LIMIT}"))
    };
    large.map(finding).collect()
}

fn names(stack: &Stack, findings: &mut Vec<Finding>) {
    let mut refuse = |place: Place, name: &str, longest: usize| {
        if !is_label(name, longest) {
            let message = format!("`{name}` can't be a name in Kubernetes");
            let label = format!("small letters, digits and dashes, a letter first, at most {longest}");
            findings.push(Finding::error(&M350, place, message).label(label));
        }
    };
    let at = &stack.kubernetes.at;
    if is_label(&stack.name, 40) {
        refuse(Place::setting(at.join("namespace")), &stack.kubernetes.namespace, 63);
    } else {
        refuse(Place::Profile, &stack.name, 40);
    }
    for (index, name) in stack.kubernetes.allow_from.iter().enumerate() {
        refuse(Place::setting(at.join("allow_from").join(index)), name, 63);
    }
    for service in stack.services.values() {
        refuse(Place::Key(service.at.clone()), &service.name, 40);
        for volume in service.volumes.keys() {
            refuse(Place::Key(service.at.join("volumes").join(volume)), volume, 40);
        }
    }
}

/// As RFC 1035 has it, which is the strictest that names must follow.
fn is_label(name: &str, longest: usize) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= longest
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(fits)
}

fn sizes_of_volumes(stack: &Stack, findings: &mut Vec<Finding>) {
    for volume in stack.kubernetes.volumes.keys() {
        let named = stack.services.values().any(|service| {
            service.volumes.contains_key(volume) || *volume == format!("{}-data", service.name)
        });
        if !named {
            let place = Place::Key(stack.kubernetes.at.join("volumes").join(volume));
            findings.push(Finding::error(&M354, place, format!("no service has a volume `{volume}`")));
        }
    }
}

fn users(service: &Service, findings: &mut Vec<Finding>) {
    let place = || Place::Key(service.at.clone());
    let user = service.container_user();
    let number = user.as_deref().map(|user| user.split(':').all(|part| part.parse::<u32>().is_ok()));
    let name = &service.name;
    match number {
        None => {
            let message = format!("nobody says which user `{name}` runs as");
            findings.push(Finding::advice(&M352, place(), message).label("set `user` to its number"));
        }
        Some(false) => {
            let message = format!("the user of `{name}` is no number");
            findings.push(
                Finding::error(&M352, Place::setting(service.at.join("user")), message)
                    .label("uid or uid:gid, as numbers"),
            );
        }
        Some(true) if user.is_some_and(|user| user.split(':').next() == Some("0")) => {
            let message = format!("`{name}` runs as root");
            findings.push(Finding::warning(&M352, Place::setting(service.at.join("user")), message));
        }
        Some(true) => {}
    }
}

/// What a service says that the operator makes itself.
fn operated(service: &Service, findings: &mut Vec<Finding>) {
    let mut refuse = |path: Path, what: &str| {
        let message = format!("the operator takes no {what} for `{}`", service.name);
        findings.push(Finding::error(&M353, Place::setting(path), message).label("leave it out"));
    };
    for name in service.environment.keys() {
        refuse(service.at.join("environment").join(name), "variables");
    }
    for name in service.secret_files.keys() {
        refuse(service.at.join("secret_files").join(name), "secret files");
    }
    if !service.health.command.is_empty() || service.health.http.is_some() {
        refuse(service.at.join("health"), "health check");
    }
    for (index, _) in service.args.iter().enumerate().filter(|(_, arg)| !arg.starts_with("--")) {
        refuse(service.at.join("args").join(index), "arguments but `--flag` and `--flag=value`");
    }
    let (data, port) = match service.kind {
        ServiceKind::Prometheus => ("/prometheus", 9090),
        _ => ("/alertmanager", 9093),
    };
    if service.port.is_some_and(|own| own != port) {
        refuse(service.at.join("port"), &format!("port but {port}"));
    }
    for (volume, _) in service.volumes.iter().filter(|(_, path)| *path != data) {
        refuse(service.at.join("volumes").join(volume), "second volume");
    }
}

fn routing(stack: &Stack, findings: &mut Vec<Finding>) {
    if stack.service_of(ServiceKind::Alertmanager).is_none() {
        return;
    }
    for integration in stack.receivers.values().flat_map(|receiver| &receiver.integrations) {
        if !operator_knows(&integration.kind) {
            let message = format!("the operator can't send through `{}`", integration.kind);
            findings.push(Finding::error(&M353, Place::setting(integration.at.clone()), message));
        }
    }
    for (name, interval) in &stack.intervals {
        if interval.location.is_some() {
            let place = Place::setting(Path::new(["intervals", name, "location"]));
            let message = "the operator knows no location of a time interval: its times are in UTC";
            findings.push(Finding::error(&M353, place, message).label("leave it out, and write UTC"));
        }
    }
    unnamed(&stack.route, findings);
}

/// Its durations can't be zero.
fn unnamed(route: &Route, findings: &mut Vec<Finding>) {
    let durations = [
        ("group_wait", route.group_wait),
        ("group_interval", route.group_interval),
        ("repeat_interval", route.repeat_interval),
    ];
    for (key, duration) in durations {
        if duration.is_some_and(|duration| duration.is_zero()) {
            let place = Place::setting(route.at.join(key));
            let message = "the operator takes no duration of nothing";
            findings.push(Finding::error(&M353, place, message).label("at least `1ms`"));
        }
    }
    route.routes.iter().for_each(|route| unnamed(route, findings));
}
