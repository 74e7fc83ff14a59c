//! Every way to log in, against the real methods. Only Kubernetes has a stand-in: there is no
//! cluster here, so OpenBao's method asks a `TokenReview` of ours.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::tls::openssl;
use super::{check, project, with_approle};
use crate::support::openbao::{OpenBao, Proxy, Reaction};
use crate::support::project::Project;

const SMTP: &str = "{ vault = \"secret/monitoring/smtp\", pattern = \"[c]orrect-horse-battery\" }";

#[test]
fn approle_with_plain_wrapped_and_without_secret_id() {
    let bao = OpenBao::dev();
    let role = with_approle(&bao, json!({}));
    let auth = |more: &str| {
        project(SMTP, &format!("[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role}\"\n{more}"))
    };
    let run = |project: &Project, id: &str| check(project, &bao, &[("VAULT_TOKEN", ""), ("ID", id)]);
    run(&auth("secret_id.env = \"ID\"\n"), &bao.secret_id("monitoring")).succeeds();
    let in_a_file =
        auth("secret_id.file = \"./id\"\n").file("profiles/id", bao.secret_id("monitoring") + "\n");
    run(&in_a_file, "").succeeds();
    let wrapped = auth("secret_id.env = \"ID\"\nwrapped = true\n");
    run(&wrapped, &bao.wrapped("auth/approle/role/monitoring/secret-id", json!({}))).succeeds();
    let cidrs = json!({ "bind_secret_id": false, "token_bound_cidrs": ["127.0.0.0/8"] });
    bao.write("auth/approle/role/monitoring", cidrs);
    run(&auth(""), "").succeeds();

    bao.write("sys/auth/robots", json!({ "type": "approle" }));
    bao.write("auth/robots/role/r", json!({ "token_policies": ["monitoring"], "role_id": "robot" }));
    let id = bao.write("auth/robots/role/r/secret-id", json!({}))["data"]["secret_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let robots = "[vault.auth]\nmethod = \"approle\"\nmount = \"auth/robots/\"\nrole_id = \"robot\"\nsecret_id.env = \"ID\"\n";
    run(&project(SMTP, robots), &id).succeeds();
}

#[test]
fn a_token_from_the_environment_a_file_a_command_or_a_wrapping() {
    let bao = OpenBao::dev();
    with_approle(&bao, json!({}));
    let token = bao.token(json!({ "policies": ["monitoring"] }));
    let plain = project(SMTP, "");
    let run = |project: &Project, environment: &[(&str, &str)]| check(project, &bao, environment);
    run(&plain, &[("VAULT_TOKEN", &token)]).succeeds();
    // OpenBao's own name wins.
    run(&plain, &[("VAULT_TOKEN", "nonsense"), ("BAO_TOKEN", &token)]).succeeds();
    std::fs::write(plain.path("../home/.vault-token"), format!("{token}\n")).unwrap();
    run(&plain, &[("VAULT_TOKEN", "")]).succeeds();
    for from in ["token.env = \"MY_TOKEN\"", "token.exec = [\"printenv\", \"MY_TOKEN\"]"] {
        // What children don't inherit is only what is named as a variable.
        let project = project(SMTP, &format!("[vault.auth]\n{from}\n"));
        run(&project, &[("VAULT_TOKEN", ""), ("MY_TOKEN", &token)]).succeeds();
    }
    let wrapped = project(SMTP, "[vault.auth]\ntoken.env = \"MY_TOKEN\"\nwrapped = true\n");
    let created = bao.wrapped("auth/token/create", json!({ "policies": ["monitoring"] }));
    run(&wrapped, &[("VAULT_TOKEN", ""), ("MY_TOKEN", &created)]).succeeds();
    let by_hand = bao.wrapped("sys/wrapping/wrap", json!({ "token": token }));
    run(&wrapped, &[("VAULT_TOKEN", ""), ("MY_TOKEN", &by_hand)]).succeeds();
    // Where VAULT_TOKEN is set, nothing else is tried.
    let approle = project(SMTP, "[vault.auth]\nmethod = \"approle\"\nrole_id = \"nobody\"\n");
    run(&approle, &[("VAULT_TOKEN", &token)]).succeeds();
}

/// To build it and to activate it, the secrets are resolved; what was wrapped is good for one login.
#[test]
fn a_command_logs_in_once_however_often_it_resolves() {
    let bao = OpenBao::dev();
    let role = with_approle(&bao, json!({ "secret_id_num_uses": 1 }));
    let auth = format!(
        "[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role}\"\nsecret_id.env = \"ID\"\nwrapped = true\n"
    );
    let project = project(SMTP, &auth);
    let proxy = Proxy::start(bao.port, |_, _| Reaction::Pass);
    // The second answers from the memo, but for the secrets.
    for round in 1..=2 {
        let mut command = project.command(["switch", "profile", "--oracle", "off", "--runtime", "none"]);
        let id = bao.wrapped("auth/approle/role/monitoring/secret-id", json!({}));
        command.env("VAULT_ADDR", &proxy.address).env("ID", id);
        project.output(command).succeeds();
        for part in ["/unwrap", "/login", "/secret/data/", "/revoke-self"] {
            assert_eq!(proxy.count(part), round, "{part}: {:?}", proxy.requests());
        }
    }
}

#[test]
fn jwt_against_a_key() {
    let bao = OpenBao::dev();
    with_approle(&bao, json!({}));
    let folder = bao.folder();
    openssl(folder, "ecparam -name prime256v1 -genkey -noout -out jwt.key");
    openssl(folder, "ec -in jwt.key -pubout -out jwt.pub");
    let public = std::fs::read_to_string(folder.join("jwt.pub")).unwrap();
    bao.write("sys/auth/jwt", json!({ "type": "jwt" }));
    bao.write("auth/jwt/config", json!({ "jwt_validation_pubkeys": [public], "default_role": "ci" }));
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["monprov"], "token_policies": ["monitoring"]
    });
    bao.write("auth/jwt/role/ci", role);
    let good = signed(folder, &json!({ "sub": "ci", "aud": "monprov", "iat": now(), "exp": now() + 300 }));
    let other = signed(folder, &json!({ "sub": "ci", "aud": "other", "iat": now(), "exp": now() + 300 }));
    for role in ["role = \"ci\"\n", ""] {
        let project =
            project(SMTP, &format!("[vault.auth]\nmethod = \"jwt\"\njwt.env = \"ID_TOKEN\"\n{role}"));
        check(&project, &bao, &[("VAULT_TOKEN", ""), ("ID_TOKEN", &good)]).succeeds();
        let refused = check(&project, &bao, &[("VAULT_TOKEN", ""), ("ID_TOKEN", &other)]).exits(4);
        assert!(
            refused
                .stderr
                .contains("refuses the login at auth/jwt: error validating token: invalid audience"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("must take the token's claims"), "{}", refused.stderr);
        assert!(!refused.stderr.contains(&other));
    }
}

#[test]
fn kubernetes_with_a_service_account() {
    let bao = OpenBao::dev();
    with_approle(&bao, json!({}));
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "status": { "authenticated": true, "user": { "username": "system:serviceaccount:monitoring:monprov", "uid": "u1" } }
    });
    let cluster = Proxy::start(0, move |_, _| Reaction::status("201 Created", "", &review.to_string()));
    let folder = bao.folder();
    super::tls::authority(folder, "ca");
    let ca = std::fs::read_to_string(folder.join("ca.pem")).unwrap();
    bao.write("sys/auth/kubernetes", json!({ "type": "kubernetes" }));
    let config =
        json!({ "kubernetes_host": cluster.address, "kubernetes_ca_cert": ca, "token_reviewer_jwt": "x" });
    bao.write("auth/kubernetes/config", config);
    let role = json!({
        "bound_service_account_names": ["monprov"], "bound_service_account_namespaces": ["monitoring"],
        "token_policies": ["monitoring"]
    });
    bao.write("auth/kubernetes/role/monprov", role);
    let account = json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:monitoring:monprov", "iat": now(), "nbf": now() - 10,
        "exp": now() + 300,
        "kubernetes.io/serviceaccount/namespace": "monitoring",
        "kubernetes.io/serviceaccount/service-account.name": "monprov",
        "kubernetes.io/serviceaccount/service-account.uid": "u1"
    });
    openssl(folder, "ecparam -name prime256v1 -genkey -noout -out jwt.key");
    let token = signed(folder, &account);
    let auth = |role: &str| {
        let auth =
            format!("[vault.auth]\nmethod = \"kubernetes\"\nrole = \"{role}\"\njwt.file = \"./token\"\n");
        project(SMTP, &auth).file("profiles/token", &token)
    };
    check(&auth("monprov"), &bao, &[("VAULT_TOKEN", "")]).succeeds();
    assert!(cluster.count("POST /apis/authentication.k8s.io/v1/tokenreviews") >= 1);
    let refused = check(&auth("nobody"), &bao, &[("VAULT_TOKEN", "")]).exits(4);
    assert!(refused.stderr.contains("`nobody` must take this pod's service account"), "{}", refused.stderr);
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A JWT, signed by `jwt.key` of a folder.
fn signed(folder: &Path, claims: &Value) -> String {
    let header = json!({ "alg": "ES256", "typ": "JWT" });
    let text = format!(
        "{}.{}",
        BASE64.encode(header.to_string().as_bytes()),
        BASE64.encode(claims.to_string().as_bytes())
    );
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign", "jwt.key"]).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let der = child.wait_with_output().unwrap().stdout;
    // SEQUENCE { INTEGER r, INTEGER s } → r and s, each of 32 bytes.
    let length = usize::from(der[3]);
    let (r, s) = (&der[4..4 + length], &der[6 + length..]);
    let fixed = |number: &[u8]| {
        let significant = &number[number.len().saturating_sub(32)..];
        [vec![0; 32 - significant.len()], significant.to_vec()].concat()
    };
    format!("{text}.{}", BASE64.encode([fixed(r), fixed(s)].concat()))
}
