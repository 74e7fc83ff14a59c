//! A switch that is killed: whatever it left, the next one finishes or undoes it.

use std::time::Duration;

use super::{Profile, Stack};

#[test]
fn at_any_time_is_settled_by_the_next() {
    let stack = Stack::start();
    let mut settled = 0;
    for round in 0..12_u32 {
        let profile = Profile { threshold: 1000 + round, ..Profile::default() };
        stack.write(&profile);
        let mut command = stack.project().command(["switch", "dev", "--oracle", "off", "--force"]);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        // A different moment each round; nothing here depends on which.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 25));
        let _ = child.kill();
        child.wait().unwrap();

        // What runs is wholly one of the two.
        let known: Vec<String> = [99 + 1, 1000 + round, 5000 + round.saturating_sub(1)]
            .iter()
            .map(|t| format!("prometheus_tsdb_head_series > {t}"))
            .collect();
        assert!(known.contains(&stack.expression()), "{}", stack.expression());

        let next = Profile { threshold: 5000 + round, ..Profile::default() };
        let switched = stack.switch(&next, "--force").succeeds();
        settled += u32::from(switched.stderr.contains("was cut short"));
        assert_eq!(stack.expression(), format!("prometheus_tsdb_head_series > {}", 5000 + round));
        stack.is_well();
        assert!(!stack.outcomes().contains(&"pending".to_owned()));
    }
    assert!(settled > 0, "no round was killed within the switch");
}

#[test]
fn can_be_undone_by_a_rollback() {
    let stack = Stack::start();
    stack.lie(true);
    // The proof waits for a reload that never comes.
    stack.write(&Profile { threshold: 4000, ..Profile::default() });
    let mut child = stack.project().command(["switch", "dev", "--oracle", "off"]).spawn().unwrap();
    crate::support::wait_for(crate::support::GENEROUS, "pending generation", || {
        let live = std::fs::read_link(stack.project().path(".monprov/run/dev/live")).unwrap();
        (stack.outcomes().len() == 2 && live.to_string_lossy().ends_with("-dev")).then_some(())
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
}
