//! Asks a Prometheus what the expressions of a profile's alerts gave.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Failure, Loaded};
use crate::activate::http::Client;
use crate::diagnostic::has_errors;
use crate::observe::distribution::{Rule, Sample, distribution};
use crate::observe::{Seen, Snapshot, Wanted, wanted};
use crate::profile::units::Duration;
use crate::stack::resolve;

/// Prometheus gives no more values of a series at once.
const AT_ONCE: i64 = 11_000;
/// No alert is looked at in more steps than this, where nobody says otherwise: 14 days by the
/// minute.
const STEPS: u64 = 20_160;
/// Prometheus itself gives up a query after two minutes.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(125);

/// What is to be asked, and whom.
#[derive(Debug)]
pub struct Question<'a> {
    /// `http://localhost:9090`, with a prefix where it has one.
    pub url: &'a str,
    pub window: Duration,
    /// By default how often the rule is evaluated, or more where that would be too often.
    pub step: Option<Duration>,
}

/// Asks about every alert with a threshold. `step`: told before each.
pub fn observe(
    loaded: Loaded,
    question: &Question<'_>,
    begun: &mut dyn FnMut(usize),
    step: &mut dyn FnMut(),
) -> Result<Snapshot, Failure> {
    let Loaded { profile, files, mut report, .. } = loaded;
    // Those are about to be written anew.
    report.findings.retain(|finding| finding.code != &crate::observe::M711);
    let (stack, findings) = resolve::resolve(&profile, &files);
    report.findings.extend(findings);
    if has_errors(&report.findings) {
        return Err(Failure::Refused(Box::new(report)));
    }
    let (wanted, left_out) = wanted(&stack);
    let prometheus =
        Prometheus { client: Client::with_deadline(DEADLINE)?, url: question.url.trim_end_matches('/') };
    let version = prometheus.version()?;
    let now = prometheus.now()?;
    let from = now - question.window.as_secs_f64();
    let time = |seconds: f64| Timestamp::from_second(seconds as i64).map(|time| time.to_string());
    let mut snapshot = Snapshot::new(&profile.name, version, time(from)?, time(now)?);
    snapshot.left_out = left_out;
    begun(wanted.len());
    for one in &wanted {
        step();
        match prometheus.seen(one, question, now)? {
            Some(seen) => {
                snapshot.alerts.insert(one.id.clone(), seen);
            }
            None => {
                snapshot.left_out.insert(one.id.clone(), "there is no data".to_owned());
            }
        }
    }
    Ok(snapshot)
}

struct Prometheus<'a> {
    client: Client,
    url: &'a str,
}

/// The HTTP API's envelope: <https://prometheus.io/docs/prometheus/latest/querying/api/>.
#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct BuildInfo {
    version: String,
}

impl Prometheus<'_> {
    fn ask<T: serde::de::DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<T> {
        let address = format!("{}/api/v1/{path}", self.url);
        let url = reqwest::Url::parse_with_params(&address, query)
            .map_err(|error| anyhow::anyhow!("--url is no address: {error} (http://HOST:PORT)"))?;
        // Without a password.
        let host = url.host_str().unwrap_or_default().to_owned();
        let host = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
        let shown = || format!("Prometheus at {host}");
        let answer = self
            .client
            .get(url.as_str())
            .map_err(|why| anyhow::anyhow!("{} can't be asked: {why}; --url names another", shown()))?;
        let envelope: Envelope<T> = serde_json::from_str(&answer.body).map_err(|_| {
            anyhow::anyhow!("{} answers {} and no document of its API: is it one?", shown(), answer.status)
        })?;
        match envelope {
            Envelope { error: Some(error), .. } => Err(anyhow::anyhow!("{} says: {error}", shown())),
            Envelope { data: Some(data), .. } => Ok(data),
            Envelope { .. } => Err(anyhow::anyhow!("{} answers without data", shown())),
        }
    }

    fn version(&self) -> anyhow::Result<String> {
        Ok(self.ask::<BuildInfo>("status/buildinfo", &[])?.version)
    }

    /// Its own time, in seconds.
    fn now(&self) -> anyhow::Result<f64> {
        let answer: Answer<(f64, String)> = self.ask("query", &[("query", "time()".to_owned())])?;
        Ok(answer.result.0)
    }

    /// `None`: there is no value in all that time.
    fn seen(&self, wanted: &Wanted, question: &Question<'_>, now: f64) -> anyhow::Result<Option<Seen>> {
        let window = question.window.0;
        let shortest = Duration((window / STEPS).next_multiple_of(1000)).as_secs_f64();
        let step_s = question.step.map_or(wanted.interval_s.max(shortest), Duration::as_secs_f64).max(1.0);
        // Counted in steps since 1970, so that asking again gives the same times again.
        let last = (now / step_s).floor() as i64;
        let first = last - (question.window.as_secs_f64() / step_s).floor() as i64;
        let mut series: BTreeMap<BTreeMap<String, String>, Vec<Sample>> = BTreeMap::new();
        let mut from = first;
        while from <= last {
            let to = last.min(from + AT_ONCE - 1);
            let at = |steps: i64| format!("{:.3}", steps as f64 * step_s);
            let query = [
                ("query", wanted.expr.clone()),
                ("start", at(from)),
                ("end", at(to)),
                ("step", format!("{step_s:.3}")),
            ];
            let found: Answer<Vec<Series>> = self
                .ask("query_range", &query)
                .map_err(|error| error.context(format!("asking about `{}`", wanted.id)))?;
            for Series { metric, values } in found.result {
                let samples = values.into_iter().filter_map(|(time, value)| {
                    let value: f64 = value.parse().ok()?;
                    (!value.is_nan()).then_some(((time / step_s).round() as i64, value))
                });
                series.entry(metric).or_default().extend(samples);
            }
            from = to + 1;
        }
        let rule =
            Rule { compares: wanted.compares, threshold: wanted.threshold, for_s: wanted.for_s, step_s };
        let found = distribution(&series, &rule);
        Ok((found.samples > 0).then(|| Seen {
            expr: wanted.expr.clone(),
            fires: wanted.compares.side,
            for_s: wanted.for_s,
            step_s,
            window_s: found.steps as f64 * step_s,
            series: series.len() as u64,
            samples: found.samples,
            infinite: found.infinite,
            max: found.max,
            quantiles: found.quantiles,
            would_fire: found.would_fire,
        }))
    }
}
