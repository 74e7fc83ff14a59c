//! `monprov.lock`: the digest, version and worlds of every plugin that somebody looked at, and what
//! the tags of images meant then. It is checked in; only `monprov plugin` and `monprov lock` write it.
#![expect(clippy::disallowed_methods, reason = "reads and writes monprov.lock")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::check::images::{Reference, is_digest};
use crate::plugin::{Info, World};
use crate::project::Project;

/// The file's name, beside the folder of profiles.
pub const FILE: &str = "monprov.lock";

/// The version of its format: 2 has images.
const SCHEMA: u32 = 2;
/// The oldest that is read; it is written anew with the next pin.
const OLDEST: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    schema: u32,
    /// By file, relative to the project.
    #[serde(default)]
    pub plugins: BTreeMap<String, Pin>,
    /// By name and tag, as profiles name them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Image>,
}

/// What a tag meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Of the index, where the image is there for several platforms: each host takes its own.
    pub digest: String,
    /// What it is there for: `linux/arm64/v8`, with the digest of each.
    pub platforms: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub sha256: String,
    pub name: String,
    pub version: String,
    pub worlds: Vec<World>,
    /// Where it was fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Pin {
    pub fn new(sha256: String, info: &Info, source: Option<String>) -> Self {
        Pin {
            sha256,
            name: info.name.clone(),
            version: info.version.clone(),
            worlds: info.worlds.clone(),
            source,
        }
    }
}

impl Default for Pins {
    fn default() -> Self {
        Pins { schema: SCHEMA, plugins: BTreeMap::new(), images: BTreeMap::new() }
    }
}

impl Pins {
    /// The pins of a project; none where there is no file yet.
    pub fn read(project: &Project) -> anyhow::Result<Self> {
        let path = project.path(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Pins::parse(&text).map_err(|why| anyhow::anyhow!("{FILE}{why}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Pins::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// What a lock says. What is wrong follows the file's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pins: Pins = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(String::new(), |text| format!(":{}", text.matches('\n').count() + 1));
            let what = error.message().lines().next().unwrap_or_default().to_owned();
            format!("{line} can't be read: {what}; take it from version control, without marks of a merge")
        })?;
        if !(OLDEST..=SCHEMA).contains(&pins.schema) {
            let schema = pins.schema;
            return Err(format!(
                " has schema {schema}, and this release knows {OLDEST} to {SCHEMA}: use the release that wrote it"
            ));
        }
        pins.schema = SCHEMA;
        for (name, image) in &pins.images {
            if let Err(why) = image.check(name) {
                return Err(format!(
                    ": images.{name:?}: {why}; pin it again: monprov lock --update {name:?}"
                ));
            }
        }
        Ok(pins)
    }

    /// As the file says it.
    pub fn to_text(&self) -> anyhow::Result<String> {
        let pins = toml::to_string(self)?;
        Ok(format!(
            "# The plugins that may run, as `monprov plugin add` and `update` saw them, and what tags of images\n\
             # meant when `monprov lock` asked. Check it in.\n{pins}"
        ))
    }

    /// Writes the pins: either the old ones or the new ones are there, whatever happens.
    pub fn write(&self, project: &Project) -> anyhow::Result<PathBuf> {
        use std::io::Write;
        let path = project.path(FILE);
        let folder = path.parent().unwrap_or(&path);
        let mut file = tempfile::Builder::new().prefix(".monprov.lock-").tempfile_in(folder)?;
        file.write_all(self.to_text()?.as_bytes())?;
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Image {
    fn check(&self, name: &str) -> Result<(), String> {
        let reference = Reference::parse(name)?;
        if reference.digest.is_some() {
            return Err("only what is named by tag needs a pin".into());
        }
        for digest in self.platforms.values().chain([&self.digest]) {
            if !is_digest(digest) {
                return Err(format!("`{digest}` is no digest: `sha256:` and 64 hexadecimal digits"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOCK: &str = r#"
schema = 2

[plugins."plugins/a.wasm"]
sha256 = "00"
name = "a"
version = "1.0.0"
worlds = ["policy"]
source = "oci://registry.example/a:1@sha256:00"

[images."prom/prometheus:v3.14.0"]
digest = "sha256:0101010101010101010101010101010101010101010101010101010101010101"

[images."prom/prometheus:v3.14.0".platforms]
"linux/amd64" = "sha256:0202020202020202020202020202020202020202020202020202020202020202"
"#;

    #[test]
    fn what_is_written_is_read_again() {
        let pins = Pins::parse(LOCK).unwrap();
        assert_eq!(Pins::parse(&pins.to_text().unwrap()).unwrap(), pins);
        assert!(pins.images.contains_key("prom/prometheus:v3.14.0"));
    }

    #[test]
    fn a_lock_of_plugins_alone_is_still_read() {
        assert_eq!(Pins::parse("schema = 1\n").unwrap(), Pins::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (from, to, told) in [
            ("schema = 2", "schema = 3", "knows 1 to 2"),
            ("schema = 2", "schema = 2\n<<<<<<< ours", ":3 can't be read"),
            ("sha256:01", "sha256:xx", "is no digest"),
            ("sha256:02", "sha512:02", "is no digest"),
            ("prom/prometheus:v3.14.0", "prom/prometheus:v3.14.0@sha256:1", "is no digest"),
            ("prom/prometheus:v3.14.0", "Prom/prometheus:v3.14.0", "capital letters"),
            ("digest =", "digests =", "unknown field"),
        ] {
            let why = Pins::parse(&LOCK.replace(from, to)).unwrap_err();
            assert!(why.contains(told), "{told}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = Pins::parse(&text);
        }

        #[test]
        fn no_change_of_a_lock_makes_it_panic(at in 0..LOCK.len(), with in "[\\PC\n]{0,3}", cut in 0..40usize) {
            let end = (at + cut).min(LOCK.len());
            if let (Some(before), Some(after)) = (LOCK.get(..at), LOCK.get(end..))
                && let Ok(pins) = Pins::parse(&format!("{before}{with}{after}"))
            {
                prop_assert_eq!(Pins::parse(&pins.to_text().unwrap()).unwrap(), pins);
            }
        }
    }
}
