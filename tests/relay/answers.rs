//! What Alertmanager is told, and what of a group is sent when it comes again.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::relay::{Site, TOKEN, channel, line, payload};
use crate::support::sink::{Answer, Sink};
use crate::support::{GENEROUS, http, repository, wait_for};

#[test]
fn a_group_is_delivered_in_messages_and_then_answered() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 2));
    let relay = site.start();
    let (status, text) = relay.notify(&payload("group", &[(1, true), (2, true), (3, false)]));
    assert_eq!((status, text.as_str()), (200, "delivered\n"));
    let bodies: Vec<String> = sink.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(bodies, [format!("{}\n{}\n", line(1, true), line(2, true)), format!("{}\n", line(3, false))]);
    assert_eq!(relay.metric("monprov_relay_delivered_total{channel=\"ops\"}"), 1.0);
    assert_eq!(relay.metric("monprov_relay_alerts_total{channel=\"ops\"}"), 3.0);
    assert_eq!(relay.metric("monprov_relay_requests_total{channel=\"ops\"}"), 2.0);
}

#[test]
fn what_was_delivered_is_not_sent_again_until_the_group_is_through() {
    // The second message is not taken at first.
    let sink = Sink::that(|number, _| if number == 1 { Answer::Error } else { Answer::Ok });
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let group = payload("group", &[(1, true), (2, true), (3, true)]);
    let (status, text) = relay.notify(&group);
    assert_eq!(status, 503);
    assert!(text.contains("1 of 3 alerts are delivered"), "{text}");
    assert!(text.contains("status 500"), "{text}");
    // The third one was not even tried.
    assert_eq!(sink.asked().len(), 2);
    wait_for(GENEROUS, "delivery", || (relay.notify(&group).0 == 200).then_some(()));
    assert_eq!(sink.taken(), [line(1, true), line(2, true), line(3, true)]);
    assert_eq!(relay.metric("monprov_relay_groups_in_part{channel=\"ops\"}"), 0.0);
    // A reminder has the same payload.
    assert_eq!(relay.notify(&group).0, 200);
    assert_eq!(sink.taken().len(), 6);
}

#[test]
fn until_the_time_that_the_service_asks_for_nothing_is_sent() {
    let sink = Sink::that(|_, _| Answer::TooMany(3000));
    let site = Site::of(channel(sink.address(), 10));
    let relay = site.start();
    assert_eq!(relay.notify(&payload("one", &[(1, true)])).0, 503);
    for group in ["one", "another"] {
        let (status, text) = relay.notify(&payload(group, &[(1, true)]));
        assert_eq!(status, 503);
        assert!(text.starts_with("nothing is sent for another "), "{text}");
    }
    assert_eq!(sink.count(), 1);
    let not_before: jiff::Timestamp =
        relay.status()["channels"]["ops"]["not_before"].as_str().unwrap().parse().unwrap();
    let wait = not_before.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((2900..=3000).contains(&wait), "{wait}");
    assert_eq!(relay.metric("monprov_relay_retried_total{channel=\"ops\",reason=\"service\"}"), 1.0);
    assert_eq!(relay.metric("monprov_relay_retried_total{channel=\"ops\",reason=\"paused\"}"), 2.0);
}

#[test]
fn a_budget_that_is_used_up_makes_the_rest_wait() {
    let sink = Sink::start();
    let mut channel = channel(sink.address(), 1);
    channel["budget"] = serde_json::json!({ "messages": 2, "per": "1h" });
    let site = Site::of(channel);
    let relay = site.start();
    let (status, text) = relay.notify(&payload("group", &[(1, true), (2, true), (3, true)]));
    assert_eq!(status, 503);
    assert!(text.starts_with("2 of 3 alerts are delivered; the budget is used up for another "), "{text}");
    assert_eq!(sink.taken(), [line(1, true), line(2, true)]);
    assert_eq!(relay.metric("monprov_relay_retried_total{channel=\"ops\",reason=\"budget\"}"), 1.0);
}

#[test]
fn what_is_refused_is_told_once_the_rest_is_through_and_only_that_is_tried_again() {
    // Alert 2 is refused, and alert 3 not taken at first.
    let sink = Sink::that(|number, body| match body {
        _ if body.contains("2\n") => Answer::Refused,
        _ if number == 2 => Answer::TooMany(0),
        _ => Answer::Ok,
    });
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let group = payload("group", &[(1, true), (2, true), (3, true)]);
    assert_eq!(relay.notify(&group).0, 503, "some may pass later");
    let (status, text) = relay.notify(&group);
    assert_eq!(status, 422);
    assert!(text.starts_with("1 of 3 alerts can't be delivered as they are"), "{text}");
    let sent: Vec<String> = sink.asked().iter().map(|asked| asked.body.trim().to_owned()).collect();
    assert_eq!(sent, [line(1, true), line(2, true), line(3, true), line(3, true)]);
    // Alertmanager comes again with the next group interval.
    let (status, text) = relay.notify(&group);
    assert_eq!(status, 422);
    assert!(text.contains("the service refuses it (status 400): the sink refuses it"), "{text}");
    sink.becomes(|_, _| Answer::Ok);
    assert_eq!(relay.notify(&group).0, 200);
    assert_eq!(sink.count(), 6, "what was delivered is not sent again");
    assert_eq!(sink.taken(), [line(1, true), line(3, true), line(2, true)]);
    assert_eq!(relay.metric("monprov_relay_rejected_total{channel=\"ops\",reason=\"service\"}"), 2.0);
}

#[test]
fn a_plugin_that_crashes_is_named_and_others_go_on() {
    let sink = Sink::start();
    let site = Site::new(
        serde_json::json!({ "ops": channel(sink.address(), 0), "other": channel(sink.address(), 1) }),
    );
    let relay = site.start();
    let (status, text) = relay.notify(&payload("group", &[(1, true)]));
    assert_eq!(status, 422);
    assert!(text.contains("the plugin crashed"), "{text}");
    let (status, _) = relay.post("other", TOKEN, &payload("group", &[(1, true)]));
    assert_eq!(status, 200);
    assert_eq!(relay.metric("monprov_relay_rejected_total{channel=\"ops\",reason=\"plugin\"}"), 1.0);
}

#[test]
fn what_goes_wrong_on_the_way_has_a_reason() {
    let sink = Sink::that(|_, _| Answer::Hang);
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let (status, text) = relay.notify(&payload("group", &[(1, true)]));
    assert_eq!(status, 503, "{text}");
    assert_eq!(relay.metric("monprov_relay_retried_total{channel=\"ops\",reason=\"timeout\"}"), 1.0);
}

#[test]
fn an_attempt_goes_on_without_its_client_and_the_next_one_sees_what_came_of_it() {
    let sink = Sink::that(|_, _| Answer::OkHeld);
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let group = payload("group", &[(1, true), (2, true)]);
    let request = format!(
        "POST /ops HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{group}",
        group.len()
    );
    let mut client = TcpStream::connect(site.address()).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    wait_for(GENEROUS, "request", || (sink.count() == 1).then_some(()));
    drop(client);
    let api = *relay;
    let again = std::thread::spawn(move || api.notify(&group));
    let under_way = || relay.status()["channels"]["ops"]["under_way"] == 2;
    wait_for(GENEROUS, "second attempt", || under_way().then_some(()));
    sink.let_go();
    assert_eq!(again.join().unwrap().0, 200);
    assert_eq!(sink.taken(), [line(1, true), line(2, true)], "each once");
}

#[test]
fn payloads_are_kept_for_their_owner_when_that_is_asked_for() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let mut command = site.command();
    command.arg("--record").arg(site.path("records"));
    let relay = site.start_with(&command);
    let group = payload("group", &[(1, true)]);
    assert_eq!(relay.notify(&group).0, 200);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&site.path("records")), 0o700);
    let files: Vec<_> = std::fs::read_dir(site.path("records")).unwrap().map(|e| e.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert!(file.to_str().unwrap().ends_with("-ops.json"), "{file:?}");
    assert_eq!(mode(file), 0o600);
    assert_eq!(std::fs::read_to_string(file).unwrap(), group);
}

#[test]
fn what_came_of_an_alert_is_told_by_its_fingerprint() {
    let sink = Sink::that(|_, body| match body {
        _ if body.contains("2\n") => Answer::Refused,
        _ if body.contains("3\n") => Answer::Error,
        _ => Answer::Ok,
    });
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    assert_eq!(relay.notify(&payload("group", &[(1, true), (2, true), (3, true)])).0, 503);
    let said = |fingerprint: u64| {
        let all = relay.get(&format!("-/deliveries?fingerprint={fingerprint:016x}"));
        let all = all.as_array().unwrap().clone();
        all.into_iter().map(|one| (one["verdict"].to_string(), one["reason"].to_string())).collect::<Vec<_>>()
    };
    let one = |verdict: &str, reason: &str| vec![(format!("\"{verdict}\""), format!("\"{reason}\""))];
    assert_eq!(said(1), one("delivered", ""));
    assert_eq!(said(2), one("rejected", "the service refuses it (status 400): the sink refuses it"));
    assert_eq!(said(3), one("retry", "the service asks to come again (status 500)"));
    assert_eq!(said(4), []);
}

#[test]
fn a_plugin_that_loops_is_ended_and_keeps_nobody_from_being_served() {
    let sink = Sink::start();
    let looping = |limits| {
        let mut channel = channel(sink.address(), 999);
        channel["limits"] = limits;
        channel
    };
    let site = Site::new(serde_json::json!({
        "fuel": looping(serde_json::json!({ "fuel": 500_000_000_u64 })),
        "time": looping(serde_json::json!({ "fuel": 1_000_000_000_000_u64, "time": "1s" })),
        "ops": channel(sink.address(), 1),
    }));
    let relay = site.start();
    let api = *relay;
    let all: Vec<_> = (0..16)
        .map(|number| {
            let channel = if number % 2 == 0 { "fuel" } else { "time" };
            let group = payload(&number.to_string(), &[(1, true)]);
            (channel, std::thread::spawn(move || api.post(channel, TOKEN, &group)))
        })
        .collect();
    wait_for(GENEROUS, "loops", || {
        let under_way = relay.status()["channels"]["fuel"]["under_way"].as_u64();
        (under_way >= Some(4)).then_some(())
    });
    assert_eq!(relay.notify(&payload("group", &[(1, true)])).0, 200);
    for (channel, answer) in all {
        let (status, text) = answer.join().unwrap();
        match channel {
            "fuel" => assert_eq!((status, text.contains("used up its fuel")), (422, true), "{text}"),
            _ => assert_eq!((status, text.contains("took longer than 1000 ms")), (503, true), "{text}"),
        }
    }
}

/// Short calls are made where connections are served, with little fuel.
#[test]
fn a_call_that_is_long_after_many_short_ones_has_all_its_fuel() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 998));
    let relay = site.start();
    for number in 0..150 {
        assert_eq!(relay.notify(&payload(&format!("short-{number}"), &[(1, true)])).0, 200);
    }
    for number in 0..3 {
        assert_eq!(relay.notify(&payload(&format!("long-{number}"), &[(1, true), (2, true)])).0, 200);
        assert_eq!(relay.notify(&payload(&format!("again-{number}"), &[(1, true)])).0, 200);
    }
}

#[test]
fn its_catalogue_has_its_metrics() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    assert_eq!(relay.post("none", TOKEN, "").0, 404);
    let text = http::text(&relay.url("metrics"));
    let of_type = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut served: Vec<(String, String)> = of_type
        .map(|(name, kind)| {
            (if kind == "counter" { format!("{name}_total") } else { name.into() }, kind.into())
        })
        .collect();
    served.sort();
    let file = repository().join("src/check/catalog/data/relay.json");
    let catalogue: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let known = catalogue["metrics"].as_object().unwrap().iter();
    let known: Vec<(String, String)> =
        known.map(|(name, metric)| (name.clone(), metric["type"].as_str().unwrap().to_owned())).collect();
    assert_eq!(served, known);
}
