//! Stack → findings, one file a family.

pub mod catalog;

use crate::diagnostic::{Code, Finding};
use crate::stack::Stack;

use catalog::Catalogs;

/// Everything that is wrong with a stack.
pub fn all(_stack: &Stack, _catalogs: &Catalogs) -> Vec<Finding> {
    vec![]
}

/// Every code there is, by number.
pub fn codes() -> Vec<&'static Code> {
    let families = [
        crate::profile::codes::CODES,
        crate::secret::CODES,
        crate::stack::rulefile::CODES,
        crate::oracle::CODES,
    ];
    let mut codes: Vec<_> = families.into_iter().flatten().copied().collect();
    codes.sort_by_key(|c| c.id);
    codes
}
