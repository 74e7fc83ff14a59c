//! What can go wrong with a store: each error says what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::Difference;
use crate::bundle::{NameError, StoreName, TreeError};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(
        "can't {action} {}: no space is left on its file system: free some, or set MONPROV_STATE_DIR to a \
         directory elsewhere",
        path.display()
    )]
    Full { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "can't {action} {}: {source}: run as the owner of the state directory, or set MONPROV_STATE_DIR to a \
         directory of your own",
        path.display()
    )]
    Denied { action: &'static str, path: PathBuf, source: io::Error },
    #[error("can't {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the bundle {} was changed after it was built:{}\nmend it with `monprov verify --repair {}`",
        path.display(), list(differences), path.file_name().unwrap_or_default().display()
    )]
    Tampered { path: PathBuf, differences: Vec<Difference> },
    #[error("there is no bundle {}: `monprov build` makes it", path.display())]
    Missing { path: PathBuf },
    #[error(
        "{} is there and is no symbolic link: it is not replaced; choose another --out-link or move it away",
        path.display()
    )]
    LinkTaken { path: PathBuf },
    #[error(
        "another run is changing `{profile}`: wait until it is done (`monprov generations {profile}` shows it)"
    )]
    Locked { profile: String },
    #[error("another run uses the bundles in {}: wait until it is done", path.display())]
    StoreLocked { path: PathBuf },
    #[error("the generation {} can't be read: {reason}: move the file away if nothing else helps", path.display())]
    Generation { path: PathBuf, reason: String },
    #[error("no bundle in {} is called `{wanted}`; `monprov build` makes one", directory.display())]
    NoBundle { wanted: String, directory: PathBuf },
    #[error("`{wanted}` is the beginning of several bundles:{}", lines(names))]
    Ambiguous { wanted: String, names: Vec<StoreName> },
    #[error("{}: name one", which(profiles))]
    WhichProfile { profiles: Vec<String> },
    #[error("`{profile}` was never activated: there is nothing to go back from")]
    NothingCurrent { profile: String },
    #[error(
        "no generation of `{profile}` before {current} succeeded with another bundle: name one with --to \
         (`monprov generations {profile}` lists them)"
    )]
    NothingEarlier { profile: String, current: u64 },
    #[error("`{profile}` has no generation `{wanted}`: it has {}", numbers(known))]
    NoGeneration { profile: String, wanted: String, known: Vec<u64> },
    #[error(
        "the bundle {bundle} is marked as failed by generation {generation}: {reason}\nchange the profile, or \
         take it all the same with --force (`monprov generations {profile} --show {generation}` says more)"
    )]
    Rejected { profile: String, bundle: StoreName, generation: u64, reason: String },
    #[error(
        "the profile still builds {bundle}, which generation {generation} rolled back: change the profile, or \
         take the bundle all the same with --force"
    )]
    Left { profile: String, bundle: StoreName, generation: u64 },
    #[error(
        "the activation of generation {number} of `{profile}` by {runtime} was interrupted: without that \
         runtime it can be neither finished nor undone; leave out `--runtime none`"
    )]
    Interrupted { profile: String, number: u64, runtime: String },
    #[error("the signatures {} can't be read: {reason}: remove the file and sign the bundle again", path.display())]
    Signatures { path: PathBuf, reason: String },
    #[error(
        "{name} has two names that differ in case only ({one:?} and {other:?}), which no other machine takes: \
         rename one of them in the profile"
    )]
    Colliding { name: StoreName, one: String, other: String },
    #[error("the record {} can't be read: {reason}: build the profile again to write a new one", path.display())]
    Record { path: PathBuf, reason: String },
}

impl StoreError {
    /// Whether something was refused on purpose, rather than failed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Tampered { .. } | Self::Rejected { .. } | Self::Left { .. })
    }
}

fn lines(names: &[StoreName]) -> String {
    names.iter().map(|name| format!("\n  {name}")).collect()
}

fn which(profiles: &[String]) -> String {
    match profiles {
        [] => "no profile was activated yet".to_owned(),
        several => format!("several profiles have generations: {}", several.join(", ")),
    }
}

fn numbers(known: &[u64]) -> String {
    match known {
        [] => "none".to_owned(),
        known => known.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The differences that a message shows; the rest is counted.
const SHOWN: usize = 10;

fn list(differences: &[Difference]) -> String {
    let mut text: String = differences.iter().take(SHOWN).map(|one| format!("\n  {one}")).collect();
    if let Some(more @ 1..) = differences.len().checked_sub(SHOWN) {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// Gives an I/O error the path and the action that failed.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| {
            let (source, path) = (error.into(), path.to_owned());
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    StoreError::Full { action, path, source }
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    StoreError::Denied { action, path, source }
                }
                _ => StoreError::Io { action, path, source },
            }
        })
    }
}
