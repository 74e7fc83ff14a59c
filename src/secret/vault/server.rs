//! Requests to a server: sent again while that can help, followed to the active node, all of
//! them together within one deadline.
#![expect(clippy::disallowed_methods, reason = "a deadline needs a clock")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, Url};
use zeroize::Zeroizing;

use super::Trouble;
use super::alert;
use super::answer::{Reply, SealStatus};
use super::messages;
use super::settings::Config;
use super::tls::last;
use crate::secret::Secret;

/// Longer answers are none of Vault's.
const LONGEST: usize = 8 << 20;
/// Pauses double from here to there.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Server {
    pub(super) config: Config,
    /// One pool of connections a node.
    nodes: RefCell<BTreeMap<String, Client>>,
    /// What is left of the deadline, counted only while something is asked.
    left: Cell<Duration>,
    since: Cell<Option<Instant>>,
    /// It answered, so what fails now is most likely passing: a restart, a sealed server.
    answered: Cell<bool>,
    /// What ended a request that no other would survive either.
    down: RefCell<Option<Fault>>,
}

pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Beneath `/v1/`, unescaped.
    pub(super) path: &'a str,
    pub(super) version: Option<u64>,
    pub(super) token: Option<&'a Secret>,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    /// It can't be sent twice: a wrapping token is used up by the first.
    pub(super) once: bool,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str, token: Option<&'a Secret>) -> Self {
        Call { method: Method::GET, path, version: None, token, body: None, once: false }
    }

    pub(super) fn post(path: &'a str, token: Option<&'a Secret>, body: Zeroizing<Vec<u8>>) -> Self {
        Call { method: Method::POST, path, version: None, token, body: Some(body), once: false }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Its name can't be looked up.
    Name,
    Refused,
    /// Another reason not to get through, in the system's words.
    Unreachable(String),
    Tls(Box<rustls::Error>),
    /// Plain HTTP to a port that speaks TLS.
    PlainToTls,
    Silent(Duration),
    /// The connection ended within an answer.
    Cut,
    Sealed(SealStatus),
    /// A status that passes by, and what was said with it.
    Status(u16, Vec<String>),
    /// Something answers that is not Vault: the status and the type of what it sent.
    Stranger(u16, String),
    /// To where a redirect leads that is not followed.
    Astray(String),
    /// The deadline came; what was wrong until then.
    Late(Option<Box<Fault>>),
    /// Settings that can't be used.
    Setting(Trouble),
}

impl Fault {
    /// It can be another the next time.
    fn passes(&self) -> bool {
        use Fault::*;
        matches!(self, Name | Refused | Unreachable(_) | Silent(_) | Cut | Sealed(_) | Status(..))
    }

    /// The server as a whole is away, and not only this request fails.
    fn is_outage(&self) -> bool {
        !matches!(self, Fault::Status(500, _) | Fault::Stranger(..) | Fault::Astray(_))
    }
}

/// Statuses that are worth another try. 412 comes from a node that is behind, 472 and 473 from
/// one that only replicates.
fn passes(status: u16) -> bool {
    matches!(status, 408 | 412 | 425 | 429 | 472 | 473 | 500 | 502..=599)
}

impl Server {
    pub(super) fn new(config: Config) -> Server {
        let left = Cell::new(config.deadline);
        Server {
            config,
            left,
            nodes: RefCell::default(),
            since: Cell::default(),
            answered: Cell::default(),
            down: RefCell::default(),
        }
    }

    /// As people name it.
    pub(super) fn name(&self) -> String {
        self.config.address.as_str().trim_end_matches('/').to_owned()
    }

    /// The clock of the deadline runs from here.
    pub(super) fn start(&self) {
        self.since.set(Some(Instant::now()));
    }

    /// And stands still from here: what other sources take does not count.
    pub(super) fn stop(&self) {
        self.left.set(self.left());
        self.since.set(None);
    }

    fn left(&self) -> Duration {
        let passed = self.since.get().map_or(Duration::ZERO, |since| since.elapsed());
        self.left.get().saturating_sub(passed)
    }

    /// An answer, good or bad, or what to tell.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Reply, Trouble> {
        self.patiently(call).await.map_err(|fault| messages::fault(self, &fault))
    }

    async fn patiently(&self, call: &Call<'_>) -> Result<Reply, Fault> {
        let mut tries: u32 = 0;
        loop {
            if let Some(fault) = &*self.down.borrow() {
                return Err(fault.clone());
            }
            let (fault, asked) = match self.once(call).await {
                Ok((reply, _)) if !passes(reply.status) => {
                    self.answered.set(true);
                    return Ok(reply);
                }
                Ok((reply, asked)) => (Fault::Status(reply.status, reply.errors()), asked),
                Err(fault) => (fault, None),
            };
            tracing::debug!(path = call.path, tries, ?fault, "vault gave no answer");
            let busy = matches!(fault, Fault::Status(429, _));
            let patient = self.config.retries > 0 && (busy || self.answered.get() && fault.is_outage());
            let sent = matches!(fault, Fault::Silent(_) | Fault::Cut);
            if !fault.passes() || call.once && sent || tries >= self.config.retries && !patient {
                return Err(self.give_up(fault).await);
            }
            let pause = asked.unwrap_or_else(|| pause(tries));
            if pause >= self.left() {
                return Err(self.give_up(Fault::Late(Some(Box::new(fault)))).await);
            }
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    /// Says more precisely what a server that is away lacks, and spares the others the wait.
    async fn give_up(&self, fault: Fault) -> Fault {
        let unavailable = match &fault {
            Fault::Status(status, _) => *status == 503,
            Fault::Late(Some(last)) => matches!(**last, Fault::Status(503, _)),
            _ => false,
        };
        let fault = match &fault {
            _ if unavailable => self.sealed().await.unwrap_or(fault),
            Fault::Cut => self.alert().await.unwrap_or(fault),
            _ => fault,
        };
        if fault.is_outage() {
            self.down.borrow_mut().get_or_insert(fault.clone());
        }
        fault
    }

    async fn sealed(&self) -> Option<Fault> {
        let (reply, _) = self.node(&self.config.address, &Call::get("sys/seal-status", None)).await.ok()?;
        let status: SealStatus = reply.bare()?;
        (status.sealed || !status.initialized).then_some(Fault::Sealed(status))
    }

    async fn alert(&self) -> Option<Fault> {
        const PATIENCE: Duration = Duration::from_secs(2);
        let (tls, address) = (self.config.tls.clone(), self.config.address.clone());
        let patience = self.left().min(PATIENCE);
        let asked = tokio::task::spawn_blocking(move || alert::of(&tls, &address, patience));
        asked.await.ok()?.map(|error| Fault::Tls(Box::new(error)))
    }

    /// One try, and where the server says how long to wait, that.
    async fn once(&self, call: &Call<'_>) -> Result<(Reply, Option<Duration>), Fault> {
        let left = self.left();
        let limit = left.min(self.config.timeout);
        match tokio::time::timeout(limit, self.node(&self.config.address, call)).await {
            Ok(result) => result,
            Err(_) if limit == left => Err(Fault::Late(None)),
            Err(_) => Err(Fault::Silent(limit)),
        }
    }

    async fn node(&self, address: &Url, call: &Call<'_>) -> Result<(Reply, Option<Duration>), Fault> {
        let mut url = self.url(address, call);
        let mut response = self.request(&url, call).await?;
        if matches!(response.status().as_u16(), 301 | 302 | 307 | 308) {
            // A standby node names the active one.
            url = follow(&url, &response)?;
            response = self.request(&url, call).await?;
        }
        let status = response.status().as_u16();
        tracing::debug!(path = call.path, status, "vault answered");
        let asked = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let kind =
            response.headers().get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let reply = Reply { status, body: body(response).await? };
        if reply.envelope().is_none() {
            if reply.body.starts_with(b"Client sent an HTTP request to an HTTPS server") {
                return Err(Fault::PlainToTls);
            }
            if !passes(status) {
                return Err(Fault::Stranger(status, kind.unwrap_or_else(|| "nothing".to_owned())));
            }
        }
        Ok((reply, asked.map(Duration::from_secs)))
    }

    fn url(&self, address: &Url, call: &Call<'_>) -> Url {
        let mut url = address.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(call.path.split('/'));
        }
        if let Some(version) = call.version {
            url.query_pairs_mut().append_pair("version", &version.to_string());
        }
        url
    }

    async fn request(&self, url: &Url, call: &Call<'_>) -> Result<Response, Fault> {
        let client = self.client(url)?;
        let named = self.config.tls.named(url.clone());
        let aliased = named != *url;
        let mut request = client.request(call.method.clone(), named).header("X-Vault-Request", "true");
        if aliased {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            request = request.header(HOST, format!("{}{port}", url.host_str().unwrap_or_default()));
        }
        if let Some(token) = call.token {
            request = request.header("X-Vault-Token", sensitive(token)?);
        }
        if let Some(namespace) = &self.config.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        request.send().await.map_err(|error| fault(&error))
    }

    fn client(&self, url: &Url) -> Result<Client, Fault> {
        let node = url.origin().ascii_serialization();
        if let Some(client) = self.nodes.borrow().get(&node) {
            return Ok(client.clone());
        }
        let client = self.config.tls.client(url, self.config.timeout).map_err(Fault::Setting)?;
        self.nodes.borrow_mut().insert(node, client.clone());
        Ok(client)
    }
}

/// A header that no log shows.
fn sensitive(token: &Secret) -> Result<HeaderValue, Fault> {
    let wrong = |_| Fault::Setting(messages::unprintable_token());
    let mut value = HeaderValue::from_str(token.expose()).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Only the node may be another: whoever sends elsewhere is no Vault, and gets no token.
fn follow(url: &Url, response: &Response) -> Result<Url, Fault> {
    let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).unwrap_or_default();
    let Ok(target) = url.join(location) else { return Err(Fault::Astray(String::new())) };
    let downgraded = url.scheme() == "https" && target.scheme() != "https";
    let same = target.path() == url.path() && target.query() == url.query();
    if same && !downgraded && target.has_host() && *url != target {
        return Ok(target);
    }
    Err(Fault::Astray(target.origin().ascii_serialization()))
}

async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut body = Zeroizing::new(Vec::with_capacity(4096));
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + chunk.len() > LONGEST {
            return Err(Fault::Stranger(response.status().as_u16(), format!("more than {LONGEST} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Between half and all of a time that doubles, so that many don't come back at once.
fn pause(tries: u32) -> Duration {
    let longest = PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
    let part = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
    longest.mul_f64(0.5 + 0.5 * part)
}

/// What a failed request died of, from the errors that it carries.
fn fault(error: &reqwest::Error) -> Fault {
    if let Some(tls) = rustls_error(error) {
        return Fault::Tls(Box::new(tls));
    }
    if error.is_dns() {
        return Fault::Name;
    }
    let kind = chain(error).find_map(|e| e.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => Fault::Refused,
        _ if error.is_connect() => Fault::Unreachable(last(error)),
        _ => Fault::Cut,
    }
}

fn chain(error: &dyn std::error::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| error.source())
}

fn rustls_error(error: &reqwest::Error) -> Option<rustls::Error> {
    chain(error).find_map(|error| {
        error.downcast_ref::<io::Error>().and_then(within).or(error.downcast_ref()).cloned()
    })
}

/// An I/O error carries others within, and not as its source.
pub(super) fn within(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| within(inner.downcast_ref()?))
}
