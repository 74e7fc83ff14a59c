//! The built-in catalogues are what the real exporters export.
//!
//! `BLESS=1 cargo test catalogue` makes them anew; read the difference before you commit it.
//! The catalogue `celery-exporter` (OvalMoney's) needs Python 3.8, which no test machine can
//! be asked for; it was made once by the same means and is only read here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use monprov::check::catalog::{BucketOption, Catalog, Catalogs, Kind, Metric, from_exposition};

use crate::support::daemon::{Daemon, free_port};
use crate::support::parts::{
    Alertmanager, CeleryExporter, Prometheus, Redis, RedisExporter, Worker, send_tasks,
};
use crate::support::{GENEROUS, http, installed, program, repository, wait_for};

fn file(name: &str) -> PathBuf {
    repository().join(format!("src/check/catalog/data/{name}.json"))
}

/// Scrapes until everything that the catalogue has was seen, then compares.
fn agrees(name: &str, head: &Catalog, scrape: impl Fn() -> Catalog) {
    if std::env::var_os("BLESS").is_some() {
        // Some metrics come with the second look, such as those of the look itself.
        let mut live = scrape();
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_secs(3));
            live.merge(scrape());
        }
        let catalog = Catalog { metrics: live.metrics, ..head.clone() };
        std::fs::write(file(name), catalog.to_json()).unwrap();
        return;
    }
    let catalogs = Catalogs::default();
    let catalog = catalogs.get(name).unwrap();
    assert_eq!(Catalog { metrics: BTreeMap::new(), ..catalog.clone() }, *head);
    let mut live = Catalog::default();
    let stable = |metrics: &BTreeMap<String, Metric>| -> BTreeMap<String, Metric> {
        // What depends on the machine: its devices, file systems and kernel.
        let machine = |name: &str| name.starts_with("node_") || name.starts_with("redis_");
        metrics.iter().filter(|(name, _)| !machine(name)).map(|(n, m)| (n.clone(), m.clone())).collect()
    };
    let should = stable(&catalog.metrics);
    wait_for(GENEROUS, &format!("complete scrape of {name}"), || {
        live.merge(scrape());
        should.keys().all(|name| live.metrics.contains_key(name)).then_some(())
    });
    assert_eq!(stable(&live.metrics), should);
    for (name, metric) in &live.metrics {
        if let Some(known) = catalog.metrics.get(name) {
            assert_eq!(metric.kind, known.kind, "{name}");
            assert!(
                metric.labels.iter().all(|l| known.labels.contains(l)),
                "{name}: {metric:?} is not {known:?}"
            );
        }
    }
}

fn head(exporter: &str, version: &str, made_by: &str, open: &[&str]) -> Catalog {
    Catalog {
        exporter: exporter.into(),
        version: Some(version.into()),
        made_by: made_by.into(),
        open: open.iter().map(|o| (*o).to_owned()).collect(),
        ..Catalog::default()
    }
}

/// What `program --version` prints.
#[track_caller]
fn has_version(name: &str, flag: &str, version: &str) {
    let output = Command::new(program(name)).arg(flag).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains(version), "{name} is not {version}, but: {said}");
}

fn scraped(text: &str) -> Catalog {
    from_exposition(text).unwrap()
}

#[test]
fn catalogue_of_the_celery_exporter() {
    let mut head = head(
        "prometheus-exporter-celery",
        "0.11.2",
        "python -c 'from src.cli import cli; cli(auto_envvar_prefix=\"CE\")' --broker-url redis://…",
        &[],
    );
    let option = BucketOption { argument: "--buckets".into(), variable: Some("CE_BUCKETS".into()) };
    head.bucket_options.insert("celery_task_runtime".into(), option);

    let redis = Redis::start();
    // The buckets that it has without the option, so that a service's own are known by it.
    let buckets = "0.005,0.01,0.025,0.05,0.075,0.1,0.25,0.5,0.75,1,2.5,5,7.5,10";
    let exporter = CeleryExporter::start(&redis, &["--buckets", buckets]);
    let _worker = Worker::start(&redis, "alpha", &["celery"]);
    send_tasks(&redis, "succeed", 1, "celery", &[]);
    send_tasks(&redis, "fail", 1, "celery", &[]);
    wait_for(GENEROUS, "tasks in the exporter's metrics", || {
        let metrics = exporter.metrics();
        (metrics.contains("celery_task_succeeded_total{") && metrics.contains("celery_task_failed_total{"))
            .then_some(())
    });
    let declared = declared();
    agrees("prometheus-exporter-celery", &head, || {
        let live = scraped(&exporter.metrics());
        for (name, metric) in &live.metrics {
            let told = declared.get(name).unwrap_or_else(|| panic!("{name} is not declared"));
            assert_eq!((metric.kind, &metric.help), (told.kind, &told.help), "{name}");
            // A metric without a sample yet shows no labels.
            assert!(metric.labels.is_empty() || metric.labels == told.labels, "{name}");
        }
        let mut live = live;
        live.merge(Catalog { metrics: declared.clone(), ..Catalog::default() });
        live
    });
}

/// What the exporter declares: a counter that never counted shows no labels, so retried,
/// rejected and revoked tasks would have to be made to happen for every release.
fn declared() -> BTreeMap<String, Metric> {
    let script = "import json\n\
        from src.exporter import Exporter\n\
        print(json.dumps([[c._name, c._type, sorted(c._labelnames), c._documentation,\n\
        \x20   getattr(c, '_upper_bounds', [])[:-1]] for c in Exporter().registry._collector_to_names]))";
    let mut command = Command::new(installed("celery-exporter/bin/python"));
    let output = command.args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    type Declared = (String, String, Vec<String>, String, Vec<f64>);
    let list: Vec<Declared> = serde_json::from_slice(&output.stdout).unwrap();
    let mut metrics = BTreeMap::new();
    for (name, kind, labels, help, buckets) in list {
        let help = help.trim_end_matches('.').to_owned();
        // As the client library exposes them: a counter ends in `_total`, and both it and a
        // histogram bring a gauge that says since when they count.
        let (exposed, kind) = match kind.as_str() {
            "counter" => (format!("{name}_total"), Kind::Counter),
            "histogram" => (name.clone(), Kind::Histogram),
            _ => (name.clone(), Kind::Gauge),
        };
        if kind != Kind::Gauge {
            let created =
                Metric { kind: Kind::Gauge, help: help.clone(), labels: labels.clone(), buckets: vec![] };
            metrics.insert(format!("{name}_created"), created);
        }
        metrics.insert(exposed, Metric { kind, help, labels, buckets });
    }
    metrics
}

#[test]
fn catalogue_of_the_redis_exporter() {
    has_version("prometheus-redis-exporter", "-version", "1.45.0");
    let redis = Redis::start();
    send_tasks(&redis, "succeed", 1, "celery", &[]);
    let exporter = RedisExporter::start(&redis);
    let made_by = "prometheus-redis-exporter -check-single-keys db0=celery, against Redis 7.0";
    let head = head("redis_exporter", "1.45.0", made_by, &["redis_"]);
    agrees("redis_exporter", &head, || scraped(&exporter.metrics()));
}

#[test]
fn catalogue_of_the_node_exporter() {
    has_version("prometheus-node-exporter", "--version", "1.5.0");
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let mut command = Command::new(program("prometheus-node-exporter"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut daemon = Daemon::start("node-exporter", folder.path(), &command);
    let url = format!("http://127.0.0.1:{port}/metrics");
    daemon.until(|| http::is_ok(&url));
    let head = head("node_exporter", "1.5.0", "prometheus-node-exporter", &["node_"]);
    agrees("node_exporter", &head, || scraped(&http::text(&url)));
}

#[test]
fn catalogue_of_prometheus() {
    has_version("prometheus", "--version", "2.42.0");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    let text = "global: { scrape_interval: 1s, evaluation_interval: 1s }\n\
        alerting: { alertmanagers: [ { static_configs: [ { targets: ['127.0.0.1:1'] } ] } ] }\n\
        rule_files: [ rules.yml ]\n\
        scrape_configs: [ { job_name: self, static_configs: [ { targets: ['127.0.0.1:1'] } ] } ]\n";
    std::fs::write(&config, text).unwrap();
    let rules = "groups: [ { name: g, rules: [ { alert: A, expr: 'vector(1)' } ] } ]\n";
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let prometheus = Prometheus::start(&config);
    let url = format!("http://127.0.0.1:{}/metrics", prometheus.port);
    // Metrics of the query engine and of alerts come with their first use.
    prometheus.api().until_firing("A", &[]);
    let made_by = "prometheus, with a scrape, a rule and an Alertmanager";
    let head = head("prometheus", "2.42.0", made_by, &["prometheus_", "net_conntrack_"]);
    agrees("prometheus", &head, || scraped(&http::text(&url)));
}

#[test]
fn catalogue_of_alertmanager() {
    has_version("prometheus-alertmanager", "--version", "0.25.0");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("alertmanager.yml");
    std::fs::write(&config, "route: { receiver: none }\nreceivers: [ { name: none } ]\n").unwrap();
    let alertmanager = Alertmanager::start(&config);
    let base = format!("http://127.0.0.1:{}", alertmanager.port);
    let head =
        head("alertmanager", "0.25.0", "alertmanager --cluster.listen-address=", &["alertmanager_cluster_"]);
    let alert = r#"[{ "labels": { "alertname": "Trial" } }]"#;
    assert_eq!(http::post(&format!("{base}/api/v2/alerts"), alert), Some((200, String::new())));
    agrees("alertmanager", &head, || {
        http::text(&format!("{base}/api/v2/alerts"));
        scraped(&http::text(&format!("{base}/metrics")))
    });
}

#[test]
fn every_built_in_catalogue_can_be_read() {
    for name in Catalogs::builtin_names() {
        let text = std::fs::read_to_string(file(name)).unwrap();
        let catalog = Catalog::from_json(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            catalog.version.is_some() && !catalog.made_by.is_empty() && !catalog.metrics.is_empty(),
            "{name}"
        );
        assert_eq!(catalog.to_json(), text, "{name} is not as it is generated");
    }
}
