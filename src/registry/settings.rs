//! Authorities, hosts without TLS, and the log-ins that `docker login` keeps.
#![expect(
    clippy::disallowed_methods,
    reason = "certificates and log-ins are files that the environment names"
)]

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Context;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{Certificate, CertificateEncoding};
use oci_client::secrets::RegistryAuth;
use reqwest::redirect::Policy;

use super::patience::{CONNECT, SILENCE};
use super::{Registries, Settings, Trouble};

/// What registries see in their logs.
pub(super) const AGENT: &str = concat!("monprov/", env!("CARGO_PKG_VERSION"));
/// So many other hosts a registry may send to, one after the other.
const REDIRECTS: usize = 5;

impl Registries {
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let (mut authorities, mut certificates) = (vec![], vec![]);
        if let Some(file) = &settings.authorities {
            let pem = std::fs::read(file).with_context(|| format!("--registry-ca {}", file.display()))?;
            certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
            anyhow::ensure!(
                !certificates.is_empty(),
                "--registry-ca {} holds no certificate; it must be in PEM",
                file.display()
            );
            authorities.push(Certificate { encoding: CertificateEncoding::Pem, data: pem });
        }
        let follow = Policy::custom(|attempt| {
            let from_tls = attempt.previous().iter().any(|url| url.scheme() == "https");
            if from_tls && attempt.url().scheme() != "https" {
                let to = attempt.url().host_str().unwrap_or_default().to_owned();
                return attempt.error(format!("from TLS to plain {to}"));
            }
            if attempt.previous().len() > REDIRECTS {
                return attempt.error("too often");
            }
            attempt.follow()
        });
        let http = reqwest::Client::builder()
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(follow)
            .tls_certs_merge(certificates)
            .build()
            .context("TLS can't be set up")?;
        let (plain, logins) = (Mutex::default(), Mutex::default());
        Ok(Registries { settings, http, authorities, plain, logins })
    }

    /// The log-in for a registry, as Docker would use it.
    pub(super) fn login(&self, host: &str) -> Result<RegistryAuth, Trouble> {
        match self.logins.lock() {
            Ok(mut all) => all.entry(host.to_owned()).or_insert_with(|| login(host)).clone(),
            Err(_) => login(host),
        }
    }

    /// Whether a host may be spoken to without TLS: it is this machine, or somebody said so.
    pub(super) fn may_be_plain(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_matches(['[', ']']);
        bare == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || self.settings.insecure.iter().any(|said| said == host || said == name)
    }
}

/// None where nobody logged in.
fn login(host: &str) -> Result<RegistryAuth, Trouble> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    let Some(file) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let shown = file.display();
    let remedy = format!("docker login {host}");
    let open = match std::fs::File::open(&file) {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(Trouble::new(format!("{shown} can't be read: {error}"), remedy)),
    };
    // Docker keeps the Hub's under the address that it had first.
    let server = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    use CredentialRetrievalError as E;
    match docker_credential::get_credential_from_reader(std::io::BufReader::new(open), server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(token)) if token.is_empty() => Ok(RegistryAuth::Anonymous),
        Ok(DockerCredential::IdentityToken(_)) => Err(Trouble::new(
            format!("the log-in for {host} in {shown} is an identity token, which is not understood here"),
            format!("log in with a user and a token as password: {remedy}"),
        )),
        Err(E::NoCredentialConfigured | E::ConfigNotFound) => Ok(RegistryAuth::Anonymous),
        // A helper that knows no log-in fails, and says so in words of its own.
        Err(E::HelperFailure { stdout, .. }) if stdout.contains("not found in native keychain") => {
            Ok(RegistryAuth::Anonymous)
        }
        Err(E::HelperFailure { helper, stderr, .. }) => {
            let said: String = stderr.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(Trouble::new(format!("{helper} gives no log-in for {host}: {said}"), remedy))
        }
        Err(error) => Err(Trouble::new(format!("the log-in for {host} in {shown}: {error}"), remedy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_is_this_machine_and_what_somebody_named() {
        let settings =
            Settings { insecure: vec!["a.example".into(), "b.example:5000".into()], ..Settings::default() };
        let all = Registries::new(settings).unwrap();
        for plain in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "a.example:1",
            "b.example:5000",
        ] {
            assert!(all.may_be_plain(plain), "{plain}");
        }
        for tls in [
            "docker.io",
            "localhost.example",
            "127.0.0.1.example:80",
            "b.example",
            "b.example:5001",
            "10.0.0.1:5000",
        ] {
            assert!(!all.may_be_plain(tls), "{tls}");
        }
    }
}
