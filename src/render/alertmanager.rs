//! `alertmanager/alertmanager.yml`, and the files with the secrets that it names.
//!
//! Secrets are always named by file; `check::versions` has made sure that the version that
//! runs can read them. Alertmanager joins the paths in an `http_config` to the folder of its
//! configuration, and takes all others as relative to its working directory.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_saphyr::{Commented, FlowSeq};

use crate::bundle::Tree;
use crate::diagnostic::Path;
use crate::profile::text::Text;
use crate::stack::{
    Inhibition, Integration, Matcher, Receiver, Route, ServiceKind, Stack, TimeInterval, Value, canary,
};

use super::integrations::{Form, KINDS, Kind, Opt};
use super::prometheus::Rendered;
use super::{Error, yaml};

/// Nothing, where the stack has no Alertmanager.
pub fn render(stack: &Stack) -> Result<Rendered, Error> {
    let Some(service) = stack.service_of(ServiceKind::Alertmanager) else { return Ok(Rendered::default()) };
    let mut secrets = Secrets { stack, service: &service.name, files: BTreeMap::new() };
    let mut text = format!("# {}\n", yaml::head(stack, "Alertmanager"));
    section(&mut text, "", &Global { global: global(stack, &mut secrets) })?;
    section(
        &mut text,
        "Who gets which alert. An alert takes the first route of a level that matches, and the\n\
         next ones too where that one says `continue`; without any it stays with the route above.",
        &RouteSection { route: route(&stack.route) },
    )?;
    if !stack.inhibitions.is_empty() {
        section(
            &mut text,
            "While a source fires, its targets are mute, if the labels in `equal` have equal values.",
            &InhibitSection { inhibit_rules: stack.inhibitions.values().map(inhibit_rule).collect() },
        )?;
    }
    if !stack.intervals.is_empty() {
        let time_intervals =
            stack.intervals.iter().map(|(name, i)| Interval { name, time_intervals: vec![i] }).collect();
        section(
            &mut text,
            "When a route is mute or active; in UTC, unless it names a location.",
            &IntervalSection { time_intervals },
        )?;
    }
    let receivers = stack.receivers.values().map(|r| receiver(r, &mut secrets)).collect();
    section(&mut text, "", &ReceiverSection { receivers })?;
    let mut files = Tree::new();
    files.insert("alertmanager/alertmanager.yml", text);
    Ok(Rendered { files, secret_files: secrets.files })
}

fn section<T: Serialize>(text: &mut String, comment: &str, value: &T) -> Result<(), Error> {
    text.push('\n');
    for line in comment.lines() {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(&yaml::body(value)?);
    Ok(())
}

#[derive(Serialize)]
struct Global {
    global: GlobalConfig,
}

#[derive(Serialize)]
struct GlobalConfig {
    resolve_timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_smarthost: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_hello: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_auth_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_auth_password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_auth_password_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_require_tls: Option<bool>,
}

fn global(stack: &Stack, secrets: &mut Secrets<'_>) -> GlobalConfig {
    let smtp = &stack.alertmanager.smtp;
    let at = stack.alertmanager.at.join("smtp").join("password");
    let (secret, plain) = match &smtp.password {
        Some(password) if password.is_secret() => (Some(password), None),
        password => (None, password.as_ref().map(Text::reference)),
    };
    GlobalConfig {
        resolve_timeout: stack.alertmanager.resolve_timeout.to_string(),
        smtp_smarthost: smtp.smarthost.clone(),
        smtp_from: smtp.from.clone(),
        smtp_hello: smtp.hello.clone(),
        smtp_auth_username: smtp.username.clone(),
        smtp_auth_password: plain,
        smtp_auth_password_file: secret.map(|s| secrets.path(s, &at)),
        smtp_require_tls: smtp.smarthost.is_some().then_some(smtp.require_tls),
    }
}

#[derive(Serialize)]
struct RouteSection<'a> {
    route: RouteConfig<'a>,
}

#[derive(Serialize)]
struct RouteConfig<'a> {
    /// With the route's name behind it.
    receiver: Commented<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<String>,
    #[serde(rename = "continue", skip_serializing_if = "std::ops::Not::not")]
    r#continue: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_by: Option<FlowSeq<Vec<&'a str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_wait: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mute_time_intervals: Option<FlowSeq<&'a [String]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_time_intervals: Option<FlowSeq<&'a [String]>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteConfig<'a>>,
}

fn route(route: &Route) -> RouteConfig<'_> {
    // Alertmanager's own default, which groups by nothing.
    let none = route.name.is_empty().then_some([].as_slice());
    let group_by = route.group_by.as_deref().or(none);
    RouteConfig {
        receiver: Commented(&route.receiver, route.at.to_string()),
        matchers: route.matchers.iter().map(ToString::to_string).collect(),
        r#continue: route.r#continue,
        group_by: group_by.map(|labels| FlowSeq(grouped(labels))),
        group_wait: route.group_wait.map(|d| d.to_string()),
        group_interval: route.group_interval.map(|d| d.to_string()),
        repeat_interval: route.repeat_interval.map(|d| d.to_string()),
        mute_time_intervals: list(&route.mute_during),
        active_time_intervals: list(&route.active_during),
        routes: route.routes.iter().map(self::route).collect(),
    }
}

/// So that the canaries of a drill are groups of their own. No other alert has the label, so
/// nothing changes for those; `...` groups by all labels as it is.
pub(super) fn grouped(labels: &[String]) -> Vec<&str> {
    let mut all: Vec<&str> = labels.iter().map(String::as_str).collect();
    if !all.contains(&"...") {
        all.push(canary::LABEL);
    }
    all
}

fn list(items: &[String]) -> Option<FlowSeq<&[String]>> {
    (!items.is_empty()).then_some(FlowSeq(items))
}

#[derive(Serialize)]
struct InhibitSection<'a> {
    inhibit_rules: Vec<InhibitRule<'a>>,
}

#[derive(Serialize)]
struct InhibitRule<'a> {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    equal: Option<FlowSeq<&'a [String]>>,
}

fn inhibit_rule(inhibition: &Inhibition) -> InhibitRule<'_> {
    // A drill mutes nothing and is not muted.
    let real = Matcher::equal(canary::LABEL, "").to_string();
    let matchers = |all: &[Matcher]| all.iter().map(ToString::to_string).chain([real.clone()]).collect();
    InhibitRule {
        source_matchers: matchers(&inhibition.source),
        target_matchers: matchers(&inhibition.target),
        equal: list(&inhibition.equal),
    }
}

#[derive(Serialize)]
struct IntervalSection<'a> {
    time_intervals: Vec<Interval<'a>>,
}

#[derive(Serialize)]
struct Interval<'a> {
    name: &'a str,
    time_intervals: Vec<&'a TimeInterval>,
}

#[derive(Serialize)]
struct ReceiverSection<'a> {
    receivers: Vec<Fields<'a>>,
}

/// A map in the order of its fields.
struct Fields<'a>(Vec<(&'a str, Yaml<'a>)>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Yaml<'a> {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Yaml<'a>>),
    Map(Fields<'a>),
}

fn receiver<'a>(receiver: &'a Receiver, secrets: &mut Secrets<'_>) -> Fields<'a> {
    let mut fields = vec![("name", Yaml::Text(receiver.name.clone()))];
    for kind in &KINDS {
        let configs: Vec<_> = receiver
            .integrations
            .iter()
            .filter(|i| i.kind == kind.name)
            .map(|i| Yaml::Map(integration(kind, i, secrets)))
            .collect();
        if !configs.is_empty() {
            fields.push((kind.list, Yaml::List(configs)));
        }
    }
    Fields(fields)
}

fn integration<'a>(
    kind: &'static Kind,
    integration: &'a Integration,
    secrets: &mut Secrets<'_>,
) -> Fields<'a> {
    let mut fields = vec![];
    let mut http_config = vec![];
    for option in kind.options {
        let Some(value) = integration.options.get(option.name) else { continue };
        let at = integration.at.join(option.name);
        match option.form {
            Form::Bearer => {
                let file = Yaml::Text(secrets.path_from_config(&text(value), &at));
                http_config.push(("authorization", Yaml::Map(Fields(vec![("credentials_file", file)]))));
            }
            Form::Basic => http_config.push(("basic_auth", Yaml::Map(basic_auth(value, &at, secrets)))),
            Form::Secret { .. } | Form::SecretUrl { .. } | Form::Plain | Form::Choice(_) | Form::Url => {
                fields.push(field(option, value, &at, secrets));
            }
        }
    }
    if !http_config.is_empty() {
        fields.push(("http_config", Yaml::Map(Fields(http_config))));
    }
    Fields(fields)
}

fn field<'a>(
    option: &'static Opt,
    value: &'a Value,
    at: &Path,
    secrets: &mut Secrets<'_>,
) -> (&'a str, Yaml<'a>) {
    match (option.form.file(), value) {
        (Some((file, _)), Value::Text(text)) if text.is_secret() => {
            (file, Yaml::Text(secrets.path(text, at)))
        }
        _ => (option.name, yaml_value(value)),
    }
}

fn basic_auth<'a>(value: &'a Value, at: &Path, secrets: &mut Secrets<'_>) -> Fields<'a> {
    let Value::Table(table) = value else { return Fields(vec![]) };
    let mut fields = vec![];
    if let Some(username) = table.get("username") {
        fields.push(("username", yaml_value(username)));
    }
    if let Some(password) = table.get("password") {
        let file = secrets.path_from_config(&text(password), &at.join("password"));
        fields.push(("password_file", Yaml::Text(file)));
    }
    Fields(fields)
}

fn yaml_value(value: &Value) -> Yaml<'_> {
    match value {
        Value::Bool(b) => Yaml::Bool(*b),
        // A chat's number is larger than 32 bits, and no integer here than 53.
        Value::Number(n) if n.fract() == 0.0 => Yaml::Integer(*n as i64),
        Value::Number(n) => Yaml::Number(*n),
        Value::Text(text) => Yaml::Text(text.reference()),
        Value::List(items) => Yaml::List(items.iter().map(yaml_value).collect()),
        Value::Table(table) => {
            Yaml::Map(Fields(table.iter().map(|(k, v)| (k.as_str(), yaml_value(v))).collect()))
        }
    }
}

fn text(value: &Value) -> Text {
    match value {
        Value::Text(text) => text.clone(),
        _ => Text::default(),
    }
}

/// The secret files that were named so far.
struct Secrets<'a> {
    stack: &'a Stack,
    service: &'a str,
    files: BTreeMap<String, Text>,
}

impl Secrets<'_> {
    fn path(&mut self, text: &Text, at: &Path) -> String {
        let file = self.file(text, at);
        self.stack.runtime.secret_path(&self.stack.name, self.service, &file)
    }

    /// The path for an option that is relative to the folder of the configuration.
    fn path_from_config(&mut self, text: &Text, at: &Path) -> String {
        let file = self.file(text, at);
        self.stack.runtime.secret_path_from_prometheus(&self.stack.name, self.service, &file)
    }

    /// The secret's name, where the text is nothing but a secret, otherwise the place's.
    fn file(&mut self, text: &Text, at: &Path) -> String {
        let mut name = match text.only_secret() {
            Some(secret) => secret.to_owned(),
            None => at.segments().map(plain_name).collect::<Vec<_>>().join("."),
        };
        // Two places may differ only in characters that no file name should have.
        while self.files.get(&name).is_some_and(|other| other != text) {
            name.push('_');
        }
        self.files.insert(name.clone(), text.clone());
        name
    }
}

fn plain_name(segment: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    segment.chars().map(|c| if plain(c) { c } else { '-' }).collect()
}
