//! The toolchains that build plugins, as `tests/run` installs them.

use std::path::PathBuf;
use std::process::Command;

use super::{installed, repository};

/// The folder that `npm install` makes in a plugin.
pub fn npm() -> PathBuf {
    installed("npm/node_modules/componentize-qjs");
    installed("npm/node_modules")
}

/// The virtual environment of a plugin in Python.
pub fn venv() -> PathBuf {
    installed("componentize-py")
}

/// What lets cargo build for WebAssembly with Debian's compiler and sources, in place of the
/// target that rustup would add; all are cargo's own variables.
pub fn environment() -> Vec<(String, String)> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let libraries = format!("{}/lib/rustlib", String::from_utf8(sysroot.stdout).unwrap().trim());
    let mut hosts = std::fs::read_dir(libraries).unwrap().map(|host| host.unwrap().path());
    let lld = hosts.find_map(|host| Some(host.join("bin/rust-lld")).filter(|lld| lld.exists())).unwrap();
    let home =
        std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap()));
    let set = |name: &str, value: String| (name.to_owned(), value);
    vec![
        set("CARGO_HOME", home),
        // Shared, so that dependencies are compiled once.
        set("CARGO_TARGET_DIR", repository().join("target/plugin-templates").display().to_string()),
        set("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", lld.display().to_string()),
        set("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort".into()),
        set("RUSTC", "/usr/bin/rustc".into()),
        set("RUSTC_BOOTSTRAP", "1".into()),
    ]
}
