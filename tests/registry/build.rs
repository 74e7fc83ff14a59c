//! Builds from pinned images.

use serde_json::Value;

use super::{pinned, project};
use crate::support::registry::Registry;

#[test]
fn what_is_pinned_stands_in_every_file_that_starts_it() {
    let registry = Registry::start();
    registry.index("app", "1.0.0", &["amd64", "arm64"], "one");
    let image = format!("{}/app:1.0.0", registry.host());
    let project = project(&[&image]);
    let refused = project.run("build prod --oracle off").exits(3).stderr;
    assert!(refused.contains("M340") && refused.contains("monprov lock prod"), "{refused}");
    assert!(refused.contains("profiles/prod.toml:5"), "{refused}");
    project.run("lock").succeeds();
    let exact = format!("{image}@{}", pinned(&project, &image));
    let bundle = project.run("build prod --oracle off").succeeds().last_line().replace("$PROJECT/", "");
    assert!(project.read(&format!("{bundle}/compose.yaml")).contains(&exact));
    let manifest: Value = serde_json::from_str(&project.read(&format!("{bundle}/manifest.json"))).unwrap();
    assert_eq!(manifest["services"]["s0"]["image"], exact);
    // The memo answers as long as the pin that it used is the same, and only that counts.
    let memo = || {
        let output = project.run("build prod --oracle off --json").succeeds().stdout;
        serde_json::from_str::<Value>(&output).unwrap()["memo"] == true
    };
    assert!(memo());
    let lock = project.read("monprov.lock");
    let other =
        format!("{lock}\n[images.\"x/y:1.0.0\"]\ndigest = \"sha256:{}\"\nplatforms = {{}}\n", "0".repeat(64));
    project.write("monprov.lock", &other);
    assert!(memo());
    project.write("monprov.lock", other.replace("digest = \"sha256:", "digest = \"sha256:0"));
    let refused = project.run("build prod --oracle off").exits(1).stderr;
    assert!(refused.contains("monprov.lock: images.") && refused.contains("is no digest"), "{refused}");
    std::fs::remove_file(project.path("monprov.lock")).unwrap();
    project.run("build prod --oracle off").exits(3);
}

#[test]
fn a_digest_may_stand_in_the_profile_itself_and_the_version_is_still_the_tags() {
    let exact = format!("prom/prometheus:v2.42.0@sha256:{}", "1".repeat(64));
    let project = project(&[]);
    let text = project.read("profiles/prod.toml");
    project.write(
        "profiles/prod.toml",
        format!("{text}[services.prometheus]\nkind = \"prometheus\"\nimage = \"{exact}\"\nport = 9090\n"),
    );
    let bundle = project.run("build prod --oracle off").succeeds().last_line().replace("$PROJECT/", "");
    assert!(project.read(&format!("{bundle}/compose.yaml")).contains(&exact));
    let told = project.run("lock").succeeds().stderr;
    assert!(told.contains("0 images"), "{told}");
    assert!(!project.path("monprov.lock").exists());
}

#[test]
fn a_moved_pin_is_told_by_diff() {
    let registry = Registry::start();
    let old = registry.image("app", "1.0.0", "amd64", "old");
    let image = format!("{}/app:1.0.0", registry.host());
    let project = project(&[&image]);
    project.run("lock").succeeds();
    project.run("build prod --oracle off --out-link before").succeeds();
    let new = registry.image("app", "1.0.0", "amd64", "new");
    project.run("lock --update").succeeds();
    project.run("build prod --oracle off --out-link after").succeeds();
    let told = project.run("diff ./before ./after").exits(1).stdout;
    assert!(told.contains(&old[7..]) && told.contains(&new[7..]), "{told}");
}
