//! Inhibitions: what mutes what, and does it mute too much?

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Finding, Place};
use crate::stack::routing::{Condition, Truth};
use crate::stack::{Inhibition, Matcher, Stack};

use super::alerts::Alert;
use super::overlap::Facts;
use super::routes::{M204, pattern, unmet};

pub(super) static M220: Code = Code {
    id: "M220",
    title: "an inhibition whose source can be its own target",
    explain: "An alert that matches both sides can't be muted by another that does too, so whether the\n\
              inhibition works depends on which alerts fire. Give the sides different values of one label:\n\n\
              [inhibitions.critical-explains-warning]\n\
              source.severity = \"critical\"\n\
              target.severity = \"warning\"\n\
              equal = [\"component\"]",
};
pub(super) static M221: Code = Code {
    id: "M221",
    title: "an inhibition that can swallow a critical alert",
    explain: "While the source fires, a critical alert would be sent to nobody. It is an error where the source\n\
              may be less than critical, since then nobody may be woken at all. Add\n\
              `target.severity = \"warning\"`, or a label to `equal` that keeps unrelated alerts apart.",
};
pub(super) static M222: Code = Code {
    id: "M222",
    title: "an inhibition that does not look at what the alerts are about",
    explain: "`equal` keeps an inhibition to alerts of the same thing. A label that both sides lack is equal\n\
              (nothing equals nothing), and an empty `equal` compares nothing: one source then mutes every\n\
              target there is. Name a label in `equal` that the alerts have, such as `component`.",
};

pub(super) fn check(stack: &Stack, alerts: &[Alert<'_>]) -> Vec<Finding> {
    let mut findings = vec![];
    for inhibition in stack.inhibitions.values() {
        match Sides::new(inhibition, alerts) {
            Ok(sides) => sides.check(inhibition, alerts, &mut findings),
            Err(error) => findings.push(pattern(&inhibition.at, &error)),
        }
    }
    findings
}

/// The alerts that can be on either side.
struct Sides<'s, 'a> {
    sources: Vec<&'s Alert<'a>>,
    targets: Vec<&'s Alert<'a>>,
    overlap: bool,
    critical_source: bool,
}

impl<'s, 'a> Sides<'s, 'a> {
    fn new(
        inhibition: &Inhibition,
        alerts: &'s [Alert<'a>],
    ) -> Result<Self, crate::stack::re2::PatternError> {
        let (source, target) = (Condition::new(&inhibition.source)?, Condition::new(&inhibition.target)?);
        let critical = [Matcher::equal("severity", "critical")];
        let facts = Facts::new(&inhibition.source)?;
        Ok(Sides {
            sources: alerts.iter().filter(|a| source.test(&a.labels) != Truth::No).collect(),
            targets: alerts.iter().filter(|a| target.test(&a.labels) != Truth::No).collect(),
            overlap: !facts.exclude(&Facts::new(&inhibition.target)?)
                && (alerts.is_empty()
                    || alerts
                        .iter()
                        .any(|a| source.test(&a.labels).min(target.test(&a.labels)) != Truth::No)),
            critical_source: facts.imply(&Facts::new(&critical)?),
        })
    }

    fn check(&self, inhibition: &Inhibition, alerts: &[Alert<'_>], findings: &mut Vec<Finding>) {
        let place = || Place::Key(inhibition.at.clone());
        let name = &inhibition.name;
        if !alerts.is_empty() {
            for (side, met, matchers) in [
                ("source", !self.sources.is_empty(), &inhibition.source),
                ("target", !self.targets.is_empty(), &inhibition.target),
            ] {
                if !met {
                    let message = format!("no alert of the stack is a {side} of inhibition `{name}`");
                    let why = unmet(matchers, alerts).unwrap_or_default();
                    findings.push(Finding::warning(&M204, place(), message).label(why));
                }
            }
        }
        if self.overlap {
            let message = format!("an alert can be both source and target of inhibition `{name}`");
            findings.push(
                Finding::warning(&M220, place(), message)
                    .label("give both sides different values of one label, such as `severity`"),
            );
        }
        self.critical(inhibition, findings);
        self.equal(inhibition, findings);
    }

    fn critical(&self, inhibition: &Inhibition, findings: &mut Vec<Finding>) {
        let signatures: Vec<Signature<'_>> = self.sources.iter().map(|a| signature(inhibition, a)).collect();
        let distinct: BTreeSet<&Signature<'_>> = signatures.iter().collect();
        let muted: Vec<&&Alert<'_>> = self
            .targets
            .iter()
            .filter(|t| t.labels.get("severity") == Some("critical"))
            .filter(|t| {
                let own = signature(inhibition, t);
                // The exact one is found at once, however many there are.
                distinct.contains(&own) || distinct.iter().any(|source| could_be_equal(source, &own))
            })
            .collect();
        let Some(first) = muted.first() else { return };
        let severity = if self.critical_source { Truth::Maybe } else { Truth::Yes };
        let others = if muted.len() > 1 { format!(" and {} more", muted.len() - 1) } else { String::new() };
        let message = format!(
            "inhibition `{}` can mute the critical alert `{}`{others}",
            inhibition.name, first.rule.name
        );
        let finding = if severity == Truth::Yes { Finding::error } else { Finding::warning };
        findings.push(
            finding(&M221, Place::Key(inhibition.at.clone()), message)
                .label("add `target.severity = \"warning\"`, or a label to `equal`")
                .related(first.place(), "would reach nobody while a source fires"),
        );
    }

    fn equal(&self, inhibition: &Inhibition, findings: &mut Vec<Finding>) {
        if self.sources.is_empty() || self.targets.is_empty() {
            return;
        }
        if inhibition.equal.is_empty() {
            let message =
                format!("inhibition `{}` mutes its targets whatever they are about", inhibition.name);
            findings.push(
                Finding::warning(&M222, Place::Key(inhibition.at.clone()), message)
                    .label("name a label in `equal` that related alerts share, such as `component`"),
            );
        }
        for (index, label) in inhibition.equal.iter().enumerate() {
            let lacks = |a: &&Alert<'_>| a.labels.get(label) == Some("");
            if self.sources.iter().all(lacks) && self.targets.iter().all(lacks) {
                let message =
                    format!("no alert has the label `{label}`, and two that lack it count as equal");
                findings.push(
                    Finding::warning(&M222, Place::setting(inhibition.at.join("equal").join(index)), message)
                        .label("does not keep any two alerts apart"),
                );
            }
        }
    }
}

/// The values of the labels in `equal`; `None` where one is not known.
type Signature<'a> = Vec<Option<&'a str>>;

fn signature<'a>(inhibition: &Inhibition, alert: &'a Alert<'_>) -> Signature<'a> {
    inhibition.equal.iter().map(|label| alert.labels.get(label)).collect()
}

fn could_be_equal(one: &Signature<'_>, other: &Signature<'_>) -> bool {
    one.iter().zip(other).all(|(a, b)| a.is_none() || b.is_none() || a == b)
}
