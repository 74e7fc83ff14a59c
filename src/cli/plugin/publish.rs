//! `monprov plugin publish`: a plugin in a registry

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::fetch::LARGEST;
use super::{read, worlds};
use crate::cli::output::{Output, kilobytes};
use crate::cli::registry::RegistryOptions;
use crate::engine::{Failure, plugins};
use crate::project::Project;
use crate::registry::Artifact;

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// A component, a core module or component text
    file: PathBuf,
    /// Where to: oci://HOST/PATH:TAG
    address: String,
    /// Put it there also where the tag is another artifact already
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    registry: RegistryOptions,
}

impl Publish {
    /// Also without a project: an author may have none.
    pub(super) fn run(&self, project: Option<Project>, output: &Output) -> Result<ExitCode, Failure> {
        let address = Artifact::parse(&self.address).map_err(anyhow::Error::msg)?;
        if address.digest().is_some() {
            return Err(anyhow::anyhow!("it gets its digest by what it is: give a tag alone").into());
        }
        let shown = self.file.display();
        let read = read(&self.file)?;
        // Text is for people; everybody takes binaries.
        let bytes = wat::parse_bytes(&read).map_err(|why| anyhow::anyhow!("{shown} is no plugin: {why}"))?;
        let scratch = tempfile::tempdir()?;
        let state = project.as_ref().map_or(scratch.path(), |project| &project.state);
        let (info, sha256) = plugins::inspect(state, &shown.to_string(), &bytes)
            .map_err(|why| anyhow::anyhow!("{shown} is no plugin: {why}"))?;
        if bytes.len() as u64 > LARGEST {
            return Err(anyhow::anyhow!("{shown} is larger than {} MiB", LARGEST >> 20).into());
        }
        let mut annotations = std::collections::BTreeMap::from([
            ("org.opencontainers.image.title".to_owned(), info.name.clone()),
            ("org.opencontainers.image.version".to_owned(), info.version.clone()),
        ]);
        if !info.homepage.is_empty() {
            annotations.insert("org.opencontainers.image.url".to_owned(), info.homepage.clone());
        }
        let size = kilobytes(bytes.len() as u64);
        let registries = self.registry.open()?;
        let published = registries.publish(&address, bytes.into_owned(), annotations, self.replace)?;
        let source = published.source.to_string();
        if output.json {
            output.json(&json!({
                "source": source, "digest": published.source.digest(), "sha256": sha256,
                "name": info.name, "version": info.version, "unchanged": published.unchanged,
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let what = if published.unchanged { "unchanged" } else { "published" };
        output.line(what, &format!("{} {}  {}  {size}", info.name, info.version, worlds(&info.worlds)));
        output.result(&format!("{source}\n"));
        Ok(ExitCode::SUCCESS)
    }
}
