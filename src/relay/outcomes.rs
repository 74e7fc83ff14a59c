//! What came of single alerts: a fire drill asks for it by their fingerprints.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::progress::Told;

/// Alerts that are remembered; those of which was heard longest ago are forgotten first.
const MOST: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Delivered,
    Retry,
    Rejected,
}

/// What came of an alert last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// Empty where it was delivered.
    pub(super) reason: Arc<str>,
}

/// What came of a channel's alerts.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    all: HashMap<(u64, bool), (u64, Outcome)>,
    order: BTreeMap<u64, (u64, bool)>,
    heard: u64,
}

impl Outcomes {
    pub(super) fn note(&mut self, told: &Told, verdict: Verdict, reason: &Arc<str>) {
        let alert = (told.fingerprint, told.firing);
        self.heard += 1;
        let outcome = Outcome { verdict, reason: reason.clone() };
        if let Some((before, _)) = self.all.insert(alert, (self.heard, outcome)) {
            self.order.remove(&before);
        }
        self.order.insert(self.heard, alert);
        if self.all.len() > MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.all.remove(&oldest);
        }
    }

    /// Notes that an alert waits. That it was delivered before is worth more.
    pub(super) fn waits(&mut self, told: &Told, reason: &Arc<str>) {
        match self.of(told.fingerprint, told.firing) {
            Some(Outcome { verdict: Verdict::Delivered, .. }) => {}
            _ => self.note(told, Verdict::Retry, reason),
        }
    }

    pub(super) fn of(&self, fingerprint: u64, firing: bool) -> Option<&Outcome> {
        self.all.get(&(fingerprint, firing)).map(|(_, outcome)| outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fingerprint: u64) -> Told {
        Told { fingerprint, firing: true, starts: 0 }
    }

    #[test]
    fn the_last_word_counts_but_that_it_waits_does_not_undo_a_delivery() {
        let mut outcomes = Outcomes::default();
        let none: Arc<str> = "".into();
        let verdict = |outcomes: &Outcomes| outcomes.of(1, true).map(|outcome| outcome.verdict);
        outcomes.waits(&told(1), &"later".into());
        assert_eq!(verdict(&outcomes), Some(Verdict::Retry));
        outcomes.note(&told(1), Verdict::Delivered, &none);
        outcomes.waits(&told(1), &"later".into());
        assert_eq!(verdict(&outcomes), Some(Verdict::Delivered));
        outcomes.note(&told(1), Verdict::Rejected, &"never".into());
        assert_eq!(verdict(&outcomes), Some(Verdict::Rejected));
        assert_eq!(outcomes.of(1, false), None);
        assert_eq!(outcomes.of(2, true), None);
    }

    #[test]
    fn what_was_heard_of_longest_ago_is_forgotten_first() {
        let mut outcomes = Outcomes::default();
        let none: Arc<str> = "".into();
        for fingerprint in (0..MOST as u64).chain([0, MOST as u64, MOST as u64 + 1]) {
            outcomes.note(&told(fingerprint), Verdict::Delivered, &none);
        }
        assert_eq!((outcomes.all.len(), outcomes.order.len()), (MOST, MOST));
        assert!(outcomes.of(0, true).is_some(), "heard of again");
        assert!(outcomes.of(1, true).is_none() && outcomes.of(2, true).is_none());
        assert!(outcomes.of(3, true).is_some());
    }
}
