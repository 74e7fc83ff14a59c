//! Services, their ports and health, and what is scraped.

use std::collections::BTreeMap;

use super::images::Reference;
use crate::diagnostic::{Code, Finding, Place, nearest};
use crate::render::command::{command, sets_flag};
use crate::stack::{Runtime, Scrape, Service, ServiceKind, Stack};

macro_rules! codes {
    ($($id:ident $title:literal $explain:literal)*) => {
        $(pub static $id: Code = Code { id: stringify!($id), title: $title, explain: $explain };)*
        pub static CODES: &[&Code] = &[$(&$id),*];
    };
}

codes! {
    M301 "a port is used twice"
"Two services can't listen on one port of the same address. Under `compose` and `swarm` that concerns
published ports, under `process` every port, since all programs share the machine. Give one of them another
`publish` or `port`; `publish = 0` publishes nothing."

    M302 "a service can't be started"
"The `compose` and `swarm` runtimes start an `image`, the `process` runtime a `program` from PATH. Name it for the
runtime of this profile."

    M303 "more than one service of a kind"
"A stack has one Prometheus, one Alertmanager, one Grafana and one relay. Use a second profile for a second one."

    M304 "a service's limits are malformed"
"Processors are a number (`cpus = \"0.25\"`), memory a size (`memory = \"128MiB\"`)."

    M305 "services wait for each other"
"`after` names services that must be healthy first. It may not lead in a circle or to a service that
the stack does not have."

    M306 "a service whose health nobody can see"
"Without a health check a service counts as well as long as its process lives. Name a path that answers
200, or for an image a command that exits 0.

    health = { http = \"/health\" }"

    M307 "a target that nobody listens on"
"A target is `host:port`. Services of the stack are scraped by `service = \"NAME\"`, which follows their
port and runtime; a host name that is nearly a service's is most likely a spelling mistake."

    M308 "a secret that can't be handed over"
"A variable with a secret is put into the environment by a small wrapper, so that the container engine
does not show it to everyone. The wrapper replaces the image's entrypoint, so the profile must write
that out; an image without a shell can't run it. `allow_env = true` puts the secret into the
container's environment instead, where `docker inspect` shows it.

    entrypoint = [\"python\", \"/app/cli.py\"]"

    M309 "a volume that is not a directory of the container"
"`volumes` maps a volume's name to an absolute path in the container: `volumes = { data = \"/data\" }`."

    M312 "Grafana without an admin password"
"Grafana then has the password `admin`. Declare a secret:

    [grafana]
    admin_password = \"${secret.grafana_admin_password}\""

    M313 "a service that everyone can reach"
"Its port is published on all addresses of the host, and Prometheus and Alertmanager ask nobody for a
password. Publish it on 127.0.0.1 and put a proxy with authentication before it."

    M314 "an image without a shell"
"Health checks by `health.http` and the wrapper that hands over secrets are small shell scripts; images
built `FROM scratch` or distroless have no shell. Take the variant of the image that has one, or do
without: a `health.command` that the image has, and `secret_files` or `allow_env` for secrets.

    image = \"oliver006/redis_exporter:v1.90.0-alpine\"
    health.command = [\"/bin/promtool\", \"check\", \"healthy\"]"

    M315 "a flag that monprov passes itself"
"monprov passes the path of the configuration in the bundle. With another one the tool would run on a
configuration that nobody checked."

    M316 "secrets for a user that nobody named"
"A service's secret files belong to the user that it runs as and are readable by no one else. Which user
that is stands in the image, which is not asked; so the profile has to say it, as a number.

    [services.redis-exporter]
    user = \"59000\""
}

pub fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    ports(stack, &mut findings);
    kinds(stack, &mut findings);
    circles(stack, &mut findings);
    for service in stack.services.values() {
        one(stack, service, &mut findings);
    }
    for scrape in stack.scrapes.values().filter(|s| s.service.is_none()) {
        targets(stack, scrape, &mut findings);
    }
    findings
}

fn ports(stack: &Stack, findings: &mut Vec<Finding>) {
    let mut used: BTreeMap<u16, Vec<(&Service, &str, &str)>> = BTreeMap::new();
    for service in stack.services.values() {
        let (port, key) = match stack.runtime {
            Runtime::Process => (service.port, "port"),
            Runtime::Compose | Runtime::Swarm => (service.publish, "publish"),
            // Each service has an address of its own.
            Runtime::Kubernetes => (None, "port"),
        };
        let Some(port) = port else { continue };
        let address = match stack.runtime {
            Runtime::Process => "127.0.0.1",
            Runtime::Compose | Runtime::Kubernetes => service.publish_address.as_str(),
            Runtime::Swarm => "0.0.0.0",
        };
        let others = used.entry(port).or_default();
        let clash =
            others.iter().find(|(_, other, _)| *other == address || everywhere(other) || everywhere(address));
        if let Some((first, _, key)) = clash {
            let message = format!("`{}` and `{}` both listen on port {port}", first.name, service.name);
            findings.push(
                Finding::error(&M301, at(service, key), message)
                    .label("give it another port")
                    .related(at(first, key), format!("`{}` has it", first.name)),
            );
        }
        others.push((service, address, key));
    }
}

/// All addresses of the host.
fn everywhere(address: &str) -> bool {
    ["0.0.0.0", "::", "[::]"].contains(&address)
}

/// `publish`, or the `port` that stands for it.
fn at(service: &Service, key: &str) -> Place {
    match key == "publish" && service.publish == service.port {
        true => Place::setting(service.at.join("port")),
        false => Place::setting(service.at.join(key)),
    }
}

fn kinds(stack: &Stack, findings: &mut Vec<Finding>) {
    for (kind, name) in [
        (ServiceKind::Prometheus, "Prometheus"),
        (ServiceKind::Alertmanager, "Alertmanager"),
        (ServiceKind::Grafana, "Grafana"),
        (ServiceKind::Relay, "relay"),
    ] {
        let mut all = stack.services.values().filter(|s| s.kind == kind);
        let Some(first) = all.next() else { continue };
        for more in all {
            findings.push(
                Finding::error(&M303, Place::setting(more.at.join("kind")), format!("a second {name}"))
                    .related(Place::setting(first.at.join("kind")), "the first"),
            );
        }
        if first.port.is_none() {
            let message = format!("{name} has no port");
            findings.push(Finding::error(&M302, Place::Key(first.at.clone()), message).label("set `port`"));
        }
    }
    if let Some(grafana) = stack.service_of(ServiceKind::Grafana)
        && stack.grafana.admin_password.is_none()
    {
        let finding =
            Finding::warning(&M312, Place::Key(grafana.at.clone()), "Grafana has its default password");
        findings.push(finding.label("set `admin_password` in `[grafana]`"));
    }
}

fn one(stack: &Stack, service: &Service, findings: &mut Vec<Finding>) {
    let name = &service.name;
    let key = |key: &str| Place::setting(service.at.join(key));
    let whole = || Place::Key(service.at.clone());
    match stack.runtime {
        runtime if runtime.in_containers() && service.image.is_none() => {
            findings
                .push(Finding::error(&M302, whole(), format!("`{name}` has no image")).label("set `image`"));
        }
        Runtime::Process if service.program.is_none() && service.kind == ServiceKind::Exporter => {
            findings.push(
                Finding::error(&M302, whole(), format!("`{name}` has no program")).label("set `program`"),
            );
        }
        _ => {}
    }
    if let Some(cpus) = &service.limits.cpus
        && !cpus.parse::<f64>().is_ok_and(|n| n > 0.0 && n.is_finite())
    {
        let place = Place::setting(service.at.join("limits").join("cpus"));
        findings.push(
            Finding::error(&M304, place, format!("`{cpus}` is no number of processors"))
                .label("such as \"0.25\""),
        );
    }
    if service.kind == ServiceKind::Exporter
        && service.health.http.is_none()
        && service.health.command.is_empty()
    {
        let message = format!("`{name}` has no health check");
        findings.push(Finding::advice(&M306, whole(), message).label("add `health = { http = \"/…\" }`"));
    }
    if let Some(path) = &service.health.http
        && (!path.starts_with('/') || service.port.is_none())
    {
        let message = format!("`{path}` is no path of a port of `{name}`");
        let place = Place::setting(service.at.join("health").join("http"));
        findings
            .push(Finding::error(&M306, place, message).label("a path that begins with `/`, and a `port`"));
    }
    for (volume, path) in &service.volumes {
        let place = Place::setting(service.at.join("volumes").join(volume));
        if !path.starts_with('/') || path.split('/').any(|p| p == "..") || path == "/" || path.contains(':') {
            findings.push(Finding::error(
                &M309,
                place,
                format!("`{path}` is no absolute path in the container"),
            ));
        } else if !volume.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            findings.push(Finding::error(&M309, place, format!("`{volume}` can't be a volume's name")));
        }
    }
    let mut places = BTreeMap::new();
    for (volume, path) in &service.volumes {
        if let Some(first) = places.insert(path.trim_end_matches('/'), volume) {
            let place = Place::setting(service.at.join("volumes").join(volume));
            let message = format!("`{first}` and `{volume}` are mounted at the same place");
            findings.push(Finding::error(&M309, place, message));
        }
    }
    if service.kind != ServiceKind::Exporter {
        let own = if service.kind == ServiceKind::Relay { "config" } else { "config.file" };
        let flag = |arg: &String| sets_flag(std::slice::from_ref(arg), own);
        if let Some(index) = service.args.iter().position(flag) {
            let place = Place::setting(service.at.join("args").join(index));
            let message = format!("monprov passes `--{own}` to `{name}` itself");
            findings.push(Finding::error(&M315, place, message).label("leave it out"));
        }
    }
    if stack.runtime.in_containers() && stack.runtime != Runtime::Kubernetes {
        scripts(stack, service, findings);
        owner(stack, service, findings);
    }
    if everywhere(&service.publish_address) && service.publish.is_some() && stack.runtime == Runtime::Compose
    {
        let message = format!("`{name}` is published on all addresses of the host");
        findings.push(Finding::advice(&M313, key("publish_address"), message));
    }
}

/// Whose the secret files are.
fn owner(stack: &Stack, service: &Service, findings: &mut Vec<Finding>) {
    if command(stack, service, &BTreeMap::new()).secret_files.is_empty() {
        return;
    }
    match stack.runtime.secret_reader(service) {
        None => {
            let message = format!("`{}` gets secrets, but nobody says which user it runs as", service.name);
            let finding = Finding::error(&M316, Place::Key(service.at.clone()), message);
            findings.push(finding.label("set `user` to its number"));
        }
        Some(user) if !is_number(&user) => {
            let message = format!("`{user}` is no number of a user");
            let finding = Finding::error(&M316, Place::setting(service.at.join("user")), message);
            findings.push(finding.label("uid or uid:gid, as numbers"));
        }
        Some(_) => {}
    }
}

/// `uid` or `uid:gid`.
fn is_number(user: &str) -> bool {
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    uid.parse::<u32>().is_ok() && gid.parse::<u32>().is_ok()
}

/// What the scripts of the bundle need of an image.
fn scripts(stack: &Stack, service: &Service, findings: &mut Vec<Finding>) {
    let command = command(stack, service, &BTreeMap::new());
    for variable in command.secret_environment.keys() {
        let place = Place::setting(service.at.join("environment").join(variable));
        let message = format!("the secret in `{variable}` can't be handed over");
        if service.entrypoint.is_empty() {
            findings.push(
                Finding::error(&M308, place, message)
                    .label("write out the image's `entrypoint`, or set `allow_env = true`"),
            );
        }
    }
    let Some(image) = service.image.as_deref().filter(|image| has_no_shell(image)) else { return };
    let place = || Place::setting(service.at.join("image"));
    if !command.secret_environment.is_empty() {
        let message = format!("`{image}` has no shell to hand over a secret");
        findings.push(Finding::error(&M314, place(), message).label("take a variant with a shell"));
    }
    if command.health.is_some() && service.health.command.is_empty() {
        let message = format!("`{image}` has no shell to ask for the health of `{}`", service.name);
        let finding = Finding::error(&M314, place(), message);
        findings.push(finding.label("take a variant with a shell, or set `health.command`"));
    }
}

/// What is known of images: variants are named in the tag, and the Redis exporter's plain
/// image is the one built from scratch.
fn has_no_shell(image: &str) -> bool {
    let Ok(Reference { repository, tag: Some(tag), .. }) = Reference::parse(image) else { return false };
    let plain_redis = repository.ends_with("oliver006/redis_exporter") && !tag.contains("alpine");
    plain_redis || tag.split(['-', '.']).any(|part| part == "distroless" || part == "scratch")
}

fn circles(stack: &Stack, findings: &mut Vec<Finding>) {
    for service in stack.services.values() {
        for (index, other) in service.after.iter().enumerate() {
            let place = Place::setting(service.at.join("after").join(index));
            if !stack.services.contains_key(other) {
                let finding = Finding::error(&M305, place, format!("there is no service `{other}`"));
                findings.push(match nearest(other, stack.services.keys().map(String::as_str)) {
                    Some(near) => finding.label(format!("did you mean `{near}`?")),
                    None => finding,
                });
            } else if reaches(stack, other, &service.name) {
                let message = format!("`{}` and `{other}` wait for each other", service.name);
                findings.push(Finding::error(&M305, place, message).label("closes the circle"));
            }
        }
    }
}

/// Whether `from` waits for `to`, directly or through others.
fn reaches(stack: &Stack, from: &str, to: &str) -> bool {
    let mut seen = vec![from];
    let mut next = 0;
    while let Some(name) = seen.get(next).copied() {
        next += 1;
        if name == to {
            return true;
        }
        for other in stack.services.get(name).into_iter().flat_map(|s| &s.after) {
            if !seen.contains(&other.as_str()) {
                seen.push(other);
            }
        }
    }
    false
}

fn targets(stack: &Stack, scrape: &Scrape, findings: &mut Vec<Finding>) {
    for (index, target) in scrape.targets.iter().enumerate() {
        let place = Place::setting(scrape.at.join("targets").join(index));
        let address = &target.address;
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty() && !host.contains(['/', ' ']))
        else {
            let finding = Finding::error(&M307, place, format!("`{address}` is no target"));
            findings.push(finding.label("write `host:port`, without scheme and path"));
            continue;
        };
        if !stack.runtime.in_containers() || host.contains('.') {
            continue;
        }
        if let Some(service) = stack.services.get(host) {
            let label = format!("write `service = \"{host}\"`");
            if service.port != Some(port) {
                let has = service.port.map_or("no port".into(), |p| format!("port {p}"));
                findings.push(
                    Finding::error(&M307, place, format!("`{host}` has {has}, not {port}")).label(label),
                );
            } else {
                findings.push(
                    Finding::advice(&M307, place, format!("`{host}` is a service of the stack")).label(label),
                );
            }
        } else if let Some(near) = nearest(host, stack.services.keys().map(String::as_str)) {
            let message = format!("no service is called `{host}`");
            findings.push(
                Finding::warning(&M307, place, message)
                    .label(format!("did you mean `service = \"{near}\"`?")),
            );
        }
    }
}
