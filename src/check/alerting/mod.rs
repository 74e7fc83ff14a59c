//! Alerts on their way to people: routes, receivers, inhibitions and time intervals.

pub(crate) mod alerts;
mod inhibitions;
mod intervals;
mod overlap;
mod receivers;
mod routes;

use crate::diagnostic::{Code, Finding};
use crate::stack::{ServiceKind, Stack};

/// The codes of this family.
pub static CODES: &[&Code] = &[
    &crate::stack::matcher::BAD_MATCHER,
    &routes::M201,
    &routes::M202,
    &routes::M203,
    &routes::M204,
    &routes::M205,
    &routes::M206,
    &routes::M207,
    &receivers::M210,
    &receivers::M211,
    &receivers::M212,
    &receivers::M213,
    &inhibitions::M220,
    &inhibitions::M221,
    &inhibitions::M222,
    &intervals::M230,
];

/// Everything that is wrong between an alert and the people whom it should reach.
pub fn check(stack: &Stack) -> Vec<Finding> {
    let alerts = alerts::alerts(stack);
    if stack.service_of(ServiceKind::Alertmanager).is_none() {
        return routes::no_alertmanager(&alerts).into_iter().collect();
    }
    let mut findings = routes::check(stack, &alerts);
    findings.extend(receivers::check(stack));
    findings.extend(inhibitions::check(stack, &alerts));
    findings.extend(intervals::check(stack));
    findings
}
