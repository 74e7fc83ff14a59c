//! The exchange of a service's secrets: all at once for who reads, and at any kill.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{activate, dev};
use crate::support::crash::kill_at_every;
use crate::support::project::Project;

/// Two files that hold the same secret.
const PAIR: &str = r#"
[stack]
runtime = "process"

[services.exporter]
program = "exporter"
health = { command = ["true"] }
secret_files = { one = "${secret.s}", two = "${secret.s}" }

[secrets]
s = { file = "./secret" }
"#;

fn pair() -> Project {
    let project = Project::empty().file("profiles/dev.toml", PAIR).file("profiles/secret", "value-0");
    std::fs::set_permissions(
        project.path("profiles/secret"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    activate(&project, "dev");
    project.run("secrets sync dev").succeeds();
    project
}

/// Both files through one directory handle, as a service reads them that opens `..data` once.
fn both(service: &Path) -> Option<(String, String)> {
    let data = std::fs::canonicalize(service.join("..data")).ok()?;
    let read = |name: &str| std::fs::read_to_string(data.join(name)).ok();
    Some((read("one")?, read("two")?))
}

#[test]
fn a_reader_never_sees_some_of_each() {
    let project = pair();
    let service = project.path(".monprov/secrets/dev/exporter");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                // `None` where the directory went away between two reads: then one reads again.
                if let Some((one, two)) = both(&service) {
                    assert_eq!(one, two);
                    seen.insert(one);
                }
                // By its plain name a file is always there, and whole.
                let plain = std::fs::read_to_string(service.join("one")).unwrap_or_else(|error| {
                    // Between following the link and opening the file it leads to, that may be swept.
                    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
                    String::from("value-")
                });
                assert!(plain.starts_with("value-"), "{plain:?}");
            }
            seen
        });
        for number in 1..=40 {
            std::fs::write(project.path("profiles/secret"), format!("value-{number}")).unwrap();
            project.run("secrets sync dev").succeeds();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap().len() > 5, "the reader saw too few of the exchanges");
    });
}

fn killed_everywhere(user: Option<u32>) {
    let project = pair();
    if let Some(user) = user {
        for folder in [project.root().parent().unwrap(), project.root()] {
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let owner = format!("{user}:{user}");
        let status = std::process::Command::new("chown").args(["-R", &owner]).arg(project.root()).status();
        assert!(status.unwrap().success());
    }
    let state = project.path(".monprov");
    let service = state.join("secrets/dev/exporter");
    let run = |project: &Project| {
        let mut command = project.command(["secrets", "sync", "dev"]);
        if let Some(user) = user {
            std::os::unix::process::CommandExt::uid(&mut command, user);
            std::os::unix::process::CommandExt::gid(&mut command, user);
        }
        project.output(command).succeeds()
    };
    // Rotates to and fro, so that each run has the same to do.
    let number = std::cell::Cell::new(0);
    let report = kill_at_every(
        &state,
        user,
        || {
            std::fs::write(project.path("profiles/secret"), format!("value-{}", number.get())).unwrap();
            run(&project);
            number.set(1 - number.get());
            std::fs::write(project.path("profiles/secret"), format!("value-{}", number.get())).unwrap();
            project.command(["secrets", "sync", "dev"])
        },
        |point| {
            let (one, two) = both(&service).unwrap_or_else(|| panic!("nothing to read after {point:?}"));
            assert!(
                one == two && ["value-0", "value-1"].contains(&one.as_str()),
                "{one} {two} after {point:?}"
            );
            run(&project);
            let wanted = format!("value-{}", number.get());
            assert_eq!(both(&service).unwrap(), (wanted.clone(), wanted), "after {point:?}");
            let names = |directory: &Path| {
                let entries = std::fs::read_dir(directory).unwrap();
                let mut names: Vec<_> =
                    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
                names.sort();
                names
            };
            assert_eq!(names(service.parent().unwrap()), ["exporter"], "left over after {point:?}");
            assert_eq!(names(&service).len(), 4, "left over after {point:?}: {:?}", names(&service));
        },
    );
    eprintln!("as {user:?}: {report}");
    assert!(report.found.len() > 10, "only {} points", report.found.len());
    assert_eq!(report.missed, []);
}

#[test]
fn killed_at_every_system_call_old_or_new_as_root() {
    killed_everywhere(None);
}

#[test]
fn killed_at_every_system_call_old_or_new_as_an_ordinary_user() {
    killed_everywhere(Some(65534));
}

#[test]
fn a_service_that_goes_loses_its_secrets() {
    let project = dev();
    activate(&project, "dev");
    project.run("secrets sync dev").succeeds();
    project.write("profiles/dev.toml", PAIR.replace("./secret", "./smtp"));
    activate(&project, "dev");
    project.run("secrets sync dev").succeeds();
    let place = project.path(".monprov/secrets/dev");
    assert!(!place.join("alertmanager").exists());
    assert!(!place.join("exporter/URL").exists() && place.join("exporter/one").exists());
}
