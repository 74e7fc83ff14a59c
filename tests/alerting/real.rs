//! Rendered files are taken by the real amtool and the real Alertmanager, which then knows
//! the same routes and can read every secret.

use std::path::Path;
use std::process::Command;

use monprov::check;
use monprov::profile::text::{Filter, Piece, Text};
use monprov::render::alertmanager::render;
use monprov::stack::Stack;

use crate::support::daemon::{Daemon, free_port};
use crate::support::parts::WebhookSink;
use crate::support::resolved::{line, stack};
use crate::support::{GENEROUS, http, program, wait_for};

const ALERTMANAGER: &str = "[services.alertmanager]\nkind = \"alertmanager\"\nversion = \"0.25\"\n";

/// Writes the files and secrets of a stack as activation lays them out, below `base`.
fn lay_out(stack: &Stack, base: &Path) {
    let rendered = render(stack).unwrap();
    let live = base.join("run").join(&stack.name).join("live");
    for (path, file) in rendered.files.iter() {
        write(&live.join(path), &file.content);
    }
    for (name, text) in &rendered.secret_files {
        write(
            &base.join("secrets").join(&stack.name).join("alertmanager").join(name),
            reveal(text).as_bytes(),
        );
    }
}

fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Every secret is `value-of-NAME`.
fn reveal(text: &Text) -> String {
    text.0
        .iter()
        .map(|piece| match piece {
            Piece::Plain(plain) => plain.clone(),
            Piece::Secret { name, filter: Filter::None } => format!("value-of-{name}"),
            other => panic!("{other:?} is not in these profiles"),
        })
        .collect()
}

#[track_caller]
fn amtool_accepts(stack: &Stack) -> String {
    let folder = tempfile::tempdir().unwrap();
    lay_out(stack, folder.path());
    let config = folder.path().join("run/test/live/alertmanager/alertmanager.yml");
    let output = Command::new(program("amtool")).arg("check-config").arg(&config).output().unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    text
}

const EVERYTHING: &str = r##"
[stack]
runtime = "process"
[alertmanager]
channel = "default"
group_by = ["alertname", "component"]
repeat_interval = "6h"
resolve_timeout = "3m"
smtp = { smarthost = "mail.example.org:587", from = "a@example.org", username = "u", password = "${secret.smtp}", hello = "h", require_tls = false }
[secrets]
smtp = { env = "A" }
slack = { env = "B" }
token = { env = "C" }
key = { env = "D" }
[channels.default]
email = [{ to = "ops@example.org", headers = { Subject = "{{ .CommonLabels.alertname }}: yes" } }, { to = "no@example.org", send_resolved = true, html = "", text = "line\n# two" }]
[channels.pager.webhook]
url = "https://example.org/hook?x=1"
max_alerts = 5
bearer_token = "${secret.token}"
[channels.pager.slack]
api_url = "https://hooks.slack.com/services/${secret.slack}"
channel = "#on"
title = "yes"
[channels.pager.pagerduty]
routing_key = "${secret.key}"
details = { firing = "{{ .Alerts.Firing | len }}" }
[channels.pager.opsgenie]
api_key = "${secret.key}"
priority = "P1"
[channels.wecom.wechat]
corp_id = "ww1"
api_secret = "plain"
agent_id = "1000002"
to_party = "1|2"
message_type = "markdown"
[channels.chat.discord]
webhook_url = "https://discord.com/api/webhooks/1/x"
[channels.chat.telegram]
bot_token = "plain"
chat_id = -1001234567890
parse_mode = ""
[channels.chat.webhook]
url = "http://localhost:1/"
basic_auth = { username = "u", password = "p-${secret.token}" }
[routes.critical]
order = 1
matchers = ['severity="critical"', 'team!~"on|off|1:30", alertname=~"a\"b\\\\c.*"']
channel = "pager"
continue = true
group_by = ["..."]
mute_during = ["night"]
[routes.critical.routes.inner]
match = { zone = "no" }
channel = "wecom"
group_wait = "1m30s"
[routes.rest]
order = 2
channel = "chat"
active_during = ["office", "night"]
[inhibitions.one]
source.severity = "critical"
target.severity = "warning"
equal = ["component", "zone"]
[intervals.night]
times = [{ from = "00:00", to = "06:00" }, { from = "22:00", to = "24:00" }]
location = "Asia/Shanghai"
[intervals.office]
weekdays = ["monday:friday"]
months = ["1:6", "december"]
days_of_month = ["-3:-1"]
years = ["2026"]
"##;

#[test]
fn a_file_with_everything_reads_well_and_is_accepted() {
    let stack = stack(&format!("{ALERTMANAGER}{EVERYTHING}"));
    let errors: Vec<String> = check::alerting::check(&stack).iter().map(line).collect();
    assert_eq!(errors, Vec::<String>::new());
    let text = amtool_accepts(&stack);
    let golden = include_str!("everything.yml");
    if std::env::var_os("GOLDEN").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerting/everything.yml");
        std::fs::write(file, &text).unwrap();
    } else {
        assert_eq!(text, golden, "run with GOLDEN=1 to refresh tests/alerting/everything.yml");
    }
    let files: Vec<String> = render(&stack).unwrap().secret_files.into_keys().collect();
    assert_eq!(
        files,
        ["channels.chat.webhook.basic_auth.password", "channels.pager.slack.api_url", "key", "smtp", "token"]
    );
}

#[test]
fn the_real_alertmanager_runs_it_with_the_same_routes_and_receivers() {
    let stack = stack(&format!("{ALERTMANAGER}{EVERYTHING}"));
    let folder = tempfile::tempdir().unwrap();
    let (_daemon, port) = run(&stack, folder.path());
    let status = http::json(&format!("http://127.0.0.1:{port}/api/v2/status"));
    let running: serde_json::Value =
        serde_saphyr::from_str(status["config"]["original"].as_str().unwrap()).unwrap();
    let receivers = http::json(&format!("http://127.0.0.1:{port}/api/v2/receivers"));
    let names: Vec<&str> =
        receivers.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, stack.receivers.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(running["route"]["routes"].as_array().unwrap().len(), 2);
    let critical = &running["route"]["routes"][0];
    assert_eq!(critical["receiver"], "pager");
    assert_eq!(critical["continue"], true);
    // It prints matchers as we do, sorted.
    let mut ours: Vec<String> = stack.route.routes[0].matchers.iter().map(ToString::to_string).collect();
    ours.sort();
    assert_eq!(critical["matchers"], serde_json::json!(ours));
    assert_eq!(critical["routes"][0]["receiver"], "wecom");
}

/// The Alertmanager of a stack, in the layout of the process runtime.
fn run(stack: &Stack, base: &Path) -> (Daemon, u16) {
    lay_out(stack, base);
    let port = free_port();
    let mut command = Command::new(program("prometheus-alertmanager"));
    command
        .current_dir(base)
        .arg("--config.file=run/test/live/alertmanager/alertmanager.yml")
        .arg(format!("--storage.path={}", base.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    let mut daemon = Daemon::start("alertmanager", base, &command);
    daemon.until(|| http::is_ok(&format!("http://127.0.0.1:{port}/-/ready")));
    (daemon, port)
}

#[test]
fn secrets_arrive_from_their_files() {
    let sink = WebhookSink::start();
    let profile = format!(
        "{ALERTMANAGER}
[stack]
runtime = \"process\"
[alertmanager]
channel = \"both\"
group_wait = \"1s\"
[secrets]
token = {{ env = \"A\" }}
path = {{ env = \"B\" }}
[channels.both.webhook]
url = \"http://127.0.0.1:{port}/webhook\"
bearer_token = \"${{secret.token}}\"
[channels.both.slack]
api_url = \"http://127.0.0.1:{port}/slack/${{secret.path}}\"
",
        port = sink.port
    );
    let folder = tempfile::tempdir().unwrap();
    let (_daemon, port) = run(&stack(&profile), folder.path());
    let alert = r#"[{"labels": {"alertname": "Down", "severity": "critical"}}]"#;
    let (status, _) = http::post(&format!("http://127.0.0.1:{port}/api/v2/alerts"), alert).unwrap();
    assert_eq!(status, 200);
    let calls = wait_for(GENEROUS, "two calls", || Some(sink.calls()).filter(|c| c.len() >= 2));
    let webhook = calls.iter().find(|c| c.path == "/webhook").unwrap();
    let header = webhook.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case("authorization")).unwrap();
    assert_eq!(header.1, "Bearer value-of-token");
    assert!(calls.iter().any(|c| c.path == "/slack/value-of-path"));
}
