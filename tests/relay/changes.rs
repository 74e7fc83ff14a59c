//! Other configurations, other tokens, and the end.

use std::io::Read as _;
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::relay::{CONTROL, Site, TOKEN, channel, line, payload};
use crate::support::sink::{Answer, Sink};
use crate::support::{GENEROUS, wait_for};

#[test]
fn a_reload_takes_the_generation_that_the_link_names_now() {
    let sink = Sink::start();
    let mut site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let before = relay.status();
    let digest =
        site.generation(json!({ "ops": channel(sink.address(), 2), "new": channel(sink.address(), 1) }));
    assert_eq!(relay.status()["config_sha256"], before["config_sha256"], "not by itself");
    let (status, text) = relay.post("-/reload", CONTROL, "");
    assert_eq!(status, 200, "{text}");
    let after = relay.status();
    assert_eq!(after["config_sha256"], digest);
    assert!(after["reloaded"].as_str() > before["reloaded"].as_str());
    assert_eq!(after["channels"].as_object().unwrap().keys().collect::<Vec<_>>(), ["new", "ops"]);
    assert_eq!(relay.notify(&payload("group", &[(1, true), (2, true)])).0, 200);
    assert_eq!(sink.count(), 1, "by its new settings");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_and_the_old_one_stays() {
    let sink = Sink::start();
    let good = channel(sink.address(), 1);
    let mut site = Site::of(good.clone());
    let relay = site.start();
    let before = relay.status();
    let changed = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed
    };
    let relay_json =
        |channel: &Value| json!({ "version": 1, "profile": "test", "channels": { "ops": channel } });
    let granted =
        json!({ "token": { "file": "none", "endpoint": "sink", "use": "value", "places": ["body"] } });
    let wrong: [(String, &str); 6] = [
        ("[".into(), "relay.json: it is no relay.json"),
        (json!({ "version": 2 }).to_string(), "it has version 2 and this release reads 1"),
        (
            relay_json(&changed("sha256", json!("00"))).to_string(),
            "is not the file that the bundle was built with",
        ),
        (relay_json(&changed("plugin", json!("plugins/none.wasm"))).to_string(), "plugins/none.wasm"),
        (
            relay_json(&changed("token", json!("none"))).to_string(),
            "`monprov secrets sync` hands secrets over",
        ),
        (relay_json(&changed("grants", granted)).to_string(), "the channel `ops`"),
    ];
    for (text, why) in wrong {
        site.raw_generation(text.as_bytes());
        let (status, text) = relay.post("-/reload", CONTROL, "");
        assert_eq!(status, 500);
        assert!(text.contains(why), "{text}\nshould say {why}");
        assert_eq!(relay.status(), before);
        assert_eq!(relay.metric("monprov_relay_config_last_reload_successful"), 0.0);
    }
    assert_eq!(relay.notify(&payload("group", &[(1, true)])).0, 200);
    let digest = site.generation(json!({ "ops": changed("settings", json!(2)) }));
    relay.daemon.signal(Signal::HUP);
    wait_for(GENEROUS, "reload", || (relay.status()["config_sha256"] == digest).then_some(()));
    assert_eq!(relay.metric("monprov_relay_config_last_reload_successful"), 1.0);
}

#[test]
fn what_is_under_way_finishes_with_the_configuration_that_it_began_with() {
    let sink = Sink::that(|_, _| Answer::OkHeld);
    let mut site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let api = *relay;
    let under_way = std::thread::spawn(move || api.notify(&payload("group", &[(1, true), (2, true)])));
    wait_for(GENEROUS, "request", || (sink.count() == 1).then_some(()));
    site.generation(json!({}));
    assert_eq!(relay.post("-/reload", CONTROL, "").0, 200);
    assert_eq!(relay.notify(&payload("group", &[(3, true)])).0, 404);
    sink.let_go();
    assert_eq!(under_way.join().unwrap().0, 200);
    assert_eq!(sink.taken(), [line(1, true), line(2, true)]);
}

#[test]
fn progress_budget_and_not_before_outlive_a_reload() {
    let sink = Sink::that(|number, _| if number == 1 { Answer::TooMany(3000) } else { Answer::Ok });
    let mut site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    assert_eq!(relay.notify(&payload("group", &[(1, true), (2, true)])).0, 503);
    let before = relay.status()["channels"].clone();
    assert!(before["ops"]["not_before"].is_string());
    site.generation(json!({ "ops": channel(sink.address(), 1), "new": channel(sink.address(), 1) }));
    assert_eq!(relay.post("-/reload", CONTROL, "").0, 200);
    let after = relay.status()["channels"].clone();
    let seconds = |at: &Value| {
        at["ops"]["not_before"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
    };
    assert!((seconds(&before) - seconds(&after)).abs() <= 1);
    assert_eq!(after["ops"]["groups_in_part"], 1);
    assert!(after["new"]["not_before"].is_null());
}

#[test]
fn old_and_new_tokens_are_valid_while_secrets_are_handed_over() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let status = |path: &str, token: &str| relay.post(path, token, &payload("group", &[(1, true)])).0;
    site.secret("ops-token", "another\n");
    assert_eq!(status("ops", TOKEN), 200);
    assert_eq!(status("ops", "another"), 200);
    assert_eq!(status("ops", TOKEN), 200);
    assert_eq!(status("ops", CONTROL), 401, "each has its own");
    assert_eq!(status("-/reload", TOKEN), 401);
    assert_eq!(status("-/reload", CONTROL), 200);
    assert_eq!(status("ops", TOKEN), 200);
}

#[test]
fn it_ends_when_what_is_under_way_is_finished() {
    let sink = Sink::that(|_, _| Answer::OkHeld);
    let site = Site::of(channel(sink.address(), 1));
    let mut relay = site.start();
    let mut silent = TcpStream::connect(site.address()).unwrap();
    wait_for(GENEROUS, "connection", || (relay.metric("monprov_relay_connections") >= 2.0).then_some(()));
    let api = *relay;
    let under_way = std::thread::spawn(move || api.notify(&payload("group", &[(1, true), (2, true)])));
    wait_for(GENEROUS, "request", || (sink.count() == 1).then_some(()));
    relay.daemon.signal(Signal::TERM);
    wait_for(GENEROUS, "closed port", || TcpStream::connect(site.address()).is_err().then_some(()));
    assert!(relay.daemon.is_running());
    sink.let_go();
    assert_eq!(under_way.join().unwrap().0, 200);
    assert_eq!(relay.daemon.stop().code(), Some(0), "{}", relay.daemon.output());
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "who sends nothing is not waited for");
    assert_eq!(sink.taken().len(), 2);
}

#[test]
fn it_does_not_start_with_what_is_wrong_and_says_so() {
    let sink = Sink::start();
    let mut site = Site::of(channel(sink.address(), 1));
    let ends = |site: &Site, why: &str| {
        let output = site.command().output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{said}\nshould say {why}");
    };
    std::fs::remove_file(site.path("secrets/control-token")).unwrap();
    ends(&site, "control-token");
    site.secret("control-token", CONTROL);
    site.raw_generation(b"{}");
    ends(&site, "relay.json: it is no relay.json");
}

#[test]
fn what_a_reload_replaces_is_gone() {
    let sink = Sink::start();
    let mut site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let mut reload = |number| {
        site.generation(json!({ "ops": channel(sink.address(), number) }));
        assert_eq!(relay.post("-/reload", CONTROL, "").0, 200);
        assert_eq!(relay.notify(&payload("group", &[(1, true)])).0, 200);
    };
    reload(1);
    let of_guests = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", relay.daemon.id())).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.starts_with("guest-") || name.starts_with("epoch")).count()
    };
    let before = of_guests();
    assert!(before > 1);
    (2..20).for_each(&mut reload);
    wait_for(GENEROUS, "end of threads", || (of_guests() == before).then_some(()));
}
