//! A switch that is killed: whatever it left, the next one finishes or undoes it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;

use super::{Profile, Stack};
use crate::support::crash;

pub(super) const OLD: (u32, &str) = (100, "warning");
pub(super) const NEW: (u32, &str) = (500, "critical");

fn profile((threshold, severity): (u32, &'static str)) -> Profile {
    Profile { threshold, severity, ..Profile::default() }
}

/// The bundles of [`OLD`] and [`NEW`].
pub(super) fn build_both(stack: &Stack) -> [String; 2] {
    [OLD, NEW].map(|version| {
        stack.write(&profile(version));
        let built = stack.project().run("build dev --oracle off").succeeds();
        built.last_line().rsplit('/').next().unwrap().to_owned()
    })
}

pub(super) fn activate(stack: &Stack, bundle: &str) -> Command {
    stack.project().command(["activate", bundle, "--force"])
}

/// The threshold that Prometheus runs with and the severity that Alertmanager routes.
pub(super) fn runs(stack: &Stack) -> (u32, String) {
    in_text(&stack.expression(), &stack.alertmanager_config())
}

fn in_text(rules: &str, routes: &str) -> (u32, String) {
    let find = |pattern: &str, text: &str| {
        let found = Regex::new(pattern).unwrap().captures(text);
        found.unwrap_or_else(|| panic!("no {pattern} in {text}"))[1].to_owned()
    };
    (find("head_series > ([0-9]+)", rules).parse().unwrap(), find("severity=\"([a-z]+)\"", routes))
}

/// Each program runs the whole of one of the two, and `status` tells the truth.
#[track_caller]
pub(super) fn is_settled(stack: &Stack, [old, new]: [(u32, &str); 2], at: &str) {
    let (threshold, severity) = runs(stack);
    assert!([old.0, new.0].contains(&threshold), "killed at {at}: {threshold}");
    assert!([old.1, new.1].contains(&severity.as_str()), "killed at {at}: {severity}");

    let status = stack.project().run("status dev --json");
    let found: Value = serde_json::from_str(&status.stdout).unwrap();
    let found = &found[0];
    assert_eq!(found["well"], status.code == 0, "killed at {at}: {found}");
    let mut checks = found["checks"].as_array().unwrap().iter();
    let drifted = checks.any(|check| check["verdict"] == "wrong");
    if status.code == 0 {
        assert!(found["interrupted"].is_null() && !drifted, "killed at {at}: {found}");
        // Then what is called current is what runs.
        let of = |file: &str| {
            let bundle = found["current"]["bundle"].as_str().unwrap();
            stack.project().read(&format!(".monprov/store/{bundle}/{file}"))
        };
        let current = in_text(&of("prometheus/rules/default.yml"), &of("alertmanager/alertmanager.yml"));
        assert_eq!((threshold, severity), current, "killed at {at}");
    } else {
        assert!(!found["interrupted"].is_null() || drifted, "killed at {at}: {found}");
    }
}

/// All generations are there, none is open, and nothing lies around.
pub(super) fn nothing_is_lost(stack: &Stack) {
    stack.is_well();
    let list = stack.generations();
    let mut all: Vec<_> = list["generations"].as_array().unwrap().iter().collect();
    all.sort_by_key(|one| one["number"].as_u64());
    let numbers: Vec<u64> = all.iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    assert!(all.iter().all(|one| one["outcome"] != "pending"), "{list}");
    stack.project().run("verify").succeeds();
    let left: Vec<_> = walkdir::WalkDir::new(stack.project().path(".monprov"))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn killed_at_every_change(user: Option<u32>) {
    let stack = Stack::start_as(user);
    let [old, new] = build_both(&stack);
    let before = stack.processes();
    let state = stack.project().path(".monprov").canonicalize().unwrap();
    let report = crash::kill_at_every(
        &state,
        user,
        || {
            // Settles what the last round has left.
            stack.project().output(activate(&stack, &old)).succeeds();
            assert_eq!(runs(&stack), (OLD.0, OLD.1.to_owned()));
            activate(&stack, &new)
        },
        |point| is_settled(&stack, [OLD, NEW], &point.line),
    );
    eprintln!("as {user:?}: {report}");
    // Reading one more generation in each round moves the count of `openat`.
    assert!(report.tested() > 20 && report.missed.len() < 3, "{report}");
    stack.project().output(activate(&stack, &new)).succeeds();
    assert_eq!(runs(&stack), (NEW.0, NEW.1.to_owned()));
    assert_eq!(stack.processes(), before);
    nothing_is_lost(&stack);
}

#[test]
fn at_every_change_is_settled_by_the_next() {
    killed_at_every_change(None);
}

#[test]
fn at_every_change_as_an_ordinary_user_is_settled_by_the_next() {
    assert!(rustix::process::geteuid().is_root(), "this test changes users, so it runs as root");
    killed_at_every_change(Some(65534));
}

/// Other choices each time, and the same again with the seed that it prints.
pub(super) fn random() -> fastrand::Rng {
    let seed = std::env::var("MONPROV_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("MONPROV_TEST_SEED={seed} makes the same choices");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn at_200_random_instants_loses_nothing() {
    let mut random = random();
    let stack = Stack::start();
    let bundles = build_both(&stack);
    let before = stack.processes();
    let mut whole = [1, 0, 1, 0].map(|to: usize| {
        let start = Instant::now();
        stack.project().output(activate(&stack, &bundles[to])).succeeds();
        start.elapsed().as_micros() as u64
    });
    whole.sort_unstable();
    let whole = whole[2];

    let (mut at, mut within, mut cut_short) = (0, 0, 0);
    for round in 0..200 {
        let after = random.u64(..whole);
        let mut command = activate(&stack, &bundles[1 - at]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(after));
        child.kill().unwrap();
        within += u32::from(child.wait().unwrap().signal().is_some());
        is_settled(&stack, [OLD, NEW], &format!("{after} µs in round {round}"));

        // Either way out works: on, or back.
        at = random.usize(..2);
        let next = stack.project().output(activate(&stack, &bundles[at])).succeeds();
        cut_short += u32::from(next.stderr.contains("was cut short"));
        let (threshold, severity) = [OLD, NEW][at];
        assert_eq!(runs(&stack), (threshold, severity.to_owned()), "round {round}");
    }
    eprintln!(
        "a whole switch takes {whole} µs; {within} of 200 died in it, {cut_short} while it changed things"
    );
    assert!(within > 100 && cut_short > 20, "{within} {cut_short}");
    assert_eq!(stack.processes(), before);
    nothing_is_lost(&stack);
}

#[test]
fn after_every_line_that_it_prints_is_settled_by_the_next() {
    let stack = Stack::start();
    let mut cut_short = 0;
    for (round, until) in ["plan", "live", "reload", "proof", "current"].into_iter().enumerate() {
        let round = u32::try_from(round).unwrap();
        let (old, new) = if round == 0 { (100, 1000) } else { (5000 + round - 1, 1000 + round) };
        let [old, new] = [old, new].map(|threshold| (threshold, "warning"));
        stack.write(&profile(new));
        let mut command = stack.project().command(["switch", "dev", "--oracle", "off"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with(until)), "no line {until}");
        child.kill().unwrap();
        child.wait().unwrap();
        is_settled(&stack, [old, new], until);

        let switched = stack.switch(&profile((5000 + round, "warning")), "").succeeds();
        cut_short += u32::from(switched.stderr.contains("was cut short"));
        assert_eq!(stack.expression(), format!("prometheus_tsdb_head_series > {}", 5000 + round));
        stack.is_well();
        assert!(!stack.outcomes().contains(&"pending".to_owned()));
    }
    assert!(cut_short > 0, "no round was killed within the switch");
}

#[test]
fn can_be_undone_by_a_rollback() {
    let stack = Stack::start();
    stack.lie(true);
    // The proof waits for a reload that never comes.
    stack.write(&profile((4000, "warning")));
    let mut child = stack.project().command(["switch", "dev", "--oracle", "off"]).spawn().unwrap();
    crate::support::wait_for(crate::support::GENEROUS, "pending generation", || {
        stack.outcomes().contains(&"pending".to_owned()).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    stack.lie(false);
    let status = stack.project().run("status dev").exits(1);
    assert!(status.stderr.contains("generation 2"), "{}", status.stderr);
    assert!(status.stderr.contains("was cut short"), "{}", status.stderr);
    let back = stack.project().run("rollback dev").succeeds();
    assert!(back.stderr.contains("was cut short"), "{}", back.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    stack.is_well();
    // It stays undone.
    stack.project().run("switch dev --oracle off").exits(3);
}
