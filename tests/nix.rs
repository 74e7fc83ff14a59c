//! A bundle is what Nix takes it for: the same hash, the same store name.

use std::path::{Path, PathBuf};
use std::process::Command;

use monprov::bundle::{StoreName, Tree};
use monprov::store::{Store, hash_directory};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use crate::support::project::Project;
use crate::support::trees;

/// The real Nix, with a store of its own.
struct Nix {
    directory: TempDir,
}

impl Nix {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(
            directory.path().join("nix.conf"),
            "sandbox = false\nbuild-users-group =\nsubstituters =\n",
        )
        .unwrap();
        Self { directory }
    }

    fn run(&self, program: &str, args: &[&str], path: &Path) -> String {
        let output = Command::new(program)
            .env("NIX_CONF_DIR", self.directory.path())
            .args(args)
            .arg(path)
            .output()
            .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn hash(&self, path: &Path) -> String {
        self.run("nix-hash", &["--type", "sha256"], path)
    }

    /// The name under which `nix-store --add` stores the directory. The chroot store stands
    /// elsewhere, but its paths are those of `/nix/store`.
    fn add(&self, path: &Path) -> String {
        let root = self.directory.path().join("root");
        let added = self.run("nix-store", &["--store", root.to_str().unwrap(), "--add"], path);
        added.strip_prefix("/nix/store/").unwrap().to_owned()
    }
}

/// Nix names a directory by what it is called.
fn copy_called(name: &str, of: &Path, within: &Path) -> PathBuf {
    let copy = within.join(name);
    let status = Command::new("cp").args(["-r", "--"]).arg(of).arg(&copy).status().unwrap();
    assert!(status.success());
    copy
}

fn agree(tree: &Tree, nix: &Nix) {
    let state = TempDir::new().unwrap();
    let store = Store::open(state.path()).unwrap();
    let path = store.put(tree, "prod", &json!({})).unwrap();

    let hash = tree.nar_hash().unwrap();
    assert_eq!(nix.hash(path.path()), hash.to_string());
    assert_eq!(hash_directory(path.path()).unwrap(), hash);
    let copy = copy_called("prod", path.path(), state.path());
    assert_eq!(nix.add(&copy), path.name().to_string());
    assert_eq!(store.verify(&path).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nix_agrees_on_any_tree(tree in trees::any()) {
        agree(&tree, &Nix::new());
    }

    #[test]
    fn nix_agrees_on_any_legal_name(name in "[0-9a-zA-Z+_?=-][0-9a-zA-Z+._?=-]{0,40}") {
        // `nix-store` would take a leading dash for an option, were the path not absolute.
        let nix = Nix::new();
        let directory = TempDir::new().unwrap();
        let path = directory.path().join(&name);
        std::fs::create_dir(&path).unwrap();
        let ours = StoreName::of(&Tree::new().nar_hash().unwrap(), &name).unwrap();
        prop_assert_eq!(nix.add(&path), ours.to_string());
    }
}

#[test]
fn nix_agrees_on_the_bundle_of_the_reference_stack() {
    let project = Project::reference();
    let output = project.run("build prod --env-file profiles/prod.env.example --oracle off").succeeds();
    let bundle = project.path(&output.last_line().replace("$PROJECT/", ""));
    let nix = Nix::new();
    assert_eq!(nix.hash(&bundle), hash_directory(&bundle).unwrap().to_string());
    let copy = copy_called("prod", &bundle, project.root());
    assert_eq!(nix.add(&copy), bundle.file_name().unwrap().to_str().unwrap());
}

#[test]
fn nix_agrees_on_ten_thousand_files() {
    let mut tree = Tree::new();
    for n in 0..10_000 {
        let path = format!("dir-{}/{}/file.{n}", n % 100, n % 7);
        match n % 10 {
            0 => tree.insert_executable(path, format!("#!{n}")),
            _ => tree.insert(path, "x".repeat(n % 50)),
        }
    }
    agree(&tree, &Nix::new());
}

#[test]
fn nix_refuses_the_names_that_we_refuse() {
    let nix = Nix::new();
    let directory = TempDir::new().unwrap();
    for name in ["a b", "prüf", "a:b", "a*", &"x".repeat(212)] {
        assert!(monprov::bundle::check_name(name).is_err(), "{name}");
        let path = directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let root = nix.directory.path().join("root");
        let output = Command::new("nix-store")
            .env("NIX_CONF_DIR", nix.directory.path())
            .args(["--store", root.to_str().unwrap(), "--add"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{name}");
    }
}
