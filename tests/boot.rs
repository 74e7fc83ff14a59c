//! Coming up at boot: the unit that `monprov unit` prints is one that systemd takes.

use std::process::Command;

use crate::support::program;
use crate::support::project::Project;

/// What systemd has to say about a unit; nothing where all is well.
fn verify(project: &Project, name: &str, text: &str) -> String {
    project.write(name, text);
    // Another unit that it needs is not this machine's.
    let docker = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    project.write("docker.service", docker);
    let output = Command::new(program("systemd-analyze"))
        .args(["verify", "--man=no"])
        .arg(project.path(name))
        .env("SYSTEMD_UNIT_PATH", format!("{}:", project.root().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().filter(|line| line.contains(name)).collect::<Vec<_>>().join("\n")
}

#[test]
fn systemd_takes_the_unit() {
    for (runtime, verb) in [("process", "up --no-build p"), ("compose", "activate p")] {
        let profile = format!("[stack]\nruntime = \"{runtime}\"\n");
        let project = Project::empty().file("profiles/p.toml", profile).file("p.env", "");
        let unit = project.run("unit p --env-file p.env --user monitoring").succeeds().stdout;
        assert!(unit.contains(verb), "{unit}");
        assert!(unit.contains("--env-file $PROJECT/p.env"), "{unit}");
        let real = unit.replace("$PROJECT", &project.root().display().to_string());
        assert_eq!(verify(&project, "monprov-p.service", &real.replace("User=monitoring", "User=root")), "");
    }
}

#[test]
fn blanks_and_percent_signs_in_a_path_stand_for_themselves() {
    let project = Project::empty().file("profiles/p.toml", "[stack]\nruntime = \"process\"\n");
    let state = project.path("state of 100%");
    let output = project.run("unit p").succeeds();
    assert!(!output.stdout.contains('"'), "{}", output.stdout);
    let mut command = project.command(["unit", "p", "--state-dir"]);
    command.arg(&state);
    let unit = project.output(command).succeeds().stdout;
    assert!(unit.contains("--state-dir \"$PROJECT/state of 100%%\""), "{unit}");
    let real = unit.replace("$PROJECT", &project.root().display().to_string());
    assert_eq!(verify(&project, "monprov-p.service", &real), "");
}
