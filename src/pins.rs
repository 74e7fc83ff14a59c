//! `monprov.lock`: the digest, version and worlds of every plugin that somebody looked at. It
//! is checked in; only `monprov plugin` writes it.
#![expect(clippy::disallowed_methods, reason = "reads and writes monprov.lock")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::plugin::{Info, World};
use crate::project::Project;

/// The file's name, beside the folder of profiles.
pub const FILE: &str = "monprov.lock";

/// The version of its format.
const SCHEMA: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    schema: u32,
    /// By file, relative to the project.
    #[serde(default)]
    pub plugins: BTreeMap<String, Pin>,
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
        Pins { schema: SCHEMA, plugins: BTreeMap::new() }
    }
}

impl Pins {
    /// The pins of a project; none where there is no file yet.
    pub fn read(project: &Project) -> anyhow::Result<Self> {
        let path = project.path(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Pins::default()),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let pins: Pins = toml::from_str(&text).map_err(|error| {
            anyhow::anyhow!("{FILE} can't be read: {}; take it from version control", error.message())
        })?;
        anyhow::ensure!(
            pins.schema == SCHEMA,
            "{FILE} has schema {}, and this release knows {SCHEMA}: use the release that wrote it",
            pins.schema
        );
        Ok(pins)
    }

    /// Writes the pins: either the old ones or the new ones are there, whatever happens.
    pub fn write(&self, project: &Project) -> anyhow::Result<PathBuf> {
        use std::io::Write;
        let path = project.path(FILE);
        let folder = path.parent().unwrap_or(&path);
        let mut text =
            "# The plugins that may run, as `monprov plugin add` and `update` saw them. Check it in.\n"
                .to_owned();
        text.push_str(&toml::to_string(self)?);
        let mut file = tempfile::Builder::new().prefix(".monprov.lock-").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}
