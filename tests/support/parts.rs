//! The real programs of a stack and what it watches, each on a free loopback port.
//!
//! Every part is ready when its constructor returns, and ends when it is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::daemon::{Daemon, free_port};
use super::{GENEROUS, http, installed, program, repository, wait_for};

fn script(name: &str) -> PathBuf {
    repository().join("tests/support/parts").join(name)
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("monprov-part-").tempdir().unwrap()
}

fn accepts(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A broker with a password.
#[derive(Debug)]
pub struct Redis {
    pub daemon: Daemon,
    pub port: u16,
    pub password: String,
    _folder: TempDir,
}

impl Redis {
    pub fn start() -> Redis {
        Redis::with_password("redis:p@ss/word")
    }

    pub fn with_password(password: &str) -> Redis {
        let (port, folder) = (free_port(), folder());
        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--requirepass", password]).args([
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let daemon = Daemon::start("redis", folder.path(), &command);
        let mut redis = Redis { daemon, port, password: password.into(), _folder: folder };
        let (port, password) = (redis.port, redis.password.clone());
        redis.daemon.until(|| ping(port, &password).is_some());
        redis
    }

    /// The URL of its first database, with the password escaped.
    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", http::encode(&self.password), self.port)
    }
}

fn ping(port: u16, password: &str) -> Option<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("AUTH {password}\r\nPING\r\nQUIT\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.contains("+PONG").then_some(())
}

/// A worker of the application in `parts/app.py`.
#[derive(Debug)]
pub struct Worker {
    pub daemon: Daemon,
    _folder: TempDir,
}

impl Worker {
    /// A worker `celery@NAME` that works on one task of these queues at a time.
    pub fn start(broker: &Redis, name: &str, queues: &[&str]) -> Worker {
        let folder = folder();
        let mut command = Command::new(installed("celery/bin/celery"));
        command
            .args(["-A", "app", "worker", "-n", &format!("celery@{name}"), "-Q", &queues.join(",")])
            // Heartbeats go on while a task sleeps, and there is one process to end.
            .args(["--pool", "threads", "--concurrency", "1", "--loglevel", "INFO"])
            .env("BROKER_URL", broker.url())
            .env("PYTHONPATH", script(""))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let mut daemon = Daemon::start(name, folder.path(), &command);
        let log = folder.path().join(format!("{name}.log"));
        daemon.until(|| std::fs::read_to_string(&log).is_ok_and(|text| text.contains(" ready.")));
        Worker { daemon, _folder: folder }
    }
}

/// Puts tasks (`succeed`, `fail`, or `sleep` with its seconds) into a queue.
pub fn send_tasks(broker: &Redis, task: &str, count: u32, queue: &str, args: &[&str]) {
    let output = Command::new(installed("celery/bin/python"))
        .arg(script("app.py"))
        .args(["send", task, &count.to_string(), queue])
        .args(args)
        .env("BROKER_URL", broker.url())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the program `celery-exporter` in a folder; danihodovic's package brings no script.
pub fn celery_exporter_program(folder: &Path) -> PathBuf {
    let path = folder.join("celery-exporter");
    let python = installed("celery-exporter/bin/python");
    let start = "from src.cli import cli; cli(auto_envvar_prefix='CE')";
    std::fs::write(&path, format!("#!{} -B\n{start}\n", python.display())).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// danihodovic's Celery exporter.
#[derive(Debug)]
pub struct CeleryExporter {
    _daemon: Daemon,
    pub port: u16,
    _folder: TempDir,
}

impl CeleryExporter {
    pub fn start(broker: &Redis, args: &[&str]) -> CeleryExporter {
        let (port, folder) = (free_port(), folder());
        let mut command = Command::new(celery_exporter_program(folder.path()));
        command
            .args(["--broker-url", &broker.url(), "--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--retry-interval", "5", "--buckets", "1,10,60,600,1800,3600"])
            .args(args);
        let mut daemon = Daemon::start("celery-exporter", folder.path(), &command);
        daemon.until(|| http::is_ok(&format!("http://127.0.0.1:{port}/health")));
        CeleryExporter { _daemon: daemon, port, _folder: folder }
    }

    pub fn metrics(&self) -> String {
        http::text(&format!("http://127.0.0.1:{}/metrics", self.port))
    }
}

/// The Redis exporter.
#[derive(Debug)]
pub struct RedisExporter {
    _daemon: Daemon,
    pub port: u16,
    _folder: TempDir,
}

impl RedisExporter {
    pub fn start(redis: &Redis) -> RedisExporter {
        let (port, folder) = (free_port(), folder());
        let mut command = Command::new(program("prometheus-redis-exporter"));
        command
            .args(["-redis.addr", &format!("redis://127.0.0.1:{}", redis.port)])
            .args(["-web.listen-address", &format!("127.0.0.1:{port}")])
            .args(["-check-single-keys", "db0=celery"])
            .env("REDIS_PASSWORD", &redis.password);
        let mut daemon = Daemon::start("redis-exporter", folder.path(), &command);
        daemon.until(|| http::is_ok(&format!("http://127.0.0.1:{port}/health")));
        RedisExporter { _daemon: daemon, port, _folder: folder }
    }

    pub fn metrics(&self) -> String {
        http::text(&format!("http://127.0.0.1:{}/metrics", self.port))
    }
}

/// A Prometheus with its data in a temporary folder.
#[derive(Debug)]
pub struct Prometheus {
    _daemon: Daemon,
    pub port: u16,
    _folder: TempDir,
}

impl Prometheus {
    /// Runs a configuration file where it lies, so that its relative paths hold.
    pub fn start(config: &Path) -> Prometheus {
        Prometheus::start_in(folder(), config, &[])
    }

    /// One that holds what is written in OpenMetrics, however old it is.
    pub fn backfilled(metrics: &str) -> Prometheus {
        Prometheus::backfilled_with(metrics, &[])
    }

    /// The same with other flags.
    pub fn backfilled_with(metrics: &str, flags: &[&str]) -> Prometheus {
        let folder = folder();
        let (text, data, config) =
            (folder.path().join("metrics"), folder.path().join("data"), folder.path().join("none.yml"));
        std::fs::write(&text, metrics).unwrap();
        std::fs::write(&config, "").unwrap();
        let mut promtool = Command::new(program("promtool"));
        let output =
            promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&text).arg(&data).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Prometheus::start_in(folder, &config, flags)
    }

    fn start_in(folder: TempDir, config: &Path, flags: &[&str]) -> Prometheus {
        let port = free_port();
        let mut command = Command::new(program("prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--storage.tsdb.retention.time=60d")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-lifecycle")
            .args(flags);
        let mut daemon = Daemon::start("prometheus", folder.path(), &command);
        daemon.until(|| http::is_ok(&format!("http://127.0.0.1:{port}/-/ready")));
        Prometheus { _daemon: daemon, port, _folder: folder }
    }

    pub fn api(&self) -> PrometheusApi {
        PrometheusApi { port: self.port }
    }
}

/// The HTTP API of a Prometheus, whoever started it.
#[derive(Debug, Clone, Copy)]
pub struct PrometheusApi {
    pub port: u16,
}

impl PrometheusApi {
    /// `/api/v1/PATH`; its `data`.
    pub fn get(self, path: &str) -> Value {
        let mut answer = http::json(&format!("http://127.0.0.1:{}/api/v1/{path}", self.port));
        answer["data"].take()
    }

    /// The series of an instant query: their labels and values.
    pub fn query(self, expr: &str) -> Vec<(Value, f64)> {
        let mut data = self.get(&format!("query?query={}", http::encode(expr)));
        let Value::Array(series) = data["result"].take() else { panic!("`{expr}` is no vector: {data}") };
        series
            .into_iter()
            .map(|mut one| {
                (one["metric"].take(), one["value"][1].as_str().and_then(|v| v.parse().ok()).unwrap())
            })
            .collect()
    }

    /// The alerts that fire now, by name.
    pub fn firing(self) -> Vec<(String, Value)> {
        let mut data = self.get("alerts");
        let Value::Array(alerts) = data["alerts"].take() else { panic!("no list of alerts: {data}") };
        alerts
            .into_iter()
            .filter(|alert| alert["state"] == "firing")
            .map(|mut alert| {
                (alert["labels"]["alertname"].as_str().unwrap().to_owned(), alert["labels"].take())
            })
            .collect()
    }

    /// Waits until an alert of this name fires with these labels.
    #[track_caller]
    pub fn until_firing(self, name: &str, labels: &[(&str, &str)]) {
        wait_for(GENEROUS, &format!("firing {name} {labels:?}"), || {
            self.firing()
                .iter()
                .any(|(found, all)| found == name && labels.iter().all(|(k, v)| all[*k] == *v))
                .then_some(())
        });
    }
}

/// An Alertmanager with its data in a temporary folder.
#[derive(Debug)]
pub struct Alertmanager {
    daemon: Daemon,
    pub port: u16,
    _folder: TempDir,
}

impl Alertmanager {
    pub fn start(config: &Path) -> Alertmanager {
        let (port, folder) = (free_port(), folder());
        let mut command = Command::new(program("prometheus-alertmanager"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        let mut daemon = Daemon::start("alertmanager", folder.path(), &command);
        daemon.until(|| http::is_ok(&format!("http://127.0.0.1:{port}/-/ready")));
        Alertmanager { daemon, port, _folder: folder }
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        self.daemon.output()
    }
}

/// What a sink took, in the order of arrival.
fn received<T: for<'de> Deserialize<'de>>(folder: &Path) -> Vec<T> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
}

/// An SMTP server that keeps what it gets.
#[derive(Debug)]
pub struct MailSink {
    _daemon: Daemon,
    pub port: u16,
    folder: TempDir,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub subject: String,
    pub body: String,
    /// Who logged in, and with what; any password is right.
    pub user: Option<String>,
    pub password: Option<String>,
}

impl MailSink {
    pub fn start() -> MailSink {
        let (port, folder) = (free_port(), folder());
        let mut command = Command::new(installed("celery/bin/python"));
        command.arg(script("smtp_sink.py")).arg(port.to_string()).arg(folder.path());
        let mut daemon = Daemon::start("smtp-sink", folder.path(), &command);
        daemon.until(|| accepts(port));
        MailSink { _daemon: daemon, port, folder }
    }

    pub fn mails(&self) -> Vec<Mail> {
        received(self.folder.path())
    }
}

/// An HTTP server that keeps every POST.
#[derive(Debug)]
pub struct WebhookSink {
    _daemon: Daemon,
    pub port: u16,
    folder: TempDir,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    pub path: String,
    pub headers: std::collections::BTreeMap<String, String>,
    pub body: String,
}

impl WebhookSink {
    pub fn start() -> WebhookSink {
        let (port, folder) = (free_port(), folder());
        let mut command = Command::new(installed("celery/bin/python"));
        command.arg(script("webhook_sink.py")).arg(port.to_string()).arg(folder.path());
        let mut daemon = Daemon::start("webhook-sink", folder.path(), &command);
        daemon.until(|| accepts(port));
        WebhookSink { _daemon: daemon, port, folder }
    }

    pub fn calls(&self) -> Vec<Call> {
        received(self.folder.path())
    }
}

/// DingTalk, WeCom, Feishu, Telegram and a webhook, as strict as the real ones.
#[derive(Debug)]
pub struct Robots {
    _daemon: Daemon,
    pub port: u16,
    folder: TempDir,
}

/// What a robot was asked.
#[derive(Debug, Clone, Deserialize)]
pub struct Asked {
    /// `dingtalk`, `wecom`, `feishu`, `telegram` or `hook`.
    pub service: String,
    pub taken: bool,
    pub body: String,
}

impl Robots {
    /// The secrets of all robots, by the variable that the reference stack reads them from.
    pub const SECRETS: [(&str, &str); 7] = [
        ("DINGTALK_TOKEN", "dingtalk-token-canary+/="),
        ("DINGTALK_SIGN", "SECdingtalk-sign-canary"),
        ("WECOM_KEY", "wecom-key-canary-693a91f6"),
        ("FEISHU_TOKEN", "feishu-token-canary-7c1d"),
        ("FEISHU_SIGN", "feishu-sign-canary"),
        ("TELEGRAM_TOKEN", "110201543:telegram-canary"),
        ("HOOK_TOKEN", "hook-token-canary"),
    ];

    pub fn start() -> Robots {
        let (port, folder) = (free_port(), folder());
        let mut command = Command::new(program("python3"));
        command.arg(script("robots.py")).arg(port.to_string()).arg(folder.path()).envs(Robots::SECRETS);
        let mut daemon = Daemon::start("robots", folder.path(), &command);
        daemon.until(|| accepts(port));
        Robots { _daemon: daemon, port, folder }
    }

    /// A layer that switches the channels of the reference stack on and sends them here.
    pub fn layer(&self) -> String {
        let at = |channel: &str, endpoint: &str, path: &str| {
            format!(
                "[channels.{channel}]\nenable = true\n\
                 [channels.{channel}.plugin.endpoints.{endpoint}]\n\
                 url = \"http://127.0.0.1:{}{path}\"\nprivate = true\n\
                 [routes.{channel}]\nenable = true\n",
                self.port
            )
        };
        [
            at("dingtalk", "robot", "/robot/send"),
            at("wecom", "robot", "/cgi-bin/webhook/send"),
            at("feishu", "bot", "/open-apis/bot/v2/hook"),
            at("telegram", "api", ""),
            at("hook", "hook", "/hook"),
            "[vars]\nTELEGRAM_CHAT = { default = \"@ops\" }\n".to_owned(),
        ]
        .concat()
    }

    pub fn asked(&self) -> Vec<Asked> {
        received(self.folder.path())
    }

    /// What a robot took that says this.
    #[track_caller]
    pub fn until_told(&self, service: &str, text: &str) -> Asked {
        wait_for(GENEROUS, &format!("message of {service} about {text}: {:?}", self.asked()), || {
            self.asked()
                .into_iter()
                .find(|asked| asked.service == service && asked.taken && asked.body.contains(text))
        })
    }
}
