//! Processes by parent, as `/proc` shows them. The kernel's own list of children is an option
//! that not every kernel has.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to everything below a process.
pub(super) fn signal_below(root: Pid, signal: Signal) {
    for pid in below(root) {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// Everything below a process, each before its own children.
pub(super) fn below(root: Pid) -> Vec<Pid> {
    let children = all();
    let mut found = vec![];
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        let own = children.get(&parent.as_raw_nonzero().get()).into_iter().flatten().copied();
        found.extend(own.clone());
        next.extend(own);
    }
    found
}

/// The children of a process.
pub(super) fn children(parent: Pid) -> Vec<Pid> {
    all().remove(&parent.as_raw_nonzero().get()).unwrap_or_default()
}

/// All processes, by parent.
fn all() -> BTreeMap<i32, Vec<Pid>> {
    let mut children: BTreeMap<i32, Vec<Pid>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        let Ok(stat) = std::fs::read(entry.path().join("stat")) else { continue };
        if let Some(parent) = parent_of(&String::from_utf8_lossy(&stat)) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// The fourth field. The second, a name in parentheses, may hold anything.
fn parent_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_hides_no_parent() {
        assert_eq!(parent_of("12 (a) R 3) (x) S 34 12 12 0 -1"), Some(34));
        assert_eq!(parent_of("12 (a"), None);
    }

    #[test]
    fn a_child_is_found_below_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let own = rustix::process::getpid();
        assert!(below(own).contains(&Pid::from_child(&child)));
        assert!(children(own).contains(&Pid::from_child(&child)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
