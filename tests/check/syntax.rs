//! PromQL that is wrong, PromQL that is right, and a lot in between, all put to promtool too.

use std::fmt::Write;

use monprov::check::promql::{Fault, parse, without_variables};
use proptest::prelude::*;

use super::corpus;
use super::promtool::{self, DIALECT};

/// The expressions of a file with cases: every line that begins with a bar.
fn cases(text: &str) -> Vec<&str> {
    text.lines().filter_map(|l| l.strip_prefix("| ")).collect()
}

/// The caret below the expression, and what is said.
fn told(expr: &str, fault: &Fault) -> String {
    let column = expr[..fault.range.start].chars().count();
    let width = expr[fault.range.clone()].chars().count().max(1);
    let blanks = " ".repeat(column);
    format!("  {blanks}{} {}: {}: {}", "^".repeat(width), fault.code.id, fault.message, fault.label)
}

/// `refused.txt` is written anew with `BLESS=1`.
#[test]
fn what_promtool_refuses_is_refused_with_a_place() {
    let file = crate::support::repository().join("tests/check/refused.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    let cases = cases(&text);
    assert!(cases.len() >= 60);
    let mut is = String::new();
    for (expr, promtool) in cases.iter().zip(promtool::expressions(&cases)) {
        assert!(promtool.is_some(), "promtool accepts {expr}");
        let fault = parse(expr, DIALECT).expect_err(expr);
        writeln!(is, "| {expr}\n{}", told(expr, &fault)).unwrap();
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &is).unwrap();
    }
    assert_eq!(is, std::fs::read_to_string(&file).unwrap());
}

#[test]
fn what_promtool_accepts_is_accepted() {
    let text = include_str!("accepted.txt");
    let cases = cases(text);
    for (expr, promtool) in cases.iter().zip(promtool::expressions(&cases)) {
        assert_eq!(promtool, None, "{expr}");
        assert!(parse(expr, DIALECT).is_ok(), "{expr}: {:?}", parse(expr, DIALECT).unwrap_err());
    }
}

/// A small generator of numbers, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

/// Words, numbers, strings, blanks and signs.
fn words(expr: &str) -> Vec<String> {
    regex::Regex::new(r#""[^"]*"|'[^']*'|[A-Za-z0-9_:.]+|\s+|[=!]~|[<>=!]=|."#)
        .unwrap()
        .find_iter(expr)
        .map(|m| m.as_str().to_owned())
        .collect()
}

const SPICE: [&str; 40] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "=",
    "==",
    "!=",
    "=~",
    ">",
    "+",
    "-",
    "@",
    ":",
    "offset",
    "by",
    "on",
    "ignoring",
    "group_left",
    "bool",
    "and",
    "or",
    "sum",
    "rate",
    "up",
    "5m",
    "1",
    "\"x\"",
    "[5m]",
    "[1h:5m]",
    "start()",
    "without",
    "absent",
    "0x1F",
    "1h30m",
    "^",
    "inf",
    "`a\\.b`",
];

#[test]
fn changed_expressions_are_judged_as_promtool_judges_them() {
    let stack = corpus::corpus("");
    let originals: Vec<Vec<String>> = stack.rules().map(|(_, r)| words(&r.expr())).collect();
    let mut dice = Dice(0x5eed);
    let mut changed = vec![];
    for _ in 0..4000 {
        let mut words = originals[dice.below(originals.len())].clone();
        for _ in 0..=dice.below(2) {
            let at = dice.below(words.len());
            match dice.below(4) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, format!(" {} ", SPICE[dice.below(SPICE.len())])),
                2 => words[at] = SPICE[dice.below(SPICE.len())].to_owned(),
                _ => {
                    let other = dice.below(words.len());
                    words.swap(at, other);
                }
            }
            if words.is_empty() {
                words.push("up".into());
            }
        }
        changed.push(words.concat());
    }
    let mut wrong = vec![];
    let mut refused = 0;
    for (expr, promtool) in changed.iter().zip(promtool::expressions(&changed)) {
        refused += usize::from(promtool.is_some());
        match (parse(expr, DIALECT), promtool) {
            (Ok(_), Some(said)) => wrong.push(format!("we accept {expr}\n  promtool: {said}")),
            (Err(fault), None) => wrong.push(format!("promtool accepts {expr}\n{}", told(expr, &fault))),
            _ => {}
        }
    }
    assert!((1000..4000).contains(&refused), "{refused} of 4000 refused: the changes prove little");
    assert!(wrong.is_empty(), "{} of 4000 judged otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn hostile_expressions_are_refused_and_harm_nothing() {
    let million = 1_000_000;
    for expr in [
        "(".repeat(million),
        format!("{}up{}", "(".repeat(million), ")".repeat(million)),
        format!("{}up{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}up", "-".repeat(60_000)),
        format!("up{}", "+up".repeat(15_000)),
        format!("up{}", "^up".repeat(15_000)),
        format!("{}up{}", "sum(".repeat(10_000), ")".repeat(10_000)),
        "{".repeat(million),
        "[".repeat(million),
        format!("up{{{}}}", "a=\"b\",".repeat(200_000)),
        "\"".repeat(million),
        "\0".into(),
        "up[99999999999999999999y]".into(),
        "up[1e99]".into(),
        "up offset 1e99".into(),
        "up @ 1e308".into(),
    ] {
        assert!(parse(&expr, DIALECT).is_err(), "{}", &expr[..expr.len().min(40)]);
    }
    // Long, but of a kind that generators write.
    let long = format!("up{}", " or up".repeat(1500));
    assert!(parse(&long, DIALECT).is_ok());
    let nested = format!("{}up{}", "(".repeat(90), ")".repeat(90));
    assert!(parse(&nested, DIALECT).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        let places = |expr: &str| {
            if let Err(fault) = parse(expr, DIALECT) {
                prop_assert!(expr.get(fault.range.clone()).is_some(), "{expr:?}: {:?}", fault.range);
            }
            Ok(())
        };
        places(&text)?;
        let (replaced, positions) = without_variables(&text);
        if let Err(fault) = parse(&replaced, DIALECT) {
            prop_assert!(text.get(positions.original(fault.range)).is_some());
        }
    }

    #[test]
    fn no_words_make_the_parser_panic(indices in prop::collection::vec(0..SPICE.len(), 0..25)) {
        let expr: String = indices.into_iter().map(|i| format!("{} ", SPICE[i])).collect();
        if let Err(fault) = parse(&expr, DIALECT) {
            prop_assert!(expr.get(fault.range.clone()).is_some(), "{expr:?}: {:?}", fault.range);
        }
    }
}
