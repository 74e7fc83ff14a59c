//! Our routes equal `amtool config routes test`, for random trees and label sets.

use std::fmt::Write;
use std::process::Command;

use monprov::diagnostic::Path;
use monprov::stack::routing::{Labels, route};
use monprov::stack::{MatchOp, Matcher, Route};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::program;

const LABELS: [&str; 3] = ["severity", "component", "team"];
const VALUES: [&str; 5] = ["", "critical", "warning", "task-queue", "a\"b\\c d"];
const PATTERNS: [&str; 9] =
    ["critical|warning", ".*", ".+", "task-.*", "", "(?i)CRITICAL", "[a-w]+", r"\w+", "a\"b.*"];

fn matcher() -> impl Strategy<Value = Matcher> {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let value = prop_oneof![
        (prop::sample::select(vec![Equal, NotEqual]), prop::sample::select(VALUES.to_vec())),
        (prop::sample::select(vec![Regex, NotRegex]), prop::sample::select(PATTERNS.to_vec())),
    ];
    (prop::sample::select(LABELS.to_vec()), value)
        .prop_map(|(label, (op, value))| Matcher::new(label, op, value))
}

/// A route; each has a receiver of its own, given by [`number`].
fn tree() -> impl Strategy<Value = Route> {
    let matchers = || prop::collection::vec(matcher(), 0..3);
    let leaf = (matchers(), any::<bool>()).prop_map(|(m, c)| node(m, c, vec![]));
    let inner = leaf.prop_recursive(3, 24, 4, move |inner| {
        (matchers(), any::<bool>(), prop::collection::vec(inner, 0..4))
            .prop_map(|(m, c, routes)| node(m, c, routes))
    });
    prop::collection::vec(inner, 0..5).prop_map(|routes| {
        let mut root = node(vec![], false, routes);
        number(&mut root, &mut 0);
        root
    })
}

fn node(matchers: Vec<Matcher>, r#continue: bool, routes: Vec<Route>) -> Route {
    Route {
        name: String::new(),
        receiver: String::new(),
        matchers,
        r#continue,
        group_by: None,
        group_wait: None,
        group_interval: None,
        repeat_interval: None,
        mute_during: vec![],
        active_during: vec![],
        routes,
        order: 0,
        at: Path::root(),
    }
}

fn number(route: &mut Route, next: &mut u32) {
    route.receiver = format!("r{next}");
    *next += 1;
    route.routes.iter_mut().for_each(|child| number(child, next));
}

fn labels() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let value = || prop::option::of(prop::sample::select(VALUES[1..].to_vec()));
    (value(), value(), value()).prop_map(|(a, b, c)| {
        LABELS.into_iter().zip([a, b, c]).filter_map(|(label, value)| Some((label, value?))).collect()
    })
}

fn yaml(route: &Route, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let matchers: Vec<String> = route.matchers.iter().map(ToString::to_string).collect();
    writeln!(out, "{{receiver: {}, continue: {},", route.receiver, route.r#continue).unwrap();
    if !matchers.is_empty() {
        // A list in JSON is one in YAML too.
        writeln!(out, "{pad}  matchers: {},", serde_json::to_string(&matchers).unwrap()).unwrap();
    }
    write!(out, "{pad}  routes: [").unwrap();
    for child in &route.routes {
        yaml(child, depth + 1, out);
        out.push(',');
    }
    out.push_str("]}");
}

fn receivers<'a>(route: &'a Route, out: &mut Vec<&'a str>) {
    out.push(&route.receiver);
    route.routes.iter().for_each(|child| receivers(child, out));
}

/// What amtool says of one alert: receivers in order.
fn amtool(config: &std::path::Path, labels: &[(&str, &str)]) -> String {
    let output = Command::new(program("amtool"))
        .args(["config", "routes", "test", "--config.file"])
        .arg(config)
        // Its arguments are matchers by syntax, with escapes within quotes.
        .args(labels.iter().map(|(k, v)| Matcher::equal(*k, *v).to_string()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn compare(seed: [u8; 32], cases: u32) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("alertmanager.yml");
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let settings = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new_with_rng(settings, rng)
        .run(&(tree(), labels()), |(root, labels)| {
            let mut names = vec![];
            receivers(&root, &mut names);
            let mut text = "route: ".to_owned();
            yaml(&root, 0, &mut text);
            text.push_str("\nreceivers:\n");
            names.iter().for_each(|name| writeln!(text, "- name: {name}").unwrap());
            std::fs::write(&config, &text).unwrap();
            let theirs = amtool(&config, &labels);
            let known = Labels::of(labels.iter().copied());
            let taken = route(&root, &known).map_err(|(_, e)| TestCaseError::fail(e.to_string()))?;
            let ours: Vec<&str> = taken.iter().map(|r| r.receiver.as_str()).collect();
            prop_assert_eq!(ours.join(","), theirs, "{:?} in\n{}", labels, text);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("seed {seed:?}: {e}"));
}

#[test]
fn routes_equal_those_of_amtool() {
    compare([7; 32], 600);
}

#[test]
fn routes_equal_those_of_amtool_from_a_new_seed() {
    let seed = rand_seed();
    eprintln!("seed {seed:?}");
    compare(seed, 400);
}

fn rand_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut seed).unwrap();
    seed
}

/// What is not known stays open: whatever the unknown label turns out to be, the routes that
/// are taken then were foreseen, and those foreseen for sure are taken.
#[test]
fn what_is_not_known_is_foreseen() {
    use monprov::stack::routing::{Router, Truth};
    let unknown = prop::sample::select(LABELS.to_vec());
    let value = prop::sample::select(VALUES.to_vec());
    proptest!(|(root in tree(), labels in labels(), unknown in unknown, value in value)| {
        let router = Router::new(&root).unwrap();
        let mut guess = Labels::of(labels.iter().copied());
        guess.known.insert(unknown.into(), value.into());
        let taken: Vec<&str> = router.route(&guess).iter().map(|(r, _)| r.receiver.as_str()).collect();
        guess.known.remove(unknown);
        guess.unknown.insert(unknown.into());
        let foreseen = router.route(&guess);
        for (route, truth) in &foreseen {
            let name = route.receiver.as_str();
            prop_assert!(*truth == Truth::Maybe || taken.contains(&name), "{name} was sure");
        }
        for name in taken {
            prop_assert!(foreseen.iter().any(|(r, _)| r.receiver == name), "{name} was not foreseen");
        }
    });
}
