//! When a host asks next. Hosts that start at the same moment, after a power failure say, must
//! not ask at the same moment ever after, and those that can't reach a cache must let it come up.

use std::time::Duration;

/// The longest wait after failures, unless it is asked less often than that anyway.
const LONGEST: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    every: Duration,
    failures: u32,
}

impl Pace {
    pub fn new(every: Duration) -> Self {
        Pace { every, failures: 0 }
    }

    /// Before the first question: any time within a round.
    pub fn first(&self) -> Duration {
        self.first_at(random())
    }

    /// After a round that went well, or failed.
    pub fn next(&mut self, well: bool) -> Duration {
        self.next_at(well, random())
    }

    fn first_at(&self, chance: f64) -> Duration {
        self.every.mul_f64(chance)
    }

    /// A tenth earlier or later each time, so that hosts drift apart; after failures twice as
    /// late each time, and half of that by chance.
    fn next_at(&mut self, well: bool, chance: f64) -> Duration {
        if well {
            self.failures = 0;
            return self.every.mul_f64(0.9 + 0.2 * chance);
        }
        self.failures = self.failures.saturating_add(1);
        let most = LONGEST.max(self.every);
        let doubled = 2_u32.checked_pow(self.failures).and_then(|times| self.every.checked_mul(times));
        doubled.unwrap_or(most).min(most).mul_f64(0.5 + 0.5 * chance)
    }
}

/// From 0 to 1. Where there is no randomness, all hosts are alike, and no worse.
fn random() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_about_as_long_as_asked_for() {
        let mut pace = Pace::new(Duration::from_secs(60));
        assert_eq!(pace.next_at(true, 0.0), Duration::from_secs(54));
        assert_eq!(pace.next_at(true, 1.0), Duration::from_secs(66));
        assert_eq!(pace.first_at(0.5), Duration::from_secs(30));
    }

    #[test]
    fn failures_are_followed_by_longer_waits_up_to_a_quarter_of_an_hour() {
        let mut pace = Pace::new(Duration::from_secs(60));
        let waits: Vec<u64> = (0..6).map(|_| pace.next_at(false, 1.0).as_secs()).collect();
        assert_eq!(waits, [120, 240, 480, 900, 900, 900]);
        assert_eq!(pace.next_at(false, 0.0).as_secs(), 450);
        assert_eq!(pace.next_at(true, 0.5).as_secs(), 60);
        let mut slow = Pace::new(Duration::from_secs(3600));
        assert_eq!(slow.next_at(false, 1.0).as_secs(), 3600);
        assert!((0..100).all(|_| slow.next_at(false, 0.0).as_secs() == 1800));
    }
}
