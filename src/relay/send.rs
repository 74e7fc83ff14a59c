//! Sends one request of a plugin, and hands back what the plugin may know of the answer.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::dial::{self, Client, Connector};
use super::endpoint::Endpoint;
use super::join;
use super::lanes::{self, lane};
use super::redact::{Hidden, redact};
pub(super) use super::values::Values;
use crate::plugin::channel::{Request, Response};
use crate::render::relay::{self, Grant};

/// What a plugin gets to see of a body.
const MAX_BODY: usize = 16 << 10;
/// And of the headers, names and values together.
const MAX_HEADERS: usize = 16 << 10;

/// A channel that can't be set up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

impl std::error::Error for Wrong {}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no answer. Neither text holds a secret or a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// The plugin may not send this, now or ever. Nothing was sent.
    Refused(String),
    /// It may pass.
    Failed { reason: Reason, text: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its address is not a public one.
    Address,
    Connect,
    Reset,
    Resolve,
    Timeout,
    Tls,
}

impl Reason {
    pub(super) const ALL: [Reason; 6] =
        [Reason::Address, Reason::Connect, Reason::Reset, Reason::Resolve, Reason::Timeout, Reason::Tls];

    /// As a label of metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Reason::Address => "address",
            Reason::Connect => "connect",
            Reason::Reset => "reset",
            Reason::Resolve => "resolve",
            Reason::Timeout => "timeout",
            Reason::Tls => "tls",
        }
    }
}

/// The outgoing side of one channel.
#[derive(Debug)]
pub(super) struct Sender {
    endpoints: BTreeMap<String, Endpoint>,
    /// One an endpoint, which has time-outs and a lookup of its own, and lane.
    clients: BTreeMap<String, Vec<Client>>,
    grants: BTreeMap<String, Grant>,
    values: Values,
}

impl Sender {
    pub(super) fn new(channel: &relay::Channel, values: Values) -> Result<Self, Wrong> {
        values.check()?;
        let (mut endpoints, mut clients) = (BTreeMap::new(), BTreeMap::new());
        for (name, config) in &channel.endpoints {
            let endpoint = Endpoint::new(name, config)?;
            let connector = Connector::new(&endpoint)?;
            clients.insert(name.clone(), (0..lanes::count()).map(|_| connector.client()).collect());
            endpoints.insert(name.clone(), endpoint);
        }
        Ok(Sender { endpoints, clients, grants: channel.grants.clone(), values })
    }

    /// Sends within the endpoint's time and before the deadline.
    pub(super) async fn send(&self, request: &Request, deadline: Instant) -> Result<Response, SendError> {
        let joined =
            join::join(request, &self.endpoints, &self.grants, &self.values).map_err(SendError::Refused)?;
        let endpoint = joined.endpoint;
        let Some(client) = self.clients.get(&endpoint.name).and_then(|all| all.get(lane())) else {
            return Err(SendError::Refused(format!("the endpoint `{}` has no connections", endpoint.name)));
        };
        let macs = Hidden::new(joined.macs);
        let hidden = [self.values.hidden(), &macs];
        let mut sent = hyper::Request::new(Full::new(Bytes::from_owner(joined.body)));
        *sent.method_mut() = joined.method;
        *sent.uri_mut() = joined.uri;
        *sent.headers_mut() = joined.headers;
        let own = HeaderValue::from_static;
        sent.headers_mut().entry(ACCEPT).or_insert_with(|| own("*/*"));
        sent.headers_mut()
            .entry(USER_AGENT)
            .or_insert_with(|| own(concat!("monprov/", env!("CARGO_PKG_VERSION"))));
        let failed = |error: &(dyn std::error::Error + 'static)| {
            let (reason, text) = dial::fault(endpoint, error);
            SendError::Failed { reason, text: text_without(&hidden, &text) }
        };
        let answer = async {
            let (head, body) = client.request(sent).await.map_err(|error| failed(&error))?.into_parts();
            let headers = headers(&hidden, &head.headers);
            let (body, cut) = body_of(&hidden, &head.headers, body).await.map_err(|error| failed(&error))?;
            Ok(Response { status: head.status.as_u16(), headers, body, cut })
        };
        let own = tokio::time::Instant::now() + endpoint.timeout;
        let end = own.min(deadline.into());
        match tokio::time::timeout_at(end, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let what = match end == own {
                    true => format!("does not answer within {} s", endpoint.timeout.as_secs_f64()),
                    false => "does not answer before Alertmanager gives up".to_owned(),
                };
                let text = format!("the endpoint {} {what}", endpoint.shown());
                Err(SendError::Failed { reason: Reason::Timeout, text })
            }
        }
    }

    /// A text without this channel's secrets: a plugin's reason, say.
    pub(super) fn redact(&self, text: &str) -> String {
        text_without(&[self.values.hidden()], text)
    }
}

fn text_without(hidden: &[&Hidden], text: &str) -> String {
    let text = redact(hidden, text.as_bytes(), usize::MAX);
    text.map_or_else(|| "(not shown: it could hold a secret)".to_owned(), lossy)
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What a session would need is of no use to a plugin.
fn headers(hidden: &[&Hidden], all: &HeaderMap) -> Vec<(String, String)> {
    let withheld = |name: &HeaderName| matches!(name.as_str(), "set-cookie" | "set-cookie2");
    let mut room = MAX_HEADERS;
    let mut kept = vec![];
    for (name, value) in all.iter().filter(|(name, _)| !withheld(name)) {
        let texts = redact(hidden, name.as_str().as_bytes(), MAX_HEADERS).zip(redact(
            hidden,
            value.as_bytes(),
            MAX_HEADERS,
        ));
        let Some((name, value)) = texts.map(|(name, value)| (lossy(name), lossy(value))) else { continue };
        let Some(left) = room.checked_sub(name.len() + value.len()) else { continue };
        room = left;
        kept.push((name, value));
    }
    kept
}

/// The beginning of the body without secrets, and whether there was more.
async fn body_of(
    hidden: &[&Hidden],
    headers: &HeaderMap,
    mut answer: Incoming,
) -> Result<(Vec<u8>, bool), hyper::Error> {
    let encoded = headers.get_all(CONTENT_ENCODING);
    if encoded.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        // Nobody asked for it, and what can't be read can't be redacted.
        return Ok((vec![], true));
    }
    // A secret that begins within what is kept is read to its end.
    let reach = hidden.iter().map(|hidden| hidden.reach()).max().unwrap_or_default();
    let most = MAX_BODY + reach;
    let mut body = Vec::new();
    while body.len() < most {
        let Some(frame) = answer.frame().await else { break };
        if let Ok(chunk) = frame?.into_data() {
            body.extend_from_slice(&chunk);
        }
    }
    let more = body.len() > MAX_BODY;
    Ok(match redact(hidden, &body, MAX_BODY) {
        Some(mut body) => {
            let more = more || body.len() > MAX_BODY;
            body.truncate(MAX_BODY);
            (body, more)
        }
        None => (vec![], true),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::plugin::channel::{Escape, Piece, Slot};
    use crate::profile::settings::{Place, PluginLimits, Use};
    use crate::profile::units;
    use crate::secret::Secret;

    const SECRET: &str = "a+secret/value";

    /// A server that answers what a function makes of a request, and keeps what came.
    struct Sink {
        port: u16,
        /// One a connection: its requests.
        came: Arc<Mutex<Vec<Vec<String>>>>,
    }

    impl Sink {
        fn new(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Sink {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let came = Arc::new(Mutex::new(vec![]));
            let all = came.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    all.lock().unwrap().push(vec![]);
                    while let Some(request) = read(&stream) {
                        all.lock().unwrap().last_mut().unwrap().push(request.clone());
                        answer(&request, &mut stream);
                    }
                }
            });
            Sink { port, came }
        }

        /// One that says the same to everybody.
        fn saying(head: &'static str, body: impl Into<Vec<u8>>) -> Sink {
            let body = body.into();
            Sink::new(move |_, stream| {
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            })
        }

        fn requests(&self) -> Vec<Vec<String>> {
            self.came.lock().unwrap().clone()
        }

        fn url(&self) -> String {
            format!("http://127.0.0.1:{}/hook", self.port)
        }
    }

    fn read(stream: &TcpStream) -> Option<String> {
        let mut reader = BufReader::new(stream);
        let (mut text, mut length) = (String::new(), 0);
        loop {
            let start = text.len();
            if reader.read_line(&mut text).ok()? == 0 {
                return None;
            }
            let line = text[start..].to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(text + &String::from_utf8(body).unwrap())
    }

    fn sender_to(url: &str, private: bool, timeout: u64) -> Result<Sender, Wrong> {
        let endpoint = relay::Endpoint { url: url.into(), private, timeout: units::Duration(timeout) };
        let grant = Grant {
            file: "ops.grant.token".into(),
            endpoint: "sink".into(),
            r#use: Use::Value,
            places: vec![Place::Body],
        };
        let channel = relay::Channel {
            plugin: "plugins/guest.wasm".into(),
            sha256: String::new(),
            limits: PluginLimits::default(),
            settings: serde_json::Value::Null,
            token: "ops.token".into(),
            deadline: units::Duration::seconds(10),
            budget: None,
            endpoints: [("sink".to_owned(), endpoint)].into(),
            grants: [("token".to_owned(), grant)].into(),
        };
        Sender::new(&channel, Values::new([("token".to_owned(), Secret::new(SECRET.into()))].into()))
    }

    fn request() -> Request {
        let slot = Slot { name: "token".into(), escape: Escape::UriComponent };
        Request {
            key: "1".into(),
            covers: vec![0],
            endpoint: "sink".into(),
            method: "POST".into(),
            path_query: vec![Piece::Text("/a?b=c".into())],
            headers: vec![("X-Kind".into(), vec![Piece::Text("alert".into())])],
            body: vec![Piece::Text("token=".into()), Piece::Secret(slot)],
        }
    }

    fn send_all(sender: &Sender, times: usize, within: Duration) -> Result<Response, SendError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + within;
            for _ in 1..times {
                sender.send(&request(), deadline.into_std()).await?;
            }
            sender.send(&request(), deadline.into_std()).await
        })
    }

    fn send(sender: &Sender) -> Result<Response, SendError> {
        send_all(sender, 1, Duration::from_secs(60))
    }

    /// What is said when nobody answers.
    #[track_caller]
    fn failure(url: &str, private: bool, timeout: u64) -> (Reason, String) {
        match send(&sender_to(url, private, timeout).unwrap()) {
            Err(SendError::Failed { reason, text }) => (reason, text),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_sent_is_what_the_plugin_said_and_nothing_else() {
        let sink = Sink::saying("200 OK\r\nX-Is: sink", "ok");
        let response =
            send_all(&sender_to(&sink.url(), true, 60_000).unwrap(), 3, Duration::from_secs(60)).unwrap();
        let headers = [("x-is", "sink"), ("content-length", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!((response.status, response.headers, response.cut), (200, headers.into(), false));
        assert_eq!(response.body, b"ok");
        let port = sink.port;
        let expected = format!(
            "POST /hook/a?b=c HTTP/1.1\r\nx-kind: alert\r\naccept: */*\r\nuser-agent: monprov/{}\r\nhost: \
             127.0.0.1:{port}\r\ncontent-length: 24\r\n\r\ntoken=a%2Bsecret%2Fvalue",
            env!("CARGO_PKG_VERSION")
        );
        // One connection for all three.
        assert_eq!(sink.requests(), [[expected.clone(), expected.clone(), expected]]);
    }

    #[test]
    fn an_echo_tells_no_secret() {
        let sink = Sink::new(|request, stream| {
            let body = request.split_once("\r\n\r\n").unwrap().1;
            let _ = write!(
                stream,
                "HTTP/1.1 400 {SECRET}\r\nX-Echo: {body}\r\nSet-Cookie: session=1\r\nContent-Length: {}\r\n\r\n\
                 {SECRET} {body}",
                SECRET.len() + 1 + body.len(),
            );
        });
        let response = send(&sender_to(&sink.url(), true, 60_000).unwrap()).unwrap();
        assert_eq!(response.status, 400);
        assert_eq!(String::from_utf8(response.body).unwrap(), "[redacted] token=[redacted]");
        let header = |name: &str| response.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(header("x-echo"), Some("token=[redacted]"));
        assert_eq!(header("set-cookie"), None);
    }

    #[test]
    fn a_long_answer_is_cut_with_no_beginning_of_a_secret_at_its_end() {
        for before in [MAX_BODY - 5, MAX_BODY - 1, MAX_BODY, MAX_BODY - SECRET.len()] {
            let mut body = vec![b'.'; before];
            body.extend_from_slice(SECRET.as_bytes());
            body.resize(1 << 20, b'.');
            let sink = Sink::saying("200 OK", body);
            let response = send(&sender_to(&sink.url(), true, 60_000).unwrap()).unwrap();
            assert!(response.cut && response.body.len() <= MAX_BODY);
            let text = String::from_utf8(response.body).unwrap();
            assert!(text.starts_with(&".".repeat(before)) && !text.contains("a+"), "{before}");
        }
        let sink = Sink::saying("200 OK", vec![b'.'; MAX_BODY]);
        let response = send(&sender_to(&sink.url(), true, 60_000).unwrap()).unwrap();
        assert_eq!((response.cut, response.body.len()), (false, MAX_BODY));
    }

    #[test]
    fn what_cannot_be_read_is_not_passed_on() {
        for encoding in ["gzip", "br", "identity, gzip", "x"] {
            let head: &'static str = format!("200 OK\r\nContent-Encoding: {encoding}").leak();
            let sink = Sink::saying(head, SECRET);
            let response = send(&sender_to(&sink.url(), true, 60_000).unwrap()).unwrap();
            assert_eq!((response.status, response.body, response.cut), (200, vec![], true), "{encoding}");
        }
        let sink = Sink::saying("200 OK\r\nContent-Encoding: identity", "ok");
        assert_eq!(send(&sender_to(&sink.url(), true, 60_000).unwrap()).unwrap().body, b"ok");
    }

    #[test]
    fn a_redirect_is_an_answer_like_any_other() {
        let there = Sink::saying("200 OK", "there");
        let location: &'static str = format!("302 Found\r\nLocation: {}?{SECRET}", there.url()).leak();
        let sink = Sink::saying(location, "");
        let response = send(&sender_to(&sink.url(), true, 60_000).unwrap()).unwrap();
        assert_eq!(response.status, 302);
        assert!(!format!("{:?}", response.headers).contains(SECRET), "{:?}", response.headers);
        assert!(there.requests().is_empty());
    }

    #[test]
    fn a_failure_says_what_it_is_without_a_url_or_a_secret() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let silent = Sink::new(|_, stream| while stream.read(&mut [0]).is_ok_and(|n| n > 0) {});
        let closing = Sink::new(|_, stream| drop(stream.shutdown(Shutdown::Both)));
        let cutting = Sink::new(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok");
            let _ = stream.shutdown(Shutdown::Both);
        });
        let half = Sink::new(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok");
            while stream.read(&mut [0]).is_ok_and(|n| n > 0) {}
        });
        let babbling = Sink::new(|_, stream| drop(stream.write_all(format!("{SECRET}\r\n\r\n").as_bytes())));
        let plain = Sink::saying("200 OK", "ok");
        let answering = TcpListener::bind("127.0.0.1:0").unwrap();
        let plain_port = answering.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in answering.incoming() {
                let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        // The system takes connections, and nobody answers.
        let unheard = TcpListener::bind("127.0.0.1:0").unwrap();
        let mute = unheard.local_addr().unwrap().port();
        let at = |sink: &Sink| sink.url();
        for (url, private, timeout, reason, what) in [
            (format!("http://127.0.0.1:{free}/"), true, 60_000, Reason::Connect, "refuses the connection"),
            (at(&silent), true, 200, Reason::Timeout, "does not answer within 0.2 s"),
            (at(&half), true, 200, Reason::Timeout, "does not answer within 0.2 s"),
            (format!("https://127.0.0.1:{mute}/"), true, 200, Reason::Timeout, "connected to within 0.1 s"),
            (at(&closing), true, 60_000, Reason::Reset, "ends the connection before"),
            (at(&cutting), true, 60_000, Reason::Reset, "ends the connection before"),
            (at(&babbling), true, 60_000, Reason::Reset, "or answers no HTTP"),
            (format!("https://127.0.0.1:{plain_port}/"), true, 60_000, Reason::Tls, "TLS fails: "),
            (at(&plain).replace("http:", "https:"), true, 60_000, Reason::Tls, "the connection ends before"),
            ("http://none.invalid/".into(), true, 60_000, Reason::Resolve, "its name can't be looked up"),
            (
                at(&plain).replace("127.0.0.1", "localhost"),
                false,
                60_000,
                Reason::Address,
                "an address that is loopback; if it is meant: private = true",
            ),
        ] {
            let (found, text) = failure(&url, private, timeout);
            assert_eq!(found, reason, "{url}: {text}");
            assert!(text.starts_with("the endpoint `sink` (") && text.contains(what), "{text}");
            assert!(!text.contains("secret") && !text.contains("/hook") && !text.contains("://"), "{text}");
        }
        assert!(plain.requests().iter().all(Vec::is_empty));
    }

    #[test]
    fn nothing_takes_longer_than_alertmanager_waits() {
        let silent = Sink::new(|_, stream| while stream.read(&mut [0]).is_ok_and(|n| n > 0) {});
        let sender = sender_to(&silent.url(), true, 60_000).unwrap();
        let late = send_all(&sender, 1, Duration::from_millis(100)).unwrap_err();
        let SendError::Failed { reason: Reason::Timeout, text } = late else { panic!("{late:?}") };
        assert!(text.ends_with("does not answer before Alertmanager gives up"), "{text}");
    }

    #[test]
    fn a_secret_that_could_not_be_hidden_is_refused() {
        let values = |value: &str| Values::new([("token".to_owned(), Secret::new(value.into()))].into());
        assert_eq!(values("").check().unwrap_err().0, "the secret of the grant `token` is empty");
        assert!(values("abc").check().unwrap_err().0.contains("fewer than 4 bytes"));
        assert!(values(&"x".repeat(9_000)).check().unwrap_err().0.contains("more than 8192 bytes"));
        assert!(values("abcd").check().is_ok());
    }

    #[test]
    fn nothing_that_is_printed_holds_a_secret() {
        let sender = sender_to("https://example.com/hook", false, 1_000).unwrap();
        assert!(!format!("{sender:?}").contains("secret/value"), "{sender:?}");
        assert_eq!(sender.redact("no: a%2Bsecret%2fvalue"), "no: [redacted]");
    }
}
