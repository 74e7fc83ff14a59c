//! The folder of a plugin: what `plugin.toml` says, and where things lie in it.
#![expect(clippy::disallowed_methods, reason = "reads a plugin's own folder")]

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use super::delivery::PAYLOAD;

/// What `plugin.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) language: Language,
    /// The world of the WIT that it is built for.
    pub(super) world: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    Rust,
    Js,
    Python,
}

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) settings: Settings,
}

/// The file that makes a folder a plugin's.
pub(super) const FILE: &str = "plugin.toml";
/// The version of the interface that new plugins are written for, a folder of `plugins/wit`.
pub(super) const ABI: &str = "1.1";

impl Folder {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let path = std::fs::canonicalize(path).with_context(|| path.display().to_string())?;
        let file = path.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(|error| {
            anyhow::anyhow!(
                "{}: {error}; `monprov plugin new NAME --lang rust` writes a plugin, and its folder is named behind the command",
                file.display()
            )
        })?;
        let settings = toml::from_str(&text).map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))?;
        Ok(Folder { path, settings })
    }

    /// What `plugin build` makes.
    pub(super) fn built(&self) -> PathBuf {
        self.path.join(format!("{}.wasm", self.settings.name))
    }

    pub(super) fn wit(&self) -> PathBuf {
        self.path.join("wit").join(ABI)
    }

    /// Where compiled code is kept.
    pub(super) fn state(&self) -> PathBuf {
        self.path.join(".monprov")
    }

    /// What was built, to be tried.
    pub(super) fn read_built(&self) -> anyhow::Result<Vec<u8>> {
        let file = self.built();
        std::fs::read(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                anyhow::anyhow!("{} is not there; make it: monprov plugin build", file.display())
            }
            _ => anyhow::anyhow!("{}: {error}", file.display()),
        })
    }

    /// The folders of its test cases by name, sorted.
    pub(super) fn cases(&self) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let folder = self.path.join("cases");
        let mut cases = vec![];
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if let Some(name) = path.file_name().and_then(|name| name.to_str())
                && (path.join("profile.toml").is_file() || path.join(PAYLOAD).is_file())
            {
                cases.push((name.to_owned(), path));
            }
        }
        cases.sort();
        anyhow::ensure!(
            !cases.is_empty(),
            "no case in {}: write cases/NAME/profile.toml, or group.json for a channel",
            folder.display()
        );
        Ok(cases)
    }
}
