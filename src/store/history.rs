//! What the generations of a profile say together. Pure: lists in, one of them out. The lists
//! are sorted by number.

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
