//! A switch that is killed. The `monprov up` that runs the stack brings back what ran before;
//! where it can't, `status` says what is where, and the next command finishes or undoes it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;

use super::{Profile, Stack};
use crate::support::{GENEROUS, crash, wait_for};

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

/// With nobody's help the running stack is, a moment later, wholly one of the two, and `status`
/// says which.
#[track_caller]
pub(super) fn is_settled(stack: &Stack, versions: [(u32, &str); 2], at: &str) {
    let found = wait_for(GENEROUS, &format!("settled stack, killed at {at}"), || {
        // Whoever holds the lock is not done yet.
        let lock = stack.project().path(".monprov/generations/dev");
        let lock = std::fs::File::open(lock).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).ok()?;
        drop(lock);
        let status = stack.project().run("status dev --json");
        let found: Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(found[0]["well"], status.code == 0, "killed at {at}: {found}");
        (status.code == 0).then(|| found[0].clone())
    });
    assert!(found["interrupted"].is_null(), "killed at {at}: {found}");
    let of = |file: &str| {
        let bundle = found["current"]["bundle"].as_str().unwrap();
        stack.project().read(&format!(".monprov/store/{bundle}/{file}"))
    };
    let current = in_text(&of("prometheus/rules/default.yml"), &of("alertmanager/alertmanager.yml"));
    let runs = runs(stack);
    assert_eq!(runs, current, "killed at {at}");
    assert!(versions.iter().any(|v| runs == (v.0, v.1.to_owned())), "killed at {at}: {runs:?}");
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
pub fn random() -> fastrand::Rng {
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

    let (mut at, mut within) = (0, 0);
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
        stack.project().output(activate(&stack, &bundles[at])).succeeds();
        let (threshold, severity) = [OLD, NEW][at];
        assert_eq!(runs(&stack), (threshold, severity.to_owned()), "round {round}");
    }
    let cut_short = stack.up.output().matches("was cut short").count();
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

        stack.switch(&profile((5000 + round, "warning")), "").succeeds();
        assert_eq!(stack.expression(), format!("prometheus_tsdb_head_series > {}", 5000 + round));
        stack.is_well();
        assert!(!stack.outcomes().contains(&"pending".to_owned()));
    }
    let said = stack.up.output();
    assert!(said.contains("was cut short"), "no round was killed within the switch: {said}");
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
    // Nobody believes Prometheus now, so it stays to be settled.
    stack.up.until_printed("generation 1 is not restored: prometheus answered the reload, but none happened");
    stack.lie(false);
    let status = stack.project().run("status dev").exits(1);
    let seen = "was cut short; prometheus runs generation 1: `monprov switch dev` finishes";
    assert!(status.stderr.contains(seen), "{}", status.stderr);
    let back = stack.project().run("rollback dev").succeeds();
    assert!(back.stderr.contains("was cut short"), "{}", back.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    stack.is_well();
    // It stays undone.
    stack.project().run("switch dev --oracle off").exits(3);
}

/// Alertmanager has taken the new bundle over and Prometheus has not.
#[test]
fn between_two_reloads_leaves_no_half_switched_stack() {
    let stack = Stack::start();
    let before = stack.processes();
    stack.project().write(".monprov/hold-prometheus", "");
    stack.write(&profile(NEW));
    let mut child = stack.project().command(["switch", "dev", "--oracle", "off"]).spawn().unwrap();
    wait_for(GENEROUS, "Alertmanager with the new routes", || {
        (runs(&stack) == (OLD.0, NEW.1.to_owned())).then_some(())
    });
    let status = stack.project().run("status dev");
    assert!(status.stderr.contains("another run is changing `dev`"), "{}", status.stderr);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(stack.project().path(".monprov/hold-prometheus")).unwrap();

    is_settled(&stack, [OLD, OLD], "between two reloads");
    stack.up.until_printed("restored  generation 1 runs again, proved");
    let list = stack.generations();
    let cut = list["generations"].as_array().unwrap().iter().find(|one| one["number"] == 2).unwrap();
    assert_eq!((&cut["outcome"], &cut["rejected"]), (&"restored".into(), &Value::Null));
    assert_eq!(cut["reason"], "its run was killed; generation 1 was restored");
    assert_eq!(stack.processes(), before);
    stack.project().run("switch dev --oracle off").succeeds();
    assert_eq!(runs(&stack), (NEW.0, NEW.1.to_owned()));
    nothing_is_lost(&stack);
}

/// Ctrl-C while a service is still waited for: the stack ends, and with it all that was begun.
#[test]
fn its_own_activation_is_ended_by_up_itself() {
    let (project, _) = Stack::project_of_its_own();
    let text = project.read("profiles/dev.toml");
    let never = "[services.never]\nprogram = \"sh\"\nargs = [\"-c\", \"exec sleep 100000\"]\n\
                 health = { command = [\"false\"] }\n";
    project.write("profiles/dev.toml", text + never);
    let mut up = crate::support::up::Up::start(project);
    up.until_printed("live      generation nothing → 1");
    assert!(up.project.path(".monprov/secrets/dev/reader").exists());
    assert_eq!(up.interrupt(), Some(0));
    up.until_printed("secrets   wiped");
    up.nothing_remains();
    assert!(!up.project.path(".monprov/secrets/dev").exists());
    let status = up.project.run("status dev").succeeds();
    assert!(status.stderr.contains("dev: nothing runs"), "{}", status.stderr);
    let list = up.project.run("generations dev --json").succeeds().stdout;
    assert!(list.contains("\"failed\"") && !list.contains("\"pending\""), "{list}");
}
