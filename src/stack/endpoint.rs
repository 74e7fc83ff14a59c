//! What may be the URL of a channel's endpoint: the rules by which a build refuses one, and by
//! which the relay would.

use core::net::IpAddr;
use std::fmt;

use url::{Host, Url};

use super::address;
use crate::profile::units::Duration;

/// Why a URL can't be an endpoint; reads behind its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// What some read in another way than others.
    Odd,
    NoUrl(url::ParseError),
    Scheme,
    /// The URL is not to be shown: it may hold a password.
    User,
    Query,
    NoTime,
    NoHost,
    /// An address of this kind, which was not said to be meant.
    Inside(&'static str),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Odd => f.write_str("holds a space or a backslash; escape it"),
            Wrong::NoUrl(error) => write!(f, "is no URL: {error}"),
            Wrong::Scheme => f.write_str("must begin with https:// or http://"),
            Wrong::User => f.write_str("holds a user name; let the plugin send it, from a granted secret"),
            Wrong::Query => f.write_str("must end with its path; a query comes from the plugin"),
            Wrong::NoTime => f.write_str("has no time: timeout = \"10s\""),
            Wrong::NoHost => f.write_str("names no host"),
            Wrong::Inside(kind) => {
                write!(f, "has an address that is {kind}; if it is meant: private = true")
            }
        }
    }
}

/// `private`: addresses that are not public are meant. Names are looked up by the relay.
pub fn parse(text: &str, private: bool, timeout: Option<Duration>) -> Result<Url, Wrong> {
    if text.contains(|c: char| c == '\\' || c.is_whitespace() || c.is_control()) {
        return Err(Wrong::Odd);
    }
    let url = Url::parse(text).map_err(Wrong::NoUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Wrong::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::User);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::Query);
    }
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(Wrong::NoTime);
    }
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        Some(Host::Domain(_)) => None,
        None => return Err(Wrong::NoHost),
    };
    // No resolver is asked for the address of one.
    match address.and_then(address::special) {
        Some(kind) if !private => Err(Wrong::Inside(kind)),
        _ => Ok(url),
    }
}
