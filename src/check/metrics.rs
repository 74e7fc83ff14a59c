//! Where the stack's metrics come from: scrapes with their catalogues, recording rules, and
//! the series that Prometheus makes itself. Answers what a selector can find.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use regex::Regex;

use super::catalog::{Catalog, Catalogs, Part, Series};
use super::promql::{Dialect, Fault, Labels, M104, M105, M106, Matcher, Rest, Selector, is_variable};
use crate::diagnostic::{Severity, nearest};
use crate::profile::settings::RelabelAction;
use crate::profile::units::Duration;
use crate::stack::{MatchOp, Scrape, Service, Stack, Version};

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
}

/// A scrape.
#[derive(Debug)]
struct Job<'a> {
    scrape: &'a Scrape,
    service: Option<&'a Service>,
    /// `job` and the scrape's own labels.
    fixed: BTreeMap<&'a str, &'a str>,
    /// Labels that relabelling or the target itself may set to anything.
    loose: BTreeSet<&'a str>,
    /// Relabelling may make any label, or metrics are renamed.
    open: bool,
    exporter: Option<usize>,
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

    // -- jobs --

    /// The scrapes whose targets can pass the matchers; `None`: all.
    fn jobs_of(&self, selector: &Selector) -> Option<Vec<usize>> {
        let of_targets: Vec<&Matcher> = selector
            .matchers
            .iter()
            .filter(|m| self.target_labels.contains(m.label.value.as_str()))
            .collect();
        if of_targets.is_empty() {
            return None;
        }
        // With many scrapes, the job alone decides most.
        let exact = of_targets.iter().find(|m| m.label.value == "job" && m.op == MatchOp::Equal);
        let loose = self.jobs.iter().any(|j| j.open || j.loose.contains("job"));
        let candidates: Vec<usize> = match exact.filter(|_| !loose) {
            Some(job) => self.by_job.get(job.value.value.as_str()).cloned().unwrap_or_default(),
            None => (0..self.jobs.len()).collect(),
        };
        let passes =
            |job: &Job<'_>| of_targets.iter().all(|m| job.passes(m, &|m, value| self.matches(m, value)));
        Some(candidates.into_iter().filter(|i| self.jobs.get(*i).is_some_and(passes)).collect())
    }

    fn matches(&self, matcher: &Matcher, value: &str) -> bool {
        match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => matcher.matches(value),
            MatchOp::Regex => self.pattern(&matcher.value.value, value),
            MatchOp::NotRegex => !self.pattern(&matcher.value.value, value),
        }
    }

    fn pattern(&self, pattern: &str, value: &str) -> bool {
        let mut known = self.patterns.borrow_mut();
        if !known.contains_key(pattern) {
            known.insert(pattern.to_owned(), crate::stack::re2::anchored(pattern).ok());
        }
        known.get(pattern).and_then(Option::as_ref).is_some_and(|r| r.is_match(value))
    }

    /// Reports a job or target that does not exist.
    fn misses_its_job(
        &self,
        selector: &Selector,
        jobs: &Option<Vec<usize>>,
        faults: &mut Vec<Fault>,
    ) -> bool {
        if jobs.as_ref().is_none_or(|j| !j.is_empty()) || self.jobs.is_empty() {
            return false;
        }
        if selector
            .name
            .as_ref()
            .is_some_and(|n| self.recorded.contains_key(&n.value) || self.is_alerts(&n.value))
        {
            return false;
        }
        let passes = |m: &&Matcher| {
            let label = m.label.value.as_str();
            !self.target_labels.contains(label)
                || self.jobs.iter().any(|j| j.passes(m, &|m, value| self.matches(m, value)))
        };
        // Where each matcher fits some target, it is their combination that fits none.
        let culprit = selector.matchers.iter().find(|m| !passes(m));
        // The label may come from the metric itself, with another value.
        let severity = if self.is_complete() { Severity::Error } else { Severity::Warning };
        let fault = match culprit {
            Some(m) if m.label.value == "job" => {
                let names = self.by_job.keys().copied();
                let fault =
                    Fault::new(m.value.range.clone(), format!("no scrape has the job `{}`", m.value.value));
                match nearest(&m.value.value, names.clone()) {
                    Some(near) => fault.label(format!("did you mean `{near}`?")),
                    None => fault.label(format!("the jobs are {}", list(names))),
                }
            }
            Some(m) => {
                if self
                    .exporters
                    .iter()
                    .any(|e| e.series.values().any(|s| s.labels().any(|l| l == m.label.value)))
                {
                    return false;
                }
                let values: BTreeSet<&str> =
                    self.jobs.iter().flat_map(|j| j.values(&m.label.value)).collect();
                let fault = Fault::new(
                    m.value.range.clone(),
                    format!("no target has `{}` {} `{}`", m.label.value, sign(m.op), m.value.value),
                );
                match nearest(&m.value.value, values.iter().copied()) {
                    Some(near) => fault.label(format!("did you mean `{near}`?")),
                    None => fault.label(format!("the values are {}", list(values))),
                }
            }
            None => Fault::new(selector.range.clone(), "no target has all of these labels")
                .label("each fits a target, but no target fits all"),
        };
        faults.push(fault.code(&M106).severity(severity));
        true
    }

    /// True where everything that is scraped has a catalogue.
    fn is_complete(&self) -> bool {
        !self.jobs.is_empty() && self.jobs.iter().all(|j| j.exporter.is_some() && !j.open)
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

    fn unknown_metric(&self, selector: &Selector, name: &str, jobs: &Option<Vec<usize>>) -> Fault {
        let range = selector.name.as_ref().map_or(selector.range.clone(), |n| n.range.clone());
        let may_have = self
            .exporters_of(jobs)
            .any(|e| e.catalog.open.iter().any(|open| name.starts_with(open.as_str())));
        let certain = !self.jobs.is_empty() && !self.has_unknown(jobs) && !may_have;
        let severity = if certain { Severity::Error } else { Severity::Warning };
        let elsewhere = self.exporters.iter().find(|e| e.series.contains_key(name));
        if let (Some(exporter), Some(_)) = (elsewhere, jobs) {
            let names: BTreeSet<&str> = exporter
                .jobs
                .iter()
                .filter_map(|j| self.jobs.get(*j))
                .map(|j| j.scrape.job.as_str())
                .collect();
            return Fault::new(range, format!("the selected job does not export `{name}`"))
                .label(format!("{} has it", list(names)))
                .code(&M104)
                .severity(severity);
        }
        let fault = Fault::new(range, format!("no scraped exporter has the metric `{name}`"));
        let known: Vec<&str> = self
            .exporters_of(jobs)
            .flat_map(|e| e.series.keys().map(String::as_str))
            .chain(self.recorded.keys().map(String::as_str))
            .chain(OF_EVERY_TARGET)
            .collect();
        let mut fault = match near_metric(name, known.iter().copied()) {
            Some(near) => fault.label(format!("did you mean `{near}`?")),
            None => fault.label("no catalogue has it"),
        };
        fault = self.exporters_of(jobs).take(3).fold(fault, |fault, e| match self.describe(e) {
            Some(note) => fault.note(note),
            None => fault,
        });
        if !certain {
            fault = fault.note(if may_have {
                "its exporter may have more metrics than its catalogue knows: `monprov catalog URL` makes one from what runs"
            } else if self.jobs.is_empty() {
                "this profile scrapes nothing"
            } else {
                "it may come from a scrape without a catalogue: `monprov catalog URL` makes one"
            });
        }
        fault.code(&M104).severity(severity)
    }

    /// `job `celery` scrapes prometheus-exporter-celery 0.11.2, which has 17 metrics: …`
    fn describe(&self, exporter: &Exporter<'_>) -> Option<String> {
        let job = exporter.jobs.first().and_then(|j| self.jobs.get(*j))?;
        let catalog = exporter.catalog;
        let version = catalog.version.as_deref().unwrap_or_default();
        let name = job.scrape.catalog.as_deref().or(job.service?.catalog.as_deref())?;
        let mut note = format!(
            "job `{}` scrapes {} {version}, which has {} metrics: monprov catalog show {name}",
            job.scrape.job,
            catalog.exporter,
            catalog.metrics.len(),
        );
        let image = job.service.and_then(|s| s.version);
        if let (Some(image), Some(made)) = (image, Version::parse(version))
            && image > made
        {
            note.push_str(&format!("; the catalogue is older than the image, {image}"));
        }
        Some(note)
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

impl<'a> Job<'a> {
    fn new(scrape: &'a Scrape, service: Option<&'a Service>) -> Self {
        let mut fixed: BTreeMap<&str, &str> =
            scrape.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        fixed.entry("job").or_insert(&scrape.job);
        let mut loose = BTreeSet::new();
        let mut open = false;
        for step in scrape.relabel.iter().chain(&scrape.metric_relabel) {
            loose.extend(step.target_label.as_deref());
            open |= matches!(step.action, Some(RelabelAction::LabelMap))
                || step.target_label.as_deref().is_some_and(|t| t == "__name__" || t.contains('$'));
        }
        if scrape.honor_labels {
            loose.extend(["job", "instance"]);
            loose.extend(scrape.labels.keys().map(String::as_str));
        }
        Job { scrape, service, fixed, loose, open, exporter: None }
    }

    /// The labels of its targets.
    fn labels(&self) -> Labels {
        let names = self.fixed.keys().chain(&self.loose).copied().chain(["instance"]);
        let mut labels = Labels::of(names);
        if self.open {
            labels.rest = Rest::Any;
        }
        labels
    }

    fn values(&self, label: &str) -> Vec<&str> {
        match self.fixed.get(label) {
            Some(value) => vec![value],
            None if label == "instance" => {
                let targets = self.scrape.targets.iter();
                targets.map(|t| t.instance.as_deref().unwrap_or(&t.address)).collect()
            }
            None => vec![],
        }
    }

    /// True where a target of this scrape can pass a matcher of a target's label.
    fn passes(&self, matcher: &Matcher, matches: &dyn Fn(&Matcher, &str) -> bool) -> bool {
        let label = matcher.label.value.as_str();
        if self.open || self.loose.contains(label) {
            return true;
        }
        match self.values(label).as_slice() {
            // Not a label of this target: the metric itself may have it.
            [] => label != "job" && label != "instance" || matches(matcher, ""),
            values => values.iter().any(|v| matches(matcher, v)),
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

/// The finding for a label that series surely lack.
pub(super) fn missing_label(
    label: &str,
    range: std::ops::Range<usize>,
    labels: &Labels,
    what: &str,
) -> Fault {
    let fault = Fault::new(range, format!("{what} has no label `{label}`")).code(&M105);
    match nearest(label, labels.names.iter().map(String::as_str)) {
        Some(near) => fault.label(format!("did you mean `{near}`?")),
        None if labels.names.is_empty() => fault.label("it has no labels"),
        None => fault.label(format!("it has {}", list(labels.names.iter().map(String::as_str)))),
    }
}

/// The known metric that was most likely meant: by letters, or with one word changed.
fn near_metric<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    // What `nearest` would compute in full for thousands of names, most are too far from.
    let far = (name.len() / 3).max(1);
    let letters = |text: &str| {
        text.bytes().fold([0_i32; 32], |mut bag, b| {
            if let Some(count) = bag.get_mut(usize::from(b % 32)) {
                *count += 1;
            }
            bag
        })
    };
    let own = letters(name);
    let similar = |k: &&str| {
        k.len().abs_diff(name.len()) <= far
            && own.iter().zip(letters(k)).map(|(a, b)| (a - b).unsigned_abs() as usize).sum::<usize>()
                <= 2 * far
    };
    let words: Vec<&str> = name.split('_').collect();
    nearest(name, known.clone().filter(similar)).or_else(|| {
        let differ = |k: &str| {
            let more = k.split('_').filter(|w| !words.contains(w)).count();
            let shared = k.split('_').count() - more;
            more + words.len().saturating_sub(shared)
        };
        known
            .filter(|_| words.len() > 2)
            .map(|k| (differ(k), k))
            .filter(|(n, _)| *n <= 2)
            .min()
            .map(|(_, k)| k)
    })
}

fn sign(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    }
}

/// `a, b and c`, at most eight of them.
fn list<'s>(names: impl IntoIterator<Item = &'s str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    names.sort();
    if names.len() > 8 {
        names.truncate(7);
        names.push("others".into());
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".into(),
    }
}
