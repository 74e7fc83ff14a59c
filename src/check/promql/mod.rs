//! PromQL: its syntax and types as one Prometheus version sees them, and what an expression
//! selects. `promql-parser` decides what is an expression and gives the tree; [`scan`] adds
//! the places that the library does not keep.

mod codes;
mod function;
mod labels;
mod scan;
pub mod threshold;
mod token;
mod types;
mod variables;
mod walk;

pub use codes::*;
pub use labels::{Labels, Rest};
pub use scan::{Matcher, Selector, Spanned};
pub use variables::{Positions, is_variable, without_variables};

use std::ops::Range;
use std::rc::Rc;

use promql_parser::parser::{self, Expr};

use super::metrics::Sources;
use super::remembered::Remembered;
use crate::diagnostic::{Code, Finding, Place, Severity};
use crate::profile::units::Duration;
use crate::stack::{ServiceKind, Stack, Version};

/// What the Prometheus that runs an expression understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dialect {
    pub version: Version,
    /// `--enable-feature=promql-experimental-functions`
    pub experimental: bool,
}

impl Dialect {
    /// All that any Prometheus understands.
    pub const NEWEST: Dialect = Dialect { version: Version::new(u32::MAX, 0, 0), experimental: true };

    /// Of the stack's Prometheus; of the newest where its version is not known.
    pub fn of(stack: &Stack) -> Self {
        let service = stack.service_of(ServiceKind::Prometheus);
        Dialect {
            version: service.and_then(|s| s.version).unwrap_or(Self::NEWEST.version),
            experimental: service
                .is_some_and(|s| s.args.iter().any(|a| a.contains("promql-experimental-functions"))),
        }
    }
}

/// Something wrong at some bytes of an expression or template.
#[derive(Debug, Clone)]
pub struct Fault {
    pub code: &'static Code,
    pub severity: Severity,
    pub range: Range<usize>,
    pub message: String,
    pub label: String,
    pub notes: Vec<String>,
}

impl Fault {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Fault {
            code: &M101,
            severity: Severity::Error,
            range,
            message: message.into(),
            label: String::new(),
            notes: vec![],
        }
    }

    pub(super) fn code(mut self, code: &'static Code) -> Self {
        self.code = code;
        self
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// `written` leads from the text that was checked to the text at `place`.
    pub fn into_finding(
        self,
        place: Place,
        written: &dyn Fn(Range<usize>) -> Range<usize>,
        length: usize,
    ) -> Finding {
        let place = match place {
            // A string that is written in another way than it reads, such as over several
            // lines: the whole is marked.
            Place::File { range, file } if range.len() != length => Place::File { range, file },
            place => place.within(written(self.range)),
        };
        let mut finding = Finding::new(self.code, self.severity, place, self.message).label(self.label);
        finding.notes = self.notes;
        finding
    }
}

/// An expression that Prometheus accepts.
#[derive(Debug)]
pub struct Query {
    tree: Expr,
    scan: scan::Scan,
}

impl Query {
    pub fn selectors(&self) -> &[Selector] {
        &self.scan.selectors
    }

    pub(super) fn tree(&self) -> &Expr {
        &self.tree
    }
}

/// Reads an expression; the error is the first thing that is wrong.
pub fn parse(text: &str, dialect: Dialect) -> Result<Rc<Query>, Fault> {
    thread_local! {
        static READ: Remembered<(Dialect, String), Result<Rc<Query>, Fault>> = Remembered::default();
    }
    READ.with(|read| read.get(&(dialect, text.to_owned()), || read_anew(text, dialect).map(Rc::new)))
}

fn read_anew(text: &str, dialect: Dialect) -> Result<Query, Fault> {
    let scan = scan::scan(text, dialect)?;
    match parser::parse(&scan.shape) {
        Ok(tree) => Ok(Query { tree, scan }),
        Err(message) => Err(types::fault(text, &scan, &message)),
    }
}

/// What an expression is found to be.
#[derive(Debug)]
pub struct Checked {
    pub query: Option<Rc<Query>>,
    /// The labels that its result can have.
    pub labels: Labels,
    /// The longest interval at which its metrics are scraped, as far as is known.
    pub interval: Option<Duration>,
    pub faults: Vec<Fault>,
}

/// Everything that can be said of an expression by itself and the stack's metrics.
pub fn check(text: &str, sources: &Sources<'_>) -> Checked {
    match parse(text, sources.dialect) {
        Ok(query) => {
            let (labels, interval, mut faults) = walk::walk(text, &query, sources);
            faults.extend(types::result(text, &query));
            Checked { query: Some(query), labels, interval, faults }
        }
        Err(fault) => Checked { query: None, labels: Labels::any(), interval: None, faults: vec![fault] },
    }
}

/// The findings of one query, such as a panel's. Grafana's variables may stand in it.
pub fn check_query(expr: &str, place: &Place, sources: &Sources<'_>) -> Vec<Finding> {
    let (text, map) = without_variables(expr);
    let checked = check(&text, sources);
    let written = |r| map.original(r);
    checked.faults.into_iter().map(|f| f.into_finding(place.clone(), &written, expr.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(expr: &str, version: Version, experimental: bool) -> String {
        match parse(expr, Dialect { version, experimental }) {
            Ok(_) => "accepted".into(),
            Err(fault) => format!("{} {}; {}", fault.code.id, fault.message, fault.label),
        }
    }

    #[test]
    fn each_prometheus_has_its_own_dialect() {
        let (old, new) = (Version::new(2, 42, 0), Version::new(3, 14, 0));
        for (expr, in_old, in_new) in [
            ("up[5m]", "accepted", "accepted"),
            ("rate(up[300])", "M101 unexpected `300` after `[`", "accepted"),
            ("up > 5m", "M103 unexpected `5m`", "accepted"),
            ("{\"http.requests\", \"the.label\"=\"x\"}", "M101 unexpected", "accepted"),
            ("sum by (\"the.label\") (up)", "M101 unexpected", "accepted"),
            (
                "histogram_avg(up)",
                "M103 Prometheus 2.42.0 has no `histogram_avg`; exists since 2.51.0",
                "accepted",
            ),
            (
                "holt_winters(up[5m], 0.5, 0.5)",
                "accepted",
                "M103 Prometheus 3 has no function `holt_winters`",
            ),
            ("first_over_time(up[5m])", "M103 Prometheus 2.42.0 has no", "accepted"),
            ("limitk(1, up)", "M103 Prometheus 2.42.0 has no", "M103 `limitk` is experimental"),
            (
                "sort_by_label(up, \"job\")",
                "M103 Prometheus 2.42.0 has no",
                "M103 `sort_by_label` is experimental",
            ),
        ] {
            assert!(said(expr, old, false).starts_with(in_old), "{expr}: {}", said(expr, old, false));
            assert!(said(expr, new, false).starts_with(in_new), "{expr}: {}", said(expr, new, false));
            let allowed = expr.starts_with("holt") || said(expr, new, true) == "accepted";
            assert!(allowed, "{expr}: {}", said(expr, new, true));
        }
    }

    #[test]
    fn places_lead_back_through_variables() {
        let text = "rate(a{b=~\"$x\"}[$__rate_interval]) foo";
        let (replaced, positions) = without_variables(text);
        let fault = parse(&replaced, Dialect::NEWEST).unwrap_err();
        assert_eq!(text.get(positions.original(fault.range)), Some("foo"));
        let (replaced, positions) = without_variables("$a + ${b:regex} * [[c]]");
        let at = replaced.rfind("__variable__").unwrap();
        assert_eq!(positions.original(at..replaced.len()), 18..23);
        assert_eq!(positions.original(at + 2..at + 4), 18..23);
    }
}
