//! What passes by: sealed and restarted servers, standby nodes, rate limits, tokens that end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{check, many, project, put_many, with_approle};
use crate::support::openbao::{OpenBao, Proxy, Reaction};
use crate::support::{GENEROUS, wait_for};

const PATHS: usize = 60;

/// A server on disk, with secrets in many paths.
fn raft() -> OpenBao {
    let mut bao = OpenBao::raft();
    bao.initialise();
    bao.unseal();
    // Active is one thing, ready to write another.
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    let mounted = || (bao.call("POST", "sys/mounts/secret", Some(mount.clone())).0 == 204).then_some(());
    wait_for(GENEROUS, "mount", mounted);
    wait_for(GENEROUS, "KV engine", || (bao.call("GET", "secret/config", None).0 == 200).then_some(()));
    put_many(&bao, PATHS, &["password"]);
    bao
}

/// Something happens to the server after some reads, and something else after some more tries.
fn while_reads_go_on(
    before: impl Fn(&mut OpenBao) + Send + Sync + 'static,
    after: impl Fn(&mut OpenBao) + Send + Sync + 'static,
) {
    let bao = raft();
    let (port, address, root) = (bao.port, bao.address.clone(), bao.root.clone());
    let bao = Arc::new(Mutex::new(bao));
    let reads = AtomicUsize::new(0);
    let proxied = bao.clone();
    let proxy = Proxy::start(port, move |_, line| {
        if line.contains("/secret/data/") {
            match reads.fetch_add(1, Ordering::SeqCst) {
                20 => before(&mut proxied.lock().unwrap()),
                70 => after(&mut proxied.lock().unwrap()),
                _ => {}
            }
        }
        Reaction::Pass
    });
    let project = many(PATHS, &["password"], "");
    let mut command = project.command(["check", "profile", "--oracle", "off"]);
    command.env("VAULT_ADDR", &proxy.address).env("VAULT_TOKEN", &root);
    let output = project.output(command).succeeds();
    assert!(output.stderr.contains("60 of 60"), "{}", output.stderr);
    assert!(proxy.count("/secret/data/") > 70, "{}", proxy.requests().len());
    drop((bao, address));
}

#[test]
fn sealed_and_unsealed_while_reads_go_on() {
    while_reads_go_on(|bao| bao.seal(), |bao| bao.unseal());
}

#[test]
fn restarted_while_reads_go_on() {
    while_reads_go_on(OpenBao::stop, |bao| {
        bao.start_again();
        bao.unseal();
    });
}

#[test]
fn a_server_that_falls_silent_ends_at_the_deadline() {
    let bao = OpenBao::dev();
    put_many(&bao, 3, &["password"]);
    let silent = Proxy::start(bao.port, |_, line| match line.contains("/secret/data/") {
        true => Reaction::Silence,
        false => Reaction::Pass,
    });
    let project = many(3, &["password"], "[vault]\ndeadline = \"2s\"\n");
    let start = Instant::now();
    let output = check(&project, &bao, &[("VAULT_ADDR", &silent.address)]).exits(4);
    let took = start.elapsed();
    assert!(output.stderr.contains("gave no answer within"), "{}", output.stderr);
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
    // One fault, not three.
    assert_eq!(output.stderr.matches("error[").count(), 1, "{}", output.stderr);
}

#[test]
fn what_passes_by_is_tried_again() {
    let bao = OpenBao::dev();
    bao.put("smtp", json!({ "password": "x" }));
    let smtp = project("{ vault = \"secret/smtp\" }", "");
    let errors = r#"{"errors":["try again"]}"#;
    for reaction in [
        Reaction::status("429 Too Many Requests", "Retry-After: 1\r\n", errors),
        Reaction::status("429 Too Many Requests", "", errors),
        Reaction::status("500 Internal Server Error", "", errors),
        Reaction::status("502 Bad Gateway", "", "<html>"),
        Reaction::status("503 Service Unavailable", "", errors),
        Reaction::status("412 Precondition Failed", "", errors),
        Reaction::status("472 DR Secondary", "", errors),
        Reaction::Close,
    ] {
        let first = reaction.clone();
        let proxy = Proxy::start(bao.port, move |number, _| match number {
            0 | 2 => first.clone(),
            _ => Reaction::Pass,
        });
        let start = Instant::now();
        let output = check(&smtp, &bao, &[("VAULT_ADDR", &proxy.address)]);
        assert_eq!(output.code, 0, "{reaction:?}: {}", output.stderr);
        if format!("{reaction:?}").contains("Retry-After") {
            assert!(start.elapsed() >= Duration::from_secs(2), "waited only {:?}", start.elapsed());
        }
        assert!(proxy.requests().len() >= 4, "{reaction:?}: {:?}", proxy.requests());
    }
}

#[test]
fn what_stays_as_it_is_is_not_tried_again() {
    let bao = OpenBao::dev();
    let smtp = project("{ vault = \"secret/smtp\" }", "");
    for status in
        ["400 Bad Request", "403 Forbidden", "404 Not Found", "405 Method Not Allowed", "501 Not Implemented"]
    {
        let answer = Reaction::status(status, "", r#"{"errors":["no"]}"#);
        let proxy = Proxy::start(bao.port, move |_, line| match line.contains("/secret/data/") {
            true => answer.clone(),
            false => Reaction::Pass,
        });
        check(&smtp, &bao, &[("VAULT_ADDR", &proxy.address)]).exits(4);
        assert_eq!(proxy.count("/secret/data/"), 1, "{status}: {:?}", proxy.requests());
    }
    // A wrapping token may have been used up by the first try.
    let proxy = Proxy::start(bao.port, |_, _| Reaction::Close);
    let wrapped = project("{ vault = \"secret/smtp\" }", "[vault.auth]\nwrapped = true\n");
    check(&wrapped, &bao, &[("VAULT_ADDR", &proxy.address)]).exits(4);
    assert_eq!(proxy.count("/unwrap"), 1, "{:?}", proxy.requests());
    // Nobody wants another try.
    let proxy = Proxy::start(bao.port, |_, _| Reaction::status("503 Service Unavailable", "", "{}"));
    check(&smtp, &bao, &[("VAULT_ADDR", &proxy.address), ("VAULT_MAX_RETRIES", "0")]).exits(4);
    assert_eq!(proxy.count("/internal/ui/mounts"), 1, "{:?}", proxy.requests());
}

#[test]
fn a_standby_node_s_redirect_is_followed_to_the_active_one() {
    let bao = OpenBao::dev();
    put_many(&bao, 3, &["password"]);
    let active = bao.address.clone();
    let standby = Proxy::start(bao.port, move |_, line| {
        let path = line.split_whitespace().nth(1).unwrap();
        Reaction::status("307 Temporary Redirect", &format!("Location: {active}{path}\r\n"), "")
    });
    check(&many(3, &["password"], ""), &bao, &[("VAULT_ADDR", &standby.address)]).succeeds();
    assert!(standby.count("/secret/data/") == 3);
    // Elsewhere than to the same path nothing is sent.
    let elsewhere = Proxy::start(bao.port, |_, _| Reaction::Close);
    let target = elsewhere.address.clone();
    let login = Proxy::start(bao.port, move |_, _| {
        Reaction::status("302 Found", &format!("Location: {target}/login\r\n"), "")
    });
    check(&many(1, &["password"], ""), &bao, &[("VAULT_ADDR", &login.address)]).exits(4);
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn a_token_that_ends_between_login_and_read_is_followed_by_one_more_login() {
    let bao = Arc::new(OpenBao::dev());
    let role = with_approle(&bao, json!({}));
    let id = bao.secret_id("monitoring");
    let given = bao.token(json!({ "policies": ["monitoring"] }));
    let auth = format!("[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role}\"\nsecret_id.env = \"ID\"\n");
    let smtp = project("{ vault = \"secret/monitoring/smtp\" }", &auth);
    let ending = |end: Box<dyn Fn(&OpenBao) + Send + Sync>| {
        let (server, done) = (bao.clone(), AtomicUsize::new(0));
        Proxy::start(bao.port, move |_, line| {
            if line.contains("/secret/data/") && done.fetch_add(1, Ordering::SeqCst) == 0 {
                end(&server);
            }
            Reaction::Pass
        })
    };
    let proxy = ending(Box::new(|bao| {
        let (status, answer) = bao.call("PUT", "sys/leases/revoke-prefix/auth/approle/login", None);
        assert_eq!(status, 204, "{answer}");
    }));
    let environment = [("VAULT_ADDR", proxy.address.as_str()), ("VAULT_TOKEN", ""), ("ID", &id)];
    check(&smtp, &bao, &environment).succeeds();
    assert_eq!((proxy.count("/login"), proxy.count("/secret/data/")), (2, 2), "{:?}", proxy.requests());

    let token = given.clone();
    let proxy = ending(Box::new(move |bao| {
        bao.write("auth/token/revoke", json!({ "token": token }));
    }));
    let refused = check(&smtp, &bao, &[("VAULT_ADDR", &proxy.address), ("VAULT_TOKEN", &given)]).exits(4);
    assert!(refused.stderr.contains("refuses the token of VAULT_TOKEN"), "{}", refused.stderr);
}

#[test]
fn no_answer_makes_it_panic() {
    let bao = OpenBao::dev();
    let smtp = project("{ vault = \"secret/smtp\", field = \"password\" }", "");
    let json = |body: &str| Reaction::status("200 OK", "", body);
    let mount = r#"{"data":{"path":"secret/","options":{"version":"2"}}}"#;
    let answers = [
        Reaction::Answer("garbage\r\n\r\n".into()),
        Reaction::Answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".into()),
        Reaction::Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".into()),
        Reaction::Answer(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20))),
        Reaction::Answer("HTTP/1.1 307 Elsewhere\r\nLocation: ::::\r\nContent-Length: 0\r\n\r\n".into()),
        Reaction::Answer("HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\n\r\n".into()),
        Reaction::status("429 Too Many", "Retry-After: 99999999999999999999\r\n", "{}"),
        Reaction::status("204 No Content", "", ""),
        json(""),
        json("null"),
        json("[]"),
        json("{}"),
        json(r#"{"data":null}"#),
        json(r#"{"data":{"data":null,"metadata":null}}"#),
        json(r#"{"data":{"data":[],"metadata":{"version":-1}}}"#),
        json(r#"{"data":{"data":{"password":"\ud800"},"metadata":{"version":1}}}"#),
        json(r#"{"errors":"none"}"#),
        json(&format!("{{\"data\":{}", "[".repeat(1 << 20))),
        json(&format!("{{\"data\":{{\"data\":{{\"x\":\"{}\"}}}}}}", "x".repeat(9 << 20))),
        Reaction::status(
            "404 Not Found",
            "",
            r#"{"data":{"data":null,"metadata":{"deletion_time":"\u001b[2J","version":1}}}"#,
        ),
        Reaction::status("403 Forbidden", "", "{\"errors\":[\"\u{1b}[2J\\u001b[2J\"]}"),
    ];
    for answer in answers {
        for everything in [true, false] {
            let (answer, shown) =
                (answer.clone(), format!("{answer:?}").chars().take(100).collect::<String>());
            let proxy =
                Proxy::start(bao.port, move |_, line| match line.contains("/internal/ui/") && !everything {
                    true => Reaction::status("200 OK", "", mount),
                    false => answer.clone(),
                });
            let environment = [("VAULT_ADDR", proxy.address.as_str()), ("VAULT_MAX_RETRIES", "0")];
            let output = check(&smtp, &bao, &environment);
            assert_eq!(output.code, 4, "{shown}: {}", output.stderr);
            assert!(
                !output.stderr.contains("panicked") && !output.stderr.contains('\u{1b}'),
                "{shown}: {}",
                output.stderr
            );
            assert!(output.stderr.contains("  = "), "{shown}: {}", output.stderr);
        }
    }
}
