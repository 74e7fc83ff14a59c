//! What the generations of a profile say together. Pure: lists in, one of them out. The lists
//! are sorted by number.

use super::gc::Limits;
use super::generations::{Generation, Outcome};
use crate::bundle::StoreName;

/// The newest that is being activated.
pub(super) fn pending(all: &[Generation]) -> Option<&Generation> {
    all.iter().rev().find(|one| one.outcome == Outcome::Pending)
}

/// The newest that succeeded; no other is ever current.
pub(super) fn last_success(all: &[Generation]) -> Option<&Generation> {
    all.iter().rev().find(|one| one.outcome == Outcome::Activated)
}

/// What a rollback goes to: what ran before the current one, and had another bundle. A
/// generation ran after the success before its place; so a second rollback goes further back.
pub(super) fn previous<'a>(all: &'a [Generation], current: &'a Generation) -> Option<&'a Generation> {
    let mut at = current;
    loop {
        let ran = |one: &&Generation| one.number < at.place() && one.outcome == Outcome::Activated;
        let before = all.iter().rev().find(ran)?;
        if before.bundle != current.bundle {
            return Some(before);
        }
        at = before;
    }
}

/// The generation that marked the bundle as failed, unless it was tried with another outcome since.
pub(super) fn rejected<'a>(all: &'a [Generation], bundle: &StoreName) -> Option<&'a Generation> {
    let tried = all.iter().rev().find(|one| one.bundle == *bundle && one.outcome != Outcome::Pending);
    tried.filter(|one| one.rejected)
}

/// The rollback that left the bundle: of those made in a row, up to the current generation.
pub(super) fn left<'a>(
    all: &'a [Generation],
    current: &Generation,
    bundle: &StoreName,
) -> Option<&'a Generation> {
    if current.bundle == *bundle {
        return None;
    }
    let numbered = |number: u64| all.iter().find(|one| one.number == number);
    let mut at = numbered(current.number)?;
    loop {
        // Always downwards, also where somebody edited the files.
        let from = numbered(at.rollback?.from).filter(|from| from.number < at.number)?;
        if from.bundle == *bundle {
            return Some(at);
        }
        at = from;
    }
}

/// The numbers of those beyond the limits. See [`super::gc`] for those that always stay.
pub(super) fn expired(all: &[Generation], current: Option<u64>, limits: Limits) -> Vec<u64> {
    let successes = || all.iter().rev().filter(|one| one.outcome == Outcome::Activated);
    let last_success = last_success(all).map(|one| one.number);
    let newest = all.last().map(|one| one.number);
    // With fewer than that, all stay.
    let oldest_kept = limits.keep.map(|keep| match keep.checked_sub(1) {
        Some(others) => successes().nth(others).map_or(0, |one| one.number),
        None => u64::MAX,
    });
    let stays = |one: &Generation| {
        one.outcome == Outcome::Pending
            || [current, last_success, newest].contains(&Some(one.number))
            || oldest_kept.is_some_and(|oldest| one.number >= oldest)
            || limits.since.is_some_and(|since| one.time >= since)
    };
    all.iter().filter(|one| !stays(one)).map(|one| one.number).collect()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    use super::super::generations::{Rollback, SCHEMA};
    use super::*;

    fn bundle(n: u8) -> StoreName {
        format!("{}-prod", char::from(b'0' + n).to_string().repeat(32)).parse().unwrap()
    }

    /// One an hour, the first at the epoch.
    fn generation(number: u64, of: u8, outcome: Outcome) -> Generation {
        Generation {
            schema: SCHEMA,
            number,
            time: hours(number - 1),
            bundle: bundle(of),
            runtime: "none".into(),
            by: "anna".into(),
            message: None,
            rollback: None,
            outcome,
            reason: None,
            rejected: outcome == Outcome::Restored,
        }
    }

    fn hours(count: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(count as i64)
    }

    #[derive(Debug, Clone)]
    enum Event {
        Activate(u8),
        Fail(u8),
        Rollback,
        RollbackTo(prop::sample::Index),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => (0..4_u8).prop_map(Event::Activate),
            1 => (0..4_u8).prop_map(Event::Fail),
            4 => Just(Event::Rollback),
            1 => any::<prop::sample::Index>().prop_map(Event::RollbackTo),
        ]
    }

    proptest! {
        /// The model is a browser's: what ran is a stack, a rollback leaves its top, and a
        /// generation goes back to the stack as it was then.
        #[test]
        fn a_rollback_goes_to_what_ran_before(events in prop::collection::vec(event(), 1..40)) {
            let mut all: Vec<Generation> = Vec::new();
            let mut current: Option<usize> = None;
            let mut stacks: Vec<Vec<StoreName>> = Vec::new(); // by generation
            for event in events {
                let number = all.len() as u64 + 1;
                let now = current.map(|at: usize| stacks[at].clone()).unwrap_or_default();
                let (mut next, stack) = match event {
                    Event::Activate(of) | Event::Fail(of) => {
                        let fails = matches!(event, Event::Fail(_));
                        let outcome = if fails { Outcome::Restored } else { Outcome::Activated };
                        let mut stack = now;
                        stack.push(bundle(of));
                        (generation(number, of, outcome), stack)
                    }
                    Event::Rollback => {
                        let Some(at) = current else { continue };
                        let mut stack = now;
                        let top = stack.last().cloned();
                        while stack.last().is_some() && stack.last() == top.as_ref() {
                            stack.pop();
                        }
                        let target = previous(&all, &all[at]);
                        prop_assert_eq!(target.map(|one| &one.bundle), stack.last());
                        let Some(target) = target else { continue };
                        let mut next = generation(number, 0, Outcome::Activated);
                        next.bundle = target.bundle.clone();
                        next.rollback = Some(Rollback { from: all[at].number, to: target.place() });
                        (next, stack)
                    }
                    Event::RollbackTo(index) => {
                        let Some(at) = current else { continue };
                        let target = &all[index.index(all.len())];
                        let mut next = generation(number, 0, Outcome::Activated);
                        next.bundle = target.bundle.clone();
                        next.rollback = Some(Rollback { from: all[at].number, to: target.place() });
                        (next, stacks[target.number as usize - 1].clone())
                    }
                };
                next.rejected = false;
                if next.outcome == Outcome::Activated {
                    current = Some(all.len());
                }
                all.push(next);
                stacks.push(stack);
            }
        }

        #[test]
        fn limits_keep_what_they_say_and_what_always_stays(
            outcomes in prop::collection::vec(0..3_u8, 1..20),
            current in any::<prop::sample::Index>(),
            keep in prop::option::of(0..6_usize),
            since in prop::option::of(0..20_u64),
        ) {
            let outcome = |n: u8| [Outcome::Activated, Outcome::Restored, Outcome::Pending][usize::from(n)];
            let all: Vec<_> =
                outcomes.iter().zip(1..).map(|(o, number)| generation(number, 0, outcome(*o))).collect();
            let current = all[current.index(all.len())].number;
            let limits = Limits { keep, since: since.map(hours) };
            let expired = expired(&all, Some(current), limits);
            let successes: Vec<u64> =
                all.iter().filter(|g| g.outcome == Outcome::Activated).map(|g| g.number).collect();
            for one in &all {
                let always = one.number == current
                    || one.outcome == Outcome::Pending
                    || Some(&one.number) == successes.last()
                    || one.number == all.len() as u64;
                let kept = keep.is_some_and(|keep| {
                    successes.iter().filter(|n| **n > one.number).count() < keep
                });
                let young = since.is_some_and(|since| one.number > since);
                prop_assert_eq!(!expired.contains(&one.number), always || kept || young, "{}", one.number);
            }
        }
    }

    #[test]
    fn a_later_success_takes_the_mark_away() {
        let mut all = vec![generation(1, 1, Outcome::Activated), generation(2, 2, Outcome::Restored)];
        assert_eq!(rejected(&all, &bundle(2)).map(|one| one.number), Some(2));
        assert_eq!(rejected(&all, &bundle(1)), None);
        all.push(generation(3, 2, Outcome::Pending));
        assert_eq!(rejected(&all, &bundle(2)).map(|one| one.number), Some(2));
        all.push(generation(4, 2, Outcome::Activated));
        assert_eq!(rejected(&all, &bundle(2)), None);
    }

    #[test]
    fn a_bundle_is_left_until_another_is_activated() {
        let back = |number, of, from, to| Generation {
            rollback: Some(Rollback { from, to }),
            ..generation(number, of, Outcome::Activated)
        };
        let mut all: Vec<_> = (1..=3).map(|n| generation(n, n as u8, Outcome::Activated)).collect();
        let left_by =
            |all: &[Generation], of| left(all, all.last().unwrap(), &bundle(of)).map(|one| one.number);
        assert_eq!(left_by(&all, 2), None, "replaced, but not left");
        all.push(back(4, 2, 3, 2));
        all.push(back(5, 1, 4, 1));
        assert_eq!([1, 2, 3].map(|of| left_by(&all, of)), [None, Some(5), Some(4)]);
        all.push(generation(6, 4, Outcome::Activated));
        assert_eq!([1, 2, 3].map(|of| left_by(&all, of)), [None, None, None]);
        // Edited by hand into a circle.
        all.push(back(7, 1, 7, 1));
        assert_eq!(left_by(&all, 3), None);
    }
}
