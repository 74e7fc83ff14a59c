//! Series of values → quantiles, the largest, and when an alert would have fired.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::promql::threshold::{Comparison, Side};

/// The quantiles that a snapshot keeps.
pub const QUANTILES: [f64; 13] = [0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0];

/// The quantiles at whose values it is asked how often the alert would have fired, for one that
/// fires above its threshold; below, they are mirrored.
const TRIED: [f64; 5] = [0.9, 0.95, 0.99, 0.999, 1.0];

/// A value at a time, in steps since some moment.
pub type Sample = (i64, f64);

/// How an alert fires.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub compares: Comparison,
    pub threshold: f64,
    pub for_s: f64,
    pub keep_firing_s: f64,
    pub step_s: f64,
}

/// What an alert would have done at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fired {
    pub threshold: f64,
    /// It is the one that the profile has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub current: bool,
    /// How often it began to fire, over all series.
    pub times: u64,
    /// How long it fired, over all series.
    pub seconds: f64,
}

/// Of all values of all series.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub samples: u64,
    /// Values without end are no part of the quantiles.
    pub infinite: u64,
    /// The first and the last, in steps.
    pub first: i64,
    pub last: i64,
    pub max: Option<f64>,
    pub quantiles: Vec<(f64, f64)>,
    pub would_fire: Vec<Fired>,
}

/// Series are sorted by time. A step without a value is a gap: nothing fires there but what is
/// kept firing, and what was pending begins anew after it, as in Prometheus, which has already
/// bridged what is short.
pub fn distribution<K>(series: &BTreeMap<K, Vec<Sample>>, rule: &Rule) -> Distribution {
    let all = || series.values().flatten();
    let mut values: Vec<f64> = all().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let quantiles: Vec<(f64, f64)> =
        QUANTILES.iter().filter_map(|q| Some((*q, quantile(&values, *q)?))).collect();
    let tried = TRIED
        .iter()
        .filter_map(|q| quantile(&values, if rule.compares.side == Side::Above { *q } else { 1.0 - q }));
    let mut thresholds: Vec<f64> = tried.chain([rule.threshold]).collect();
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let samples = all().count() as u64;
    let (first, last) = (all().map(|(at, _)| *at).min(), all().map(|(at, _)| *at).max());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let would_fire = thresholds.into_iter().map(|threshold| {
        let current = threshold == rule.threshold;
        Fired { current, ..fired(series, &Rule { threshold, ..*rule }, last) }
    });
    Distribution {
        samples,
        infinite: samples - values.len() as u64,
        first,
        last,
        max: values.last().copied(),
        quantiles,
        would_fire: would_fire.collect(),
    }
}

/// Between two values it is taken in proportion, as `quantile_over_time` does.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = q * sorted.len().checked_sub(1)? as f64;
    let low = *sorted.get(rank.floor() as usize)?;
    let high = *sorted.get(rank.ceil() as usize)?;
    // Of equal ones nothing is lost to rounding.
    Some(if low == high { low } else { low + (high - low) * (rank - rank.floor()) })
}

/// `end`: when the last look was, over all series.
fn fired<K>(series: &BTreeMap<K, Vec<Sample>>, rule: &Rule, end: i64) -> Fired {
    // What fires is kept so many looks that do not find it.
    let kept = (rule.keep_firing_s / rule.step_s).ceil() as i64;
    let (mut times, mut steps) = (0, 0_i64);
    for samples in series.values() {
        let beyond = |value: f64| match rule.compares.side {
            Side::Above => value > rule.threshold,
            Side::Below => value < rule.threshold,
        };
        let beyond = |value: f64| beyond(value) || rule.compares.inclusive && value == rule.threshold;
        // Since when it is beyond, whether it fires, and when it was last beyond.
        let mut pending: Option<(i64, bool, i64)> = None;
        for at in samples.iter().filter(|(_, value)| beyond(*value)).map(|(at, _)| *at) {
            let (since, firing) = match pending {
                Some((since, firing, last)) if at - last == 1 => (since, firing),
                Some((since, true, last)) if at - last - 1 <= kept => {
                    steps += at - last - 1;
                    (since, true)
                }
                Some((_, true, _)) => {
                    steps += kept;
                    (at, false)
                }
                _ => (at, false),
            };
            let fires = firing || (at - since) as f64 * rule.step_s >= rule.for_s;
            times += u64::from(fires && !firing);
            steps += i64::from(fires);
            pending = Some((since, fires, at));
        }
        if let Some((_, true, last)) = pending {
            steps += kept.min(end - last);
        }
    }
    Fired { threshold: rule.threshold, current: false, times, seconds: steps as f64 * rule.step_s }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Comparison, Fired, Rule, Side, distribution, quantile};

    const ABOVE: Comparison = Comparison { side: Side::Above, inclusive: false };
    const RULE: Rule =
        Rule { compares: ABOVE, threshold: 10.0, for_s: 120.0, keep_firing_s: 0.0, step_s: 60.0 };

    fn fired(series: &BTreeMap<&'static str, Vec<(i64, f64)>>, rule: &Rule) -> Fired {
        let end = series.values().flatten().map(|(at, _)| *at).max().unwrap_or_default();
        super::fired(series, rule, end)
    }

    fn one(samples: &[(i64, f64)]) -> BTreeMap<&'static str, Vec<(i64, f64)>> {
        BTreeMap::from([("a", samples.to_vec())])
    }

    #[test]
    fn it_fires_once_it_has_been_beyond_for_long_enough() {
        let series = one(&[(0, 11.0), (1, 11.0), (2, 11.0), (3, 11.0), (4, 1.0), (5, 11.0), (6, 11.0)]);
        assert_eq!(
            fired(&series, &RULE),
            Fired { threshold: 10.0, current: false, times: 1, seconds: 120.0 }
        );
        let at_once = Rule { for_s: 0.0, ..RULE };
        assert_eq!(
            fired(&series, &at_once),
            Fired { threshold: 10.0, current: false, times: 2, seconds: 360.0 }
        );
    }

    #[test]
    fn nothing_is_pending_over_a_gap() {
        let series = one(&[(0, 11.0), (1, 11.0), (3, 11.0), (4, 11.0), (5, 11.0)]);
        assert_eq!(fired(&series, &RULE), Fired { threshold: 10.0, current: false, times: 1, seconds: 60.0 });
    }

    #[test]
    fn what_fires_is_kept_firing_over_values_within_and_gaps() {
        let rule = Rule { keep_firing_s: 150.0, ..RULE };
        let of = |samples: &[(i64, f64)]| {
            let Fired { times, seconds, .. } = fired(&one(samples), &rule);
            (times, seconds / rule.step_s)
        };
        let fires = [(0, 11.0), (1, 11.0), (2, 11.0)];
        let then = |more: &[(i64, f64)]| of(&[&fires, more].concat());
        // 0, 60 and 120 s after the first look that misses it, 150 s are not over.
        assert_eq!(then(&[(3, 1.0), (4, 1.0), (5, 1.0), (6, 1.0), (7, 1.0)]), (1, 4.0));
        assert_eq!(then(&[(3, 1.0), (4, 1.0), (6, 11.0), (7, 11.0)]), (1, 6.0));
        assert_eq!(then(&[(3, 1.0), (8, 11.0), (9, 11.0)]), (1, 4.0));
        // What is only pending is not kept.
        assert_eq!(of(&[(0, 11.0), (1, 11.0), (2, 1.0), (3, 11.0), (4, 11.0)]), (0, 0.0));
    }

    #[test]
    fn series_fire_each_for_itself() {
        let mut series = one(&[(0, 11.0), (1, 11.0), (2, 11.0)]);
        series.insert("b", vec![(0, 12.0), (1, 12.0), (2, 12.0)]);
        assert_eq!(
            fired(&series, &RULE),
            Fired { threshold: 10.0, current: false, times: 2, seconds: 120.0 }
        );
    }

    #[test]
    fn what_has_no_end_fires_and_is_in_no_quantile() {
        let rule = Rule { for_s: 0.0, ..RULE };
        let found = distribution(&one(&[(0, f64::INFINITY), (1, 3.0), (2, 5.0)]), &rule);
        assert_eq!((found.samples, found.infinite, found.max), (3, 1, Some(5.0)));
        assert!(found.quantiles.contains(&(0.5, 4.0)), "{:?}", found.quantiles);
        assert!(found.would_fire.contains(&Fired {
            threshold: 10.0,
            current: true,
            times: 1,
            seconds: 60.0
        }));
    }

    #[test]
    fn below_is_the_mirror_of_above() {
        let compares = Comparison { side: Side::Below, inclusive: false };
        let rule = Rule { compares, threshold: 2.0, for_s: 0.0, keep_firing_s: 0.0, step_s: 60.0 };
        let found = distribution(&one(&[(0, 1.0), (1, 2.0), (2, 3.0)]), &rule);
        assert_eq!(found.would_fire.first().map(|f| (f.threshold, f.times)), Some((1.0, 0)));
        assert!(found.would_fire.contains(&Fired { threshold: 2.0, current: true, times: 1, seconds: 60.0 }));
        let inclusive = Rule { compares: Comparison { inclusive: true, ..compares }, ..rule };
        assert_eq!(fired(&one(&[(0, 1.0), (1, 2.0), (2, 3.0)]), &inclusive).seconds, 120.0);
    }

    #[test]
    fn of_nothing_there_is_nothing() {
        let found = distribution(&one(&[]), &RULE);
        assert_eq!((found.samples, found.max, found.quantiles.len()), (0, None, 0));
    }

    proptest! {
        #[test]
        fn quantiles_rise_from_the_least_to_the_largest(mut values in prop::collection::vec(-1e9..1e9_f64, 1..200)) {
            values.sort_by(f64::total_cmp);
            let all: Vec<f64> = super::QUANTILES.iter().map(|q| quantile(&values, *q).unwrap()).collect();
            prop_assert_eq!(all.first(), values.first());
            prop_assert_eq!(all.last(), values.last());
            prop_assert!(all.is_sorted());
        }

        #[test]
        fn a_threshold_further_off_never_fires_for_longer(
            values in prop::collection::vec(0.0..100.0_f64, 1..200), low in 0.0..100.0_f64, more in 0.0..50.0_f64,
        ) {
            let samples: Vec<_> = values.iter().enumerate().map(|(at, v)| (at as i64, *v)).collect();
            let series = one(&samples);
            let near = fired(&series, &Rule { threshold: low, ..RULE });
            let far = fired(&series, &Rule { threshold: low + more, ..RULE });
            prop_assert!(far.seconds <= near.seconds);
        }
    }
}
