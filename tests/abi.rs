//! The promise of plugins/README.md: what was published stays, binaries that were made for it
//! run as they did, and what this release does not know is refused by name.

use monprov::bundle::manifest::sha256;

use crate::support::guests::{self, unpinned};
use crate::support::project::{Output, Project};
use crate::support::repository;

/// The published interfaces. A line is added for each new one, and none is ever changed.
const FROZEN: [(&str, &str); 2] = [
    ("1.0", "c8ded7be1de161caed10231e50bd18355e5e409bbe19e5419bc0359c8b155a41"),
    ("1.1", "81c57193f664cf5549288c271d11cd00c12f2177835e1f846e27227400725de8"),
];

#[test]
fn a_published_interface_never_changes() {
    for (version, digest) in FROZEN {
        let file = format!("plugins/wit/{version}/plugin.wit");
        let is = sha256(&std::fs::read(repository().join(&file)).unwrap());
        assert_eq!(is, digest, "{file} is frozen: what is new goes into a new minor version");
    }
    let folders = std::fs::read_dir(repository().join("plugins/wit")).unwrap().count();
    assert_eq!(folders, FROZEN.len(), "a published interface is frozen by a line in this test");
}

// -- binaries of 1.0, which were built with its SDK and stay as they are --

fn old(name: &str) -> Vec<u8> {
    std::fs::read(repository().join(format!("tests/guests/1.0/{name}.wasm"))).unwrap()
}

/// Settings, changes and findings of a case are for ever what they were at first: `BLESS=1`
/// writes those of a new case only.
#[track_caller]
fn as_ever(case: &str, ran: &Output) {
    let mut is: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    is.as_object_mut().unwrap().remove("fuel");
    let file = repository().join(format!("tests/guests/1.0/{case}.json"));
    if std::env::var_os("BLESS").is_some() && !file.exists() {
        std::fs::write(&file, serde_json::to_string_pretty(&is).unwrap() + "\n").unwrap();
    }
    let was: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(is, was, "{case}");
}

const PROFILE: &str = "\
services.prometheus = { kind = \"prometheus\", image = \"prom/prometheus:v3.14.0\", port = 9090 }

[alerts.Slow]
group = \"app\"
expr = \"up > ${threshold}\"
threshold = 100
unit = \"seconds\"
for = \"5m\"
keep_firing_for = \"10m\"
severity = \"warning\"
labels = { team = \"core\" }
summary = \"Slower than ${threshold}\"
final = [\"for\"]

[alerts.Tall]
expr = \"up < ${threshold}\"
threshold = 0.5
severity = \"warning\"

[alerts.Plain]
expr = \"up == 0\"
severity = \"critical\"
";

fn with(name: &str, table: &str) -> Project {
    let profile = format!("{PROFILE}\n[plugins.old]\nfile = \"plugins/old.wasm\"\n{table}\n");
    let project = Project::empty().file("profiles/profile.toml", profile).file("plugins/old.wasm", old(name));
    project.run("plugin add plugins/old.wasm").succeeds();
    project
}

#[test]
fn a_threshold_plugin_of_1_0_changes_what_it_changed() {
    let project = with(
        "veteran",
        "may = [\"threshold\", \"for\", \"label\", \"add\", \"disable\"]\nsettings = { without = \"Tall\", factor = 3 }",
    );
    as_ever("veteran", &project.run("plugin run profile old --json").exits(3));
    let inspected = project.run("plugin inspect plugins/old.wasm").succeeds().stdout;
    assert!(inspected.contains("abi       1.0.0"), "{inspected}");
}

#[test]
fn a_policy_plugin_of_1_0_finds_what_it_found() {
    let settings = "settings = { required_labels = [\"team\", \"severity\"], runbook_for = [\"warning\"], level = \"warning\" }";
    let project = with("naming-policy", settings);
    as_ever("naming-policy", &project.run("plugin run profile old --json").succeeds());
}

#[test]
fn an_old_plugin_and_a_new_one_work_side_by_side() {
    let project = with("veteran", "may = [\"threshold\", \"for\", \"label\", \"add\"]\nafter = [\"new\"]");
    project.write("plugins/new.wasm", guests::rewriting_plugin());
    let text = project.read("profiles/profile.toml").replace("final = [\"for\"]\n", "");
    let new = "\n[plugins.new]\nfile = \"plugins/new.wasm\"\nmay = [\"expr\", \"annotation\", \"keep_firing_for\"]\n";
    project.write("profiles/profile.toml", text + new);
    project.run("plugin add plugins/new.wasm").succeeds();
    let built = project.run("build profile --oracle off").succeeds();
    let file = format!("{}/prometheus/rules/app.yml", built.last_line().replace("$PROJECT/", ""));
    let rules = project.read(&file);
    // The new expression, with the threshold that the old plugin doubled.
    assert!(rules.contains("expr: (up > 200) and on () vector(1)"), "{rules}");
}

// -- what 1.1 has --

fn rewriting(more: &str) -> Project {
    let project = unpinned(&[("new", guests::rewriting_plugin(), more)]);
    project.run("plugin add plugins/new.wasm").succeeds();
    project
}

const ALL: &str = "may = [\"expr\", \"annotation\", \"keep_firing_for\"]";

#[test]
fn a_plugin_of_1_1_changes_expression_annotations_and_keep_firing_for() {
    let project = rewriting(ALL);
    let shown = project.run("plugin run profile new").succeeds().stdout;
    for change in [
        "Slow: expr up > ${threshold} → (up > ${threshold}) and on () vector(1)",
        "Slow: runbook_url none → https://example.com/",
        "Slow: keep_firing_for 0s → 1m",
    ] {
        assert!(shown.contains(change), "`{change}` is not in\n{shown}");
    }
    let built = project.run("build profile --oracle off --out-link after").succeeds();
    let file = format!("{}/prometheus/rules/default.yml", built.last_line().replace("$PROJECT/", ""));
    let rules = project.read(&file);
    for line in
        ["expr: (up > 100) and on () vector(1)", "runbook_url: https://example.com/", "keep_firing_for: 1m"]
    {
        assert!(rules.contains(line), "`{line}` is not in\n{rules}");
    }
    let explained = project.run("explain profile alerts.Slow.expr").succeeds().stdout;
    assert!(
        explained.contains("→ plugin new (up > ${threshold}) and on () vector(1) (a good reason)"),
        "{explained}"
    );
    // A bundle that is read back has the changes, though no plugin runs then.
    project.write("profiles/profile.toml", guests::PROFILE);
    project.run("build profile --oracle off --out-link before").succeeds();
    let told = project.run("diff ./before ./after").exits(1).stdout;
    assert!(told.contains("vector(1)") && told.contains("plugin new: a good reason"), "{told}");
}

#[test]
fn edits_of_1_1_are_granted_by_words_of_their_own_and_final_holds_them_off() {
    let refused = rewriting("").run("check profile --oracle off").exits(3).stderr;
    for grant in ["expr", "annotation", "keep_firing_for"] {
        assert!(refused.contains(&format!("`{grant}` is not granted")), "{refused}");
    }
    let project = rewriting(ALL);
    let text = project.read("profiles/profile.toml");
    let marked = "[alerts.Slow]\nfinal = [\"expr\", \"annotations\", \"keep_firing_for\"]\n";
    project.write("profiles/profile.toml", text.replace("[alerts.Slow]\n", marked));
    let refused = project.run("check profile --oracle off").exits(3).stderr;
    for mark in ["expr", "annotations.*", "keep_firing_for"] {
        assert!(refused.contains(&format!("the profile marked {mark} `final`")), "{refused}");
    }
}

#[test]
fn an_expression_has_a_threshold_only_where_its_alert_has_one() {
    let project = rewriting(ALL);
    let text = project.read("profiles/profile.toml");
    let plain = text.replace("up > ${threshold}", "up > 7").replace("threshold = 100\n", "");
    project.write("profiles/profile.toml", plain);
    let refused = project.run("check profile --oracle off").exits(3).stderr;
    assert!(refused.contains("its expression has a threshold, and the alert has none"), "{refused}");
}

// -- what this release does not run --

#[test]
fn other_versions_are_refused_by_name() {
    let text = guests::text("world-future.wat");
    for version in ["0.9.0", "1.2.0", "2.0.0"] {
        let bytes = text.replace("2.0.0", version).into_bytes();
        let project = unpinned(&[("guest", bytes, "")]);
        let refused = project.run("plugin add plugins/guest.wasm").exits(1).stderr;
        let why = format!(
            "is made for monprov:plugin/meta@{version}, and this release runs 1.0.0 and 1.1.0 of monprov:plugin"
        );
        assert!(refused.contains(&why), "`{why}` is not in {refused}");
        assert!(!project.path("monprov.lock").exists());
    }
}

#[test]
fn of_several_versions_in_one_file_the_newest_is_run() {
    // Its functions are missing, and the error tells of which version.
    let text = guests::text("export-missing.wat");
    let end = "(export \"monprov:plugin/thresholds@1.0.0\" (instance $empty)))";
    let both = "(export \"monprov:plugin/thresholds@1.0.0\" (instance $empty))
        (export \"monprov:plugin/meta@1.1.0\" (instance $empty))
        (export \"monprov:plugin/thresholds@1.1.0\" (instance $empty))
        (export \"monprov:plugin/meta@2.0.0\" (instance $empty)))";
    let project = unpinned(&[("guest", text.replace(end, both).into_bytes(), "")]);
    let refused = project.run("plugin add plugins/guest.wasm").exits(1).stderr;
    assert!(refused.contains("lacks an export: instance export `monprov:plugin/meta@1.1.0`"), "{refused}");
}
