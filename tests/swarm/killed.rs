//! Switches that are killed while they deploy.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Stack, profile};
use crate::activate::compose::kill_what_it_entered;
use crate::activate::killed::random;

/// The `docker stack deploy` that a killed run has started may go on for a while.
#[test]
fn killed_at_random_instants_it_is_settled_by_the_next() {
    let mut random = random();
    let stack = Stack::new();
    let text =
        |(threshold, says): (u32, &str)| profile(threshold).replace("echo \"open", &format!("echo \"{says}"));
    let [old, new] = [(100, "open"), (500, "very open")];
    stack.switch(&text(old)).succeeds();
    let mut at = old;
    for round in 0..6 {
        let to = if at == old { new } else { old };
        stack.project.write("profiles/prod.toml", text(to));
        let own: Command = stack.project.command("switch prod --oracle off --force".split_whitespace());
        let mut child =
            stack.engine.enter(&own).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        lines.find(|line| line.starts_with("plan"));
        let after = random.u64(..2_000);
        std::thread::sleep(Duration::from_millis(after));
        kill_what_it_entered(child.id());
        child.wait().unwrap();

        let at_round = format!("killed after {after} ms in round {round}");
        let status = stack.monprov("status prod --json");
        let found: Value = serde_json::from_str(&status.stdout).unwrap();
        assert!(status.code != 0 && !found[0]["interrupted"].is_null(), "{at_round}: {found}");
        // Finished, or undone.
        let next = if random.bool() {
            at = to;
            stack.monprov("switch prod --oracle off --force").succeeds()
        } else {
            stack.monprov("rollback prod").succeeds()
        };
        assert!(next.stderr.contains("was cut short"), "{at_round}: {}", next.stderr);
        assert_eq!(stack.expression(), format!("prometheus_tsdb_head_series > {}", at.0), "{at_round}");
        assert!(stack.log("opened").starts_with(at.1), "{at_round}: {}", stack.log("opened"));
        assert_eq!(stack.services().len(), 4, "{at_round}");
        stack.monprov("status prod").succeeds();
    }
    let all = stack.monprov("generations prod --json").succeeds().stdout;
    assert!(!all.contains("\"pending\""), "{all}");
}
