//! What can be proved about two sets of matchers without knowing any alert.

use crate::stack::matcher::Compiled;
use crate::stack::re2::PatternError;
use crate::stack::{MatchOp, Matcher};

/// A matcher with what is known about the values that it matches.
#[derive(Debug)]
struct Fact<'a> {
    matcher: &'a Matcher,
    compiled: Compiled,
    /// All values that match, where they can be counted.
    values: Option<Vec<&'a str>>,
}

/// Matchers that must all match.
#[derive(Debug)]
pub(super) struct Facts<'a>(Vec<Fact<'a>>);

impl<'a> Facts<'a> {
    pub(super) fn new(matchers: &'a [Matcher]) -> Result<Self, PatternError> {
        let fact = |matcher: &'a Matcher| {
            Ok(Fact {
                matcher,
                compiled: matcher.compile()?,
                values: match matcher.op {
                    MatchOp::Equal => Some(vec![matcher.value.as_str()]),
                    MatchOp::Regex => alternatives(&matcher.value),
                    MatchOp::NotEqual | MatchOp::NotRegex => None,
                },
            })
        };
        matchers.iter().map(fact).collect::<Result<_, _>>().map(Facts)
    }

    /// True if every label set that matches `self` surely matches `other`.
    pub(super) fn imply(&self, other: &Facts<'_>) -> bool {
        other.0.iter().all(|wanted| {
            let everything = wanted.matcher.op == MatchOp::Regex && wanted.matcher.value == ".*";
            everything || self.on(wanted).any(|own| own.implies(wanted))
        })
    }

    /// True if surely no label set matches both.
    pub(super) fn exclude(&self, other: &Facts<'_>) -> bool {
        other.0.iter().any(|theirs| self.on(theirs).any(|own| own.excludes(theirs)))
    }

    /// Two of these matchers that can't both match.
    pub(super) fn contradiction(&self) -> Option<(&'a Matcher, &'a Matcher)> {
        let pairs = self.0.iter().flat_map(|a| self.on(a).map(move |b| (a, b)));
        pairs.into_iter().find(|(a, b)| a.excludes(b)).map(|(a, b)| (a.matcher, b.matcher))
    }

    fn on<'s>(&'s self, other: &'s Fact<'_>) -> impl Iterator<Item = &'s Fact<'a>> {
        self.0.iter().filter(|own| own.matcher.label == other.matcher.label)
    }
}

impl Fact<'_> {
    fn implies(&self, wanted: &Fact<'_>) -> bool {
        if self.matcher == wanted.matcher {
            return true;
        }
        if let Some(values) = &self.values {
            return values.iter().all(|v| wanted.compiled.is_match(v));
        }
        // What is excluded does not match here anyway.
        match wanted.matcher.op {
            MatchOp::NotEqual => !self.compiled.is_match(&wanted.matcher.value),
            MatchOp::NotRegex => alternatives(&wanted.matcher.value)
                .is_some_and(|vs| vs.iter().all(|v| !self.compiled.is_match(v))),
            MatchOp::Equal | MatchOp::Regex => false,
        }
    }

    fn excludes(&self, other: &Fact<'_>) -> bool {
        let none = |values: &Option<Vec<&str>>, of: &Compiled| {
            values.as_ref().is_some_and(|values| values.iter().all(|v| !of.is_match(v)))
        };
        let opposite = matches!(
            (self.matcher.op, other.matcher.op),
            (MatchOp::Regex, MatchOp::NotRegex) | (MatchOp::NotRegex, MatchOp::Regex)
        );
        none(&self.values, &other.compiled)
            || none(&other.values, &self.compiled)
            || (opposite && self.matcher.value == other.matcher.value)
    }
}

/// The values of a pattern such as `warning|critical`.
fn alternatives(pattern: &str) -> Option<Vec<&str>> {
    let inner = pattern.strip_prefix('(').and_then(|p| p.strip_suffix(')')).unwrap_or(pattern);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '/' | ':' | '@' | ',' | '|');
    inner.chars().all(plain).then(|| inner.split('|').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Matcher> {
        if text.is_empty() { vec![] } else { Matcher::parse(text).unwrap() }
    }

    #[test]
    fn implication() {
        for (narrow, wide, holds) in [
            ("a=x", "", true),
            ("", "a=x", false),
            ("a=x, b=y", "a=x", true),
            ("a=x", "a=~\"x|y\"", true),
            ("a=~\"x|y\"", "a=~\"x|y|z\"", true),
            ("a=~\"x|z\"", "a=~\"x|y\"", false),
            ("a=x", "a!=y", true),
            ("a=~\"x.*\"", "a!=y", true),
            ("a!=y", "a!=y", true),
            ("a=~\"x.*\"", "a!~\"y|z\"", true),
            ("a=~\"x.*\"", "a=~\".*\"", true),
            ("a=~\"x.*\"", "a=~\"x\"", false),
            ("b=x", "a!=y", false),
        ] {
            let (n, w) = (of(narrow), of(wide));
            let implied = Facts::new(&n).unwrap().imply(&Facts::new(&w).unwrap());
            assert_eq!(implied, holds, "{{{narrow}}} → {{{wide}}}");
        }
    }

    #[test]
    fn exclusion() {
        for (one, two, holds) in [
            ("a=x", "a=y", true),
            ("a=x", "b=y", false),
            ("a=x", "a!=x", true),
            ("a=x", "a!=y", false),
            ("a=~\"x|y\"", "a=~\"z.*\"", true),
            ("a=~\"x.*\"", "a=~\".*y\"", false),
            ("a=~\"x.*\"", "a!~\"x.*\"", true),
            ("", "a=y", false),
        ] {
            let (o, t) = (of(one), of(two));
            assert_eq!(
                Facts::new(&o).unwrap().exclude(&Facts::new(&t).unwrap()),
                holds,
                "{{{one}}} {{{two}}}"
            );
            assert_eq!(
                Facts::new(&t).unwrap().exclude(&Facts::new(&o).unwrap()),
                holds,
                "{{{two}}} {{{one}}}"
            );
        }
    }
}
