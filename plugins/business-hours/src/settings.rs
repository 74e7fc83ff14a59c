//! The settings: their schema, and what a schema can't say.

use std::collections::{BTreeMap, BTreeSet};

use monprov_plugin::{Alert, Problem};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::window::{Window, offset};

/// The label by which routes with time intervals find their alerts.
pub const LABEL: &str = "hours";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How far local time is from UTC, all the year: +08:00. Prometheus knows no time zones.
    #[serde(default = "utc")]
    utc_offset: String,
    /// Times of the week by name.
    #[serde(default)]
    windows: BTreeMap<String, Times>,
    /// What is different about which alert, by its id.
    pub alerts: BTreeMap<String, When>,
}

/// As in the profile's `[intervals]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// `{ from = "09:00", to = "18:00" }`; none: the whole day.
    #[serde(default)]
    pub times: Vec<Range>,
    /// `monday`, `monday:friday`; none: every day.
    #[serde(default)]
    pub weekdays: Vec<String>,
    /// Days on which it does not hold: `2026-12-25`, `2026-10-01:2026-10-08`.
    #[serde(default)]
    pub except: Vec<String>,
    /// Days on which it holds too, whatever day of the week they are.
    #[serde(default)]
    pub also: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub from: String,
    pub to: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The threshold in each of these windows; elsewhere it is the alert's own.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f64>,
    /// The severity in each of these windows, as an alert of its own: NameWindow.
    #[serde(default)]
    pub severities: BTreeMap<String, String>,
    /// Windows outside which it never fires.
    #[serde(default)]
    pub only: Vec<String>,
    /// The label `hours`, for routes with `active_during`.
    #[serde(default)]
    pub deliver: String,
}

fn utc() -> String {
    "+00:00".into()
}

/// What is wrong, and where.
#[derive(Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { pointer: pointer.into(), message: message.into() });
    }
}

impl Settings {
    /// The windows by name; what makes no sense, all at once.
    pub fn checked(&self, alerts: &[Alert]) -> Result<BTreeMap<String, Window>, Vec<Problem>> {
        let mut problems = Problems::default();
        let offset = offset(&self.utc_offset).unwrap_or_else(|| {
            let message = format!("`{}` is no offset from UTC such as +08:00", self.utc_offset);
            problems.add("/utc_offset", message);
            0
        });
        let windows = (self.windows.iter())
            .map(|(name, times)| {
                let at = format!("/windows/{}", escaped(name));
                (name.clone(), Window::of(times, offset, &at, &mut problems))
            })
            .collect();
        let ids: BTreeSet<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
        for (id, when) in &self.alerts {
            let at = format!("/alerts/{}", escaped(id));
            if !ids.contains(id.as_str()) {
                problems.add(&at, "there is no such alert");
            }
            when.check(&at, &windows, &mut problems);
        }
        for alert in alerts.iter().filter(|alert| alert.threshold.is_none()) {
            if self.alerts.get(&alert.id).is_some_and(|when| !when.thresholds.is_empty()) {
                let message = "the alert has no threshold: its number is written into the expression";
                problems.add(format!("/alerts/{}/thresholds", escaped(&alert.id)), message);
            }
        }
        if problems.0.is_empty() { Ok(windows) } else { Err(problems.0) }
    }
}

impl When {
    fn check(&self, at: &str, windows: &BTreeMap<String, Window>, problems: &mut Problems) {
        let known = windows.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let mut unknown = |key: &str, pointer: String, name: &String| {
            if !windows.contains_key(name) {
                let known =
                    if known.is_empty() { "there are none".into() } else { format!("there are {known}") };
                problems.add(pointer, format!("`{key}` knows no window `{name}`: {known}"));
            }
        };
        for (n, name) in self.only.iter().enumerate() {
            unknown("only", format!("{at}/only/{n}"), name);
        }
        for name in self.thresholds.keys() {
            unknown("thresholds", format!("{at}/thresholds/{}", escaped(name)), name);
        }
        for name in self.severities.keys() {
            unknown("severities", format!("{at}/severities/{}", escaped(name)), name);
        }
        distinct(&format!("{at}/thresholds"), self.thresholds.keys(), windows, problems);
        distinct(&format!("{at}/severities"), self.severities.keys(), windows, problems);
        for (name, severity) in self.severities.iter().filter(|(_, severity)| severity.trim().is_empty()) {
            problems
                .add(format!("{at}/severities/{}", escaped(name)), format!("`{severity}` is no severity"));
        }
        if self.thresholds.is_empty()
            && self.severities.is_empty()
            && self.only.is_empty()
            && self.deliver.is_empty()
        {
            problems.add(at, "it says nothing: `thresholds`, `severities`, `only` or `deliver`");
        }
    }
}

/// In no minute of the week may two of them hold, or two values would count.
fn distinct<'n>(
    at: &str,
    names: impl Iterator<Item = &'n String>,
    windows: &BTreeMap<String, Window>,
    problems: &mut Problems,
) {
    let used: Vec<(&String, &Window)> = names.filter_map(|name| Some((name, windows.get(name)?))).collect();
    for (n, (one, first)) in used.iter().enumerate() {
        for (two, second) in used.iter().skip(n + 1) {
            if first.meets(second) {
                problems.add(format!("{at}/{}", escaped(two)), format!("`{one}` and `{two}` overlap"));
            }
        }
    }
}

/// A step of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
