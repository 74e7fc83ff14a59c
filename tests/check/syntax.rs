//! PromQL that is wrong, PromQL that is right, and a lot in between, all put to promtool too.

use monprov::check::promql::{Fault, parse};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::corpus;
use super::promtool::{self, DIALECT};

/// The expression with the place of the finding marked, and what is said.
fn told(expr: &str, fault: &Fault) -> String {
    let range = fault.range.clone();
    format!(
        "{}»{}«{}  {} | {}",
        &expr[..range.start],
        &expr[range.clone()],
        &expr[range.end..],
        fault.message,
        fault.label
    )
}

#[test]
fn explore() {
    let text = std::fs::read_to_string("/tmp/exprs.txt").unwrap();
    let exprs: Vec<&str> = text.lines().collect();
    let said = promtool::expressions(&exprs);
    for (e, said) in exprs.iter().zip(said) {
        match (parse(e, DIALECT), said) {
            (Ok(_), Some(s)) => println!("MISSED  {e}\n   {s}"),
            (Err(f), None) => println!("EXTRA   {}", told(e, &f)),
            (Err(f), Some(s)) => println!("ok  {}\n   {s}", told(e, &f)),
            (Ok(_), None) => println!("both accept {e}"),
        }
    }
}

#[test]
fn oval() {
    use monprov::check::catalog::*;
    let mut c = from_exposition(&std::fs::read_to_string("/tmp/oval-run/m.txt").unwrap()).unwrap();
    c.exporter = "celery-exporter".into();
    c.version = Some("1.5.1".into());
    c.made_by = "celery-exporter --broker-url redis://…, with Python 3.8".into();
    std::fs::write("src/check/catalog/data/celery-exporter.json", c.to_json()).unwrap();
}
