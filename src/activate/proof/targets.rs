//! Scrape targets: none that was up before may be down because of the switch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::prometheus::Seen;
use super::{Check, Look, model};
use crate::profile::units;
use crate::stack::{Runtime, ServiceKind};

/// No target is waited for longer than this, however rarely it is scraped.
const LONGEST: Duration = Duration::from_secs(60);

/// Prometheus looks for changed targets every 5 s.
const DISCOVERY: Duration = Duration::from_secs(8);

/// A service needs a moment before it can be scraped.
const START: Duration = Duration::from_secs(5);

/// A target as `/api/v1/targets` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub health: Health,
    /// `host:port`
    pub address: String,
    pub last_scrape: String,
    pub error: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Up,
    Down,
    /// Not scraped yet.
    Unknown,
}

impl Target {
    /// By job and instance.
    pub(super) fn read_all(answer: &Value) -> BTreeMap<(String, String), Target> {
        let targets = answer.pointer("/data/activeTargets").and_then(Value::as_array);
        let read = |target: &Value| {
            let text = |at: &str| target.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            let found = Target {
                health: match text("/health").as_str() {
                    "up" => Health::Up,
                    "down" => Health::Down,
                    _ => Health::Unknown,
                },
                address: text("/discoveredLabels/__address__"),
                last_scrape: text("/lastScrape"),
                error: text("/lastError"),
            };
            ((text("/labels/job"), text("/labels/instance")), found)
        };
        targets.into_iter().flatten().map(read).collect()
    }
}

/// The labels of a target before any relabelling: where and how it is scraped.
pub(super) type Labels = BTreeMap<String, String>;

/// What a Prometheus has found for each job, also targets that relabelling has dropped.
pub(super) fn found(answer: &Value) -> BTreeMap<String, Vec<Labels>> {
    let mut found: BTreeMap<String, Vec<Labels>> = BTreeMap::new();
    for list in ["/data/activeTargets", "/data/droppedTargets"] {
        for target in answer.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            let labels = target.get("discoveredLabels").map(labels).unwrap_or_default();
            found.entry(labels.get("job").cloned().unwrap_or_default()).or_default().push(labels);
        }
    }
    found
}

fn labels(object: &Value) -> Labels {
    let labels = object.as_object().into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

pub(super) fn check(look: &Look<'_>, checks: &mut Vec<Check>) {
    let Some((prometheus, _)) = look.bundle.service_of(ServiceKind::Prometheus) else { return };
    let Some(Ok(seen)) = &look.seen.prometheus else { return };
    let before = look.before.seen.prometheus.as_ref().and_then(|b| b.as_ref().ok());
    let jobs = |configuration: &str| jobs(&model::read(configuration).unwrap_or_default());
    let now = jobs(&seen.configuration);
    let then = before.map(|b| jobs(&b.configuration)).unwrap_or_default();
    undiscovered(look, prometheus, seen, &now, checks);
    let mut up = 0;
    for (key, target) in &seen.targets {
        let (job, instance) = key;
        let what = format!("target {instance} of the job {job}");
        let was = before.and_then(|b| b.targets.get(key));
        let service = own_service(look, &target.address);
        let job_changed = now.get(job) != then.get(job);
        let touched = job_changed
            || was.is_none()
            || look.started(prometheus)
            || service.is_some_and(|name| look.started(name));
        // Scraped since: another time than at the first look after the switch.
        let first = look.first.and_then(|first| first.prometheus.as_ref()?.as_ref().ok());
        let fresh = !touched
            || look.started(prometheus)
            || first.is_some_and(|first| {
                first.targets.get(key).is_none_or(|first| first.last_scrape != target.last_scrape)
            });
        let (interval, timeout) = now.get(job).map(timing).unwrap_or_default();
        let patience = (interval + timeout + START).min(LONGEST);
        let was_up = was.is_some_and(|was| was.health == Health::Up);
        let error = if target.error.is_empty() { String::new() } else { format!(": {}", target.error) };
        checks.push(match target.health {
            _ if look.at_rest && target.health == Health::Down => {
                Check::note(prometheus, &format!("{what} is down{error}"))
            }
            _ if look.at_rest => {
                up += 1;
                continue;
            }
            Health::Unknown => Check::hoping(prometheus, &format!("{what} was not scraped yet"), patience),
            _ if !fresh => Check::hoping(prometheus, &format!("{what} was not scraped again yet"), patience),
            Health::Up => {
                up += 1;
                continue;
            }
            Health::Down if was_up && (touched || service.is_some()) => {
                Check::waiting(prometheus, &format!("{what} was up and is down{error}"), patience)
            }
            Health::Down if was_up => {
                Check::note(prometheus, &format!("{what} went down; the switch has not touched it{error}"))
            }
            Health::Down if was.is_some() && !touched => {
                Check::note(prometheus, &format!("{what} is down, as before{error}"))
            }
            Health::Down => Check::hoping(prometheus, &format!("{what} is down{error}"), patience),
        });
    }
    checks.push(Check::proved(prometheus, &format!("has {up} of {} targets up", seen.targets.len())));
}

/// Prometheus takes some seconds to find the targets of a changed configuration; until then it
/// shows the old ones, and scrapes them as it did.
fn undiscovered(
    look: &Look<'_>,
    prometheus: &str,
    seen: &Seen,
    jobs: &BTreeMap<String, Value>,
    checks: &mut Vec<Check>,
) {
    if look.at_rest {
        return;
    }
    for (job, scrape) in jobs {
        let found = seen.found.get(job).map(Vec::as_slice).unwrap_or_default();
        let there = |wanted: &Labels| found.iter().any(|found| has(found, wanted));
        if let Some(missing) = wanted(scrape).into_iter().find(|wanted| !there(wanted)) {
            let address = missing.get(ADDRESS).map(String::as_str).unwrap_or_default();
            let what = format!("target {address} of the job {job} is not there yet");
            checks.push(Check::hoping(prometheus, &what, DISCOVERY));
        }
    }
}

const ADDRESS: &str = "__address__";

/// How a job's configuration says that a target is scraped, and the label that shows it.
const SETTINGS: [(&str, &str); 4] = [
    ("scheme", "__scheme__"),
    ("metrics_path", "__metrics_path__"),
    ("scrape_interval", "__scrape_interval__"),
    ("scrape_timeout", "__scrape_timeout__"),
];

/// The targets of a job, as they will be found.
fn wanted(scrape: &Value) -> Vec<Labels> {
    let settings = SETTINGS
        .iter()
        .filter_map(|(key, label)| Some(((*label).to_owned(), scrape.get(key)?.as_str()?.to_owned())));
    let settings: Labels = settings.collect();
    let groups = scrape.get("static_configs").and_then(Value::as_array).into_iter().flatten();
    let targets = groups.flat_map(|group| {
        let own = group.get("labels").map(labels).unwrap_or_default();
        let addresses = group.get("targets").and_then(Value::as_array).into_iter().flatten();
        addresses.filter_map(Value::as_str).map(move |address| (own.clone(), address.to_owned()))
    });
    let with = |(own, address): (Labels, String)| {
        settings.clone().into_iter().chain(own).chain([(ADDRESS.to_owned(), address)]).collect()
    };
    targets.map(with).collect()
}

/// Older versions show less of the settings.
fn has(found: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(name, value)| match found.get(name) {
        Some(found) => found == value,
        None => value.is_empty() || SETTINGS.iter().any(|(_, label)| label == name),
    })
}

/// The scrape configurations of a Prometheus, by job.
fn jobs(configuration: &Value) -> BTreeMap<String, Value> {
    let scrapes = configuration.get("scrape_configs").and_then(Value::as_array);
    let named = |scrape: &Value| Some((scrape.get("job_name")?.as_str()?.to_owned(), scrape.clone()));
    scrapes.into_iter().flatten().filter_map(named).collect()
}

fn timing(scrape: &Value) -> (Duration, Duration) {
    let read = |key: &str| {
        let text = scrape.get(key).and_then(Value::as_str)?;
        text.parse::<units::Duration>().ok().map(|d| Duration::from_millis(d.0))
    };
    (read("scrape_interval").unwrap_or_default(), read("scrape_timeout").unwrap_or_default())
}

/// The service of the stack that listens at an address.
fn own_service<'a>(look: &Look<'a>, address: &str) -> Option<&'a str> {
    let addresses = |name: &str, port: u16| -> BTreeSet<String> {
        [Runtime::Process, Runtime::Compose].iter().map(|r| r.address(name, port)).collect()
    };
    let services = look.bundle.manifest.services.iter();
    services
        .filter_map(|(name, service)| Some((name.as_str(), service.port?)))
        .find(|(name, port)| addresses(name, *port).contains(address))
        .map(|(name, _)| name)
}
