//! Follows labels through an expression, from the metrics up to the result, and judges on
//! the way what the shape alone can't show.

use std::time;

use promql_parser::label::Labels as Names;
use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, SubqueryExpr, VectorMatchCardinality,
};

use super::scan::{Scan, Spanned};
use super::{Fault, Labels, M105, M107, M108, M119, Query};
use crate::check::metrics::{Found, Sources, missing_label};
use crate::diagnostic::Severity;
use crate::profile::units::Duration;
use crate::stack::MatchOp;

pub(super) fn walk(
    text: &str,
    query: &Query,
    sources: &Sources<'_>,
) -> (Labels, Option<Duration>, Vec<Fault>) {
    let mut faults = vec![];
    let found = query.scan.selectors.iter().map(|s| sources.find(s, &mut faults)).collect();
    let mut walk = Walk { text, scan: &query.scan, sources, found, faults, windows: 0 };
    let labels = walk.expr(&query.tree);
    let interval = walk.found.iter().filter_map(|f| f.interval).max();
    (labels, interval, walk.faults)
}

struct Walk<'a> {
    text: &'a str,
    scan: &'a Scan,
    sources: &'a Sources<'a>,
    /// What each selector finds.
    found: Vec<Found>,
    faults: Vec<Fault>,
    /// Ranges and subqueries that were left behind; they close in the order of the walk.
    windows: usize,
}

/// Functions that need two samples in their range.
const NEED_TWO: [&str; 9] = [
    "rate",
    "irate",
    "increase",
    "delta",
    "idelta",
    "deriv",
    "predict_linear",
    "holt_winters",
    "double_exponential_smoothing",
];

/// The index that a word of the shape leads back by: `s12`, `l3`.
fn index(word: &str) -> usize {
    word.get(1..).and_then(|n| n.parse().ok()).unwrap_or(usize::MAX)
}

impl<'a> Walk<'a> {
    fn expr(&mut self, expr: &Expr) -> Labels {
        match expr {
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Unary(unary) => self.expr(&unary.expr),
            Expr::Binary(_) => self.binary(expr),
            Expr::Paren(paren) => self.expr(&paren.expr),
            Expr::Subquery(subquery) => self.subquery(subquery, None),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Labels::default(),
            Expr::VectorSelector(selector) => self.labels_of(selector.name.as_deref()),
            Expr::MatrixSelector(matrix) => {
                self.windows += 1;
                self.labels_of(matrix.vs.name.as_deref())
            }
            Expr::Call(call) => self.call(call),
        }
    }

    fn labels_of(&self, name: Option<&str>) -> Labels {
        name.and_then(|n| self.found.get(index(n))).map_or(Labels::any(), |f| f.labels.clone())
    }

    fn names(&self, names: &Names) -> Vec<&'a Spanned<String>> {
        names.labels.iter().filter_map(|n| self.scan.labels.get(index(n))).collect()
    }

    fn string(&self, expr: &Expr) -> Option<&'a Spanned<String>> {
        match expr {
            Expr::StringLiteral(literal) => self.scan.strings.get(literal.val.parse::<usize>().ok()?),
            Expr::Paren(paren) => self.string(&paren.expr),
            _ => None,
        }
    }

    /// Reports the labels that an operand surely lacks; at most as badly as `worst`.
    fn needs(&mut self, names: &[&Spanned<String>], labels: &Labels, what: &str, worst: Severity) {
        for name in names {
            if let Some(severity) = labels.lacks(&name.value) {
                let fault = missing_label(&name.value, name.range.clone(), labels, what);
                self.faults.push(fault.severity(severity.min(worst)));
            }
        }
    }

    // -- aggregations --

    fn aggregate(&mut self, aggregate: &AggregateExpr) -> Labels {
        let parameter = aggregate.param.as_deref().and_then(|p| {
            self.expr(p);
            self.string(p)
        });
        let inner = self.expr(&aggregate.expr);
        let operator = aggregate.op.to_string();
        // These choose series and keep their labels; the grouping says among which.
        let chooses = matches!(operator.as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio");
        let what = "what is aggregated";
        let grouped = match &aggregate.modifier {
            None => Labels::default(),
            Some(LabelModifier::Include(names)) => {
                let names = self.names(names);
                self.needs(&names, &inner, what, Severity::Error);
                Labels::of(names.iter().map(|n| n.value.as_str()))
            }
            Some(LabelModifier::Exclude(names)) => {
                let names = self.names(names);
                // Harmless, and common in rules for several set-ups.
                self.needs(&names, &inner, what, Severity::Advice);
                inner.clone().without(names.iter().map(|n| n.value.as_str()))
            }
        };
        match (chooses, parameter) {
            (true, _) => inner,
            (false, Some(label)) if operator == "count_values" => grouped.with(&label.value),
            (false, _) => grouped,
        }
    }

    // -- operators --

    /// A chain of operators leans to the left and can be long, so it is not recursive.
    fn binary(&mut self, expr: &Expr) -> Labels {
        let mut chain: Vec<&BinaryExpr> = vec![];
        let mut first = expr;
        while let Expr::Binary(binary) = first {
            chain.push(binary);
            first = &binary.lhs;
        }
        let mut labels = self.expr(first);
        let mut is_vector = first.value_type() == promql_parser::parser::value::ValueType::Vector;
        for binary in chain.into_iter().rev() {
            let right = self.expr(&binary.rhs);
            let right_is_vector = binary.rhs.value_type() == promql_parser::parser::value::ValueType::Vector;
            self.threshold(binary);
            labels = match (is_vector, right_is_vector) {
                (true, true) => self.join(binary, labels, right),
                (true, false) => labels,
                (false, _) => right,
            };
            is_vector |= right_is_vector;
        }
        labels
    }

    fn join(&mut self, binary: &BinaryExpr, left: Labels, right: Labels) -> Labels {
        let operator = binary.op.to_string();
        let modifier = binary.modifier.as_ref();
        let matching = modifier.and_then(|m| m.matching.as_ref());
        let on = match matching {
            Some(LabelModifier::Include(names)) => {
                let names = self.names(names);
                // What both sides lack matches nothing that was meant.
                self.needs(&names, &left, "the left side", Severity::Error);
                let not_left: Vec<_> =
                    names.iter().filter(|n| left.lacks(&n.value).is_none()).copied().collect();
                self.needs(&not_left, &right, "the right side", Severity::Error);
                Some(names)
            }
            Some(LabelModifier::Exclude(names)) => {
                let names = self.names(names);
                let both = left.clone().union(right.clone());
                self.needs(&names, &both, "neither side", Severity::Warning);
                None
            }
            None => None,
        };
        let ignored = match matching {
            Some(LabelModifier::Exclude(names)) => self.names(names),
            _ => vec![],
        };
        let ignored = ignored.iter().map(|n| n.value.as_str());
        match operator.as_str() {
            "or" => return left.union(right),
            "and" | "unless" => return left,
            _ => {}
        }
        let comparison = matches!(operator.as_str(), "==" | "!=" | "<" | ">" | "<=" | ">=");
        let (many, one, copied) = match modifier.map(|m| &m.card) {
            Some(VectorMatchCardinality::ManyToOne(copied)) => (left, right, copied),
            Some(VectorMatchCardinality::OneToMany(copied)) => (right, left, copied),
            _ => {
                return match on {
                    Some(names) => Labels::of(names.iter().map(|n| n.value.as_str())),
                    // A comparison keeps the series of the left side as they are.
                    None if comparison => left.without(ignored),
                    None => left.without(ignored),
                };
            }
        };
        let copied = self.names(copied);
        self.needs(&copied, &one, "the other side", Severity::Error);
        copied.iter().fold(many, |labels, n| labels.with(&n.value))
    }

    /// `histogram_quantile(…) > 30` where the largest bucket is 10.
    fn threshold(&mut self, binary: &BinaryExpr) {
        let operator = binary.op.to_string();
        let (quantile, threshold, operator) = match (number(&binary.lhs), number(&binary.rhs)) {
            (None, Some(n)) => (&binary.lhs, n, operator.as_str()),
            (Some(n), None) => {
                let turned = match operator.as_str() {
                    "<" => ">",
                    "<=" => ">=",
                    other => other,
                };
                (&binary.rhs, n, turned)
            }
            _ => return,
        };
        let Some(argument) = quantile_of(quantile) else { return };
        let mut largest = f64::NEG_INFINITY;
        let mut selectors = vec![];
        selectors_in(argument, &mut selectors);
        for name in &selectors {
            match self.found.get(index(name)).and_then(|f| f.largest_bucket) {
                Some(bucket) => largest = largest.max(bucket),
                None => return,
            }
        }
        let never = match operator {
            ">" => threshold >= largest,
            ">=" | "==" => threshold > largest,
            _ => false,
        };
        let Some(selector) =
            selectors.first().and_then(|s| self.scan.selectors.get(index(s))).filter(|_| never)
        else {
            return;
        };
        let name = selector.name.as_ref().map_or("the histogram", |n| n.value.as_str());
        let range = selector.name.as_ref().map_or(selector.range.clone(), |n| n.range.clone());
        self.faults.push(
            Fault::new(
                range,
                format!("a quantile of `{name}` never exceeds {largest}, so it can't pass {threshold}"),
            )
            .code(&M107)
            .label(format!("its largest finite bucket is {largest}"))
            .note(
                "what is slower falls into the bucket +Inf, for which the quantile answers the bucket before",
            )
            .note("give the exporter buckets that reach past the threshold, or lower the threshold"),
        );
    }

    // -- functions --

    fn call(&mut self, call: &Call) -> Labels {
        let name = call.func.name;
        let arguments: Vec<&Expr> = call.args.args.iter().map(|a| &**a).collect();
        let mut labels = Labels::default();
        let mut of_vector = None;
        for argument in &arguments {
            let found = match argument {
                Expr::MatrixSelector(matrix) if NEED_TWO.contains(&name) => {
                    self.window(name, matrix.vs.name.as_deref(), matrix.range);
                    self.expr(argument)
                }
                Expr::Subquery(subquery) => self.subquery(subquery, Some(name)),
                _ => self.expr(argument),
            };
            if !matches!(argument, Expr::NumberLiteral(_) | Expr::StringLiteral(_)) && of_vector.is_none() {
                labels = found;
                of_vector = Some(*argument);
            }
        }
        match name {
            "absent" | "absent_over_time" => self.absent(of_vector),
            "vector" | "scalar" | "time" | "pi" => Labels::default(),
            "histogram_quantile" | "histogram_fraction" => {
                // The parameter may be a metric too; the vector is the last argument.
                let vector = arguments.last().copied();
                self.quantile(vector, &labels);
                labels.without(["le"])
            }
            "info" => Labels::any(),
            "label_replace" | "label_join" => self.relabel(name, &arguments, labels),
            _ => labels,
        }
    }

    /// `absent` answers one series with the labels that its selector fixes.
    fn absent(&self, of: Option<&Expr>) -> Labels {
        let name = match of {
            Some(Expr::VectorSelector(selector)) => selector.name.as_deref(),
            Some(Expr::MatrixSelector(matrix)) => matrix.vs.name.as_deref(),
            _ => None,
        };
        let matchers = name.and_then(|n| self.scan.selectors.get(index(n))).map_or(&[][..], |s| &s.matchers);
        Labels::of(matchers.iter().filter(|m| m.op == MatchOp::Equal).map(|m| m.label.value.as_str()))
    }

    fn quantile(&mut self, vector: Option<&Expr>, labels: &Labels) {
        let Some(vector) = vector else { return };
        let mut selectors = vec![];
        selectors_in(vector, &mut selectors);
        let selectors: Vec<_> = selectors.iter().filter_map(|s| self.scan.selectors.get(index(s))).collect();
        // Native histograms have no buckets as labels.
        let classic = |s: &&super::Selector| s.name.as_ref().is_some_and(|n| n.value.ends_with("_bucket"));
        let [first, ..] = selectors.as_slice() else { return };
        if labels.lacks("le") != Some(Severity::Error) || !selectors.iter().all(classic) {
            return;
        }
        self.faults.push(
            Fault::new(
                first.range.clone(),
                "the buckets have lost their label `le`, so there is no quantile",
            )
            .code(&M119)
            .label("keep it: `sum by (le, …) (…)`"),
        );
    }

    fn relabel(&mut self, name: &str, arguments: &[&Expr], labels: Labels) -> Labels {
        let strings: Vec<Option<&Spanned<String>>> =
            arguments.iter().skip(1).map(|a| self.string(a)).collect();
        let text = |i: usize| strings.get(i).copied().flatten();
        let sources: Vec<&Spanned<String>> = match name {
            "label_replace" => text(2).into_iter().collect(),
            _ => strings.iter().skip(2).copied().flatten().collect(),
        };
        let sources: Vec<_> = sources.into_iter().filter(|s| !s.value.is_empty()).collect();
        self.needs(&sources, &labels, "the vector", Severity::Warning);
        if name == "label_replace"
            && let Some(pattern) = text(3)
            && let Err(error) = crate::stack::re2::anchored(&pattern.value)
        {
            self.faults.push(Fault::new(
                pattern.range.clone(),
                format!("this is no regular expression: {}", error.message),
            ));
        }
        let Some(target) = text(0) else { return Labels::any() };
        if !super::is_label_name(&target.value) {
            self.faults.push(
                Fault::new(target.range.clone(), format!("`{}` is no name of a label", target.value))
                    .code(&M105)
                    .label("letters, digits and `_`, not beginning with a digit"),
            );
        }
        labels.with(&target.value)
    }

    // -- ranges --

    fn subquery(&mut self, subquery: &SubqueryExpr, function: Option<&str>) -> Labels {
        let labels = self.expr(&subquery.expr);
        let step = subquery.step.map_or(self.sources.evaluation_interval, duration);
        if let Some(function) = function.filter(|f| NEED_TWO.contains(f)) {
            self.too_short(function, duration(subquery.range), step, "the step of the subquery is");
        }
        self.windows += 1;
        labels
    }

    fn window(&mut self, function: &str, selector: Option<&str>, range: time::Duration) {
        let found = selector.and_then(|s| self.found.get(index(s)));
        if let Some(interval) = found.and_then(|f| f.interval) {
            self.too_short(function, duration(range), interval, "it is scraped every");
        }
    }

    /// Reports the window that the walk leaves next.
    fn too_short(&mut self, function: &str, range: Duration, interval: Duration, why: &str) {
        if range.0 >= interval.0.saturating_mul(2) || interval.0 == 0 {
            return;
        }
        let place = self.scan.windows.get(self.windows).cloned().unwrap_or(0..self.text.len());
        let (severity, message) = if range < interval {
            (Severity::Error, format!("`{function}` needs two samples, and {range} never hold two"))
        } else {
            (Severity::Warning, format!("`{function}` needs two samples, and {range} do not always hold two"))
        };
        self.faults.push(
            Fault::new(place, message)
                .code(&M108)
                .severity(severity)
                .label(format!("write at least `[{}]`", Duration(interval.0.saturating_mul(4))))
                .note(format!("{why} {interval}; four times that survives a missed scrape")),
        );
    }
}

fn duration(of: time::Duration) -> Duration {
    Duration(u64::try_from(of.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::NumberLiteral(literal) => Some(literal.val),
        Expr::Paren(paren) => number(&paren.expr),
        Expr::Unary(unary) => number(&unary.expr).map(|n| -n),
        _ => None,
    }
}

/// The vector of a `histogram_quantile`, also below aggregations that don't exceed it.
fn quantile_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Call(call) if call.func.name == "histogram_quantile" => call.args.args.last().map(|a| &**a),
        Expr::Paren(paren) => quantile_of(&paren.expr),
        Expr::Aggregate(aggregate) if matches!(aggregate.op.to_string().as_str(), "max" | "min" | "avg") => {
            quantile_of(&aggregate.expr)
        }
        _ => None,
    }
}

/// The selectors below an expression, as the shape names them.
fn selectors_in<'e>(expr: &'e Expr, names: &mut Vec<&'e str>) {
    match expr {
        Expr::Aggregate(aggregate) => selectors_in(&aggregate.expr, names),
        Expr::Unary(unary) => selectors_in(&unary.expr, names),
        Expr::Binary(_) => {
            let mut first = expr;
            while let Expr::Binary(binary) = first {
                selectors_in(&binary.rhs, names);
                first = &binary.lhs;
            }
            selectors_in(first, names);
        }
        Expr::Paren(paren) => selectors_in(&paren.expr, names),
        Expr::Subquery(subquery) => selectors_in(&subquery.expr, names),
        Expr::VectorSelector(selector) => names.extend(selector.name.as_deref()),
        Expr::MatrixSelector(matrix) => names.extend(matrix.vs.name.as_deref()),
        Expr::Call(call) => call.args.args.iter().for_each(|a| selectors_in(a, names)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}
