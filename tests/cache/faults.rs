//! A pull that dies anywhere, and many pulls at once.

use std::path::Path;

use monprov::store::Store;

use super::{Origin, host, key, names};
use crate::support::bundles::{is_intact, put};
use crate::support::crash::{fail_at_every, kill_at_every};

/// Whatever has a final name is whole.
fn assert_sound(state: &Path) {
    for name in names(&state.join("store")).into_iter().filter(|name| !name.starts_with(".tmp-")) {
        assert!(is_intact(&state.join("store").join(&name)), "{name}");
    }
}

#[test]
fn killed_at_every_change_a_pull_leaves_the_old_state_or_the_new() {
    let origin = Origin::new().pushed();
    let host = host(&[&key("fleet-1", 1)]);
    let (state, url) = (host.path("state"), origin.url());
    let pull = || host.command(["pull", "prod", &url, "--out-link", "result"]);
    let mut checked = 0;
    let report = kill_at_every(
        &state,
        None,
        || {
            let _ = std::fs::remove_dir_all(&state);
            let _ = std::fs::remove_file(host.path("result"));
            pull()
        },
        |point| {
            checked += 1;
            assert_sound(&state);
            host.output(pull()).succeeds();
            assert_sound(&state);
            assert_eq!(names(&state.join("store")), [origin.name().as_str()], "{point:?}");
            assert_eq!(names(&state.join("signatures")), [origin.name().as_str()], "{point:?}");
            assert_eq!(names(&state.join("records")), [format!("{}.json", origin.name())], "{point:?}");
        },
    );
    eprintln!("{report}");
    assert_eq!(report.missed, []);
    assert!(checked > 30, "only {checked} points: is this pull still what it was?");
}

#[test]
fn a_full_disk_at_any_step_of_a_pull_is_an_error_that_leaves_nothing_half() {
    let origin = Origin::new().pushed();
    let host = host(&[&key("fleet-1", 1)]);
    let (state, url) = (host.path("state"), origin.url());
    let mut failed = 0;
    let report = fail_at_every(
        &state,
        None,
        "ENOSPC",
        || {
            let _ = std::fs::remove_dir_all(&state);
            host.command(["pull", "prod", &url])
        },
        |point, output| {
            let said = String::from_utf8_lossy(&output.stderr);
            failed += usize::from(!output.status.success());
            assert!(output.status.success() || said.contains("no space is left"), "{point:?}: {said}");
            assert_sound(&state);
            host.output(host.command(["pull", "prod", &url])).succeeds();
            assert_eq!(names(&state.join("store")), [origin.name().as_str()], "{point:?}");
        },
    );
    eprintln!("{report}");
    assert!(failed > 20, "only {failed} points: is this pull still what it was?");
}

#[test]
fn many_processes_pull_the_same_bundles() {
    let origin = Origin::new();
    for seed in 0..10 {
        put(&origin.store, "prod", &format!("seed {seed}"));
    }
    origin.project.run(&format!("push --all {} --key key", origin.url())).succeeds();
    let all: Vec<String> = origin.store.list().unwrap().iter().map(|path| path.name().to_string()).collect();
    let host = host(&[&key("fleet-1", 1)]);
    let children: Vec<_> = (0..6)
        .map(|_| {
            let mut command = host.command(["pull"]);
            command.args(&all).arg(origin.url());
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let store = Store::open(&host.path("state")).unwrap();
    assert_eq!(store.list().unwrap().len(), all.len());
    for path in store.list().unwrap() {
        assert_eq!(store.verify(&path).unwrap(), []);
        assert_eq!(store.signatures(path.name()).unwrap().len(), 1);
    }
    // What nothing points to goes, with all that stands beside it.
    host.run("gc");
    let host = host.file("profiles/x.toml", "");
    host.run("gc").succeeds();
    assert_eq!(names(&host.path("state/signatures")), Vec::<String>::new());
    assert_eq!(names(&host.path("state/store")), Vec::<String>::new());
}
