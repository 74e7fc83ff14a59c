//! Certificates: the server's against every authority and name, and the client's own.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::messages::Golden;
use super::{check, project};
use crate::support::openbao::{OpenBao, two_ports};

#[track_caller]
pub fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// `NAME.pem` and `NAME.key`, which sign others.
pub fn authority(folder: &Path, name: &str) {
    openssl(folder, &format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
    let extension = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
    openssl(
        folder,
        &format!("req -x509 -new -key {name}.key -subj /CN={name} -days 30 -out {name}.pem {extension}"),
    );
}

/// `NAME.pem` and `NAME.key` for a name, signed by an authority, valid until a year.
fn certificate(folder: &Path, name: &str, san: &str, by: &str, until: &str) {
    let key = format!("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key");
    openssl(folder, &format!("{key} -subj /CN={name} -out {name}.csr"));
    let ca = format!(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = {name}.index\nnew_certs_dir = .\nrand_serial = yes\n\
         default_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = supplied\n\
         [extensions]\nsubjectAltName = {san}\nbasicConstraints = CA:FALSE\n"
    );
    std::fs::write(folder.join(format!("{name}.cnf")), ca).unwrap();
    std::fs::write(folder.join(format!("{name}.index")), "").unwrap();
    let dates = format!("-startdate 20200101000000Z -enddate {until}0101000000Z");
    openssl(
        folder,
        &format!(
            "ca -batch -notext -config {name}.cnf -extensions extensions -cert {by}.pem -keyfile {by}.key {dates} \
             -in {name}.csr -out {name}.pem"
        ),
    );
}

fn listener(folder: &Path, port: u16, certificate: &str, more: &str) -> String {
    let path = |end: &str| folder.join(format!("{certificate}.{end}")).display().to_string();
    format!(
        "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n{more}}}\n",
        path("pem"),
        path("key")
    )
}

#[test]
fn every_certificate_that_is_right_and_every_one_that_is_not() {
    let golden = Golden::new();
    let [good, expired, named, mutual] = [(); 4].map(|()| two_ports());
    let bao = OpenBao::dev_with(|folder| {
        authority(folder, "ca");
        authority(folder, "other");
        certificate(folder, "good", "IP:127.0.0.1", "ca", "2099");
        certificate(folder, "expired", "IP:127.0.0.1", "ca", "2021");
        certificate(folder, "named", "DNS:vault.example.com", "ca", "2099");
        certificate(folder, "client", "DNS:client", "ca", "2099");
        certificate(folder, "stranger", "DNS:client", "other", "2099");
        std::fs::create_dir(folder.join("authorities")).unwrap();
        std::fs::copy(folder.join("ca.pem"), folder.join("authorities/ca.pem")).unwrap();
        std::fs::write(folder.join("authorities/README"), "not a certificate").unwrap();
        let clients = format!(
            "  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = \"{}\"\n",
            folder.join("ca.pem").display()
        );
        [
            ("good", good, ""),
            ("expired", expired, ""),
            ("named", named, ""),
            ("good", mutual, clients.as_str()),
        ]
        .map(|(name, port, more)| listener(folder, port, name, more))
        .concat()
    });
    bao.put("smtp", json!({ "password": "x" }));
    let file = |name: &str| bao.folder().join(name).display().to_string();
    let (ca, other, authorities) = (file("ca.pem"), file("other.pem"), file("authorities"));
    let smtp = project("{ vault = \"secret/smtp\" }", "");
    let at = |scheme: &str, port: u16, environment: &[(&str, &str)]| {
        let address = format!("{scheme}://127.0.0.1:{port}");
        let mut all = vec![("VAULT_ADDR", address.as_str())];
        all.extend(environment);
        check(&smtp, &bao, &all)
    };
    let of_ca = ("VAULT_CACERT", ca.as_str());
    at("https", good, &[of_ca]).succeeds();
    at("https", good, &[("VAULT_CAPATH", &authorities)]).succeeds();
    let bytes = std::fs::read_to_string(&ca).unwrap();
    at("https", good, &[("VAULT_CACERT_BYTES", &bytes)]).succeeds();
    at("https", named, &[of_ca, ("VAULT_TLS_SERVER_NAME", "vault.example.com")]).succeeds();
    let profile = format!(
        "[vault]\naddress = \"https://127.0.0.1:{named}\"\nca_cert = \"ca.pem\"\ntls_server_name = \"vault.example.com\"\n"
    );
    let in_profile = project("{ vault = \"secret/smtp\" }", &profile).file("profiles/ca.pem", &bytes);
    check(&in_profile, &bao, &[("VAULT_ADDR", "")]).succeeds();
    let (client, key) = (file("client.pem"), file("client.key"));
    at("https", mutual, &[of_ca, ("VAULT_CLIENT_CERT", &client), ("VAULT_CLIENT_KEY", &key)]).succeeds();

    golden.expect("tls-not-checked", &at("https", expired, &[("VAULT_SKIP_VERIFY", "true")]));
    golden.expect("tls-authority-unknown", &at("https", good, &[]));
    golden.expect("tls-authority-other", &at("https", good, &[("VAULT_CACERT", &other)]));
    golden.expect("tls-expired", &at("https", expired, &[of_ca]));
    golden.expect("tls-name-other", &at("https", named, &[of_ca]));
    golden.expect("tls-client-certificate-demanded", &at("https", mutual, &[of_ca]));
    let (stranger, strange_key) = (file("stranger.pem"), file("stranger.key"));
    let strange =
        [of_ca, ("VAULT_CLIENT_CERT", stranger.as_str()), ("VAULT_CLIENT_KEY", strange_key.as_str())];
    golden.expect("tls-client-certificate-refused", &at("https", mutual, &strange));
    golden.expect(
        "tls-client-certificate-alone",
        &at("https", mutual, &[of_ca, ("VAULT_CLIENT_CERT", "client.pem")]),
    );
    golden.expect("tls-authority-missing", &at("https", good, &[("VAULT_CACERT", "nothing.pem")]));
    golden.expect("tls-authority-empty", &at("https", good, &[("VAULT_CACERT_BYTES", "nothing")]));
    golden.expect("tls-to-plain-port", &at("https", bao.port, &[of_ca]));
    golden.expect("plain-to-tls-port", &at("http", good, &[]));
}
