//! `monprov verify`

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::{Output, plural};
use super::progress::Progress;
use super::{environment, exit};
use crate::engine::distribute::{self, Vouched};
use crate::engine::{self, Failure, Mended, Options};
use crate::oracle::Oracle;
use crate::project::Project;
use crate::store::{Difference, Store, StoreError, StorePath};
use crate::trust::Trust;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Bundles, or profiles: every bundle of those [default: all]
    bundles: Vec<String>,
    /// Build what was changed again, where its profile still gives the same
    #[arg(long)]
    repair: bool,
    /// Read variables that the environment lacks from FILE, for --repair
    #[arg(long, value_name = "FILE", requires = "repair")]
    env_file: Vec<PathBuf>,
}

/// A bundle that is not what its name says.
struct Changed {
    path: StorePath,
    /// None where all of it is missing.
    differences: Vec<Difference>,
    mended: Option<Mended>,
}

impl Verify {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let store = Store::open(&project.state)?;
        // Nothing is collected while it is looked at.
        let hold = store.hold()?;
        let paths = self.paths(&store)?;
        let count = paths.len();
        let progress = Progress::new("verify", count, output);
        let verified = store.verify_all(paths, || progress.step());
        drop(progress);
        let (mut changed, mut signatures) = (Vec::new(), Signatures::default());
        let mut trusts: BTreeMap<String, Trust> = BTreeMap::new();
        for (path, differences) in verified {
            let differences = match differences {
                Ok(differences) if differences.is_empty() => {
                    let profile = path.name().name().to_owned();
                    let trust = match trusts.entry(profile) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let trust = distribute::trust(Some(project), Some(new.key()))?;
                            new.insert(trust)
                        }
                    };
                    signatures.add(&path, distribute::vouched(trust, &store, &path)?);
                    continue;
                }
                Ok(differences) => differences,
                Err(StoreError::Missing { .. }) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            changed.push(Changed { path, differences, mended: None });
        }
        if self.repair {
            let options = Options {
                environment: environment(&self.env_file)?,
                oracle: Oracle::Off,
                // The name proves that the files are the same, and they were searched then.
                secrets: false,
                rebuild: false,
            };
            for one in &mut changed {
                one.mended = Some(engine::mend(project, &store, &one.path, &options)?);
            }
        }
        drop(hold);
        report(count, &changed, &signatures, output);
        let left = changed.iter().any(|one| !one.is_mended()) || !signatures.wrong.is_empty();
        Ok(if left { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
    }

    /// Also those that are missing, where a generation needs them.
    fn paths(&self, store: &Store) -> Result<Vec<StorePath>, StoreError> {
        let mut all: BTreeSet<StorePath> = store.list()?.into_iter().collect();
        for profile in store.profiles()? {
            all.extend(store.generations(&profile)?.iter().map(|one| store.path_of(&one.bundle)));
        }
        if self.bundles.is_empty() {
            return Ok(all.into_iter().collect());
        }
        let mut wanted = BTreeSet::new();
        for name in &self.bundles {
            let of_profile: Vec<_> = all.iter().filter(|path| path.name().name() == name).cloned().collect();
            match of_profile.is_empty() {
                true => wanted.extend([store.find(name)?]),
                false => wanted.extend(of_profile),
            }
        }
        Ok(wanted.into_iter().collect())
    }
}

impl Changed {
    fn is_mended(&self) -> bool {
        matches!(self.mended, Some(Mended::FromItself | Mended::FromProfile))
    }
}

/// Who signed what is intact.
#[derive(Default)]
struct Signatures {
    /// Bundles that a trusted key has signed.
    trusted: usize,
    /// Bundles that only others have signed.
    unknown: usize,
    /// What a bundle's signatures are not, or why it would not be activated.
    wrong: Vec<(StorePath, String)>,
}

impl Signatures {
    fn add(&mut self, path: &StorePath, vouched: Option<Vouched>) {
        let Some(Vouched { verdict, refusal }) = vouched else { return };
        match refusal {
            Some(refusal) => self.wrong.push((path.clone(), refusal.to_string())),
            None if !verdict.wrong.is_empty() => self.wrong.push((path.clone(), verdict.shortcoming())),
            None if verdict.is_signed() => self.trusted += 1,
            None => self.unknown += 1,
        }
    }
}

fn report(count: usize, changed: &[Changed], signatures: &Signatures, output: &Output) {
    let bundles = plural(count, "bundle");
    let text = match changed.len() {
        0 => format!("{bundles}, all intact"),
        differing => format!("{bundles}, {differing} changed"),
    };
    output.line("verify", &text);
    let Signatures { trusted, unknown, wrong } = signatures;
    if trusted + unknown + wrong.len() > 0 {
        let text = format!("{trusted} by a trusted key, {unknown} by others, {} wrong", wrong.len());
        output.line("signed", &text);
    }
    if output.json {
        let list: Vec<_> = changed.iter().map(json).collect();
        let wrong: Vec<_> =
            wrong.iter().map(|(path, why)| serde_json::json!({ "path": path.path(), "why": why })).collect();
        let signatures = serde_json::json!({ "trusted": trusted, "unknown": unknown, "wrong": wrong });
        output.json(&serde_json::json!({ "bundles": count, "changed": list, "signatures": signatures }));
        return;
    }
    for (path, why) in wrong {
        output.result(&format!("{}\n  signed   {why}\n", path.path().display()));
    }
    for one in changed {
        let mut text = format!("{}\n", one.path.path().display());
        if one.differences.is_empty() {
            text.push_str("  missing  the whole bundle\n");
        }
        for difference in &one.differences {
            text.push_str(&format!("  {difference}\n"));
        }
        let mended = one.mended.as_ref().map(|mended| match mended {
            Mended::FromItself => "  mended   from its own files\n".to_owned(),
            Mended::FromProfile => "  mended   from its profile\n".to_owned(),
            Mended::Not(why) => format!("  kept     {why}\n"),
        });
        text.push_str(&mended.unwrap_or_default());
        output.result(&text);
    }
    if changed.iter().any(|one| one.mended.is_none()) {
        output.line("next", "`monprov verify --repair` mends what its profile still builds");
    }
}

fn json(one: &Changed) -> serde_json::Value {
    let differences: Vec<_> = one
        .differences
        .iter()
        .map(|difference| {
            let path = difference.path().map(|path| path.display().to_string());
            serde_json::json!({ "kind": difference.kind(), "path": path })
        })
        .collect();
    let (from, why) = match &one.mended {
        None => (None, None),
        Some(Mended::FromItself) => (Some("itself"), None),
        Some(Mended::FromProfile) => (Some("profile"), None),
        Some(Mended::Not(why)) => (None, Some(why)),
    };
    serde_json::json!({
        "path": one.path.path(),
        "missing": one.differences.is_empty(),
        "differences": differences,
        "mended": from.is_some(),
        "from": from,
        "why": why,
    })
}
