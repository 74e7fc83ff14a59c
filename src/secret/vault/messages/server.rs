//! No answer: the network, TLS, a server that is away or is none.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::said;
use crate::secret::Trouble;
use crate::secret::vault::answer::SealStatus;
use crate::secret::vault::server::{Fault, Server};

pub(in super::super) fn fault(server: &Server, fault: &Fault) -> Trouble {
    let at = format!("Vault at {}", server.name());
    let by = &server.config.by;
    let host = server.config.address.host_str().unwrap_or_default();
    match fault {
        Fault::Name => Trouble::new(
            format!("{at} can't be reached: no address is known for the name {host}"),
            format!("mind the name in {by}, and that this machine may be outside of its network"),
        ),
        Fault::Refused => Trouble::new(
            format!("{at} can't be reached: nothing listens there"),
            format!("start it, or mind the address, which came from {by}"),
        ),
        Fault::Unreachable(why) => Trouble::new(
            format!("{at} can't be reached: {why}"),
            format!("mind the address, which came from {by}, firewalls, and HTTPS_PROXY"),
        ),
        Fault::Tls(error) => tls(server, &at, error),
        Fault::PlainToTls => Trouble::new(
            format!("{at} speaks TLS, but the address says http"),
            format!("write https:// in {by}"),
        ),
        Fault::Silent(time) => Trouble::new(
            format!("{at} takes connections but gave no answer within {time:?}"),
            "see what it does in its log; VAULT_CLIENT_TIMEOUT sets how long one answer may take",
        ),
        Fault::Cut => Trouble::new(
            format!("{at} closed the connection before it had answered"),
            "see why in its log, or in that of the proxy before it",
        ),
        Fault::Sealed(status) => sealed(&at, status),
        Fault::Status(status, errors) => passing(&at, *status, errors),
        Fault::Stranger(status, kind) => Trouble::new(
            format!("what answers at {} is not Vault: status {status} with {kind}", server.name()),
            format!("mind the address, which came from {by}: it is that of the API, without /ui or /v1"),
        ),
        Fault::Astray(target) => Trouble::new(
            format!("{at} redirects to {target}, which is not another node of it"),
            format!(
                "no token is sent there; mind the address, which came from {by}, and whether one has to log in first"
            ),
        ),
        Fault::Late(last) => late(server, &at, last.as_deref()),
        Fault::Setting(trouble) => trouble.clone(),
    }
}

fn late(server: &Server, at: &str, last: Option<&Fault>) -> Trouble {
    let deadline = server.config.deadline;
    match last {
        None => Trouble::new(
            format!("{at} gave no answer within {deadline:?}"),
            "see what it does in its log; `vault.deadline` sets how long all answers may take",
        ),
        Some(last) => {
            let Trouble { what, remedy } = fault(server, last);
            Trouble {
                what: format!("{what} (no other try fits into `vault.deadline`, {deadline:?})"),
                remedy,
            }
        }
    }
}

fn sealed(at: &str, status: &SealStatus) -> Trouble {
    if !status.initialized {
        let remedy = "initialise it once with `vault operator init`, and keep the keys that it prints";
        return Trouble::new(format!("{at} is not initialised"), remedy);
    }
    let keys = format!("{} of {} keys are given", status.progress, status.threshold);
    let remedy = "its operators unseal it with `vault operator unseal`, once for each key";
    Trouble::new(format!("{at} is sealed; {keys}"), remedy)
}

fn passing(at: &str, status: u16, errors: &[String]) -> Trouble {
    let said = said(errors);
    let (what, remedy) = match status {
        429 => ("has too many requests", "try later, or have its operators raise the rate limit quota"),
        412 => ("is a node that is behind", "try later, or use the address of the active node"),
        472 | 473 => ("is a node that only replicates", "use the address of the active node"),
        _ if said.contains("not active") || said.contains("active cluster node") => (
            "is a standby node that knows no active one",
            "wait for an election, or see `vault operator raft list-peers`",
        ),
        502 | 504 => {
            ("is not reached by the proxy before it", "see the log of the proxy, and whether Vault runs")
        }
        _ => ("fails", "see why in its log"),
    };
    Trouble::new(format!("{at} {what} (status {status}){said}"), remedy)
}

fn tls(server: &Server, at: &str, error: &Error) -> Trouble {
    use CertificateError::*;
    let tls = &server.config.tls;
    let host = server.config.address.host_str().unwrap_or_default();
    let name = tls.server_name.as_deref().unwrap_or(host);
    match error {
        Error::InvalidCertificate(UnknownIssuer) if tls.authorities.is_some() => Trouble::new(
            format!(
                "the certificate of {at} is signed by none of the authorities that VAULT_CACERT or `vault.ca_cert` names"
            ),
            "give the authority that signed it, as its operators publish it",
        ),
        Error::InvalidCertificate(UnknownIssuer) => Trouble::new(
            format!("the certificate of {at} is signed by an authority that this machine does not know"),
            "name its file in VAULT_CACERT or `vault.ca_cert`",
        ),
        Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            Trouble::new(format!("the certificate of {at} has expired"), "its operators have to renew it")
        }
        Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => Trouble::new(
            format!("the certificate of {at} is not valid yet"),
            "mind the clock of this machine",
        ),
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => Trouble::new(
            format!("the certificate of {at} is not for the name {name}"),
            "use a name that it is for as the address, or say it in VAULT_TLS_SERVER_NAME or `vault.tls_server_name`",
        ),
        Error::InvalidCertificate(other) => Trouble::new(
            format!("the certificate of {at} is refused: {other}"),
            "its operators have to renew it",
        ),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Trouble::new(
            format!("{at} does not speak TLS, but the address says https"),
            format!(
                "write http:// in {} if that is meant: the token then travels in the clear",
                server.config.by
            ),
        ),
        Error::AlertReceived(AlertDescription::CertificateRequired) => client_certificate(at, "demands"),
        Error::AlertReceived(_) if tls.certificate.is_some() => client_certificate(at, "refuses"),
        other => Trouble::from(format!("TLS with {at} fails: {other}")),
    }
}

fn client_certificate(at: &str, does: &str) -> Trouble {
    let (what, remedy) = match does {
        "demands" => (
            "demands a certificate of its clients",
            "name one in VAULT_CLIENT_CERT and VAULT_CLIENT_KEY, or `vault.client_cert` and `vault.client_key`",
        ),
        _ => (
            "refuses our client certificate",
            "it must be signed by an authority that the server takes for clients, and not have expired",
        ),
    };
    Trouble::new(format!("{at} {what}"), remedy)
}

pub(in super::super) fn unverified(variable: &str) -> Trouble {
    Trouble::new(
        format!("{variable} is set: whoever is between here and Vault can read its secrets"),
        "unset it, and name the authority of its certificate in VAULT_CACERT",
    )
}
