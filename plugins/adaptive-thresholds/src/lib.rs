//! `adaptive-thresholds`: thresholds from what was observed, a quantile with head-room, within
//! bounds.

use std::collections::BTreeMap;

use monprov_plugin::{Alert, Change, Edit, Failure, Observation, Problem, Result, Side, Stack, Thresholds};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Between 0 and 1: so much of what was seen stays within the threshold. Of alerts that fire
    /// below theirs it is counted from the other end.
    #[serde(default = "quantile")]
    quantile: f64,
    /// How much further off the threshold is, as a part of the quantile.
    #[serde(default = "headroom")]
    headroom: f64,
    /// The threshold is never less than so many times the profile's.
    #[serde(default = "least")]
    least: f64,
    /// And never more.
    #[serde(default = "most")]
    most: f64,
    /// Alerts that were watched for less are left as they are.
    #[serde(default = "min_days")]
    min_days: f64,
    /// As are those of which fewer values were seen.
    #[serde(default = "min_samples")]
    min_samples: f64,
    /// Only these alerts; empty: all that were observed.
    #[serde(default)]
    only: Vec<String>,
    /// But not these.
    #[serde(default)]
    except: Vec<String>,
    /// What holds for one alert.
    #[serde(default)]
    alerts: BTreeMap<String, One>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    quantile: Option<f64>,
    headroom: Option<f64>,
    /// The threshold is never below this, in base units; in the place of `least`.
    floor: Option<f64>,
    /// The threshold is never above this, in base units; in the place of `most`.
    ceiling: Option<f64>,
}

fn quantile() -> f64 {
    0.99
}

fn headroom() -> f64 {
    0.25
}

fn least() -> f64 {
    0.5
}

fn most() -> f64 {
    2.0
}

fn min_days() -> f64 {
    7.0
}

fn min_samples() -> f64 {
    1000.0
}

struct Adaptive;

impl Thresholds for Adaptive {
    type Settings = Settings;

    fn adjust(
        settings: Settings,
        alerts: Vec<Alert>,
        seen: Vec<Observation>,
        _: Stack,
    ) -> Result<Vec<Change>> {
        let problems = problems(&settings, &alerts);
        if !problems.is_empty() {
            return Err(Failure::Settings(problems));
        }
        let mut changes = vec![];
        for alert in alerts.iter().filter(|alert| settings.wants(&alert.id)) {
            let Some(threshold) = alert.threshold else { continue };
            let Some(seen) = seen.iter().find(|seen| seen.alert == alert.id) else { continue };
            if seen.window_s < settings.min_days * DAY || seen.samples < settings.min_samples {
                continue;
            }
            if let Some((to, reason)) =
                adapted(&settings, alert, threshold, seen).filter(|(to, _)| *to != threshold)
            {
                changes.push(alert.change(Edit::Threshold(to), reason));
            }
        }
        Ok(changes)
    }
}

const DAY: f64 = 86_400.0;

impl Settings {
    fn wants(&self, id: &str) -> bool {
        let is = |name: &String| name == id;
        (self.only.is_empty() || self.only.iter().any(is)) && !self.except.iter().any(is)
    }
}

fn problems(settings: &Settings, alerts: &[Alert]) -> Vec<Problem> {
    let mut problems = vec![];
    let mut wrong =
        |pointer: String, message: &str| problems.push(Problem { pointer, message: message.into() });
    let within = |quantile: f64| (0.5..=1.0).contains(&quantile);
    const QUANTILE: &str = "a quantile is from 0.5 to 1";
    const HEADROOM: &str = "head-room is 0 or more: 0.25 is a quarter";
    if !within(settings.quantile) {
        wrong("/quantile".into(), QUANTILE);
    }
    if settings.headroom < 0.0 {
        wrong("/headroom".into(), HEADROOM);
    }
    if settings.least < 0.0 || settings.least > settings.most {
        wrong("/least".into(), "`least` is 0 or more, and not more than `most`");
    }
    let known = |id: &String| alerts.iter().any(|alert| alert.id == *id);
    for (id, one) in &settings.alerts {
        // `~` and `/` have forms of their own in pointers.
        let at = format!("/alerts/{}", id.replace('~', "~0").replace('/', "~1"));
        if !known(id) {
            wrong(at.clone(), "there is no such alert");
        }
        if one.quantile.is_some_and(|quantile| !within(quantile)) {
            wrong(format!("{at}/quantile"), QUANTILE);
        }
        if one.headroom.is_some_and(|headroom| headroom < 0.0) {
            wrong(format!("{at}/headroom"), HEADROOM);
        }
        if let (Some(floor), Some(ceiling)) = (one.floor, one.ceiling)
            && floor > ceiling
        {
            wrong(format!("{at}/floor"), "the floor is above the ceiling");
        }
    }
    for (list, ids) in [("only", &settings.only), ("except", &settings.except)] {
        for (n, _) in ids.iter().enumerate().filter(|(_, id)| !known(id)) {
            wrong(format!("/{list}/{n}"), "there is no such alert");
        }
    }
    problems
}

/// The new threshold and why.
fn adapted(settings: &Settings, alert: &Alert, threshold: f64, seen: &Observation) -> Option<(f64, String)> {
    let default = One::default();
    let one = settings.alerts.get(&alert.id).unwrap_or(&default);
    let quantile = one.quantile.unwrap_or(settings.quantile);
    let headroom = one.headroom.unwrap_or(settings.headroom);
    // A tenth of a millionth, since 1 - 0.99 is not quite 0.01.
    let at = if seen.fires == Side::Above { quantile } else { ((1.0 - quantile) * 1e7).round() / 1e7 };
    let (value, about) = value_at(&seen.quantiles, at)?;
    let room = value.abs() * headroom;
    let wanted = rounded(if seen.fires == Side::Above { value + room } else { value - room }, seen.fires);
    let (low, mut high) = bounds(threshold * settings.least, threshold * settings.most);
    // No share of a whole is above 1: an alert with such a threshold would never fire again.
    if alert.unit == "ratio" && (0.0..1.0).contains(&threshold) {
        high = high.min(digits((1.0 + threshold) / 2.0, 4).parse().unwrap_or(threshold));
    }
    let floor = one.floor.unwrap_or(if one.ceiling.is_some_and(|ceiling| ceiling < low) {
        f64::NEG_INFINITY
    } else {
        low
    });
    let ceiling = one.ceiling.unwrap_or(high.max(floor));
    let to = wanted.clamp(floor, ceiling);
    let unit = if alert.unit.is_empty() { String::new() } else { format!(" {}", alert.unit) };
    let held = if to > wanted {
        format!(", held at the floor of {floor}")
    } else if to < wanted {
        format!(", held at the ceiling of {ceiling}")
    } else {
        String::new()
    };
    let reason = format!(
        "the {at} quantile of {} was {about}{}{unit}, with {} % head-room {wanted}{held}",
        days(seen.window_s),
        digits(value, 4),
        digits(headroom * 100.0, 3),
    );
    Some((to, reason))
}

fn bounds(a: f64, b: f64) -> (f64, f64) {
    (a.min(b), a.max(b))
}

/// Between two quantiles that are there it is taken in proportion, and said to be about that.
fn value_at(quantiles: &[(f64, f64)], at: f64) -> Option<(f64, &'static str)> {
    let after = quantiles.iter().position(|(q, _)| *q >= at)?;
    let (q, value) = quantiles[after];
    if q == at || after == 0 {
        return Some((value, ""));
    }
    let (before, low) = quantiles[after - 1];
    Some((low + (value - low) * (at - before) / (q - before), "about "))
}

/// To two digits, away from what was seen.
fn rounded(value: f64, fires: Side) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powf(value.abs().log10().floor() - 1.0);
    // What is a whole number already but for the last bits stays it.
    let steps = (value / scale * 1e6).round() / 1e6;
    let whole = if fires == Side::Above { steps.ceil() } else { steps.floor() };
    digits(whole * scale, 2).parse().unwrap_or(value)
}

/// A number in so many digits that count.
fn digits(value: f64, count: usize) -> String {
    let text: f64 = format!("{value:.*e}", count - 1).parse().unwrap_or(value);
    text.to_string()
}

fn days(seconds: f64) -> String {
    let days = seconds / DAY;
    if days < 2.0 { format!("{} h", (seconds / 3600.0).round()) } else { format!("{} days", days.round()) }
}

monprov_plugin::thresholds!(Adaptive);
