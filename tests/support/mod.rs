//! What tests stand on: projects in temporary folders, and the real programs that monprov
//! provisions. Everything waits for conditions, never for fixed times.

pub mod bundles;
pub mod by_hand;
pub mod cluster;
pub mod crash;
pub mod daemon;
pub mod dockerd;
pub mod guests;
pub mod http;
pub mod openbao;
pub mod parts;
pub mod project;
pub mod registry;
pub mod relay;
pub mod resolved;
pub mod sink;
pub mod systemd;
pub mod toolchains;
pub mod trees;
pub mod up;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Its files, relative to it, but what is built or belongs to version control.
pub fn repository_files() -> Vec<PathBuf> {
    walkdir::WalkDir::new(repository())
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|e| !["target", ".git", ".monprov"].iter().any(|skip| e.file_name() == *skip))
        .map(Result::unwrap)
        .filter(|e| e.file_type().is_file())
        .map(|e| e.path().strip_prefix(repository()).unwrap().to_owned())
        .collect()
}

/// A file that `tests/run` installs below `target/test-parts`.
pub fn installed(path: &str) -> PathBuf {
    let path = repository().join("target/test-parts").join(path);
    assert!(path.exists(), "{} is missing: run tests/run once, it installs all parts", path.display());
    path
}

/// A Debian program, by its name on PATH.
pub fn program(name: &str) -> PathBuf {
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not on PATH: run tests/run once, it installs all parts"))
}

/// Longer than anything takes that works, on a machine that is busy with other things.
pub const GENEROUS: Duration = Duration::from_secs(90);

/// Asks again and again until there is an answer.
#[track_caller]
pub fn wait_for<T>(deadline: Duration, what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = answer() {
            return found;
        }
        assert!(start.elapsed() < deadline, "after {} s still no {what}", deadline.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
