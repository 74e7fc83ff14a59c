//! Plugins kept as text in `tests/guests`, and projects that use them.

use wit_component::StringEncoding;
use wit_parser::{PackageId, Resolve, WorldId};

use super::project::Project;
use super::repository;

pub fn text(name: &str) -> String {
    let path = repository().join("tests/guests").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A core module of a guest that exports `adjust`, as a toolchain would make it.
pub fn threshold_plugin(name: &str) -> Vec<u8> {
    module(&text("frame.wat").replace(";; the guest", &text(name)))
}

/// A core module from text that is a threshold plugin.
pub fn module(text: &str) -> Vec<u8> {
    module_of("1.0", "threshold-plugin", text)
}

/// A core module of a guest that exports `check`.
pub fn policy_plugin(name: &str) -> Vec<u8> {
    module_of("1.0", "policy-plugin", &text("frame.wat").replace(";; the guest", &text(name)))
}

/// A plugin of version 1.1 that rewrites the first alert.
pub fn rewriting_plugin() -> Vec<u8> {
    let text = text("frame.wat").replace(";; the guest", &text("rewrite.wat"));
    module_of("1.1", "threshold-plugin", &text.replace("@1.0.0", "@1.1.0"))
}

fn module_of(version: &str, world: &str, text: &str) -> Vec<u8> {
    let (resolve, package) = abi(version);
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed(text, &resolve, world)
}

/// The guest that imports WASI, with something more that it does.
pub fn wasi_plugin(more: &str) -> Vec<u8> {
    let (mut resolve, _) = abi("1.0");
    let package = resolve.push_str("wasi.wit", &text("wasi.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("wasi-plugin")).unwrap();
    embed(&text("wasi.wat").replace(";; wait", more), &resolve, world)
}

fn abi(version: &str) -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(repository().join("plugins/wit").join(version)).unwrap();
    (resolve, package)
}

fn embed(text: &str, resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    wit_component::embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// A profile of two alerts.
pub const PROFILE: &str = "\
services.prometheus = { kind = \"prometheus\", image = \"prom/prometheus:v3.14.0\", port = 9090 }

[alerts.Slow]
expr = \"up > ${threshold}\"
threshold = 100
for = \"5m\"
severity = \"warning\"

[alerts.Tall]
expr = \"up < ${threshold}\"
threshold = 0.5
severity = \"warning\"
";

/// A project whose profile uses plugins, pinned: name, guest, more lines of its table.
pub fn project(plugins: &[(&str, &str, &str)]) -> Project {
    let files: Vec<_> =
        plugins.iter().map(|(name, guest, more)| (*name, threshold_plugin(guest), *more)).collect();
    let project = unpinned(&files);
    for (name, ..) in plugins {
        project.run(&format!("plugin add plugins/{name}.wasm")).succeeds();
    }
    project
}

/// The same without pins, of any bytes.
pub fn unpinned(plugins: &[(&str, Vec<u8>, &str)]) -> Project {
    let mut profile = PROFILE.to_owned();
    let project = Project::empty();
    for (name, bytes, more) in plugins {
        project.write(&format!("plugins/{name}.wasm"), bytes);
        profile.push_str(&format!("\n[plugins.{name}]\nfile = \"plugins/{name}.wasm\"\n{more}\n"));
    }
    project.file("profiles/profile.toml", profile)
}

/// A channel plugin whose settings are a number: how many alerts go into a message.
pub fn channel_plugin() -> Vec<u8> {
    module_of("1.0", "channel-plugin", &text("frame.wat").replace(";; the guest", &text("channel.wat")))
}

/// A channel plugin that does what the labels of an alert say.
pub fn puppet_plugin() -> Vec<u8> {
    module_of("1.0", "channel-plugin", &text("frame.wat").replace(";; the guest", &text("puppet.wat")))
}
