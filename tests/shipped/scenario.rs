//! What happened to a stack, minute by minute, and which alerts fire then: `promtool test
//! rules` judges. Time starts at 1970-01-01, a Thursday, 00:00 UTC.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::program;

pub const HOUR: usize = 60;
pub const DAY: usize = 24 * HOUR;

/// Events of each minute as the counter that a service exports.
#[derive(Default)]
pub struct Counter {
    values: Vec<f64>,
}

impl Counter {
    /// So many events in each of so many minutes.
    pub fn then(mut self, minutes: usize, events: f64) -> Counter {
        for _ in 0..minutes {
            self.values.push(self.values.last().copied().unwrap_or_default() + events);
        }
        self
    }
}

#[derive(Default)]
pub struct Scenario {
    series: String,
    expected: String,
    step: usize,
}

impl Scenario {
    /// A series with the value of each minute.
    pub fn values(mut self, series: &str, values: impl IntoIterator<Item = f64>) -> Scenario {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        writeln!(self.series, "  - series: '{series}'\n    values: '{}'", values.join(" ")).unwrap();
        self
    }

    pub fn counter(self, series: &str, counter: Counter) -> Scenario {
        self.values(series, counter.values)
    }

    /// How many instances of an alert fire at a minute.
    pub fn fires(mut self, minute: usize, alert: &str, times: usize) -> Scenario {
        let expr = format!("count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})");
        let samples = if times == 0 { "[]".into() } else { format!("[{{labels: '{{}}', value: {times}}}]") };
        writeln!(self.expected, "  - expr: '{expr}'\n    eval_time: {minute}m\n    exp_samples: {samples}")
            .unwrap();
        self
    }

    /// Holds at each of these minutes: silent.
    pub fn silent(self, minutes: impl IntoIterator<Item = usize>, alert: &str) -> Scenario {
        minutes.into_iter().fold(self, |scenario, minute| scenario.fires(minute, alert, 0))
    }

    /// Rules are evaluated each so many minutes, for what takes days.
    pub fn every(mut self, minutes: usize) -> Scenario {
        self.step = minutes;
        self
    }

    /// Lets promtool judge.
    #[track_caller]
    pub fn judge(self, rules: &Path) {
        let step = self.step.max(1);
        let text = format!(
            "rule_files: [{}]\nevaluation_interval: {step}m\ntests:\n- interval: 1m\n  input_series:\n{}  promql_expr_test:\n{}",
            rules.display(),
            self.series,
            self.expected
        );
        let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let output =
            Command::new(program("promtool")).args(["test", "rules"]).arg(file.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}{said}\nexpected:\n{}",
            String::from_utf8_lossy(&output.stdout),
            self.expected
        );
    }
}
