//! What of a group's alerts was already delivered, while the rest of it was not.
//!
//! Alertmanager sends a group as a whole, again and again, until it gets a 2xx. What it says
//! then is the same as when it reminds of a group, so progress is kept only from the first answer
//! that is no 2xx until the group gets its 2xx. It is bounded, and a restart loses it: then parts
//! of a group are told twice, and none is lost.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use crate::plugin::channel::Event;

/// A group's key, shortened: Alertmanager's may be of any length.
pub(super) type Key = [u8; 32];

pub(super) fn key(group: &str) -> Key {
    Sha256::digest(group.as_bytes()).into()
}

/// One thing to tell: this alert began to fire, or it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Told {
    pub(super) fingerprint: u64,
    pub(super) firing: bool,
    pub(super) starts: u64,
}

impl Told {
    pub(super) fn of(event: &Event) -> Self {
        Told {
            // The payload's parser took nothing else.
            fingerprint: u64::from_str_radix(&event.fingerprint, 16).unwrap_or_default(),
            firing: event.firing,
            starts: event.starts_ms.to_bits(),
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Delivered,
    /// It can never pass as it is; nothing tries it again until the rest of the group is through.
    Rejected,
}

pub(super) type Marks = HashMap<Told, Mark>;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) groups: usize,
    pub(super) marks: usize,
}

impl Default for Bounds {
    /// About 16 MiB.
    fn default() -> Self {
        Bounds { groups: 10_000, marks: 250_000 }
    }
}

/// The progress of a channel's groups.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bounds: Bounds,
    groups: HashMap<Key, (u64, Marks)>,
    /// Those that were kept longest ago stand first.
    order: BTreeMap<u64, Key>,
    kept: u64,
    marks: usize,
}

impl Progress {
    #[cfg(test)]
    fn within(bounds: Bounds) -> Self {
        Progress { bounds, ..Progress::default() }
    }

    /// How many groups have progress.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Takes a group's progress out, for the one who works on it. What isn't present any more is
    /// of no more use.
    pub(super) fn take(&mut self, key: &Key, present: &[Told]) -> Marks {
        let mut before = self.remove(key);
        match before.is_empty() {
            true => before,
            false => present.iter().filter_map(|told| before.remove_entry(told)).collect(),
        }
    }

    /// Keeps a group's progress; how many other groups had to go for it.
    pub(super) fn keep(&mut self, key: Key, marks: Marks) -> u64 {
        self.remove(&key);
        if marks.is_empty() {
            return 0;
        }
        self.kept += 1;
        self.marks += marks.len();
        self.order.insert(self.kept, key);
        self.groups.insert(key, (self.kept, marks));
        let mut gone = 0;
        while self.groups.len() > self.bounds.groups || self.marks > self.bounds.marks {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = *oldest;
            self.remove(&oldest);
            gone += 1;
        }
        gone
    }

    fn remove(&mut self, key: &Key) -> Marks {
        let Some((at, marks)) = self.groups.remove(key) else { return Marks::new() };
        self.order.remove(&at);
        self.marks -= marks.len();
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fingerprint: u64, firing: bool) -> Told {
        Told { fingerprint, firing, starts: 0 }
    }

    fn delivered(fingerprints: std::ops::Range<u64>) -> Marks {
        fingerprints.map(|fingerprint| (told(fingerprint, true), Mark::Delivered)).collect()
    }

    #[test]
    fn what_is_kept_is_there_for_the_next_attempt_and_only_once() {
        let mut progress = Progress::default();
        progress.keep(key("group"), delivered(0..2));
        let present = [told(0, true), told(1, true), told(2, true)];
        assert_eq!(progress.take(&key("group"), &present), delivered(0..2));
        assert!(progress.take(&key("group"), &present).is_empty());
        assert_eq!((progress.len(), progress.marks), (0, 0));
    }

    #[test]
    fn the_end_of_an_alert_and_its_next_beginning_are_other_things_to_tell() {
        let mut progress = Progress::default();
        progress.keep(key("group"), delivered(0..1));
        let again = Told { starts: 1, ..told(0, true) };
        assert!(progress.take(&key("group"), &[told(0, false), again]).is_empty());
    }

    #[test]
    fn what_left_the_group_is_forgotten() {
        let mut progress = Progress::default();
        progress.keep(key("group"), delivered(0..5));
        let left = progress.take(&key("group"), &[told(4, true)]);
        assert_eq!(left, delivered(4..5));
        progress.keep(key("group"), left);
        assert_eq!(progress.marks, 1);
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let mut progress = Progress::default();
        progress.keep(key("one"), delivered(0..1));
        assert!(progress.take(&key("other"), &[told(0, true)]).is_empty());
        assert_eq!(progress.len(), 1);
    }

    #[test]
    fn the_group_that_was_kept_longest_ago_goes_first() {
        let mut progress = Progress::within(Bounds { groups: 2, marks: 100 });
        assert_eq!(progress.keep(key("a"), delivered(0..1)), 0);
        assert_eq!(progress.keep(key("b"), delivered(0..1)), 0);
        assert_eq!(progress.keep(key("a"), delivered(0..2)), 0, "`a` is newer than `b` now");
        assert_eq!(progress.keep(key("c"), delivered(0..1)), 1);
        assert!(progress.take(&key("b"), &[told(0, true)]).is_empty());
        assert_eq!(progress.take(&key("a"), &[told(0, true), told(1, true)]).len(), 2);
    }

    #[test]
    fn alerts_are_bounded_over_all_groups() {
        let mut progress = Progress::within(Bounds { groups: 100, marks: 10 });
        for group in 0..9 {
            progress.keep(key(&group.to_string()), delivered(0..4));
            assert!(progress.marks <= 10);
        }
        assert_eq!(progress.len(), 2);
        assert_eq!(progress.keep(key("larger than all"), delivered(0..11)), 3);
        assert_eq!((progress.len(), progress.marks, progress.order.len()), (0, 0, 0));
    }
}
