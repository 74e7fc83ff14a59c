//! Why a server ends connections without an answer.
//!
//! In TLS 1.3 a server judges the client's certificate after the handshake. What it says of it is
//! lost where it comes before the request is on its way: the connection is only found closed. So a
//! connection is made that asks nothing and listens.

use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::server::within;
use super::tls::Tls;

/// What a node says of TLS once the handshake is done; `None`: nothing, or it can't be asked.
/// `patience`: how long it may take to connect, and to say it.
pub(super) fn of(tls: &Tls, node: &Url, patience: Duration) -> Option<Error> {
    if node.scheme() != "https" || tls.proxy.is_some() {
        return None;
    }
    let host = node.host_str()?.trim_matches(['[', ']']);
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let mut connection =
        ClientConnection::new(Arc::new(config(tls)?), ServerName::try_from(name).ok()?).ok()?;
    let address = (host, node.port_or_known_default()?).to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    let ended = rustls::Stream::new(&mut connection, &mut stream).read(&mut [0]).err()?;
    within(&ended).cloned()
}

fn config(tls: &Tls) -> Option<ClientConfig> {
    let builder = ClientConfig::builder();
    let any = Any(builder.crypto_provider().clone());
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(any));
    match tls.identity_pem().ok()? {
        None => Some(builder.with_no_client_auth()),
        Some(pem) => {
            let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
            let chain = chain.into_iter().map(CertificateDer::into_owned).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&pem).ok()?).ok()
        }
    }
}

/// Takes any server: nothing is told to it, and who it is was asked before.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
