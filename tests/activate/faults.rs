//! A switch to which the disk says no, at any of its steps.

use std::process::Output;

use super::Stack;
use super::killed::{NEW, OLD, activate, build_both, is_settled, nothing_is_lost, runs};
use crate::support::crash;

/// One call fails. Then the old stack runs, or the new one if the switch was through, and what
/// the exit code and the message say is so.
fn fails_at_every_change(error: &str, message: &str) {
    let stack = Stack::start();
    let [old, new] = build_both(&stack);
    let before = stack.processes();
    let state = stack.project().path(".monprov").canonicalize().unwrap();
    let mut codes = [0; 7];
    let report = crash::fail_at_every(
        &state,
        None,
        error,
        || {
            stack.project().output(activate(&stack, &old)).succeeds();
            assert_eq!(runs(&stack), (OLD.0, OLD.1.to_owned()));
            activate(&stack, &new)
        },
        |point, output: &Output| {
            let said = String::from_utf8_lossy(&output.stderr);
            let at = format!("{} failed with {error}, then\n{said}", point.line);
            let code = output.status.code().unwrap_or_else(|| panic!("{at}"));
            codes[code as usize] += 1;
            let (threshold, severity) = match code {
                0 => NEW,
                // Nothing was touched, or all was restored.
                1 | 5 => OLD,
                _ => panic!("{code}: {at}"),
            };
            assert_eq!(runs(&stack), (threshold, severity.to_owned()), "{code}: {at}");
            assert!(code == 0 || said.contains(message), "{code}: {at}");
            assert!(!said.contains("marked as failed"), "the bundle is not to blame: {at}");
            is_settled(&stack, [OLD, NEW], &at);
        },
    );
    eprintln!("{error}: {report}; by exit code {codes:?}");
    assert!(report.tested() > 20 && report.missed.len() < 3, "{report}");
    assert!(codes[1] > 0 && codes[5] > 0, "{codes:?}");
    stack.project().output(activate(&stack, &new)).succeeds();
    assert_eq!(stack.processes(), before);
    nothing_is_lost(&stack);
}

#[test]
fn a_full_disk_at_any_step_restores_what_ran() {
    fails_at_every_change("ENOSPC", "no space is left on its file system: free some");
}

#[test]
fn a_broken_disk_at_any_step_restores_what_ran() {
    fails_at_every_change("EIO", "Input/output error");
}
