//! Which targets a selector means, by the labels that targets have.

use std::collections::BTreeSet;

use super::Sources;
use super::job::Job;
use super::suggest::list;
use crate::check::promql::{Fault, M106, Matcher, Selector};
use crate::diagnostic::{Severity, nearest};
use crate::stack::MatchOp;

impl Sources<'_> {
    /// The scrapes whose targets can pass the matchers; `None`: all.
    pub(super) fn jobs_of(&self, selector: &Selector) -> Option<Vec<usize>> {
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

    pub(super) fn matches(&self, matcher: &Matcher, value: &str) -> bool {
        match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => matcher.matches(value),
            MatchOp::Regex => self.pattern(&matcher.value.value, value),
            MatchOp::NotRegex => !self.pattern(&matcher.value.value, value),
        }
    }

    pub(super) fn pattern(&self, pattern: &str, value: &str) -> bool {
        let mut known = self.patterns.borrow_mut();
        if !known.contains_key(pattern) {
            known.insert(pattern.to_owned(), crate::stack::re2::anchored(pattern).ok());
        }
        known.get(pattern).and_then(Option::as_ref).is_some_and(|r| r.is_match(value))
    }

    /// Reports a job or target that does not exist.
    pub(super) fn misses_its_job(
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
    pub(super) fn is_complete(&self) -> bool {
        !self.jobs.is_empty() && self.jobs.iter().all(|j| j.exporter.is_some() && !j.open)
    }
}

fn sign(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    }
}
