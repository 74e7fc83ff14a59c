//! What the generations of a profile say together. Pure: lists in, one of them out. The lists
//! are sorted by number.

use super::gc::Limits;
use super::generations::{Generation, Outcome};
use crate::bundle::StoreName;

/// The newest that is being activated.
pub(super) fn pending(all: &[Generation]) -> Option<&Generation> {
    all.iter().rev().find(|one| one.outcome == Outcome::Pending)
}

/// What a rollback goes to: the nearest success before the place of the current one that has
/// another bundle. So a second rollback goes further back and does not return.
pub(super) fn previous<'a>(all: &'a [Generation], current: &Generation) -> Option<&'a Generation> {
    all.iter().rev().find(|one| {
        one.number < current.place() && one.outcome == Outcome::Activated && one.bundle != current.bundle
    })
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
    let last_success = successes().next().map(|one| one.number);
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
