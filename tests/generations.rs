//! Generations: what is activated, by whom and why, and the way back.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use monprov::store::{Attempt, Busy, Failed, Outcome, Store, StoreError};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::bundles::{self, Template, activate, as_user, current_and_live, put};
use crate::support::crash::kill_at_every;
use crate::support::project::Project;
use crate::support::{GENEROUS, wait_for};

const NONE: &str = "--runtime none";

/// A project with bundles of `prod` for these seeds, and the first `activated` of them activated.
fn project(seeds: &[&str], activated: usize) -> (Project, Store, Vec<String>) {
    let project = Project::empty();
    let store = Store::open(&project.path(".monprov")).unwrap();
    let paths: Vec<_> = seeds.iter().map(|seed| put(&store, "prod", seed)).collect();
    for path in paths.iter().take(activated) {
        activate(&store, path);
    }
    let names = paths.iter().map(|path| path.name().to_string()).collect();
    (project, store, names)
}

fn current(store: &Store) -> (u64, String) {
    let current = store.current("prod").unwrap().unwrap();
    assert_eq!(store.live("prod").unwrap().unwrap().name(), &current.bundle);
    (current.number, current.bundle.to_string())
}

#[test]
fn a_failure_leaves_what_is_current_and_numbers_go_on() {
    let state = TempDir::new().unwrap();
    let store = Store::open(state.path()).unwrap();
    let (one, two) = (put(&store, "prod", "one"), put(&store, "prod", "two"));
    let first = activate(&store, &one);
    assert_eq!((first.number, first.outcome), (1, Outcome::Activated));

    let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    let attempt = Attempt { bundle: &two, runtime: "compose", message: Some("more"), rollback: None };
    let pending = lock.begin(attempt).unwrap();
    assert_eq!((pending.number, pending.outcome), (2, Outcome::Pending));
    // A reader does not take the work of a live run for that of a killed one.
    assert_eq!(store.interrupted("prod").unwrap(), None);
    lock.fail(pending, Failed { reason: "no\nrules", restored: true, rejected: true }).unwrap();
    drop(lock);

    assert_eq!(store.current("prod").unwrap().unwrap(), first);
    assert_eq!(store.rejected("prod", two.name()).unwrap().unwrap().number, 2);
    assert_eq!(activate(&store, &two).number, 3);
    assert_eq!(store.rejected("prod", two.name()).unwrap(), None);
    let outcomes: Vec<_> = store.generations("prod").unwrap().iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::Activated, Outcome::Restored, Outcome::Activated]);
}

/// A disk that fills up at the last step: `current` has moved, and the outcome can't be written.
#[test]
fn a_success_that_can_not_be_written_down_is_taken_back() {
    let state = TempDir::new().unwrap();
    let store = Store::open(state.path()).unwrap();
    let (one, two) = (put(&store, "prod", "one"), put(&store, "prod", "two"));
    let fails_late = |bundle| {
        let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
        let attempt = Attempt { bundle, runtime: "compose", message: None, rollback: None };
        let pending = lock.begin(attempt).unwrap();
        lock.succeed(pending.clone()).unwrap();
        lock.fail(pending, Failed { reason: "full", restored: true, rejected: false }).unwrap();
    };
    fails_late(&one);
    assert_eq!(store.current("prod").unwrap(), None);
    let second = activate(&store, &one);
    fails_late(&two);
    assert_eq!(store.current("prod").unwrap().unwrap(), second);
    let outcomes: Vec<_> = store.generations("prod").unwrap().iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::Restored, Outcome::Activated, Outcome::Restored]);
}

#[test]
fn the_layout_is_the_documented_one() {
    let (project, _, names) = project(&["one"], 1);
    let state = project.path(".monprov");
    let link = |path: &str| std::fs::read_link(state.join(path)).unwrap();
    assert_eq!(link("current/prod"), Path::new("../generations/prod/1.json"));
    assert_eq!(link("run/prod/live"), Path::new("../../store").join(&names[0]));
    let text = std::fs::read(state.join("generations/prod/1.json")).unwrap();
    let generation: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(generation["schema"], 1);
    assert_eq!(generation["bundle"], names[0].as_str());
    assert_eq!(generation["outcome"], "activated");
    let time = generation["time"].as_str().unwrap();
    assert!(regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$").unwrap().is_match(time), "{time}");
}

#[test]
fn a_rollback_goes_back_and_a_second_one_further() {
    let (project, store, names) = project(&["one", "two", "three"], 0);
    for name in &names {
        project.run(&format!("activate {name} {NONE} -m why-{name}")).succeeds();
    }
    assert_eq!(current(&store), (3, names[2].clone()));
    // Taking what is current already makes no generation.
    let again = project.run(&format!("activate {} {NONE}", names[2])).succeeds();
    assert!(again.stderr.contains("unchanged"), "{}", again.stderr);

    let back = project.run(&format!("rollback prod {NONE}")).succeeds();
    assert!(back.stderr.contains("back to 2"), "{}", back.stderr);
    assert_eq!(current(&store), (4, names[1].clone()));
    let left = |n: usize| store.left("prod", &names[n].parse().unwrap()).unwrap().map(|one| one.number);
    assert_eq!([left(0), left(1), left(2)], [None, None, Some(4)]);
    project.run(&format!("rollback {NONE}")).succeeds();
    assert_eq!(current(&store), (5, names[0].clone()));
    assert_eq!([left(0), left(1), left(2)], [None, Some(5), Some(4)]);
    let end = project.run(&format!("rollback {NONE}")).exits(1);
    assert!(end.stderr.contains("--to"), "{}", end.stderr);

    // By number, by a bundle's beginning, by its path; then from that place on.
    project.run(&format!("rollback --to 3 {NONE}")).succeeds();
    assert_eq!(current(&store), (6, names[2].clone()));
    project.run(&format!("rollback --to {} {NONE}", &names[0][..12])).succeeds();
    assert_eq!(current(&store), (7, names[0].clone()));
    project.run(&format!("rollback --to .monprov/store/{}/ {NONE}", names[2])).succeeds();
    store.out_link(&project.path("result"), &store.find(&names[2]).unwrap()).unwrap();
    let linked = project.run(&format!("activate ./result {NONE}")).succeeds();
    assert!(linked.stderr.contains("unchanged"), "{}", linked.stderr);
    project.run(&format!("rollback {NONE}")).succeeds();
    assert_eq!(current(&store), (9, names[1].clone()));
    let missing = project.run(&format!("rollback --to 17 {NONE}")).exits(1);
    assert!(missing.stderr.contains("it has 1, 2, 3, 4, 5, 6, 7, 8, 9"), "{}", missing.stderr);
}

#[test]
fn the_table_says_who_when_what_and_why() {
    let (project, store, names) = project(&["one", "two"], 0);
    let project = project.env("USER", "root").env("SUDO_USER", "anna");
    project.run(&format!("activate {} {NONE} -m release", names[0])).succeeds();
    let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    let two = store.find(&names[1]).unwrap();
    let attempt = Attempt { bundle: &two, runtime: "process", message: Some("more"), rollback: None };
    let pending = lock.begin(attempt).unwrap();
    let reason = "prometheus: bad rule\nline 2";
    lock.fail(pending, Failed { reason, restored: true, rejected: true }).unwrap();
    drop(lock);

    let table = project.run("generations").succeeds().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["n", "bundle", "when", "by", "outcome", "why"]);
    let line = |row: usize| rows[row].join(" ");
    assert_eq!((rows[1][0], rows[1][1], rows[1][2]), ("2", &names[1][..12], "today"));
    assert!(line(1).ends_with(" restored, bundle rejected more: prometheus: bad rule"), "{table}");
    assert_eq!((rows[2][0], rows[2][4]), ("*1", "anna"));
    assert!(line(2).ends_with(" anna activated release"), "{table}");
    assert!(table.lines().all(|line| !line.ends_with(' ')), "{table}");

    let details = project.run("generations prod --show 2").succeeds().stdout;
    assert!(details.contains("reason      prometheus: bad rule\n            line 2\n"), "{details}");
    let json: Value = serde_json::from_str(&project.run("generations --json").succeeds().stdout).unwrap();
    assert_eq!((&json["profile"], &json["current"]), (&"prod".into(), &1.into()));
    assert_eq!(json["generations"][0]["by"], "anna");
    assert_eq!(json["generations"][1]["rejected"], true);
    assert_eq!(json["generations"][1]["reason"], reason);
}

#[test]
fn the_profile_is_named_where_there_are_several() {
    let (project, store, _) = project(&["one"], 0);
    assert!(project.run("generations").exits(1).stderr.contains("no profile was activated yet"));
    assert!(project.run(&format!("rollback prod {NONE}")).exits(1).stderr.contains("never activated"));
    for profile in ["prod", "staging"] {
        activate(&store, &put(&store, profile, "x"));
    }
    let which = project.run("generations").exits(1);
    assert!(which.stderr.contains("prod, staging"), "{}", which.stderr);
    project.run("generations staging").succeeds();
}

#[test]
fn show_means_what_is_current() {
    let project = Project::reference();
    let build = "build prod --env-file profiles/prod.env.example --oracle off";
    let first = project.run(build).succeeds();
    let prod = project.read("profiles/prod.toml");
    project.write("profiles/prod.toml", format!("{prod}\n[alerts.HighCeleryQueueLength]\nthreshold = 500\n"));
    project.run(build).succeeds();
    assert!(project.run("show prod").exits(1).stderr.contains("several bundles"));
    project.run(&format!("activate {} {NONE}", first.last_line().replace("$PROJECT/", ""))).succeeds();
    let shown = project.run("show prod").succeeds().stdout;
    assert_eq!(shown.lines().next(), Some(first.last_line()));
}

#[test]
fn a_bundle_marked_as_failed_is_taken_by_force_only() {
    let (project, store, names) = project(&["one", "two"], 1);
    let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    let two = store.find(&names[1]).unwrap();
    let attempt = Attempt { bundle: &two, runtime: "process", message: None, rollback: None };
    let pending = lock.begin(attempt).unwrap();
    lock.fail(pending, Failed { reason: "it died", restored: true, rejected: true }).unwrap();
    drop(lock);
    for verb in [format!("activate {}", names[1]), "rollback prod --to 2".into()] {
        let refused = project.run(&format!("{verb} {NONE}")).exits(3);
        assert!(refused.stderr.contains("generation 2: it died"), "{}", refused.stderr);
        assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
        assert_eq!(current(&store).0, 1);
    }
    project.run(&format!("activate {} {NONE} --force", names[1])).succeeds();
    assert_eq!(current(&store), (3, names[1].clone()));
}

#[test]
fn two_runs_wait_for_each_other_or_refuse() {
    let (project, store, names) = project(&["one", "two"], 1);
    let lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    assert!(matches!(store.lock_profile("prod", Busy::Refuse), Err(StoreError::Locked { .. })));
    // Other profiles are free.
    let _other = store.lock_profile("staging", Busy::Refuse).unwrap();
    let refused = project.run(&format!("activate {} {NONE} --no-wait", names[1])).exits(1);
    assert!(refused.stderr.contains("another run is changing `prod`"), "{}", refused.stderr);

    let mut command = project.command(format!("activate {} {NONE}", names[1]).split_whitespace());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.as_mut().unwrap()), &mut said)
        .unwrap();
    assert_eq!(said, "waits     another run is changing `prod`\n");
    assert_eq!(current(&store).0, 1);
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert_eq!(current(&store), (2, names[1].clone()));
}

#[test]
fn twenty_rollbacks_and_activations_at_once_leave_one_history() {
    let (project, store, names) = project(&["one", "two", "three"], 3);
    let children: Vec<_> = (0..20)
        .map(|n| {
            let args = if n % 2 == 0 { "rollback --to 1".into() } else { format!("activate {}", names[2]) };
            let mut command = project.command(format!("{args} {NONE}").split_whitespace());
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let all = store.generations("prod").unwrap();
    assert_eq!(
        all.iter().map(|one| one.number).collect::<Vec<_>>(),
        (1..=all.len() as u64).collect::<Vec<_>>()
    );
    assert!(all.iter().all(|one| one.outcome == Outcome::Activated));
    assert_eq!(current(&store).0, all.len() as u64);
}

/// What a killed run of another runtime left can't be settled without that runtime.
#[test]
fn an_interrupted_activation_of_a_runtime_is_named() {
    let (project, store, names) = project(&["one", "two"], 1);
    let two = store.find(&names[1]).unwrap();
    let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    lock.begin(Attempt { bundle: &two, runtime: "compose", message: None, rollback: None }).unwrap();
    drop(lock); // as the kernel does for the dead
    assert_eq!(store.interrupted("prod").unwrap().unwrap().number, 2);
    let refused = project.run(&format!("activate {} {NONE}", names[1])).exits(1);
    assert!(
        refused.stderr.contains("generation 2 of `prod` by compose was interrupted"),
        "{}",
        refused.stderr
    );
}

/// The verb, killed at every change, leaves the old generation or the new one, and done again
/// it does what it was to do.
fn killed_everywhere(verb: impl Fn(&[String]) -> String, expected: usize, user: Option<u32>) {
    let (project, _, names) = project(&["one", "two", "three"], 2);
    if let Some(user) = user {
        project.give_to(user);
    }
    let (state, template) = (project.path(".monprov"), Template::of(&project));
    let verb = format!("{} {NONE}", verb(&names));
    let (mut settled, mut moved) = (0, 0);
    let report = kill_at_every(
        &state,
        user,
        || {
            template.restore();
            project.command(verb.split_whitespace())
        },
        |point| {
            let (old, new) = (Some(&names[1]), Some(&names[expected]));
            let (current, live) = current_and_live(&state, "prod");
            assert!([old, new].contains(&current.as_ref()), "{point:?}: {current:?}");
            assert!([old, new].contains(&live.as_ref()), "{point:?}: {live:?}");
            moved += usize::from(live.as_ref() == new);

            let again = project.output(as_user(project.command(verb.split_whitespace()), user)).succeeds();
            settled += usize::from(again.stderr.contains("settled"));
            let (current, live) = current_and_live(&state, "prod");
            assert_eq!((current.as_ref(), live.as_ref()), (new, new), "{point:?}");
            let store = Store::open(&state).unwrap();
            assert_eq!(store.interrupted("prod").unwrap(), None, "{point:?}");
            assert_eq!(bundles_and_left_overs(&state), 3, "{point:?}");
        },
    );
    eprintln!("{verb} as {user:?}: {report}; {moved} after live moved, {settled} settled");
    assert_eq!(report.missed, []);
    assert!(report.found.len() >= 15 && settled > 3 && moved > 1, "{report}");
}

fn bundles_and_left_overs(state: &Path) -> usize {
    std::fs::read_dir(state.join("store")).unwrap().count()
}

#[test]
fn activate_killed_at_every_change() {
    killed_everywhere(|names| format!("activate {}", names[2]), 2, None);
}

#[test]
fn activate_killed_at_every_change_as_an_ordinary_user() {
    killed_everywhere(|names| format!("activate {}", names[2]), 2, Some(65534));
}

#[test]
fn rollback_killed_at_every_change() {
    killed_everywhere(|_| "rollback --to 1".into(), 0, None);
}

#[test]
fn rollback_killed_at_every_change_as_an_ordinary_user() {
    killed_everywhere(|_| "rollback --to 1".into(), 0, Some(65534));
}

/// A disk that is full to the last byte: the verb fails, what runs stays, and with room it works.
#[test]
fn a_full_disk_leaves_what_is_current() {
    let (project, _, names) = project(&["one", "two"], 1);
    let monprov = env!("CARGO_BIN_EXE_monprov");
    let script = format!(
        "set -e; mv .monprov kept; mkdir .monprov; mount -t tmpfs -o size=1m tmpfs .monprov\n\
         cp -a kept/. .monprov; dd if=/dev/zero of=.monprov/ballast bs=1k 2>/dev/null || true\n\
         code=0; {monprov} activate {two} {NONE} 2>err || code=$?\n\
         echo $code $(basename $(readlink .monprov/run/prod/live)) $(readlink .monprov/current/prod)\n\
         rm .monprov/ballast; {monprov} activate {two} {NONE} -q\n\
         echo $? $(basename $(readlink .monprov/run/prod/live))\n\
         {monprov} verify -q; ls -A .monprov/store | wc -l",
        two = names[1]
    );
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .current_dir(project.root())
        .env_remove("MONPROV_STATE_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [&*format!("1 {} ../generations/prod/1.json", names[0]), &*format!("0 {}", names[1]), "2"]
    );
    assert!(project.read("err").contains("no space is left"), "{}", project.read("err"));
}

/// No room for one more name, or for only so many: each step fails once.
#[test]
fn without_a_free_inode_everything_or_nothing_is_done() {
    let (project, _, names) = project(&["one", "two"], 1);
    let monprov = env!("CARGO_BIN_EXE_monprov");
    let mut outcomes = Vec::new();
    for free in 0..6 {
        let script = format!(
            "set -e; mount -t tmpfs -o nr_inodes=120 tmpfs small; cp -a .monprov/. small; i=0\n\
             while touch small/f$i 2>/dev/null; do i=$((i+1)); done\n\
             for n in $(seq {free}); do rm small/f$((i-n)); done\n\
             code=0; {monprov} activate {two} {NONE} 2>err || code=$?\n\
             rm small/f*; echo $code $(basename $(readlink small/run/prod/live)) $(readlink small/current/prod)\n\
             {monprov} verify -q; {monprov} generations prod | head -2 | tail -1 | cut -c 1-2",
            two = names[1]
        );
        std::fs::create_dir_all(project.path("small")).unwrap();
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .current_dir(project.root())
            .env("MONPROV_STATE_DIR", project.path("small"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = match said.as_bytes().first() {
            Some(b'0') => format!("0 {} ../generations/prod/2.json\n*2\n", names[1]),
            _ => format!("1 {} ../generations/prod/1.json\n*1\n", names[0]),
        };
        assert_eq!(said, expected, "{free} free: {}", project.read("err"));
        outcomes.push(said.starts_with('0'));
    }
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}

/// What a power failure may leave where directories are not written in order.
#[test]
fn a_link_without_its_generation_is_no_loss() {
    let (project, store, names) = project(&["one", "two"], 2);
    std::fs::remove_file(project.path(".monprov/generations/prod/2.json")).unwrap();
    assert_eq!(store.current("prod").unwrap().unwrap().number, 1);
    project.run(&format!("activate {} {NONE}", names[1])).succeeds();
    assert_eq!(current(&store), (2, names[1].clone()));
    std::fs::remove_file(project.path(".monprov/current/prod")).unwrap();
    drop(store.lock_profile("prod", Busy::Refuse).unwrap());
    assert_eq!(current(&store), (2, names[1].clone()));
}

/// Readers never see anything but a whole generation, while writers are at it.
#[test]
fn readers_see_whole_generations_all_the_time() {
    let (project, store, names) = project(&["one", "two"], 2);
    let (one, two) = (store.find(&names[0]).unwrap(), store.find(&names[1]).unwrap());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..50 {
                bundles::activate(&store, if n % 2 == 0 { &one } else { &two });
            }
            done.store(true, Ordering::Relaxed);
        });
        let reader = Store::open(&project.path(".monprov")).unwrap();
        wait_for(GENEROUS, "end", || {
            for _ in 0..50 {
                let current = reader.current("prod").unwrap().unwrap();
                assert!([one.name(), two.name()].contains(&&current.bundle));
                assert!(reader.live("prod").unwrap().is_some());
                assert!(reader.generations("prod").unwrap().len() >= 2);
            }
            done.load(Ordering::Relaxed).then_some(())
        });
    });
}
