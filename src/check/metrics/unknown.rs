//! What to say of a metric that nothing exports.

use std::collections::BTreeSet;

use super::suggest::{list, near_metric};
use super::{Exporter, OF_EVERY_TARGET, Sources};
use crate::check::promql::{Fault, M104, Selector};
use crate::diagnostic::Severity;
use crate::stack::Version;

/// Where this many metrics are unknown, it is no slip of the pen any more, and thousands of
/// names need not be compared for each.
const MOST_SUGGESTIONS: usize = 50;

impl Sources<'_> {
    pub(super) fn unknown_metric(&self, selector: &Selector, name: &str, jobs: &Option<Vec<usize>>) -> Fault {
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
        let mut fault = match self.suggest(name, jobs) {
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

    fn suggest(&self, name: &str, jobs: &Option<Vec<usize>>) -> Option<String> {
        if let Some(known) = self.suggestions.borrow().get(name).filter(|_| jobs.is_none()) {
            return known.clone();
        }
        let count = self.suggested.get();
        if count >= MOST_SUGGESTIONS {
            return None;
        }
        self.suggested.set(count + 1);
        let known: Vec<&str> = self
            .exporters_of(jobs)
            .flat_map(|e| e.series.keys().map(String::as_str))
            .chain(self.recorded.keys().map(String::as_str))
            .chain(OF_EVERY_TARGET)
            .collect();
        let near = near_metric(name, known.into_iter()).map(str::to_owned);
        if jobs.is_none() {
            self.suggestions.borrow_mut().insert(name.to_owned(), near.clone());
        }
        near
    }
}
