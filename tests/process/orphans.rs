//! Nothing that was started outlives the supervisor, however it ends.

use std::time::Duration;

use monprov::activate::process::{Exit, State};
use rustix::process::{Pid, Signal, kill_process};

use super::{IDLE, project, prometheus_and_alertmanager, script};
use crate::support::project::Project;
use crate::support::up::{Up, file_of};
use crate::support::wait_for;

/// A program with a child, a daemon that detached itself twice over, and all of them deaf.
const FAMILY: &str = "trap '' TERM INT HUP\n\
    sh -c \"trap '' TERM; sleep 100001; :\" &\n\
    setsid sh -c 'setsid sh -c \"trap \\\"\\\" TERM HUP; sleep 100002; :\" &' \n\
    while :; do sleep 0.1; done";

fn family() -> Project {
    let (tables, _) = prometheus_and_alertmanager();
    project(&(tables + &script("family", FAMILY, "") + &script("idle", IDLE, "")))
}

fn started(project: Project) -> Up {
    let up = Up::start(project);
    up.until("prometheus", State::Healthy);
    up.process("sleep 100001");
    up.process("sleep 100002");
    up
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_killed_supervisor_leaves_nothing() {
    let mut up = started(family());
    assert!(up.processes().len() >= 10, "{:?}", up.processes());
    kill(up.status().pid);
    up.nothing_remains();
    up.daemon.kill();

    // And nothing that it left is in the way of the next.
    let Up { project, .. } = up;
    let mut up = started(project);
    assert!(up.client.stop().unwrap());
    assert_eq!(up.ended(), Some(0));
    up.nothing_remains();
}

#[test]
fn a_detached_grandchild_is_stopped_with_its_service() {
    let daemon = "setsid sh -c 'setsid sleep 100003 &'; exec sleep 100004";
    let mut up = Up::start(project(&script("detached", daemon, "")));
    up.process("sleep 100003");
    up.until("detached", State::Running);
    assert_eq!(up.interrupt(), Some(0));
    up.nothing_remains();
}

#[test]
fn what_a_program_leaves_behind_is_gone_before_it_starts_again() {
    let script_text = "setsid sleep 100005 & echo $$ >> starts; exec sleep 0.2";
    let up = Up::start(project(&script("leaves", script_text, "")));
    up.until_that("leaves", "restarted twice", |status| status.restarts >= 2);
    let left = up.processes().iter().filter(|(_, line)| line.contains("sleep 100005")).count();
    assert!(left <= 1, "{:?}", up.processes());
}

#[test]
fn a_killed_keeper_takes_its_program_and_all_below_with_it_and_the_service_comes_back() {
    let up = started(family());
    let family = up.until("family", State::Running);
    let others = up.status().services["prometheus"].clone();
    let (child, daemon) = (up.process("sleep 100001"), up.process("sleep 100002"));
    let keeper = up.process("@keep family");
    // `pkill monprov` is not for keepers, which must clean up behind it.
    assert_eq!(file_of(keeper, "comm"), "keep family\n");
    kill(keeper);
    let again =
        up.until_that("family", "started again", |s| s.state == State::Running && s.pid != family.pid);
    assert_eq!(again.restarts, 1);
    for old in [child, daemon, family.pid.unwrap()] {
        assert!(!up.processes().iter().any(|(pid, _)| *pid == old), "{old} lives on: {:?}", up.processes());
    }
    assert_eq!(up.status().services["prometheus"].pid, others.pid);
}

#[test]
fn a_program_that_kills_its_process_group_does_not_meet_its_keeper() {
    let up = Up::start(project(&script("rash", "sleep 100008 & kill 0", "")));
    let status = up.until_that("rash", "restarted", |status| status.restarts >= 1);
    assert_eq!(status.last_exit, Some(Exit::Signal(15)));
}

#[test]
fn supervisor_and_keeper_killed_at_once_leave_no_program() {
    let up = Up::start(project(&script("idle", IDLE, "")));
    up.until("idle", State::Running);
    // Neither can clean up behind the other.
    let both = [up.status().pid, up.process("@keep idle")];
    for pid in both {
        kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::STOP).unwrap();
    }
    both.into_iter().for_each(kill);
    up.nothing_remains();
}

#[test]
fn a_supervisor_killed_at_any_moment_of_its_start_leaves_nothing() {
    let project = family();
    project.run("build dev --oracle off").succeeds();
    let mut project = Some(project);
    for after in (0..400).step_by(20) {
        let mut up = Up::start(project.take().unwrap());
        std::thread::sleep(Duration::from_millis(after));
        up.daemon.kill();
        up.nothing_remains();
        let Up { project: again, .. } = up;
        project = Some(again);
    }
}

#[test]
fn a_slow_health_check_ends_with_the_supervisor() {
    let health = "health = { command = [\"sh\", \"-c\", \"sleep 100006; :\"] }";
    let mut up = Up::start(project(&script("idle", IDLE, health)));
    up.process("sleep 100006");
    kill(up.status().pid);
    up.nothing_remains();
    up.daemon.kill();
    wait_for(Duration::from_secs(1), "a free lock", || up.client.status().unwrap().is_none().then_some(()));
}
