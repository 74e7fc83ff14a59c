//! State directories with bundles and generations in them, without a profile behind them.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use monprov::bundle::{StoreName, Tree};
use monprov::store::{Attempt, Busy, Generation, Store, StorePath, hash_directory};
use serde_json::json;

use super::project::Project;

/// Puts a small bundle of the profile, different for each seed.
pub fn put(store: &Store, profile: &str, seed: &str) -> StorePath {
    let mut tree: Tree = super::trees::small(seed);
    tree.insert("manifest.json", format!("{{\"profile\":\"{profile}\"}}\n"));
    store.put(&tree, profile, &json!({ "seed": seed })).unwrap()
}

/// Makes a bundle the current one, without a runtime.
pub fn activate(store: &Store, bundle: &StorePath) -> Generation {
    let mut lock = store.lock_profile(bundle.name().name(), Busy::Refuse).unwrap();
    lock.record(Attempt { bundle, runtime: "none", message: None, rollback: None }).unwrap()
}

/// Whether the directory is exactly what its name says, judged without opening a store.
pub fn is_intact(path: &Path) -> bool {
    let name: StoreName = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
    hash_directory(path).is_ok_and(|hash| StoreName::of(&hash, name.name()).unwrap() == name)
}

/// What a reader finds in a state directory in which a run may have been killed: the bundle of
/// the current generation and that of `live`, both whole. Nothing is opened that would clean up.
pub fn current_and_live(state: &Path, profile: &str) -> (Option<String>, Option<String>) {
    let current = std::fs::read(state.join("current").join(profile)).ok().map(|text| {
        let generation: serde_json::Value = serde_json::from_slice(&text).unwrap();
        generation["bundle"].as_str().unwrap().to_owned()
    });
    let live = std::fs::read_link(state.join("run").join(profile).join("live")).ok().map(|target| {
        let resolved = state.join("run").join(profile).join(&target);
        assert!(resolved.is_dir(), "live dangles: {}", target.display());
        target.file_name().unwrap().to_str().unwrap().to_owned()
    });
    for name in current.iter().chain(&live) {
        let path = state.join("store").join(name);
        assert!(is_intact(&path), "{} is not whole", path.display());
    }
    (current, live)
}

/// A state directory that is put back to the same state again and again.
pub struct Template {
    state: PathBuf,
    copy: PathBuf,
}

impl Template {
    /// Remembers what the project's state directory is now.
    pub fn of(project: &Project) -> Template {
        let template = Template { state: project.path(".monprov"), copy: project.path("template") };
        copy(&template.state, &template.copy);
        template
    }

    pub fn restore(&self) {
        // `rm` as root does not mind read-only directories.
        let status = Command::new("rm").arg("-rf").arg(&self.state).status().unwrap();
        assert!(status.success());
        copy(&self.copy, &self.state);
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// The command as another user, where one is given.
pub fn as_user(mut command: Command, user: Option<u32>) -> Command {
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
}
