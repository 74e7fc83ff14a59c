//! Every way in which Vault gives no value, and what people are told: `vault/messages/NAME.txt`.
//!
//! `BLESS=1 cargo test vault::messages` writes the expectations anew; read the difference.

use std::cell::RefCell;

use regex::Regex;
use serde_json::json;

use super::{check, project, with_approle};
use crate::support::openbao::{OpenBao, Proxy, Reaction};
use crate::support::project::{Output, Project};
use crate::support::repository;

/// Collects what differs, so that one run shows all.
pub struct Golden {
    wrong: RefCell<Vec<String>>,
    bless: bool,
}

impl Golden {
    pub fn new() -> Golden {
        Golden { wrong: RefCell::default(), bless: std::env::var_os("BLESS").is_some() }
    }

    pub fn expect(&self, name: &str, output: &Output) {
        let ports = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
        let times = Regex::new(r"at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC").unwrap();
        let text = ports.replace_all(&output.stderr, "127.0.0.1:PORT");
        let text = times.replace_all(&text, "at DATE TIME UTC");
        let is = format!("{text}exit code {}\n", output.code);
        let file = repository().join("tests/vault/messages").join(format!("{name}.txt"));
        if self.bless {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &is).unwrap();
        }
        let should = std::fs::read_to_string(&file).unwrap_or_default();
        if is != should {
            self.wrong.borrow_mut().push(format!("== {name}\n-- expected\n{should}-- got\n{is}"));
        }
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        let wrong = self.wrong.borrow();
        assert!(wrong.is_empty() || std::thread::panicking(), "{}", wrong.join("\n"));
    }
}

fn source(path: &str, more: &str) -> Project {
    project(&format!("{{ vault = \"{path}\"{more} }}"), "")
}

#[test]
fn of_paths_versions_and_fields() {
    let (bao, golden) = (OpenBao::dev(), Golden::new());
    bao.write("sys/mounts/kv1", json!({ "type": "kv", "options": { "version": "1" } }));
    bao.write("kv1/smtp", json!({ "password": "correct-horse", "user": "alerts" }));
    bao.put(
        "smtp",
        json!({ "password": "one", "user": "alerts", "options": { "a": 1 }, "none": null, "empty": "" }),
    );
    for n in ["two", "three"] {
        bao.put("versions", json!({ "password": n }));
    }
    bao.put("deleted", json!({ "password": "x" }));
    bao.call("DELETE", "secret/data/deleted", None);
    bao.put("destroyed", json!({ "password": "x" }));
    bao.write("secret/destroy/destroyed", json!({ "versions": [1] }));
    bao.write("secret/destroy/versions", json!({ "versions": [1] }));
    bao.put("bare", json!({}));

    let password = ", field = \"password\"";
    let cases = [
        ("path-missing", "secret/nothing", password),
        ("version-missing", "secret/versions", ", field = \"password\", version = 9"),
        ("version-of-missing-path", "secret/nothing", ", field = \"password\", version = 9"),
        ("version-deleted", "secret/deleted", password),
        ("version-deleted-pinned", "secret/deleted", ", field = \"password\", version = 1"),
        ("version-destroyed", "secret/destroyed", password),
        ("version-destroyed-pinned", "secret/versions", ", field = \"password\", version = 1"),
        ("path-of-the-api", "secret/data/smtp", password),
        ("mount-missing", "sceret/smtp", password),
        ("kv1-path-missing", "kv1/nothing", password),
        ("kv1-version", "kv1/smtp", ", field = \"password\", version = 2"),
        ("field-missing", "secret/smtp", ", field = \"pasword\""),
        ("field-missing-no-near", "secret/smtp", ", field = \"token\""),
        ("field-not-said", "secret/smtp", ""),
        ("field-not-said-kv1", "kv1/smtp", ""),
        ("field-object", "secret/smtp", ", field = \"options\""),
        ("field-null", "secret/smtp", ", field = \"none\""),
        ("field-empty", "secret/smtp", ", field = \"empty\""),
        ("fields-none", "secret/bare", ""),
        ("not-kv", "sys/mounts", ""),
    ];
    for (name, path, more) in cases {
        golden.expect(name, &check(&source(path, more), &bao, &[]));
    }
    // A later source counts, and it is said why where the first could not tell.
    let later = |first: &str| {
        project(&format!("[{{ vault = \"{first}\", field = \"password\" }}, {{ env = \"LATER\" }}]"), "")
    };
    for (name, path) in [("later-source-silent", "secret/nothing"), ("later-source-warned", "sceret/smtp")] {
        golden.expect(name, &check(&later(path), &bao, &[("LATER", "from-the-environment")]));
    }
}

#[test]
fn of_tokens_policies_and_namespaces() {
    let (bao, golden) = (OpenBao::dev(), Golden::new());
    bao.put("monitoring/smtp", json!({ "password": "correct-horse" }));
    bao.write("sys/mounts/kv1", json!({ "type": "kv", "options": { "version": "1" } }));
    bao.write("kv1/smtp", json!({ "password": "correct-horse" }));
    bao.policy("other", "path \"secret/data/other\" { capabilities = [\"read\"] }\npath \"kv1/other\" { capabilities = [\"read\"] }");
    let other = bao.token(json!({ "policies": ["other"] }));
    let blind = bao.token(json!({ "policies": ["other"], "no_default_policy": true }));
    let revoked = bao.token(json!({}));
    bao.write("auth/token/revoke", json!({ "token": revoked }));
    let used_up = bao.token(json!({ "num_uses": 1 }));
    bao.call_with("GET", "auth/token/lookup-self", None, &[("X-Vault-Token", &used_up)]);

    let smtp = source("secret/monitoring/smtp", ", field = \"password\"");
    let kv1 = source("kv1/smtp", ", field = \"password\"");
    golden.expect("token-none", &check(&smtp, &bao, &[("VAULT_TOKEN", "")]));
    golden.expect("token-bad", &check(&smtp, &bao, &[("VAULT_TOKEN", "s.nonsense")]));
    golden.expect("token-unprintable", &check(&smtp, &bao, &[("VAULT_TOKEN", "s.non\nsense")]));
    golden.expect("token-revoked", &check(&smtp, &bao, &[("VAULT_TOKEN", &revoked)]));
    golden.expect("token-used-up", &check(&smtp, &bao, &[("VAULT_TOKEN", &used_up)]));
    golden.expect("denied-kv2", &check(&smtp, &bao, &[("VAULT_TOKEN", &other)]));
    golden.expect("denied-kv2-without-lookup", &check(&smtp, &bao, &[("VAULT_TOKEN", &blind)]));
    golden.expect("denied-kv1", &check(&kv1, &bao, &[("VAULT_TOKEN", &other)]));
    golden.expect("denied-the-mount", &check(&source("team/smtp", ""), &bao, &[("VAULT_TOKEN", &other)]));
    golden.expect("namespace-unknown", &check(&smtp, &bao, &[("VAULT_NAMESPACE", "nowhere")]));
    std::fs::create_dir_all(smtp.path("../home")).unwrap();
    std::fs::write(smtp.path("../home/.vault-token"), "s.nonsense\n").unwrap();
    golden.expect("token-file-bad", &check(&smtp, &bao, &[("VAULT_TOKEN", "")]));

    let wrapped = bao.wrapped("auth/token/create", json!({}));
    let auth = "[vault.auth]\nwrapped = true\n";
    let project = project("{ vault = \"secret/monitoring/smtp\" }", auth);
    check(&project, &bao, &[("VAULT_TOKEN", &wrapped)]).succeeds();
    golden.expect("unwrapped-twice", &check(&project, &bao, &[("VAULT_TOKEN", &wrapped)]));
    let other = bao.wrapped("sys/wrapping/wrap", json!({ "something": "else" }));
    golden.expect("unwrapped-something-else", &check(&project, &bao, &[("VAULT_TOKEN", &other)]));
}

#[test]
fn of_logins() {
    let (bao, golden) = (OpenBao::dev(), Golden::new());
    let role = with_approle(&bao, json!({ "secret_id_num_uses": 1 }));
    let auth = |more: &str| {
        let auth = format!("[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role}\"\n{more}");
        project("{ vault = \"secret/monitoring/smtp\" }", &auth)
    };
    let with_id = auth("secret_id.env = \"SECRET_ID\"\n");
    let run = |project: &Project, id: &str| check(project, &bao, &[("VAULT_TOKEN", ""), ("SECRET_ID", id)]);
    let id = bao.secret_id("monitoring");
    run(&with_id, &id).succeeds();
    golden.expect("approle-secret-id-used-up", &run(&with_id, &id));
    golden.expect("approle-secret-id-bad", &run(&with_id, "nonsense"));
    golden.expect("approle-secret-id-unset", &run(&with_id, ""));
    golden.expect("approle-secret-id-not-given", &run(&auth(""), ""));
    golden
        .expect("approle-not-there", &run(&auth("secret_id.env = \"SECRET_ID\"\nmount = \"robots\"\n"), "x"));
    let wrapped = auth("secret_id.env = \"SECRET_ID\"\nwrapped = true\n");
    golden.expect("approle-secret-id-not-wrapped", &run(&wrapped, "nonsense"));
    let jwt =
        project("{ vault = \"secret/a\" }", "[vault.auth]\nmethod = \"kubernetes\"\nrole = \"monitoring\"\n");
    golden.expect("kubernetes-without-token", &run(&jwt, ""));
    // What a fresh login gave is refused, and once more.
    let refusal = Reaction::status("403 Forbidden", "", r#"{"errors":["permission denied"]}"#);
    let proxy = Proxy::start(bao.port, move |_, line| match line.contains("/login") {
        true => Reaction::Pass,
        false => refusal.clone(),
    });
    bao.write("auth/approle/role/monitoring", json!({ "secret_id_num_uses": 0 }));
    let id = bao.secret_id("monitoring");
    let environment = [("VAULT_ADDR", proxy.address.as_str()), ("VAULT_TOKEN", ""), ("SECRET_ID", &id)];
    golden.expect("login-token-refused-twice", &check(&with_id, &bao, &environment));
}

#[test]
fn of_servers_that_are_away_or_none() {
    let golden = Golden::new();
    let mut bao = OpenBao::raft();
    let few = [("VAULT_MAX_RETRIES", "1"), ("VAULT_TOKEN", "s.nonsense")];
    let smtp = source("secret/monitoring/smtp", "");
    golden.expect("not-initialised", &check(&smtp, &bao, &few));
    bao.initialise();
    golden.expect("sealed", &check(&smtp, &bao, &few));
    bao.give_key(0);
    golden.expect("sealed-one-key", &check(&smtp, &bao, &few));
    bao.stop();
    golden.expect("refused", &check(&smtp, &bao, &few));

    let away = |address: &str, more: &[(&str, &str)]| {
        let mut environment = vec![("VAULT_ADDR", address)];
        environment.extend(few);
        environment.extend(more);
        check(&smtp, &bao, &environment)
    };
    golden.expect("name-unknown", &away("http://vault.invalid:8200", &[]));
    golden.expect("address-none", &away("vault:8200", &[]));
    let reacting = |reaction: Reaction| Proxy::start(bao.port, move |_, _| reaction.clone());
    let cases = [
        ("silent", Reaction::Silence, [("VAULT_CLIENT_TIMEOUT", "1")].as_slice()),
        ("cut", Reaction::Close, &[]),
        (
            "rate-limited",
            Reaction::status(
                "429 Too Many Requests",
                "Retry-After: 100\r\n",
                r#"{"errors":["request path \"secret\": rate limit quota exceeded"]}"#,
            ),
            &[],
        ),
        (
            "internal-error",
            Reaction::status("500 Internal Server Error", "", r#"{"errors":["storage is gone"]}"#),
            &[],
        ),
        (
            "standby-without-active",
            Reaction::status(
                "500 Internal Server Error",
                "",
                r#"{"errors":["local node not active but active cluster node not found"]}"#,
            ),
            &[],
        ),
        (
            "bad-gateway",
            Reaction::Answer("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\n<html".into()),
            &[],
        ),
        ("replica", Reaction::status("473 Performance Standby", "", r#"{"errors":[]}"#), &[]),
        (
            "not-vault",
            Reaction::Answer(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<html".into(),
            ),
            &[],
        ),
        (
            "not-vault-not-found",
            Reaction::Answer(
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nnope\n"
                    .into(),
            ),
            &[],
        ),
        (
            "redirect-astray",
            Reaction::status("302 Found", "Location: https://sso.example.com/login?next=x\r\n", ""),
            &[],
        ),
    ];
    for (name, reaction, more) in cases {
        let proxy = reacting(reaction);
        golden.expect(name, &away(&proxy.address, more));
    }
    let silent = reacting(Reaction::Silence);
    let short = project("{ vault = \"secret/a\" }", "[vault]\ndeadline = \"2s\"\n");
    let environment = [("VAULT_ADDR", silent.address.as_str()), ("VAULT_TOKEN", "x")];
    golden.expect("deadline", &check(&short, &bao, &environment));
}
