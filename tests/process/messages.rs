//! What a person sees.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use monprov::activate::process::State;

use super::{IDLE, project, prometheus_and_alertmanager, script};
use crate::support::daemon::free_port;
use crate::support::project::Project;
use crate::support::up::Up;

#[test]
fn a_missing_program_is_named_and_the_rest_runs() {
    let absent =
        "[services.grafana]\nprogram = \"grafana-that-is-not-here\"\nport = 1\nhealth = { http = \"/\" }\n";
    let behind = script("behind", IDLE, "after = [\"grafana\"]");
    let mut up = Up::start(project(&(absent.to_owned() + &behind)));
    let status = up.until("grafana", State::Missing);
    assert_eq!(status.problem.as_deref(), Some("`grafana-that-is-not-here` is not on PATH"));
    up.until("behind", State::Running);
    up.until_printed(
        "missing   grafana: `grafana-that-is-not-here` is not on PATH; the rest runs without it\n          \
         = install it, or name it as it is called here: services.grafana.program\n",
    );
    assert_eq!(up.interrupt(), Some(0));
}

#[test]
fn a_missing_program_that_is_required_refuses_the_start() {
    let (tables, _) = prometheus_and_alertmanager();
    let tables = tables.replace("program = \"prometheus\"", "program = \"prometheus-of-old\"");
    let wanted = "[services.own]\nprogram = \"own-tool\"\nrequired = true\n";
    let project = project(&(tables + wanted + &script("idle", "touch started; sleep 1", "")));
    let output = project.run("up dev --oracle off").exits(1);
    assert!(
        output.stderr.contains(
            "error: not on PATH: `own-tool` (own), `prometheus-of-old` (prometheus): install what is missing"
        ),
        "{}",
        output.stderr
    );
    assert!(!project.path(".monprov/started").exists());
}

#[test]
fn a_profile_of_another_runtime_is_refused() {
    let project = Project::reference();
    let output = project.run("up prod --env-file profiles/prod.env.example --oracle off").exits(1);
    assert!(
        output.stderr.contains("is a bundle of the runtime `compose`: `up` runs profiles"),
        "{}",
        output.stderr
    );
    let output = project.run("up prod --no-build").exits(1);
    assert!(output.stderr.contains("error: `prod` has no generation yet"), "{}", output.stderr);
}

#[test]
fn whoever_has_the_port_is_named_and_the_service_starts_once_it_is_free() {
    let port = free_port();
    let own = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let node = format!(
        "[services.node]\nprogram = \"prometheus-node-exporter\"\nport = {port}\n\
         args = [\"--web.listen-address=127.0.0.1:{port}\"]\nhealth = {{ http = \"/metrics\" }}\n"
    );
    let up = Up::start(project(&node));
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    up.until_printed(&format!(
        "failed    node can't be started: port {port} is in use by `{}` (process {}); starts again in 0.5 s\n          \
         = end that one, or give this one another port: services.node.port\n",
        comm.trim(),
        std::process::id()
    ));
    drop(own);
    up.until("node", State::Healthy);
}

#[test]
fn a_port_that_only_the_program_knows_is_explained_by_its_own_words() {
    let port = free_port();
    let _own = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let node = format!(
        "[services.node]\nprogram = \"prometheus-node-exporter\"\n\
         args = [\"--web.listen-address=127.0.0.1:{port}\"]\n"
    );
    let up = Up::start(project(&node));
    up.until_printed("bind: address already in use");
    up.until_printed("= a port that it wants is in use");
}

#[test]
fn data_directories_are_made_for_their_owner_alone_or_the_reason_is_said() {
    let (tables, _) = prometheus_and_alertmanager();
    let project = project(&tables).file(".monprov/data/dev/prometheus", "a file");
    let up = Up::start(project);
    up.until_printed("prometheus can't be started: its data directory data/dev/prometheus: File exists");
    std::fs::remove_file(up.project.path(".monprov/data/dev/prometheus")).unwrap();
    up.until("prometheus", State::Healthy);
    let mode = std::fs::metadata(up.project.path(".monprov/data/dev/prometheus")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
}

#[test]
fn a_configuration_that_only_the_program_refuses_shows_what_it_said() {
    let (tables, _) = prometheus_and_alertmanager();
    let up = Up::start(project(
        &(tables.replacen("version = \"2.42.0\"", "version = \"2.42.0\"\nargs = [\"--no-such-flag\"]", 1)),
    ));
    up.until_printed("failed    prometheus ended: exit code 1; starts again in 0.5 s\n            Error parsing commandline arguments: unknown long flag '--no-such-flag'");
    let problem = up.until("prometheus", State::Restarting).problem.unwrap();
    assert!(problem.starts_with("ended: exit code 1\nError parsing"), "{problem}");
}

#[test]
fn in_a_pipe_every_line_has_its_service_and_no_colour() {
    let short = script("a", "echo out; echo err >&2; printf 'no end'; sleep 1000", "");
    let project = project(&(short + &script("longer-name", "echo other; exec sleep 1000", "")));
    let mut command = project.command(["up", "dev", "--oracle", "off"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = monprov::activate::process::Client::new(&project.path(".monprov"), "dev");
    crate::support::wait_for(crate::support::GENEROUS, "lines", || {
        client.status().unwrap()?;
        (client.logs("a").unwrap().len() >= 2 && client.logs("longer-name").unwrap().len() == 1).then_some(())
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut stdout).unwrap();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort();
    assert_eq!(
        lines,
        ["a           | err", "a           | no end", "a           | out", "longer-name | other"]
    );
    assert!(stderr.contains("started   a "), "{stderr}");
    assert!(!stderr.contains('\x1b'));
}

#[test]
fn on_a_terminal_each_service_has_a_colour() {
    let project = project(
        &(script("one", "echo hello; exec sleep 1000", "")
            + &script("two", "echo hello; exec sleep 1000", "")),
    );
    let monprov = env!("CARGO_BIN_EXE_monprov");
    let environment = project.command([] as [&str; 0]);
    let mut terminal = Command::new("script");
    terminal
        .args(["-qefc", &format!("{monprov} up dev --oracle off"), "/dev/null"])
        .current_dir(project.root())
        .envs(environment.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .env("TERM", "xterm");
    let daemon = crate::support::daemon::Daemon::start("terminal", project.root(), &terminal);
    let client = monprov::activate::process::Client::new(&project.path(".monprov"), "dev");
    let up = Up { daemon, client, project };
    up.until_printed("\x1b[36mone │\x1b[0m hello");
    up.until_printed("\x1b[33mtwo │\x1b[0m hello");
    assert!(up.client.stop().is_ok());
}

#[test]
fn programs_can_read_it_too() {
    let up = Up::of(
        "dev",
        project(&script("one", "echo hello; exec sleep 1000", "")),
        &["--oracle", "off", "--json"],
    );
    up.until_printed("{\"event\":\"log\",\"service\":\"one\",\"stream\":\"stdout\",\"line\":\"hello\"}\n");
    up.until_printed("{\"event\":\"started\",\"service\":\"one\",\"pid\":");
}
