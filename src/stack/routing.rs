//! Which routes an alert takes: Alertmanager's dispatch, also for alerts of which not every
//! label is known before they fire.

use std::collections::{BTreeMap, BTreeSet};

use super::matcher::Compiled;
use super::re2::PatternError;
use super::{Matcher, Route};

/// Whether something holds, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    No,
    Maybe,
    Yes,
}

/// The labels of an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Those whose value is known.
    pub known: BTreeMap<String, String>,
    /// Those that it may have, with a value that only its firing shows.
    pub unknown: BTreeSet<String>,
    /// It may have any other label too.
    pub open: bool,
}

impl Labels {
    /// Labels that are all known.
    pub fn of<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        Labels { known: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(), ..Self::default() }
    }

    /// The value of a label, empty where it has none; `None` where that is not known.
    pub fn get(&self, label: &str) -> Option<&str> {
        match self.known.get(label) {
            Some(value) => Some(value),
            None if self.open || self.unknown.contains(label) => None,
            None => Some(""),
        }
    }
}

/// Matchers that must all match.
#[derive(Debug, Clone, Default)]
pub struct Condition(Vec<Compiled>);

impl Condition {
    pub fn new(matchers: &[Matcher]) -> Result<Self, PatternError> {
        matchers.iter().map(Matcher::compile).collect::<Result<_, _>>().map(Condition)
    }

    pub fn test(&self, labels: &Labels) -> Truth {
        self.0
            .iter()
            .map(|m| match labels.get(&m.label) {
                Some(value) if m.is_match(value) => Truth::Yes,
                Some(_) => Truth::No,
                None => Truth::Maybe,
            })
            .min()
            .unwrap_or(Truth::Yes)
    }
}

/// A route with its matchers compiled.
#[derive(Debug, Clone)]
pub struct Router<'a> {
    route: &'a Route,
    condition: Condition,
    children: Vec<Router<'a>>,
}

impl<'a> Router<'a> {
    /// Fails with the first route whose matchers do not compile.
    pub fn new(route: &'a Route) -> Result<Self, (&'a Route, PatternError)> {
        Ok(Router {
            route,
            condition: Condition::new(&route.matchers).map_err(|e| (route, e))?,
            children: route.routes.iter().map(Router::new).collect::<Result<_, _>>()?,
        })
    }

    /// The routes that an alert takes, in order, and whether it surely takes them.
    /// At least one is in it if the router is of a root.
    pub fn route(&self, labels: &Labels) -> Vec<(&'a Route, Truth)> {
        let stays = |s: Step<'a>| (s.stays != Truth::No).then_some((s.route, s.stays));
        self.trace(labels).into_iter().filter_map(stays).collect()
    }

    /// The routes that an alert comes to, the inner ones before those around them.
    pub fn trace(&self, labels: &Labels) -> Vec<Step<'a>> {
        let mut steps = vec![];
        let truth = self.condition.test(labels);
        if truth != Truth::No {
            self.take(labels, truth, &mut steps);
        }
        steps
    }

    fn take(&self, labels: &Labels, arrives: Truth, steps: &mut Vec<Step<'a>>) {
        // Whether it still gets to the next child, and whether it stays with this route.
        let (mut onward, mut stays) = (arrives, arrives);
        for child in &self.children {
            let matches = child.condition.test(labels);
            if matches == Truth::No {
                continue;
            }
            child.take(labels, onward.min(matches), steps);
            // A child that surely matches takes it, or an earlier one did.
            stays = if matches == Truth::Yes { Truth::No } else { stays.min(Truth::Maybe) };
            if !child.route.r#continue {
                onward = if matches == Truth::Yes { Truth::No } else { onward.min(Truth::Maybe) };
            }
            if onward == Truth::No {
                break;
            }
        }
        steps.push(Step { route: self.route, arrives, stays });
    }
}

/// A route that an alert comes to.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    pub route: &'a Route,
    pub arrives: Truth,
    /// Whether no child takes it further, so that this route notifies.
    pub stays: Truth,
}

/// The routes that an alert with these labels takes, in the order of the tree.
pub fn route<'a>(root: &'a Route, labels: &Labels) -> Result<Vec<&'a Route>, (&'a Route, PatternError)> {
    let taken = Router::new(root)?.route(labels);
    Ok(taken.into_iter().map(|(route, _)| route).collect())
}
