//! One host, and what it does about a pointer.

use monprov::cache::Change;

use super::{Host, ONE, Source, TWO};
use crate::support::daemon::Daemon;
use crate::support::{GENEROUS, wait_for};

#[test]
fn a_host_without_a_project_runs_what_the_channel_points_to() {
    let source = Source::new();
    let (one, two) = (source.build(ONE), source.build(TWO));
    source.point(&one);
    let mut host = Host::new(&source);
    // Its programs have no supervisor yet: what it is to run is noted.
    let first = host.once().succeeds();
    assert!(first.stderr.contains("`monprov up --no-build p` runs it"), "{}", first.stderr);
    host.up();
    host.runs(&one);

    source.point(&two);
    let taken = host.once_json();
    assert_eq!((&taken["outcome"], &taken["serial"]), (&"activated".into(), &2.into()), "{taken}");
    assert_eq!(taken["bundle"], two.name().as_str());
    assert_eq!(taken["generation"]["message"], "channel, serial 2");
    host.runs(&two);
    // How it was built came along.
    assert!(host.run("provenance p").succeeds().stdout.contains("profiles/p.toml"));
    // What is there is proved again, and nothing else.
    let count = host.generations().len();
    assert_eq!(host.once_json()["outcome"], "unchanged");
    assert_eq!(host.generations().len(), count);
    // The other verbs need no project either.
    host.run("rollback p").succeeds();
    host.runs(&one);
    // A person went back, and is not overruled until the channel moves.
    assert_eq!(host.once_json()["outcome"], "unchanged");
    host.runs(&one);
    host.run("gc").succeeds();
    host.run("verify").succeeds();
    host.run("down p").succeeds();
}

#[test]
fn a_signed_rollback_goes_back() {
    let source = Source::new();
    let (one, two) = (source.build(ONE), source.build(TWO));
    let host = Host::running(&source, &one);
    source.point(&two);
    host.once().succeeds();
    host.runs(&two);
    source.change(&one, Change { rollback: true, reason: Some("two pages at night".into()), serial: None });
    let back = host.once_json();
    assert_eq!(back["outcome"], "activated", "{back}");
    assert_eq!(back["generation"]["message"], "channel, serial 3: two pages at night");
    assert!(back["generation"]["rollback"].is_object(), "{back}");
    host.runs(&one);
    assert_eq!(host.seen()["serial"], 3);
}

#[test]
fn a_bundle_that_fails_is_tried_once() {
    let source = Source::new();
    let (one, bad, two) = (source.build(ONE), source.build("echo broken; exit 1"), source.build(TWO));
    let host = Host::running(&source, &one);
    source.point(&bad);
    let failed = host.run(&format!("follow {} p --once --deadline 5s", host.url)).exits(5);
    assert!(failed.stderr.contains("is marked as failed"), "{}", failed.stderr);
    host.runs(&one);
    let count = host.generations().len();
    let again = host.once().exits(3);
    assert!(again.stderr.contains("waits for the next pointer"), "{}", again.stderr);
    assert_eq!(host.generations().len(), count);
    source.point(&two);
    host.once().succeeds();
    host.runs(&two);
}

#[test]
fn what_runs_goes_on_while_the_cache_is_away() {
    let mut source = Source::new();
    let (one, two) = (source.build(ONE), source.build(TWO));
    let host = Host::running(&source, &one);
    // A pointer that came, whose bundle does not: it is tried again.
    source.point(&two);
    let archives = source.project.path("cache/nar");
    std::fs::rename(&archives, source.project.path("away")).unwrap();
    assert!([1, 3].contains(&host.once().code));
    host.runs(&one);
    assert_eq!(host.seen()["outcome"], "pending");
    std::fs::rename(source.project.path("away"), &archives).unwrap();
    source.server.kill();
    let said = host.once().exits(1).stderr;
    assert!(said.contains(&source.url()), "{said}");
    host.runs(&one);
    source.server = super::serve(&source.project, source.port);
    host.once().succeeds();
    host.runs(&two);
}

#[test]
fn a_killed_run_is_taken_up_by_the_next() {
    let source = Source::new();
    let bundles = [source.build(ONE), source.build(TWO), source.build("exec sleep 100003")];
    let host = Host::running(&source, &bundles[0]);
    let (mut serial, mut before) = (1, 1);
    for round in 0..12_u64 {
        let bundle = &bundles[(round as usize + 1) % 3];
        source.push(bundle);
        serial = source.change(bundle, Change { rollback: true, ..Change::default() }).serial;
        let mut run = host.follow(&["--once"]);
        let until = std::time::Instant::now() + std::time::Duration::from_millis(fastrand::u64(0..400));
        while run.is_running() && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        run.kill();
        let seen = std::fs::read(host.path("state/follow/p.json")).unwrap();
        let seen: serde_json::Value = serde_json::from_slice(&seen).unwrap();
        let seen = seen["serial"].as_u64().unwrap();
        assert!((before..=serial).contains(&seen), "{seen} is not from {before} to {serial}");
        before = seen;
    }
    host.once().succeeds();
    host.runs(&bundles[0]);
    assert_eq!(
        host.seen(),
        serde_json::json!({
            "schema": 1, "serial": serial, "bundle": bundles[0].name().as_str(), "outcome": "activated"
        })
    );
}

#[test]
fn it_says_how_it_follows() {
    let source = Source::new();
    let (one, two) = (source.build(ONE), source.build(TWO));
    let host = Host::running(&source, &one);
    let metrics = |host: &Host| std::fs::read_to_string(host.path("p.prom")).unwrap_or_default();
    let file = host.path("p.prom").display().to_string();
    let mut follow = host.follow(&["--every", "200ms", "--textfile", &file]);
    follow.until(|| metrics(&host).contains("monprov_follow_serial{profile=\"p\"} 1\n"));
    assert!(metrics(&host).contains("monprov_follow_success{profile=\"p\"} 1\n"));
    source.point(&two);
    follow.until(|| metrics(&host).contains("monprov_follow_serial{profile=\"p\"} 2\n"));
    let bundle = format!("monprov_follow_bundle{{profile=\"p\",bundle=\"{}\"}} 1\n", two.name());
    follow.until(|| metrics(&host).contains(&bundle));
    host.runs(&two);
    // Prometheus' own tool takes them.
    let mut promtool = std::process::Command::new(crate::support::program("promtool"));
    promtool.args(["check", "metrics"]).stdin(std::fs::File::open(host.path("p.prom")).unwrap());
    let checked = promtool.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // A server that is still the same says so, and sends nothing.
    wait_for(GENEROUS, "answer without content", || {
        source.requests(0).iter().any(|request| request.status == 304 && request.sent < 200).then_some(())
    });
    std::fs::write(source.channel(), "{").unwrap();
    follow.until(|| metrics(&host).contains("monprov_follow_success{profile=\"p\"} 0\n"));
    assert!(metrics(&host).contains("monprov_follow_serial{profile=\"p\"} 2\n"));
    host.runs(&two);
}

#[test]
fn a_host_that_starts_brings_up_what_was_current() {
    let mut source = Source::new();
    let one = source.build(ONE);
    let mut host = Host::running(&source, &one);
    // A power failure, and the cache does not come back.
    host.up = None;
    source.server.kill();
    let follow: Daemon = host.follow(&["--every", "1s"]);
    wait_for(GENEROUS, "failed request", || follow.output().contains("failed").then_some(()));
    host.up();
    host.runs(&one);
    assert!(follow.is_running());
}
