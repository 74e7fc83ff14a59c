//! The resources of the Prometheus operator, held against its published types.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use super::{assert_same, assert_schemas, build, find, kustomized, of_kind, project, resources};
use crate::support::{installed, program, repository};

const OPERATOR: &str = r#"
extends = ["prod"]

[stack]
runtime = "kubernetes"

[kubernetes]
flavor = "operator"
"#;

/// Everything that an AlertmanagerConfig and a ScrapeConfig can hold.
const EVERYTHING: &str = r##"
extends = ["prod"]

[stack]
runtime = "kubernetes"

[kubernetes]
flavor = "operator"
pull_secrets = ["registry"]

[services.prometheus]
args = ["--log.level=debug", "--web.enable-admin-api"]

[scrapes.outside]
targets = ["db.example.com:9187", "db2.example.com:9187"]
path = "/probe"
scheme = "https"
labels = { tier = "data" }
basic_auth = { username = "monitor", password = "${secret.smtp_password}" }
sample_limit = 5000
relabel = [{ source_labels = ["__address__"], regex = "(.*):.*", target_label = "host", replacement = "$1" }]
metric_relabel = [{ source_labels = ["__name__"], regex = "go_.*", action = "drop" }]

[scrapes.celery]
honor_labels = true
bearer_token = "${secret.smtp_password}"

[channels.everything]
webhook = [
  { url = "https://example.com/hook", max_alerts = 5, timeout = "10s", basic_auth = { username = "u", password = "${secret.smtp_password}" } },
  { url = "https://example.com/${secret.smtp_password}", bearer_token = "${secret.smtp_password}" },
]
email = [{ to = "a@example.com", headers = { Subject = "[{{ .Status }}]" }, html = "<b>x</b>", send_resolved = true }]
slack = [{ api_url = "${secret.smtp_password}", channel = "#ops", username = "m", icon_emoji = ":x:", color = "danger", title = "t", title_link = "https://example.com", text = "x" }]
pagerduty = [{ routing_key = "${secret.smtp_password}", severity = "critical", details = { a = "b" }, client = "c", client_url = "https://example.com" }]
opsgenie = [{ api_key = "${secret.smtp_password}", message = "m", priority = "P1", tags = "a,b", details = { a = "b" } }]
discord = [{ webhook_url = "${secret.smtp_password}", title = "t", message = "m", username = "u" }]
msteams = [{ webhook_url = "${secret.smtp_password}", title = "t", text = "x" }]
telegram = [{ bot_token = "${secret.smtp_password}", chat_id = -1001234567890, message = "m", parse_mode = "HTML", disable_notifications = true }]
wechat = [{ corp_id = "ww", api_secret = "${secret.smtp_password}", agent_id = "1", to_user = "@all", message = "m", message_type = "markdown" }]

[routes.everything]
match = { team = "x" }
channel = "everything"
group_by = ["..."]
group_wait = "1m"
mute_during = ["night"]
active_during = ["days"]

[intervals.night]
times = [{ from = "00:00", to = "06:00" }, { from = "22:00", to = "24:00" }]

[intervals.days]
weekdays = ["monday:friday"]
days_of_month = ["1:15", "-1"]
months = ["january:march"]
years = ["2024:2030"]
"##;

/// What the operator's own types refuse, and the fields that they don't have.
fn assert_types(resources: &[Value]) {
    let foreign: Vec<&Value> = resources
        .iter()
        .filter(|r| r["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/"))
        .collect();
    assert!(!foreign.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("resources.json"), serde_json::to_vec(&foreign).unwrap()).unwrap();
    std::fs::write(path.join("package.json"), r#"{ "type": "module" }"#).unwrap();
    std::fs::copy(repository().join("tests/support/parts/operator_schemas.mjs"), path.join("check.mjs"))
        .unwrap();
    installed("npm/node_modules/@kubernetes-models/prometheus-operator/package.json");
    symlink(installed("npm/node_modules"), path.join("node_modules")).unwrap();
    let output = Command::new(program("node")).args(["check.mjs", "."]).current_dir(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(program("node"))
        .arg(installed("npm/node_modules/typescript/bin/tsc"))
        .args(["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"])
        .args(["--moduleResolution", "nodenext", "--types", "", "check.ts"])
        .current_dir(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn published_types_of_the_operator_take_every_resource() {
    for layer in [OPERATOR, EVERYTHING] {
        let project = project(layer);
        let resources = resources(&build(&project, "cluster"));
        assert_schemas(&resources);
        assert_types(&resources);
    }
}

#[test]
fn the_check_against_types_finds_what_is_wrong() {
    let project = project(OPERATOR);
    let resources = resources(&build(&project, "cluster"));
    let rule = find(&resources, "AlertmanagerConfig", "alertmanager").clone();
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut copy = rule.clone();
        change(&mut copy);
        std::panic::catch_unwind(|| assert_types(&[copy])).is_err()
    };
    assert!(!broken(&|_| {}));
    assert!(broken(&|r| r["spec"]["receivers"][0]["emailConfigs"] = json!([{ "recipient": "a" }])));
    assert!(broken(&|r| r["spec"]["route"]["groupWait"] = json!("soon")));
}

#[test]
fn kustomize_takes_the_operators_resources_too() {
    let project = project(EVERYTHING);
    let bundle = build(&project, "cluster");
    assert_same(&resources(&bundle), &kustomized(&bundle));
}

#[test]
fn series_have_the_labels_that_they_have_elsewhere() {
    let project = project(OPERATOR);
    let resources = resources(&build(&project, "cluster"));
    let monitor = find(&resources, "ServiceMonitor", "scrape-celery");
    let steps = monitor["spec"]["endpoints"][0]["relabelings"].as_array().unwrap();
    let set = |label: &str| {
        let step = steps.iter().find(|step| step["targetLabel"] == label).unwrap();
        step["replacement"].as_str().unwrap().to_owned()
    };
    assert_eq!(set("job"), "celery");
    assert_eq!(set("instance"), "celery-exporter");
    assert_eq!(set("component"), "task-queue");
    let prometheus = &find(&resources, "Prometheus", "prometheus")["spec"];
    assert_eq!(prometheus["prometheusExternalLabelName"], "");
    assert_eq!(prometheus["externalLabels"], json!({ "environment": "prod" }));
    let groups = of_kind(&resources, "PrometheusRule").len();
    assert!(groups >= 1);
}

#[test]
fn what_the_operator_cannot_express_is_refused() {
    let layer = format!(
        "{OPERATOR}\n[intervals.night]\nlocation = \"Asia/Shanghai\"\ntimes = [{{ from = \"00:00\", to = \"06:00\" }}]\n\
         [services.prometheus]\nport = 9091\nenvironment.X = \"y\"\n"
    );
    let output = project(&layer).run("check cluster --no-secrets --oracle off").exits(3);
    assert!(output.stderr.contains("M353"), "{}", output.stderr);
    assert_eq!(output.stderr.matches("error[M353]").count(), 3, "{}", output.stderr);
}
