//! Where the stack's metrics come from: scrapes with their catalogues, recording rules, and
//! the series that Prometheus makes itself. Answers what a selector can find.

mod job;
mod suggest;
mod targets;
mod unknown;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

use regex::Regex;

use self::job::Job;
pub(super) use self::suggest::missing_label;
use super::catalog::{Catalog, Catalogs, Part, Series};
use super::promql::{Dialect, Fault, Labels, M104, Matcher, Rest, Selector, is_variable};
use crate::diagnostic::Severity;
use crate::profile::units::Duration;
use crate::stack::{MatchOp, Stack};

/// What Prometheus adds for every target.
const OF_EVERY_TARGET: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// What Prometheus makes of alerting rules.
const OF_ALERTS: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// All sources of a stack.
#[derive(Debug)]
pub struct Sources<'a> {
    pub dialect: Dialect,
    pub(super) evaluation_interval: Duration,
    jobs: Vec<Job<'a>>,
    exporters: Vec<Exporter<'a>>,
    /// Labels that targets have, whichever.
    target_labels: BTreeSet<&'a str>,
    by_job: HashMap<&'a str, Vec<usize>>,
    recorded: HashMap<String, Labels>,
    patterns: RefCell<HashMap<String, Option<Regex>>>,
    suggestions: RefCell<HashMap<String, Option<String>>>,
    suggested: Cell<usize>,
}

/// A catalogue with the scrapes that use it.
#[derive(Debug)]
struct Exporter<'a> {
    catalog: &'a Catalog,
    series: HashMap<String, Series<'a>>,
    jobs: Vec<usize>,
    /// The labels of all its targets.
    labels: Labels,
    slowest: Duration,
}

/// What a selector finds.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) labels: Labels,
    /// The longest interval at which it is scraped.
    pub(super) interval: Option<Duration>,
    /// The largest finite bucket, where it is known for all that is found.
    pub(super) largest_bucket: Option<f64>,
}

impl Found {
    fn unknown() -> Self {
        Found { labels: Labels::any(), interval: None, largest_bucket: None }
    }
}

impl<'a> Sources<'a> {
    pub fn new(stack: &'a Stack, catalogs: &'a Catalogs) -> Self {
        let mut sources = Sources {
            dialect: Dialect::of(stack),
            evaluation_interval: stack.prometheus.evaluation_interval,
            jobs: vec![],
            exporters: vec![],
            target_labels: BTreeSet::from(["job", "instance"]),
            by_job: HashMap::new(),
            recorded: HashMap::new(),
            patterns: RefCell::default(),
            suggestions: RefCell::default(),
            suggested: Cell::default(),
        };
        let mut by_catalog: HashMap<&str, usize> = HashMap::new();
        for scrape in stack.scrapes.values() {
            let service = scrape.service.as_ref().and_then(|s| stack.services.get(s));
            let mut job = Job::new(scrape, service);
            let index = sources.jobs.len();
            let name = scrape.catalog.as_deref().or(service.and_then(|s| s.catalog.as_deref()));
            if let Some((name, catalog)) = name.and_then(|n| Some((n, catalogs.get(n)?))) {
                let exporter = *by_catalog.entry(name).or_insert_with(|| {
                    sources.exporters.push(Exporter::new(catalog));
                    sources.exporters.len() - 1
                });
                job.exporter = Some(exporter);
                if let Some(exporter) = sources.exporters.get_mut(exporter) {
                    exporter.jobs.push(index);
                    exporter.labels = std::mem::take(&mut exporter.labels).union(job.labels());
                    exporter.slowest = exporter.slowest.max(scrape.interval);
                }
            }
            sources.target_labels.extend(job.fixed.keys());
            sources.target_labels.extend(&job.loose);
            sources.by_job.entry(&scrape.job).or_default().push(index);
            sources.jobs.push(job);
        }
        sources
    }

    /// A recording rule makes this metric.
    pub(super) fn record(&mut self, metric: &str, labels: Labels) {
        let known = self.recorded.remove(metric);
        let labels = known.unwrap_or_default().union(labels);
        self.recorded.insert(metric.to_owned(), labels);
    }

    /// What a selector finds, and what is wrong with it.
    pub(super) fn find(&self, selector: &Selector, faults: &mut Vec<Fault>) -> Found {
        let variable = |m: &Matcher| is_variable(&m.label.value) || is_variable(&m.value.value);
        if selector.name.as_ref().is_some_and(|n| is_variable(&n.value))
            || selector.matchers.iter().any(variable)
        {
            // A panel's variable can be anything; only what it leaves certain is judged.
            return self.find_with_variables(selector, faults);
        }
        let jobs = self.jobs_of(selector);
        if self.misses_its_job(selector, &jobs, faults) {
            return Found::unknown();
        }
        let found = match &selector.name {
            Some(name) => self.named(selector, &name.value, &jobs, faults),
            None => self.by_pattern(selector, &jobs, faults),
        };
        for matcher in &selector.matchers {
            // Asking for a series without the label is sensible where none has it.
            let asks_for_none = matcher.op == MatchOp::Equal && matcher.value.value.is_empty();
            if asks_for_none || matcher.label.value == "__name__" {
                continue;
            }
            self.check_label(
                &matcher.label.value,
                matcher.label.range.clone(),
                &found.labels,
                selector,
                faults,
            );
        }
        found
    }

    /// The selector without the parts that are a variable.
    fn find_with_variables(&self, selector: &Selector, faults: &mut Vec<Fault>) -> Found {
        if selector.name.as_ref().is_none_or(|n| is_variable(&n.value)) {
            return Found::unknown();
        }
        let mut certain = selector.clone();
        for matcher in &mut certain.matchers {
            if is_variable(&matcher.value.value) {
                matcher.op = MatchOp::Regex;
                matcher.value.value = ".*".into();
            }
        }
        certain.matchers.retain(|m| !is_variable(&m.label.value));
        self.find(&certain, faults)
    }

    fn check_label(
        &self,
        label: &str,
        range: std::ops::Range<usize>,
        labels: &Labels,
        selector: &Selector,
        faults: &mut Vec<Fault>,
    ) {
        let Some(severity) = labels.lacks(label) else { return };
        let what = selector.name.as_ref().map_or("what is selected".to_owned(), |n| format!("`{}`", n.value));
        faults.push(
            missing_label(label, range, labels, &what)
                .severity(severity)
                .note("the series that have no such label never match this"),
        );
    }

    // -- metrics --

    fn is_alerts(&self, name: &str) -> bool {
        OF_ALERTS.contains(&name)
    }

    fn named(
        &self,
        selector: &Selector,
        name: &str,
        jobs: &Option<Vec<usize>>,
        faults: &mut Vec<Fault>,
    ) -> Found {
        if self.is_alerts(name) {
            return Found::unknown();
        }
        if OF_EVERY_TARGET.contains(&name) {
            return self.of_targets(jobs);
        }
        let mut found: Option<Found> = None;
        for exporter in &self.exporters {
            if let Some(series) = exporter.series.get(name)
                && let Some(one) = self.in_exporter(exporter, series, jobs)
            {
                found = Some(match found {
                    None => one,
                    Some(other) => other.join(one),
                });
            }
        }
        if let Some(labels) = self.recorded.get(name) {
            let recorded = Found { labels: labels.clone(), interval: None, largest_bucket: None };
            found = Some(match found {
                None => recorded,
                Some(other) => other.join(recorded),
            });
        }
        if let Some(mut found) = found {
            if self.has_unknown(jobs) {
                found.labels.rest = found.labels.rest.max(Rest::Unlikely);
            }
            return found;
        }
        faults.push(self.unknown_metric(selector, name, jobs));
        Found::unknown()
    }

    /// What one exporter's jobs have of a series; `None` where none of its jobs is meant.
    fn in_exporter(
        &self,
        exporter: &Exporter<'_>,
        series: &Series<'_>,
        jobs: &Option<Vec<usize>>,
    ) -> Option<Found> {
        let mut labels = Labels::of(series.labels());
        if exporter.catalog.open.iter().any(|open| series.family.starts_with(open.as_str())) {
            labels.rest = Rest::Unlikely;
        }
        let chosen: Vec<&Job<'_>> = match jobs {
            None => vec![],
            Some(jobs) => {
                let chosen: Vec<_> = exporter.jobs.iter().filter(|j| jobs.contains(j)).collect();
                if chosen.is_empty() {
                    return None;
                }
                chosen.into_iter().filter_map(|j| self.jobs.get(*j)).collect()
            }
        };
        let (labels, interval) = if jobs.is_none() {
            (labels.union(exporter.labels.clone()), exporter.slowest)
        } else {
            let slowest = chosen.iter().map(|j| j.scrape.interval).max().unwrap_or_default();
            (chosen.iter().fold(labels, |l, j| l.union(j.labels())), slowest)
        };
        let largest_bucket = (series.part == Part::Bucket).then(|| {
            let all = exporter.jobs.iter().filter_map(|j| self.jobs.get(*j));
            let mut largest = f64::NEG_INFINITY;
            for job in if jobs.is_none() { all.collect() } else { chosen } {
                let buckets = exporter.catalog.buckets(series.family, job.service)?;
                largest = largest.max(*buckets.last()?);
            }
            Some(largest)
        });
        Some(Found { labels, interval: Some(interval), largest_bucket: largest_bucket.flatten() })
    }

    fn of_targets(&self, jobs: &Option<Vec<usize>>) -> Found {
        let chosen: Vec<&Job<'_>> = match jobs {
            None => self.jobs.iter().collect(),
            Some(jobs) => jobs.iter().filter_map(|j| self.jobs.get(*j)).collect(),
        };
        if chosen.is_empty() {
            return Found::unknown();
        }
        Found {
            labels: chosen.iter().fold(Labels::default(), |l, j| l.union(j.labels())),
            interval: chosen.iter().map(|j| j.scrape.interval).max(),
            largest_bucket: None,
        }
    }

    /// True where something that is selected has no catalogue.
    fn has_unknown(&self, jobs: &Option<Vec<usize>>) -> bool {
        let unknown = |j: &Job<'_>| j.exporter.is_none() || j.open;
        match jobs {
            None => self.jobs.iter().any(unknown),
            Some(jobs) => jobs.iter().filter_map(|j| self.jobs.get(*j)).any(unknown),
        }
    }

    fn exporters_of<'s>(&'s self, jobs: &'s Option<Vec<usize>>) -> impl Iterator<Item = &'s Exporter<'a>> {
        self.exporters
            .iter()
            .filter(move |e| jobs.as_ref().is_none_or(|jobs| e.jobs.iter().any(|j| jobs.contains(j))))
    }

    // -- {__name__=~"…"} --

    fn by_pattern(&self, selector: &Selector, jobs: &Option<Vec<usize>>, faults: &mut Vec<Fault>) -> Found {
        let names: Vec<&Matcher> = selector.matchers.iter().filter(|m| m.label.value == "__name__").collect();
        if names.is_empty() {
            return Found::unknown();
        }
        let wanted = |name: &str| names.iter().all(|m| self.matches(m, name));
        let mut found: Option<Found> = None;
        let mut join = |one: Found| {
            found = Some(match found.take() {
                None => one,
                Some(other) => other.join(one),
            });
        };
        for exporter in &self.exporters {
            for (_, series) in exporter.series.iter().filter(|(name, _)| wanted(name)) {
                if let Some(one) = self.in_exporter(exporter, series, jobs) {
                    join(one);
                }
            }
        }
        if OF_EVERY_TARGET.iter().any(|name| wanted(name)) {
            join(self.of_targets(jobs));
        }
        for (_, labels) in self.recorded.iter().filter(|(name, _)| wanted(name)) {
            join(Found { labels: labels.clone(), interval: None, largest_bucket: None });
        }
        if OF_ALERTS.iter().any(|name| wanted(name)) {
            join(Found::unknown());
        }
        if let Some(mut found) = found {
            if self.has_unknown(jobs) {
                found.labels.rest = found.labels.rest.max(Rest::Unlikely);
            }
            found.largest_bucket = None;
            return found;
        }
        let certain = !self.jobs.is_empty() && !self.has_unknown(jobs);
        let (range, written) = match names.as_slice() {
            [one] => (one.value.range.clone(), format!(" `{}`", one.value.value)),
            _ => (selector.range.clone(), String::new()),
        };
        faults.push(
            Fault::new(range, format!("no scraped exporter has a metric that matches{written}"))
                .label("the pattern must match a metric's whole name")
                .code(&M104)
                .severity(if certain { Severity::Error } else { Severity::Warning }),
        );
        Found::unknown()
    }
}

impl Found {
    fn join(self, other: Found) -> Found {
        Found {
            labels: self.labels.union(other.labels),
            interval: self.interval.max(other.interval),
            largest_bucket: self.largest_bucket.zip(other.largest_bucket).map(|(a, b)| a.max(b)),
        }
    }
}

impl<'a> Exporter<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Exporter {
            catalog,
            series: catalog.series().collect(),
            jobs: vec![],
            labels: Labels::default(),
            slowest: Duration(0),
        }
    }
}
