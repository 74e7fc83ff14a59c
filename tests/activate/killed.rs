//! A switch that is killed: whatever it left, the next one finishes or undoes it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::{Profile, Stack};
use crate::support::crash;

fn threshold(threshold: u32) -> Profile {
    Profile { threshold, ..Profile::default() }
}

/// The real programs run one of the two, `status` tells the truth, and the next switch works.
fn is_settled(stack: &Stack, old: u32, new: u32, at: &str) {
    let running = stack.expression();
    let wholly = [old, new].map(|t| format!("prometheus_tsdb_head_series > {t}"));
    assert!(wholly.contains(&running), "killed at {at}: {running}");
    let status = stack.project().run("status dev --no-secrets");
    let says = status.stderr.contains("was cut short") || status.stderr.contains("drift");
    assert!(status.code == 0 || says, "killed at {at}: {}", status.stderr);
    if status.code == 0 {
        // Then what is called current is what runs.
        let live = stack.project().read(".monprov/run/dev/live/prometheus/rules/default.yml");
        assert!(live.contains(&running), "killed at {at}: {live}");
    }
}

#[test]
fn at_every_change_is_settled_by_the_next() {
    let stack = Stack::start();
    let build = |profile: &Profile| {
        stack.write(profile);
        let built = stack.project().run("build dev --oracle off").succeeds();
        built.last_line().rsplit('/').next().unwrap().to_owned()
    };
    let (old, new) = (build(&threshold(100)), build(&threshold(500)));
    let activate = |bundle: &str| stack.project().command(["activate", bundle, "--force", "-m", "x"]);
    let state = stack.project().path(".monprov").canonicalize().unwrap();

    let report = crash::kill_at_every(
        &state,
        None,
        || {
            // Settles what the last round has left.
            stack.project().output(activate(&old)).succeeds();
            assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
            activate(&new)
        },
        |point| is_settled(&stack, 100, 500, &point.line),
    );
    eprintln!("{report}");
    assert!(report.tested() > 20, "{report}");
    stack.project().output(activate(&old)).succeeds();
    stack.is_well();
    assert!(!stack.outcomes().contains(&"pending".to_owned()));
}

#[test]
fn after_every_line_that_it_prints_is_settled_by_the_next() {
    let stack = Stack::start();
    let mut cut_short = 0;
    for (round, until) in ["plan", "live", "reload", "proof", "current"].into_iter().enumerate() {
        let round = u32::try_from(round).unwrap();
        let (old, new) = if round == 0 { (100, 1000) } else { (5000 + round - 1, 1000 + round) };
        stack.write(&threshold(new));
        let mut command = stack.project().command(["switch", "dev", "--oracle", "off"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with(until)), "no line {until}");
        child.kill().unwrap();
        child.wait().unwrap();
        is_settled(&stack, old, new, until);

        let switched = stack.switch(&threshold(5000 + round), "").succeeds();
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
    stack.write(&threshold(4000));
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
