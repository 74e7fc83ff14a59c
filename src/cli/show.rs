//! `monprov show`
#![expect(clippy::disallowed_methods, reason = "reads the bundle that it shows")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::output::{Output, plural};
use crate::bundle::manifest::{self, Manifest};
use crate::engine::Failure;
use crate::project::Project;
use crate::store::{Store, StorePath};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// A store path, its name or the beginning of it, or a profile: what is current of it
    bundle: String,
    /// Print this file of the bundle instead
    file: Option<String>,
}

impl Show {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let path = store.find(&self.bundle)?;
        store.require_intact(&path)?;
        match &self.file {
            Some(file) => {
                let file = contained(path.path(), file)?;
                output.result(&std::fs::read_to_string(file)?);
            }
            None => summary(&path, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn contained(bundle: &Path, file: &str) -> anyhow::Result<PathBuf> {
    let inside = Path::new(file).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    let path = bundle.join(file);
    if !inside || !path.is_file() {
        anyhow::bail!("the bundle has no file `{file}`; `monprov show` without a file lists them");
    }
    Ok(path)
}

fn summary(path: &StorePath, output: &Output) -> anyhow::Result<()> {
    let bytes = std::fs::read(path.path().join(manifest::FILE))?;
    let manifest: Manifest = serde_json::from_slice(&bytes)?;
    if output.json {
        output.json(&manifest);
        return Ok(());
    }
    let mut text = format!("{}\n\n", path.path().display());
    text.push_str(&format!("profile   {} ({})\n", manifest.profile, manifest.layers.join(", ")));
    text.push_str(&format!("runtime   {}\n", manifest.runtime));
    for (name, service) in &manifest.services {
        let image = service.image.as_deref().unwrap_or("a program from PATH");
        let secrets = service.secrets.len();
        let secrets = if secrets == 0 { String::new() } else { format!("  {}", plural(secrets, "secret")) };
        text.push_str(&format!("service   {name:<20} {image}{secrets}\n"));
    }
    text.push('\n');
    for (name, file) in &manifest.files {
        text.push_str(&format!("{:>9}  {}  {name}\n", file.size, file.sha256.get(..12).unwrap_or_default()));
    }
    output.result(&text);
    Ok(())
}
