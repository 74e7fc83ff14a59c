//! Stack → findings, one file or folder a family. Every check reports all that it finds.

pub mod alerting;
pub mod catalog;
pub mod dashboards;
pub mod images;
pub mod kubernetes;
pub mod metrics;
pub mod promql;
pub mod relay;
mod remembered;
pub mod rules;
pub mod services;
pub mod swarm;
pub mod template;
pub mod versions;

use crate::diagnostic::{Code, Finding};
use crate::stack::Stack;

use catalog::Catalogs;

/// Reads what [`all`] will need of a stack of which little changes until then, so that it finds it
/// read: for who has time on the same thread.
pub fn prepare(stack: &Stack, catalogs: &Catalogs) {
    rules::prepare(stack, &rules::sources(stack, catalogs));
    alerting::alerts::prepare(stack);
}

/// Everything that is wrong with a stack.
pub fn all(stack: &Stack, catalogs: &Catalogs) -> Vec<Finding> {
    let sources = rules::sources(stack, catalogs);
    let mut findings = alerting::check(stack);
    findings.extend(versions::check(stack));
    findings.extend(rules::check(stack, &sources));
    findings.extend(services::check(stack));
    findings.extend(swarm::check(stack));
    findings.extend(relay::check(stack));
    findings.extend(images::check(stack));
    findings.extend(kubernetes::check(stack));
    findings.extend(dashboards::check(stack, &sources));
    findings
}

/// The codes of all that is found without leaving the pure rooms.
pub fn codes() -> Vec<&'static Code> {
    let families = [
        crate::profile::codes::CODES,
        crate::stack::rulefile::CODES,
        alerting::CODES,
        dashboards::CODES,
        images::CODES,
        kubernetes::CODES,
        relay::CODES,
        rules::CODES,
        services::CODES,
        swarm::CODES,
        versions::CODES,
    ];
    families.into_iter().flatten().copied().collect()
}
