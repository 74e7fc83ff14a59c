//! From a group to a body, by the template.

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use monprov_plugin::channel::time::{duration, rfc3339};
use monprov_plugin::channel::{Event, Group, Look, Markup, messages, one_line};
use monprov_plugin::{Failure, Problem, Result};
use serde_json::{Value as Json, json};

use crate::settings::Settings;

pub struct Template<'s> {
    settings: &'s Settings,
    environment: Environment<'s>,
}

/// The longest text of an alert, where one alone makes a body that is too large.
const SHORT: usize = 500;

impl<'s> Template<'s> {
    pub fn new(settings: &'s Settings) -> std::result::Result<Self, Vec<Problem>> {
        let mut environment = filters(Environment::empty());
        let escape = match settings.content_type.split(';').next().unwrap_or_default() {
            kind if kind.contains("json") => AutoEscape::Json,
            kind if kind.contains("html") || kind.contains("xml") => AutoEscape::Html,
            _ => AutoEscape::None,
        };
        environment.set_auto_escape_callback(move |_| escape.clone());
        // What an alert lacks must not keep it from being delivered.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let template = Template { settings, environment };
        template
            .environment
            .template_from_str(&settings.body)
            .map_err(|error| problem(&error.to_string()))?;
        Ok(template)
    }

    /// Tries it with alerts that have little, and looks for names that mean nothing.
    pub fn tried(&self) -> std::result::Result<(), Vec<Problem>> {
        let template = self.environment.template_from_str(&self.settings.body);
        let template = template.map_err(|error| problem(&error.to_string()))?;
        let known = self.values(&example(), 0.0);
        let names = template.undeclared_variables(false);
        let unknown = names.iter().filter(|name| known.get(name.as_str()).is_none());
        let mut unknown: Vec<&str> = unknown.map(String::as_str).collect();
        unknown.sort_unstable();
        if !unknown.is_empty() {
            return Err(problem(&format!("the template names what is not there: {}", unknown.join(", "))));
        }
        self.write(&example(), 0.0).map(drop).map_err(|failure| match failure {
            Failure::Other(why) => problem(&why),
            other => problem(&format!("{other:?}")),
        })
    }

    pub fn write(&self, group: &Group, now_ms: f64) -> Result<String> {
        let body = self.rendered(group, now_ms)?;
        if body.len() <= self.settings.max_bytes || group.events.len() > 1 {
            return Ok(body);
        }
        let mut short = group.clone();
        for event in &mut short.events {
            let pairs = event.annotations.iter_mut().chain(&mut event.labels);
            pairs.for_each(|(_, value)| *value = one_line(value, SHORT));
        }
        self.rendered(&short, now_ms)
    }

    fn rendered(&self, group: &Group, now_ms: f64) -> Result<String> {
        let failed = |what: String| Failure::Other(what);
        let values = Value::from(Serde(self.values(group, now_ms)));
        let template = self.environment.template_from_str(&self.settings.body);
        let body = template.and_then(|template| template.render(values));
        let body = body.map_err(|error| failed(error.to_string()))?;
        if self.settings.content_type.contains("json") {
            serde_json::from_str::<serde::de::IgnoredAny>(&body).map_err(|error| {
                failed(format!(
                    "the template makes no JSON: {error} (`{{{{ value }}}}` has its quotes already)"
                ))
            })?;
        }
        Ok(body)
    }

    /// Everything that a template can name.
    fn values(&self, group: &Group, now_ms: f64) -> Json {
        let look = Look {
            language: self.settings.language,
            offset: self.settings.utc_offset,
            limit: usize::MAX / 2,
        };
        let message = messages(group, now_ms, look, &Plain).into_iter().next();
        let (title, text) = message.map(|message| (message.title, message.text)).unwrap_or_default();
        let firing = group.events.iter().filter(|event| event.firing).count();
        let alerts: Vec<Json> = group.events.iter().map(|event| self.alert(group, event, now_ms)).collect();
        json!({
            "title": title,
            "text": text,
            "status": if firing > 0 { "firing" } else { "resolved" },
            "firing": firing,
            "resolved": group.events.len() - firing,
            "receiver": group.receiver,
            "group_key": group.key,
            "group_labels": object(&group.group_labels),
            "labels": object(&group.common_labels),
            "external_url": group.external_url,
            "now": rfc3339(now_ms, self.settings.utc_offset),
            "alerts": alerts,
        })
    }

    fn alert(&self, group: &Group, event: &Event, now_ms: f64) -> Json {
        let at = |ms: f64| rfc3339(ms, self.settings.utc_offset);
        let ends = event.ends_ms.unwrap_or(now_ms);
        json!({
            "status": if event.firing { "firing" } else { "resolved" },
            "name": event.label("alertname"),
            "severity": event.severity(),
            "summary": event.summary(),
            "description": event.annotation("description"),
            "labels": object(&event.labels),
            "annotations": object(&event.annotations),
            "starts_at": at(event.starts_ms),
            "ends_at": event.ends_ms.map(at),
            "lasted": duration(event.starts_ms, ends, self.settings.language.words()),
            "seconds": ((ends - event.starts_ms) / 1000.0).max(0.0) as i64,
            "fingerprint": event.fingerprint,
            "graph": event.graph(),
            "runbook": event.runbook(),
            "silence": event.silence(group),
        })
    }
}

/// What people need of Jinja; all of it would make the plugin half as large again.
fn filters(mut environment: Environment<'_>) -> Environment<'_> {
    use minijinja::{filters, tests};
    environment.add_filter("safe", filters::safe);
    environment.add_filter("tojson", filters::tojson);
    environment.add_filter("urlencode", filters::urlencode);
    environment.add_filter("default", filters::default);
    environment.add_filter("join", filters::join);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("items", filters::items);
    environment.add_filter("shorten", |text: &str, longest: usize| one_line(text, longest));
    environment.add_test("defined", tests::is_defined);
    environment
}

fn object(pairs: &[(String, String)]) -> Json {
    pairs.iter().map(|(name, value)| (name.clone(), Json::from(value.clone()))).collect()
}

fn problem(message: &str) -> Vec<Problem> {
    vec![Problem { pointer: "/body".to_owned(), message: message.to_owned() }]
}

/// One that fires and one that is over, of which nothing more is known.
fn example() -> Group {
    let event = |firing: bool| Event {
        firing,
        fingerprint: "0000000000000000".into(),
        labels: vec![("alertname".into(), "Example".into())],
        annotations: vec![("summary".into(), "it says \"hello\"".into())],
        starts_ms: 0.0,
        ends_ms: (!firing).then_some(60_000.0),
        link: String::new(),
    };
    Group {
        key: "{}".into(),
        receiver: "example".into(),
        group_labels: vec![],
        common_labels: vec![],
        external_url: "http://alertmanager".into(),
        truncated: 0,
        events: vec![event(true), event(false)],
        extra: "{}".into(),
    }
}

/// No markup at all.
struct Plain;

impl Markup for Plain {
    fn text(&self, plain: &str) -> String {
        plain.to_owned()
    }

    fn bold(&self, inner: &str) -> String {
        inner.to_owned()
    }

    fn link(&self, label: &str, url: &str) -> String {
        format!("{label} {url}")
    }

    fn heading(&self, inner: &str) -> String {
        inner.to_owned()
    }
}
