//! A running supervisor takes over what another `monprov` tells it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use monprov::activate::process::{Applied, ProcessError, State};
use monprov::render::process::Processes;

use super::{IDLE, profile, project, script};
use crate::support::project::Project;
use crate::support::up::Up;
use crate::support::{GENEROUS, wait_for};

/// What the profile as it is now would run.
fn processes(project: &Project) -> Processes {
    let built = project.run("build dev --oracle off").succeeds();
    let bundle = built.last_line().replace("$PROJECT/", "");
    serde_json::from_str(&project.read(&format!("{bundle}/processes.json"))).unwrap()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_what_changed_is_restarted() {
    let same = script("same", IDLE, "") + &script("asked", IDLE, "");
    let up = Up::start(project(&(same.clone() + &script("changed", IDLE, "") + &script("gone", IDLE, ""))));
    for service in ["same", "asked", "changed", "gone"] {
        up.until(service, State::Running);
    }
    let before = up.status().services;

    up.project.write(
        "profiles/dev.toml",
        profile(&(same + &script("changed", "exec sleep 7777", "") + &script("new", IDLE, ""))),
    );
    let applied = up.client.apply(&processes(&up.project), &names(&["asked"])).unwrap();
    let list = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let expected = Applied {
        started: list(&["new"]),
        restarted: list(&["asked", "changed"]),
        stopped: list(&["gone"]),
        missing: vec![],
    };
    assert_eq!(applied, expected);
    for service in ["asked", "changed", "new"] {
        up.until(service, State::Running);
    }
    let after = up.status().services;
    assert_eq!(after["same"], before["same"]);
    assert_ne!(after["asked"].pid, before["asked"].pid);
    assert_eq!(after["asked"].definition, before["asked"].definition);
    assert_ne!(after["changed"].definition, before["changed"].definition);
    assert!(!after.contains_key("gone"));
    up.process("sleep 7777");
}

#[test]
fn definitions_are_those_of_the_manifest() {
    let up = Up::start(project(&script("one", IDLE, "")));
    let running = up.until("one", State::Running);
    let manifest: serde_json::Value =
        serde_json::from_str(&up.project.read(".monprov/run/dev/live/manifest.json")).unwrap();
    assert_eq!(manifest["services"]["one"]["definition"], running.definition);
}

#[test]
fn what_failed_is_tried_again_at_once() {
    let up = Up::start(project(&script("picky", "test -e wish || exit 1; exec sleep 1000", "")));
    up.until_that("picky", "restarted four times", |status| status.restarts >= 4);
    up.project.write(".monprov/wish", "");
    let asked = std::time::Instant::now();
    up.client.apply(&processes(&up.project), &names(&[])).unwrap();
    up.until("picky", State::Running);
    assert!(asked.elapsed() < std::time::Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[test]
fn what_can_not_run_is_refused_before_anything_is_touched() {
    let up = Up::start(project(&script("one", IDLE, "")));
    let before = up.until("one", State::Running);
    up.project.write(
        "profiles/dev.toml",
        profile("[services.two]\nprogram = \"no-such-program\"\nrequired = true\n"),
    );
    let wanted = processes(&up.project);
    for refused in [up.client.check(&wanted).map(drop), up.client.apply(&wanted, &names(&[])).map(drop)] {
        assert!(
            matches!(&refused, Err(ProcessError::Refused(why)) if why.what == "not on PATH: `no-such-program` (two)"),
            "{refused:?}"
        );
    }
    let other = Processes { profile: "prod".into(), ..wanted };
    assert!(matches!(up.client.apply(&other, &names(&[])), Err(ProcessError::Refused(_))));
    assert_eq!(up.status().services["one"], before);
}

#[test]
fn a_second_up_is_refused_and_says_what_to_do() {
    let up = Up::start(project(&script("one", IDLE, "")));
    up.until("one", State::Running);
    let second = up.project.run("up dev --oracle off").exits(1);
    let pid = up.status().pid;
    assert!(
        second.stderr.contains(&format!(
            "error: `monprov up dev` runs already (process {pid}): change what runs with `monprov switch dev`, \
             end it with `monprov down dev`"
        )),
        "{}",
        second.stderr
    );
    assert_eq!(up.status().pid, pid);
}

#[test]
fn another_profile_of_the_same_state_runs_beside_it() {
    let project =
        project(&script("one", IDLE, "")).file("profiles/other.toml", profile(&script("two", IDLE, "")));
    let up = Up::start(project);
    up.until("one", State::Running);
    let command = up.project.command(["up", "other", "--oracle", "off"]);
    let other = crate::support::daemon::Daemon::start("other", up.project.root(), &command);
    wait_for(GENEROUS, "other profile", || other.output().contains("started   two").then_some(()));
}

#[test]
fn the_socket_is_for_its_owner_and_a_stale_one_is_in_nobodys_way() {
    let project = project(&script("one", IDLE, ""));
    std::fs::create_dir_all(project.path(".monprov/run/dev")).unwrap();
    drop(UnixListener::bind(project.path(".monprov/run/dev/up.sock")).unwrap());
    let client = monprov::activate::process::Client::new(&project.path(".monprov"), "dev");
    assert_eq!(client.status().unwrap(), None, "a socket that nobody listens on is no supervisor");
    assert!(!client.stop().unwrap());
    let mut up = Up::start(project);
    up.until("one", State::Running);
    let mode = std::fs::metadata(up.project.path(".monprov/run/dev/up.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(up.interrupt(), Some(0));
    assert!(!up.project.path(".monprov/run/dev/up.sock").exists());
}

#[test]
fn a_state_directory_too_deep_for_a_socket_is_none_too_deep() {
    let deep = format!("deep/{}", "0123456789/".repeat(20));
    let up = {
        let project = project(&script("one", IDLE, ""));
        std::fs::create_dir_all(project.path(&deep)).unwrap();
        let command = project.command(["up", "dev", "--oracle", "off", "--state-dir", &deep]);
        let daemon = crate::support::daemon::Daemon::start("up", project.root(), &command);
        Up { daemon, client: monprov::activate::process::Client::new(&project.path(&deep), "dev"), project }
    };
    up.until("one", State::Running);
}

#[test]
fn down_ends_the_supervisor_and_waits_for_it() {
    let mut up =
        Up::start(project(&script("one", "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.1; done", "")));
    up.until("one", State::Running);
    assert!(up.client.stop().unwrap());
    up.nothing_remains();
    assert_eq!(up.ended(), Some(0));
    assert_eq!(up.client.status().unwrap(), None);
}

#[test]
fn another_version_of_the_protocol_is_told_so() {
    use std::io::{BufRead, BufReader, Write};
    let up = Up::start(project(&script("one", IDLE, "")));
    up.until("one", State::Running);
    let ask = |text: &str| -> serde_json::Value {
        let mut stream =
            std::os::unix::net::UnixStream::connect(up.project.path(".monprov/run/dev/up.sock")).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let answer = ask("{\"version\":99,\"request\":{\"dance\":1}}\n");
    assert_eq!(answer["error"]["what"], "version 99 of the protocol is not known, only 1");
    assert!(ask("nonsense\n")["error"]["what"].as_str().unwrap().starts_with("this is no request"));
    assert!(ask("{\"version\":1,\"request\":\"status\"}\n")["status"]["services"]["one"].is_object());
}
