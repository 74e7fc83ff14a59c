//! Plugins in a registry: published, added, updated, and what is refused of what comes.

use serde_json::{Value, json};

use super::lock;
use crate::support::guests::{self, threshold_plugin};
use crate::support::openbao::{Proxy, Reaction};
use crate::support::project::Project;
use crate::support::registry::{IMAGE, Registry, digest};

const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// A project with a plugin at `raise.wasm` that it does not use yet.
fn author() -> Project {
    Project::empty().file("raise.wasm", threshold_plugin("raise.wat"))
}

/// A project whose profile uses `plugins/raise.wasm`.
fn user() -> Project {
    Project::empty().file(
        "profiles/profile.toml",
        format!("{}\n[plugins.raise]\nfile = \"plugins/raise.wasm\"\n", guests::PROFILE),
    )
}

fn publish(registry: &Registry, project: &Project, tag: &str) -> String {
    let address = format!("oci://{}/team/raise:{tag}", registry.host());
    project.run(&format!("plugin publish raise.wasm {address}")).succeeds().last_line().to_owned()
}

fn source(project: &Project) -> String {
    lock(project)["plugins"]["plugins/raise.wasm"]["source"].as_str().unwrap().to_owned()
}

#[test]
fn a_published_plugin_is_in_the_layout_that_other_tools_read() {
    let registry = Registry::start();
    let project = author();
    let address = publish(&registry, &project, "1.0.0");
    let (name, pinned) = address.split_once('@').unwrap();
    assert_eq!(name, format!("oci://{}/team/raise:1.0.0", registry.host()));
    let manifest = registry.read("team/raise", pinned);
    assert_eq!(manifest["mediaType"], IMAGE);
    assert_eq!(manifest["config"]["mediaType"], WASM_CONFIG);
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.0.0");
    let bytes = threshold_plugin("raise.wat");
    let layer = json!([{ "mediaType": "application/wasm", "digest": digest(&bytes), "size": bytes.len() }]);
    assert_eq!(manifest["layers"], layer);
    let config = manifest["config"]["digest"].as_str().unwrap();
    let (_, _, config) = registry.call("GET", &format!("team/raise/blobs/{config}"), "", b"");
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&json!("wasm"), &json!("wasip1")), "a core module");
    assert_eq!(config["layerDigests"], json!([digest(&bytes)]));
    // The same file gives the same artifact, wherever and whenever it is published.
    let again = project.run(&format!("plugin publish raise.wasm {name} --json")).succeeds().stdout;
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["source"], &again["unchanged"]), (&json!(address), &json!(true)));
}

#[test]
fn a_component_says_what_it_imports_and_exports() {
    let registry = Registry::start();
    let module = threshold_plugin("raise.wat");
    let encoder = wit_component::ComponentEncoder::default().module(&module).unwrap();
    let project = Project::empty().file("naming.wasm", encoder.validate(true).encode().unwrap());
    let address = format!("oci://{}/naming:1.0.0", registry.host());
    project.run(&format!("plugin publish naming.wasm {address}")).succeeds();
    let manifest = registry.read("naming", "1.0.0");
    let config = manifest["config"]["digest"].as_str().unwrap();
    let (_, _, config) = registry.call("GET", &format!("naming/blobs/{config}"), "", b"");
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["os"], "wasip2");
    let exports: Vec<&str> = config["component"]["exports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(exports.iter().any(|name| name.contains("thresholds")), "{exports:?}");
}

#[test]
fn what_is_added_is_pinned_with_the_digest_that_its_tag_had_and_runs() {
    let registry = Registry::start();
    let address = publish(&registry, &author(), "1.0.0");
    let project = user();
    let tag = address.split('@').next().unwrap();
    let added = project.run(&format!("plugin add {tag}")).succeeds();
    assert_eq!(added.stdout, "[plugins.guest]\nfile = \"plugins/raise.wasm\"\n");
    assert_eq!(source(&project), address);
    project.run("build profile --oracle off").succeeds();
    // By its digest it is had as well, also when nobody has the tag any more.
    let exact = user();
    exact.run(&format!("plugin add {address}")).succeeds();
    assert_eq!(source(&exact), address);
}

#[test]
fn a_tag_that_moves_is_taken_with_an_update_that_shows_it() {
    let registry = Registry::start();
    let author = author();
    let old = publish(&registry, &author, "1.0.0");
    let project = user();
    project.run(&format!("plugin add {}", old.split('@').next().unwrap())).succeeds();
    author.write("raise.wasm", threshold_plugin("fixed.wat"));
    let tag = old.split('@').next().unwrap();
    let refused = author.run(&format!("plugin publish raise.wasm {tag}")).exits(1).stderr;
    assert!(refused.contains("is another artifact already") && refused.contains("--replace"), "{refused}");
    author.run(&format!("plugin publish raise.wasm {tag} --replace")).succeeds();
    project.run("build profile --oracle off").succeeds();
    assert_eq!(source(&project), old);
    let shown = project.run("plugin update").succeeds().stdout;
    assert!(shown.contains("(was 1.0.0, "), "{shown}");
    assert_ne!(source(&project), old);
    let pin: Value = serde_json::from_str(&project.run("plugin update --json").succeeds().stdout).unwrap();
    assert_eq!(pin[0]["changed"], false);
    // Another version of the same takes its place; another plugin of that name does not.
    author.write("raise.wasm", threshold_plugin("raise.wat"));
    let next = publish(&registry, &author, "2.0.0");
    project.run(&format!("plugin add {}", next.split('@').next().unwrap())).succeeds();
    assert_eq!(source(&project), next);
    let elsewhere = format!("oci://{}/other/raise:1.0.0", registry.host());
    author.write("raise.wasm", threshold_plugin("label.wat"));
    author.run(&format!("plugin publish raise.wasm {elsewhere}")).succeeds();
    let refused = project.run(&format!("plugin add {elsewhere}")).exits(1).stderr;
    assert!(refused.contains("is another file already"), "{refused}");
}

#[test]
fn what_is_no_plugin_is_refused_before_it_takes_the_place_of_one() {
    let registry = Registry::start();
    registry.image("image", "1", "amd64", "an image");
    registry.index("index", "1", &["amd64"], "an index");
    let artifact = |repository: &str, layers: Value| {
        let config = registry.blob(repository, b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE, "layers": layers,
            "config": { "mediaType": WASM_CONFIG, "digest": config, "size": 2 },
        });
        registry.manifest(repository, "1", IMAGE, &manifest);
    };
    let layer = |repository: &str, kind: &str, size: u64| json!({ "mediaType": kind, "digest": registry.blob(repository, b"not wasm"), "size": size });
    artifact("tar", json!([layer("tar", "application/x-tar", 8)]));
    artifact("two", json!([layer("two", "application/wasm", 8), layer("two", "application/wasm", 8)]));
    artifact("large", json!([layer("large", "application/wasm", 300 << 20)]));
    artifact("short", json!([layer("short", "application/wasm", 4)]));
    artifact("text", json!([layer("text", "application/wasm", 8)]));
    let project = user();
    for (repository, why) in [
        (
            "image",
            "it is no WebAssembly artifact: its configuration is `application/vnd.oci.image.config.v1+json`",
        ),
        ("index", "it is an index of several"),
        ("tar", "its layer is `application/x-tar`, and not `application/wasm`"),
        ("two", "it has 2 layers"),
        ("large", "and at most 256 MiB are taken"),
        ("short", "has more than 4 bytes"),
        ("text", "is no plugin"),
    ] {
        let refused =
            project.run(&format!("plugin add oci://{}/{repository}:1", registry.host())).exits(1).stderr;
        assert!(refused.contains(why), "{repository}: {refused}");
        assert!(!project.path(&format!("plugins/{repository}.wasm")).exists());
    }
    assert!(!registry.log().contains("blobs/sha256:0000"));
    assert!(!project.path("monprov.lock").exists());
}

#[test]
fn a_registry_that_answers_another_digest_is_refused() {
    let registry = Registry::start();
    let good = publish(&registry, &author(), "1.0.0");
    let evil = author();
    evil.write("raise.wasm", threshold_plugin("fixed.wat"));
    let evil = publish(&registry, &evil, "6.6.6");
    let manifest = serde_json::to_string(&registry.read("team/raise", "6.6.6")).unwrap();
    let (good_digest, evil_digest) = (good.split_once('@').unwrap().1, evil.split_once('@').unwrap().1);
    // It answers every manifest with another one, and calls that what was asked for.
    for told in [good_digest, evil_digest] {
        let answer = Reaction::Answer(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {IMAGE}\r\nDocker-Content-Digest: {told}\r\n\
             Content-Length: {}\r\n\r\n{manifest}",
            manifest.len()
        ));
        let proxy = Proxy::start(registry.port, move |_, line| match line.contains("/manifests/") {
            true => answer.clone(),
            false => Reaction::Pass,
        });
        let project = user();
        let address = good.replace(&registry.host(), proxy.address.trim_start_matches("http://"));
        let refused = project.run(&format!("plugin add {address}")).exits(1).stderr;
        assert!(
            refused.contains("with something else") && refused.contains("nothing of it was taken"),
            "{refused}"
        );
        assert!(!project.path("plugins").exists() && !project.path("monprov.lock").exists());
    }
    // And a layer that is not what the manifest says.
    let bytes = threshold_plugin("fixed.wat");
    let wanted = digest(&threshold_plugin("raise.wat"));
    let proxy = Proxy::start(registry.port, move |_, line| match line.contains(&wanted) {
        true => Reaction::Answer(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\n\r\n{}",
            bytes.len(),
            "x".repeat(bytes.len())
        )),
        false => Reaction::Pass,
    });
    let address = good.replace(&registry.host(), proxy.address.trim_start_matches("http://"));
    let refused = user().run(&format!("plugin add {address}")).exits(1).stderr;
    assert!(refused.contains("something else") || refused.contains("more than"), "{refused}");
}

#[test]
fn an_address_says_where_which_version_and_nothing_secret() {
    let project = user();
    for (address, why) in [
        ("oci://team/raise:1", "names no registry"),
        ("oci://registry.example/raise", "names no tag"),
        ("oci://me:canary-4711@registry.example/raise:1", "docker login"),
    ] {
        let refused = project.run(&format!("plugin add {address}")).exits(1);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        assert!(!(refused.stdout + &refused.stderr).contains("canary"));
    }
}
