//! Connections to one node, and the certificates that they are held against. Authorities of
//! one's own replace the system's, as with Vault's own client.
#![expect(clippy::disallowed_methods, reason = "certificates are files")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Identity, Proxy, Url};
use zeroize::Zeroizing;

use super::Trouble;
use super::settings::Named;

#[derive(Clone)]
pub(super) struct Tls {
    /// `None`: those of the system.
    pub(super) authorities: Option<Authorities>,
    pub(super) certificate: Option<Named<PathBuf>>,
    pub(super) key: Option<Named<PathBuf>>,
    /// The name that the server's certificate must be for, where it is not the address's.
    pub(super) server_name: Option<String>,
    /// The variable that switched the check off.
    pub(super) skip_verify: Option<String>,
    pub(super) proxy: Option<Named<String>>,
}

/// Who may have signed the server's certificate.
#[derive(Clone)]
pub(super) enum Authorities {
    File(Named<PathBuf>),
    Text(Named<String>),
    Folder(Named<PathBuf>),
}

impl Tls {
    /// A pool of connections to a node. Nothing is read for one that speaks plain HTTP.
    pub(super) fn client(&self, node: &Url, timeout: Duration) -> Result<Client, Trouble> {
        // To connect takes part of a request's time, so that we can tell which of the two failed.
        let mut builder = Client::builder().connect_timeout(timeout / 2).referer(false);
        builder = builder.redirect(reqwest::redirect::Policy::none());
        if let Some(proxy) = &self.proxy {
            let wrong = |_| Trouble::new(format!("{} is no URL of a proxy", proxy.by), "http://proxy:3128");
            builder = builder.proxy(Proxy::all(proxy.value.as_str()).map_err(wrong)?);
        } else if is_loopback(node) {
            // Go's clients never send these through HTTPS_PROXY.
            builder = builder.no_proxy();
        }
        if node.scheme() == "https" {
            if self.skip_verify.is_some() {
                builder = builder.tls_danger_accept_invalid_certs(true);
            } else if let Some(authorities) = &self.authorities {
                builder = builder.tls_certs_only(authorities.read()?);
            }
            if let Some(identity) = self.identity()? {
                builder = builder.identity(identity);
            }
            if self.server_name.is_some() {
                builder = builder.dns_resolver(Alias { host: node.host_str().unwrap_or_default().into() });
            }
        } else {
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| Trouble::from(format!("TLS can't be set up: {}", last(&error))))
    }

    /// The URL that a request is sent to: TLS takes the name from it.
    pub(super) fn named(&self, mut url: Url) -> Url {
        if url.scheme() == "https"
            && let Some(name) = &self.server_name
        {
            let _ = url.set_host(Some(name));
        }
        url
    }

    fn identity(&self) -> Result<Option<Identity>, Trouble> {
        let Some(pem) = self.identity_pem()? else { return Ok(None) };
        let wrong = |_| {
            let shown = |file: &Option<Named<PathBuf>>| {
                file.as_ref().map(|file| file.value.display().to_string()).unwrap_or_default()
            };
            let (certificate, key) = (shown(&self.certificate), shown(&self.key));
            let what = format!("{certificate} and {key} are no certificate and its key in PEM");
            Trouble::new(what, "an encrypted key has to be decrypted: openssl pkey -in KEY")
        };
        Identity::from_pem(&pem).map(Some).map_err(wrong)
    }

    /// The client's certificate, and its key after it.
    pub(super) fn identity_pem(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(one), None) | (None, Some(one)) => {
                let what = format!("{} alone is no client certificate", one.by);
                return Err(Trouble::new(what, "set both: VAULT_CLIENT_CERT and VAULT_CLIENT_KEY"));
            }
        };
        let mut pem = Zeroizing::new(read(certificate)?);
        pem.push(b'\n');
        pem.extend_from_slice(&Zeroizing::new(read(key)?));
        Ok(Some(pem))
    }
}

impl Authorities {
    fn read(&self) -> Result<Vec<Certificate>, Trouble> {
        match self {
            Authorities::File(file) => {
                bundle(&read(file)?, || format!("{} ({})", file.value.display(), file.by))
            }
            Authorities::Text(text) => bundle(text.value.as_bytes(), || text.by.clone()),
            Authorities::Folder(folder) => {
                let failed = |error: std::io::Error| unreadable(folder, &folder.value, &error);
                let mut found = vec![];
                for entry in std::fs::read_dir(&folder.value).map_err(failed)? {
                    let path = entry.map_err(failed)?.path();
                    // Links by hash, as `openssl rehash` makes them, lead to files beside them.
                    if path.is_file() {
                        let file = Named { value: path, by: folder.by.clone() };
                        found.extend(Certificate::from_pem_bundle(&read(&file)?).unwrap_or_default());
                    }
                }
                some(found, || format!("{} ({})", folder.value.display(), folder.by))
            }
        }
    }
}

fn bundle(pem: &[u8], name: impl Fn() -> String) -> Result<Vec<Certificate>, Trouble> {
    some(Certificate::from_pem_bundle(pem).unwrap_or_default(), name)
}

fn some(found: Vec<Certificate>, name: impl Fn() -> String) -> Result<Vec<Certificate>, Trouble> {
    let empty = || Trouble::new(format!("{} holds no certificate", name()), "it must be in PEM");
    if found.is_empty() { Err(empty()) } else { Ok(found) }
}

fn read(file: &Named<PathBuf>) -> Result<Vec<u8>, Trouble> {
    std::fs::read(&file.value).map_err(|error| unreadable(file, &file.value, &error))
}

fn unreadable(setting: &Named<PathBuf>, path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::from(format!("{} ({}) can't be read: {error}", path.display(), setting.by))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Looks up the address's host, whatever name the certificate must be for.
struct Alias {
    host: String,
}

impl Resolve for Alias {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The cause that a person can act on stands last in the chain.
pub(super) fn last(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
