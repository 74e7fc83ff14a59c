//! Alerts that fire always or never, whatever the metrics say.

use promql_parser::parser::{BinaryExpr, Expr};

use crate::check::promql::{Fault, M110, M111, Query};
use crate::diagnostic::Severity;

/// What is wrong with an expression as the condition of an alert.
pub(super) fn judge(query: &Query, length: usize) -> Option<Fault> {
    let all = 0..length;
    if let Some(constant) = constant(query.tree()) {
        return Some(match constant {
            Some(_) => Fault::new(all, "this alert always fires")
                .code(&M110)
                .severity(Severity::Advice)
                .label("its expression is the same at all times")
                .note("that is right for a dead man's switch, which tells that alerts still arrive"),
            None => Fault::new(all, "this alert never fires")
                .code(&M111)
                .label("its expression is empty at all times"),
        });
    }
    match chooses(query.tree(), query) {
        Choice::Chooses => None,
        Choice::Bool => Some(
            Fault::new(all, "this alert fires whether its comparison holds or not")
                .code(&M110)
                .severity(Severity::Warning)
                .label("`bool` answers 0 or 1 for every series, and both fire: remove it"),
        ),
        Choice::All => Some(
            Fault::new(all, "this alert fires as long as its metrics exist")
                .code(&M110)
                .severity(Severity::Warning)
                .label("compare it with something: `… > 0`"),
        ),
    }
}

/// Whether an expression leaves series out by their value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Choice {
    All,
    Bool,
    Chooses,
}

fn chooses(expr: &Expr, query: &Query) -> Choice {
    match expr {
        Expr::Aggregate(aggregate) => chooses(&aggregate.expr, query),
        Expr::Unary(unary) => chooses(&unary.expr, query),
        Expr::Paren(paren) => chooses(&paren.expr, query),
        Expr::Subquery(subquery) => chooses(&subquery.expr, query),
        Expr::Binary(_) => chain(expr, query),
        Expr::Call(call) if matches!(call.func.name, "absent" | "absent_over_time") => Choice::Chooses,
        Expr::Call(call) => call.args.args.iter().map(|a| chooses(a, query)).max().unwrap_or(Choice::All),
        Expr::VectorSelector(selector) => exists_only_then(selector.name.as_deref(), query),
        Expr::MatrixSelector(matrix) => exists_only_then(matrix.vs.name.as_deref(), query),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Choice::All,
    }
}

/// `ALERTS` exists while an alert does; what a selector names is the index in its name.
fn exists_only_then(name: Option<&str>, query: &Query) -> Choice {
    let index = name.and_then(|n| n.get(1..)?.parse::<usize>().ok());
    let selector = index.and_then(|i| query.selectors().get(i)).and_then(|s| s.name.as_ref());
    match selector.map(|n| n.value.as_str()) {
        Some("ALERTS" | "ALERTS_FOR_STATE") => Choice::Chooses,
        _ => Choice::All,
    }
}

fn chain(expr: &Expr, query: &Query) -> Choice {
    let mut operators: Vec<&BinaryExpr> = vec![];
    let mut first = expr;
    while let Expr::Binary(binary) = first {
        operators.push(binary);
        first = &binary.lhs;
    }
    let mut choice = chooses(first, query);
    for binary in operators.into_iter().rev() {
        let right = chooses(&binary.rhs, query);
        choice = match binary.op.to_string().as_str() {
            "and" | "unless" => Choice::Chooses,
            // One side that is always there is enough.
            "or" => choice.min(right),
            "==" | "!=" | "<" | ">" | "<=" | ">=" => match binary.return_bool() {
                true => choice.max(right).max(Choice::Bool),
                false => Choice::Chooses,
            },
            _ => choice.max(right),
        };
    }
    choice
}

/// The value of an expression without metrics and time; `Some(None)`: it is always empty.
fn constant(expr: &Expr) -> Option<Option<f64>> {
    match expr {
        Expr::NumberLiteral(literal) => Some(Some(literal.val)),
        Expr::Paren(paren) => constant(&paren.expr),
        Expr::Unary(unary) => Some(constant(&unary.expr)?.map(|n| -n)),
        Expr::Call(call) if call.func.name == "vector" => constant(call.args.args.first()?),
        Expr::Binary(binary) if !matches!(*binary.lhs, Expr::Binary(_)) => {
            let (Some(left), Some(right)) = (constant(&binary.lhs)?, constant(&binary.rhs)?) else {
                return Some(None);
            };
            let holds = match binary.op.to_string().as_str() {
                "==" => left == right,
                "!=" => left != right,
                "<" => left < right,
                ">" => left > right,
                "<=" => left <= right,
                ">=" => left >= right,
                "+" => return Some(Some(left + right)),
                "-" => return Some(Some(left - right)),
                "*" => return Some(Some(left * right)),
                "/" => return Some(Some(left / right)),
                _ => return None,
            };
            Some((holds || binary.return_bool()).then_some(left))
        }
        _ => None,
    }
}
