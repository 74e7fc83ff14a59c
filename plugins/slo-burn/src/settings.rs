//! The settings: their schema, and what a schema can't say.

use std::collections::BTreeMap;

use monprov_plugin::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objective::Objective;

/// What stands for a window in the expressions of an objective.
pub const WINDOW: &str = "$window";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is promised, by name. The alerts are named NameBurnSeverity.
    objectives: BTreeMap<String, Promise>,
    /// The time over which an objective holds.
    #[serde(default = "period")]
    period: String,
    /// When to tell whom. The defaults use up 2, 5, 10 and 10 % of a budget for 30 days.
    #[serde(default = "windows")]
    windows: Vec<Pair>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Promise {
    /// The share of events that must be good, such as 0.995.
    target: f64,
    /// PromQL: bad events per second, over a range of `$window`. With `total`.
    #[serde(default)]
    error: String,
    /// PromQL: all events per second, with the same labels.
    #[serde(default)]
    total: String,
    /// Instead of the two: events that a histogram says are too slow.
    #[serde(default)]
    latency: Option<Latency>,
    /// A long window that saw fewer events than this tells nobody.
    #[serde(default)]
    min_events: f64,
    /// Labels of the alerts, beside `severity` and `slo`.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// A sentence for the people on call.
    #[serde(default)]
    description: String,
    /// The address of what to do.
    #[serde(default)]
    runbook: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Latency {
    /// The histogram's name, without `_bucket`.
    histogram: String,
    /// The bucket that holds what is fast enough.
    le: f64,
    /// Which series, as inside of braces: `name="send_mail"`.
    #[serde(default)]
    selector: String,
    /// Labels that each have an objective of their own.
    #[serde(default)]
    by: Vec<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pair {
    /// How long the budget must have burned.
    long: String,
    /// Whether it still burns.
    short: String,
    /// How many times as fast as the objective allows.
    burn: f64,
    severity: String,
}

fn period() -> String {
    "30d".into()
}

fn windows() -> Vec<Pair> {
    [
        ("1h", "5m", 14.4, "critical"),
        ("6h", "30m", 6.0, "critical"),
        ("1d", "2h", 3.0, "warning"),
        ("3d", "6h", 1.0, "warning"),
    ]
    .map(|(long, short, burn, severity)| Pair {
        long: long.into(),
        short: short.into(),
        burn,
        severity: severity.into(),
    })
    .into()
}

/// Time that PromQL can write and we can reckon with.
pub struct Span {
    pub text: String,
    pub seconds: f64,
}

pub struct Window {
    pub long: Span,
    pub short: Span,
    pub burn: f64,
    pub severity: String,
}

/// Settings that make sense.
pub struct Checked {
    pub objectives: Vec<Objective>,
    pub windows: Vec<Window>,
    pub period: Span,
}

/// What is wrong, and where.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { pointer: pointer.into(), message: message.into() });
    }

    fn span(&mut self, pointer: &str, text: &str) -> Option<Span> {
        let seconds = seconds(text).filter(|seconds| *seconds > 0.0);
        if seconds.is_none() {
            self.add(pointer, format!("`{text}` is no duration such as 5m, 6h or 1d"));
        }
        Some(Span { text: text.to_owned(), seconds: seconds? })
    }
}

impl Settings {
    pub fn checked(self) -> Result<Checked, Vec<Problem>> {
        let mut problems = Problems::default();
        let period = problems.span("/period", &self.period);
        let windows: Vec<Window> = self
            .windows
            .into_iter()
            .enumerate()
            .filter_map(|(n, pair)| pair.checked(n, &mut problems))
            .collect();
        if let (Some(period), Some(n)) =
            (&period, period.as_ref().and_then(|p| windows.iter().position(|w| w.long.seconds >= p.seconds)))
        {
            problems.add(
                format!("/windows/{n}/long"),
                format!("it is not shorter than the period of {}", period.text),
            );
        }
        if windows.is_empty() && problems.0.is_empty() {
            problems.add("/windows", "without windows nobody is told");
        }
        if self.objectives.is_empty() {
            problems.add("/objectives", "there is none, so nothing is promised");
        }
        let mut objectives = vec![];
        for (name, promise) in self.objectives {
            objectives.extend(promise.checked(name, &windows, &mut problems));
        }
        match period {
            Some(period) if problems.0.is_empty() => Ok(Checked { objectives, windows, period }),
            _ => Err(problems.0),
        }
    }
}

impl Pair {
    fn checked(self, n: usize, problems: &mut Problems) -> Option<Window> {
        let at = format!("/windows/{n}");
        let long = problems.span(&format!("{at}/long"), &self.long);
        let short = problems.span(&format!("{at}/short"), &self.short);
        if self.burn <= 0.0 {
            problems.add(format!("{at}/burn"), "a burn rate is above 0");
        }
        if self.severity.trim().is_empty() {
            problems.add(format!("{at}/severity"), "it is empty");
        }
        let (long, short) = (long?, short?);
        if short.seconds >= long.seconds {
            problems.add(format!("{at}/short"), format!("it is not shorter than {}", long.text));
        }
        Some(Window { long, short, burn: self.burn, severity: self.severity })
    }
}

impl Promise {
    fn checked(self, name: String, windows: &[Window], problems: &mut Problems) -> Option<Objective> {
        let before = problems.0.len();
        let at = format!("/objectives/{}", name.replace('~', "~0").replace('/', "~1"));
        if !is_name(&name) {
            problems.add(&at, "a name is of letters, digits and `_`, since alerts are named after it");
        }
        if !(self.target > 0.0 && self.target < 1.0) {
            let hint = match self.target {
                percent if percent > 1.0 && percent < 100.0 => {
                    format!(": {percent} % is {}", short(percent / 100.0))
                }
                _ => String::new(),
            };
            problems.add(format!("{at}/target"), format!("a target lies between 0 and 1{hint}"));
            return None;
        }
        // 1 - 0.995 is not quite 0.005.
        let budget = rounded(1.0 - self.target);
        for window in windows.iter().filter(|window| window.burn * budget >= 1.0) {
            let message = format!(
                "{} times {} % is above 100 %, so that the window of {} could never fire: \
                 give `windows` a lower `burn`",
                window.burn,
                short(budget * 100.0),
                window.long.text
            );
            problems.add(format!("{at}/target"), message);
        }
        for label in ["severity", "slo"].into_iter().filter(|label| self.labels.contains_key(*label)) {
            problems.add(format!("{at}/labels/{label}"), "the plugin itself sets it");
        }
        if self.min_events < 0.0 {
            problems.add(format!("{at}/min_events"), "there are no fewer events than 0");
        }
        let (error, total) = match (self.error, self.total, self.latency) {
            (error, total, None) if !error.is_empty() && !total.is_empty() => {
                for (key, text) in [("error", &error), ("total", &total)] {
                    if !text.contains(WINDOW) {
                        let message =
                            format!("it holds no `{WINDOW}`, such as in `rate(requests_total[{WINDOW}])`");
                        problems.add(format!("{at}/{key}"), message);
                    }
                }
                (error, total)
            }
            (error, total, Some(latency)) if error.is_empty() && total.is_empty() => {
                latency.expressions(&format!("{at}/latency"), problems)
            }
            _ => {
                problems.add(&at, "it takes either `error` and `total`, or `latency`");
                return None;
            }
        };
        (problems.0.len() == before).then_some(Objective {
            name,
            target: self.target,
            budget,
            error,
            total,
            min_events: self.min_events,
            labels: self.labels,
            description: self.description,
            runbook: self.runbook,
        })
    }
}

impl Latency {
    /// What is too slow, and all.
    fn expressions(self, at: &str, problems: &mut Problems) -> (String, String) {
        if !is_name(&self.histogram) {
            problems.add(format!("{at}/histogram"), "it is no name of a metric");
        }
        for (n, label) in self.by.iter().enumerate().filter(|(_, label)| !is_name(label)) {
            problems.add(format!("{at}/by/{n}"), format!("`{label}` is no name of a label"));
        }
        let by = if self.by.is_empty() { String::new() } else { format!("by ({}) ", self.by.join(", ")) };
        // Some clients write 600, others 600.0.
        let le = if self.le.fract() == 0.0 {
            format!(r#"le=~"{}(\\.0)?""#, self.le)
        } else {
            format!(r#"le="{}""#, self.le)
        };
        let selector = self.selector.trim().trim_end_matches(',');
        let sum = |part: &str, more: &str| {
            let all: Vec<&str> = [selector, more].into_iter().filter(|text| !text.is_empty()).collect();
            let braces = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(", ")) };
            format!("sum {by}(rate({}{part}{braces}[{WINDOW}]))", self.histogram)
        };
        let (all, fast) = (sum("_count", ""), sum("_bucket", &le));
        // A bucket that is not there holds nothing: better loud than silent.
        (format!("{all} - ({fast} or {all} * 0)"), all)
    }
}

/// For metrics, labels and alerts alike.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(plain) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// A duration as Prometheus writes them: 1h30m.
fn seconds(text: &str) -> Option<f64> {
    let (mut all, mut number, mut last) = (0.0, String::new(), f64::INFINITY);
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'w' => 604_800.0,
            'd' => 86_400.0,
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => return None,
        };
        // The largest unit first, each once.
        if unit >= last {
            return None;
        }
        last = unit;
        all += number.parse::<f64>().ok()? * unit;
        number.clear();
    }
    number.is_empty().then_some(all)
}

fn rounded(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}

/// A number for people.
pub fn short(number: f64) -> String {
    rounded(number).to_string()
}
