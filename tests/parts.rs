//! The parts that the other tests stand on do what they say.

use serde_json::json;

use crate::support::parts::{
    Alertmanager, CeleryExporter, MailSink, Prometheus, Redis, RedisExporter, WebhookSink, Worker, send_tasks,
};
use crate::support::{GENEROUS, http, wait_for};

#[test]
fn exporters_show_a_real_queue() {
    let redis = Redis::start();
    let _worker = Worker::start(&redis, "alpha", &["celery"]);
    let exporter = CeleryExporter::start(&redis, &[]);
    let redis_exporter = RedisExporter::start(&redis);
    assert!(redis_exporter.metrics().contains("\nredis_up 1\n"));

    send_tasks(&redis, "succeed", 2, "celery", &[]);
    send_tasks(&redis, "fail", 1, "celery", &[]);
    wait_for(GENEROUS, "failed task in the exporter's metrics", || {
        let metrics = exporter.metrics();
        let has = |start: &str, end: &str| metrics.lines().any(|l| l.starts_with(start) && l.ends_with(end));
        (has("celery_task_succeeded_total{", " 2.0")
            && has("celery_task_failed_total{exception=\"ValueError\"", " 1.0")
            && has("celery_worker_up{hostname=\"alpha\"}", " 1.0"))
        .then_some(())
    });
}

#[test]
fn sinks_keep_what_alertmanager_sends() {
    let (mail, webhook) = (MailSink::start(), WebhookSink::start());
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("alertmanager.yml");
    let text = format!(
        "global: {{ smtp_smarthost: '127.0.0.1:{}', smtp_from: a@example.org, smtp_require_tls: false }}\n\
         route: {{ receiver: both, group_wait: 0s }}\n\
         receivers:\n\
         - name: both\n  \
           email_configs: [{{ to: b@example.org }}]\n  \
           webhook_configs: [{{ url: 'http://127.0.0.1:{}/hook' }}]\n",
        mail.port, webhook.port
    );
    std::fs::write(&config, text).unwrap();
    let alertmanager = Alertmanager::start(&config);

    let alert = json!([{ "labels": { "alertname": "Trial" }, "annotations": { "summary": "Grüße" } }]);
    let url = format!("http://127.0.0.1:{}/api/v2/alerts", alertmanager.port);
    assert_eq!(http::post(&url, &alert.to_string()), Some((200, String::new())));

    let mail = wait_for(GENEROUS, "mail", || mail.mails().pop());
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("a@example.org", ["b@example.org".into()].as_slice())
    );
    assert!(mail.subject.contains("Trial") && mail.body.contains("Grüße"), "{mail:?}");
    let call = wait_for(GENEROUS, "call", || webhook.calls().pop());
    assert_eq!((call.path.as_str(), call.headers["Content-Type"].as_str()), ("/hook", "application/json"));
    assert!(call.body.contains("Grüße"));
}

#[test]
fn prometheus_scrapes_and_alerts() {
    let redis = Redis::start();
    let exporter = RedisExporter::start(&redis);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("rules.yml", "groups: [{ name: g, interval: 1s, rules: [{ alert: Up, expr: redis_up == 1 }] }]");
    write(
        "prometheus.yml",
        &format!(
            "rule_files: [rules.yml]\n\
             scrape_configs: [{{ job_name: redis, scrape_interval: 1s, scrape_timeout: 1s, \
             static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}]\n",
            exporter.port
        ),
    );
    let prometheus = Prometheus::start(&folder.path().join("prometheus.yml"));
    prometheus.api().until_firing("Up", &[("job", "redis")]);
    assert_eq!(prometheus.api().query("redis_up")[0].1, 1.0);
}
