//! What is known about the named things of a stack: channels, scrapes, services and so on.
//! The first fact of a thing is what a person would say it is.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::diagnostic::Path;
use crate::stack::{
    Integration, PublishMode, Relayed, RuleKind, Runtime, Scrape, SecretSource, Service, ServiceKind, Source,
    Stack, SwarmMode, Value,
};

use super::Side;
use super::fact::Facts;

pub(super) type Things = BTreeMap<String, Facts>;

pub(super) fn stack(side: &Side) -> Facts {
    let mut facts = Facts::of(&Path::new(["stack"]));
    facts.add("runtime", side.stack.runtime.name());
    if side.stack.project != format!("monprov-{}", side.stack.name) {
        facts.add("project", &side.stack.project);
    }
    facts.add("network.name", &side.stack.network.name);
    facts.flag("network.external", side.stack.network.external);
    facts
}

/// Rules that record one metric are told apart by their labels, or else by their order.
pub(super) fn records(side: &Side) -> Things {
    let records = side.rules().into_iter().filter(|(_, rule, _)| matches!(rule.kind, RuleKind::Record));
    let mut things = Things::new();
    for (_, rule, origin) in records {
        let labels: Vec<_> = rule.labels().iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(", ")) };
        let at = match &rule.source {
            Source::Setting(path) => path.clone(),
            Source::File { .. } => Path::new(["rules", "files"]),
        };
        let mut facts = Facts { origin, ..Facts::of(&at) };
        facts.add("expr", rule.expr().trim());
        things.insert(unused(&things, format!("{}{labels}", rule.name)), facts);
    }
    things
}

/// A name that is not taken: the name itself, or with a number.
pub(super) fn unused(things: &Things, name: String) -> String {
    let taken = |name: &String| things.contains_key(name);
    let numbered = (2..).map(|n| format!("{name} ({n})"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
}

pub(super) fn channels(side: &Side) -> Things {
    let channel = |(name, receiver): (&String, &crate::stack::Receiver)| {
        let mut facts = Facts::of(&receiver.at);
        let relayed = side.stack.relayed.get(name);
        for integration in &receiver.integrations {
            // What Alertmanager is told follows from the plugin's own.
            match relayed.filter(|relayed| relayed.at == integration.at) {
                Some(relayed) => facts_of_relayed(&mut facts, relayed, integration),
                None => options(&mut facts, receiver.at.segments().count(), integration),
            }
        }
        (name.clone(), facts)
    };
    side.stack.receivers.iter().map(channel).collect()
}

/// `plugin`, `plugin.settings.language`, `plugin.endpoints.robot`, …
fn facts_of_relayed(facts: &mut Facts, relayed: &Relayed, integration: &Integration) {
    let at = &relayed.at;
    facts.add_at("plugin", &relayed.plugin, at.join("name"));
    for (key, value) in &relayed.settings {
        facts.add_at(format!("plugin.settings.{key}"), value, at.join("settings").join(key));
    }
    for (name, endpoint) in &relayed.endpoints {
        let private = if endpoint.private { ", private" } else { "" };
        let text = format!("{}{private}", endpoint.url);
        facts.add_at(format!("plugin.endpoints.{name}"), text, at.join("endpoints").join(name));
    }
    for (name, grant) in &relayed.grants {
        let text = format!(
            "{} as {} in {} of {}",
            grant.secret.reference(),
            json(&grant.r#use),
            json(&grant.place),
            grant.endpoint
        );
        facts.add_at(format!("plugin.grants.{name}"), text.replace('"', ""), at.join("grants").join(name));
    }
    if let Some(budget) = relayed.budget {
        facts.add_at("plugin.budget", format!("{} per {}", budget.messages, budget.per), at.join("budget"));
    }
    if let Some(send) = integration.options.get("send_resolved") {
        facts.add_at("plugin.send_resolved", show(send), at.join("send_resolved"));
    }
}

/// `webhook.url`, `email[1].to`, …
fn options(facts: &mut Facts, depth: usize, integration: &Integration) {
    let own: Vec<&str> = integration.at.segments().skip(depth).collect();
    let prefix = own.iter().fold(Path::root(), |path, step| path.join(step));
    for (name, value) in &integration.options {
        option(facts, &prefix.join(name), &integration.at.join(name), value);
    }
    if integration.options.is_empty() {
        facts.add_at(prefix.to_string(), "on", integration.at.clone());
    }
}

fn option(facts: &mut Facts, field: &Path, at: &Path, value: &Value) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                option(facts, &field.join(key), &at.join(key), value);
            }
        }
        other => facts.add_at(field.to_string(), show(other), at.clone()),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Text(text) => text.reference(),
        Value::List(items) => items.iter().map(show).collect::<Vec<_>>().join(", "),
        Value::Table(table) => {
            table.iter().map(|(key, value)| format!("{key} {}", show(value))).collect::<Vec<_>>().join(", ")
        }
    }
}

pub(super) fn scrapes(side: &Side) -> Things {
    side.stack.scrapes.iter().map(|(name, scrape)| (name.clone(), scrape_facts(scrape))).collect()
}

fn scrape_facts(scrape: &Scrape) -> Facts {
    let mut facts = Facts::of(&scrape.at);
    let targets: Vec<String> = scrape.targets.iter().map(|target| target.address.clone()).collect();
    let written = if scrape.service.is_some() { "service" } else { "targets" };
    facts.add_at("targets", targets.join(", "), scrape.at.join(written));
    facts.some("service", scrape.service.as_ref());
    facts.add("job", &scrape.job);
    facts.add("interval", scrape.interval);
    facts.add("timeout", scrape.timeout);
    facts.add("scheme", json(&scrape.scheme));
    facts.add("path", &scrape.path);
    facts.flag("honor_labels", scrape.honor_labels);
    facts.table("labels", &scrape.labels, Clone::clone);
    if let Some(auth) = &scrape.basic_auth {
        facts.add("basic_auth.username", &auth.username);
        facts.add("basic_auth.password", auth.password.reference());
    }
    facts.some("bearer_token", scrape.bearer_token.as_ref().map(|token| token.reference()));
    facts.some("sample_limit", scrape.sample_limit);
    for (field, steps) in [("relabel", &scrape.relabel), ("metric_relabel", &scrape.metric_relabel)] {
        if !steps.is_empty() {
            facts.add(field, json(steps));
        }
    }
    facts
}

/// A value in the words of a manifest: a plain string as it is, all else as JSON.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Json::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

pub(super) fn services(side: &Side) -> Things {
    let stack = &side.stack;
    stack.services.iter().map(|(name, service)| (name.clone(), service_facts(stack, service))).collect()
}

fn service_facts(stack: &Stack, service: &Service) -> Facts {
    let mut facts = Facts::of(&service.at);
    facts.some("image", service.image.as_ref());
    if service.image.is_none() {
        facts.some("version", service.version.map(|version| version.to_string()));
    }
    facts.some("program", service.program.as_ref());
    if !service.entrypoint.is_empty() {
        facts.add("entrypoint", service.entrypoint.join(" "));
    }
    if !service.args.is_empty() {
        facts.add("args", service.args.join(" "));
    }
    facts.some("port", service.port);
    facts.some("publish", service.publish.map(|port| format!("{}:{port}", service.publish_address)));
    facts.texts("environment", &service.environment);
    facts.texts("secret_files", &service.secret_files);
    facts.flag("allow_env", service.allow_env);
    facts.some("health.http", service.health.http.as_ref());
    if !service.health.command.is_empty() {
        facts.add("health.command", service.health.command.join(" "));
    }
    facts.some("health.interval", service.health.interval);
    facts.some("health.timeout", service.health.timeout);
    facts.some("health.retries", service.health.retries);
    facts.some("health.start_period", service.health.start_period);
    facts.some("reload", service.reload.as_ref());
    facts.some("limits.cpus", service.limits.cpus.as_ref());
    facts.some("limits.memory", service.limits.memory);
    facts.some("user", service.user.as_ref());
    facts.table("volumes", &service.volumes, Clone::clone);
    facts.list("after", &service.after);
    facts.list("swarm.constraints", &service.swarm.constraints);
    facts.some("swarm.replicas", service.swarm.replicas);
    facts.flag("swarm.global", service.swarm.mode == SwarmMode::Global);
    if stack.runtime == Runtime::Swarm && service.publish.is_some() {
        facts.flag("swarm.ingress", service.swarm.publish_mode == PublishMode::Ingress);
    }
    of_kind(stack, service.kind, &mut facts);
    facts
}

/// What the profile says about the tool in a table of its own.
fn of_kind(stack: &Stack, kind: ServiceKind, facts: &mut Facts) {
    match kind {
        ServiceKind::Prometheus => {
            let prometheus = &stack.prometheus;
            facts.add_at("retention", prometheus.retention, prometheus.at.join("retention"));
            let at = prometheus.at.join("evaluation_interval");
            facts.add_at("evaluation_interval", prometheus.evaluation_interval, at);
            for (label, value) in &prometheus.external_labels {
                let path = prometheus.at.join("external_labels").join(label);
                facts.add_at(format!("external_labels.{label}"), value, path);
            }
        }
        ServiceKind::Alertmanager => {
            let (smtp, at) = (&stack.alertmanager.smtp, stack.alertmanager.at.join("smtp"));
            let resolve = stack.alertmanager.at.join("resolve_timeout");
            facts.add_at("resolve_timeout", stack.alertmanager.resolve_timeout, resolve);
            let password = smtp.password.as_ref().map(|text| text.reference());
            let tls = smtp.smarthost.as_ref().map(|_| smtp.require_tls.to_string());
            for (key, value) in [
                ("smarthost", smtp.smarthost.clone()),
                ("from", smtp.from.clone()),
                ("username", smtp.username.clone()),
                ("password", password),
                ("hello", smtp.hello.clone()),
                ("require_tls", tls),
            ] {
                if let Some(value) = value {
                    facts.add_at(format!("smtp.{key}"), value, at.join(key));
                }
            }
        }
        ServiceKind::Grafana => {
            let grafana = &stack.grafana;
            facts.add_at("admin_user", &grafana.admin_user, grafana.at.join("admin_user"));
            if let Some(password) = &grafana.admin_password {
                facts.add_at("admin_password", password.reference(), grafana.at.join("admin_password"));
            }
        }
        ServiceKind::Relay | ServiceKind::Exporter => {}
    }
}

/// Where each secret comes from and what it must be like: never what it is.
pub(super) fn secrets(side: &Side) -> Things {
    let secret = |(name, sources): (&String, &Vec<SecretSource>)| {
        let mut facts = Facts::of(&Path::new(["secrets", name]));
        let named = |source: &SecretSource| format!("{} {}", source.origin.provider(), source.origin);
        let named: Vec<String> = sources.iter().map(named).collect();
        facts.add_at("source", named.join(", else "), facts.at.clone());
        let constraints: Vec<String> =
            sources.iter().map(|source| json(&source.constraints)).filter(|text| text != "{}").collect();
        if !constraints.is_empty() {
            facts.add_at("constraints", constraints.join(", else "), facts.at.clone());
        }
        (name.clone(), facts)
    };
    let secrets = &side.stack.secrets;
    let mut things: Things = secrets.sources.iter().map(secret).collect();
    if let Some(vault) = &secrets.vault {
        let mut facts = Facts::of(&Path::new(["vault"]));
        flatten(&mut facts, &Path::root(), &serde_json::to_value(vault).unwrap_or_default());
        things.insert(unused(&things, "vault".into()), facts);
    }
    things
}

/// Every value of a document that says something.
fn flatten(facts: &mut Facts, field: &Path, value: &Json) {
    match value {
        Json::Object(entries) => {
            entries.iter().for_each(|(key, value)| flatten(facts, &field.join(key), value))
        }
        Json::Null | Json::Bool(false) => {}
        other => {
            let at = field.segments().fold(facts.at.clone(), |path, step| path.join(step));
            facts.add_at(field.to_string(), json(other), at);
        }
    }
}

pub(super) fn variables(side: &Side) -> Things {
    let variable = |(name, value): (&String, &String)| {
        let mut facts = Facts::of(&Path::new(["vars", name]));
        facts.add_at("value", value, facts.at.clone());
        (name.clone(), facts)
    };
    side.manifest.vars.iter().map(variable).collect()
}
