//! The scripts of a bundle, run by the real shells.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use monprov::bundle::Tree;
use monprov::render::{command, script};
use monprov::stack::*;

use crate::support::by_hand::{add, empty, reference, secret, service};

fn scripts(stack: &Stack) -> Tree {
    script::scripts(stack, &command::commands(stack, &BTreeMap::new()))
}

/// A wrapper with its secrets in `dir` instead of the container's mount.
fn wrapper(stack: &Stack, service: &str, dir: &Path) -> String {
    let tree = scripts(stack);
    let file = tree.get(&script::wrapper_file(service)).expect("a wrapper");
    assert!(file.executable);
    String::from_utf8(file.content.clone()).unwrap().replace("/run/monprov/secrets", dir.to_str().unwrap())
}

fn sh(script: &str, args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script");
    fs::write(&file, script).unwrap();
    Command::new("/bin/sh").arg(file).args(args).env_remove("A").env_remove("B").output().unwrap()
}

fn two_secrets() -> Stack {
    let mut stack = empty("prod", Runtime::Compose);
    let exporter = add(&mut stack, service("exporter", ServiceKind::Exporter, "example/exporter:1.0", 9000));
    exporter.environment.insert("A".into(), secret("", "a", ""));
    exporter.environment.insert("B".into(), secret("x", "b", ""));
    stack
}

#[test]
fn every_value_arrives_as_it_is() {
    let hairy = [
        "plain",
        "",
        "two words",
        "$HOME `id` $(id)",
        "'\"\\",
        "line\nbreaks\n\n",
        "*",
        "-n",
        "é\u{1}",
        "a.",
        ".",
    ];
    for value in hairy {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("A"), value).unwrap();
        fs::write(dir.path().join("B"), "b").unwrap();
        let script = wrapper(&two_secrets(), "exporter", dir.path());
        let output =
            sh(&script, &["/bin/sh", "-c", r#"printf '%s|%s|%s' "$A" "$B" "$1""#, "sh", "an 'arg'\n"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}|b|an 'arg'\n"));
    }
}

#[test]
fn a_missing_file_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("A"), "a").unwrap();
    let output = sh(&wrapper(&two_secrets(), "exporter", dir.path()), &["/bin/echo", "started"]);
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/B"));
}

#[test]
fn the_program_takes_the_place_of_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("A"), "a").unwrap();
    fs::write(dir.path().join("B"), "b").unwrap();
    let script = wrapper(&two_secrets(), "exporter", dir.path());
    let output = sh(&format!("echo $$\n{script}"), &["/bin/sh", "-c", "echo $$"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let (before, after) = text.trim().split_once('\n').unwrap();
    assert_eq!(before, after);
}

#[test]
fn only_services_with_secrets_in_the_environment_get_a_wrapper() {
    let tree = scripts(&reference(Runtime::Compose));
    let names: Vec<_> = tree.iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["bin/probe", "exec/celery-exporter"]);
    assert!(scripts(&reference(Runtime::Process)).is_empty());
}

/// Answers one request with a status.
fn answer(status: &'static str) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/-/healthy", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
    });
    (url, thread)
}

#[test]
fn the_probe_tells_well_from_ill_by_whatever_client_there_is() {
    let tree = scripts(&reference(Runtime::Compose));
    let probe = String::from_utf8(tree.get(script::PROBE).unwrap().content.clone()).unwrap();
    let mut tried = 0;
    for client in ["wget", "curl", "python3"] {
        let Ok(found) = Command::new("/bin/sh")
            .args(["-c", &format!("command -v {client}")])
            // Debian's own: a shim of a version manager needs more than itself.
            .env("PATH", "/usr/bin:/bin")
            .output()
        else {
            continue;
        };
        let path = String::from_utf8(found.stdout).unwrap();
        if path.trim().is_empty() {
            continue;
        }
        tried += 1;
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(path.trim(), dir.path().join(client)).unwrap();
        let file = dir.path().join("probe");
        fs::write(&file, &probe).unwrap();
        let run = |url: &str| {
            let mut command = Command::new("/bin/sh");
            command.arg(&file).arg(url).env("PATH", dir.path()).env("http_proxy", "http://127.0.0.1:1");
            command.output().unwrap().status.success()
        };
        for (status, well) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let (url, server) = answer(status);
            assert_eq!(run(&url), well, "{client} {status}");
            server.join().unwrap();
        }
        assert!(!run("http://127.0.0.1:1/"), "{client}: nobody there");
    }
    assert!(tried > 0);
}
