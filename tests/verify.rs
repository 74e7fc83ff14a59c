//! Tampering: any changed byte, mode, added or missing file is found, is not activated, and is
//! mended where its inputs are there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use monprov::store::{Store, read_tree};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::support::bundles::is_intact;
use crate::support::project::Project;
use crate::support::trees;

const FILE: &str = "prometheus/prometheus.yml";
const BUILD: &str = "build prod --env-file profiles/prod.env.example --oracle off";
const REPAIR: &str = "verify --repair --env-file profiles/prod.env.example";

type Tamper = fn(&Path);

/// What an intruder, an editor or a disk may do, and what `verify` says of it.
const TAMPERED: &[(&str, Tamper, &str)] = &[
    ("changed", |root| change(&root.join(FILE), |bytes| bytes[7] ^= 1), "changed  prometheus/prometheus.yml"),
    (
        "longer",
        |root| change(&root.join(FILE), |bytes| bytes.push(b'\n')),
        "changed  prometheus/prometheus.yml",
    ),
    ("empty", |root| change(&root.join(FILE), Vec::clear), "changed  prometheus/prometheus.yml"),
    ("mode", |root| mode(&root.join(FILE), 0o644), "mode     prometheus/prometheus.yml: 0644, not 0444"),
    (
        "executable",
        |root| mode(&root.join(FILE), 0o555),
        "mode     prometheus/prometheus.yml: 0555, not 0444",
    ),
    ("directory", |root| mode(&root.join("prometheus"), 0o755), "mode     prometheus: 0755, not 0555"),
    ("added", |root| fs::write(root.join("prometheus/x.yml"), "").unwrap(), "added    prometheus/x.yml"),
    ("missing", |root| fs::remove_file(root.join(FILE)).unwrap(), "missing  prometheus/prometheus.yml"),
    (
        "link",
        |root| {
            fs::rename(root.join(FILE), root.join("../../away")).unwrap();
            symlink(root.join("../../away"), root.join(FILE)).unwrap();
        },
        "kind     prometheus/prometheus.yml: a symbolic link",
    ),
    ("gone", |root| fs::remove_dir_all(root).unwrap(), "missing  the whole bundle"),
];

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn whatever_was_changed_is_found_refused_and_mended() {
    let project = Project::reference();
    let bundle = project.path(&project.run(BUILD).succeeds().last_line().replace("$PROJECT/", ""));
    let name = bundle.file_name().unwrap().to_str().unwrap().to_owned();
    project.run(&format!("activate {name} --runtime none")).succeeds();
    let prod = project.read("profiles/prod.toml");
    let later = format!("{prod}\n[alerts.HighCeleryQueueLength]\nthreshold = 500\n");
    project.write("profiles/prod.toml", &later);
    let second = project.run(BUILD).succeeds();
    project
        .run(&format!("activate {} --runtime none", second.last_line().replace("$PROJECT/", "")))
        .succeeds();
    let current = project.read(".monprov/current/prod");
    project.write("profiles/prod.toml", &prod);
    let intact = project.run("verify").succeeds();
    assert!(intact.stderr.contains("2 bundles, all intact"), "{}", intact.stderr);

    for (what, tamper, expected) in TAMPERED {
        tamper(&bundle);
        let found = project.run("verify").exits(1);
        assert!(found.stdout.contains(expected), "{what}: {}", found.stdout);
        assert!(found.stdout.contains(&name) && found.stderr.contains("2 bundles, 1 changed"), "{what}");
        assert!(found.stderr.contains("--repair"), "{}", found.stderr);
        project.run("verify prod").exits(1);
        let json: Value = serde_json::from_str(&project.run("verify --json").exits(1).stdout).unwrap();
        assert_eq!(json["changed"][0]["path"], format!("$PROJECT/.monprov/store/{name}"), "{what}");

        let code = if *what == "gone" { 1 } else { 3 };
        for verb in [format!("activate {name}"), "rollback".into(), "rollback --to 1".into()] {
            let refused = project.run(&format!("{verb} --runtime none --force")).exits(code);
            assert!(refused.stderr.contains(&name), "{what}: {}", refused.stderr);
        }
        assert_eq!(project.read(".monprov/current/prod"), current, "{what}");

        let mended = project.run(REPAIR).succeeds();
        assert!(mended.stdout.contains("  mended   from its "), "{what}: {}", mended.stdout);
        assert!(is_intact(&bundle), "{what}");
        project.run("verify").succeeds();
        let left = fs::read_dir(project.path(".monprov/store")).unwrap();
        let left =
            left.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.')).count();
        assert_eq!(left, 0, "{what}");
    }
    project.run("rollback --runtime none").succeeds();
}

#[test]
fn what_can_t_be_built_any_more_is_mended_from_itself_or_says_why_not() {
    let project = Project::reference();
    let bundle = project.path(&project.run(BUILD).succeeds().last_line().replace("$PROJECT/", ""));
    let prod = project.read("profiles/prod.toml");
    project.write("profiles/prod.toml", format!("{prod}\n[alerts.HighCeleryQueueLength]\nthreshold = 500\n"));

    mode(&bundle.join(FILE), 0o644);
    fs::write(bundle.join("new"), "").unwrap();
    let mended = project.run("verify --repair").succeeds();
    assert!(mended.stdout.contains("mended   from its own files"), "{}", mended.stdout);

    change(&bundle.join(FILE), |bytes| bytes[0] ^= 1);
    let before = fs::read(bundle.join(FILE)).unwrap();
    let kept = project.run(REPAIR).exits(1);
    assert!(kept.stdout.contains("kept     `prod` builds "), "{}", kept.stdout);
    project.write("profiles/prod.toml", "[alerts.");
    let kept = project.run(REPAIR).exits(1);
    assert!(
        kept.stdout.contains("kept     `prod` can't be built: see `monprov check prod`"),
        "{}",
        kept.stdout
    );
    assert_eq!(fs::read(bundle.join(FILE)).unwrap(), before, "what can't be mended is left as it is");
    let json: Value = serde_json::from_str(&project.run("verify --repair --json").exits(1).stdout).unwrap();
    assert_eq!(json["changed"][0]["mended"], false);
    let changed = json!({ "kind": "changed", "path": FILE });
    assert_eq!(json["changed"][0]["differences"][0], changed);
}

#[test]
fn a_record_that_was_changed_too_hides_nothing() {
    let project = Project::reference();
    let bundle = project.path(&project.run(BUILD).succeeds().last_line().replace("$PROJECT/", ""));
    change(&bundle.join(FILE), |bytes| bytes[0] ^= 1);
    let name = bundle.file_name().unwrap().to_str().unwrap();
    let record = format!(".monprov/records/{name}.json");
    let mut lies: Value = serde_json::from_str(&project.read(&record)).unwrap();
    let digest = monprov::bundle::manifest::sha256(&fs::read(bundle.join(FILE)).unwrap());
    lies["files"][FILE]["sha256"] = digest.into();
    project.write(&record, lies.to_string());
    let time = fs::metadata(bundle.join("manifest.json")).unwrap().modified().unwrap();
    fs::File::open(bundle.join(FILE)).unwrap().set_modified(time).unwrap();
    let found = project.run("verify").exits(1);
    assert!(found.stdout.contains("its hash is not the one in the name"), "{}", found.stdout);
    project.run(REPAIR).succeeds();
    change(&bundle.join(FILE), |bytes| bytes[0] ^= 1);
    assert!(
        project.run("verify").exits(1).stdout.contains("changed  prometheus"),
        "the record is right again"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    /// Of any tree, any entry changed in any way is found, and putting the tree back mends it.
    #[test]
    fn any_change_of_any_tree_is_found_and_mended(
        tree in trees::any(),
        entry in any::<prop::sample::Index>(),
        how in 0..5_u8,
        at in any::<prop::sample::Index>(),
    ) {
        let state = TempDir::new().unwrap();
        let store = Store::open(state.path()).unwrap();
        let path = store.put(&tree, "any", &json!({})).unwrap();
        let entries: Vec<_> = WalkDir::new(path.path()).into_iter().map(Result::unwrap).collect();
        let entry = &entries[entry.index(entries.len())];
        let directory = entry.file_type().is_dir();
        match how {
            0 if !directory && entry.metadata().unwrap().len() > 0 => {
                change(entry.path(), |bytes| { let at = at.index(bytes.len()); bytes[at] ^= 1 });
            }
            1 if entry.depth() > 0 && directory => fs::remove_dir_all(entry.path()).unwrap(),
            1 if entry.depth() > 0 => fs::remove_file(entry.path()).unwrap(),
            2 if directory => fs::write(entry.path().join("~new~"), "").unwrap(),
            3 if directory => fs::create_dir(entry.path().join("~new~")).unwrap(),
            _ => mode(entry.path(), if directory { 0o700 } else { 0o600 }),
        }
        prop_assert!(!store.verify(&path).unwrap().is_empty());
        prop_assert!(store.require_intact(&path).unwrap_err().is_refusal());
        let mended = store.mend(&path, &tree, &json!({})).unwrap();
        prop_assert!(mended);
        prop_assert_eq!(store.verify(&path).unwrap(), []);
        prop_assert_eq!(read_tree(path.path()).unwrap(), tree);
    }
}

#[test]
fn another_tree_mends_nothing() {
    let state = TempDir::new().unwrap();
    let store = Store::open(state.path()).unwrap();
    let path = store.put(&trees::small("one"), "prod", &json!({})).unwrap();
    mode(path.path(), 0o755);
    assert!(!store.mend(&path, &trees::small("two"), &json!({})).unwrap());
    assert!(!store.verify(&path).unwrap().is_empty());
}
