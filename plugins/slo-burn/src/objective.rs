//! An objective, and the alerts that it makes.

use std::collections::BTreeMap;

use monprov_plugin::{Alert, Change};

use crate::settings::{Span, WINDOW, Window, short};

pub struct Objective {
    pub name: String,
    pub target: f64,
    /// The share of events that may be bad.
    pub budget: f64,
    /// PromQL: bad events and all events per second, over `$window`.
    pub error: String,
    pub total: String,
    pub min_events: f64,
    pub labels: BTreeMap<String, String>,
    pub description: String,
    pub runbook: String,
}

impl Objective {
    /// One alert, which fires where any of these windows burns.
    pub fn alert(&self, severity: &str, windows: &[&Window], period: &Span) -> Change {
        let mut labels = self.labels.clone();
        labels.insert("slo".into(), self.name.clone());
        let mut annotations = BTreeMap::from([
            (
                "summary".to_owned(),
                format!(
                    r#"{} burns its error budget {{{{ $value | printf "%.1f" }}}} times as fast as it may"#,
                    self.name
                ),
            ),
            ("description".to_owned(), self.describe(windows, period)),
        ]);
        if !self.runbook.is_empty() {
            annotations.insert("runbook_url".into(), self.runbook.clone());
        }
        let expr = windows.iter().map(|window| self.burns(window)).collect::<Vec<_>>().join("\nor\n");
        let alert = Alert {
            labels: labels.into_iter().collect(),
            annotations: annotations.into_iter().collect(),
            ..Alert::new(format!("{}Burn{}", self.name, capitalised(severity)), expr, severity)
        };
        let burns: Vec<String> =
            windows.iter().map(|w| format!("{}x over {}", w.burn, w.long.text)).collect();
        alert.added(format!("objective of {} % in {}: {}", self.percent(), period.text, burns.join(", ")))
    }

    fn percent(&self) -> String {
        short(self.target * 100.0)
    }

    /// The burn rate of both windows is too high. Its value is that of the long one.
    fn burns(&self, window: &Window) -> String {
        let rate = |text: &str| {
            let over = |expr: &str| expr.trim().replace(WINDOW, text);
            format!("({}) / ({}) / {} > {}", over(&self.error), over(&self.total), self.budget, window.burn)
        };
        let mut all = format!("(\n  {}\nand\n  {}\n", rate(&window.long.text), rate(&window.short.text));
        if self.min_events > 0.0 {
            let total = self.total.trim().replace(WINDOW, &window.long.text);
            all.push_str(&format!("and\n  ({total}) * {} >= {}\n", window.long.seconds, self.min_events));
        }
        all + ")"
    }

    fn describe(&self, windows: &[&Window], period: &Span) -> String {
        let spent = |window: &&Window| {
            let share = window.burn * window.long.seconds / period.seconds * 100.0;
            format!(
                "{}x over {} and still over {} ({:.0} % of the budget)",
                window.burn, window.long.text, window.short.text, share
            )
        };
        let all: Vec<String> = windows.iter().map(spent).collect();
        let text = format!(
            "The objective is {} % in {}. This fires from {}.",
            self.percent(),
            period.text,
            all.join(", or ")
        );
        format!("{} {text}", self.description.trim()).trim().to_owned()
    }
}

fn capitalised(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.split_at(1)).map(|(first, rest)| first.to_ascii_uppercase() + rest).collect()
}
