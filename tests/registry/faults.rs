//! Registries that are down, die, lie or ask to wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{pinned, project};
use crate::support::openbao::{Proxy, Reaction};
use crate::support::project::Project;
use crate::support::registry::{IMAGE, INDEX, Registry};

/// A project that names an image of a registry behind a proxy.
fn behind(proxy: &Proxy) -> (Project, String) {
    let image = format!("{}/app:1.0.0", proxy.address.trim_start_matches("http://"));
    (project(&[&image]), image)
}

/// What the answers to manifests are; the rest passes.
fn manifests(registry: &Registry, react: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> Proxy {
    let asked = AtomicUsize::new(0);
    Proxy::start(registry.port, move |_, line| match line.contains("/manifests/") {
        true => react(asked.fetch_add(1, Ordering::SeqCst)),
        false => Reaction::Pass,
    })
}

fn answer(status: &str, head: &str, body: &str) -> Reaction {
    Reaction::Answer(format!("HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len()))
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_ends_with_the_old_lock() {
    let registry = Registry::start();
    let digest = registry.image("app", "1.0.0", "amd64", "one");
    let cut = || Reaction::Cut("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"schema".into());
    let busy = || answer("503 Service Unavailable", "", "");
    let limited = || answer("429 Too Many Requests", "Retry-After: 1\r\n", "");
    for (what, fault, why) in [
        ("cut", Box::new(cut) as Box<dyn Fn() -> Reaction + Send + Sync>, "ended the connection"),
        ("closed", Box::new(|| Reaction::Close), "ended the connection"),
        ("busy", Box::new(busy), "fails (status 503)"),
        ("limited", Box::new(limited), "has too many requests"),
    ] {
        let fault = std::sync::Arc::new(fault);
        let once = fault.clone();
        let proxy = manifests(&registry, move |asked| if asked < 2 { once() } else { Reaction::Pass });
        let (project, image) = behind(&proxy);
        project.run("lock").succeeds();
        assert_eq!(pinned(&project, &image), digest, "{what}");
        let before = project.read("monprov.lock");
        let proxy = manifests(&registry, move |_| fault());
        let (project, _) = behind(&proxy);
        project.write("monprov.lock", &before);
        let refused = project.run("lock").exits(1).stderr;
        assert!(refused.contains(why) && refused.contains("(4 tries)"), "{what}: {refused}");
        assert_eq!(proxy.count("/manifests/"), 4);
        assert_eq!(project.read("monprov.lock"), before);
    }
}

#[test]
fn a_registry_that_dies_between_two_images_leaves_the_lock_as_it_was() {
    let mut registry = Registry::start();
    registry.image("app", "1.0.0", "amd64", "one");
    registry.image("tool", "1.0.0", "amd64", "two");
    let names: Vec<String> =
        ["app", "tool"].iter().map(|name| format!("{}/{name}:1.0.0", registry.host())).collect();
    let one = project(&[&names[0]]);
    one.run("lock").succeeds();
    let both = project(&[&names[0], &names[1]]);
    both.write("monprov.lock", one.read("monprov.lock"));
    registry.stop();
    let refused = both.run("lock").exits(1).stderr;
    assert!(refused.contains(&format!("nothing listens at {}", registry.host())), "{refused}");
    assert_eq!(both.read("monprov.lock"), one.read("monprov.lock"));
    registry.start_again();
    both.run("lock").succeeds();
    both.run("lock --check").succeeds();
}

#[test]
fn one_that_asks_to_wait_long_is_left_alone_at_once() {
    let registry = Registry::start();
    let proxy = manifests(&registry, |_| answer("429 Too Many Requests", "Retry-After: 3600\r\n", ""));
    let (project, _) = behind(&proxy);
    let refused = project.run("lock").exits(1).stderr;
    assert!(refused.contains("and asks to wait") && refused.contains("docker login"), "{refused}");
    assert_eq!(proxy.count("/manifests/"), 1);
}

#[test]
fn what_a_registry_says_is_told_without_what_would_do_something_to_a_terminal() {
    let registry = Registry::start();
    let body = r#"{"errors":[{"code":"DENIED","message":"not \u001b[31mfor you"}]}"#;
    let proxy = manifests(&registry, move |_| answer("403 Forbidden", "", body));
    let refused = behind(&proxy).0.run("lock").exits(1).stderr;
    assert!(refused.contains("refuses app:1.0.0: not [31mfor you"), "{refused:?}");
    assert_eq!(proxy.count("/manifests/"), 1);
}

#[test]
fn what_is_no_image_is_refused() {
    let registry = Registry::start();
    let json = |body: &str| answer("200 OK", &format!("Content-Type: {IMAGE}\r\n"), body);
    let artifact = format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","layers":[],"config":{{"mediaType":"application/vnd.example",
        "digest":"sha256:{}","size":2}}}}"#,
        "0".repeat(64)
    );
    let large = format!("{{\"schemaVersion\":2,\"x\":\"{}\"}}", "x".repeat(5 << 20));
    for (given, why) in [
        (answer("200 OK", "Content-Type: text/html\r\n", "<html>log in</html>"), "what came is `text/html`"),
        (json("{\"schemaVersion\":1}"), "schema 1"),
        (json(&format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#)), "calls itself"),
        (json(&artifact), "its configuration is `application/vnd.example`"),
        (json(&large), "has more than 4194304 bytes"),
        (json("{\"schemaVersion\":2"), "no manifest"),
    ] {
        let proxy = manifests(&registry, move |_| given.clone());
        let (project, _) = behind(&proxy);
        let refused = project.run("lock").exits(1).stderr;
        assert!(refused.contains(why), "{why}: {refused}");
        assert_eq!(proxy.count("/manifests/"), 1, "{why}");
        assert!(!project.path("monprov.lock").exists());
    }
}

#[test]
fn a_digest_that_a_registry_merely_claims_is_not_believed() {
    let registry = Registry::start();
    let real = registry.image("app", "1.0.0", "amd64", "one");
    let manifest = serde_json::to_string(&registry.read("app", "1.0.0")).unwrap();
    let claimed = format!("Docker-Content-Digest: sha256:{}\r\nContent-Type: {IMAGE}\r\n", "0".repeat(64));
    let proxy = manifests(&registry, move |_| answer("200 OK", &claimed, &manifest));
    let (project, image) = behind(&proxy);
    project.run("lock").succeeds();
    let digest = pinned(&project, &image);
    assert!(
        digest != format!("sha256:{}", "0".repeat(64)) && digest.starts_with("sha256:"),
        "{digest} {real}"
    );
}
