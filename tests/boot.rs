//! Coming up at boot: the unit that `monprov unit` prints is one that systemd takes, and boots.

use std::path::Path;
use std::process::Command;

use crate::support::daemon::free_port;
use crate::support::project::Project;
use crate::support::systemd::Systemd;
use crate::support::{GENEROUS, program, wait_for};

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
    for (runtime, verb) in
        [("process", "up --no-build p"), ("compose", "activate p"), ("swarm", "activate p")]
    {
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
fn systemd_takes_the_unit_of_a_host_that_follows() {
    // A machine without profiles: nothing of the bundle is known yet.
    let project = Project::empty();
    std::fs::remove_dir(project.path("profiles")).unwrap();
    let follow = "https://cache.example.org/a%20b p --every 2m --textfile metrics/p.prom --env-file p.env";
    let unit = project.run(&format!("unit --state-dir state --follow {follow}")).succeeds().stdout;
    let command = "--state-dir $PROJECT/state follow --every 2m --textfile $PROJECT/metrics/p.prom \
                   https://cache.example.org/a%%20b p --env-file $PROJECT/p.env\n";
    assert!(unit.contains(command) && unit.contains("Restart=on-failure"), "{unit}");
    let real = unit.replace("$PROJECT", &project.root().display().to_string());
    assert_eq!(verify(&project, "monprov-follow-p.service", &real), "");
    let said = project.run("unit --state-dir state --follow https://c p --every often").exits(1).stderr;
    assert!(said.contains("--every"), "{said}");
    let said = project.run("unit --state-dir state p").exits(1).stderr;
    assert!(said.contains("`p` has no generation yet"), "{said}");
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

/// What a machine goes through: boot, a stop by hand, a start, a crash.
#[test]
fn a_booted_machine_runs_the_stack() {
    let port = free_port();
    let profile = format!(
        "[stack]\nruntime = \"process\"\n\
         [prometheus]\nscrape_interval = \"1s\"\nscrape_timeout = \"1s\"\n\
         [services.prometheus]\nkind = \"prometheus\"\nprogram = \"prometheus\"\nversion = \"2.42.0\"\nport = {port}\n\
         [scrapes.prometheus]\nservice = \"prometheus\"\n\
         [services.reader]\nprogram = \"sh\"\n\
         args = [\"-c\", 'printf %s \"$TOKEN\" > seen; exec sleep 100000']\n\
         environment = {{ TOKEN = \"${{secret.token}}\" }}\n[secrets]\ntoken = {{ env = \"TOKEN\" }}\n"
    );
    let project = Project::empty().file("profiles/p.toml", profile).file("p.env", "TOKEN=at-boot\n");
    project.run("build p --oracle off --no-secrets -o first").succeeds();
    project.run("activate ./first --runtime none").succeeds();
    let unit = project.run("unit p --env-file p.env").succeeds().stdout;
    let unit = unit.replace("$PROJECT", &project.root().display().to_string());
    let program = Path::new(env!("CARGO_BIN_EXE_monprov")).parent().unwrap();
    const NAME: &str = "monprov-p.service";
    let machine = Systemd::boot(&[(NAME, &unit)], &[project.root(), program]);
    let until_ready = || {
        let url = format!("http://127.0.0.1:{port}/-/ready");
        wait_for(GENEROUS, "Prometheus that is ready", || {
            machine.run(&["wget", "-q", "-O", "-", "--no-proxy", &url]).status.success().then_some(())
        });
        wait_for(GENEROUS, "proved generation", || {
            let list: serde_json::Value =
                serde_json::from_str(&project.run("generations p --json").succeeds().stdout).unwrap();
            let all = list["generations"].as_array().unwrap();
            let newest = all.iter().max_by_key(|one| one["number"].as_u64()).unwrap();
            (newest["runtime"] == "process" && newest["outcome"] == "activated").then_some(())
        });
    };
    let secrets = || machine.run(&["find", "/run/monprov", "-type", "f"]).stdout.len();
    until_ready();
    assert_eq!(project.read(".monprov/seen"), "at-boot");
    // In memory, and nowhere else.
    let place = std::fs::read_link(project.path(".monprov/secrets/p")).unwrap();
    assert!(place.starts_with("/run/monprov"), "{}", place.display());
    assert!(secrets() > 0);
    let booted = machine.property(NAME, "MainPID");

    machine.succeeds(&["systemctl", "stop", NAME]);
    assert_eq!(machine.property(NAME, "Result"), "success");
    assert_eq!(machine.property(NAME, "ActiveState"), "inactive");
    assert_eq!(secrets(), 0);
    let url = format!("http://127.0.0.1:{port}/-/ready");
    assert!(!machine.run(&["wget", "-q", "-O", "-", "--no-proxy", &url]).status.success());

    machine.succeeds(&["systemctl", "start", NAME]);
    until_ready();
    let started = machine.property(NAME, "MainPID");
    assert_ne!(started, booted);
    machine.succeeds(&["kill", "-KILL", &started]);
    wait_for(GENEROUS, "another start", || {
        (machine.property(NAME, "MainPID") != started && machine.property(NAME, "ActiveState") == "active")
            .then_some(())
    });
    until_ready();
}
