//! Connections to an endpoint, and why there is none.
//!
//! A name is looked up once a connection, all of its addresses must be allowed, and these are
//! dialled: there is no second lookup that could answer something else.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::endpoint::Endpoint;
use super::send::{Reason, Wrong};
use crate::stack::address;

/// Services close what is idle for longer, and a request that meets it would fail.
const IDLE: std::time::Duration = std::time::Duration::from_secs(4);

/// A pool of connections.
pub(super) fn client(endpoint: &Endpoint) -> Result<Client, Wrong> {
    let mut builder = Client::builder()
        .user_agent(concat!("monprov/", env!("CARGO_PKG_VERSION")))
        // To connect takes part of a request's time, so that we can tell which of the two failed.
        .connect_timeout(endpoint.timeout / 2)
        .dns_resolver(Lookup { private: endpoint.private })
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .pool_idle_timeout(IDLE);
    if !endpoint.is_tls() {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        Wrong(format!("TLS for the endpoint {} can't be set up: {}", endpoint.shown(), last(&error)))
    })
}

struct Lookup {
    private: bool,
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(allowed(found, private)?.into_iter()) as Addrs)
        })
    }
}

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

impl std::error::Error for NotPublic {}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.at.ip();
        write!(f, "its name leads to {ip}, an address that is {}; if it is meant: private = true", self.kind)
    }
}

/// What a request died of. The client's own message holds the URL, so none of it is taken.
pub(super) fn fault(endpoint: &Endpoint, error: &reqwest::Error) -> (Reason, String) {
    let kind = find::<io::Error>(error).map(innermost);
    let (reason, what) = if let Some(special) = find::<NotPublic>(error) {
        (Reason::Address, special.to_string())
    } else if let Some(tls) = tls(error) {
        (Reason::Tls, format!("TLS fails: {tls}"))
    } else if error.is_timeout() {
        let (what, limit) = match error.is_connect() {
            true => ("can't be connected to", endpoint.timeout / 2),
            false => ("does not answer", endpoint.timeout),
        };
        (Reason::Timeout, format!("{what} within {} s", limit.as_secs_f64()))
    } else if error.is_dns() {
        (Reason::Resolve, format!("its name can't be looked up: {}", last(error)))
    } else if error.is_connect() {
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

fn tls(error: &reqwest::Error) -> Option<&rustls::Error> {
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

fn find<T: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn chain(error: &dyn std::error::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| error.source())
}

/// The cause that a person can act on stands last.
fn last(error: &reqwest::Error) -> String {
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
