//! Requests to one repository. What is read has a limit, which the library's own requests have not;
//! logging in, and the protocol of uploads, are the library's.

use std::time::Duration;

use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use tokio::sync::OnceCell;

use super::manifest::{ACCEPTED, Manifest};
use super::patience::{CONNECT, ONE, SILENCE, patiently};
use super::settings::AGENT;
use super::trouble::rustls_error;
use super::{Registries, Trouble};
use crate::bundle::manifest::sha256;

/// No manifest is larger: registries take none of more than 4 MiB.
const LARGEST_MANIFEST: u64 = 4 << 20;
/// What a registry says about a failure is no longer.
const LARGEST_ERROR: u64 = 64 << 10;

/// One repository of a registry.
pub(super) struct Session<'r> {
    all: &'r Registries,
    pub(super) reference: Reference,
    /// As people name it: the Hub's API is elsewhere.
    pub(super) host: String,
    login: RegistryAuth,
    operation: RegistryOperation,
    protocol: ClientProtocol,
    /// What requests carry, once that is known.
    logged_in: OnceCell<Option<HeaderValue>>,
}

/// Bytes with their digest, computed over them.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: String,
    /// What the registry says that it is.
    kind: Option<String>,
}

impl Registries {
    pub(super) async fn session(
        &self,
        reference: Reference,
        operation: RegistryOperation,
    ) -> Result<Session<'_>, Trouble> {
        let host = reference.registry().to_owned();
        let login = self.login(&host)?;
        let protocol = match self.is_plain(&host).await {
            true => ClientProtocol::Http,
            false => ClientProtocol::Https,
        };
        let logged_in = OnceCell::new();
        Ok(Session { all: self, reference, host, login, operation, protocol, logged_in })
    }

    /// Whether a host that may be spoken to without TLS has to be.
    async fn is_plain(&self, host: &str) -> bool {
        if !self.may_be_plain(host) {
            return false;
        }
        let known = || self.plain.lock().ok()?.get(host).copied();
        if let Some(known) = known() {
            return known;
        }
        let request = self.http.get(format!("https://{host}/v2/")).timeout(CONNECT / 2);
        let plain = match request.send().await {
            Ok(_) => false,
            Err(error) => !matches!(rustls_error(&error), Some(rustls::Error::InvalidCertificate(_))),
        };
        if let Ok(mut all) = self.plain.lock() {
            all.insert(host.to_owned(), plain);
        }
        plain
    }
}

impl Session<'_> {
    /// What a tag or digest stands for. Where a digest is asked for, nothing else is taken.
    pub(super) async fn manifest(&self) -> Result<(Content, Manifest), Trouble> {
        let asked = match self.reference.digest() {
            Some(digest) => digest.to_owned(),
            None => self.reference.tag().unwrap_or("latest").to_owned(),
        };
        let name = format!("{}:{asked}", self.reference.repository()).replace(":sha256:", "@sha256:");
        let path = format!("manifests/{asked}");
        let get = async || self.get(&path, &name, Some(&ACCEPTED.join(", ")), LARGEST_MANIFEST).await;
        let content = patiently(&self.host, ONE, get).await?;
        if let Some(digest) = self.reference.digest() {
            self.require(&content, digest, &name)?;
        }
        let manifest = Manifest::parse(&content.bytes, content.kind.as_deref())
            .map_err(|why| Trouble::wrong(&self.host, format!("{name}: {why}")))?;
        Ok((content, manifest))
    }

    /// A part of an artifact, of which digest and size are known.
    pub(super) async fn blob(&self, digest: &str, size: u64, limit: Duration) -> Result<Vec<u8>, Trouble> {
        let name = format!("{}@{digest}", self.reference.repository());
        let path = format!("blobs/{digest}");
        let content = patiently(&self.host, limit, async || self.get(&path, &name, None, size).await).await?;
        self.require(&content, digest, &name)?;
        Ok(content.bytes)
    }

    /// Refuses another content than what was asked for.
    fn require(&self, content: &Content, digest: &str, name: &str) -> Result<(), Trouble> {
        if content.digest == digest {
            return Ok(());
        }
        Err(Trouble::new(
            format!("{} answers {name} with something else, which has {}", self.host, content.digest),
            "nothing of it was taken; tell its operators, and mind who stands between you and it",
        ))
    }

    async fn get(
        &self,
        path: &str,
        name: &str,
        accept: Option<&str>,
        limit: u64,
    ) -> Result<Content, Trouble> {
        let mut request = self.all.http.get(self.url(path));
        let login = self.log_in().await?;
        if let Some(login) = login {
            request = request.header(AUTHORIZATION, login);
        }
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let failed = |error: reqwest::Error| Trouble::of_request(&self.host, &error);
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let header = |name| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let (kind, wait) = (header(CONTENT_TYPE), header(RETRY_AFTER));
        let limit = if status.is_success() { limit } else { LARGEST_ERROR };
        let too_large = || Trouble::wrong(&self.host, format!("{name} has more than {limit} bytes"));
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = vec![];
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if (bytes.len() + part.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&part);
        }
        if !status.is_success() {
            let logged_in = matches!(self.login, RegistryAuth::Basic(..));
            let mut trouble = Trouble::of_status(&self.host, name, status.as_u16(), &bytes, logged_in);
            trouble.wait = wait.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            return Err(trouble);
        }
        let digest = format!("sha256:{}", sha256(&bytes));
        Ok(Content { bytes, digest, kind })
    }

    fn url(&self, path: &str) -> String {
        let scheme = if self.protocol == ClientProtocol::Http { "http" } else { "https" };
        let host = self.reference.resolve_registry();
        format!("{scheme}://{host}/v2/{}/{path}", self.reference.repository())
    }

    /// What requests carry to be let in.
    async fn log_in(&self) -> Result<Option<HeaderValue>, Trouble> {
        let log_in = async || {
            let (host, name) = (&self.host, self.reference.repository());
            let client = self.client()?;
            let token = client.auth(&self.reference, &self.login, self.operation).await;
            let token = token.map_err(|error| Trouble::of_library(host, name, &error))?;
            let text = match (token, &self.login) {
                (Some(token), _) => format!("Bearer {token}"),
                (None, RegistryAuth::Basic(user, password)) => {
                    use base64::Engine as _;
                    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                    format!("Basic {both}")
                }
                (None, _) => return Ok(None),
            };
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| Trouble::wrong(host, "a token with characters that no header can hold"))?;
            value.set_sensitive(true);
            Ok(Some(value))
        };
        self.logged_in.get_or_try_init(log_in).await.cloned()
    }

    fn client(&self) -> Result<Client, Trouble> {
        let config = ClientConfig {
            protocol: self.protocol.clone(),
            extra_root_certificates: self.all.authorities.clone(),
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: AGENT,
            ..ClientConfig::default()
        };
        Client::try_from(config).map_err(|error| Trouble::wrong(&self.host, error))
    }

    /// Uploads an artifact: its parts, and then the manifest, which makes it visible.
    pub(super) async fn push(
        &self,
        parts: &[(&str, Vec<u8>)],
        manifest: &OciImageManifest,
        limit: Duration,
    ) -> Result<String, Trouble> {
        let name = self.reference.whole();
        let failed = |error: OciDistributionError| Trouble::of_library(&self.host, &name, &error);
        let body = serde_json::to_vec(manifest).map_err(|error| Trouble::wrong(&self.host, error))?;
        let digest = format!("sha256:{}", sha256(&body));
        let once = async || {
            let login = match self.log_in().await? {
                Some(value) => match value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")) {
                    Some(token) => RegistryAuth::Bearer(token.to_owned()),
                    None => self.login.clone(),
                },
                None => RegistryAuth::Anonymous,
            };
            let client = self.client()?;
            client.store_auth_if_needed(self.reference.resolve_registry(), &login).await;
            for (digest, bytes) in parts {
                if !client.blob_exists(&self.reference, digest).await.map_err(failed)? {
                    client.push_blob(&self.reference, bytes.clone(), digest).await.map_err(failed)?;
                }
            }
            let kind = HeaderValue::from_static(oci_client::manifest::OCI_IMAGE_MEDIA_TYPE);
            client.push_manifest_raw(&self.reference, body.clone(), kind).await.map_err(failed)
        };
        patiently(&self.host, limit, once).await?;
        Ok(digest)
    }
}
