//! Input that is wrong, in every way that there is: a clear answer, and others are served.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::http;
use crate::support::relay::{CONTROL, Site, TOKEN, channel, memory, payload};
use crate::support::sink::Sink;
use crate::support::{GENEROUS, wait_for};

/// Sends bytes and reads until the other side closes; status and text.
fn raw(address: SocketAddr, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(GENEROUS)).unwrap();
    // It may answer and close before it has read all.
    let _ = stream.write_all(bytes);
    answer(&mut stream)
}

fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut all = vec![];
    let mut part = [0; 4096];
    while let Ok(read) = stream.read(&mut part) {
        all.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&all);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length =
                head.to_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
            length.is_some_and(|length: usize| body.len() >= length)
        });
        if read == 0 || whole {
            break;
        }
    }
    let text = String::from_utf8_lossy(&all).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}

fn head(path: &str, more: &str) -> String {
    format!("POST /{path} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n")
}

#[test]
fn what_is_no_payload_is_refused_with_the_reason() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let good = payload("group", &[(1, true)]);
    let with = |from: &str, to: &str| good.replace(from, to);
    let wrong = [
        (String::new(), "no payload of Alertmanager"),
        ("hello".into(), "no payload of Alertmanager"),
        (good[..good.len() / 2].to_owned(), "no payload of Alertmanager"),
        (with("\"version\":\"4\"", "\"version\":\"5\""), "the payload has version \"5\""),
        (
            with("\"truncatedAlerts\":0", "\"truncatedAlerts\":3"),
            "3 alerts were left out: set `max_alerts: 0`",
        ),
        (payload("group", &[]), "it has no alert"),
        (with("0000000000000001", "1"), "alert 0: its fingerprint is no 16 hexadecimal digits"),
        (
            with(
                "\"receiver\"",
                &format!("\"new\":{}1{},\"receiver\"", "[".repeat(100_000), "]".repeat(100_000)),
            ),
            "`new` is nested more than 64 deep",
        ),
        (
            with("{\"alertname\"", &format!("{{\"deep\":{},\"alertname\"", "[".repeat(100_000))),
            "no payload of Alertmanager",
        ),
        (with("2026-01-02T03:04:05Z", "the day before"), "no payload of Alertmanager"),
    ];
    let count = wrong.len();
    for (payload, why) in wrong {
        let (status, text) = relay.notify(&payload);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(why), "{text}\nshould say {why}");
    }
    assert_eq!(sink.count(), 0);
    assert_eq!(relay.metric("monprov_relay_refused_total{status=\"400\"}"), count as f64);
    assert_eq!(relay.notify(&good).0, 200);
}

#[test]
fn who_shows_no_token_gets_nothing_and_paths_are_few() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let good = payload("group", &[(1, true)]);
    let plain = |request: &str| raw(site.address(), request.as_bytes()).0;
    for (path, token, status) in [
        ("ops", "", 401),
        ("ops", "wrong", 401),
        ("ops", CONTROL, 401),
        ("-/reload", TOKEN, 401),
        ("none", TOKEN, 404),
        ("ops/more", TOKEN, 404),
        ("", TOKEN, 404),
        ("..%2f", TOKEN, 404),
        ("-/healthy", TOKEN, 405),
    ] {
        assert_eq!(relay.post(path, token, &good).0, status, "{path} {token}");
    }
    for (request, status) in [
        ("GET /ops HTTP/1.1\r\nHost: relay\r\n\r\n", 405),
        ("GET /-/status HTTP/1.1\r\nHost: relay\r\n\r\n", 401),
        ("POST /ops HTTP/1.1\r\nHost: relay\r\nContent-Length: 5\r\n\r\nhello", 401),
        ("GET /-/reload HTTP/1.1\r\nHost: relay\r\n\r\n", 405),
        ("GET /-/ready HTTP/1.1\r\nHost: relay\r\n\r\n", 200),
        ("GET /-/healthy HTTP/1.1\r\nHost: relay\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n", 200),
        ("what is this\r\n\r\n", 400),
    ] {
        assert_eq!(plain(request), status, "{request}");
    }
    assert_eq!(sink.count(), 0);
}

#[test]
fn large_requests_are_refused_before_they_are_read() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let (status, text) = raw(site.address(), head("ops", "Content-Length: 99999999999\r\n").as_bytes());
    assert_eq!(status, 413, "{text}");
    // One that doesn't say how large it is.
    let mut request = head("ops", "Transfer-Encoding: chunked\r\n").into_bytes();
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..17 {
        request.extend_from_slice(b"100000\r\n");
        request.extend_from_slice(&chunk);
        request.extend_from_slice(b"\r\n");
    }
    assert_eq!(raw(site.address(), &request).0, 413);
    let (status, text) =
        raw(site.address(), head("ops", &format!("X-Long: {}\r\n", "a".repeat(100_000))).as_bytes());
    assert_eq!(status, 431, "{text}");
    assert_eq!(relay.notify(&payload("group", &[(1, true)])).0, 200);
}

#[test]
fn many_large_payloads_at_once_take_bounded_memory() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1000));
    let relay = site.start();
    // Small things that would each become a large one.
    let filler = format!("\"new\":[{}[]],\"receiver\"", "[],".repeat(4 << 20));
    let large = payload("group", &[(1, true)]).replace("\"receiver\"", &filler);
    let api = *relay;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| api.try_post("ops", TOKEN, &large).map_or(0, |(s, _)| s)))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| [0, 200, 422, 503].contains(status)), "{statuses:?}");
    let used = memory(relay.daemon.id());
    assert!(used < 800, "{used} MiB");
    eprintln!("{statuses:?}, {used} MiB");
    let (status, text) = relay.notify(&payload("group", &[(1, true)]));
    assert_eq!(status, 200, "{text}");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let _relay = site.start();
    let mut stream = TcpStream::connect(site.address()).unwrap();
    stream.set_read_timeout(Some(GENEROUS)).unwrap();
    stream.write_all(head("ops", "Content-Length: 1000\r\n").as_bytes()).unwrap();
    stream.write_all(b"{").unwrap();
    let start = Instant::now();
    let (status, text) = answer(&mut stream);
    assert_eq!(status, 408, "{text}");
    assert!(start.elapsed() > Duration::from_secs(5));
}

#[test]
fn a_thousand_connections_that_send_nothing_keep_nobody_from_being_served() {
    let sink = Sink::start();
    let site = Site::of(channel(sink.address(), 1));
    let relay = site.start();
    let before = memory(relay.daemon.id());
    let silent: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(site.address()).unwrap()).collect();
    wait_for(GENEROUS, "connections", || (relay.metric("monprov_relay_connections") >= 1000.0).then_some(()));
    // Half of them begin to.
    for mut stream in silent.iter().take(500) {
        stream.write_all(b"POST /ops HTTP/1.1\r\nHost:").unwrap();
    }
    for number in 0..20 {
        let start = Instant::now();
        assert_eq!(relay.notify(&payload("group", &[(number, true)])).0, 200);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let grown = memory(relay.daemon.id()).saturating_sub(before);
    assert!(grown < 100, "{grown} MiB for 1,000 connections");
    assert!(http::is_ok(&relay.url("-/healthy")));
    // They are closed in the end.
    wait_for(GENEROUS, "an end of them", || {
        (relay.metric("monprov_relay_connections") < 100.0).then_some(())
    });
}
