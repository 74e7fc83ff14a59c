//! Cases of channel plugins: a payload, settings and responses, as files.
#![expect(clippy::disallowed_methods, reason = "reads a plugin's own cases")]

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value as Json};

use super::folder::Folder;
use crate::engine::deliveries::{Channel, Shown};

/// What makes a case one of a channel: a payload of Alertmanager.
pub(super) const PAYLOAD: &str = "group.json";

/// Runs a case.
pub(super) fn case(folder: &Folder, path: &Path, bytes: &[u8]) -> anyhow::Result<Shown> {
    let payload = super::read(&path.join(PAYLOAD))?;
    let settings = settings(path)?;
    let shown = path.join(PAYLOAD).display().to_string();
    match Channel::new(&folder.state(), &folder.settings.name, bytes, settings)? {
        Ok(channel) => channel.case(&payload, &responses(path)?).context(shown),
        Err(text) => Ok(Shown { text, failed: true, ..Shown::default() }),
    }
}

/// The settings of a case; none where there is no file.
pub(super) fn settings(case: &Path) -> anyhow::Result<Map<String, Json>> {
    let file = case.join("settings.toml");
    if file.is_file() { given(&file) } else { Ok(Map::new()) }
}

/// Settings as users write them below `[channels.NAME.plugin.settings]`.
pub(super) fn given(file: &Path) -> anyhow::Result<Map<String, Json>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    toml::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

/// The files of `responses`, by their names without `.json`.
fn responses(path: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = path.join("responses");
    let mut all = vec![];
    if !folder.is_dir() {
        return Ok(all);
    }
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let file = entry?.path();
        if let (Some(name), Some("json")) =
            (file.file_stem().and_then(|name| name.to_str()), file.extension().and_then(|e| e.to_str()))
        {
            all.push((name.to_owned(), super::read(&file)?));
        }
    }
    all.sort();
    Ok(all)
}
