//! Rules: their expressions, names, times, texts, and what they mean together.

mod always;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::catalog::Catalogs;
use super::metrics::Sources;
use super::promql::{
    self, Checked, Fault, Labels, M109, M112, M113, M114, M115, M118, is_label_name, is_metric_name,
};
use super::template;
use crate::diagnostic::{Finding, Path, Place, Severity, nearest};
use crate::profile::text::{Piece, Text};
use crate::stack::{AlertRule, Group, Rule, Source, Stack, Version};

pub use super::promql::CODES;

/// Reads the expressions of all rules, see [`prepare`](super::prepare).
pub(super) fn prepare(stack: &Stack, sources: &Sources<'_>) {
    stack.rules().for_each(|(_, rule)| drop(promql::parse(&rule.expr(), sources.dialect)));
}

/// Everything that is wrong with the stack's rules.
pub fn check(stack: &Stack, sources: &Sources<'_>) -> Vec<Finding> {
    let mut checker = Checker { sources, findings: vec![] };
    checker.groups(stack);
    for group in &stack.groups {
        for rule in &group.rules {
            let before = checker.findings.len();
            checker.rule(group, rule);
            if let Some(plugin) = rule.plugin() {
                checker
                    .findings
                    .iter_mut()
                    .skip(before)
                    .for_each(|finding| name_plugin(finding, rule, plugin));
            }
        }
    }
    checker.together(stack);
    checker.findings
}

/// What a plugin added stands in no profile: the finding says whose it is, and shows it.
fn name_plugin(finding: &mut Finding, rule: &Rule, plugin: &str) {
    finding.message = format!("the alert `{}` of the plugin `{plugin}`: {}", rule.name, finding.message);
    finding.place = Place::Key(Path::new(["plugins", plugin]));
    finding.notes.insert(0, format!("its expression is {}", normal(&rule.expr())));
}

/// What the stack's expressions can select: its scrapes, and what its rules record.
pub fn sources<'a>(stack: &'a Stack, catalogs: &'a Catalogs) -> Sources<'a> {
    let mut sources = Sources::new(stack, catalogs);
    let records: Vec<(&Group, &Rule)> = stack.rules().filter(|(_, r)| r.alert().is_none()).collect();
    for index in in_order(&records, sources.dialect) {
        let Some((group, rule)) = records.get(index) else { continue };
        let labels = recorded_labels(group, rule, &sources);
        sources.record(&rule.name, labels);
    }
    sources
}

/// Recording rules so that each stands behind those that it builds on, as far as they don't
/// build on each other in a circle.
fn in_order(records: &[(&Group, &Rule)], dialect: promql::Dialect) -> Vec<usize> {
    let mut makers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, (_, rule)) in records.iter().enumerate() {
        makers.entry(&rule.name).or_default().push(index);
    }
    let mut waits = vec![0_usize; records.len()];
    let mut waiters: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, (_, rule)) in records.iter().enumerate() {
        let Ok(query) = promql::parse(&rule.expr(), dialect) else { continue };
        let used: HashSet<&str> =
            query.selectors().iter().filter_map(|s| s.name.as_ref()).map(|n| n.value.as_str()).collect();
        for maker in used.into_iter().filter(|n| *n != rule.name).filter_map(|n| makers.get(n)).flatten() {
            waiters.entry(*maker).or_default().push(index);
            if let Some(count) = waits.get_mut(index) {
                *count += 1;
            }
        }
    }
    let mut order: Vec<usize> = (0..records.len()).filter(|i| waits.get(*i) == Some(&0)).collect();
    let mut done = 0;
    while let Some(index) = order.get(done).copied() {
        done += 1;
        for waiter in waiters.remove(&index).unwrap_or_default() {
            if let Some(count) = waits.get_mut(waiter) {
                *count -= 1;
                if *count == 0 {
                    order.push(waiter);
                }
            }
        }
    }
    order.extend((0..records.len()).filter(|i| waits.get(*i).is_some_and(|count| *count > 0)));
    order
}

fn recorded_labels(group: &Group, rule: &Rule, sources: &Sources<'_>) -> Labels {
    let labels = promql::check(&rule.expr(), sources).labels;
    group.labels.keys().chain(rule.labels.keys()).fold(labels, |l, name| l.with(name))
}

struct Checker<'a> {
    sources: &'a Sources<'a>,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn version(&self) -> Version {
        self.sources.dialect.version
    }

    // -- groups --

    fn groups(&mut self, stack: &Stack) {
        let mut seen: HashMap<(&str, &str), &Group> = HashMap::new();
        for group in &stack.groups {
            let place = || match &group.source {
                Source::Setting(path) => Place::Key(path.clone()),
                Source::File { .. } => group.source.place("name"),
            };
            if group.name.is_empty() {
                self.findings.push(Finding::error(&M112, place(), "a rule group without a name"));
            }
            if let Some(first) = seen.insert((&group.file, &group.name), group) {
                let message = format!("the group `{}` stands twice in one file", group.name);
                let finding = Finding::error(&M113, place(), message).label("give it another name");
                self.findings.push(finding.related(first.source.place("name"), "the first is here"));
            }
            for label in group.labels.keys() {
                self.label_name(label, &group.source.place(&format!("labels.{label}")));
            }
        }
    }

    // -- one rule --

    fn rule(&mut self, group: &Group, rule: &Rule) {
        let expr = rule.expr();
        let place = rule.source.place("expr");
        let checked = promql::check(&expr, self.sources);
        let written = written_ranges(rule, &rule.expr);
        self.names(rule);
        if let Some(alert) = rule.alert() {
            self.alert(group, rule, alert, &checked, &expr);
        }
        let findings =
            checked.faults.into_iter().map(|f| f.into_finding(place.clone(), &written, expr.len()));
        self.findings.extend(findings);
    }

    fn names(&mut self, rule: &Rule) {
        let utf8 = self.version() >= Version::new(3, 0, 0);
        let place = match &rule.source {
            Source::Setting(path) => Place::Key(path.clone()),
            source @ Source::File { .. } => {
                source.place(if rule.alert().is_some() { "alert" } else { "record" })
            }
        };
        let name = &rule.name;
        if rule.alert().is_none() && (name.is_empty() || (!utf8 && !is_metric_name(name))) {
            self.findings.push(
                Finding::error(&M112, place.clone(), format!("`{name}` can't be the name of a metric"))
                    .label("letters, digits, `_` and `:`, not beginning with a digit"),
            );
        }
        if rule.alert().is_some() && (name.trim().is_empty() || name.contains('\u{fffd}')) {
            self.findings.push(Finding::error(&M112, place, "an alert without a name"));
        }
        for label in rule.labels.keys() {
            self.label_name(label, &rule.source.place(&format!("labels.{label}")));
        }
        for annotation in rule.alert().iter().flat_map(|a| a.annotations.keys()) {
            if !(is_label_name(annotation) || (utf8 && !annotation.is_empty())) {
                let message = format!("`{annotation}` can't be the name of an annotation");
                let place = rule.source.place(&format!("annotations.{annotation}"));
                self.findings.push(
                    Finding::error(&M112, place, message)
                        .label("letters, digits and `_`, not beginning with a digit"),
                );
            }
        }
    }

    fn label_name(&mut self, label: &str, place: &Place) {
        let utf8 = self.version() >= Version::new(3, 0, 0);
        let hint = match label {
            "__name__" => "a rule can't set the metric's name",
            _ if is_label_name(label) || (utf8 && !label.is_empty()) => return,
            _ => "letters, digits and `_`, not beginning with a digit",
        };
        let message = format!("`{label}` can't be the name of a label");
        self.findings.push(Finding::error(&M112, place.clone(), message).label(hint));
    }

    fn alert(&mut self, group: &Group, rule: &Rule, alert: &AlertRule, checked: &Checked, expr: &str) {
        for (name, text) in &rule.labels {
            self.text(rule, &format!("labels.{name}"), text, &checked.labels);
        }
        for (name, text) in &alert.annotations {
            self.text(rule, &format!("annotations.{name}"), text, &checked.labels);
        }
        if let Some(query) = &checked.query {
            let written = written_ranges(rule, &rule.expr);
            let place = rule.source.place("expr");
            if let Some(fault) = always::judge(query, expr.len()) {
                self.findings.push(fault.into_finding(place, &written, expr.len()));
            }
        }
        self.hold(group, rule, alert, checked);
        let severity = rule.labels.contains_key("severity") || group.labels.contains_key("severity");
        if !severity {
            let place = match &rule.source {
                Source::Setting(path) => Place::Key(path.clone()),
                source @ Source::File { .. } => source.place("alert"),
            };
            let message = format!("the alert `{}` has no severity", rule.name);
            self.findings.push(
                Finding::advice(&M115, place, message)
                    .label("add the label `severity`")
                    .note("routes and inhibitions go by it"),
            );
        }
    }

    /// `for` against how often the rule is evaluated and its metrics are scraped.
    fn hold(&mut self, group: &Group, rule: &Rule, alert: &AlertRule, checked: &Checked) {
        let hold = alert.r#for;
        if hold.0 == 0 {
            return;
        }
        let place = rule.source.place("for");
        let evaluated = group.interval.unwrap_or(self.sources.evaluation_interval);
        if hold < evaluated {
            self.findings.push(
                Finding::warning(
                    &M109,
                    place,
                    format!("`for` is {hold}, but the rule is evaluated every {evaluated}"),
                )
                .label(format!("write at least {evaluated}"))
                .note("it counts from one evaluation to the next, so it is rounded up to that"),
            );
            return;
        }
        if let Some(scraped) = checked.interval.filter(|s| hold < *s) {
            self.findings.push(
                Finding::warning(
                    &M109,
                    place,
                    format!("`for` is {hold}, but its metrics are scraped every {scraped}"),
                )
                .label(format!("write at least {scraped}"))
                .note("a single sample decides, since no other comes in that time"),
            );
        }
    }

    /// A label or annotation: the template itself, and the labels that it asks for.
    fn text(&mut self, rule: &Rule, field: &str, text: &Text, labels: &Labels) {
        let filled = rule.fill(text);
        if !filled.contains("{{") {
            return;
        }
        let place = rule.source.place(field);
        let written = written_ranges(rule, text);
        let uses = match template::parse(&filled, self.version()) {
            Ok(uses) => uses,
            Err(fault) => {
                self.findings.push(fault.into_finding(place, &written, filled.len()));
                return;
            }
        };
        for label in &uses.labels {
            if labels.lacks(&label.value).is_none() {
                continue;
            }
            let message = format!("the alert has no label `{}`, so this shows nothing", label.value);
            // The alert still arrives, so it is no reason to refuse rules that people run.
            let fault = Fault::new(label.range.clone(), message).code(&M118).severity(Severity::Warning);
            let own = rule.labels.contains_key(&label.value);
            let fault = match nearest(&label.value, labels.names.iter().map(String::as_str)) {
                Some(near) => fault.label(format!("did you mean `{near}`?")),
                None if labels.names.is_empty() => fault.label("the expression's result has no labels"),
                None => {
                    let names: Vec<String> = labels.names.iter().take(8).map(|n| format!("`{n}`")).collect();
                    fault.label(format!("the expression's result has {}", names.join(", ")))
                }
            };
            let fault = if own { fault.note("the rule's own labels are not in `$labels`") } else { fault };
            self.findings.push(fault.into_finding(place.clone(), &written, filled.len()));
        }
        for query in &uses.queries {
            for mut fault in promql::check(&query.value, self.sources).faults {
                fault.range = fault.range.start + query.range.start..fault.range.end + query.range.start;
                self.findings.push(fault.into_finding(place.clone(), &written, filled.len()));
            }
        }
    }

    // -- rules together --

    fn together(&mut self, stack: &Stack) {
        type Key<'r> = (bool, &'r str, BTreeMap<&'r str, String>);
        let mut seen: HashMap<Key<'_>, Vec<(&Group, &Rule, String)>> = HashMap::new();
        for (group, rule) in stack.rules() {
            let mut labels = rule.labels();
            for (name, value) in &group.labels {
                labels.entry(name).or_insert_with(|| value.clone());
            }
            let expr = normal(&rule.expr());
            let place = || match &rule.source {
                Source::Setting(path) => Place::Key(path.clone()),
                Source::File { .. } => rule.source.place("name"),
            };
            let is_alert = rule.alert().is_some();
            let others = seen.entry((is_alert, &rule.name, labels)).or_default();
            let what = if is_alert { "alert" } else { "recording rule" };
            if let Some((first_group, first, _)) = others.iter().find(|(_, _, e)| *e == expr) {
                let message = format!("the {what} `{}` exists twice, word for word", rule.name);
                let same = first_group.name == group.name && first_group.file == group.file;
                let severity = if same { Severity::Error } else { Severity::Warning };
                self.findings.push(
                    Finding::new(&M113, severity, place(), message)
                        .label("remove one of them")
                        .related(first.source.place("expr"), "the first is here"),
                );
            } else if let Some((_, first, _)) = others.first().filter(|_| is_alert) {
                let message =
                    format!("two alerts `{}` have the same labels but not the same expression", rule.name);
                self.findings.push(
                    Finding::warning(&M114, place(), message)
                        .label("tell them apart by a label, such as `severity`")
                        .related(first.source.place("expr"), "the first is here"),
                );
            }
            // A hundred rules of one name are compared with the first few only.
            if others.len() < 16 {
                others.push((group, rule, expr));
            }
        }
    }
}

/// An expression without what has no meaning: blanks outside of strings.
fn normal(expr: &str) -> String {
    expr.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Leads from a text with its threshold filled in back to the text as it stands in the
/// profile, where the threshold is `${threshold}`.
fn written_ranges<'t>(rule: &Rule, text: &'t Text) -> impl Fn(Range<usize>) -> Range<usize> + use<'t> {
    const WRITTEN: usize = "${threshold}".len();
    let threshold = rule.alert().and_then(|a| a.threshold).map_or(0, |t| t.to_string().len());
    move |range| {
        if text.0.len() < 2 {
            return range;
        }
        let place = |at: usize, is_end: bool| {
            let (mut filled, mut written) = (0, 0);
            for piece in &text.0 {
                let (length, source) = match piece {
                    Piece::Plain(plain) => (plain.len(), plain.len()),
                    _ => (threshold, WRITTEN),
                };
                if at < filled + length || (is_end && at == filled + length) {
                    return match piece {
                        Piece::Plain(_) => written + at - filled,
                        _ if is_end => written + source,
                        _ => written,
                    };
                }
                filled += length;
                written += source;
            }
            written + at.saturating_sub(filled)
        };
        let start = place(range.start, false);
        start..place(range.end, true).max(start)
    }
}
