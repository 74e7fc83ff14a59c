//! What is read, and how little is asked for it.

use std::process::Command;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::{check, many, project, put_many, with_approle};
use crate::support::openbao::{OpenBao, Proxy, Reaction};
use crate::support::project::Output;

/// Checks that the one secret has this value: the profile demands it.
fn has(bao: &OpenBao, source: &str, value: &str, more: &str, environment: &[(&str, &str)]) -> Output {
    // Not in so many words: a value that stands in the bundle is refused.
    let (first, rest) = value.split_at(1);
    let source = format!("{{ {source}, pattern = '[{first}]{}' }}", regex::escape(rest));
    check(&project(&source, more), bao, environment).succeeds()
}

#[test]
fn both_engines_any_mount_any_version_and_any_scalar() {
    let bao = OpenBao::dev();
    bao.put("smtp", json!({ "password": "first", "user": "alerts" }));
    bao.put("smtp", json!({ "password": "second", "user": "alerts" }));
    bao.put("data/odd", json!({ "password": "beneath data" }));
    bao.put("a%20b+c/%C3%BC", json!({ "password": "odd path" }));
    for (mount, version) in [("kv1", "1"), ("team/kv", "2"), ("team/kv1", "1")] {
        bao.write(&format!("sys/mounts/{mount}"), json!({ "type": "kv", "options": { "version": version } }));
    }
    bao.write("kv1/smtp", json!({ "port": 25, "ratio": 1.5, "tls": true }));
    bao.write("team/kv/data/smtp", json!({ "data": { "password": "nested" } }));
    bao.write("team/kv1/a/smtp", json!({ "password": "nested one" }));
    for (source, value) in [
        ("vault = \"secret/smtp\", field = \"password\"", "second"),
        ("vault = \"/secret/smtp/\", field = \"password\"", "second"),
        ("vault = \"secret/smtp\", field = \"password\", version = 1", "first"),
        ("vault = \"secret/data/odd\"", "beneath data"),
        ("vault = \"secret/a b+c/ü\"", "odd path"),
        ("vault = \"kv1/smtp\", field = \"port\"", "25"),
        ("vault = \"kv1/smtp\", field = \"ratio\"", "1.5"),
        ("vault = \"kv1/smtp\", field = \"tls\"", "true"),
        ("vault = \"team/kv/smtp\"", "nested"),
        ("vault = \"team/kv1/a/smtp\"", "nested one"),
    ] {
        has(&bao, source, value, "", &[]);
    }
}

#[test]
fn namespaces_by_header_and_by_path() {
    let bao = OpenBao::dev();
    bao.write("sys/namespaces/team", json!({}));
    let headers = [("X-Vault-Token", bao.root.as_str()), ("X-Vault-Namespace", "team")];
    let body = json!({ "type": "kv", "options": { "version": "2" } });
    assert_eq!(bao.call_with("POST", "sys/mounts/secret", Some(body), &headers).0, 204);
    let body = json!({ "data": { "password": "of the team" } });
    assert_eq!(bao.call_with("POST", "secret/data/smtp", Some(body), &headers).0, 200);
    bao.put("smtp", json!({ "password": "of all" }));
    has(&bao, "vault = \"secret/smtp\"", "of all", "", &[]);
    has(&bao, "vault = \"secret/smtp\"", "of the team", "[vault]\nnamespace = \"team\"\n", &[]);
    has(&bao, "vault = \"team/secret/smtp\"", "of the team", "", &[]);
    let other = [("VAULT_NAMESPACE", "team/")];
    has(&bao, "vault = \"secret/smtp\"", "of the team", "[vault]\nnamespace = \"nowhere\"\n", &other);
}

#[test]
fn the_server_need_not_say_what_is_mounted() {
    let bao = OpenBao::dev();
    bao.put("smtp", json!({ "password": "two" }));
    bao.write("sys/mounts/kv1", json!({ "type": "kv", "options": { "version": "1" } }));
    bao.write("kv1/smtp", json!({ "password": "one" }));
    bao.policy("smtp", "path \"secret/data/smtp\" { capabilities = [\"read\"] }");
    let narrow = bao.token(json!({ "policies": ["smtp"], "no_default_policy": true }));
    for status in ["403 Forbidden", "404 Not Found"] {
        let answer = Reaction::status(status, "", "{\"errors\":[]}");
        let proxy = Proxy::start(bao.port, move |_, line| match line.contains("/internal/ui/") {
            true => answer.clone(),
            false => Reaction::Pass,
        });
        let address = ("VAULT_ADDR", proxy.address.as_str());
        has(&bao, "vault = \"secret/smtp\"", "two", "", &[address]);
        has(&bao, "vault = \"kv1/smtp\"", "one", "", &[address]);
        has(&bao, "vault = \"secret/smtp\"", "two", "", &[address, ("VAULT_TOKEN", &narrow)]);
    }
}

#[test]
fn one_login_one_look_at_a_mount_and_one_read_a_path() {
    let bao = OpenBao::dev();
    let fields = ["user", "password", "host"];
    put_many(&bao, 5, &fields);
    let role = with_approle(&bao, json!({}));
    bao.policy("monitoring", "path \"secret/data/*\" { capabilities = [\"read\"] }");
    let id = bao.secret_id("monitoring");
    let before =
        bao.call("GET", "auth/token/accessors?list=true", None).1["data"]["keys"].as_array().unwrap().len();
    let proxy = Proxy::start(bao.port, |_, _| Reaction::Pass);
    let auth = format!("[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role}\"\nsecret_id.env = \"ID\"\n");
    // A second round: the first source of these has nothing.
    let project = many(5, &fields, &auth);
    let profile = project.read("profiles/profile.toml");
    let profile = profile.replace(
        "host_4 = { vault = \"secret/many/4\", field = \"host\" }",
        "host_4 = [{ env = \"NOT_SET\" }, { vault = \"secret/many/4\", field = \"host\" }]",
    );
    assert!(profile.contains("NOT_SET"));
    project.write("profiles/profile.toml", profile);
    let environment = [("VAULT_ADDR", proxy.address.as_str()), ("VAULT_TOKEN", ""), ("ID", &id)];
    let output = check(&project, &bao, &environment).succeeds();
    assert!(output.stderr.contains("15 of 15"), "{}", output.stderr);
    assert_eq!(proxy.count("/login"), 1, "{:?}", proxy.requests());
    assert_eq!(proxy.count("/internal/ui/mounts/"), 1, "{:?}", proxy.requests());
    assert_eq!(proxy.count("GET /v1/secret/data/"), 5, "{:?}", proxy.requests());
    // The token of our login is given back.
    assert_eq!(proxy.count("revoke-self"), 1);
    assert_eq!(proxy.requests().len(), 8, "{:?}", proxy.requests());
    let after =
        bao.call("GET", "auth/token/accessors?list=true", None).1["data"]["keys"].as_array().unwrap().len();
    assert_eq!(before, after);
    let connections = proxy.connections.load(Ordering::SeqCst);
    assert!(connections <= 6, "{connections} connections");
}

#[test]
fn a_token_that_was_given_is_not_revoked() {
    let bao = OpenBao::dev();
    bao.put("smtp", json!({ "password": "x" }));
    let token = bao.token(json!({}));
    for _ in 0..2 {
        has(&bao, "vault = \"secret/smtp\"", "x", "", &[("VAULT_TOKEN", &token)]);
    }
}

/// Everything that could be looked at is there, and nothing of it is touched.
#[test]
fn nothing_of_vault_is_touched_where_no_secret_lies_there() {
    let listener = Proxy::start(0, |_, _| Reaction::Close);
    let vault = format!("[vault]\naddress = \"{}\"\nca_cert = \"ca.pem\"\n", listener.address);
    let nowhere = project("{ env = \"A\" }", &vault).file("profiles/ca.pem", "-");
    let unused = project("{ env = \"A\" }", &format!("{vault}\n[secrets.b]\nvault = \"secret/b\"\n"));
    let earlier = project("[{ env = \"A\" }, { vault = \"secret/b\" }]", &vault);
    for project in [nowhere, unused, earlier] {
        let home = project.path("../home");
        std::fs::write(home.join(".vault-token"), "token").unwrap();
        let log = project.path("strace.log");
        let inner = project.command(["build", "profile", "--oracle", "off"]);
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=network,openat,open", "-o"]).arg(&log);
        command.arg(inner.get_program()).args(inner.get_args()).current_dir(project.root()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
            .env("A", "value")
            .env("VAULT_ADDR", &listener.address)
            .env("VAULT_CACERT", "/etc/vault-ca.pem");
        project.output(command).succeeds();
        let calls = std::fs::read_to_string(&log).unwrap();
        assert!(calls.contains("profiles/profile.toml"), "{calls}");
        for trace in ["socket(", "connect(", ".vault-token", "ca.pem", "/etc/ssl", "resolv.conf"] {
            assert!(!calls.contains(trace), "{trace}: {calls}");
        }
    }
    assert_eq!(listener.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn no_trace_shows_a_value_a_token_or_a_secret_id() {
    let bao = OpenBao::dev();
    let role = with_approle(&bao, json!({ "secret_id_num_uses": 1 }));
    let id = bao.secret_id("monitoring");
    let auth = format!("[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role}\"\nsecret_id.env = \"ID\"\n");
    let project = project("{ vault = \"secret/monitoring/smtp\", max_length = 3 }", &auth);
    let run = |json: &str| {
        let mut command = project.command(["check", "profile", "--oracle", "off"]);
        command.args(json.split_whitespace()).env("VAULT_ADDR", &bao.address).env("ID", &id);
        project.output({
            command.env("RUST_LOG", "trace");
            command
        })
    };
    // The first is refused for its length, the second since its secret id is used up.
    for output in [run("").exits(3), run("--json").exits(4)] {
        let all = output.stdout + &output.stderr;
        assert!(all.contains("vault answered"), "{all}");
        for secret in ["correct-horse-battery", &id, "hvs.", "client_token\":\"s."] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
    }
}
