//! Which canaries a drill sends, and whom each should reach.

use std::collections::BTreeSet;

use monprov::stack::Stack;
use monprov::stack::canary::{Canaries, canaries};

use crate::support::resolved::stack;

const ALERTS: &str = r#"
[services.prometheus]
kind = "prometheus"
image = "prom/prometheus:v3.14.0"
port = 9090

[services.alertmanager]
kind = "alertmanager"
image = "prom/alertmanager:v0.34.0"
port = 9093

[prometheus]
external_labels = { environment = "prod" }

[alertmanager]
channel = "default"
smtp = { smarthost = "mail:25", from = "a@b.c" }

[alerts.Down]
expr = "up == 0"
severity = "critical"
component = "queue"

[alerts.Slow]
expr = "up == 2"
severity = "warning"
component = "queue"

[alerts.AlsoSlow]
expr = "up == 3"
severity = "warning"
component = "queue"

[channels.default.email]
to = "default@example.com"
"#;

fn with(more: &str) -> Stack {
    stack(&format!("{ALERTS}\n{more}"))
}

fn channel(name: &str) -> String {
    format!("[channels.{name}.email]\nto = \"{name}@example.com\"\n")
}

/// `severity/component → receivers`, or all labels that are not every canary's.
fn shown(canaries: &Canaries) -> Vec<String> {
    let line = |canary: &monprov::stack::canary::Canary| {
        let common = ["alertname=MonprovDrill", "monprov_drill=7", "environment=prod"];
        let labels: Vec<String> = (canary.labels.iter())
            .map(|(name, value)| format!("{name}={value}"))
            .filter(|label| !common.contains(&label.as_str()))
            .collect();
        let receivers: Vec<&str> = canary.receivers.iter().map(String::as_str).collect();
        format!("{} → {}", labels.join(" "), receivers.join(" "))
    };
    canaries.all.iter().map(line).collect()
}

#[test]
fn there_is_one_for_each_severity_and_component() {
    let found = canaries(&with(""), "7", &[]);
    assert_eq!(
        shown(&found),
        ["component=queue severity=critical → default", "component=queue severity=warning → default"]
    );
    for canary in &found.all {
        assert_eq!(canary.labels["alertname"], "MonprovDrill");
        assert_eq!(canary.labels["monprov_drill"], "7");
        assert_eq!(canary.labels["environment"], "prod", "routes may look at external labels");
    }
}

#[test]
fn a_receiver_that_none_reaches_gets_one_of_its_own() {
    let more = channel("dba")
        + &channel("night")
        + r#"
        [routes.dba]
        order = 1
        match = { team = "dba" }
        matchers = ['severity!="info"', 'site=~"(ams|fra).*"']
        channel = "dba"

        [routes.dba.routes.night]
        match = { alertname = "Backup" }
        channel = "night"
        "#;
    let found = canaries(&with(&more), "7", &["dba".into(), "night".into()]);
    assert_eq!(shown(&found), ["site=ams team=dba → dba", "alertname=Backup site=ams team=dba → night"]);
    assert!(found.unreached.is_empty());
}

#[test]
fn a_receiver_that_nothing_reaches_is_said() {
    let more = channel("never")
        + &channel("alone")
        + r#"
        [routes.all]
        order = 1
        matchers = ['severity=~".*"']
        channel = "default"

        [routes.never]
        order = 2
        match = { team = "dba" }
        channel = "never"
        "#;
    let found = canaries(&with(&more), "7", &["never".into(), "alone".into()]);
    assert_eq!(found.all, []);
    let why: Vec<(&str, bool)> =
        found.unreached.iter().map(|(name, why)| (name.as_str(), why.contains("no route leads"))).collect();
    assert_eq!(why, [("alone", true), ("never", false)]);
}

#[test]
fn only_the_receivers_that_are_asked_for() {
    let more =
        channel("pager") + "[routes.pager]\nmatch = { severity = \"critical\" }\nchannel = \"pager\"\n";
    let found = canaries(&with(&more), "7", &["pager".into()]);
    assert_eq!(shown(&found), ["component=queue severity=critical → pager"]);
    let all = canaries(&with(&more), "7", &[]);
    let receivers: BTreeSet<&String> = all.all.iter().flat_map(|canary| &canary.receivers).collect();
    assert_eq!(receivers, BTreeSet::from([&"default".to_owned(), &"pager".to_owned()]));
}
