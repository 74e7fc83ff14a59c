//! A scrape, seen from its series: which labels its targets have, with which values.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::promql::{Labels, Matcher, Rest};
use crate::profile::settings::RelabelAction;
use crate::stack::{Scrape, Service};

/// A scrape.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) scrape: &'a Scrape,
    pub(super) service: Option<&'a Service>,
    /// `job` and the scrape's own labels.
    pub(super) fixed: BTreeMap<&'a str, &'a str>,
    /// Labels that relabelling or the target itself may set to anything.
    pub(super) loose: BTreeSet<&'a str>,
    /// Relabelling may make any label, or metrics are renamed.
    pub(super) open: bool,
    pub(super) exporter: Option<usize>,
}

impl<'a> Job<'a> {
    pub(super) fn new(scrape: &'a Scrape, service: Option<&'a Service>) -> Self {
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
    pub(super) fn labels(&self) -> Labels {
        let names = self.fixed.keys().chain(&self.loose).copied().chain(["instance"]);
        let mut labels = Labels::of(names);
        if self.open {
            labels.rest = Rest::Any;
        }
        labels
    }

    pub(super) fn values(&self, label: &str) -> Vec<&str> {
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
    pub(super) fn passes(&self, matcher: &Matcher, matches: &dyn Fn(&Matcher, &str) -> bool) -> bool {
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
