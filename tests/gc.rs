//! Garbage collection: all that nothing needs, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use monprov::store::{Attempt, Busy, Limits, Store, StoreError, StorePath};
use serde_json::Value;

use crate::support::bundles::{Template, activate, as_user, current_and_live, is_intact, put};
use crate::support::crash::kill_at_every;
use crate::support::project::Project;

/// Names in a directory of the state, but temporary ones of live runs.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn bundles(project: &Project) -> BTreeSet<String> {
    names(&project.path(".monprov/store"))
}

fn set(paths: &[&StorePath]) -> BTreeSet<String> {
    paths.iter().map(|path| path.name().to_string()).collect()
}

fn collect(store: &Store, limits: Limits) -> monprov::store::Collected {
    store.gc(limits, false, Busy::Wait(&mut || {})).unwrap()
}

#[test]
fn what_nothing_needs_is_removed_with_all_that_follows_it() {
    let project = Project::empty();
    let state = project.path(".monprov");
    let store = Store::open(&state).unwrap();
    assert!(collect(&store, Limits::default()).bundles.is_empty(), "an empty store");
    let [dead, old, current, linked, live] =
        ["dead", "old", "current", "linked", "live"].map(|seed| put(&store, "prod", seed));
    activate(&store, &old);
    activate(&store, &current);
    store.lock_profile("prod", Busy::Refuse).unwrap().point_live(live.name()).unwrap();
    store.out_link(&project.path("result"), &linked).unwrap();
    store.out_link(&project.path("gone"), &dead).unwrap();
    std::fs::remove_file(project.path("gone")).unwrap();
    for (key, path) in [(1, &dead), (2, &current)] {
        store.memo_put(&[key; 32], path).unwrap();
        store.note_put(&[key + 10; 32], &serde_json::json!({ "key": vec![key; 32] })).unwrap();
    }
    std::fs::write(state.join("records/lost.json"), "{}").unwrap();

    let before = bundles(&project);
    let dry: Value = serde_json::from_str(&project.run("gc --dry-run --json").succeeds().stdout).unwrap();
    assert_eq!(dry["bundles"], serde_json::json!([dead.name()]));
    assert_eq!(bundles(&project), before, "--dry-run");

    let output = project.run("gc").succeeds();
    assert_eq!(output.stdout, format!("$PROJECT/.monprov/store/{}\n", dead.name()));
    assert!(output.stderr.contains("1 bundle, "), "{}", output.stderr);
    assert!(output.stderr.contains("2 records, 2 memo entries, 1 root"), "{}", output.stderr);
    let dry = dry.as_object().unwrap();
    assert_eq!([&dry["records"], &dry["memo"], &dry["roots"]].map(|n| n.as_u64().unwrap()), [2, 2, 1]);
    assert!(dry["bytes"].as_u64().unwrap() > 50);

    let kept = set(&[&old, &current, &linked, &live]);
    assert_eq!(bundles(&project), kept);
    let records = kept.iter().map(|name| format!("{name}.json")).collect();
    assert_eq!(names(&state.join("records")), records);
    assert_eq!((names(&state.join("memo")).len(), names(&state.join("roots")).len()), (2, 1));
    assert_eq!(store.memo_get(&[2; 32]).unwrap(), Some(current));
    assert!(store.note_get::<Value>(&[12; 32]).is_some());
    let again = collect(&store, Limits::default());
    assert_eq!((again.bundles.len(), again.records, again.memo, again.roots), (0, 0, 0, 0));
}

#[test]
fn generations_go_by_number_and_age_but_never_the_last_healthy_one() {
    let project = Project::empty();
    let store = Store::open(&project.path(".monprov")).unwrap();
    let paths: Vec<_> = (0..5).map(|n| put(&store, "prod", &n.to_string())).collect();
    paths.iter().for_each(|path| drop(activate(&store, path)));
    let numbers = || store.generations("prod").unwrap().iter().map(|one| one.number).collect::<Vec<_>>();

    project.run("gc").succeeds();
    assert_eq!(numbers(), [1, 2, 3, 4, 5], "not without a limit");
    project.run("gc --older-than 30d").succeeds();
    assert_eq!(numbers(), [1, 2, 3, 4, 5], "all are young");
    project.run("gc --keep 3 --older-than 0s --dry-run").succeeds();
    assert_eq!(numbers(), [1, 2, 3, 4, 5], "--dry-run");
    project.run("gc --keep 3 --older-than 0s").succeeds();
    assert_eq!(numbers(), [3, 4, 5]);
    assert_eq!(bundles(&project), set(&[&paths[2], &paths[3], &paths[4]]));

    // Back to 3: it is current, whatever the limit.
    project.run("rollback --to 3 --runtime none").succeeds();
    project.run("gc --keep 0").succeeds();
    assert_eq!(numbers(), [6]);
    assert_eq!(bundles(&project), set(&[&paths[2]]));
    assert_eq!(activate(&store, &put(&store, "prod", "next")).number, 7);

    for (bad, why) in [("tomorrow", "30d"), ("-3d", "minus")] {
        let refused = project.run(&format!("gc --older-than={bad}")).exits(2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn a_failed_switch_does_not_cost_the_last_healthy_generation() {
    let project = Project::empty();
    let store = Store::open(&project.path(".monprov")).unwrap();
    let (healthy, broken) = (put(&store, "prod", "healthy"), put(&store, "prod", "broken"));
    activate(&store, &healthy);
    let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    let begun =
        lock.begin(Attempt { bundle: &broken, runtime: "process", message: None, rollback: None }).unwrap();
    // While it is at it, neither bundle goes, nor any generation of the profile.
    let during = collect(&store, Limits { keep: Some(0), since: None });
    assert_eq!((during.busy, during.bundles.len()), (vec!["prod".to_owned()], 0));
    for _ in 0..3 {
        let failed = monprov::store::Failed { reason: "", restored: false, rejected: true };
        lock.fail(begun.clone(), failed).unwrap();
    }
    drop(lock);
    collect(&store, Limits { keep: Some(0), since: None });
    assert!(bundles(&project).contains(healthy.name().as_str()));
    assert_eq!(store.current("prod").unwrap().unwrap().bundle, *healthy.name());
}

#[test]
fn whoever_holds_the_store_loses_nothing() {
    let project = Project::empty();
    let store = Store::open(&project.path(".monprov")).unwrap();
    let hold = store.hold().unwrap();
    let path = put(&store, "prod", "just put");
    let refused = store.gc(Limits::default(), false, Busy::Refuse).unwrap_err();
    assert!(matches!(refused, StoreError::StoreLocked { .. }), "{refused}");
    let waits = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            store.gc(Limits::default(), false, Busy::Wait(&mut || waits.store(true, Ordering::SeqCst)))
        });
        crate::support::wait_for(crate::support::GENEROUS, "wait", || {
            waits.load(Ordering::SeqCst).then_some(())
        });
        store.out_link(&project.path("result"), &path).unwrap();
        drop(hold);
        assert_eq!(collector.join().unwrap().unwrap().bundles, []);
    });
    assert!(is_intact(path.path()));
    // What was collected meanwhile is not begun.
    std::fs::remove_file(project.path("result")).unwrap();
    collect(&store, Limits::default());
    let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    let begun = lock.begin(Attempt { bundle: &path, runtime: "none", message: None, rollback: None });
    assert!(matches!(begun, Err(StoreError::Missing { .. })));
}

/// Builds, activations and rollbacks of a few bundles over and over, while `gc` removes whatever
/// it can: nobody ever misses what it was given.
#[test]
fn collecting_while_others_build_and_switch_removes_nothing_reachable() {
    let project = Project::empty();
    let state = project.path(".monprov");
    let store = Store::open(&state).unwrap();
    activate(&store, &put(&store, "prod", "first"));
    let done = AtomicBool::new(false);
    let mut removed = 0;
    std::thread::scope(|scope| {
        let (project, done) = (&project, &done);
        let builders: Vec<_> = (0..2)
            .map(|builder| {
                scope.spawn(move || {
                    let store = Store::open(&project.path(".monprov")).unwrap();
                    for n in 0..60 {
                        let hold = store.hold().unwrap();
                        let path = put(&store, "prod", &format!("{}", n % 4));
                        assert!(is_intact(path.path()));
                        store.out_link(&project.path(&format!("result-{builder}")), &path).unwrap();
                        drop(hold);
                        let link = project.path(&format!("result-{builder}")).canonicalize().unwrap();
                        assert!(is_intact(&link), "collected in spite of an out-link");
                    }
                })
            })
            .collect();
        let switcher = scope.spawn(move || {
            let store = Store::open(&project.path(".monprov")).unwrap();
            for n in 0..60 {
                let mut lock = store.lock_profile("prod", Busy::Wait(&mut || {})).unwrap();
                let hold = store.hold().unwrap();
                let (path, rollback) = match store.rollback_target("prod", None) {
                    Ok((path, rollback)) if n % 3 == 0 => (path, Some(rollback)),
                    _ => (put(&store, "prod", &format!("{}", n % 5)), None),
                };
                lock.record(Attempt { bundle: &path, runtime: "none", message: None, rollback }).unwrap();
                drop((lock, hold));
                let (current, live) = current_and_live(&project.path(".monprov"), "prod");
                assert!(current.is_some() && current == live);
            }
        });
        let collector = scope.spawn(move || {
            let store = Store::open(&project.path(".monprov")).unwrap();
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                removed += collect(&store, Limits { keep: Some(2), since: None }).bundles.len();
            }
            removed
        });
        builders.into_iter().for_each(|thread| thread.join().unwrap());
        switcher.join().unwrap();
        done.store(true, Ordering::Relaxed);
        removed = collector.join().unwrap();
    });
    eprintln!("{removed} bundles were collected meanwhile");
    assert!(removed > 10, "only {removed}: were they at it at the same time?");
    project.run("verify").succeeds();
    collect(&store, Limits { keep: Some(2), since: None });
    assert!(!bundles(&project).iter().any(|name| name.starts_with('.')));
}

/// The same with whole processes: a build whose out-link is there has its bundle.
#[test]
fn real_builds_and_collections_at_once() {
    let project = Project::reference();
    let build = "build prod --env-file profiles/prod.env.example --oracle off -o result";
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                project.run("gc").succeeds();
                rounds += 1;
            }
            rounds
        });
        for n in 0..12 {
            let dev = project.run(&build.replace("prod ", "dev ").replace("result", "other")).succeeds();
            let prod = project.run(build).succeeds();
            for (output, link) in [(dev, "other"), (prod, "result")] {
                let bundle = project.path(&output.last_line().replace("$PROJECT/", ""));
                assert!(is_intact(&bundle), "round {n}");
                std::fs::remove_file(project.path(link)).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        eprintln!("{} collections", collector.join().unwrap());
    });
}

fn killed_everywhere(user: Option<u32>) {
    let project = Project::empty();
    let state = project.path(".monprov");
    let store = Store::open(&state).unwrap();
    let paths: Vec<_> = (0..4).map(|n| put(&store, "prod", &n.to_string())).collect();
    for path in &paths {
        store.memo_put(&[path.name().as_str().as_bytes()[0]; 32], path).unwrap();
    }
    [0, 1, 2].iter().for_each(|n| drop(activate(&store, &paths[*n])));
    // Left by a killed run, of a bundle that is dead again.
    std::fs::create_dir_all(state.join("store").join(format!(".gc-{}/x", paths[3].name()))).unwrap();
    if let Some(user) = user {
        project.give_to(user);
    }
    let template = Template::of(&project);
    let needed = [&paths[1], &paths[2]];
    let report = kill_at_every(
        &state,
        user,
        || {
            template.restore();
            project.command(["gc", "--keep", "2"])
        },
        |point| {
            for path in needed {
                assert!(is_intact(path.path()), "{point:?}");
            }
            let (current, live) = current_and_live(&state, "prod");
            assert_eq!(
                (current.as_deref(), live.as_deref()),
                (Some(paths[2].name().as_str()), current.as_deref())
            );
            // Nothing half has a bundle's name, and no generation has lost its bundle.
            let verified = project.output(as_user(project.command(["verify"]), user));
            assert_eq!(verified.code, 0, "{point:?}: {}{}", verified.stdout, verified.stderr);
            project.output(as_user(project.command(["gc", "--keep", "2"]), user)).succeeds();
            assert_eq!(bundles(&project), set(&needed), "{point:?}");
            assert_eq!(names(&state.join("records")).len(), 2, "{point:?}");
            assert_eq!(names(&state.join("generations/prod")).len(), 2, "{point:?}");
            assert!(names(&state.join("memo")).len() <= 2, "{point:?}");
        },
    );
    eprintln!("gc as {user:?}: {report}");
    assert_eq!(report.missed, []);
    assert!(report.found.len() > 20, "{report}");
}

#[test]
fn gc_killed_at_every_change() {
    killed_everywhere(None);
}

#[test]
fn gc_killed_at_every_change_as_an_ordinary_user() {
    killed_everywhere(Some(65534));
}
