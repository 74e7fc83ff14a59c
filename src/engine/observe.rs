//! Asks a Prometheus what the expressions of a profile's alerts gave.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Failure, Loaded, Report};
use crate::activate::http::{Client, MAX_SIZE};
use crate::diagnostic::{Finding, Place, has_errors};
use crate::observe::distribution::{Rule, Sample, distribution};
use crate::observe::{Seen, Snapshot, Wanted, wanted};
use crate::profile::Profile;
use crate::profile::codes::M015;
use crate::profile::units::Duration;
use crate::project::Project;
use crate::stack::{Stack, resolve};

/// Prometheus gives no more values of a series at once.
const AT_ONCE: i64 = 11_000;
/// Where that is too much for it: no shorter pieces than about this.
const AT_LEAST: i64 = 100;
/// No alert is looked at in more steps than this, where nobody says otherwise: 14 days by the
/// minute.
const STEPS: u64 = 20_160;
/// An alert of more values than these is left out: they have to be in memory at once.
const VALUES: usize = 50_000_000;
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
    let mut snapshot = Snapshot::new(&profile.name, version, time(from)?, time(now)?);
    snapshot.left_out = left_out;
    begun(wanted.len());
    for one in &wanted {
        step();
        match prometheus.seen(one, question, now) {
            Ok(Some(seen)) => {
                snapshot.alerts.insert(one.id.clone(), seen);
            }
            Ok(None) => {
                snapshot.left_out.insert(one.id.clone(), "there is no data".to_owned());
            }
            // That is about this alert alone; the others can be observed.
            Err(Unanswered::Refused(why)) => {
                snapshot.left_out.insert(one.id.clone(), why);
            }
            Err(Unanswered::TooMuch(why) | Unanswered::Failed(why)) => {
                return Err(anyhow::anyhow!("asking about `{}`: {why}", one.id).into());
            }
        }
    }
    if snapshot.alerts.is_empty() && !wanted.is_empty() {
        let reasons = snapshot.left_out.iter().map(|(id, why)| format!("\n  {id}: {why}"));
        return Err(anyhow::anyhow!(
            "{} knows nothing of the alerts of `{}`, so nothing is written; --url names another{}",
            prometheus.shown(),
            profile.name,
            reasons.collect::<String>()
        )
        .into());
    }
    Ok(snapshot)
}

fn time(seconds: f64) -> Result<String, jiff::Error> {
    Ok(Timestamp::from_second(seconds as i64)?.to_string())
}

/// A profile's snapshot, read where there is a plugin that it is for.
pub(super) fn read(project: &Project, profile: &Profile, report: &mut Report) -> Option<(String, Snapshot)> {
    if profile.settings.plugins.is_empty() {
        return None;
    }
    let read = project.beside_if_there(&Snapshot::file(&profile.name)).transpose()?;
    let (name, text) = match read {
        Ok(read) => read,
        Err(why) => {
            report.findings.push(Finding::error(&M015, Place::Profile, why));
            return None;
        }
    };
    let snapshot = Snapshot::parse(&name, &text);
    report.sources.push((name.clone(), text));
    match snapshot {
        Ok(snapshot) => {
            report.findings.extend(snapshot.strange_to(&name, &profile.name));
            Some((name, snapshot))
        }
        Err(finding) => {
            report.findings.push(*finding);
            None
        }
    }
}

/// What plugins get of what was observed.
pub(super) fn seen(
    observed: Option<&(String, Snapshot)>,
    stack: &Stack,
    report: &mut Report,
) -> BTreeMap<String, Seen> {
    let (seen, findings) = observed.map(|(_, snapshot)| snapshot.of(stack)).unwrap_or_default();
    report.findings.extend(findings);
    seen
}

/// Why there is no answer.
enum Unanswered {
    /// Prometheus can't evaluate this expression.
    Refused(String),
    /// A shorter time may have one.
    TooMuch(String),
    Failed(String),
}

impl From<Unanswered> for anyhow::Error {
    fn from(why: Unanswered) -> Self {
        let (Unanswered::Refused(why) | Unanswered::TooMuch(why) | Unanswered::Failed(why)) = why;
        anyhow::anyhow!(why)
    }
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
    #[serde(rename = "errorType")]
    kind: Option<String>,
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
    fn ask<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Unanswered> {
        let address = format!("{}/api/v1/{path}", self.url);
        let url = reqwest::Url::parse_with_params(&address, query).map_err(|error| {
            Unanswered::Failed(format!("--url is no address: {error} (http://HOST:PORT)"))
        })?;
        let shown = self.shown();
        let answer = self.client.get(url.as_str()).map_err(|why| {
            Unanswered::Failed(format!("{shown} can't be asked: {why}; --url names another"))
        })?;
        if answer.body.len() > MAX_SIZE {
            return Err(Unanswered::TooMuch(format!(
                "{shown} answers with more than {} MiB",
                MAX_SIZE >> 20
            )));
        }
        let envelope: Envelope<T> = serde_json::from_str(&answer.body).map_err(|_| {
            let status = answer.status;
            Unanswered::Failed(format!("{shown} answers {status} and no document of its API: is it one?"))
        })?;
        match envelope {
            Envelope { error: Some(error), kind, .. } => {
                let why = format!("{shown} says: {error}");
                Err(match kind.as_deref() {
                    Some("timeout") => Unanswered::TooMuch(why),
                    Some("execution") if error.contains("too many samples") => Unanswered::TooMuch(why),
                    Some("execution" | "bad_data") => {
                        Unanswered::Refused(format!("Prometheus says: {error}"))
                    }
                    _ => Unanswered::Failed(why),
                })
            }
            Envelope { data: Some(data), .. } => Ok(data),
            Envelope { .. } => Err(Unanswered::Failed(format!("{shown} answers without data"))),
        }
    }

    /// For people, without a password.
    fn shown(&self) -> String {
        let url = reqwest::Url::parse(self.url).ok();
        let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        let port = url.as_ref().and_then(reqwest::Url::port).map_or(String::new(), |port| format!(":{port}"));
        format!("Prometheus at {host}{port}")
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
    fn seen(&self, wanted: &Wanted, question: &Question<'_>, now: f64) -> Result<Option<Seen>, Unanswered> {
        let window = question.window.0;
        let shortest = Duration((window / STEPS).next_multiple_of(1000)).as_secs_f64();
        let step_s = question.step.map_or(wanted.interval_s.max(shortest), Duration::as_secs_f64).max(1.0);
        // Counted in steps since 1970, so that asking again gives the same times again.
        let last = (now / step_s).floor() as i64;
        let first = last - (question.window.as_secs_f64() / step_s).floor() as i64;
        let mut series: BTreeMap<BTreeMap<String, String>, Vec<Sample>> = BTreeMap::new();
        let (mut from, mut at_once, mut values) = (first, AT_ONCE, 0);
        while from <= last {
            let to = last.min(from + at_once - 1);
            let at = |steps: i64| format!("{:.3}", steps as f64 * step_s);
            let query = [
                ("query", wanted.expr.clone()),
                ("start", at(from)),
                ("end", at(to)),
                ("step", format!("{step_s:.3}")),
            ];
            // The limit of Prometheus is for a series; many of them are too much all the same.
            let found: Answer<Vec<Series>> = match self.ask("query_range", &query) {
                Err(Unanswered::TooMuch(_)) if at_once > AT_LEAST => {
                    at_once /= 2;
                    continue;
                }
                found => found?,
            };
            values += found.result.iter().map(|series| series.values.len()).sum::<usize>();
            if values > VALUES {
                let millions = VALUES / 1_000_000;
                return Err(Unanswered::Refused(format!(
                    "there are more than {millions} million values: a longer --step or a shorter --window has fewer"
                )));
            }
            for Series { metric, values } in found.result {
                let samples = values.into_iter().filter_map(|(time, value)| {
                    let value: f64 = value.parse().ok()?;
                    (!value.is_nan()).then_some(((time / step_s).round() as i64, value))
                });
                series.entry(metric).or_default().extend(samples);
            }
            from = to + 1;
        }
        let Wanted { compares, threshold, for_s, keep_firing_s, .. } = *wanted;
        let rule = Rule { compares, threshold, for_s, keep_firing_s, step_s };
        let found = distribution(&series, &rule);
        Ok((found.samples > 0).then(|| Seen {
            expr: wanted.expr.clone(),
            fires: wanted.compares.side,
            for_s,
            keep_firing_s,
            step_s,
            since: time(found.first as f64 * step_s).unwrap_or_default(),
            window_s: (found.last - found.first) as f64 * step_s,
            series: series.len() as u64,
            samples: found.samples,
            infinite: found.infinite,
            max: found.max,
            quantiles: found.quantiles,
            would_fire: found.would_fire,
        }))
    }
}
