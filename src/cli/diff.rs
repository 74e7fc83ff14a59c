//! `monprov diff`
#![expect(clippy::disallowed_methods, reason = "an out-link is followed to its bundle")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use super::{changes, environment, exit};
use crate::bundle::manifest;
use crate::diff::{self, Side};
use crate::engine::{self, Failure, Options};
use crate::oracle::Oracle;
use crate::profile::layers::Source as _;
use crate::project::Project;
use crate::store::{Store, StorePath};

/// Say what changes for the people on call from A to B.
///
/// Each is a bundle (a store path, the beginning of its name, a link to it) or a profile, which
/// stands for what it builds now. Nothing is written. Ends with 0 where both are the same
/// bundle, 1 where they differ and 2 where they could not be compared.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The bundle or profile before
    a: String,
    /// The bundle or profile after
    b: String,
    /// Show how the rendered files differ instead
    #[arg(long)]
    files: bool,
    /// Read variables and secrets that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Don't resolve the secrets of profiles, on a machine that may not read them
    #[arg(long)]
    no_secrets: bool,
}

impl Diff {
    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        match self.compare(project, output) {
            Err(Failure::Failed(error)) => {
                output.error(&error);
                Ok(ExitCode::from(exit::USAGE))
            }
            other => other,
        }
    }

    fn compare(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        let old = self.side(&self.a, project, &store)?;
        let new = self.side(&self.b, project, &store)?;
        let mut changes = diff::changes(Some(&old), &new);
        if self.files {
            changes = changes.with_texts(Some(&old), &new);
        }
        if output.json {
            output.json(&changes);
        } else if self.files {
            output.result(&changes::files(&changes.files, output.result_color));
        } else {
            output.result(&changes::text(&changes, output.result_color));
        }
        Ok(ExitCode::from(u8::from(!changes.same)))
    }

    /// What an argument stands for. A profile comes before a bundle whose name begins so.
    fn side(&self, wanted: &str, project: &Project, store: &Store) -> Result<Side, Failure> {
        if !wanted.contains('/') && project.names().iter().any(|name| name == wanted) {
            let options = Options {
                environment: environment(&self.env_file)?,
                oracle: Oracle::Off,
                secrets: !self.no_secrets,
                rebuild: false,
            };
            let loaded = engine::load(project, wanted, &options.environment)?;
            return engine::side_of(&engine::evaluate(project, loaded, &options)?);
        }
        engine::side(store, &bundle(wanted, store)?)
    }
}

/// The bundle at a path or link, or the one whose name begins so.
fn bundle(wanted: &str, store: &Store) -> anyhow::Result<StorePath> {
    let path = Path::new(wanted);
    if path.join(manifest::FILE).is_file() {
        return Ok(StorePath::at(&std::fs::canonicalize(path)?)?);
    }
    let all = store.list()?;
    let begins: Vec<_> = all.iter().filter(|path| path.name().as_str().starts_with(wanted)).collect();
    match begins.as_slice() {
        [one] => Ok((*one).clone()),
        [] => anyhow::bail!(
            "there is no profile and no bundle `{wanted}`; the bundles are in {}, and `monprov build` makes one",
            store.directory().display()
        ),
        several => {
            let names: Vec<_> = several.iter().map(|path| format!("  {}", path.name())).collect();
            anyhow::bail!("`{wanted}` is the beginning of several bundles:\n{}", names.join("\n"))
        }
    }
}
