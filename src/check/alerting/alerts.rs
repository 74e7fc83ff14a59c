//! The alerts of a stack with the labels that they will have when they fire, as far as the
//! rule and its expression tell. What only the samples can tell stays unknown, so that no
//! check takes a guess for a fact.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::promql::Dialect;
use crate::check::remembered::Remembered;
use promql_parser::label::{Labels as Names, MatchOp, Matchers};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector, parse,
    token,
};

use crate::diagnostic::Place;
use crate::stack::routing::Labels;
use crate::stack::{Group, Route, Rule, Source, Stack};

/// An alerting rule and the labels of its alerts.
#[derive(Debug)]
pub(crate) struct Alert<'a> {
    pub rule: &'a Rule,
    pub labels: Labels,
}

impl Alert<'_> {
    /// The rule as a whole.
    pub(super) fn place(&self) -> Place {
        match &self.rule.source {
            Source::Setting(path) => Place::Key(path.clone()),
            Source::File { .. } => self.rule.source.place("alert"),
        }
    }
}

/// Reads the expressions that are asked for labels, see [`prepare`](crate::check::prepare).
pub(in crate::check) fn prepare(stack: &Stack) {
    let asked = asked(stack);
    let rules = stack.rules().filter(|(_, rule)| rule.alert().is_some());
    rules.for_each(|(group, rule)| drop(of_rule(group, rule, &asked)));
}

/// Every alert of the stack, in the order of the rules.
pub(crate) fn alerts(stack: &Stack) -> Vec<Alert<'_>> {
    let asked = asked(stack);
    // Samples that keep the labels of their source may carry what Prometheus adds last.
    let foreign = stack.scrapes.values().any(|s| s.honor_labels);
    let on_samples: BTreeSet<&str> =
        stack.scrapes.values().flat_map(|s| s.labels.keys().map(String::as_str)).collect();
    let rules = stack.rules().filter(|(_, rule)| rule.alert().is_some());
    rules
        .map(|(group, rule)| {
            let mut labels = of_rule(group, rule, &asked);
            for (name, value) in &stack.prometheus.external_labels {
                match labels.get(name) {
                    Some("") => drop(labels.known.insert(name.clone(), value.clone())),
                    None if !foreign
                        && !labels.unknown.contains(name)
                        && !on_samples.contains(name.as_str()) =>
                    {
                        labels.known.insert(name.clone(), value.clone());
                    }
                    _ => {}
                }
            }
            Alert { rule, labels }
        })
        .collect()
}

/// The labels that a route or an inhibition asks for.
fn asked(stack: &Stack) -> BTreeSet<&str> {
    fn of_route<'a>(route: &'a Route, asked: &mut BTreeSet<&'a str>) {
        asked.extend(route.matchers.iter().map(|m| m.label.as_str()));
        route.routes.iter().for_each(|child| of_route(child, asked));
    }
    let mut asked = BTreeSet::new();
    of_route(&stack.route, &mut asked);
    for inhibition in stack.inhibitions.values() {
        asked.extend(inhibition.source.iter().chain(&inhibition.target).map(|m| m.label.as_str()));
        asked.extend(inhibition.equal.iter().map(String::as_str));
    }
    asked
}

fn of_rule(group: &Group, rule: &Rule, asked: &BTreeSet<&str>) -> Labels {
    let set: BTreeMap<&str, String> =
        group.labels.iter().map(|(k, v)| (k.as_str(), v.clone())).chain(rule.labels()).collect();
    // The expression is read only where the rule itself does not say all that is asked.
    let told = |label: &&str| *label == "alertname" || set.contains_key(*label);
    let mut labels = if asked.iter().all(told) { open() } else { of_expression(&rule.expr()) };
    for (name, value) in set {
        if value.contains("{{") {
            labels.known.remove(name);
            labels.unknown.insert(name.to_owned());
        } else {
            labels.known.insert(name.to_owned(), value);
        }
    }
    labels.known.insert("alertname".into(), rule.name.clone());
    labels
}

fn open() -> Labels {
    Labels { open: true, ..Labels::default() }
}

/// Beyond this nesting an expression is taken as one that may have any label.
const DEEPEST: usize = 100;

/// The labels of the samples that an expression yields.
pub(super) fn of_expression(text: &str) -> Labels {
    thread_local! {
        static KNOWN: Remembered<String, Labels> = Remembered::default();
    }
    KNOWN.with(|known| known.get(text, || of_expression_anew(text)))
}

fn of_expression_anew(text: &str) -> Labels {
    // `promql-parser` panics at some of what our own reading refuses, such as `up[1e99]`.
    if crate::check::promql::parse(text, Dialect::NEWEST).is_err() {
        return open();
    }
    let mut labels = parse(text).map_or_else(|_| open(), |expr| walk(&expr, 0));
    // An alert has its own name instead of the metric's.
    labels.known.remove("__name__");
    labels
}

fn walk(expr: &Expr, depth: usize) -> Labels {
    if depth > DEEPEST {
        return open();
    }
    let next = |e: &Expr| walk(e, depth + 1);
    match expr {
        Expr::Paren(e) => next(&e.expr),
        Expr::Unary(e) => next(&e.expr),
        Expr::Subquery(e) => next(&e.expr),
        Expr::VectorSelector(selector) => of_selector(selector),
        Expr::MatrixSelector(matrix) => of_selector(&matrix.vs),
        Expr::Aggregate(aggregate) => of_aggregate(aggregate, next(&aggregate.expr)),
        Expr::Binary(binary) => of_binary(binary, depth),
        Expr::Call(call) => of_call(call, depth),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Labels::default(),
        Expr::Extension(_) => open(),
    }
}

fn of_selector(selector: &VectorSelector) -> Labels {
    Labels { open: true, ..equalities(&selector.matchers) }
}

/// What `{a="x"}` says for sure.
fn equalities(matchers: &Matchers) -> Labels {
    let mut labels = Labels::default();
    if matchers.or_matchers.is_empty() {
        let equal = matchers.matchers.iter().filter(|m| matches!(m.op, MatchOp::Equal));
        labels.known.extend(equal.map(|m| (m.name.clone(), m.value.clone())));
    }
    labels
}

/// Only these, as far as they were there.
fn only(names: &[String], from: &Labels) -> Labels {
    let mut labels = Labels::default();
    for name in names {
        match from.get(name) {
            Some(value) => drop(labels.known.insert(name.clone(), value.to_owned())),
            None => drop(labels.unknown.insert(name.clone())),
        }
    }
    labels
}

fn without(names: &[String], mut from: Labels) -> Labels {
    for name in names {
        from.unknown.remove(name);
        from.known.insert(name.clone(), String::new());
    }
    from
}

fn grouped(modifier: Option<&LabelModifier>, inner: Labels) -> Labels {
    match modifier {
        Some(LabelModifier::Include(Names { labels })) => only(labels, &inner),
        Some(LabelModifier::Exclude(Names { labels })) => without(labels, inner),
        None => inner,
    }
}

fn of_aggregate(aggregate: &AggregateExpr, inner: Labels) -> Labels {
    if matches!(aggregate.op.id(), token::T_TOPK | token::T_BOTTOMK | token::T_LIMITK | token::T_LIMIT_RATIO)
    {
        return inner;
    }
    let none = LabelModifier::Include(Names::new(vec![]));
    let mut labels = grouped(aggregate.modifier.as_ref().or(Some(&none)), inner);
    if aggregate.op.id() == token::T_COUNT_VALUES {
        match aggregate.param.as_deref() {
            Some(Expr::StringLiteral(name)) => set_unknown(&mut labels, &name.val),
            _ => labels.open = true,
        }
    }
    labels
}

fn set_unknown(labels: &mut Labels, name: &str) {
    labels.known.remove(name);
    labels.unknown.insert(name.to_owned());
}

fn of_binary(binary: &BinaryExpr, depth: usize) -> Labels {
    let left = walk(&binary.lhs, depth + 1);
    let right = walk(&binary.rhs, depth + 1);
    match (binary.lhs.value_type(), binary.rhs.value_type()) {
        (ValueType::Scalar, _) => return right,
        (_, ValueType::Scalar) => return left,
        _ => {}
    }
    match binary.op.id() {
        token::T_LAND | token::T_LUNLESS => return left,
        token::T_LOR => return either(left, right),
        _ => {}
    }
    let modifier = binary.modifier.as_ref();
    let (many, one, include) = match modifier.map(|m| &m.card) {
        Some(VectorMatchCardinality::ManyToOne(include)) => (left, right, include),
        Some(VectorMatchCardinality::OneToMany(include)) => (right, left, include),
        _ => return grouped(modifier.and_then(|m| m.matching.as_ref()), left),
    };
    let mut labels = many;
    for name in &include.labels {
        match one.get(name) {
            Some(value) => {
                labels.unknown.remove(name);
                labels.known.insert(name.clone(), value.to_owned());
            }
            None => set_unknown(&mut labels, name),
        }
    }
    labels
}

fn either(left: Labels, right: Labels) -> Labels {
    let names: BTreeSet<String> =
        [&left, &right].iter().flat_map(|l| l.known.keys().chain(&l.unknown).cloned()).collect();
    let mut labels = Labels { open: left.open || right.open, ..Labels::default() };
    for name in names {
        match (left.get(&name), right.get(&name)) {
            (Some(a), Some(b)) if a == b => drop(labels.known.insert(name.clone(), a.to_owned())),
            _ => drop(labels.unknown.insert(name)),
        }
    }
    labels
}

fn of_call(call: &Call, depth: usize) -> Labels {
    let vector = call
        .args
        .args
        .iter()
        .find(|a| matches!(a.value_type(), ValueType::Vector | ValueType::Matrix))
        .map(|a| walk(a, depth + 1));
    match (call.func.name, vector) {
        // A missing series has the labels that the selector asks for.
        ("absent" | "absent_over_time", vector) => match call.args.args.first().map(AsRef::as_ref) {
            Some(Expr::VectorSelector(_) | Expr::MatrixSelector(_)) => {
                Labels { open: false, ..vector.unwrap_or_default() }
            }
            _ => Labels::default(),
        },
        ("label_replace" | "label_join", Some(mut labels)) => {
            match call.args.args.get(1).map(AsRef::as_ref) {
                Some(Expr::StringLiteral(name)) => set_unknown(&mut labels, &name.val),
                _ => labels.open = true,
            }
            labels
        }
        ("histogram_quantile" | "histogram_fraction", Some(labels)) => without(&["le".into()], labels),
        ("info", Some(labels)) => Labels { open: true, ..labels },
        ("scalar", _) | (_, None) => Labels::default(),
        (_, Some(labels)) => labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known labels, `?` for those that may be, and `…` where there may be others.
    fn labels(expr: &str) -> String {
        let labels = of_expression(expr);
        let known = labels.known.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={v}"));
        let unknown = labels.unknown.iter().map(|k| format!("{k}?"));
        let open = labels.open.then(|| "…".to_owned());
        known.chain(unknown).chain(open).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_selector_tells_what_it_asks_for() {
        assert_eq!(labels("up{job=\"celery\", instance=~\"a.*\"} == 0"), "job=celery …");
        assert_eq!(labels("absent(up{job=\"celery\"})"), "job=celery");
        assert_eq!(labels("absent(sum(up{job=\"celery\"}))"), "");
    }

    #[test]
    fn an_aggregation_has_only_its_labels() {
        assert_eq!(labels("sum(up)"), "");
        assert_eq!(labels("sum by (job, zone) (up{job=\"a\"}) > 1"), "job=a zone?");
        assert_eq!(labels("sum without (instance) (up)"), "…");
        assert_eq!(of_expression("sum without (instance) (up)").get("instance"), Some(""));
        assert_eq!(labels("topk(3, sum by (name) (up))"), "name?");
        assert_eq!(labels("count_values by (a) (\"v\", up)"), "a? v?");
    }

    #[test]
    fn operators_and_functions() {
        assert_eq!(labels("sum by (a) (x) / on (a) group_left (b) y"), "a? b?");
        assert_eq!(labels("sum by (a) (x) / sum by (a) (y)"), "a?");
        assert_eq!(labels("sum by (a, b) (x) / ignoring (b) sum by (a) (y)"), "a?");
        assert_eq!(labels("x{a=\"1\"} or y{a=\"1\", b=\"2\"}"), "a=1 b? …");
        assert_eq!(labels("1 - avg by (a) (x)"), "a?");
        assert_eq!(labels("label_replace(sum(x), \"team\", \"ops\", \"\", \"\")"), "team?");
        assert_eq!(labels("histogram_quantile(0.9, sum by (le, name) (rate(x_bucket[5m])))"), "name?");
        assert_eq!(labels("vector(1)"), "");
        assert_eq!(labels("this is no PromQL"), "…");
    }
}
