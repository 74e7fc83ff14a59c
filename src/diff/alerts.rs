//! Alerts: which are new or gone, what they ask for, and whom they reach.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::check::alerting::alerts::alerts;
use crate::diagnostic::Path;
use crate::profile::text::Text;
use crate::profile::units::Threshold;
use crate::stack::{AlertRule, Group, Rule, Source};

use super::delivery::{Delivery, Office};
use super::fact::{self, Facts};
use super::{AlertChange, Change, Channels, Field, Kind, Reached, Side};

/// An alert with all that is known about it.
struct Alert<'a> {
    rule: &'a Rule,
    facts: Facts,
    delivery: Delivery,
}

impl Alert<'_> {
    fn severity(&self) -> Option<String> {
        self.facts.get("severity").map(str::to_owned)
    }

    /// What makes it the same alert under another name.
    fn essence(&self) -> (String, BTreeMap<&str, String>) {
        (self.rule.expr.reference(), self.rule.labels())
    }
}

/// Compares the alerts of two bundles.
pub(super) fn compare(old: Option<&Side>, new: &Side) -> Vec<AlertChange> {
    let (before, after) = (old.map(read).unwrap_or_default(), read(new));
    let pairs = pair(&before, &after);
    let mut changes: Vec<AlertChange> =
        pairs.into_iter().filter_map(|(old, new_alert)| change(old, new_alert, new)).collect();
    changes.sort_by(|a, b| (&a.change.name, a.change.change).cmp(&(&b.change.name, b.change.change)));
    changes
}

fn read(side: &Side) -> Vec<Alert<'_>> {
    let office = Office::new(&side.stack);
    let rules = side.rules().into_iter().filter(|(_, rule, _)| rule.alert().is_some());
    let alerts = rules.zip(alerts(&side.stack)).map(|((group, rule, origin), labelled)| Alert {
        rule,
        facts: Facts { origin, ..facts(side, group, rule) },
        delivery: office.deliver(&labelled.labels),
    });
    alerts.collect()
}

fn facts(side: &Side, group: &Group, rule: &Rule) -> Facts {
    let (own, named) = match &rule.source {
        Source::Setting(path) => (path.clone(), Path::new(["groups", &group.name])),
        Source::File { .. } => (Path::new(["rules", "files"]), Path::new(["rules", "files"])),
    };
    let mut facts = Facts::of(&own);
    let nothing = AlertRule::default();
    let alert = rule.alert().unwrap_or(&nothing);
    let labels = group.labels.iter().map(|(key, value)| (key, value.clone()));
    let mut labels: BTreeMap<&String, String> = labels.collect();
    labels.extend(rule.labels.iter().map(|(key, text)| (key, text.reference())));
    facts.some("severity", labels.remove(&"severity".to_owned()));
    facts.some("threshold", alert.threshold.map(|threshold| written(side, rule, alert, threshold)));
    facts.add("for", alert.r#for);
    if alert.keep_firing_for.0 > 0 {
        facts.add("keep_firing_for", alert.keep_firing_for);
    }
    facts.add("expr", rule.expr.reference().trim());
    facts.add("group", &group.name);
    match group.interval {
        Some(interval) => facts.add_at("interval", interval, named.join("interval")),
        None => {
            let prometheus = &side.stack.prometheus;
            let at = prometheus.at.join("evaluation_interval");
            facts.add_at("interval", prometheus.evaluation_interval, at);
        }
    }
    if let Some(offset) = group.query_offset {
        facts.add_at("query_offset", offset, named.join("query_offset"));
    }
    if let Some(limit) = group.limit {
        facts.add_at("limit", limit, named.join("limit"));
    }
    for (key, text) in labels {
        let at = if key == "component" { own.join(key) } else { own.join("labels").join(key) };
        facts.add_at(format!("labels.{key}"), text, at);
    }
    let mut annotations: BTreeMap<&str, &Text> =
        alert.annotations.iter().map(|(key, text)| (key.as_str(), text)).collect();
    for key in ["summary", "description", "runbook_url"] {
        if let Some(text) = annotations.remove(key) {
            facts.add_at(key, text.reference(), own.join(key));
        }
    }
    for (key, text) in annotations {
        facts.add_at(format!("annotations.{key}"), text.reference(), own.join("annotations").join(key));
    }
    facts
}

/// The threshold as it was written, or as a number; with its unit where it does not say one.
fn written(side: &Side, rule: &Rule, alert: &AlertRule, threshold: Threshold) -> String {
    let alerts = side.manifest.settings.get("alerts");
    let setting = alerts.and_then(|alerts| alerts.get(&rule.name)?.get("threshold")?.as_str());
    let number = threshold.to_string();
    match setting.filter(|text| text.parse() == Ok(threshold)) {
        Some(text) if text.parse::<f64>().is_err() => text.to_owned(),
        _ if alert.unit.is_empty() => number,
        _ => format!("{number} {}", alert.unit),
    }
}

type Pair<'s, 'a> = (Option<&'s Alert<'a>>, Option<&'s Alert<'a>>);

/// Which alert of the one side is which of the other.
fn pair<'s, 'a>(old: &'s [Alert<'a>], new: &'s [Alert<'a>]) -> Vec<Pair<'s, 'a>> {
    let mut names: BTreeMap<&str, (Vec<&'s Alert<'a>>, Vec<&'s Alert<'a>>)> = BTreeMap::new();
    for alert in old {
        names.entry(&alert.rule.name).or_default().0.push(alert);
    }
    for alert in new {
        names.entry(&alert.rule.name).or_default().1.push(alert);
    }
    let (mut pairs, mut gone, mut added) = (vec![], vec![], vec![]);
    for (mut old, mut new) in names.into_values() {
        // Several rules may have one name, most often for several severities.
        if old.len() > 1 || new.len() > 1 {
            take(&mut old, &mut new, &mut pairs, |alert| alert.essence());
            take(&mut old, &mut new, &mut pairs, |alert| alert.severity());
        }
        take(&mut old, &mut new, &mut pairs, |_| ());
        gone.append(&mut old);
        added.append(&mut new);
    }
    renamed(&mut gone, &mut added, &mut pairs);
    pairs.extend(gone.into_iter().map(|alert| (Some(alert), None)));
    pairs.extend(added.into_iter().map(|alert| (None, Some(alert))));
    pairs
}

/// Moves those of one key to the pairs, in their order.
fn take<'s, 'a, K: Eq + std::hash::Hash>(
    old: &mut Vec<&'s Alert<'a>>,
    new: &mut Vec<&'s Alert<'a>>,
    pairs: &mut Vec<Pair<'s, 'a>>,
    key: impl Fn(&'s Alert<'a>) -> K,
) {
    let mut waiting: HashMap<K, VecDeque<&'s Alert<'a>>> = HashMap::new();
    for alert in old.drain(..) {
        waiting.entry(key(alert)).or_default().push_back(alert);
    }
    new.retain(|after| match waiting.get_mut(&key(after)).and_then(VecDeque::pop_front) {
        Some(before) => {
            pairs.push((Some(before), Some(after)));
            false
        }
        None => true,
    });
    old.extend(waiting.into_values().flatten());
}

/// An alert that is gone and one that is new, of which all but the name is the same.
fn renamed<'s, 'a>(
    gone: &mut Vec<&'s Alert<'a>>,
    added: &mut Vec<&'s Alert<'a>>,
    pairs: &mut Vec<Pair<'s, 'a>>,
) {
    let mut alike: HashMap<_, (Vec<&'s Alert<'a>>, usize)> = HashMap::new();
    for alert in gone.iter() {
        alike.entry(alert.essence()).or_default().0.push(alert);
    }
    for alert in added.iter() {
        if let Some((_, count)) = alike.get_mut(&alert.essence()) {
            *count += 1;
        }
    }
    let mut paired: BTreeSet<&str> = BTreeSet::new();
    added.retain(|alert| match alike.get(&alert.essence()).map(|(old, count)| (old.as_slice(), *count)) {
        // Where two are alike, which became which is a guess.
        Some(([before], 1)) => {
            paired.insert(&before.rule.name);
            pairs.push((Some(before), Some(alert)));
            false
        }
        _ => true,
    });
    gone.retain(|alert| !paired.contains(alert.rule.name.as_str()));
}

fn change(old: Option<&Alert<'_>>, new: Option<&Alert<'_>>, side: &Side) -> Option<AlertChange> {
    let nowhere = Delivery::default();
    let (alert, kind) = match (old, new) {
        (Some(old), Some(new)) if old.rule.name != new.rule.name => (new, Kind::Renamed),
        (Some(_), Some(new)) => (new, Kind::Changed),
        (None, Some(new)) => (new, Kind::Added),
        (Some(old), None) => (old, Kind::Removed),
        (None, None) => return None,
    };
    let before = old.map_or(&nowhere, |alert| &alert.delivery);
    let after = new.map_or(&nowhere, |alert| &alert.delivery);
    let channels = channels(before, after, side);
    let fields = match (old, new) {
        (Some(old), Some(new)) => differences(old, new, side),
        _ => vec![],
    };
    if kind == Kind::Changed && fields.is_empty() && channels.is_none() {
        return None;
    }
    let origin = match kind {
        Kind::Added | Kind::Renamed => {
            alert.facts.origin.clone().or_else(|| side.origins.of_value(&alert.facts.at))
        }
        Kind::Removed => side.origins.of_removal(&alert.facts.at),
        Kind::Changed => None,
    };
    let was = old.filter(|_| kind == Kind::Renamed).map(|old| old.rule.name.clone());
    Some(AlertChange {
        change: Change { name: alert.rule.name.clone(), change: kind, was, origin, fields },
        severity: alert.severity(),
        channels,
    })
}

/// Whom it reached and reaches, where that differs.
fn channels(before: &Delivery, after: &Delivery, side: &Side) -> Option<Channels> {
    let set = |delivery: &Delivery| delivery.channels.iter().cloned().collect::<BTreeSet<Reached>>();
    let (old, new) = (set(before), set(after));
    if old == new {
        return None;
    }
    // The route to what is new; otherwise the one that led to what is gone.
    let route = after
        .channels
        .iter()
        .filter(|reached| !old.contains(reached))
        .find_map(|reached| after.routes.get(&reached.name))
        .or_else(|| {
            let gone = before.channels.iter().filter(|reached| !new.contains(reached));
            gone.filter_map(|reached| before.routes.get(&reached.name)).next()
        });
    let origin = route.and_then(|at| {
        let removed = side.origins.of_removal(at);
        removed.or_else(|| side.origins.of_value(&at.join("channel")))
    });
    Some(Channels {
        old: before.channels.clone(),
        new: after.channels.clone(),
        route: route.map(Path::to_string),
        origin,
    })
}

/// What is told of an alert that is on both sides.
fn differences(old: &Alert<'_>, new: &Alert<'_>, side: &Side) -> Vec<Field> {
    let written = |path: &Path| side.origins.of_value(path);
    let mut fields = fact::fields(&old.facts, &new.facts, &written);
    // A text in which only the way to write the threshold changed says what it said before.
    fields.retain(|field| match (filled(old.rule, &field.field), filled(new.rule, &field.field)) {
        (Some(before), Some(after)) => before != after,
        _ => true,
    });
    fields.extend(sending(&old.delivery, &new.delivery, &written));
    let (before, after) = (&old.delivery.muted, &new.delivery.muted);
    let muted = |old: Option<&String>, new: Option<&String>, origin| Field {
        field: "muted by".into(),
        channel: None,
        old: old.cloned(),
        new: new.cloned(),
        origin,
    };
    for (words, at) in after.iter().filter(|(words, _)| !before.contains_key(*words)) {
        fields.push(muted(None, Some(words), written(at)));
    }
    for (words, at) in before.iter().filter(|(words, _)| !after.contains_key(*words)) {
        fields.push(muted(Some(words), None, side.origins.of_removal(at).or_else(|| written(at))));
    }
    fields
}

/// How it is sent, channel by channel; once, where it is the same for all of them.
fn sending(old: &Delivery, new: &Delivery, written: &dyn Fn(&Path) -> Option<String>) -> Vec<Field> {
    let facts = |list: &[fact::Fact]| Facts { list: list.to_vec(), ..Facts::default() };
    let kept = new.options.iter().filter_map(|(channel, after)| {
        let before = old.options.get(channel)?;
        Some((channel, fact::fields(&facts(before), &facts(after), written)))
    });
    let kept: Vec<(&String, Vec<Field>)> = kept.collect();
    let mut said = vec![];
    for (channel, fields) in &kept {
        for field in fields {
            if kept.iter().all(|(_, others)| others.contains(field)) {
                if !said.contains(field) {
                    said.push(field.clone());
                }
            } else {
                said.push(Field { channel: Some((*channel).clone()), ..field.clone() });
            }
        }
    }
    said
}

/// The text of a field with its threshold filled in.
fn filled(rule: &Rule, field: &str) -> Option<String> {
    let text = match field {
        "expr" => &rule.expr,
        "severity" => rule.labels.get(field)?,
        _ => match field.split_once('.') {
            Some(("labels", label)) => rule.labels.get(label)?,
            Some(("annotations", name)) => rule.alert()?.annotations.get(name)?,
            _ => rule.alert()?.annotations.get(field)?,
        },
    };
    Some(rule.fill(text))
}
