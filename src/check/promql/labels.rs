use std::collections::BTreeSet;

use crate::diagnostic::Severity;

/// The labels that the series of a result can have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    pub names: BTreeSet<String>,
    pub rest: Rest,
}

/// Whether there can be labels beyond the known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Rest {
    #[default]
    None,
    /// Not as far as is known, but what is known is not everything.
    Unlikely,
    /// Nothing is known.
    Any,
}

impl Labels {
    pub fn any() -> Self {
        Labels { names: BTreeSet::new(), rest: Rest::Any }
    }

    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Labels { names: names.into_iter().map(str::to_owned).collect(), rest: Rest::None }
    }

    /// How bad it is to ask for this label; `None` where it may exist.
    pub fn lacks(&self, label: &str) -> Option<Severity> {
        match self.rest {
            _ if label == "__name__" || super::is_variable(label) || self.names.contains(label) => None,
            Rest::None => Some(Severity::Error),
            Rest::Unlikely => Some(Severity::Warning),
            Rest::Any => None,
        }
    }

    #[must_use]
    pub fn union(mut self, other: Labels) -> Self {
        self.names.extend(other.names);
        self.rest = self.rest.max(other.rest);
        self
    }

    #[must_use]
    pub fn with(mut self, label: &str) -> Self {
        self.names.insert(label.to_owned());
        self
    }

    #[must_use]
    pub fn without<'a>(mut self, labels: impl IntoIterator<Item = &'a str>) -> Self {
        for label in labels {
            self.names.remove(label);
        }
        self
    }
}
