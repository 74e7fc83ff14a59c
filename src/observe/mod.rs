//! What was seen of the expressions of alerts in the weeks before a build: a snapshot, kept
//! beside the profiles and checked in, so that a build reads it as it reads a layer and asks
//! nobody. `monprov observe` writes it (`engine::observe`).

pub mod distribution;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::promql::threshold::{Comparison, Side, comparison};
use crate::diagnostic::{Code, Finding, Place};
use crate::stack::change::Editor;
use crate::stack::{Rule, Source, Stack};

use distribution::Fired;

/// The version of the format.
const SCHEMA: u32 = 1;

/// What a Prometheus answered. Times are RFC 3339, in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    pub schema: u32,
    pub profile: String,
    /// The version of the Prometheus that answered.
    pub prometheus: String,
    pub from: String,
    pub to: String,
    /// By the alert's id.
    pub alerts: BTreeMap<String, Seen>,
    /// Why alerts with a threshold are not in it.
    pub left_out: BTreeMap<String, String>,
}

/// What was seen of an alert's expression, over all its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// What was asked for: the expression with a threshold that every value is beyond.
    pub expr: String,
    pub fires: Side,
    /// The rule's `for`, in seconds.
    pub for_s: f64,
    /// Its `keep_firing_for`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_firing_s: f64,
    /// The time from one value to the next, in seconds.
    pub step_s: f64,
    /// When the first value was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// The time from the first value to the last, in seconds.
    pub window_s: f64,
    pub series: u64,
    pub samples: u64,
    /// How many of them were infinite; the rest knows only the others.
    pub infinite: u64,
    pub max: Option<f64>,
    /// Quantile (0 to 1) and value, rising; in the file a table.
    #[serde(with = "quantiles")]
    pub quantiles: Vec<(f64, f64)>,
    /// Thresholds, the profile's among them, in rising order.
    pub would_fire: Vec<Fired>,
}

fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

/// `"0.99": 640.0`, a line each.
mod quantiles {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &[(f64, f64)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(all.iter().map(|(q, value)| (q.to_string(), value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(f64, f64)>, D::Error> {
        let table = BTreeMap::<String, f64>::deserialize(from)?;
        let entry = |(q, value): (String, f64)| match q.parse::<f64>() {
            Ok(q) if (0.0..=1.0).contains(&q) => Ok((q, value)),
            _ => Err(D::Error::custom(format!("`{q}` is no quantile, from 0 to 1"))),
        };
        let mut all = table.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(all)
    }
}

/// An alert whose threshold can be observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub id: String,
    pub expr: String,
    pub compares: Comparison,
    pub threshold: f64,
    pub for_s: f64,
    pub keep_firing_s: f64,
    /// How often Prometheus evaluates it, in seconds.
    pub interval_s: f64,
}

/// The alerts of a stack whose threshold can be observed, and by id why others can't.
pub fn wanted(stack: &Stack) -> (Vec<Wanted>, BTreeMap<String, String>) {
    let (mut wanted, mut left_out) = (vec![], BTreeMap::new());
    let mut stack = stack.clone();
    let fallback = stack.prometheus.evaluation_interval;
    let editor = Editor::new(&mut stack);
    for (id, group, rule) in editor.alerts() {
        let Some(threshold) = rule.alert().and_then(|alert| alert.threshold) else { continue };
        match observed(rule) {
            Ok((compares, expr, Times { for_s, keep_firing_s })) => wanted.push(Wanted {
                id: id.to_owned(),
                expr,
                compares,
                threshold: threshold.0,
                for_s,
                keep_firing_s,
                interval_s: group.interval.unwrap_or(fallback).as_secs_f64(),
            }),
            Err(why) => {
                left_out.insert(id.to_owned(), why.to_owned());
            }
        }
    }
    (wanted, left_out)
}

/// How long a rule waits before it fires and before it ends.
#[derive(Clone, Copy, PartialEq)]
struct Times {
    for_s: f64,
    keep_firing_s: f64,
}

/// What of a rule is observed: the side on which it fires, what is asked for, and its times.
fn observed(rule: &Rule) -> Result<(Comparison, String, Times), &'static str> {
    let compares = comparison(&rule.expr)?;
    let expr = rule.expr.fill(compares.side.open()).ok_or("its expression holds a secret")?;
    let alert = rule.alert();
    let times = Times {
        for_s: alert.map(|alert| alert.r#for.as_secs_f64()).unwrap_or_default(),
        keep_firing_s: alert.map(|alert| alert.keep_firing_for.as_secs_f64()).unwrap_or_default(),
    };
    Ok((compares, expr, times))
}

impl Snapshot {
    /// The file of a profile's snapshot, relative to the folder of profiles.
    pub fn file(profile: &str) -> String {
        format!("observed/{profile}.json")
    }

    pub fn new(profile: &str, prometheus: String, from: String, to: String) -> Self {
        let (alerts, left_out) = (BTreeMap::new(), BTreeMap::new());
        Snapshot { schema: SCHEMA, profile: profile.to_owned(), prometheus, from, to, alerts, left_out }
    }

    /// As it lies beside the profiles: an alert's numbers in a few lines each, for a review.
    pub fn to_text(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Reads `file`, or says where it is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Box<Finding>> {
        let again = "`monprov observe` writes it anew";
        let refuse = |range, message: String| {
            let place = Place::File { file: file.to_owned(), range };
            Box::new(Finding::error(&M711, place, message).note(again))
        };
        let snapshot: Snapshot = serde_json::from_str(text).map_err(|error| {
            let start =
                text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
            let start = text.floor_char_boundary(start + error.column().saturating_sub(1));
            let end = text.ceil_char_boundary((start + 1).min(text.len()));
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            refuse(start..end, format!("observations that can't be read: {what}"))
        })?;
        let wrong = |what: String| Err(refuse(0..text.len().min(1), what));
        if snapshot.schema != SCHEMA {
            return wrong(format!(
                "observations of schema {}, and this release knows {SCHEMA}",
                snapshot.schema
            ));
        }
        let rising = |seen: &Seen| seen.quantiles.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        if let Some((id, _)) = snapshot.alerts.iter().find(|(_, seen)| !rising(seen)) {
            return wrong(format!("the quantiles of `{id}` do not rise"));
        }
        Ok(snapshot)
    }

    /// A word where it was made for another profile than the one that is built.
    pub fn strange_to(&self, file: &str, profile: &str) -> Option<Finding> {
        let place = Place::File { file: file.to_owned(), range: 0..1 };
        let message = format!("these are observations of `{}`, not of `{profile}`", self.profile);
        let finding = Finding::warning(&M713, place, message);
        (self.profile != profile)
            .then(|| finding.note(format!("if that is not on purpose: monprov observe {profile}")))
    }

    /// What holds for a stack: of alerts that it still has as they were observed.
    pub fn of(&self, stack: &Stack) -> (BTreeMap<String, Seen>, Vec<Finding>) {
        let (mut holds, mut findings) = (BTreeMap::new(), vec![]);
        let mut stack = stack.clone();
        let editor = Editor::new(&mut stack);
        for (id, seen) in &self.alerts {
            let Some(rule) = editor.alert(id) else { continue };
            let times = Times { for_s: seen.for_s, keep_firing_s: seen.keep_firing_s };
            match observed(rule) {
                Ok((compares, expr, now))
                    if (compares.side, &expr, now) == (seen.fires, &seen.expr, times) =>
                {
                    holds.insert(id.clone(), seen.clone());
                }
                _ => {
                    let message = format!(
                        "`{id}` is not the alert any more that was observed; no plugin gets what was seen"
                    );
                    let kept = match seen.keep_firing_s {
                        0.0 => String::new(),
                        seconds => format!(", kept firing for {seconds} s"),
                    };
                    findings.push(
                        Finding::warning(&M712, place(rule), message)
                            .note(format!("observed: {} for {} s{kept}", seen.expr, seen.for_s))
                            .note(format!("observe it again: monprov observe {}", self.profile)),
                    );
                }
            }
        }
        (holds, findings)
    }
}

fn place(rule: &Rule) -> Place {
    match &rule.source {
        Source::Setting(path) => Place::setting(path.join("expr")),
        Source::File { .. } => Place::Profile,
    }
}

pub static M711: Code = Code {
    id: "M711",
    title: "observations that can't be read",
    explain:
        "`profiles/observed/PROFILE.json` is written by `monprov observe PROFILE` and checked in. It is not
meant to be changed by hand.",
};

pub static M712: Code = Code {
    id: "M712",
    title: "observations of another alert",
    explain: "What was observed is held against what the profile has now: where the expression, `for` or
`keep_firing_for` of an alert has changed since, no plugin gets what was seen of it. `monprov observe PROFILE` asks again.",
};

pub static M713: Code = Code {
    id: "M713",
    title: "observations of another profile",
    explain:
        "The snapshot beside a profile was made for another one, whose Prometheus sees other things. If it
was copied on purpose, it counts all the same. `monprov observe PROFILE` asks the profile's own Prometheus.",
};

pub static CODES: &[&Code] = &[&M711, &M712, &M713];
