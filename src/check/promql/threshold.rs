//! Where the threshold of an alert stands in its expression.

use promql_parser::parser::token::{T_GTE, T_GTR, T_LAND, T_LSS, T_LTE, T_LUNLESS};
use promql_parser::parser::{BinaryExpr, Expr};

use super::{Dialect, parse};
use crate::profile::text::{Piece, Text};

/// On which side of its threshold an alert fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Above,
    Below,
}

impl Side {
    /// A threshold that every value is beyond: the expression with it gives what is compared,
    /// for the series that could fire.
    pub fn open(self) -> &'static str {
        match self {
            Side::Above => "-Inf",
            Side::Below => "+Inf",
        }
    }
}

/// How an alert's expression compares with its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub side: Side,
    /// It fires at the threshold itself too.
    pub inclusive: bool,
}

/// How an expression compares with `${threshold}`, where that alone decides: it is one
/// side of one comparison, and what the comparison gives is what the alert fires on. Otherwise
/// why not.
pub fn comparison(expr: &Text) -> Result<Comparison, &'static str> {
    match expr.0.iter().filter(|piece| **piece == Piece::Threshold).count() {
        0 => return Err("its expression has no ${threshold}"),
        1 => {}
        _ => return Err("${threshold} stands in several places"),
    }
    // A number that nothing else in the expression is.
    let written = expr.fill("").unwrap_or_default();
    let mark = (0..).map(|n| 735_201_933 + n).find(|mark| !written.contains(&mark.to_string()));
    let mark = mark.unwrap_or_default();
    let text = expr.fill(&mark.to_string()).unwrap_or_default();
    let query = parse(&text, Dialect::NEWEST).map_err(|_| "its expression can't be read")?;
    find(query.tree(), f64::from(mark))
}

fn find(expr: &Expr, mark: f64) -> Result<Comparison, &'static str> {
    match expr {
        Expr::Paren(paren) => find(&paren.expr, mark),
        Expr::Binary(binary) => in_binary(binary, mark),
        _ => Err("${threshold} is not one side of a comparison that the alert fires on"),
    }
}

fn in_binary(binary: &BinaryExpr, mark: f64) -> Result<Comparison, &'static str> {
    let is_mark = |expr: &Expr| matches!(expr, Expr::NumberLiteral(number) if number.val == mark);
    let compares = match binary.op.id() {
        T_GTR | T_GTE => Some(Side::Above),
        T_LSS | T_LTE => Some(Side::Below),
        _ => None,
    };
    let inclusive = matches!(binary.op.id(), T_GTE | T_LTE);
    let found = |side| Ok(Comparison { side, inclusive });
    match (compares, is_mark(&binary.lhs), is_mark(&binary.rhs)) {
        (Some(_), true, _) | (Some(_), _, true) if binary.return_bool() => {
            Err("its comparison has `bool`, so it always fires")
        }
        (Some(side), false, true) => found(side),
        (Some(Side::Above), true, false) => found(Side::Below),
        (Some(Side::Below), true, false) => found(Side::Above),
        // What stands on the right of these only picks series.
        (None, false, false) if matches!(binary.op.id(), T_LAND | T_LUNLESS) => find(&binary.lhs, mark)
            .map_err(|why| match *binary.rhs {
                Expr::Binary(_) | Expr::Paren(_) if find(&binary.rhs, mark).is_ok() => {
                    "${threshold} stands on the right of `and` or `unless`, so the alert's value is another"
                }
                _ => why,
            }),
        (None, true, _) | (None, _, true) => Err("${threshold} is not compared by <, <=, > or >="),
        _ => Err("${threshold} is not one side of a comparison that the alert fires on"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Side, comparison};
    use crate::profile::text::{Piece, Text};

    /// `T` stands for the threshold.
    fn of(expr: &str) -> Result<Side, &'static str> {
        let mut pieces = vec![];
        for (n, plain) in expr.split('T').enumerate() {
            if n > 0 {
                pieces.push(Piece::Threshold);
            }
            pieces.push(Piece::Plain(plain.to_owned()));
        }
        comparison(&Text(pieces)).map(|Comparison { side, .. }| side)
    }

    #[test]
    fn the_side_is_that_of_the_comparison() {
        assert_eq!(of("queue > T"), Ok(Side::Above));
        assert_eq!(of("queue >= T"), Ok(Side::Above));
        assert_eq!(of("T < queue"), Ok(Side::Above));
        assert_eq!(of("sum by (job) (up) < T"), Ok(Side::Below));
        assert_eq!(of("T >= up"), Ok(Side::Below));
        assert_eq!(of("((rate(a[5m]) / rate(b[5m])) > T)"), Ok(Side::Above));
    }

    #[test]
    fn series_that_are_picked_by_another_expression_are_compared_all_the_same() {
        assert_eq!(of("queue > T and on (queue) rate(in[5m]) > 0"), Ok(Side::Above));
        assert_eq!(of("(queue > T unless on (queue) paused == 1) and up"), Ok(Side::Above));
    }

    #[test]
    fn what_the_threshold_alone_does_not_decide_is_left_out() {
        for (expr, why) in [
            ("up == 0", "no ${threshold}"),
            ("up == T", "not compared by"),
            ("queue > bool T", "bool"),
            ("queue > T or up == 0", "not one side"),
            ("count(queue > T) > 3", "not one side"),
            ("queue > 2 * T", "not one side"),
            ("queue > -T", "not one side"),
            ("up and queue > T", "right of `and`"),
            ("queue > T and queue < T", "several places"),
            ("queue > T +", "can't be read"),
        ] {
            let found = of(expr).unwrap_err();
            assert!(found.contains(why), "{expr}: {found}");
        }
    }
}
