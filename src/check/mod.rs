//! Stack → findings, one file or folder a family. Every check reports all that it finds.

pub mod alerting;
pub mod catalog;
pub mod metrics;
pub mod promql;
pub mod rules;
pub mod template;
pub mod versions;

use crate::diagnostic::{Code, Finding};
use crate::stack::Stack;

use catalog::Catalogs;

/// Everything that is wrong with a stack.
pub fn all(stack: &Stack, catalogs: &Catalogs) -> Vec<Finding> {
    let mut findings = alerting::check(stack);
    findings.extend(versions::check(stack));
    findings.extend(rules::check(stack, catalogs));
    findings
}

/// Every code there is, by number.
pub fn codes() -> Vec<&'static Code> {
    let families = [
        crate::profile::codes::CODES,
        crate::secret::CODES,
        crate::stack::rulefile::CODES,
        crate::oracle::CODES,
        alerting::CODES,
        versions::CODES,
        rules::CODES,
    ];
    let mut codes: Vec<_> = families.into_iter().flatten().copied().collect();
    codes.sort_by_key(|c| c.id);
    codes
}
