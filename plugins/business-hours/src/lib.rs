//! `business-hours`: alerts that have another threshold or severity, or none at all, in some
//! hours of the week.
//!
//! Prometheus tells the time in UTC only. So windows have a fixed offset from it, which is right
//! in zones without daylight saving time. Where clocks change, Alertmanager's time intervals
//! know the zone: `deliver` sets the label that their routes match.

mod settings;
mod window;

use std::collections::BTreeMap;

use monprov_plugin::{Alert, Change, Edit, Failure, Observation, Part, Result, Stack, Thresholds};

use settings::{Settings, When};
use window::Window;

struct BusinessHours;

impl Thresholds for BusinessHours {
    type Settings = Settings;

    fn adjust(settings: Settings, alerts: Vec<Alert>, _: Vec<Observation>, _: Stack) -> Result<Vec<Change>> {
        let windows = settings.checked(&alerts).map_err(Failure::Settings)?;
        let mut changes = vec![];
        for alert in &alerts {
            if let Some(when) = settings.alerts.get(&alert.id) {
                changes.extend(changed(alert, when, &windows));
            }
        }
        Ok(changes)
    }
}

fn changed(alert: &Alert, when: &When, windows: &BTreeMap<String, Window>) -> Vec<Change> {
    let mut changes = vec![];
    if !when.deliver.is_empty() {
        let label = Edit::Label((settings::LABEL.into(), when.deliver.clone()));
        changes.push(alert.change(label, format!("delivered in the hours `{}`", when.deliver)));
    }
    let mut expr = alert.parts.clone();
    let mut reasons = vec![];
    if !when.thresholds.is_empty() {
        let others = any(windows, when.thresholds.keys());
        let mut parts = within("((", expr, &format!(") unless on () {others})"));
        for (name, threshold) in &when.thresholds {
            let part =
                format!("\nor\n(({}) and on () {})", alert.expr_at(*threshold), condition(windows, name));
            parts.push(Part::Text(part));
            reasons.push(format!("threshold {threshold} in {}", described(windows, name)));
        }
        expr = parts;
    }
    if !when.only.is_empty() {
        expr = within("(", expr, &format!(")\nand on () {}", any(windows, when.only.iter())));
        let names: Vec<String> = when.only.iter().map(|name| described(windows, name)).collect();
        reasons.push(format!("only in {}", names.join(" or ")));
    }
    for (name, severity) in &when.severities {
        let named = format!("{}{}", alert.name, capitalised(name));
        let reason = format!("{severity} in {}", described(windows, name));
        let mut added = Alert {
            name: named,
            severity: severity.clone(),
            parts: within("(", expr.clone(), &format!(")\nand on () {}", condition(windows, name))),
            ..alert.clone()
        };
        added.labels.retain(|(label, _)| label != "severity");
        changes.push(added.added(reason.clone()));
        reasons.push(reason);
    }
    if !when.severities.is_empty() {
        expr = within("(", expr, &format!(")\nunless on () {}", any(windows, when.severities.keys())));
    }
    if !reasons.is_empty() {
        changes.push(alert.change(Edit::Expr(expr), reasons.join("; ")));
    }
    changes
}

/// Parts between two texts. What is inside may end in a comment, hence the line break.
fn within(before: &str, parts: Vec<Part>, after: &str) -> Vec<Part> {
    let text = |text: String| [Part::Text(text)];
    text(before.to_owned()).into_iter().chain(parts).chain(text(format!("\n{after}"))).collect()
}

/// PromQL that holds in any of these windows.
fn any<'n>(windows: &BTreeMap<String, Window>, names: impl Iterator<Item = &'n String>) -> String {
    let all: Vec<String> = names.map(|name| condition(windows, name)).collect();
    match all.as_slice() {
        [one] => one.clone(),
        _ => format!("({})", all.join(" or ")),
    }
}

fn condition(windows: &BTreeMap<String, Window>, name: &str) -> String {
    windows.get(name).map(Window::condition).unwrap_or_default()
}

fn described(windows: &BTreeMap<String, Window>, name: &str) -> String {
    windows.get(name).map_or(String::new(), |window| format!("{name} ({})", window.text()))
}

fn capitalised(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.split_at(1)).map(|(first, rest)| first.to_ascii_uppercase() + rest).collect()
}

monprov_plugin::thresholds!(BusinessHours);
