//! `monprov build`, killed at every system call by which it changes something in its state
//! directory, as root and as an ordinary user: never a partial bundle under its final name,
//! never a wrong answer, and the next run cleans up and succeeds.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::crash::kill_at_every;
use crate::support::project::Project;

const BUILD: [&str; 6] = ["build", "prod", "--env-file", "profiles/prod.env.example", "--oracle", "off"];

/// Who owns the files and runs the program.
fn killed_everywhere(user: Option<u32>) {
    let project = Project::reference();
    // Plugins run in threads that make calls of their own, and who is first is chance.
    let prod = project.read("profiles/prod.toml") + "[plugins]\nslo.enable = false\nnaming.enable = false\n";
    project.write("profiles/prod.toml", prod);
    if let Some(user) = user {
        project.give_to(user);
    }
    let whole = run(&project, user);
    let expected = whole.trim().to_owned();
    let state = project.path(".monprov");
    let report = kill_at_every(
        &state,
        user,
        || {
            remove(&state);
            project.command(BUILD)
        },
        |point| {
            let store = state.join("store");
            for entry in std::fs::read_dir(&store).into_iter().flatten() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                if name.ends_with("-prod") && !name.starts_with('.') {
                    let hash = monprov::store::hash_directory(&entry.path()).unwrap();
                    let right = monprov::bundle::StoreName::of(&hash, "prod").unwrap();
                    assert_eq!(right.as_str(), name, "a partial bundle after {point:?}");
                }
            }
            assert_eq!(run(&project, user).trim(), expected, "after {point:?}");
            let left: Vec<_> = std::fs::read_dir(&store)
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .filter(|name| !name.contains("-prod"))
                .collect();
            assert!(left.is_empty(), "{left:?} left over after {point:?}");
        },
    );
    eprintln!("as {user:?}: {report}");
    assert!(report.found.len() > 20, "only {} points", report.found.len());
    assert_eq!(report.missed, []);
}

/// The store path that a complete build prints.
fn run(project: &Project, user: Option<u32>) -> String {
    let mut command = project.command(BUILD);
    if let Some(user) = user {
        use std::os::unix::process::CommandExt;
        command.uid(user).gid(user);
    }
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn remove(state: &Path) {
    if state.exists() {
        let status = Command::new("chmod").args(["-R", "u+w"]).arg(state).status().unwrap();
        assert!(status.success());
        std::fs::remove_dir_all(state).unwrap();
    }
}

#[test]
fn killed_at_every_change_as_whoever_runs_the_tests() {
    killed_everywhere(None);
}

#[test]
fn killed_at_every_change_as_an_ordinary_user() {
    assert_eq!(rustix_uid(), 0, "this test changes users, so it runs as root");
    killed_everywhere(Some(65534));
}

fn rustix_uid() -> u32 {
    let output = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

/// An ordinary user whose store can't be written gets an error that says so.
#[test]
fn an_unwritable_state_directory_is_named() {
    let project = Project::reference();
    project.give_to(65534);
    std::fs::create_dir(project.path(".monprov")).unwrap();
    let mut command = project.command(BUILD);
    std::os::unix::process::CommandExt::uid(&mut command, 65534);
    let output = project.output(command).exits(1);
    assert!(output.stderr.contains(".monprov"), "{}", output.stderr);
    assert!(output.stderr.contains("MONPROV_STATE_DIR"), "{}", output.stderr);
}

/// A disk with room for a part of the bundle only.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let project = Project::reference();
    let state = project.path("small");
    std::fs::create_dir(&state).unwrap();
    let monprov = env!("CARGO_BIN_EXE_monprov");
    for (size, fits) in [(8, false), (16, false), (600, false), (1000, false), (4096, true)] {
        // In a mount name space of its own, so that the mount goes with the process.
        let script = format!(
            "mount -t tmpfs -o size={size}k tmpfs small && {monprov} {} 2>err; code=$?; \
             ls -A small/store 2>/dev/null | grep -e -prod$; exit $code",
            BUILD.join(" ")
        );
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .current_dir(project.root())
            .env("MONPROV_STATE_DIR", &state)
            .output()
            .unwrap();
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = project.read("err");
        if fits {
            assert!(output.status.success() && listed.contains("-prod"), "{size}k: {error}");
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("no space is left"), "{size}k: {error}");
        assert!(!listed.contains("-prod"), "{size}k: a bundle in spite of the error: {listed}");
    }
}
