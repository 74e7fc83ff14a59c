//! What exporters export: a catalogue per exporter and version, made from a real one.
//!
//! The built-in catalogues in `data/` are generated (`tests/catalogs.rs` makes them again and
//! compares); a project adds its own as files, made by `monprov catalog URL`. A catalogue is
//! read only when a scrape uses it.

mod exposition;

pub use exposition::{ExpositionError, from_exposition};

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::promql::M120;
use crate::diagnostic::{Finding, Place};
use crate::stack::Service;

/// The metrics of one exporter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    pub exporter: String,
    /// The version that the catalogue was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The command that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub made_by: String,
    /// Beginnings of names under which there can be more metrics and labels than stand here,
    /// since they depend on what is watched and on flags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// Options of the exporter that set the buckets of a histogram.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bucket_options: BTreeMap<String, BucketOption>,
    pub metrics: BTreeMap<String, Metric>,
}

/// Where a histogram's buckets are set: `--buckets 1,10,60` or a variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketOption {
    pub argument: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// Without those of the target, `le` and `quantile`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The finite upper bounds of a histogram.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    #[default]
    Untyped,
}

/// A time series family as PromQL names it: a histogram has three.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    pub metric: &'a Metric,
    /// The name of the family, without `_bucket`.
    pub family: &'a str,
    pub part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    Bucket,
    Sum,
    Count,
}

impl Series<'_> {
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let own = match (self.part, self.metric.kind) {
            (Part::Bucket, _) => Some("le"),
            (Part::Whole, Kind::Summary) => Some("quantile"),
            _ => None,
        };
        self.metric.labels.iter().map(String::as_str).chain(own)
    }
}

impl Catalog {
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As it is committed: stable, one metric a line.
    pub fn to_json(&self) -> String {
        let head = serde_json::to_string_pretty(&Catalog { metrics: BTreeMap::new(), ..self.clone() });
        let mut text = head.unwrap_or_default();
        text.truncate(text.trim_end_matches(['}', '{', '\n', ' ']).len());
        text.push_str(" {");
        for (index, (name, metric)) in self.metrics.iter().enumerate() {
            let metric = serde_json::to_string(metric).unwrap_or_default();
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            text.push_str(&format!("    \"{name}\": {metric}"));
        }
        text.push_str("\n  }\n}\n");
        text
    }

    /// Every name that PromQL can select.
    pub fn series(&self) -> impl Iterator<Item = (String, Series<'_>)> {
        self.metrics.iter().flat_map(|(family, metric)| {
            let parts: &[(Part, &str)] = match metric.kind {
                Kind::Histogram => &[(Part::Bucket, "_bucket"), (Part::Sum, "_sum"), (Part::Count, "_count")],
                Kind::Summary => &[(Part::Whole, ""), (Part::Sum, "_sum"), (Part::Count, "_count")],
                _ => &[(Part::Whole, "")],
            };
            parts.iter().map(move |(part, suffix)| {
                (format!("{family}{suffix}"), Series { metric, family, part: *part })
            })
        })
    }

    /// The finite buckets of a histogram as a service sets them; `None` where it sets them
    /// in a way that can't be read.
    pub fn buckets(&self, family: &str, service: Option<&Service>) -> Option<Vec<f64>> {
        let from_catalog = || self.metrics.get(family).map(|m| m.buckets.clone()).filter(|b| !b.is_empty());
        let (Some(option), Some(service)) = (self.bucket_options.get(family), service) else {
            return from_catalog();
        };
        let mut args = service.args.iter();
        let mut written = None;
        while let Some(arg) = args.next() {
            if *arg == option.argument {
                written = args.next().cloned();
            } else if let Some(value) = arg.strip_prefix(&option.argument).and_then(|a| a.strip_prefix('=')) {
                written = Some(value.to_owned());
            }
        }
        if written.is_none()
            && let Some(variable) = option.variable.as_ref().and_then(|v| service.environment.get(v))
        {
            written = Some(variable.fill("")?);
        }
        match written {
            None => from_catalog(),
            Some(list) => {
                let numbers: Option<Vec<f64>> = list.split(',').map(|n| n.trim().parse().ok()).collect();
                numbers.map(|mut n| {
                    n.retain(|b| b.is_finite());
                    n.sort_by(f64::total_cmp);
                    n
                })
            }
        }
    }

    /// Takes over what another scrape of the same exporter showed.
    pub fn merge(&mut self, other: Catalog) {
        for (name, metric) in other.metrics {
            let known = self.metrics.entry(name).or_default();
            if known.kind == Kind::Untyped {
                known.kind = metric.kind;
            }
            if known.help.is_empty() {
                known.help = metric.help;
            }
            known.labels.extend(metric.labels);
            known.labels.sort();
            known.labels.dedup();
            known.buckets.extend(metric.buckets);
            known.buckets.sort_by(f64::total_cmp);
            known.buckets.dedup();
        }
    }
}

/// The catalogues of a build: the built-in ones and the project's.
#[derive(Debug, Default)]
pub struct Catalogs {
    own: BTreeMap<String, Catalog>,
}

struct Builtin {
    name: &'static str,
    text: &'static str,
    read: OnceLock<Catalog>,
}

const fn builtin(name: &'static str, text: &'static str) -> Builtin {
    Builtin { name, text, read: OnceLock::new() }
}

static BUILTIN: [Builtin; 7] = [
    builtin("alertmanager", include_str!("data/alertmanager.json")),
    builtin("celery-exporter", include_str!("data/celery-exporter.json")),
    builtin("node_exporter", include_str!("data/node_exporter.json")),
    builtin("prometheus", include_str!("data/prometheus.json")),
    builtin("prometheus-exporter-celery", include_str!("data/prometheus-exporter-celery.json")),
    builtin("redis_exporter", include_str!("data/redis_exporter.json")),
    builtin("relay", include_str!("data/relay.json")),
];

impl Catalogs {
    pub fn is_builtin(name: &str) -> bool {
        BUILTIN.iter().any(|b| b.name == name)
    }

    pub fn builtin_names() -> Vec<&'static str> {
        BUILTIN.iter().map(|b| b.name).collect()
    }

    /// The built-in catalogues and the project's own: the text of each by the name that
    /// profiles use it by.
    pub fn with_files(files: BTreeMap<String, String>) -> (Self, Vec<Finding>) {
        let mut catalogs = Self::default();
        let mut findings = vec![];
        for (name, text) in files {
            match Catalog::from_json(&text) {
                Ok(catalog) => drop(catalogs.own.insert(name, catalog)),
                Err(error) => {
                    let at =
                        text.lines().take(error.line().saturating_sub(1)).map(|l| l.len() + 1).sum::<usize>();
                    let at = at + error.column().saturating_sub(1);
                    let place = Place::File { file: name.clone(), range: at..at + 1 };
                    findings.push(
                        Finding::error(&M120, place, format!("`{name}` is no catalogue: {error}"))
                            .note("`monprov catalog URL` makes one from a running exporter"),
                    );
                }
            }
        }
        (catalogs, findings)
    }

    pub fn get(&self, name: &str) -> Option<&Catalog> {
        if let Some(own) = self.own.get(name) {
            return Some(own);
        }
        let builtin = BUILTIN.iter().find(|b| b.name == name)?;
        // A test reads them all, so none can be broken.
        Some(builtin.read.get_or_init(|| Catalog::from_json(builtin.text).unwrap_or_default()))
    }
}
