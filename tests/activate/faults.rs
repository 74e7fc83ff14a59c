//! A switch to which the disk says no, at any of its steps.

use std::process::{Command, Output};

use super::killed::{NEW, OLD, activate, build_both, is_settled, nothing_is_lost, runs};
use super::{Profile, Stack};
use crate::support::daemon::Daemon;
use crate::support::up::Up;
use crate::support::{GENEROUS, crash, http, wait_for};

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
            // Unlike after a kill, nothing is left to be done.
            let status = stack.project().run("status dev");
            assert_eq!(status.code, 0, "{code}: {at}{}", status.stderr);
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

/// The state directory of [`small_stack`], as its processes see it.
fn state(stack: &Stack) -> std::path::PathBuf {
    let root = format!("/proc/{}/root", stack.up.daemon.id());
    std::path::Path::new(&root).join(stack.project().path(".monprov").strip_prefix("/").unwrap())
}

/// A stack whose state directory is a small file system, mounted where only its processes and
/// what [`inside`] runs see it.
fn small_stack() -> Stack {
    let (project, [prometheus, alertmanager]) = Stack::project_of_its_own();
    std::fs::create_dir(project.path(".monprov")).unwrap();
    let up = project.command(["up", "dev", "--oracle", "off"]);
    // The data of Prometheus, which it maps into memory, lies elsewhere.
    let script = "mount -t tmpfs -o size=16m tmpfs .monprov && mkdir data .monprov/data && \
                  mount --bind data .monprov/data && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(up.get_program()).args(up.get_args());
    command.current_dir(project.root());
    command.envs(up.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let daemon = Daemon::start("up", project.root(), &command);
    let client = monprov::activate::process::Client::new(&project.path(".monprov"), "dev");
    let stack = Stack { up: Up { daemon, client, project }, prometheus, alertmanager };
    stack.up.until_printed("current   generation 1");
    stack
}

fn inside(stack: &Stack, args: &str) -> Command {
    let own = stack.project().command(args.split_whitespace());
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &stack.up.daemon.id().to_string()]);
    command.arg(format!("--wd={}", stack.project().root().display())).arg("--");
    command.arg(own.get_program()).args(own.get_args()).env_clear();
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Not one step but all that follow fail: also those of the way back.
#[test]
fn a_disk_that_fills_up_and_stays_full_restores_what_ran() {
    let stack = small_stack();
    let run = |args: &str| stack.project().output(inside(&stack, args));
    let ballast = state(&stack).join("ballast");
    let fill = || {
        let file = std::fs::File::create(&ballast).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut &file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    };
    stack.write(&Profile { threshold: 500, ..Profile::default() });
    run("build dev --oracle off").succeeds();

    // Full from the beginning: nothing is touched.
    fill();
    let failed = run("switch dev --oracle off").exits(1);
    assert!(failed.stderr.contains("no space is left on its file system: free some"), "{}", failed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    run("status dev").succeeds();
    std::fs::remove_file(&ballast).unwrap();

    // Full while the proof waits for a reload that never comes.
    std::fs::write(state(&stack).join("lie"), "").unwrap();
    let mut switch = inside(&stack, "switch dev --oracle off");
    let switch = std::thread::spawn(move || switch.output().unwrap());
    let live = state(&stack).join("run/dev/live");
    let before = std::fs::read_link(&live).unwrap();
    wait_for(GENEROUS, "other bundle", || (std::fs::read_link(&live).unwrap() != before).then_some(()));
    fill();
    let failed = switch.join().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(5), "{said}");
    assert!(said.contains("generation 1 runs again"), "{said}");
    assert_eq!(std::fs::read_link(&live).unwrap(), before, "{said}");
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    // What could not be written down is not forgotten; nor can the supervisor write it.
    stack.up.until_printed("failed    ");
    wait_for(GENEROUS, "what `status` says", || {
        let status = run("status dev").exits(1);
        (status.stderr.contains("generation 2") && status.stderr.contains("was cut short")).then_some(())
    });

    // With room, and nobody who lies, the next one works.
    std::fs::remove_file(&ballast).unwrap();
    std::fs::remove_file(state(&stack).join("lie")).unwrap();
    run("switch dev --oracle off").succeeds();
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
    run("status dev").succeeds();
    assert!(http::is_ok(&format!("http://127.0.0.1:{}/-/healthy", stack.alertmanager)));
}
