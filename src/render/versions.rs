//! Which option exists since which version of Prometheus and Alertmanager, and which of them
//! a stack uses. The versions are those of the projects' changelogs; what is older than
//! Prometheus 2.26 and Alertmanager 0.22 is not listed.

use crate::diagnostic::{Path, Place};
use crate::profile::text::Text;
use crate::stack::matcher::is_classic_name;
use crate::stack::{Integration, Matcher, Relabel, Route, ServiceKind, Stack, Value, Version};

use super::integrations::{self, Form};

/// A tool whose configuration is rendered for its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    Prometheus,
    Alertmanager,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Tool::Prometheus => "Prometheus",
            Tool::Alertmanager => "Alertmanager",
        }
    }

    pub fn kind(self) -> ServiceKind {
        match self {
            Tool::Prometheus => ServiceKind::Prometheus,
            Tool::Alertmanager => ServiceKind::Alertmanager,
        }
    }
}

static OPTIONS: [(Tool, &str, Version); 17] = [
    (Tool::Prometheus, "authorization", Version::new(2, 26, 0)),
    (Tool::Prometheus, "group.limit", Version::new(2, 31, 0)),
    (Tool::Prometheus, "relabel.lowercase", Version::new(2, 36, 0)),
    (Tool::Prometheus, "relabel.uppercase", Version::new(2, 36, 0)),
    (Tool::Prometheus, "relabel.keepequal", Version::new(2, 41, 0)),
    (Tool::Prometheus, "relabel.dropequal", Version::new(2, 41, 0)),
    (Tool::Prometheus, "keep_firing_for", Version::new(2, 42, 0)),
    (Tool::Prometheus, "group.query_offset", Version::new(2, 53, 0)),
    (Tool::Prometheus, "group.labels", Version::new(3, 0, 0)),
    (Tool::Alertmanager, "matchers", Version::new(0, 22, 0)),
    (Tool::Alertmanager, "mute_time_intervals", Version::new(0, 22, 0)),
    (Tool::Alertmanager, "time_intervals", Version::new(0, 24, 0)),
    (Tool::Alertmanager, "active_time_intervals", Version::new(0, 24, 0)),
    (Tool::Alertmanager, "time_intervals.location", Version::new(0, 25, 0)),
    (Tool::Alertmanager, "smtp_auth_password_file", Version::new(0, 25, 0)),
    (Tool::Alertmanager, "UTF-8 label names", Version::new(0, 27, 0)),
    (Tool::Alertmanager, "UTF-8 label names in `equal`", Version::new(0, 28, 0)),
];

/// Since which version a tool has an option; `None` where it always had it, or where it is
/// not known. Options of an integration are named `webhook.url_file`, an integration itself
/// `msteams`.
pub fn since(tool: Tool, option: &str) -> Option<Version> {
    if let Some((.., version)) = OPTIONS.iter().find(|(t, name, _)| *t == tool && *name == option) {
        return Some(*version);
    }
    let (kind, option) = option.split_once('.').map_or((option, None), |(k, o)| (k, Some(o)));
    let kind = integrations::kind(kind).filter(|_| tool == Tool::Alertmanager)?;
    let Some(option) = option else { return kind.since };
    let own = kind.option(option).and_then(|o| o.since);
    own.or_else(|| {
        kind.options.iter().filter_map(|o| o.form.file()).find(|(f, _)| *f == option).map(|(_, v)| v)
    })
}

/// The use of an option that not every version has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    pub tool: Tool,
    pub option: String,
    pub since: Version,
    /// It is needed because the value is a secret, and would otherwise stand in the file.
    pub for_secret: bool,
    pub place: Place,
}

/// Every use of an option that is younger than the oldest version in the table.
pub fn uses(stack: &Stack) -> Vec<Use> {
    let mut uses = Uses(vec![]);
    if stack.service_of(ServiceKind::Prometheus).is_some() {
        uses.prometheus(stack);
    }
    if stack.service_of(ServiceKind::Alertmanager).is_some() {
        uses.alertmanager(stack);
    }
    uses.0
}

struct Uses(Vec<Use>);

impl Uses {
    fn add(&mut self, tool: Tool, option: &str, for_secret: bool, place: Place) {
        if let Some(since) = since(tool, option) {
            self.0.push(Use { tool, option: option.to_owned(), since, for_secret, place });
        }
    }

    fn prometheus(&mut self, stack: &Stack) {
        let tool = Tool::Prometheus;
        for group in &stack.groups {
            if group.limit.is_some() {
                self.add(tool, "group.limit", false, group.source.place("limit"));
            }
            if group.query_offset.is_some() {
                self.add(tool, "group.query_offset", false, group.source.place("query_offset"));
            }
            if !group.labels.is_empty() {
                self.add(tool, "group.labels", false, group.source.place("labels"));
            }
            for rule in &group.rules {
                if rule.alert().is_some_and(|a| a.keep_firing_for.0 != 0) {
                    self.add(tool, "keep_firing_for", false, rule.source.place("keep_firing_for"));
                }
            }
        }
        for scrape in stack.scrapes.values() {
            if scrape.bearer_token.is_some() {
                self.add(tool, "authorization", true, Place::setting(scrape.at.join("bearer_token")));
            }
            self.relabel(&scrape.relabel, &scrape.at.join("relabel"));
            self.relabel(&scrape.metric_relabel, &scrape.at.join("metric_relabel"));
        }
    }

    fn relabel(&mut self, steps: &[Relabel], at: &Path) {
        for (index, step) in steps.iter().enumerate() {
            let Some(action) = step.action.and_then(|a| serde_json::to_value(a).ok()) else { continue };
            let option = format!("relabel.{}", action.as_str().unwrap_or_default());
            self.add(Tool::Prometheus, &option, false, Place::setting(at.join(index).join("action")));
        }
    }

    fn alertmanager(&mut self, stack: &Stack) {
        let tool = Tool::Alertmanager;
        if stack.alertmanager.smtp.password.as_ref().is_some_and(Text::is_secret) {
            let place = Place::setting(stack.alertmanager.at.join("smtp").join("password"));
            self.add(tool, "smtp_auth_password_file", true, place);
        }
        self.route(&stack.route);
        for inhibition in stack.inhibitions.values() {
            self.matchers(&inhibition.source, &inhibition.at.join("source_matchers"));
            self.matchers(&inhibition.target, &inhibition.at.join("target_matchers"));
            for (index, label) in inhibition.equal.iter().enumerate() {
                if !label.is_empty() && !is_classic_name(label) {
                    let place = Place::setting(inhibition.at.join("equal").join(index));
                    self.add(tool, "UTF-8 label names in `equal`", false, place);
                }
            }
        }
        for (name, interval) in &stack.intervals {
            let at = Path::new(["intervals", name]);
            self.add(tool, "time_intervals", false, Place::Key(at.clone()));
            if interval.location.is_some() {
                self.add(tool, "time_intervals.location", false, Place::setting(at.join("location")));
            }
        }
        for integration in stack.receivers.values().flat_map(|r| &r.integrations) {
            self.integration(integration);
        }
    }

    fn route(&mut self, route: &Route) {
        let tool = Tool::Alertmanager;
        self.matchers(&route.matchers, &route.at.join("matchers"));
        for (index, label) in route.group_by.iter().flatten().enumerate() {
            if !label.is_empty() && label != "..." && !is_classic_name(label) {
                let place = Place::setting(route.at.join("group_by").join(index));
                self.add(tool, "UTF-8 label names", false, place);
            }
        }
        if !route.mute_during.is_empty() {
            self.add(tool, "mute_time_intervals", false, Place::setting(route.at.join("mute_during")));
        }
        if !route.active_during.is_empty() {
            self.add(tool, "active_time_intervals", false, Place::setting(route.at.join("active_during")));
        }
        route.routes.iter().for_each(|child| self.route(child));
    }

    fn matchers(&mut self, matchers: &[Matcher], at: &Path) {
        if !matchers.is_empty() {
            self.add(Tool::Alertmanager, "matchers", false, Place::setting(at.clone()));
        }
        if matchers.iter().any(|m| !m.is_classic()) {
            self.add(Tool::Alertmanager, "UTF-8 label names", false, Place::setting(at.clone()));
        }
    }

    fn integration(&mut self, integration: &Integration) {
        let tool = Tool::Alertmanager;
        let Some(kind) = integrations::kind(&integration.kind) else { return };
        self.add(tool, kind.name, false, Place::Key(integration.at.clone()));
        for option in kind.options {
            let Some(value) = integration.options.get(option.name) else { continue };
            let place = Place::setting(integration.at.join(option.name));
            let name = format!("{}.{}", kind.name, option.name);
            self.add(tool, &name, false, place.clone());
            let credentials = matches!(option.form, Form::Bearer | Form::Basic);
            if let Some((file, _)) = option.form.file()
                && (credentials || is_secret(value))
            {
                self.add(tool, &format!("{}.{file}", kind.name), true, place);
            }
        }
    }
}

/// True where a value can only be told to the tool in a file.
pub fn is_secret(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.is_secret(),
        Value::List(items) => items.iter().any(is_secret),
        Value::Table(table) => table.values().any(is_secret),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
