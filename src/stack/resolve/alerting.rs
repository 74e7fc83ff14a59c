//! Alertmanager: receivers, the routing tree, inhibitions.

use std::collections::BTreeMap;

use crate::diagnostic::{Finding, Path, Place};
use crate::profile::codes::M004;
use crate::profile::node::{Node, Value as Tree};
use crate::profile::settings as set;
use crate::profile::text::Text;
use crate::profile::units::Duration;
use crate::stack::{
    Alertmanager, Inhibition, Integration, MatchOp, Matcher, Receiver, Route, ServiceKind, Smtp, Value,
};

use super::Resolver;

impl Resolver<'_> {
    pub(super) fn alertmanager(&self) -> Alertmanager {
        let settings = &self.settings.alertmanager;
        Alertmanager {
            resolve_timeout: settings.resolve_timeout.unwrap_or(Duration::seconds(300)),
            smtp: Smtp {
                smarthost: settings.smtp.smarthost.clone(),
                from: settings.smtp.from.clone(),
                username: settings.smtp.username.clone(),
                password: settings.smtp.password.clone(),
                hello: settings.smtp.hello.clone(),
                require_tls: settings.smtp.require_tls.unwrap_or(true),
            },
            at: Path::new(["alertmanager"]),
        }
    }

    pub(super) fn receiver(&self, name: &str) -> Receiver {
        let at = Path::new(["channels", name]);
        let channel = self.profile.root.get("channels").and_then(|c| c.get(name));
        let mut integrations = vec![];
        let kinds = channel.and_then(Node::table).into_iter().flat_map(|t| &t.entries);
        for (kind, node) in kinds.filter(|(kind, _)| *kind != "plugin") {
            let at = at.join(kind);
            match &node.value {
                Tree::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        integrations.extend(integration(kind, item, at.join(index)));
                    }
                }
                _ => integrations.extend(integration(kind, node, at)),
            }
        }
        integrations.extend(self.through_relay(name));
        Receiver { name: name.to_owned(), integrations, at }
    }

    fn channel(&mut self, at: &Path, name: &str) -> String {
        if !self.settings.channels.contains_key(name) {
            let known: Vec<String> = self.settings.channels.keys().cloned().collect();
            self.dangling(at.join("channel"), "channels", name, "channel", &known);
        }
        name.to_owned()
    }

    pub(super) fn root_route(&mut self) -> Route {
        let settings = &self.settings.alertmanager;
        let at = Path::new(["alertmanager"]);
        let receiver = match &settings.channel {
            Some(name) => self.channel(&at, name),
            None => {
                if self.settings.services.values().any(|s| s.kind == ServiceKind::Alertmanager) {
                    let finding = Finding::error(
                        &M004,
                        Place::Key(at.clone()),
                        "alerts that no route takes have no channel",
                    );
                    self.findings.push(finding.label("set `channel` in `[alertmanager]`"));
                }
                String::new()
            }
        };
        let routes = self.routes(&self.settings.routes, &receiver, &Path::new(["routes"]));
        Route {
            name: String::new(),
            receiver,
            matchers: vec![],
            r#continue: false,
            group_by: settings.group_by.clone(),
            group_wait: settings.group_wait,
            group_interval: settings.group_interval,
            repeat_interval: settings.repeat_interval,
            mute_during: vec![],
            active_during: vec![],
            routes,
            order: 0,
            at,
        }
    }

    fn routes(&mut self, routes: &BTreeMap<String, set::Route>, parent: &str, at: &Path) -> Vec<Route> {
        let mut sorted: Vec<_> = routes.iter().collect();
        sorted.sort_by_key(|(name, route)| (route.order.unwrap_or(0), *name));
        sorted.into_iter().map(|(name, route)| self.route(name, route, parent, at.join(name))).collect()
    }

    fn route(&mut self, name: &str, route: &set::Route, parent: &str, at: Path) -> Route {
        let receiver = match &route.channel {
            Some(channel) => self.channel(&at, channel),
            None => parent.to_owned(),
        };
        for (key, names) in [("mute_during", &route.mute_during), ("active_during", &route.active_during)] {
            for (index, interval) in names.iter().enumerate() {
                if !self.settings.intervals.contains_key(interval) {
                    let known: Vec<String> = self.settings.intervals.keys().cloned().collect();
                    self.dangling(at.join(key).join(index), "intervals", interval, "time interval", &known);
                }
            }
        }
        Route {
            name: name.to_owned(),
            matchers: self.matchers(&route.r#match, &route.matchers, &at, "matchers"),
            r#continue: route.r#continue.unwrap_or(false),
            group_by: route.group_by.clone(),
            group_wait: route.group_wait,
            group_interval: route.group_interval,
            repeat_interval: route.repeat_interval,
            mute_during: route.mute_during.clone(),
            active_during: route.active_during.clone(),
            routes: self.routes(&route.routes, &receiver, &at.join("routes")),
            order: route.order.unwrap_or(0),
            receiver,
            at,
        }
    }

    fn matchers(
        &mut self,
        equal: &BTreeMap<String, String>,
        written: &[String],
        at: &Path,
        key: &str,
    ) -> Vec<Matcher> {
        let mut matchers: Vec<Matcher> = equal
            .iter()
            .map(|(label, value)| Matcher { label: label.clone(), op: MatchOp::Equal, value: value.clone() })
            .collect();
        for (index, text) in written.iter().enumerate() {
            match Matcher::parse(text) {
                Ok(parsed) => matchers.extend(parsed),
                Err(error) => self.findings.push(error.finding(Place::setting(at.join(key).join(index)))),
            }
        }
        matchers
    }

    pub(super) fn inhibition(&mut self, name: &str, inhibition: &set::Inhibition) -> Inhibition {
        let at = Path::new(["inhibitions", name]);
        Inhibition {
            name: name.to_owned(),
            source: self.matchers(&inhibition.source, &inhibition.source_matchers, &at, "source_matchers"),
            target: self.matchers(&inhibition.target, &inhibition.target_matchers, &at, "target_matchers"),
            equal: inhibition.equal.clone(),
            at,
        }
    }
}

/// `None` for `enable` and other plain keys of a channel.
pub fn integration(kind: &str, node: &Node, at: Path) -> Option<Integration> {
    let table = node.table()?;
    let options = table.entries.iter().filter(|(key, _)| *key != "enable");
    Some(Integration {
        kind: kind.to_owned(),
        options: options.map(|(key, node)| (key.clone(), option(node))).collect(),
        at,
    })
}

fn option(node: &Node) -> Value {
    match &node.value {
        Tree::Bool(b) => Value::Bool(*b),
        Tree::Integer(n) => Value::Number(*n as f64),
        Tree::Float(n) => Value::Number(*n),
        Tree::String(text) | Tree::Datetime(text) => Value::Text(Text::plain(text)),
        Tree::Text(text) => Value::Text(text.clone()),
        Tree::Array(items) => Value::List(items.iter().map(option).collect()),
        Tree::Table(table) => {
            Value::Table(table.entries.iter().map(|(k, v)| (k.clone(), option(v))).collect())
        }
    }
}
