//! Services from their start to their end.

use std::time::{Duration, Instant};

use monprov::activate::process::{Client, Exit, State};
use rustix::process::Signal;

use super::{IDLE, project, prometheus_and_alertmanager, script};
use crate::support::daemon::{Daemon, free_port};
use crate::support::parts::Redis;
use crate::support::up::Up;
use crate::support::{GENEROUS, http, wait_for};

#[test]
fn a_service_starts_once_those_that_it_stands_behind_are_well() {
    let first = script("first", IDLE, "health = { command = [\"test\", \"-e\", \"ready\"] }");
    let up = Up::start(project(&(first + &script("second", IDLE, "after = [\"first\"]"))));
    up.until("first", State::Starting);
    up.until_printed("waits     second for first");
    let second = up.until("second", State::Waiting);
    assert_eq!((second.pid, second.started), (None, None));

    up.project.write(".monprov/ready", "");
    let first = up.until("first", State::Healthy);
    let second = up.until("second", State::Running);
    assert!(second.started.unwrap() >= first.since, "{first:?} {second:?}");
    assert_eq!((first.restarts, first.problem), (0, None));
}

#[test]
fn real_programs_run_healthily_side_by_side_and_stop_cleanly() {
    let redis = Redis::start();
    let (node, exporter) = (free_port(), free_port());
    let (tables, prometheus) = prometheus_and_alertmanager();
    let more = format!(
        "[services.node]\nprogram = \"prometheus-node-exporter\"\nport = {node}\n\
         args = [\"--web.listen-address=127.0.0.1:{node}\"]\nhealth = {{ http = \"/metrics\" }}\n\
         [services.redis-exporter]\nprogram = \"prometheus-redis-exporter\"\nport = {exporter}\n\
         args = [\"-web.listen-address=127.0.0.1:{exporter}\", \"-redis.addr=redis://127.0.0.1:{}\"]\n\
         health = {{ http = \"/health\" }}\n[scrapes.node]\nservice = \"node\"\n",
        redis.port
    );
    let mut up = Up::start(project(&(tables + &more)));
    for service in ["alertmanager", "node", "redis-exporter", "prometheus"] {
        up.until(service, State::Healthy);
    }
    let status = up.status();
    let started = |service: &str| status.services[service].started.unwrap();
    assert!(started("prometheus") >= status.services["alertmanager"].since, "{status:?}");
    until_ready(prometheus);

    assert_eq!(up.interrupt(), Some(0), "{}", up.output());
    up.nothing_remains();
    let output = up.output();
    let stopped =
        |service: &str| output.find(&format!("stopped   {service}\n")).unwrap_or_else(|| panic!("{output}"));
    assert!(stopped("prometheus") < stopped("alertmanager"), "{output}");
    // Prometheus' own word for it.
    assert!(output.contains("See you next time!"), "{output}");
}

/// Prometheus is healthy a moment before it is ready.
fn until_ready(port: u16) {
    let ready = || http::is_ok(&format!("http://127.0.0.1:{port}/-/ready")).then_some(());
    wait_for(GENEROUS, "Prometheus that is ready", ready);
}

#[test]
fn a_program_that_ends_is_started_again_after_longer_and_longer_pauses() {
    let up = Up::start(project(&script("brief", "date +%s%N >> starts; echo no luck; exit 3", "")));
    let status = up.until_that("brief", "restarted thrice", |status| status.restarts >= 3);
    assert_eq!(status.last_exit, Some(Exit::Code(3)));
    up.until_printed("failed    brief ended: exit code 3; starts again in 2 s\n            no luck\n");
    let starts = up.project.read(".monprov/starts");
    let starts: Vec<u64> = starts.lines().map(|line| line.parse().unwrap()).collect();
    let pauses: Vec<u64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000).collect();
    assert!(pauses[0] >= 500 && pauses[1] >= 1000, "{pauses:?}");
}

#[test]
fn a_healthy_program_that_is_killed_comes_back() {
    let (tables, prometheus) = prometheus_and_alertmanager();
    let up = Up::start(project(&tables));
    let before = up.until("prometheus", State::Healthy);
    let others = up.until("alertmanager", State::Healthy);
    let pid = rustix::process::Pid::from_raw(before.pid.unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let after = up.until_that("prometheus", "healthy again", |status| {
        status.state == State::Healthy && status.pid != before.pid
    });
    assert_eq!((after.restarts, after.last_exit), (1, Some(Exit::Signal(9))));
    until_ready(prometheus);
    assert_eq!(up.status().services["alertmanager"], others);
}

#[test]
fn a_service_that_stops_answering_is_unhealthy_and_is_left_alone() {
    let up =
        Up::start(project(&script("moody", IDLE, "health = { command = [\"test\", \"-e\", \"ready\"] }")));
    up.until("moody", State::Starting);
    up.project.write(".monprov/ready", "");
    let before = up.until("moody", State::Healthy);
    std::fs::remove_file(up.project.path(".monprov/ready")).unwrap();
    let after = up.until("moody", State::Unhealthy);
    assert_eq!(after.pid, before.pid);
    assert_eq!(after.problem.as_deref(), Some("the health check failed: exit code 1"));
    up.project.write(".monprov/ready", "");
    up.until("moody", State::Healthy);
}

/// As Docker does it: what the profile says of health checks holds here too.
#[test]
fn health_checks_follow_the_profile() {
    let counts = |name: &str| format!("[\"sh\", \"-c\", \"echo >> asked-{name}; test -e ready-{name}\"]");
    let service = |name: &str, health: &str| {
        script(name, IDLE, &format!("health = {{ command = {}, {health} }}", counts(name)))
    };
    let up = Up::start(project(
        &(service("late", "interval = \"200ms\", start_period = \"1s\", retries = 2")
            + &service("rare", "interval = \"1h\"")
            + &script("slow", IDLE, "health = { command = [\"sleep\", \"100009\"], timeout = \"300ms\" }")),
    ));
    // Not well in time, and so unhealthy; well all the same if it gets so later.
    let late = up.until("late", State::Unhealthy);
    assert!(late.started.unwrap() + 1000 <= late.since, "{late:?}");
    up.project.write(".monprov/ready-late", "");
    up.until("late", State::Healthy);
    std::fs::remove_file(up.project.path(".monprov/ready-late")).unwrap();
    up.until("late", State::Unhealthy);
    // Asked until it is well, and then once an hour.
    up.project.write(".monprov/ready-rare", "");
    up.until("rare", State::Healthy);
    let asked = || up.project.read(".monprov/asked-rare").len();
    let before = asked();
    up.until_that("slow", "too slow", |s| {
        s.problem.as_deref() == Some("the health check took more than 0.3 s")
    });
    up.project.write(".monprov/ready-late", "");
    up.until("late", State::Healthy);
    assert_eq!(asked(), before);
}

const DEAF: &str = "trap '' TERM INT HUP; echo deaf; while :; do sleep 0.1; done";

#[test]
fn what_ignores_sigterm_is_killed_after_the_grace() {
    let mut up = Up::start(project(&script("deaf", DEAF, "")));
    up.until_printed("deaf | deaf");
    let start = Instant::now();
    up.daemon.signal(Signal::TERM);
    assert_eq!(up.ended(), Some(0));
    assert!(start.elapsed() >= Duration::from_secs(10));
    up.until_printed("killed    deaf: it did not stop by itself");
    up.nothing_remains();
}

#[test]
fn a_second_ctrl_c_hurries() {
    let mut up = Up::start(project(&script("deaf", DEAF, "")));
    up.until_printed("deaf | deaf");
    up.daemon.signal(Signal::INT);
    up.until_printed("stopping  1 service; Ctrl-C again kills");
    let start = Instant::now();
    assert_eq!(up.interrupt(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
    up.nothing_remains();
}

#[test]
fn ctrl_c_while_services_wait_starts_nothing_more() {
    let first = script("first", IDLE, "health = { command = [\"false\"] }");
    let mut up = Up::start(project(&(first + &script("second", "touch started", "after = [\"first\"]"))));
    up.until("first", State::Starting);
    assert_eq!(up.interrupt(), Some(0));
    up.nothing_remains();
    assert!(!up.project.path(".monprov/started").exists());
}

#[test]
fn a_program_inherits_no_descriptor_no_variable_and_no_signal_of_the_supervisor() {
    let shows = "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> /\\1 /p' | grep -v '^3 /proc'; \
                 env | cut -d= -f1 | sort; grep -E 'Sig(Blk|Ign)' /proc/self/status; exec sleep 1000";
    // A parent that ignores signals must not make programs deaf.
    let project = project(&script("shows", shows, "")).env("STRAY", "1");
    let monprov = env!("CARGO_BIN_EXE_monprov");
    let mut command = project.command([] as [&str; 0]);
    command = {
        let environment = command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned())));
        // Whoever runs the tests may ignore the end of a terminal, as `nohup` does.
        let mut shell = std::process::Command::new("env");
        shell.args(["--default-signal=HUP", "sh", "-c"]);
        shell.arg(format!("trap '' PIPE; exec {monprov} up dev --oracle off")).envs(environment);
        shell
    };
    let daemon = Daemon::start("up", project.root(), command.current_dir(project.root()));
    let up = Up { client: Client::new(&project.path(".monprov"), "dev"), daemon, project };
    let lines = wait_for(GENEROUS, "all lines", || {
        let lines = up.client.logs("shows").ok()?;
        lines.iter().any(|line| line.starts_with("SigIgn")).then_some(lines)
    });
    // What the tests themselves were started with may come through; of monprov there is nothing.
    let descriptor = |number: &str| lines.iter().find_map(|line| line.strip_prefix(number)).unwrap();
    assert_eq!(descriptor("0 "), "/dev/null");
    assert!(descriptor("1 ").starts_with("pipe:") && descriptor("2 ").starts_with("pipe:"), "{lines:?}");
    let own = |line: &&String| ["socket:", "anon_inode:", ".monprov"].iter().any(|part| line.contains(part));
    assert_eq!(lines.iter().find(own), None, "{lines:?}");
    let variables: Vec<_> =
        lines.iter().filter(|line| line.chars().all(|c| c.is_ascii_uppercase())).collect();
    assert_eq!(variables, ["HOME", "PATH", "PWD"]);
    let mask = |name: &str| u64::from_str_radix(descriptor(name).trim(), 16).unwrap();
    let usual = [Signal::HUP, Signal::INT, Signal::PIPE, Signal::TERM, Signal::CHILD];
    let usual: u64 = usual.iter().map(|signal| 1 << (signal.as_raw() - 1)).sum();
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & usual), (0, 0));
}

#[test]
fn under_nohup_the_end_of_the_terminal_is_not_the_end() {
    let project = project(&script("idle", IDLE, ""));
    let monprov = env!("CARGO_BIN_EXE_monprov");
    let mut command = std::process::Command::new("nohup");
    command.args([monprov, "up", "dev", "--oracle", "off"]).current_dir(project.root());
    let daemon = Daemon::start("up", project.root(), &command);
    let mut up = Up { client: Client::new(&project.path(".monprov"), "dev"), daemon, project };
    up.until("idle", State::Running);
    up.daemon.signal(Signal::HUP);
    // Heard before it, if at all.
    assert!(up.client.status().unwrap().is_some());
    assert_eq!(up.interrupt(), Some(0));
}

#[test]
fn a_closed_terminal_stops_everything() {
    let project = project(&script("idle", IDLE, ""));
    // `script` is the terminal; when it is killed, the line is cut.
    let monprov = env!("CARGO_BIN_EXE_monprov");
    let mut terminal = project.command([] as [&str; 0]);
    terminal = {
        let mut command = std::process::Command::new("env");
        command.args([
            "--default-signal=HUP",
            "script",
            "-qefc",
            &format!("{monprov} up dev --oracle off"),
            "typescript",
        ]);
        command.current_dir(project.root()).envs(terminal.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command
    };
    let terminal = Daemon::start("terminal", project.root(), &terminal);
    let mut up = Up { client: Client::new(&project.path(".monprov"), "dev"), daemon: terminal, project };
    up.until("idle", State::Running);
    up.daemon.kill();
    up.nothing_remains();
}

#[test]
fn output_that_nobody_reads_holds_up_nothing() {
    let project =
        project(&script("noisy", "while :; do echo 0123456789012345678901234567890123456789; done", ""));
    let mut command = project.command(["up", "dev", "--oracle", "off"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let client = Client::new(&project.path(".monprov"), "dev");
    wait_for(GENEROUS, "noise", || {
        let running = client.status().unwrap()?.services.get("noisy")?.state == State::Running;
        (running && client.logs("noisy").unwrap().len() == 100).then_some(())
    });
    // The pipe is full; the supervisor still answers, and hears.
    std::thread::sleep(Duration::from_millis(500));
    assert!(client.status().unwrap().is_some());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    let status = wait_for(Duration::from_secs(20), "end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}
