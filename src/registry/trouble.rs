//! Why a registry gives nothing, in words for people, and whether that may pass.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use oci_client::errors::OciDistributionError;
use rustls::{CertificateError, InvalidMessage};

/// What is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub what: String,
    pub remedy: String,
    /// The next try can end otherwise.
    pub(super) passes: bool,
    /// How long the registry asks to wait.
    pub(super) wait: Option<Duration>,
    /// The registry answers, and has not what was asked for.
    pub missing: bool,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl Error for Trouble {}

impl Trouble {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Trouble { what: what.into(), remedy: remedy.into(), passes: false, wait: None, missing: false }
    }

    pub(super) fn passing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Trouble { passes: true, ..Trouble::new(what, remedy) }
    }

    /// What came can't be right.
    pub(super) fn wrong(host: &str, why: impl fmt::Display) -> Self {
        Trouble::new(format!("{host} gave what can't be used: {why}"), "see what was pushed there")
    }

    /// An image is not there for a platform.
    pub fn lacks(platform: &str, has: &str) -> Self {
        Trouble::new(
            format!("it is not there for {platform}, only for {has}"),
            "take an image that is, or demand less with --platform",
        )
    }

    /// A request that got no answer, or no whole one.
    pub(super) fn of_request(host: &str, error: &reqwest::Error) -> Self {
        if let Some(tls) = rustls_error(error) {
            return Trouble::of_tls(host, &tls);
        }
        if error.is_timeout() {
            return Trouble::passing(
                format!("{host} gave no answer in time"),
                "try again, or see what it does",
            );
        }
        if error.is_redirect() {
            return Trouble::new(
                format!("{host} sends elsewhere, and that is not followed: {}", last(error)),
                "a registry may send to other hosts, but not away from TLS",
            );
        }
        let refused = chain(error)
            .filter_map(|e| e.downcast_ref::<io::Error>())
            .any(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        if refused {
            return Trouble::passing(
                format!("nothing listens at {host}"),
                "start the registry, or mind its port",
            );
        }
        if error.is_connect() {
            let why = last(error);
            return Trouble::passing(
                format!("{host} can't be reached: {why}"),
                "mind its name and the network",
            );
        }
        Trouble::passing(
            format!("{host} ended the connection before it had answered"),
            "see why in its log, or in that of the proxy before it",
        )
    }

    fn of_tls(host: &str, error: &rustls::Error) -> Self {
        use CertificateError as C;
        let refused =
            |why: &str, remedy: &str| Trouble::new(format!("the certificate of {host} {why}"), remedy);
        match error {
            rustls::Error::InvalidCertificate(C::UnknownIssuer) => refused(
                "is signed by an authority that is not known here",
                "name the authority's file: --registry-ca FILE or MONPROV_REGISTRY_CA",
            ),
            rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
                refused("has expired", "its operators have to renew it")
            }
            rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
                refused("is for another name", "use a name that it is for")
            }
            rustls::Error::InvalidCertificate(other) => {
                refused(&format!("is refused: {other}"), "its operators have to renew it")
            }
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Trouble::new(
                format!("{host} does not speak TLS"),
                format!("--insecure-registry {host}, if it may be read and changed on its way"),
            ),
            other => Trouble::new(
                format!("TLS with {host} failed: {other}"),
                "see what TLS the registry or the proxy before it speaks",
            ),
        }
    }

    /// An answer that is no success. `asked`: what for, as people name it.
    pub(super) fn of_status(host: &str, asked: &str, status: u16, body: &[u8], logged_in: bool) -> Self {
        let said = said(body);
        match status {
            401 if logged_in => Trouble::new(
                format!("{host} does not take the log-in for {asked}{said}"),
                format!("log in again: docker login {host}"),
            ),
            401 => Trouble::new(
                format!("{host} gives {asked} only to who is logged in{said}"),
                format!(
                    "docker login {host}; or mind the name: some registries say this of what they don't have"
                ),
            ),
            403 => Trouble::new(
                format!("{host} refuses {asked}{said}"),
                "ask its operators for the right to read it, or to write it where it is to be published",
            ),
            404 => Trouble {
                missing: true,
                ..Trouble::new(format!("{host} has no {asked}{said}"), "mind the name and the tag")
            },
            429 => Trouble::passing(
                format!("{host} has too many requests{said}"),
                format!("try later, or with a log-in, which may ask more: docker login {host}"),
            ),
            408 | 425 | 500..=599 => {
                Trouble::passing(format!("{host} fails (status {status}){said}"), "see why in its log")
            }
            _ => Trouble::new(
                format!("{host} answers {asked} with status {status}{said}"),
                "mind the name; what answers there may be no registry",
            ),
        }
    }

    /// What the library met with.
    pub(super) fn of_library(host: &str, asked: &str, error: &OciDistributionError) -> Self {
        use OciDistributionError as E;
        match error {
            E::RequestError(error) => Trouble::of_request(host, error),
            E::AuthenticationFailure(said) => Trouble::of_status(host, asked, 401, said.as_bytes(), true),
            E::UnauthorizedError { .. } => Trouble::of_status(host, asked, 401, b"", true),
            E::ServerError { code, message, .. } => {
                Trouble::of_status(host, asked, *code, message.as_bytes(), true)
            }
            E::RegistryError { envelope, .. } => {
                use oci_client::errors::OciErrorCode as Code;
                let status = match envelope.errors.first().map(|error| &error.code) {
                    Some(Code::Unauthorized) => 401,
                    Some(Code::Denied) => 403,
                    Some(Code::ManifestUnknown | Code::NameUnknown | Code::NotFound | Code::BlobUnknown) => {
                        404
                    }
                    Some(Code::Toomanyrequests) => 429,
                    _ => 400,
                };
                let body = serde_json::to_vec(envelope).unwrap_or_default();
                Trouble::of_status(host, asked, status, &body, true)
            }
            E::RegistryTokenDecodeError(_) => Trouble::new(
                format!("the token server of {host} answers with no token"),
                "what answers there may be a log-in page",
            ),
            other => Trouble::wrong(host, other),
        }
    }
}

/// What a registry says about a failure, in one plain line.
fn said(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Answer {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        message: String,
    }
    let Ok(Answer { errors }) = serde_json::from_slice(body) else { return String::new() };
    let Some(message) = errors.into_iter().map(|error| error.message).find(|m| !m.is_empty()) else {
        return String::new();
    };
    let plain: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    format!(": {plain}")
}

/// The cause that a person can act on stands last in the chain.
fn last(error: &reqwest::Error) -> String {
    chain(error).last().map_or_else(|| "no reason given".into(), ToString::to_string)
}

fn chain(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

pub(super) fn rustls_error(error: &reqwest::Error) -> Option<rustls::Error> {
    chain(error).find_map(|error| {
        error.downcast_ref::<io::Error>().and_then(within).or(error.downcast_ref()).cloned()
    })
}

/// An I/O error carries others within, and not as its source.
fn within(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| within(inner.downcast_ref()?))
}
