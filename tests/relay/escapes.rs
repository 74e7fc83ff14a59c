//! A plugin that is granted one host and one secret reaches no other of either.
//!
//! The guest `puppet.wat` sends whatever the labels of an alert say, and gives all that it learns
//! from the answer as its reason. Two services listen here: the one that it may reach, and another
//! that belongs to another channel. Each try must end as it says, and afterwards the other service
//! was not asked, and no secret stands where it may not: not in a request, not in what Alertmanager
//! is told, not in the log.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::guests;
use crate::support::relay::{CONTROL, Relay, Site, TOKEN, sha256};

/// The channel's own secrets, and another channel's.
const OWN: &str = "Own/secret+of\"ops\"=1";
const KEY: &str = "own-key-of-ops";
const OTHERS: &str = "others-secret";

type Answer = Box<dyn Fn(&str) -> Vec<u8> + Send>;

/// A service that keeps each request as it came.
#[derive(Clone)]
struct Service {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Service {
    fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let service =
            Service { port, asked: Arc::default(), answer: Arc::new(Mutex::new(Box::new(|_| ok("")))) };
        let shared = service.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(&stream.unwrap()));
            }
        });
        service
    }

    fn serve(&self, mut stream: &TcpStream) {
        while let Some(request) = request(stream) {
            self.asked.lock().unwrap().push(request.clone());
            let answer = (self.answer.lock().unwrap())(&request);
            let _ = stream.write_all(&answer);
        }
    }

    fn answers(&self, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let start = text.len();
        if reader.read_line(&mut text).ok()? == 0 {
            return None;
        }
        let line = text[start..].to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8_lossy(&body))
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", body)
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn body_of(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

struct Bench {
    relay: Relay,
    _site: Site,
    own: Service,
    other: Service,
}

impl Bench {
    fn new() -> Bench {
        let (own, other) = (Service::start(), Service::start());
        let plugin = guests::puppet_plugin();
        let channel = |endpoint: Value, grants: Value| {
            json!({
                "plugin": "plugins/puppet.wasm",
                "sha256": sha256(&plugin),
                "settings": 0,
                "token": "ops-token",
                "deadline": "60s",
                "endpoints": endpoint,
                "grants": grants,
            })
        };
        let endpoint = |host: &str, service: &Service, private: bool| json!({ "url": format!("http://{host}:{}/hook", service.port), "private": private, "timeout": "30s" });
        let grant = |file: &str, endpoint: &str, how: &str| json!({ "file": file, "endpoint": endpoint, "use": how, "places": ["body"] });
        let channels = json!({
            "ops": channel(
                json!({ "sink": endpoint("127.0.0.1", &own, true) }),
                json!({ "token": grant("ops.grant.token", "sink", "value"), "key": grant("ops.grant.key", "sink", "hmac") }),
            ),
            "other": channel(
                json!({ "elsewhere": endpoint("127.0.0.1", &other, true) }),
                json!({ "others": grant("other.grant.others", "elsewhere", "value") }),
            ),
            // Its name leads to this machine, which nobody allowed.
            "inside": channel(json!({ "sink": endpoint("localhost", &other, false) }), json!({})),
        });
        let site = Site::new(channels);
        std::fs::write(site.path("live/relay/plugins/puppet.wasm"), plugin).unwrap();
        for (file, value) in
            [("ops.grant.token", OWN), ("ops.grant.key", KEY), ("other.grant.others", OTHERS)]
        {
            site.secret(file, value);
        }
        let mut command = site.command();
        let proxy = format!("http://127.0.0.1:{}", other.port);
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
            command.env(name, &proxy);
        }
        command.env("RUST_LOG", "trace,wasmtime=warn");
        let relay = site.start_with(&command);
        Bench { relay, _site: site, own, other }
    }

    /// What Alertmanager is told of an alert with these labels.
    fn tries(&self, channel: &str, labels: &[(&str, String)]) -> (u16, String) {
        let mut all: BTreeMap<&str, &str> =
            ('a'..='l').map(|c| (LABELS[c as usize - 'a' as usize], "")).collect();
        all.extend([("a_endpoint", "sink"), ("b_method", "POST")]);
        all.extend(labels.iter().map(|(name, value)| (*name, value.as_str())));
        assert_eq!(all.len(), LABELS.len(), "{labels:?}");
        let payload = json!({
            "version": "4", "groupKey": "group", "truncatedAlerts": 0, "status": "firing", "receiver": channel,
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "http://alertmanager:9093",
            "alerts": [{
                "status": "firing", "labels": all, "annotations": {}, "startsAt": "2026-01-02T03:04:05Z",
                "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0123456789abcdef",
            }],
        });
        self.relay.post(channel, TOKEN, &payload.to_string())
    }

    /// Afterwards nothing is where it may not be.
    #[track_caller]
    fn is_tight(&self, told: &str, what: &str) {
        assert_eq!(self.other.take(), Vec::<String>::new(), "{what}: the other service was asked");
        let log = self.relay.daemon.output();
        for secret in [OWN, KEY, OTHERS, TOKEN, CONTROL] {
            assert!(!told.contains(secret), "{what}: {told}");
            assert!(!log.contains(secret), "{what}: {secret} stands in the log");
        }
    }
}

/// In the order in which the guest reads them.
const LABELS: [&str; 12] = [
    "a_endpoint",
    "b_method",
    "c_path",
    "d_path_secret",
    "e_path",
    "f_header",
    "g_header",
    "h_header_secret",
    "i_body",
    "j_body_secret",
    "k_body",
    "l_hmac_key",
];

type Labels = &'static [(&'static str, &'static str)];

/// The plugin itself means ill: what it sets, and why it is refused. `OTHER` is the port of the
/// other service.
const BY_THE_PLUGIN: &[(&str, Labels, &str)] = &[
    ("another channel's endpoint", &[("a_endpoint", "elsewhere")], "that the channel does not have"),
    ("a URL for an endpoint", &[("a_endpoint", "http://127.0.0.1:OTHER/")], "that the channel does not have"),
    ("an endpoint with a user", &[("a_endpoint", "sink@127.0.0.1:OTHER")], "that the channel does not have"),
    ("an endpoint by another case", &[("a_endpoint", "SINK")], "that the channel does not have"),
    ("no endpoint", &[("a_endpoint", "")], "that the channel does not have"),
    ("a tunnel", &[("b_method", "CONNECT"), ("c_path", "127.0.0.1:OTHER")], "is none of POST, PUT"),
    (
        "a method with a request in it",
        &[("b_method", "GET http://127.0.0.1:OTHER/ HTTP/1.1\r\n\r\nPOST")],
        "is none of",
    ),
    ("a host behind the host", &[("c_path", "@127.0.0.1:OTHER/")], "does not begin with"),
    ("a port behind the port", &[("c_path", ":OTHER/")], "does not begin with"),
    ("a longer name", &[("c_path", ".127.0.0.1.nip.example/")], "does not begin with"),
    ("a URL for a path", &[("c_path", "http://127.0.0.1:OTHER/")], "does not begin with"),
    ("a URL without its scheme", &[("c_path", "//127.0.0.1:OTHER/")], "an empty segment"),
    ("the same with backslashes", &[("c_path", "\\\\127.0.0.1:OTHER\\")], "does not begin with"),
    ("a backslash behind a slash", &[("c_path", "/\\127.0.0.1:OTHER/")], "has `\\` in its path"),
    ("another path with the same beginning", &[("c_path", "s/others")], "does not begin with"),
    ("a segment upwards", &[("c_path", "/../admin")], "a segment `.` or `..`"),
    ("the last segment upwards", &[("c_path", "/..")], "a segment `.` or `..`"),
    ("encoded dots", &[("c_path", "/%2e%2E/admin")], "a segment `.` or `..`"),
    ("dots encoded twice", &[("c_path", "/%252e%252e/admin")], "a segment `.` or `..`"),
    ("dots encoded over and over", &[("c_path", "/%25252525252e./admin")], "encoded over and over"),
    ("an encoded slash", &[("c_path", "/a%2f..%2fadmin")], "a segment `.` or `..`"),
    ("an encoded backslash", &[("c_path", "/..%5cadmin")], "a segment `.` or `..`"),
    ("dots with a parameter", &[("c_path", "/..;a=b/admin")], "a segment `.` or `..`"),
    ("dots in an overlong encoding", &[("c_path", "/%c0%ae%c0%ae/admin")], "not UTF-8"),
    ("dots of another width", &[("c_path", "/%EF%BC%8E%EF%BC%8E/admin")], "a segment `.` or `..`"),
    ("dots in an encoding of old servers", &[("c_path", "/%u002e%u002e/admin")], "encodes nothing"),
    ("an end of text in the path", &[("c_path", "/a%00b")], "control character"),
    ("a fragment", &[("c_path", "/a#@127.0.0.1:OTHER/")], "a fragment"),
    ("a line in the path", &[("c_path", "/ HTTP/1.1\r\nHost: 127.0.0.1:OTHER\r\n\r\n")], "escape it"),
    ("a line in the query", &[("c_path", "?a=b\nHost: 127.0.0.1:OTHER")], "a control character in its query"),
    (
        "the header Host",
        &[("f_header", "Host"), ("g_header", "127.0.0.1:OTHER")],
        "belongs to the connection",
    ),
    (
        "X-Forwarded-Host",
        &[("f_header", "X-Forwarded-Host"), ("g_header", "other")],
        "belongs to the connection",
    ),
    (
        "a path in a header",
        &[("f_header", "X-Original-URL"), ("g_header", "/admin")],
        "belongs to the connection",
    ),
    (
        "a second request",
        &[("f_header", "Transfer-Encoding"), ("g_header", "chunked")],
        "belongs to the connection",
    ),
    ("a shorter body", &[("f_header", "Content_Length"), ("g_header", "0")], "belongs to the connection"),
    (
        "a proxy's header",
        &[("f_header", "Proxy-Authorization"), ("g_header", "x")],
        "belongs to the connection",
    ),
    (
        "a header in a header's name",
        &[("f_header", "A: b\r\nHost"), ("g_header", "x")],
        "is no name of a header",
    ),
    (
        "a header in a header's value",
        &[("f_header", "A"), ("g_header", "b\r\nHost: x")],
        "a control character",
    ),
    ("another channel's secret", &[("j_body_secret", "others")], "no grant has that name"),
    ("a placeholder for a name", &[("j_body_secret", "${secret.others}")], "no grant has that name"),
    ("a file of another channel", &[("j_body_secret", "../other.grant.others")], "no grant has that name"),
    ("the token of the channel", &[("j_body_secret", "ops-token")], "no grant has that name"),
    ("the token of control", &[("j_body_secret", "control-token")], "no grant has that name"),
    ("a name with a blank", &[("j_body_secret", "token ")], "no grant has that name"),
    ("its secret in a path", &[("c_path", "/"), ("d_path_secret", "token")], "has the place body"),
    ("its secret in a query", &[("c_path", "?t="), ("d_path_secret", "token")], "has the place body"),
    ("its secret in a header", &[("f_header", "A"), ("h_header_secret", "token")], "has the place body"),
    ("its key as it is", &[("j_body_secret", "key")], "in an HMAC only"),
    ("an HMAC of its secret, to guess it", &[("l_hmac_key", "token")], "as it is, and not in an HMAC"),
    ("an HMAC with another's secret", &[("l_hmac_key", "others")], "no grant has that name"),
];

/// An alert means ill, and the plugin puts its labels where they belong: why it is refused, or
/// what arrives.
const BY_AN_ALERT: &[(&str, Labels, Result<&str, &str>)] = &[
    ("a placeholder", &[("i_body", "${secret.token}")], Ok("${secret.token}")),
    ("one of another channel", &[("i_body", "${secret.others|url}")], Ok("${secret.others|url}")),
    ("one within another", &[("i_body", "${secret.${secret.others}}")], Ok("${secret.${secret.others}}")),
    ("one in two texts", &[("i_body", "${secret."), ("k_body", "token}")], Ok("${secret.token}")),
    (
        "a template",
        &[("i_body", "{{ .secret.token }} %(token)s $token")],
        Ok("{{ .secret.token }} %(token)s $token"),
    ),
    (
        "a request in the body",
        &[("i_body", "0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")],
        Ok("0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"),
    ),
    ("a way upwards", &[("c_path", "/alerts/"), ("e_path", "../../admin")], Err("a segment `.` or `..`")),
    ("a way upwards, half of it", &[("c_path", "/."), ("e_path", "./admin")], Err("a segment `.` or `..`")),
    ("an encoding, half of it", &[("c_path", "/%2"), ("e_path", "e%2e/")], Err("a segment `.` or `..`")),
    ("a host", &[("c_path", "/"), ("e_path", "/127.0.0.1:OTHER/")], Err("an empty segment")),
    ("a fragment", &[("c_path", "?name="), ("e_path", "x#y")], Err("a fragment")),
    ("a line", &[("f_header", "X-Name"), ("g_header", "x\r\nX-Evil: 1")], Err("a control character")),
];

#[test]
fn a_plugin_reaches_no_other_host_and_no_other_secret() {
    let bench = Bench::new();
    let with = |labels: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let port = bench.other.port.to_string();
        labels.iter().map(|(name, value)| (*name, value.replace("OTHER", &port))).collect()
    };
    // What is allowed passes, so that a refusal means something.
    let (status, told) = bench.tries("ops", &with(&[("j_body_secret", "token"), ("l_hmac_key", "key")]));
    assert_eq!(status, 422, "{told}");
    let asked = bench.own.take();
    assert!(asked[0].contains(OWN) && asked[0].starts_with("POST /hook HTTP/1.1\r\n"), "{asked:?}");
    bench.is_tight(&told, "what is allowed");

    for (what, labels, why) in BY_THE_PLUGIN {
        let (status, told) = bench.tries("ops", &with(labels));
        assert_eq!(status, 422, "{what}: {told}");
        assert!(told.contains(why), "{what}: {told}");
        assert_eq!(bench.own.take(), Vec::<String>::new(), "{what}: something was sent");
        bench.is_tight(&told, what);
    }
    for (what, labels, outcome) in BY_AN_ALERT {
        let (status, told) = bench.tries("ops", &with(labels));
        assert_eq!(status, 422, "{what}: {told}");
        let asked = bench.own.take();
        match outcome {
            Ok(body) => assert_eq!(asked.iter().map(|r| body_of(r)).collect::<Vec<_>>(), [*body], "{what}"),
            Err(why) => assert!(told.contains(why) && asked.is_empty(), "{what}: {told}"),
        }
        bench.is_tight(&told, what);
    }
    let (status, told) = bench.tries("inside", &[]);
    assert_eq!(status, 503, "{told}");
    assert!(told.contains("an address that is loopback; if it is meant: private = true"), "{told}");
    bench.is_tight(&told, "a name that leads inside");
    assert!(BY_THE_PLUGIN.len() >= 50 && BY_AN_ALERT.len() + ECHOES.len() + ASTRAY.len() >= 20);
}

/// Answers that send a client elsewhere.
const ASTRAY: &[&str] = &[
    "301 Moved Permanently\r\nLocation: http://127.0.0.1:OTHER/",
    "302 Found\r\nLocation: http://127.0.0.1:OTHER/",
    "303 See Other\r\nLocation: //127.0.0.1:OTHER/",
    "307 Temporary Redirect\r\nLocation: http://127.0.0.1:OTHER/",
    "308 Permanent Redirect\r\nLocation: http://127.0.0.1:OTHER/",
    "305 Use Proxy\r\nLocation: http://127.0.0.1:OTHER/",
    "200 OK\r\nRefresh: 0; url=http://127.0.0.1:OTHER/",
    "200 OK\r\nAlt-Svc: http/1.1=\"127.0.0.1:OTHER\"; ma=3600; persist=1",
    "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"give me all\"",
    "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic",
];

type Echo = fn(&str) -> Vec<u8>;

/// How a service may quote the secret in what it answers.
const ECHOES: &[(&str, Echo)] = &[
    ("as it is", |own| ok(own)),
    ("in JSON", |own| ok(&json!({ "error": own }).to_string())),
    ("in JSON with escaped slashes", |own| ok(&json!({ "error": own }).to_string().replace('/', "\\/"))),
    ("in JSON by numbers", |own| {
        ok(&own.chars().map(|c| format!("\\u{:04x}", c as u32)).collect::<String>())
    }),
    ("in JSON in JSON", |own| ok(&json!(json!(own).to_string()).to_string())),
    ("in HTML", |own| ok(&own.replace('"', "&quot;"))),
    ("in HTML by numbers", |own| ok(&own.chars().map(|c| format!("&#{};", c as u32)).collect::<String>())),
    ("in a URL", |own| {
        ok(&own.replace('/', "%2F").replace('+', "%2b").replace('"', "%22").replace('=', "%3d"))
    }),
    ("in a URL, each character", |own| ok(&own.bytes().map(|b| format!("%{b:02x}")).collect::<String>())),
    ("in a URL in a URL", |own| ok(&own.bytes().map(|b| format!("%25{b:02X}")).collect::<String>())),
    ("in hexadecimal", |own| ok(&own.bytes().map(|b| format!("{b:02X}")).collect::<String>())),
    ("in base64", |own| ok(&base64::engine::general_purpose::STANDARD.encode(own))),
    ("in base64 with others", |own| {
        ok(&base64::engine::general_purpose::URL_SAFE.encode(format!("u:{own}:p")))
    }),
    ("in capitals", |own| ok(&own.to_uppercase())),
    ("in a header", |own| answer(&format!("400 Bad Request\r\nX-Got: <{own}>"), "")),
    ("in an address", |own| {
        answer(&format!("302 Found\r\nLocation: /login?next={}", own.replace('/', "%2F")), "")
    }),
    ("twice", |own| ok(&format!("{own}{own}"))),
    ("in two chunks", |own| {
        let (a, b) = own.split_at(7);
        let chunks = format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len());
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
    }),
    ("after another answer", |own| {
        [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".to_vec(), ok(own)].concat()
    }),
    ("as if packed", |own| answer("200 OK\r\nContent-Encoding: gzip", own)),
];

/// Seven characters of the secret in a row, in the encodings of the echoes, are none any more.
fn holds_part(told: &str) -> bool {
    let told = told.to_lowercase();
    let own = OWN.to_lowercase();
    let part = |n: usize| own.get(n..n + 7);
    (0..own.len()).filter_map(part).any(|part| told.contains(part))
}

#[test]
fn a_plugin_learns_no_secret_from_an_answer_and_is_not_led_astray() {
    let bench = Bench::new();
    let token = [("j_body_secret", "token".to_owned()), ("l_hmac_key", "key".to_owned())];
    for head in ASTRAY {
        let head = head.replace("OTHER", &bench.other.port.to_string());
        let sent = head.clone();
        bench.own.answers(move |_| answer(&sent, ""));
        // Once more: what it said of the first must not change the second.
        for _ in 0..2 {
            let (status, told) = bench.tries("ops", &token);
            assert_eq!(status, 422, "{head}: {told}");
            bench.is_tight(&told, &head);
        }
        let asked = bench.own.take();
        assert_eq!(asked.len(), 2, "{head}");
        assert!(asked.iter().all(|request| !request.contains("uthorization")), "{asked:?}");
    }
    for (how, echo) in ECHOES {
        bench.own.answers(move |request| {
            assert!(body_of(request).starts_with(OWN));
            echo(OWN)
        });
        let (status, told) = bench.tries("ops", &token);
        assert_eq!(status, 422, "{how}: {told}");
        assert!(told.contains("[redacted]") || *how == "as if packed", "{how}: {told}");
        assert!(!holds_part(&told), "{how}: {told}");
        bench.is_tight(&told, how);
    }
    // An HMAC is no secret that may be told either: others could use it.
    bench.own.answers(|request| ok(&body_of(request)[OWN.len()..]));
    let (_, told) = bench.tries("ops", &token);
    assert!(told.contains("[redacted]"), "{told}");
    assert!(!told.contains(body_of(&bench.own.take().pop().unwrap())), "{told}");
    // And where the answer is cut, no beginning of one is left.
    let before = ".".repeat((16 << 10) - 10);
    bench.own.answers(move |_| ok(&format!("{before}{OWN}")));
    let (_, told) = bench.tries("ops", &token);
    bench.is_tight(&told, "cut");
}
