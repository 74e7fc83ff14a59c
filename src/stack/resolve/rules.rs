//! The profile's own rules: groups, alerts, recording rules.

use std::collections::BTreeMap;

use crate::diagnostic::{Finding, Path, Place, nearest};
use crate::profile::codes::{M012, M013, M016};
use crate::profile::settings as set;
use crate::profile::text::Text;
use crate::stack::{AlertRule, Group, Rule, RuleKind, Source, rulefile};

use super::Resolver;

impl Resolver<'_> {
    /// Groups of the profile's own rules, each a file of its own.
    pub(super) fn groups(&mut self) -> Vec<Group> {
        let mut rules: BTreeMap<&str, Vec<(i64, Rule)>> = BTreeMap::new();
        for (name, alert) in &self.settings.alerts {
            let rule = self.alert(name, alert);
            rules
                .entry(alert.group.as_deref().unwrap_or("default"))
                .or_default()
                .push((alert.order.unwrap_or(0), rule));
        }
        for (name, record) in &self.settings.records {
            let rule = Rule {
                kind: RuleKind::Record,
                name: record.metric.clone().unwrap_or_else(|| name.clone()),
                expr: record.expr.clone(),
                labels: record.labels.clone(),
                source: Source::Setting(Path::new(["records", name])),
            };
            let group = record.group.as_deref().unwrap_or("default");
            rules.entry(group).or_default().push((record.order.unwrap_or(0), rule));
        }
        for name in self.settings.groups.keys().filter(|n| !rules.contains_key(n.as_str())) {
            let known: Vec<&str> = rules.keys().copied().collect();
            let mut finding = Finding::warning(
                &M013,
                Place::Key(Path::new(["groups", name])),
                format!("the group `{name}` has no rules"),
            );
            if let Some(near) = nearest(name, known.iter().copied()) {
                finding = finding.label(format!("did you mean `{near}`?"));
            }
            self.findings.push(finding);
        }
        let order = |name: &str| self.settings.groups.get(name).and_then(|g| g.order).unwrap_or(0);
        let mut groups: Vec<_> = rules.into_iter().collect();
        groups.sort_by_key(|(name, _)| (order(name), *name));
        let mut taken = vec![];
        let groups = groups.into_iter().map(|(name, mut rules)| {
            // Recording rules first: what they record is then fresh for the alerts.
            rules.sort_by(|(a, x), (b, y)| {
                (a, x.alert().is_some(), &x.name).cmp(&(b, y.alert().is_some(), &y.name))
            });
            let settings = self.settings.groups.get(name);
            Group {
                name: name.to_owned(),
                file: rulefile::file_name(name, &mut taken),
                interval: settings.and_then(|g| g.interval),
                query_offset: settings.and_then(|g| g.query_offset),
                limit: settings.and_then(|g| g.limit),
                labels: BTreeMap::new(),
                rules: rules.into_iter().map(|(_, rule)| rule).collect(),
                source: Source::Setting(Path::new(["groups", name])),
            }
        });
        groups.collect()
    }

    fn alert(&mut self, name: &str, alert: &set::Alert) -> Rule {
        let at = Path::new(["alerts", name]);
        let mut labels = alert.labels.clone();
        let mut annotations = alert.annotations.clone();
        let plain = |text: &Option<String>| text.as_ref().map(Text::plain);
        let mut put = |table: &mut BTreeMap<String, Text>, key: &str, value: Option<Text>| {
            let Some(value) = value else { return };
            if table.insert(key.to_owned(), value).is_some() {
                let finding = Finding::error(
                    &M016,
                    Place::setting(at.join(key)),
                    format!("`{key}` stands twice in `{at}`"),
                );
                self.findings.push(finding.label("keep this one, or the one in the table"));
            }
        };
        put(&mut labels, "severity", plain(&alert.severity));
        put(&mut labels, "component", plain(&alert.component));
        put(&mut annotations, "summary", alert.summary.clone());
        put(&mut annotations, "description", alert.description.clone());
        put(&mut annotations, "runbook_url", alert.runbook_url.clone());
        self.no_secrets(&at, [("expr", &alert.expr)]);
        self.no_secrets(&at.join("labels"), labels.iter().map(|(k, v)| (k.as_str(), v)));
        self.no_secrets(&at.join("annotations"), annotations.iter().map(|(k, v)| (k.as_str(), v)));
        Rule {
            kind: RuleKind::Alert(AlertRule {
                threshold: alert.threshold,
                unit: alert.unit.clone().unwrap_or_default(),
                r#for: alert.r#for.unwrap_or_default(),
                keep_firing_for: alert.keep_firing_for.unwrap_or_default(),
                annotations,
            }),
            name: name.to_owned(),
            expr: alert.expr.clone(),
            labels,
            source: Source::Setting(at),
        }
    }

    fn no_secrets<'t>(&mut self, at: &Path, texts: impl IntoIterator<Item = (&'t str, &'t Text)>) {
        for (key, text) in texts {
            if text.is_secret() {
                let message = format!("a secret can't stand in `{}`", at.join(key));
                self.error(&M012, at.join(key), message, "rules hold no secrets");
            }
        }
    }
}
