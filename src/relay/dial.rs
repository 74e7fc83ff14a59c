//! Connections to an endpoint, and why there is none.
//!
//! A name is looked up once a connection, all of its addresses must be allowed, and these are
//! dialled: there is no second lookup that could answer something else.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Uri;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector, connect::dns::Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::endpoint::Endpoint;
use super::send::{Reason, Wrong};
use crate::stack::address;

/// Services close what is idle for longer, and a request that meets it would fail.
const IDLE: Duration = Duration::from_secs(4);
/// What is under way over a connection whose other end is gone ends after this.
const SILENT: Duration = Duration::from_secs(30);

/// A pool of connections: hyper's own, since the relay needs nothing that is above it and would
/// have to switch it off.
pub(super) type Client = legacy::Client<Connect, Full<Bytes>>;

/// `Clone` shares what is known of TLS, and no connection.
#[derive(Debug, Clone)]
pub(super) struct Connector(Connect);

impl Connector {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, Wrong> {
        let mut tcp = HttpConnector::new_with_resolver(Lookup { private: endpoint.private });
        tcp.set_nodelay(true);
        tcp.set_tcp_user_timeout(Some(SILENT));
        // What is dialled is decided here, and TLS is a layer above.
        tcp.enforce_http(false);
        let builder = ClientConfig::builder();
        let tls = match endpoint.is_tls() {
            true => builder.try_with_platform_verifier().map_err(|error| {
                Wrong(format!("TLS for the endpoint {} can't be set up: {error}", endpoint.shown()))
            })?,
            false => builder.with_root_certificates(RootCertStore::empty()),
        };
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth());
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        // To connect takes part of a request's time, so that we can tell which of the two failed.
        Ok(Connector(Connect { connector, within: endpoint.timeout / 2 }))
    }

    pub(super) fn client(&self) -> Client {
        legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(self.0.clone())
    }
}

type Boxed = Box<dyn Error + Send + Sync>;
type Stream = <HttpsConnector<HttpConnector<Lookup>> as Service<Uri>>::Response;

/// Connects within a time, TLS and all.
#[derive(Debug, Clone)]
pub(super) struct Connect {
    connector: HttpsConnector<HttpConnector<Lookup>>,
    within: Duration,
}

impl Service<Uri> for Connect {
    type Response = Stream;
    type Error = Boxed;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Boxed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Boxed>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, within) = (self.connector.call(to), self.within);
        Box::pin(async move { tokio::time::timeout(within, connecting).await.unwrap_or(Err(Box::new(Late))) })
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Lookup {
    private: bool,
}

impl Service<Name> for Lookup {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Boxed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Boxed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Boxed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(Unknown)?;
            Ok(allowed(found.collect(), private)?.into_iter())
        })
    }
}

/// It took too long to connect.
#[derive(Debug, thiserror::Error)]
#[error("not connected in time")]
struct Late;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unknown(io::Error);

/// All or none: whoever answers for a name could else have us dial both.
fn allowed(found: Vec<SocketAddr>, private: bool) -> Result<Vec<SocketAddr>, NotPublic> {
    let special =
        found.iter().find_map(|found| Some(NotPublic { kind: address::special(found.ip())?, at: *found }));
    match special {
        Some(special) if !private => Err(special),
        _ => Ok(found),
    }
}

#[derive(Debug)]
struct NotPublic {
    at: SocketAddr,
    kind: &'static str,
}

impl Error for NotPublic {}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.at.ip();
        write!(f, "its name leads to {ip}, an address that is {}; if it is meant: private = true", self.kind)
    }
}

/// What a request died of. The client's own message may hold parts of it, so none is taken.
pub(super) fn fault(endpoint: &Endpoint, error: &(dyn Error + 'static)) -> (Reason, String) {
    let kind = find::<io::Error>(error).map(innermost);
    let connecting = find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect);
    let (reason, what) = if let Some(special) = find::<NotPublic>(error) {
        (Reason::Address, special.to_string())
    } else if let Some(tls) = tls(error) {
        (Reason::Tls, format!("TLS fails: {tls}"))
    } else if find::<Late>(error).is_some() {
        (Reason::Timeout, format!("can't be connected to within {} s", (endpoint.timeout / 2).as_secs_f64()))
    } else if let Some(unknown) = find::<Unknown>(error) {
        (Reason::Resolve, format!("its name can't be looked up: {unknown}"))
    } else if connecting {
        match kind {
            Some(io::ErrorKind::UnexpectedEof) if endpoint.is_tls() => {
                (Reason::Tls, "TLS fails: the connection ends before it is set up".to_owned())
            }
            Some(io::ErrorKind::ConnectionRefused) => (Reason::Connect, "refuses the connection".to_owned()),
            _ => (Reason::Connect, format!("can't be connected to: {}", last(error))),
        }
    } else {
        (Reason::Reset, "ends the connection before the end of its answer, or answers no HTTP".to_owned())
    };
    (reason, format!("the endpoint {} {what}", endpoint.shown()))
}

fn tls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>().and_then(within).or(error.downcast_ref()))
}

/// An I/O error carries others within, and not as its source.
fn within(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| within(inner.downcast_ref()?))
}

fn innermost(error: &io::Error) -> io::ErrorKind {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or(error.kind(), innermost)
}

fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

/// The cause that a person can act on stands last.
fn last(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn one_address_that_is_not_public_is_enough_to_dial_none() {
        let mixed = addresses(&["1.1.1.1", "2606:4700:4700::1111", "169.254.169.254"]);
        let refused = allowed(mixed.clone(), false).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "its name leads to 169.254.169.254, an address that is link-local; if it is meant: private = true"
        );
        assert_eq!(allowed(mixed.clone(), true).unwrap(), mixed);
        let public = addresses(&["1.1.1.1", "2606:4700:4700::1111"]);
        assert_eq!(allowed(public.clone(), false).unwrap(), public);
    }
}
