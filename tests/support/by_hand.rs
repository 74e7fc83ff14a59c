//! Small stacks built by hand.

use std::collections::BTreeMap;

use monprov::diagnostic::Path;
use monprov::profile::text::{Filter, Piece, Text};
use monprov::profile::units::Duration;
use monprov::stack::*;

pub fn empty(name: &str, runtime: Runtime) -> Stack {
    Stack {
        name: name.into(),
        runtime,
        project: format!("monprov-{name}"),
        network: Network::default(),
        kubernetes: Kubernetes::new(name, &Default::default()),
        images: ImagePolicy::Version,
        vars: BTreeMap::new(),
        secrets: Default::default(),
        services: BTreeMap::new(),
        prometheus: Prometheus {
            scrape_interval: Duration::seconds(15),
            scrape_timeout: Duration::seconds(10),
            evaluation_interval: Duration::seconds(15),
            external_labels: BTreeMap::new(),
            retention: Duration::seconds(15 * 24 * 3600),
            at: Path::new(["prometheus"]),
        },
        scrapes: BTreeMap::new(),
        groups: vec![],
        alertmanager: Alertmanager {
            resolve_timeout: Duration::seconds(300),
            smtp: Smtp {
                smarthost: None,
                from: None,
                username: None,
                password: None,
                hello: None,
                require_tls: true,
            },
            at: Path::new(["alertmanager"]),
        },
        relayed: BTreeMap::new(),
        receivers: BTreeMap::new(),
        route: Route {
            name: String::new(),
            receiver: "default".into(),
            matchers: vec![],
            r#continue: false,
            group_by: None,
            group_wait: None,
            group_interval: None,
            repeat_interval: None,
            mute_during: vec![],
            active_during: vec![],
            routes: vec![],
            order: 0,
            at: Path::new(["alertmanager"]),
        },
        inhibitions: BTreeMap::new(),
        intervals: BTreeMap::new(),
        grafana: Grafana { admin_user: "admin".into(), admin_password: None, at: Path::new(["grafana"]) },
        dashboards: BTreeMap::new(),
    }
}

/// A published service of a kind, in the version of an image.
pub fn service(name: &str, kind: ServiceKind, image: &str, port: u16) -> Service {
    Service {
        name: name.into(),
        kind,
        image: Some(image.into()),
        version: Version::of_image(image),
        program: None,
        entrypoint: vec![],
        args: vec![],
        port: Some(port),
        publish: Some(port),
        publish_address: "127.0.0.1".into(),
        environment: BTreeMap::new(),
        secret_files: BTreeMap::new(),
        allow_env: false,
        reload: None,
        health: Health::default(),
        limits: Limits::default(),
        user: None,
        volumes: BTreeMap::new(),
        after: vec![],
        swarm: Default::default(),
        required: matches!(kind, ServiceKind::Prometheus | ServiceKind::Alertmanager),
        catalog: None,
        at: Path::new(["services", name]),
    }
}

pub fn add(stack: &mut Stack, service: Service) -> &mut Service {
    let name = service.name.clone();
    stack.services.insert(name.clone(), service);
    stack.services.get_mut(&name).unwrap()
}

pub fn secret(before: &str, name: &str, after: &str) -> Text {
    Text(vec![
        Piece::Plain(before.into()),
        Piece::Secret { name: name.into(), filter: Filter::None },
        Piece::Plain(after.into()),
    ])
}

/// The services of the reference stack.
pub fn reference(runtime: Runtime) -> Stack {
    let mut stack = empty("prod", runtime);
    stack.network = Network { name: "xihong_erp_network".into(), external: true };
    stack.grafana.admin_password = Some(secret("", "grafana_admin_password", ""));
    add(&mut stack, service("prometheus", ServiceKind::Prometheus, "prom/prometheus:v3.14.0", 9090)).after =
        vec!["alertmanager".into(), "celery-exporter".into()];
    add(&mut stack, service("alertmanager", ServiceKind::Alertmanager, "prom/alertmanager:v0.34.0", 9093));
    let grafana = add(&mut stack, service("grafana", ServiceKind::Grafana, "grafana/grafana:13.2.0", 3000));
    grafana.publish = Some(3001);
    let exporter = add(
        &mut stack,
        service("celery-exporter", ServiceKind::Exporter, "danihodovic/celery-exporter:0.12.0", 9808),
    );
    exporter.entrypoint = vec!["python".into(), "/app/cli.py".into()];
    exporter.program = Some("celery-exporter".into());
    exporter.args = vec!["--port=9808".into(), "--queue=a$b".into()];
    exporter
        .environment
        .insert("CE_BROKER_URL".into(), secret("redis://:", "redis_password", "@redis:6379/0"));
    exporter.environment.insert("CE_ACCEPT_CONTENT".into(), Text::plain("json,$HOME"));
    exporter.health.http = Some("/health".into());
    exporter.limits = Limits { cpus: Some("0.25".into()), memory: Some("128MiB".parse().unwrap()) };
    stack
}
