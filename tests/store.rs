//! The store: what it writes, what it hands out, and what it notices.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use monprov::bundle::Tree;
use monprov::store::{Difference, Store, StoreError, StorePath, read_tree};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::support::trees;

struct Fixture {
    state: TempDir,
    store: Store,
    path: StorePath,
}

/// A store with one bundle in it.
fn fixture() -> Fixture {
    let state = TempDir::new().unwrap();
    let store = Store::open(state.path()).unwrap();
    let path = store.put(&trees::small("one"), "prod", &json!({ "engine": "1" })).unwrap();
    Fixture { state, store, path }
}

/// Everything in a directory: path, mode, content.
fn snapshot(directory: &Path) -> Vec<(PathBuf, u32, Option<Vec<u8>>)> {
    let entries = WalkDir::new(directory).sort_by_file_name().into_iter().map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        (
            entry.path().to_owned(),
            metadata.mode(),
            metadata.is_file().then(|| fs::read(entry.path()).unwrap()),
        )
    });
    entries.collect()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Changes something within the bundle and puts the times back, as a careful intruder would.
fn tamper(path: &Path, change: impl FnOnce()) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    change();
    for entry in WalkDir::new(path) {
        let entry = entry.unwrap();
        if !entry.path_is_symlink() && (entry.file_type().is_file() || entry.file_type().is_dir()) {
            fs::File::open(entry.path()).unwrap().set_modified(time).unwrap();
        }
    }
}

#[test]
fn a_bundle_is_read_only_and_its_times_are_1() {
    let Fixture { state, store, path } = fixture();
    assert_eq!(path.path(), state.path().join("store").join(path.name().as_str()));
    let found: Vec<_> = WalkDir::new(path.path())
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1, 0), "{entry:?}");
            let relative = entry.path().strip_prefix(path.path()).unwrap().to_str().unwrap().to_owned();
            format!("{:o} {relative}", metadata.mode())
        })
        .collect();
    assert_eq!(
        found,
        [
            "40555 ",
            "40555 bin",
            "100555 bin/wrapper",
            "100444 empty",
            "40555 prometheus",
            "100444 prometheus/prometheus.yml",
            "40555 prometheus/rules",
            "100444 prometheus/rules/celery.yml",
        ]
    );
    assert_eq!(store.verify(&path).unwrap(), []);
    assert_eq!(names(state.path()), ["memo", "records", "roots", "store"]);
    assert_eq!(names(&state.path().join("store")), [path.name().to_string()]);
}

#[test]
fn the_empty_tree_is_a_bundle() {
    let state = TempDir::new().unwrap();
    let store = Store::open(state.path()).unwrap();
    let path = store.put(&Tree::new(), "empty", &json!(null)).unwrap();
    assert_eq!(store.put(&Tree::new(), "empty", &json!(null)).unwrap(), path);
    assert_eq!(store.verify(&path).unwrap(), []);
}

#[test]
fn opening_and_reading_make_nothing() {
    let parent = TempDir::new().unwrap();
    let store = Store::open(&parent.path().join(".monprov")).unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(store.memo_get(&[0; 32]).unwrap(), None);
    assert_eq!(names(parent.path()), Vec::<String>::new());
}

#[test]
fn the_same_tree_again_changes_nothing_and_keeps_the_last_record() {
    let Fixture { state, store, path } = fixture();
    let before = snapshot(state.path());
    assert_eq!(store.put(&trees::small("one"), "prod", &json!({ "engine": "1" })).unwrap(), path);
    assert_eq!(snapshot(state.path()), before);

    assert_eq!(store.put(&trees::small("one"), "prod", &json!({ "engine": "2" })).unwrap(), path);
    assert_eq!(store.record(&path).unwrap().unwrap().build, json!({ "engine": "2" }));
}

#[test]
fn bundles_are_listed_and_found_by_name() {
    let Fixture { state: _state, store, path } = fixture();
    let other = store.put(&trees::small("two"), "prod", &json!({})).unwrap();
    let same_files = store.put(&trees::small("one"), "staging", &json!({})).unwrap();
    let mut all = vec![path.clone(), other.clone(), same_files];
    all.sort();
    assert_eq!(store.list().unwrap(), all);
    assert_eq!(store.get(path.name()).unwrap(), Some(path.clone()));
    fs::remove_dir_all(other.path()).unwrap();
    assert_eq!(store.get(other.name()).unwrap(), None);
    assert!(matches!(store.verify(&other), Err(StoreError::Missing { path }) if path == other.path()));
}

#[test]
fn a_lost_record_is_written_by_the_next_build() {
    let Fixture { state, store, path } = fixture();
    let record = state.path().join("records").join(format!("{}.json", path.name()));
    fs::remove_file(&record).unwrap();
    assert_eq!(store.record(&path).unwrap(), None);
    assert_eq!(store.verify(&path).unwrap(), []);
    fs::write(&record, "{").unwrap();
    assert!(matches!(store.record(&path), Err(StoreError::Record { .. })));
    assert_eq!(store.verify(&path).unwrap(), []);
    store.put(&trees::small("one"), "prod", &json!("new")).unwrap();
    assert_eq!(store.record(&path).unwrap().unwrap().build, json!("new"));
}

#[test]
fn any_changed_byte_is_found() {
    let Fixture { state: _state, store, path } = fixture();
    for (file, content) in trees::small("one").iter() {
        let on_disk = path.path().join(file);
        for at in 0..content.content.len() {
            let mut changed = content.content.clone();
            changed[at] ^= 1;
            tamper(path.path(), || fs::write(&on_disk, &changed).unwrap());
            assert_eq!(store.verify(&path).unwrap(), [Difference::Changed { path: file.into() }]);
        }
        tamper(path.path(), || fs::write(&on_disk, [&content.content[..], b"\n"].concat()).unwrap());
        assert_eq!(store.verify(&path).unwrap(), [Difference::Changed { path: file.into() }]);
        tamper(path.path(), || fs::write(&on_disk, &content.content).unwrap());
        assert_eq!(store.verify(&path).unwrap(), []);
    }
}

#[test]
fn any_other_mode_or_time_is_found() {
    let Fixture { state: _state, store, path } = fixture();
    for inside in ["", "bin", "bin/wrapper", "empty"] {
        let on_disk = path.path().join(inside);
        let should = fs::metadata(&on_disk).unwrap().mode() & 0o7777;
        for is in (0..0o10000).filter(|is| *is != should) {
            // As root, modes do not lock the test out.
            set_mode(&on_disk, is);
            let found = store.verify(&path).unwrap();
            if rustix::process::geteuid().is_root() {
                assert_eq!(found, [Difference::Mode { path: inside.into(), is, should }]);
            }
            assert!(!found.is_empty());
        }
        set_mode(&on_disk, should);
        assert_eq!(store.verify(&path).unwrap(), []);
        let time = fs::metadata(&on_disk).unwrap().modified().unwrap();
        for other in [time - std::time::Duration::from_secs(1), time + std::time::Duration::from_nanos(1)] {
            fs::File::open(&on_disk).unwrap().set_modified(other).unwrap();
            assert_eq!(store.verify(&path).unwrap(), [Difference::Time { path: inside.into() }]);
        }
        fs::File::open(&on_disk).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn missing_added_and_replaced_entries_are_named() {
    type Change = fn(&Path);
    let missing = |path: &str| Difference::Missing { path: path.into() };
    let added = |path: &str| Difference::Added { path: path.into() };
    let cases: Vec<(Change, Vec<Difference>)> = vec![
        (|root| fs::remove_file(root.join("empty")).unwrap(), vec![missing("empty")]),
        (
            |root| fs::remove_dir_all(root.join("prometheus")).unwrap(),
            vec![missing("prometheus/prometheus.yml"), missing("prometheus/rules/celery.yml")],
        ),
        (|root| fs::write(root.join("bin/new"), "").unwrap(), vec![added("bin/new")]),
        (|root| fs::create_dir(root.join("bin/new")).unwrap(), vec![added("bin/new")]),
        (
            |root| fs::rename(root.join("empty"), root.join("bin/empty")).unwrap(),
            vec![missing("empty"), added("bin/empty")],
        ),
        (
            |root| {
                fs::remove_file(root.join("empty")).unwrap();
                fs::create_dir(root.join("empty")).unwrap();
            },
            vec![missing("empty"), added("empty")],
        ),
        (
            |root| {
                fs::remove_file(root.join("empty")).unwrap();
                symlink("/dev/null", root.join("empty")).unwrap();
            },
            vec![Difference::Kind { path: "empty".into(), is: "symbolic link" }],
        ),
        (
            |root| {
                fs::rename(root.join("prometheus"), root.with_extension("away")).unwrap();
                symlink(root.with_extension("away"), root.join("prometheus")).unwrap();
            },
            vec![Difference::Kind { path: "prometheus".into(), is: "symbolic link" }],
        ),
        (
            |root| {
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    root.join("pipe"),
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RUSR,
                    0,
                )
                .unwrap();
            },
            vec![Difference::Kind { path: "pipe".into(), is: "pipe" }],
        ),
        (
            |root| {
                fs::rename(root, root.with_extension("away")).unwrap();
                symlink(root.with_extension("away"), root).unwrap();
            },
            vec![Difference::Kind { path: "".into(), is: "symbolic link" }],
        ),
    ];
    for (change, expected) in cases {
        let Fixture { state: _state, store, path } = fixture();
        tamper(path.path(), || {
            for directory in ["", "bin", "prometheus", "prometheus/rules"] {
                set_mode(&path.path().join(directory), 0o755);
            }
            change(path.path());
        });
        for entry in WalkDir::new(path.path()) {
            let entry = entry.unwrap();
            if entry.file_type().is_dir() {
                set_mode(entry.path(), 0o555);
            } else if entry.file_type().is_file() && entry.file_name() == "new" {
                set_mode(entry.path(), 0o444);
            }
        }
        assert_eq!(store.verify(&path).unwrap(), expected);
    }
}

#[test]
fn without_its_record_a_changed_bundle_is_still_found() {
    let Fixture { state, store, path } = fixture();
    fs::remove_dir_all(state.path().join("records")).unwrap();
    tamper(path.path(), || fs::write(path.path().join("empty"), "x").unwrap());
    assert_eq!(store.verify(&path).unwrap(), [Difference::Hash]);
}

#[test]
fn a_tampered_bundle_is_neither_used_nor_overwritten() {
    let Fixture { state, store, path } = fixture();
    let key = [1; 32];
    store.memo_put(&key, &path).unwrap();
    assert_eq!(store.memo_get(&key).unwrap(), Some(path.clone()));
    tamper(path.path(), || fs::write(path.path().join("prometheus/prometheus.yml"), "evil").unwrap());

    assert_eq!(store.memo_get(&key).unwrap(), None);
    let before = snapshot(state.path());
    let error = store.put(&trees::small("one"), "prod", &json!({})).unwrap_err();
    let expected = [Difference::Changed { path: "prometheus/prometheus.yml".into() }];
    assert!(matches!(&error, StoreError::Tampered { differences, .. } if *differences == expected));
    assert_eq!(
        error.to_string(),
        format!(
            "the bundle {} was changed after it was built:\n  changed  prometheus/prometheus.yml\nmend it with \
             `monprov verify --repair {}`",
            path.path().display(),
            path.name()
        )
    );
    assert_eq!(snapshot(state.path()), before);
}

#[test]
fn something_else_under_the_final_name_is_an_error() {
    for make in [
        |path: &Path| fs::create_dir(path),
        |path: &Path| fs::write(path, ""),
        |path: &Path| symlink("/nowhere", path),
    ] {
        let Fixture { state: _state, store, path } = fixture();
        fs::remove_dir_all(path.path()).unwrap();
        make(path.path()).unwrap();
        let error = store.put(&trees::small("one"), "prod", &json!({})).unwrap_err();
        assert!(matches!(error, StoreError::Tampered { .. }), "{error}");
    }
}

#[test]
fn the_memo_answers_for_its_key_only() {
    let Fixture { state, store, path } = fixture();
    let other = store.put(&trees::small("two"), "prod", &json!({})).unwrap();
    let key = [9; 32];
    store.memo_put(&key, &path).unwrap();
    assert_eq!(store.memo_get(&[8; 32]).unwrap(), None);
    store.memo_put(&key, &other).unwrap();
    assert_eq!(store.memo_get(&key).unwrap(), Some(other.clone()));
    fs::remove_dir_all(other.path()).unwrap();
    assert_eq!(store.memo_get(&key).unwrap(), None);

    // What a damaged entry says is not believed.
    let entry = state.path().join("memo").join(&names(&state.path().join("memo"))[0]);
    for target in ["/etc", "..", "../store/nothing", "../../../etc/passwd"] {
        fs::remove_file(&entry).unwrap();
        symlink(target, &entry).unwrap();
        assert_eq!(store.memo_get(&key).unwrap(), None);
    }
}

#[test]
fn an_out_link_is_replaced_and_registered_as_root() {
    let Fixture { state, store, path } = fixture();
    let project = TempDir::new().unwrap();
    let link = project.path().join("result");
    let other = store.put(&trees::small("two"), "prod", &json!({})).unwrap();
    for target in [&path, &path, &other] {
        store.out_link(&link, target).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), target.path());
    }
    assert_eq!(names(project.path()), ["result"]);
    let roots = state.path().join("roots");
    assert_eq!(names(&roots).len(), 1);
    assert_eq!(fs::read_link(roots.join(&names(&roots)[0])).unwrap(), link);

    // Left by a run killed between the two steps.
    symlink("/nowhere", project.path().join(".result.monprov-new")).unwrap();
    store.out_link(&link, &path).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), path.path());
    assert_eq!(names(project.path()), ["result"]);
}

#[test]
fn an_out_link_replaces_nothing_but_links() {
    let Fixture { state, store, path } = fixture();
    let project = TempDir::new().unwrap();
    let (file, directory) = (project.path().join("file"), project.path().join("directory"));
    fs::write(&file, "precious").unwrap();
    fs::create_dir(&directory).unwrap();
    for taken in [&file, &directory] {
        let error = store.out_link(taken, &path).unwrap_err();
        assert!(matches!(&error, StoreError::LinkTaken { path } if path == taken), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(names(&state.path().join("roots")), Vec::<String>::new());
    let error = store.out_link(&project.path().join("no/such/result"), &path).unwrap_err();
    assert!(error.to_string().contains("no/such/result"), "{error}");
}

#[test]
fn illegal_names_and_trees_are_refused_before_anything_is_written() {
    let parent = TempDir::new().unwrap();
    let store = Store::open(&parent.path().join("state")).unwrap();
    assert!(matches!(store.put(&Tree::new(), "../prod", &json!({})), Err(StoreError::Name(_))));
    let mut tree = Tree::new();
    tree.insert("../../etc/passwd", "");
    assert!(matches!(store.put(&tree, "prod", &json!({})), Err(StoreError::Tree(_))));
    assert_eq!(names(parent.path()), Vec::<String>::new());
}

#[test]
fn many_threads_put_the_same_and_different_trees() {
    let state = TempDir::new().unwrap();
    let barrier = std::sync::Barrier::new(20);
    std::thread::scope(|scope| {
        for n in 0..20 {
            let (state, barrier) = (&state, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let store = Store::open(state.path()).unwrap();
                for round in 0..5 {
                    let path =
                        store.put(&trees::small(&format!("{round}-{}", n % 3)), "prod", &json!(n)).unwrap();
                    assert_eq!(store.verify(&path).unwrap(), []);
                    store.memo_put(&[round; 32], &path).unwrap();
                    store.memo_get(&[round; 32]).unwrap().unwrap();
                    store.out_link(&state.path().join("result"), &path).unwrap();
                }
            });
        }
    });
    let store = Store::open(state.path()).unwrap();
    assert_eq!(store.list().unwrap().len(), 15);
    assert_eq!(names(&state.path().join("store")).len(), 15);
    assert_eq!(names(state.path()), ["memo", "records", "result", "roots", "store"]);
    assert_eq!(names(&state.path().join("memo")).len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_tree_is_stored_as_it_is(tree in trees::any()) {
        let state = TempDir::new().unwrap();
        let store = Store::open(state.path()).unwrap();
        let path = store.put(&tree, "any", &json!({})).unwrap();
        prop_assert_eq!(store.verify(&path).unwrap(), []);
        prop_assert_eq!(read_tree(path.path()).unwrap(), tree);
    }
}
