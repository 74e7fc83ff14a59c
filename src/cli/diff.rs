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
use crate::profile::matrix::Profiles;
use crate::project::Project;
use crate::store::{Generation, Store, StorePath};

/// Say what changes for the people on call from A to B.
///
/// Each is a profile, which stands for what it builds now, a generation (PROFILE@N), or a
/// bundle: a store path, the beginning of its name, or a link to it. With one of them, the
/// current generation of its profile is what it is compared with. Nothing is written. Ends with
/// 0 where both are the same bundle, 1 where they differ and 2 where they can't be compared; a
/// profile that is refused ends as it does everywhere, with 3 or 4.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// What was before, where there is a B
    #[arg(value_name = "A")]
    first: String,
    /// What comes after
    #[arg(value_name = "B")]
    second: Option<String>,
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
        let first = self.side(&self.first, project, &store)?;
        let (old, new) = match &self.second {
            Some(second) => (Some(first), self.side(second, project, &store)?),
            None => (current(&store, &first.manifest.profile)?, first),
        };
        if old.is_none() {
            output.line("current", "no generation yet: everything is new");
        }
        let mut changes = diff::changes(old.as_ref(), &new);
        if self.files {
            changes = changes.with_texts(old.as_ref(), &new);
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
        if !wanted.contains('/') && Profiles::new(project).is_one(wanted) {
            let options = Options {
                environment: environment(&self.env_file)?,
                oracle: Oracle::Off,
                secrets: !self.no_secrets,
                rebuild: false,
            };
            let loaded = engine::load(project, wanted, &options.environment)?;
            return engine::side_of(&engine::evaluate(project, loaded, &options)?);
        }
        let numbered = wanted.rsplit_once('@').and_then(|(profile, n)| Some((profile, n.parse().ok()?)));
        let path = match numbered {
            Some((profile, number)) => generation(store, profile, number)?,
            None => bundle(wanted, store)?,
        };
        engine::side(store, &path)
    }
}

/// What runs now, as far as it was activated with success.
fn current(store: &Store, profile: &str) -> Result<Option<Side>, Failure> {
    match store.current(profile)? {
        Some(generation) => Ok(Some(engine::side(store, &kept(store, profile, &generation)?)?)),
        None => Ok(None),
    }
}

fn generation(store: &Store, profile: &str, number: u64) -> anyhow::Result<StorePath> {
    match store.generation(profile, number)? {
        Some(generation) => kept(store, profile, &generation),
        None => anyhow::bail!(
            "there is no generation {number} of `{profile}`; `monprov generations {profile}` lists them"
        ),
    }
}

/// The bundle of a generation.
fn kept(store: &Store, profile: &str, generation: &Generation) -> anyhow::Result<StorePath> {
    let Generation { number, bundle, .. } = generation;
    store.get(bundle)?.ok_or_else(|| {
        anyhow::anyhow!("{bundle}, the bundle of generation {number} of `{profile}`, is not in the store")
    })
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
