//! Prometheus runs the bundle's configuration and the bundle's rules.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::metrics::Reload;
use super::targets::{self, Target};
use super::{Check, Look, SETTLES, model, rules};
use crate::activate::http::Client;
use crate::activate::kubernetes;
use crate::stack::ServiceKind;

pub(super) const FILE: &str = "prometheus/prometheus.yml";

/// What a Prometheus says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub reload: Reload,
    /// Its configuration, marshalled anew.
    pub configuration: String,
    pub rules: Vec<rules::Group>,
    pub targets: BTreeMap<(String, String), Target>,
    /// All that it has found, by job.
    pub found: BTreeMap<String, Vec<targets::Labels>>,
}

#[derive(Deserialize)]
struct Rules {
    data: RuleData,
}

#[derive(Deserialize)]
struct RuleData {
    groups: Vec<rules::Group>,
}

impl Seen {
    pub(super) fn read(client: &Client, address: &str) -> Result<Seen, String> {
        let api = |path: &str| format!("http://{address}/api/v1/{path}");
        let metrics = client.ok(&format!("http://{address}/metrics"))?;
        let status = client.json(&api("status/config"))?;
        let configuration = status.pointer("/data/yaml").and_then(Value::as_str).unwrap_or_default();
        let rules = client.ok(&api("rules"))?;
        let rules: Rules = serde_json::from_str(&rules).map_err(|e| format!("{}: {e}", api("rules")))?;
        let targets = client.json(&api("targets"))?;
        Ok(Seen {
            reload: Reload::read(&metrics, "prometheus"),
            configuration: configuration.to_owned(),
            rules: rules.data.groups,
            targets: Target::read_all(&targets),
            found: targets::found(&targets),
        })
    }
}

pub(super) fn check(look: &Look<'_>, checks: &mut Vec<Check>) {
    let Some((name, _)) = look.bundle.service_of(ServiceKind::Prometheus) else { return };
    let seen = match &look.seen.prometheus {
        Some(Ok(seen)) => seen,
        Some(Err(why)) => return checks.push(Check::unreachable(name, why)),
        None => return,
    };
    let patience = look.patience(name);
    if seen.reload.successful == Some(false) {
        checks.push(Check::wrong(name, "did not take over its configuration; its log says why"));
        return;
    }
    if !look.took_over(name, |seen| Some(seen.prometheus.as_ref()?.as_ref().ok()?.reload)) {
        let what = "answered the reload, but none happened: it runs what it ran before";
        checks.push(Check::waiting(name, what, patience.min(SETTLES)));
        return;
    }
    if kubernetes::by_operator(look.bundle) {
        return checks.push(Check::unproved(name, "its configuration and rules, which the operator writes"));
    }
    let ours = look.bundle.text(FILE).map_err(|e| e.to_string()).and_then(|text| model::read(&text));
    match (ours, model::read(&seen.configuration)) {
        (Ok(ours), Ok(theirs)) => {
            if let Some(difference) = model::difference(&ours, &theirs) {
                let what = format!("runs another configuration: {difference}");
                return checks.push(Check::waiting(name, &what, patience));
            }
        }
        (Err(why), _) => return checks.push(Check::wrong(name, &format!("{FILE}: {why}"))),
        (_, Err(why)) => {
            let what = format!("answers with a configuration that can't be read: {why}");
            return checks.push(Check::waiting(name, &what, patience));
        }
    }
    match rules::compare(look.bundle, &seen.rules) {
        Ok(compared) => {
            let s = if compared.count == 1 { "" } else { "s" };
            let what = format!("runs {} ({} rule{s})", look.bundle.short(), compared.count);
            checks.push(Check::proved(name, &what));
            if !compared.unproved.is_empty() {
                let what = format!("the expressions of {}", compared.unproved.join(", "));
                checks.push(Check::unproved(name, &what));
            }
        }
        Err(difference) => {
            checks.push(Check::waiting(name, &format!("runs other rules: {difference}"), patience));
        }
    }
}
