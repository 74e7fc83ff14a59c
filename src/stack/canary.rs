//! The alerts of a fire drill: one for each severity and component, and one more for each
//! receiver that none of those reaches.
//!
//! A canary bears a label that no other alert has. Every route groups by it and every inhibition
//! asks that it be absent, so a drill neither joins the groups of real alerts nor mutes or is
//! muted by one. An alert that only claims to be a drill is delivered like any other.

use std::collections::{BTreeMap, BTreeSet};

use super::matcher::Compiled;
use super::routing::{Labels, Router, Truth};
use super::{MatchOp, Matcher, Route, Stack};

/// The label that makes an alert a canary; its value names the drill.
pub const LABEL: &str = "monprov_drill";

/// What canaries are called, unless a route wants them to be called otherwise.
pub const NAME: &str = "MonprovDrill";

/// An alert that is sent to see who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    pub labels: BTreeMap<String, String>,
    /// Who should get it.
    pub receivers: BTreeSet<String>,
}

/// The canaries of a stack.
#[derive(Debug, Clone, Default)]
pub struct Canaries {
    pub all: Vec<Canary>,
    /// Receivers that nothing leads to, and why.
    pub unreached: BTreeMap<String, String>,
}

/// The canaries of a drill with this name. `only`: for these receivers; empty: for all.
pub fn canaries(stack: &Stack, drill: &str, only: &[String]) -> Canaries {
    // Patterns that don't compile were refused when the bundle was built.
    let Ok(router) = Router::new(&stack.route) else { return Canaries::default() };
    let mut found = Canaries::default();
    let common = |extra: BTreeMap<String, String>| {
        let mut labels = stack.prometheus.external_labels.clone();
        labels.extend([("alertname".to_owned(), NAME.to_owned()), (LABEL.to_owned(), drill.to_owned())]);
        labels.extend(extra);
        labels
    };
    for kind in kinds(stack) {
        let labels = common(kind);
        found.all.push(Canary { receivers: receivers(&router, &labels), labels });
    }
    let wanted: BTreeSet<&String> = match only {
        [] => routed(&stack.route),
        only => only.iter().collect(),
    };
    for receiver in wanted {
        if found.all.iter().any(|canary| canary.receivers.contains(receiver)) {
            continue;
        }
        let mut routes = vec![];
        paths(&stack.route, &mut vec![], &mut |path| {
            if path.last().is_some_and(|route| route.receiver == *receiver) {
                routes.push(path.iter().flat_map(|route| route.matchers.clone()).collect::<Vec<_>>());
            }
        });
        let fitting = routes.iter().filter_map(|matchers| satisfying(matchers)).map(common);
        let canary = fitting
            .map(|labels| Canary { receivers: receivers(&router, &labels), labels })
            .find(|canary| canary.receivers.contains(receiver));
        match canary {
            Some(canary) => found.all.push(canary),
            None => {
                let why = match routes.is_empty() {
                    true => "no route leads to it",
                    false => {
                        "no labels were found that its route takes: an earlier one is in the way, or a pattern is too hard"
                    }
                };
                found.unreached.insert(receiver.clone(), why.to_owned());
            }
        }
    }
    if !only.is_empty() {
        found.all.retain(|canary| only.iter().any(|receiver| canary.receivers.contains(receiver)));
    }
    found
}

/// Each severity and component that an alert of the stack has.
fn kinds(stack: &Stack) -> BTreeSet<BTreeMap<String, String>> {
    let alerts = stack.rules().filter(|(_, rule)| rule.alert().is_some());
    let kind = |(group, rule): (&super::Group, &super::Rule)| {
        let own = rule.labels();
        let value = |name: &&str| {
            let value = own.get(*name).or_else(|| group.labels.get(*name)).cloned();
            // What a template makes of it only the alert's firing shows.
            value.filter(|value| !value.is_empty() && !value.contains("{{"))
        };
        ["severity", "component"].iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
    };
    alerts.map(kind).collect()
}

fn receivers(router: &Router<'_>, labels: &BTreeMap<String, String>) -> BTreeSet<String> {
    let taken = router.route(&Labels::of(labels.clone())).into_iter();
    taken.filter(|(_, truth)| *truth == Truth::Yes).map(|(route, _)| route.receiver.clone()).collect()
}

/// Every receiver of a tree.
pub fn routed(route: &Route) -> BTreeSet<&String> {
    let below = route.routes.iter().flat_map(routed);
    below.chain([&route.receiver]).filter(|receiver| !receiver.is_empty()).collect()
}

/// Every route with those around it.
fn paths<'r>(route: &'r Route, above: &mut Vec<&'r Route>, visit: &mut dyn FnMut(&[&'r Route])) {
    above.push(route);
    visit(above);
    for child in &route.routes {
        paths(child, above, visit);
    }
    above.pop();
}

/// Labels that all of these match, where some are easily found.
fn satisfying(matchers: &[Matcher]) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for matcher in matchers {
        let value = match matcher.op {
            MatchOp::Equal => vec![matcher.value.clone()],
            MatchOp::Regex => matcher.value.split('|').map(plain).collect(),
            MatchOp::NotEqual | MatchOp::NotRegex => vec![String::new(), "drill".to_owned()],
        };
        let compiled = matcher.compile().ok()?;
        let value = value.into_iter().find(|value| compiled.is_match(value))?;
        // Of two matchers for one label, a value was the first's.
        labels.entry(matcher.label.clone()).or_insert(value);
    }
    let all: Vec<Compiled> = matchers.iter().map(Matcher::compile).collect::<Result<_, _>>().ok()?;
    let fits = all.iter().all(|m| m.is_match(labels.get(&m.label).map(String::as_str).unwrap_or_default()));
    labels.retain(|_, value| !value.is_empty());
    fits.then_some(labels)
}

/// An alternative of a pattern without what is only punctuation in it.
fn plain(alternative: &str) -> String {
    let text = alternative.trim_matches(['(', ')', '^', '$']).trim_start_matches("?:");
    text.replace(".*", "").replace(".+", "x").replace('\\', "")
}
