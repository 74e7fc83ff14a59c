//! Where a project lies, and reading its files. Everything stays within the project's folder.
#![expect(clippy::disallowed_methods, reason = "this is where profiles are read from disk")]

mod binary;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use binary::Binary;

use crate::bundle::manifest::sha256;
use crate::diagnostic::{Finding, Path as Setting, Place};
use crate::profile::Profile;
use crate::profile::codes::M015;
use crate::profile::layers::{Read, Source};
use crate::stack::resolve::Files;

/// A folder with profiles in it.
#[derive(Debug, Clone)]
pub struct Project {
    /// What file names are shown relative to.
    root: PathBuf,
    /// The folder of the layers.
    profiles: PathBuf,
    /// How people name that folder: `profiles`.
    shown: String,
    /// Bundles and all else that is written.
    pub state: PathBuf,
    /// Folders by path, without links.
    folders: Arc<Mutex<HashMap<PathBuf, PathBuf>>>,
    /// What was read in a run that reads everything once.
    once: Option<Arc<Once>>,
}

/// Files of more than this are refused: 16 MiB.
const MAX_SIZE: u64 = 16 << 20;
/// Plugins have a limit of their own, which a profile may raise up to this.
const LARGEST_BINARY: u64 = 256 << 20;

impl Project {
    /// The project around `start`: the nearest folder upwards with a `profiles` folder in it.
    pub fn find(start: &Path, profiles: Option<&Path>, state: Option<&Path>) -> anyhow::Result<Self> {
        let start = std::fs::canonicalize(start).map_err(|e| anyhow::anyhow!("{}: {e}", start.display()))?;
        let (root, folder) = match profiles {
            Some(folder) => {
                let folder = std::fs::canonicalize(start.join(folder))
                    .map_err(|e| anyhow::anyhow!("the folder of profiles {}: {e}", folder.display()))?;
                (folder.parent().unwrap_or(&folder).to_owned(), folder)
            }
            None => {
                let root = start.ancestors().find(|dir| dir.join("profiles").is_dir()).ok_or_else(|| {
                    anyhow::anyhow!(
                        "no folder `profiles` here or above ({}); `monprov init` writes a first project, `-C DIR` names another",
                        start.display()
                    )
                })?;
                (root.to_owned(), root.join("profiles"))
            }
        };
        let shown = folder.strip_prefix(&root).unwrap_or(&folder).display().to_string();
        let state = state.map_or_else(|| root.join(".monprov"), |s| start.join(s));
        Ok(Project { root, profiles: folder, shown, state, folders: Arc::default(), once: None })
    }

    /// The same project for a run over many profiles: every file is read and hashed once, and all
    /// see the same of it.
    pub fn once(&self) -> Self {
        Project { once: Some(Arc::default()), ..self.clone() }
    }

    /// The same on a host that has no profiles but a state directory, which it names: bundles
    /// built elsewhere run there. What their secrets name relative to the profiles is then
    /// relative to the state directory.
    pub fn find_or_state(
        start: &Path,
        profiles: Option<&Path>,
        state: Option<&Path>,
    ) -> anyhow::Result<Self> {
        match (Self::find(start, profiles, state), state, profiles) {
            (Err(_), Some(state), None) => {
                let state = std::path::absolute(start.join(state))?;
                let shown = state.display().to_string();
                let (root, profiles) = (state.clone(), state.clone());
                Ok(Project { root, profiles, shown, state, folders: Arc::default(), once: None })
            }
            (found, ..) => found,
        }
    }

    /// False on a host that has but a state directory.
    pub fn has_profiles(&self) -> bool {
        self.profiles != self.state
    }

    /// The folder of the layers.
    pub fn profiles(&self) -> &Path {
        &self.profiles
    }

    /// The files that a profile names, and what could not be read.
    pub fn files(&self, profile: &Profile) -> (Files, Vec<Finding>) {
        let mut files = Files::default();
        let mut findings = vec![];
        for (index, pattern) in profile.settings.rules.files.iter().enumerate() {
            let place = Place::setting(Setting::new(["rules", "files"]).join(index));
            match self.matching(pattern) {
                Ok(paths) if paths.is_empty() => {
                    let message = format!("no file matches `{pattern}`");
                    let note = format!("patterns are taken relative to {}/", self.shown);
                    findings.push(Finding::error(&M015, place, message).note(note));
                }
                Ok(paths) => {
                    for path in paths {
                        match self.text(&path) {
                            Ok((name, _)) if files.rules.iter().any(|(known, _)| *known == name) => {}
                            Ok(read) => files.rules.push(read),
                            Err(why) => findings.push(Finding::error(&M015, place.clone(), why)),
                        }
                    }
                }
                Err(why) => findings.push(Finding::error(&M015, place, why)),
            }
        }
        files.rules.sort();
        for (name, dashboard) in &profile.settings.dashboards {
            let Some(file) = &dashboard.file else { continue };
            let place = Place::setting(Setting::new(["dashboards", name, "file"]));
            match inside(file).and_then(|()| self.text(&self.profiles.join(file))) {
                Ok(read) => {
                    files.dashboards.insert(name.clone(), read);
                }
                Err(why) => findings.push(Finding::error(&M015, place, why)),
            }
        }
        (files, findings)
    }

    /// A file beside the profiles, such as a catalogue.
    pub fn beside(&self, file: &str) -> Result<(String, String), String> {
        inside(file)?;
        self.text(&self.profiles.join(file))
    }

    /// The same where there need be none.
    pub fn beside_if_there(&self, file: &str) -> Result<Option<(String, String)>, String> {
        match std::fs::symlink_metadata(self.profiles.join(file)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => self.beside(file).map(Some),
        }
    }

    /// How people name a file beside the profiles.
    pub(crate) fn shown(&self, file: &str) -> String {
        format!("{}/{file}", self.shown)
    }

    /// The names of the files that a pattern matches now.
    pub(crate) fn names_of(&self, pattern: &str) -> Vec<String> {
        let paths = self.matching(pattern).unwrap_or_default();
        paths.iter().map(|p| p.strip_prefix(&self.root).unwrap_or(p).display().to_string()).collect()
    }

    /// A file of the project that is no text, such as a plugin, by its name for people.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        inside(name)?;
        self.inner(&self.root.join(name))
            .and_then(|(name, real)| read_bytes(&real, LARGEST_BINARY).map_err(|why| format!("{name} {why}")))
    }

    /// The same where most often only its digest matters. `sha256`: the one that it should have.
    pub fn binary(&self, name: &str, sha256: &str) -> Result<Binary, String> {
        let open = |path: &Path| Binary::claimed(path, sha256.to_owned());
        Once::get(&self.once, |once| &once.binaries, name, || self.binary_now(name, open))
    }

    fn binary_now<T>(&self, name: &str, open: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
        inside(name)?;
        self.inner(&self.root.join(name))
            .and_then(|(name, real)| open(&real).map_err(|why| format!("{name} {why}")))
    }

    /// The same file's path on this machine.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// How people name a path, and whether it lies in the project at all.
    pub fn name_of(&self, path: &Path) -> Option<String> {
        let real = std::fs::canonicalize(path).ok()?;
        Some(real.strip_prefix(&self.root).ok()?.display().to_string())
    }

    /// SHA-256 of a file as it is now, by its name for people.
    pub(crate) fn digest(&self, name: &str) -> Option<String> {
        // Of many files: none stays open.
        Once::get(
            &self.once,
            |once| &once.digests,
            name,
            || Some(self.binary_now(name, Binary::open).ok()?.sha256),
        )
    }

    /// SHA-256 of a file's text as it was read.
    pub(crate) fn digest_of(&self, name: &str, text: &str) -> String {
        Once::get(&self.once, |once| &once.texts, name, || sha256(text.as_bytes()))
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        Once::get(&self.once, |once| &once.patterns, pattern, || self.matching_now(pattern))
    }

    fn matching_now(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        inside(pattern)?;
        let full = format!("{}/{pattern}", glob::Pattern::escape(&self.profiles.to_string_lossy()));
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let paths =
            glob::glob_with(&full, options).map_err(|e| format!("`{pattern}` is no pattern: {}", e.msg))?;
        paths.map(|p| p.map_err(|e| e.to_string())).collect()
    }

    /// A path without links in it. A folder is resolved once: its files are many.
    fn real(&self, path: &Path) -> std::io::Result<PathBuf> {
        let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else {
            return std::fs::canonicalize(path);
        };
        if std::fs::symlink_metadata(path)?.is_symlink() {
            return std::fs::canonicalize(path);
        }
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(real) = folders.get(folder) {
            return Ok(real.join(file));
        }
        let real = std::fs::canonicalize(folder)?;
        folders.insert(folder.to_owned(), real.clone());
        Ok(real.join(file))
    }

    /// A file's name for people and its text.
    fn text(&self, path: &Path) -> Result<(String, String), String> {
        Once::get(
            &self.once,
            |once| &once.files,
            path,
            || {
                let (name, real) = self.inner(path)?;
                read(&real).map(|text| (name.clone(), text)).map_err(|why| format!("{name} {why}"))
            },
        )
    }

    /// A file's name for people and its path without links, which must lie in the project.
    fn inner(&self, path: &Path) -> Result<(String, PathBuf), String> {
        let name = path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        let real = self.real(path).map_err(|e| format!("{name}: {}", reason(&e)))?;
        if !real.starts_with(&self.root) {
            return Err(format!("{name} is a link that leads out of the project"));
        }
        Ok((name, real))
    }
}

/// What tells this program from another build of it. For the memo alone: bundles don't
/// depend on it.
pub fn engine_identity() -> String {
    use std::os::unix::fs::MetadataExt;
    let version = env!("CARGO_PKG_VERSION");
    match std::env::current_exe().and_then(std::fs::metadata) {
        Ok(found) => format!("{version} {} {}.{}", found.size(), found.mtime(), found.mtime_nsec()),
        Err(_) => version.to_owned(),
    }
}

/// The system's words without its number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

type Kept<K, V> = Mutex<HashMap<K, V>>;

/// What was read already. Whoever asks again gets the same, also where the file has changed.
#[derive(Debug, Default)]
struct Once {
    files: Kept<PathBuf, Result<(String, String), String>>,
    texts: Kept<String, String>,
    digests: Kept<String, Option<String>>,
    binaries: Kept<String, Result<Binary, String>>,
    patterns: Kept<String, Result<Vec<PathBuf>, String>>,
    layers: Kept<String, Vec<String>>,
}

impl Once {
    fn get<K: Hash + Eq + Borrow<Q>, Q: ToOwned<Owned = K> + Hash + Eq + ?Sized, V: Clone>(
        once: &Option<Arc<Once>>,
        kept: impl Fn(&Once) -> &Kept<K, V>,
        key: &Q,
        make: impl FnOnce() -> V,
    ) -> V {
        let Some(once) = once else { return make() };
        let lock = || kept(once).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().get(key) {
            return found.clone();
        }
        let made = make();
        // Who was quicker decides.
        lock().entry(key.to_owned()).or_insert(made).clone()
    }
}

/// Refuses what is no file, or a larger one.
fn regular(path: &Path, limit: u64) -> Result<(), String> {
    let found = std::fs::metadata(path).map_err(|e| format!("can't be read: {}", reason(&e)))?;
    if !found.is_file() {
        return Err("is not a regular file".into());
    }
    if found.len() > limit {
        return Err(format!("is larger than {} MiB", limit >> 20));
    }
    Ok(())
}

fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    regular(path, limit)?;
    std::fs::read(path).map_err(|e| format!("can't be read: {}", reason(&e)))
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path, MAX_SIZE)?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
        format!("is not UTF-8 text (line {line}, byte {valid})")
    })?;
    if let Some(at) = text.find('\0') {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        return Err(format!("holds a NUL character (line {line}); is it a text file?"));
    }
    Ok(text)
}

/// Refuses paths that name something outside the folder of profiles.
fn inside(path: &str) -> Result<(), String> {
    use std::path::Component;
    if path.is_empty() || path.contains('\0') {
        return Err("an empty path or one with a NUL character names no file".into());
    }
    for component in Path::new(path).components() {
        match component {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir => {
                return Err(format!("`{path}` leads out of the project: `..` is not allowed"));
            }
            _ => return Err(format!("`{path}` is absolute; files are named relative to the profiles")),
        }
    }
    Ok(())
}

impl Source for Project {
    fn read(&self, name: &str) -> Read {
        let path = self.profiles.join(format!("{name}.toml"));
        match self.text(&path) {
            Ok((_, text)) => Read::Text(text),
            Err(_) if std::fs::symlink_metadata(&path).is_err() => Read::Missing,
            Err(why) => Read::Failed(why),
        }
    }

    fn names(&self) -> Vec<String> {
        Once::get(
            &self.once,
            |once| &once.layers,
            "",
            || {
                let entries = std::fs::read_dir(&self.profiles).into_iter().flatten().flatten();
                let mut names: Vec<String> = entries
                    .filter_map(|e| e.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
                    .collect();
                names.sort();
                names
            },
        )
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}.toml", self.shown)
    }
}
