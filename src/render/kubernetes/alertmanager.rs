//! Routes, receivers and inhibitions as an AlertmanagerConfig that is Alertmanager's whole
//! configuration (`alertmanagerConfiguration`), so that the operator adds no matcher to routes.

use serde_json::{Map, Value, json};

use super::operator::{ALPHA, Keys};
use super::{fields, resource, set};
use crate::profile::text::Text;
use crate::render::alertmanager::grouped;
use crate::stack::{
    self, Inhibition, Integration, MatchOp, Matcher, Receiver, Route, Service, Stack, TimeInterval, canary,
};

/// What options are called where that is not their name in camel case.
const NAMES: &[(&str, &str)] = &[
    ("agent_id", "agentID"),
    ("chat_id", "chatID"),
    ("client_url", "clientURL"),
    ("corp_id", "corpID"),
    ("message_thread_id", "messageThreadID"),
    ("avatar_url", "avatarURL"),
    ("api_url", "apiURL"),
    ("icon_url", "iconURL"),
];

/// Options that the operator takes from a Secret only, by integration.
const SELECTED: &[(&str, &str, &str)] = &[
    ("discord", "webhook_url", "apiURL"),
    ("msteams", "webhook_url", "webhookUrl"),
    ("opsgenie", "api_key", "apiKey"),
    ("pagerduty", "routing_key", "routingKey"),
    ("slack", "api_url", "apiURL"),
    ("telegram", "bot_token", "botToken"),
    ("wechat", "api_secret", "apiSecret"),
];

/// The integrations that it knows, with their list.
const LISTS: &[(&str, &str)] = &[
    ("discord", "discordConfigs"),
    ("email", "emailConfigs"),
    ("msteams", "msteamsConfigs"),
    ("opsgenie", "opsgenieConfigs"),
    ("pagerduty", "pagerdutyConfigs"),
    ("slack", "slackConfigs"),
    ("telegram", "telegramConfigs"),
    ("webhook", "webhookConfigs"),
    ("wechat", "wechatConfigs"),
];

/// Whether an AlertmanagerConfig has an integration.
pub(super) fn knows(kind: &str) -> bool {
    LISTS.iter().any(|(name, _)| *name == kind)
}

pub(super) fn config(stack: &Stack, service: &Service, keys: &mut Keys) -> Value {
    let receivers: Vec<Value> = stack.receivers.values().map(|r| receiver(service, r, keys)).collect();
    let inhibitions: Vec<Value> = stack.inhibitions.values().map(inhibition).collect();
    let intervals: Vec<Value> = stack
        .intervals
        .iter()
        .map(|(name, interval)| json!({ "name": name, "timeIntervals": [time_interval(interval)] }))
        .collect();
    let spec = fields([
        ("route", Some(route(&stack.route))),
        ("receivers", Some(Value::Array(receivers))),
        ("inhibitRules", (!inhibitions.is_empty()).then_some(Value::Array(inhibitions))),
        ("muteTimeIntervals", (!intervals.is_empty()).then_some(Value::Array(intervals))),
    ]);
    let mut config = resource(stack, Some(service), ALPHA, "AlertmanagerConfig", &service.name);
    set(&mut config, "spec", spec);
    config
}

/// What stands in `global`.
pub(super) fn global(stack: &Stack, service: &Service, keys: &mut Keys) -> Value {
    let smtp = &stack.alertmanager.smtp;
    let server = smtp.smarthost.as_deref().and_then(|server| server.rsplit_once(':'));
    let server = server.map(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        fields([
            ("smartHost", Some(json!({ "host": host, "port": port }))),
            ("from", smtp.from.as_ref().map(|from| json!(from))),
            ("hello", smtp.hello.as_ref().map(|hello| json!(hello))),
            ("authUsername", smtp.username.as_ref().map(|name| json!(name))),
            ("authPassword", smtp.password.as_ref().map(|text| keys.select(service, "smtp-password", text))),
            ("requireTLS", Some(json!(smtp.require_tls))),
        ])
    });
    fields([
        ("resolveTimeout", Some(json!(stack.alertmanager.resolve_timeout.to_string()))),
        ("smtp", server),
    ])
}

fn route(route: &Route) -> Value {
    let none = route.name.is_empty().then_some([].as_slice());
    let list = |names: &[String]| (!names.is_empty()).then(|| json!(names));
    let below: Vec<Value> = route.routes.iter().map(self::route).collect();
    let matchers: Vec<Value> = route.matchers.iter().map(matcher).collect();
    fields([
        ("receiver", Some(json!(route.receiver))),
        ("matchers", (!matchers.is_empty()).then_some(Value::Array(matchers))),
        ("continue", route.r#continue.then_some(Value::Bool(true))),
        ("groupBy", route.group_by.as_deref().or(none).map(|labels| json!(grouped(labels)))),
        ("groupWait", route.group_wait.map(|d| json!(d.to_string()))),
        ("groupInterval", route.group_interval.map(|d| json!(d.to_string()))),
        ("repeatInterval", route.repeat_interval.map(|d| json!(d.to_string()))),
        ("muteTimeIntervals", list(&route.mute_during)),
        ("activeTimeIntervals", list(&route.active_during)),
        ("routes", (!below.is_empty()).then_some(Value::Array(below))),
    ])
}

fn matcher(matcher: &Matcher) -> Value {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    json!({ "name": matcher.label, "value": matcher.value, "matchType": op })
}

fn inhibition(inhibition: &Inhibition) -> Value {
    // A drill mutes nothing and is not muted.
    let real = Matcher::equal(canary::LABEL, "");
    let matchers = |all: &[Matcher]| all.iter().chain([&real]).map(matcher).collect::<Vec<Value>>();
    fields([
        ("sourceMatch", Some(Value::Array(matchers(&inhibition.source)))),
        ("targetMatch", Some(Value::Array(matchers(&inhibition.target)))),
        ("equal", (!inhibition.equal.is_empty()).then(|| json!(inhibition.equal))),
    ])
}

fn time_interval(interval: &TimeInterval) -> Value {
    let times: Vec<Value> =
        interval.times.iter().map(|time| json!({ "startTime": time.from, "endTime": time.to })).collect();
    let days: Vec<Value> = interval.days_of_month.iter().filter_map(|range| days(range)).collect();
    let list = |texts: &[String]| (!texts.is_empty()).then(|| json!(texts));
    fields([
        ("times", (!times.is_empty()).then_some(Value::Array(times))),
        ("weekdays", list(&interval.weekdays)),
        ("daysOfMonth", (!days.is_empty()).then_some(Value::Array(days))),
        ("months", list(&interval.months)),
        ("years", list(&interval.years)),
    ])
}

/// `1:5`, `-3:-1` or `7`.
fn days(range: &str) -> Option<Value> {
    let (start, end) = range.split_once(':').unwrap_or((range, range));
    let (start, end): (i64, i64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    Some(json!({ "start": start, "end": end }))
}

fn receiver(service: &Service, receiver: &Receiver, keys: &mut Keys) -> Value {
    let mut all = Map::new();
    all.insert("name".into(), json!(receiver.name));
    for (kind, list) in LISTS {
        let of_kind = receiver.integrations.iter().filter(|integration| integration.kind == *kind);
        let configs: Vec<Value> = of_kind.map(|one| integration(service, one, keys)).collect();
        if !configs.is_empty() {
            all.insert((*list).to_owned(), Value::Array(configs));
        }
    }
    Value::Object(all)
}

fn integration(service: &Service, integration: &Integration, keys: &mut Keys) -> Value {
    let (mut all, mut http) = (Map::new(), Map::new());
    for (option, value) in &integration.options {
        let place = format!("{}.{option}", integration.at);
        let mut select = |text: &Text| keys.select(service, &place, text);
        let selected = SELECTED.iter().find(|(kind, name, _)| *kind == integration.kind && name == option);
        match (integration.kind.as_str(), option.as_str(), selected, value) {
            (.., Some((_, _, name)), stack::Value::Text(text)) => {
                all.insert((*name).to_owned(), select(text));
            }
            (_, "bearer_token", _, stack::Value::Text(text)) => {
                http.insert("authorization".into(), json!({ "credentials": select(text) }));
            }
            (_, "basic_auth", _, stack::Value::Table(table)) => {
                let mut select = |part: &str| match table.get(part) {
                    Some(stack::Value::Text(text)) => {
                        Some(keys.select(service, &format!("{place}.{part}"), text))
                    }
                    _ => None,
                };
                let basic = fields([("username", select("username")), ("password", select("password"))]);
                http.insert("basicAuth".into(), basic);
            }
            ("webhook", "url", _, stack::Value::Text(text)) if text.is_secret() => {
                all.insert("urlSecret".into(), select(text));
            }
            (_, "headers" | "details", _, stack::Value::Table(table)) => {
                let pairs = table.iter().map(|(key, value)| json!({ "key": key, "value": text_of(value) }));
                all.insert(camel(option), Value::Array(pairs.collect()));
            }
            // Its own default, for which it has no word.
            (_, "parse_mode", _, stack::Value::Text(text)) if text.reference().is_empty() => {}
            _ => {
                all.insert(camel(option), plain(value));
            }
        }
    }
    if !http.is_empty() {
        all.insert("httpConfig".into(), Value::Object(http));
    }
    Value::Object(all)
}

fn plain(value: &stack::Value) -> Value {
    match value {
        stack::Value::Bool(b) => json!(b),
        stack::Value::Number(n) if n.fract() == 0.0 => json!(*n as i64),
        stack::Value::Number(n) => json!(n),
        stack::Value::Text(text) => json!(text.reference()),
        stack::Value::List(items) => Value::Array(items.iter().map(plain).collect()),
        stack::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
        }
    }
}

fn text_of(value: &stack::Value) -> String {
    match plain(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn camel(name: &str) -> String {
    if let Some((_, known)) = NAMES.iter().find(|(option, _)| *option == name) {
        return (*known).to_owned();
    }
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| {
        let mut letters = word.chars();
        let head = letters.next().map(|c| c.to_ascii_uppercase());
        all + &head.into_iter().chain(letters).collect::<String>()
    })
}
