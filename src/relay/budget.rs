//! How often a channel may be asked: its budget of requests, and the time before which the service
//! doesn't want to see us.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::profile::settings;

/// The first and the longest wait after a failure that says nothing of when to come again.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// A service that asks for more is asked again after this.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The requests that were sent within the time of the budget. No window of that length holds more
/// than the budget, wherever it begins: services count in ways that they don't tell.
#[derive(Debug, Default)]
pub(super) struct Budget {
    sent: VecDeque<Instant>,
}

impl Budget {
    /// Takes one request out of the budget, or says when there will be one. A changed budget
    /// counts what was sent before it.
    pub(super) fn take(&mut self, budget: Option<settings::Budget>, now: Instant) -> Result<(), Instant> {
        let Some(budget) = budget else { return Ok(()) };
        let per = Duration::from_millis(budget.per.0);
        while self.sent.front().is_some_and(|sent| now.duration_since(*sent) >= per) {
            self.sent.pop_front();
        }
        let most = usize::try_from(budget.messages).unwrap_or(usize::MAX);
        if self.sent.len() < most {
            self.sent.push_back(now);
            return Ok(());
        }
        // After a budget was cut down, more than one has to leave the window.
        let leaves = self.sent.len().checked_sub(most).and_then(|over| self.sent.get(over));
        Err(leaves.map_or(now + per, |sent| *sent + per))
    }

    /// Gives back what was taken for a request that was not sent.
    pub(super) fn give_back(&mut self) {
        self.sent.pop_back();
    }
}

/// Until when nothing is sent.
#[derive(Debug, Default)]
pub(super) struct Pause {
    until: Option<Instant>,
    failures: u32,
}

impl Pause {
    /// The time before which nothing is sent, if it is yet to come.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Waits until a time that is known.
    pub(super) fn set(&mut self, until: Instant) {
        self.until = self.until.max(Some(until));
    }

    /// Waits after a failure: as long as the service says, else longer each time.
    pub(super) fn failed(&mut self, asked: Option<Duration>, now: Instant) {
        let wait = match asked {
            Some(asked) => asked.min(PATIENCE),
            None => FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST),
        };
        self.failures = self.failures.saturating_add(1);
        self.set(now + wait);
    }

    /// The service answers again.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }
}

/// The seconds that a plugin names, if they are any.
pub(super) fn seconds(asked: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(asked.max(0.0)).ok().filter(|_| asked.is_finite())
}

/// `Retry-After`: seconds, or a date.
pub(super) fn retry_after(headers: &[(String, String)], now: jiff::Timestamp) -> Option<Duration> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::units;

    fn budget(messages: u32, seconds: u64) -> Option<settings::Budget> {
        Some(settings::Budget { messages, per: units::Duration::seconds(seconds) })
    }

    fn later(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn no_window_holds_more_than_the_budget() {
        let (mut sent, start) = (Budget::default(), super::super::now());
        let mut times = vec![];
        for second in 0..300 {
            let now = later(start, second);
            if sent.take(budget(20, 60), now).is_ok() {
                times.push(now);
            }
        }
        assert_eq!(times.len(), 100);
        for window in times.windows(21) {
            assert!(window[20].duration_since(window[0]) >= Duration::from_secs(60));
        }
    }

    #[test]
    fn a_budget_that_is_used_up_says_when_it_is_not() {
        let (mut sent, start) = (Budget::default(), super::super::now());
        assert_eq!(sent.take(budget(2, 60), start), Ok(()));
        assert_eq!(sent.take(budget(2, 60), later(start, 10)), Ok(()));
        assert_eq!(sent.take(budget(2, 60), later(start, 20)), Err(later(start, 60)));
        assert_eq!(sent.take(budget(2, 60), later(start, 60)), Ok(()));
    }

    #[test]
    fn without_a_budget_there_is_no_end() {
        let (mut sent, start) = (Budget::default(), super::super::now());
        assert!((0..10_000).all(|_| sent.take(None, start).is_ok()));
        assert!(sent.sent.is_empty());
    }

    #[test]
    fn a_changed_budget_counts_what_was_sent_before() {
        let (mut sent, start) = (Budget::default(), super::super::now());
        for second in 0..20 {
            assert_eq!(sent.take(budget(20, 60), later(start, second)), Ok(()));
        }
        assert_eq!(sent.take(budget(5, 60), later(start, 30)), Err(later(start, 15 + 60)));
        assert_eq!(sent.take(budget(30, 60), later(start, 30)), Ok(()));
    }

    #[test]
    fn a_request_that_was_not_sent_costs_nothing() {
        let (mut sent, start) = (Budget::default(), super::super::now());
        assert_eq!(sent.take(budget(1, 60), start), Ok(()));
        sent.give_back();
        assert_eq!(sent.take(budget(1, 60), start), Ok(()));
    }

    #[test]
    fn failures_make_it_wait_longer_and_longer_up_to_a_minute() {
        let (mut pause, start) = (Pause::default(), super::super::now());
        let mut now = start;
        let mut waits = vec![];
        for _ in 0..8 {
            pause.failed(None, now);
            let until = pause.until(now).unwrap();
            waits.push(until.duration_since(now).as_secs());
            now = until;
            assert_eq!(pause.until(now), None);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        pause.worked();
        pause.failed(None, now);
        assert_eq!(pause.until(now), Some(later(now, 1)));
    }

    #[test]
    fn what_the_service_asks_for_counts_and_success_elsewhere_does_not_shorten_it() {
        let (mut pause, now) = (Pause::default(), super::super::now());
        pause.failed(Some(Duration::from_secs(30)), now);
        pause.worked();
        pause.failed(None, now);
        assert_eq!(pause.until(now), Some(later(now, 30)));
        pause.failed(Some(Duration::from_secs(u64::MAX)), now);
        assert_eq!(pause.until(now), Some(later(now, 3600)), "not for ever");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-11-26T03:00:00Z".parse().unwrap();
        let after = |value: &str| retry_after(&[("Retry-After".into(), value.into())], now);
        assert_eq!(after(" 17 "), Some(Duration::from_secs(17)));
        assert_eq!(after("Thu, 26 Nov 2026 03:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(after("Thu, 26 Nov 2026 02:00:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["", "soon", "-5", "1.5", "99999999999", "Thu, 99 Nov 2026 03:01:30 GMT"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after(&[], now), None);
    }

    #[test]
    fn seconds_of_a_plugin_are_any_number() {
        assert_eq!(seconds(1.5), Some(Duration::from_millis(1500)));
        assert_eq!(seconds(-1.0), Some(Duration::ZERO));
        for nonsense in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(seconds(nonsense), None);
        }
    }
}
