//! The reference stack, run for real: its bundle's files, Debian's Prometheus and
//! Alertmanager, a real Redis, two Celery workers, both exporters and a mail server. Each
//! alert fires because its cause was made.

use std::collections::BTreeSet;
use std::path::Path;

use monprov::activate::process::State;

use regex::Regex;
use serde_json::Value;

use crate::support::daemon::free_port;
use crate::support::parts::{
    Mail, MailSink, PrometheusApi, Redis, Robots, Worker, celery_exporter_program, send_tasks,
};
use crate::support::project::{PATH, Project};
use crate::support::up::Up;
use crate::support::{GENEROUS, http, wait_for};

const ALERTS: [&str; 10] = [
    "CeleryRedisConnectionFailed",
    "CeleryTasksBurnCritical",
    "CeleryTasksBurnWarning",
    "CeleryWorkerDown",
    "ChannelRejects",
    "ChannelStuck",
    "HighCeleryQueueLength",
    "HighCeleryTaskExecutionTime",
    "HighCeleryTaskFailureRate",
    "RelayDown",
];

#[test]
fn reference_stack_watches_a_real_celery() {
    let mut redis = Redis::start();
    let mail = MailSink::start();
    let robots = Robots::start();
    let alpha = Worker::start(&redis, "alpha", &["celery"]);
    let mut beta = Worker::start(&redis, "beta", &["bulk"]);

    let ports = Ports::free();
    let secrets = [
        ("redis_password", redis.password.as_str()),
        ("smtp_password", "smtp \"password\" $1"),
        ("grafana_admin_password", "grafana-password"),
    ];
    let project = Project::reference()
        .file("profiles/e2e.toml", include_str!("e2e/e2e.toml"))
        .file("profiles/here.toml", ports.layer() + &robots.layer())
        .env("REDIS_ADDRESS", &format!("127.0.0.1:{}", redis.port))
        .env("REDIS_PASSWORD", secrets[0].1)
        .env("SMTP_PASSWORD", secrets[1].1)
        .env("GRAFANA_ADMIN_PASSWORD", secrets[2].1)
        .env("SMTP_HOST", &format!("127.0.0.1:{}", mail.port))
        .env("SMTP_FROM", "monitoring@example.com")
        .env("SMTP_USERNAME", "monitoring")
        .env("ALERT_EMAIL_TO", "default@example.com")
        .env("ALERT_EMAIL_CRITICAL", "critical@example.com")
        .env("ALERT_EMAIL_WARNING", "warning@example.com")
        .env("ALERT_EMAIL_CELERY", "celery@example.com");
    let project = Robots::SECRETS.iter().fold(project, |project, (name, value)| project.env(name, value));
    let built = project.command(["build", "e2e", "--oracle", "require"]).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let bundle = String::from_utf8(built.stdout).unwrap();
    let bundle = project.path(bundle.lines().last().unwrap());

    celery_exporter_program(project.root());
    let path = format!("{}:{PATH}", project.root().display());
    let up = Up::of("e2e", project.env("PATH", &path), &[]);
    for service in ["alertmanager", "celery-exporter", "prometheus", "redis-exporter", "relay"] {
        up.until(service, State::Healthy);
    }
    up.until("grafana", State::Missing);
    let prometheus = PrometheusApi { port: ports.prometheus };

    // Every target is up, and exactly the profile's five rules and the plugin's two are there.
    wait_for(GENEROUS, "state in which every target is up", || {
        let up = prometheus.query("up");
        (up.len() == 5 && up.iter().all(|(_, value)| *value == 1.0)).then_some(())
    });
    let rules = prometheus.get("rules");
    let groups = rules["groups"].as_array().unwrap();
    let names: BTreeSet<&str> = groups
        .iter()
        .flat_map(|g| g["rules"].as_array().unwrap())
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(ALERTS));
    let groups_named: Vec<&str> = groups.iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!(groups_named, ["celery_alerts", "plugin-slo", "relay_alerts"]);

    // What rules and panels name is there once tasks have run, and every panel has an answer.
    send_tasks(&redis, "succeed", 5, "celery", &[]);
    send_tasks(&redis, "fail", 2, "celery", &[]);
    let panels = panel_queries(&bundle);
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let rules = rules.map(|rule| rule["query"].as_str().unwrap());
    let exported = wait_for(GENEROUS, "failed task in the exporter's metrics", || {
        let exporter = |port: u16| http::text(&format!("http://127.0.0.1:{port}/metrics"));
        let metrics = exporter(ports.celery_exporter) + &exporter(ports.redis_exporter);
        metrics.contains("celery_task_failed_total{exception=\"ValueError\"").then_some(metrics)
    });
    for name in metric_names(panels.iter().map(String::as_str).chain(rules)) {
        let starts =
            |line: &str| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' ']));
        assert!(exported.lines().any(starts), "no exporter has {name}");
    }
    assert!(panels.len() >= 6, "{panels:?}");
    for query in &panels {
        wait_for(GENEROUS, &format!("answer to the panel query {query}"), || {
            (!prometheus.query(query).is_empty()).then_some(())
        });
    }

    // Nothing is wrong yet.
    wait_for(GENEROUS, "quiet after the start", || {
        let firing = prometheus.firing();
        (!firing.iter().any(|(name, _)| name != "HighCeleryTaskFailureRate")).then_some(())
    });

    // More tasks wait than the threshold allows, and one of two workers dies.
    send_tasks(&redis, "sleep", 130, "bulk", &["3600"]);
    beta.daemon.kill();
    prometheus.until_firing("HighCeleryQueueLength", &[("queue_name", "bulk"), ("severity", "warning")]);
    prometheus.until_firing("CeleryWorkerDown", &[("hostname", "beta"), ("severity", "critical")]);
    let down = prometheus.firing().into_iter().filter(|(name, _)| name == "CeleryWorkerDown").count();
    assert_eq!(down, 1, "only one worker is down");

    // Robots that check signatures and codes of their own hear of it through the relay.
    for service in ["dingtalk", "wecom", "feishu", "telegram", "hook"] {
        robots.until_told(service, "Celery worker beta is offline");
    }

    // A drill meanwhile reaches everybody, and delays or mutes nothing real.
    let drill = up.project.run("drill e2e --json").succeeds();
    let held: Value = serde_json::from_str(&drill.stdout).unwrap();
    let verdict = |receiver: &str| {
        let outcomes = held["outcomes"].as_array().unwrap();
        outcomes.iter().find(|outcome| outcome["receiver"] == receiver).map(|o| o["verdict"].clone())
    };
    for channel in ["dingtalk", "wecom", "feishu", "telegram", "hook"] {
        assert_eq!(verdict(channel), Some("delivered".into()), "{held:#}");
    }
    for channel in ["celery", "critical", "default", "warning"] {
        assert_eq!(verdict(channel), Some("handed_over".into()), "{held:#}");
    }
    robots.until_told("dingtalk", "DRILL");

    // Everyone whom the severity or the component concerns gets a mail, and nobody else.
    let to = |address: &str, text: &str| {
        wait_for(GENEROUS, &format!("mail to {address} about {text}"), || {
            mail.mails().into_iter().find(|mail| mail.to == [address] && mail.body.contains(text))
        })
    };
    to("celery@example.com", "Queue bulk holds");
    to("warning@example.com", "Queue bulk holds");
    to("celery@example.com", "Celery worker beta is offline");
    let critical = to("critical@example.com", "Celery worker beta is offline");
    assert_eq!(critical.from, "monitoring@example.com");
    assert_eq!(
        (critical.user.as_deref(), critical.password.as_deref()),
        (Some("monitoring"), Some(secrets[1].1))
    );
    let strayed = |mail: &Mail| {
        // A drill goes to everybody.
        if mail.subject.contains("MonprovDrill") {
            return false;
        }
        mail.to == ["default@example.com"]
            || (mail.to == ["warning@example.com"] && mail.body.contains("Celery worker beta"))
            || (mail.to == ["critical@example.com"] && mail.body.contains("Queue bulk holds"))
    };
    assert!(!mail.mails().iter().any(strayed), "{:?}", mail.mails());

    // The broker goes away.
    redis.daemon.stop();
    prometheus.until_firing("CeleryRedisConnectionFailed", &[("instance", "redis-exporter")]);

    let services = up.status().services;
    assert!(services.values().all(|service| service.restarts == 0), "{services:?}");
    drop(alpha);
}

/// The ports of the stack's services in this run.
struct Ports {
    relay: u16,
    prometheus: u16,
    alertmanager: u16,
    grafana: u16,
    celery_exporter: u16,
    redis_exporter: u16,
}

impl Ports {
    fn free() -> Ports {
        Ports {
            relay: free_port(),
            prometheus: free_port(),
            alertmanager: free_port(),
            grafana: free_port(),
            celery_exporter: free_port(),
            redis_exporter: free_port(),
        }
    }

    fn layer(&self) -> String {
        let Ports { relay, prometheus, alertmanager, grafana, celery_exporter, redis_exporter } = self;
        format!(
            "[services]\n\
             relay = {{ port = {relay}, publish = {relay} }}\n\
             prometheus = {{ port = {prometheus}, publish = {prometheus} }}\n\
             alertmanager = {{ port = {alertmanager}, publish = {alertmanager} }}\n\
             grafana = {{ port = {grafana}, publish = {grafana} }}\n\
             celery-exporter = {{ port = {celery_exporter}, args_append = ['--port={celery_exporter}'] }}\n\
             redis-exporter = {{ port = {redis_exporter}, \
             args_append = ['-web.listen-address=127.0.0.1:{redis_exporter}'] }}\n"
        )
    }
}

/// Every query of every panel in the bundle's dashboards.
fn panel_queries(bundle: &Path) -> Vec<String> {
    let mut queries = Vec::new();
    for file in std::fs::read_dir(bundle.join("grafana/dashboards")).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_slice(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().unwrap();
            queries.extend(targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
        }
    }
    queries
}

/// The metrics of the exporters that queries name.
fn metric_names<'a>(queries: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let name = Regex::new(r"\b(celery|redis)_[a-z_]+\b").unwrap();
    queries
        .flat_map(|query| name.find_iter(query).map(|found| found.as_str().to_owned()).collect::<Vec<_>>())
        .collect()
}
