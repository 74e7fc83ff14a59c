//! The command itself: what it compares, how it ends, what it never prints.

use std::os::unix::fs::PermissionsExt as _;

use monprov::bundle::Tree;
use monprov::store::{Attempt, Busy, Store};

use crate::support::project::{Output, Project};

const BUILD: &str = "build prod --env-file profiles/prod.env.example --oracle off";

/// The reference project, built into `first`, and again with another threshold into `second`.
fn two_bundles() -> Project {
    let project = Project::reference();
    project.run(&format!("{BUILD} -o first")).succeeds();
    append(&project, "\n[alerts.HighCeleryQueueLength]\nthreshold = 500\n");
    project.run(&format!("{BUILD} -o second")).succeeds();
    project
}

fn append(project: &Project, more: &str) {
    let prod = project.read("profiles/prod.toml");
    project.write("profiles/prod.toml", format!("{prod}{more}"));
}

fn store_name(project: &Project, link: &str) -> String {
    let target = std::fs::read_link(project.path(link)).unwrap();
    target.file_name().unwrap().to_str().unwrap().to_owned()
}

#[track_caller]
fn tells_the_threshold(output: &Output) {
    assert!(output.stdout.contains("threshold 100 messages → 500 messages"), "{}", output.stdout);
    assert!(output.stdout.contains("profiles/prod.toml:9\n"), "{}", output.stdout);
}

#[test]
fn it_ends_as_diff_does() {
    let project = two_bundles();
    let same = project.run("diff ./first ./first").exits(0);
    assert_eq!((same.stdout.as_str(), same.stderr.as_str()), ("", ""));
    tells_the_threshold(&project.run("diff ./first ./second").exits(1));
    project.run("diff").exits(2);
    let unknown = project.run("diff ./first nothing").exits(2);
    assert!(unknown.stderr.contains("no profile and no bundle `nothing`"), "{}", unknown.stderr);
    let several = project.run("diff ./first .").exits(2);
    assert_eq!(several.stdout, "");
}

#[test]
fn a_side_is_a_link_a_path_the_beginning_of_a_name_or_a_profile() {
    let project = two_bundles();
    let (first, second) = (store_name(&project, "first"), store_name(&project, "second"));
    let env = "--env-file profiles/prod.env.example";
    for args in [
        format!("./first {second}"),
        format!(".monprov/store/{first} {}", &second[..8]),
        format!("{} ./second", &first[..8]),
        format!("first prod {env}"),
    ] {
        tells_the_threshold(&project.run(&format!("diff {args}")).exits(1));
    }
    project.run(&format!("diff second prod {env}")).exits(0);
    // The profile is evaluated, not built.
    append(&project, "for = \"1m\"\n");
    let now = project.run(&format!("diff second prod {env}")).exits(1);
    assert!(now.stdout.contains("for 5m → 1m"), "{}", now.stdout);
    assert_eq!(std::fs::read_dir(project.path(".monprov/store")).unwrap().count(), 2);
}

#[test]
fn one_side_alone_is_compared_with_the_current_generation() {
    let project = two_bundles();
    let env = "--env-file profiles/prod.env.example";
    let first = project.run(&format!("diff prod {env}")).exits(1);
    assert!(first.stderr.contains("no generation yet: everything is new"), "{}", first.stderr);
    assert!(
        first.stdout.contains("CeleryWorkerDown             new: critical, to critical"),
        "{}",
        first.stdout
    );

    let store = Store::open(&project.path(".monprov")).unwrap();
    activate(&store, &store_name(&project, "first"));
    tells_the_threshold(&project.run(&format!("diff prod {env}")).exits(1));
    tells_the_threshold(&project.run("diff second").exits(1));
    activate(&store, &store_name(&project, "second"));
    project.run(&format!("diff prod {env}")).exits(0);
    tells_the_threshold(&project.run("diff prod@1 prod@2").exits(1));
    tells_the_threshold(&project.run(&format!("diff prod@1 prod {env}")).exits(1));
    let unknown = project.run("diff prod@7").exits(2);
    assert!(unknown.stderr.contains("there is no generation 7 of `prod`"), "{}", unknown.stderr);
}

/// Makes the bundle the current generation, as an activation without a runtime does.
fn activate(store: &Store, bundle: &str) {
    let bundle = store.path_of(&bundle.parse().unwrap());
    let mut lock = store.lock_profile("prod", Busy::Refuse).unwrap();
    let attempt = Attempt { bundle: &bundle, runtime: "none", message: None, rollback: None };
    let generation = lock.begin(attempt).unwrap();
    lock.succeed(generation).unwrap();
}

#[test]
fn a_profile_that_is_refused_is_reported_as_everywhere() {
    let project = two_bundles();
    let env = "--env-file profiles/prod.env.example";
    append(&project, "\n[alerts.Broken]\nexpr = \"sum(\"\n");
    let refused = project.run(&format!("diff first prod {env}")).exits(3);
    assert!(refused.stderr.contains("error[M1"), "{}", refused.stderr);
    let project = two_bundles();
    let env: String = project
        .read("profiles/prod.env.example")
        .lines()
        .filter(|line| !line.contains("PASSWORD"))
        .map(|line| format!("{line}\n"))
        .collect();
    project.write("less.env", env);
    project.run("diff first prod --env-file less.env").exits(4);
    project.run("diff second prod --env-file less.env --no-secrets").exits(0);
}

#[test]
fn a_bundle_that_was_changed_or_is_of_another_schema_is_refused() {
    let project = two_bundles();
    let bundle = project.path(".monprov/store").join(store_name(&project, "first"));
    let manifest = bundle.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::set_permissions(&manifest, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&manifest, text.replace("\"threshold\": 100", "\"threshold\": 200")).unwrap();
    let changed = project.run("diff ./first ./second").exits(2);
    assert!(changed.stderr.contains("was changed after it was built"), "{}", changed.stderr);

    // What a later release may write.
    let mut tree = Tree::new();
    tree.insert("manifest.json", "{ \"schema\": 99, \"all\": \"new\" }");
    let store = Store::open(&project.path(".monprov")).unwrap();
    let later = store.put(&tree, "prod", &serde_json::Value::Null).unwrap();
    let name = later.name();
    let later = project.run(&format!("diff {name} ./second")).exits(2);
    assert!(later.stderr.contains("has schema 99, and this release knows schema 1"), "{}", later.stderr);
}

#[test]
fn a_lost_record_costs_the_lines_and_nothing_else() {
    let project = two_bundles();
    std::fs::remove_dir_all(project.path(".monprov/records")).unwrap();
    let told = project.run("diff ./first ./second").exits(1).stdout;
    assert!(told.contains("threshold 100 messages → 500 messages\n"), "{told}");
}

#[test]
fn files_are_shown_as_a_unified_diff() {
    let project = two_bundles();
    let text = project.run("diff ./first ./second --files").exits(1).stdout;
    assert!(
        text.contains(
            "--- a/prometheus/rules/celery_alerts.yml\n+++ b/prometheus/rules/celery_alerts.yml\n@@ "
        ),
        "{text}"
    );
    for line in
        ["\n-        expr: celery_queue_length > 100\n", "\n+        expr: celery_queue_length > 500\n"]
    {
        assert!(text.contains(line), "{text}");
    }
    let json = project.run("diff ./first ./second --files --json").exits(1).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let files = json["files"].as_array().unwrap();
    let rules = files.iter().find(|file| file["path"] == "prometheus/rules/celery_alerts.yml").unwrap();
    assert!(rules["diff"].as_str().unwrap().contains("+        expr: celery_queue_length > 500"));
}

#[test]
fn colours_are_for_terminals() {
    let project = two_bundles();
    assert!(!project.run("diff ./first ./second").stdout.contains('\x1b'));
    assert!(!project.run("diff ./first ./second --files").stdout.contains('\x1b'));
    let coloured = project.run("diff ./first ./second --color always").stdout;
    assert!(coloured.contains("\x1b[31m100 messages\x1b[0m → \x1b[32m500 messages\x1b[0m"), "{coloured}");
    let plain = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap().replace_all(&coloured, "").into_owned();
    assert_eq!(plain, project.run("diff ./first ./second").stdout);
}

#[test]
fn no_secret_is_told() {
    let canary = "c4n4ry-9f8e7d6c";
    let project = Project::reference()
        .env("REDIS_PASSWORD", canary)
        .env("SMTP_PASSWORD", canary)
        .env("GRAFANA_ADMIN_PASSWORD", canary)
        .env("WEBHOOK_URL", canary)
        .env("RUST_LOG", "trace");
    project.run(&format!("{BUILD} -o first")).succeeds();
    append(
        &project,
        "\n[channels.critical.webhook]\nenable = true\n\n[secrets]\nredis_password = [{ env = \"R\" }, { env = \"REDIS_PASSWORD\" }]\n\
         \n[services.redis-exporter]\nenvironment = { REDIS_PASSWORD = \"${secret.redis_password}\" }\nallow_env = true\n",
    );
    let env = "--env-file profiles/prod.env.example";
    let mut seen = String::new();
    for args in ["", "--json", "--files", "--files --json"] {
        let output = project.run(&format!("diff first prod {env} {args}")).exits(1);
        seen += &output.stdout;
        seen += &output.stderr;
    }
    assert!(seen.contains("${secret.webhook_url}"), "the references are there: {seen}");
    assert!(!seen.contains("c4n4ry"), "a secret was told");
}
