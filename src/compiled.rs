//! Compiled code of plugins: made once in a process of its own, and kept in the state folder,
//! and beside it what each plugin said of itself.
//!
//! Code is trusted when it is loaded, so it is taken only from a folder and a file that belong
//! to the user who runs this and that nobody else can write. Its name is a digest over the
//! component and over everything else that decides about code.
#![expect(
    clippy::disallowed_methods,
    reason = "keeps compiled code on disk and compiles in a process of its own"
)]

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;

use crate::bundle::manifest::sha256;
use crate::plugin::component::{self, Code, Engines};
use crate::plugin::{Failure, Known};
use crate::project::{Binary, engine_identity};
use crate::store::At as _;

/// The verb of this program that compiles: for itself alone.
pub(crate) const VERB: &str = "compile-plugin";

/// What the process that compiles may use.
const MEMORY: u64 = 4 << 30;
const SECONDS: u64 = 120;

/// Where code lies in the state folder: `<digest of the file>-<digest of all else>.code`, and
/// `….<digest of what it was given>.known`.
const FOLDER: &str = "plugins";
const CODE: &str = "code";
const KNOWN: &str = "known";
/// What names start with until a file is whole.
const UNFINISHED: &str = ".tmp-";

/// A plugin's code, or what is wrong with the plugin. Plugins of one file share it.
type Compiled = Result<Code, Failure>;

/// Told which plugins are about to be compiled, which may take seconds. What it returns is
/// dropped when that is done.
pub(crate) type Watcher = Box<dyn Fn(&[&str]) -> Box<dyn Any> + Send + Sync>;

static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Shows compiling to who waits for it; to be set once, before anything is compiled.
pub(crate) fn watch(watcher: Watcher) {
    let _ = WATCHER.set(watcher);
}

/// A plugin's file, by whatever name its user knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) file: &'a Binary,
}

/// The folder of compiled code, for this release.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    version: String,
    pub(crate) engines: Engines,
}

impl Shelf {
    pub(crate) fn open(state: &Path) -> anyhow::Result<Self> {
        Ok(Shelf { folder: private_folder(state)?, version: version(), engines: Engines::default() })
    }

    /// The code of plugins, in their order: kept, or made and kept. An error of the whole is
    /// the machine's.
    pub(crate) fn code(&self, plugins: &[Wanted<'_>]) -> anyhow::Result<Vec<Compiled>> {
        let path = |plugin: &Wanted<'_>| {
            self.folder.join(format!("{}.{CODE}", stem(&plugin.file.sha256, &self.version)))
        };
        let paths: Vec<PathBuf> = plugins.iter().map(path).collect();
        let mut found: HashMap<&Path, Compiled> = HashMap::new();
        let mut missing: BTreeMap<&Path, Wanted<'_>> = BTreeMap::new();
        for (path, plugin) in paths.iter().zip(plugins) {
            if found.contains_key(path.as_path()) {
                continue;
            }
            match open_own(path)? {
                Some(code) => drop(found.insert(path, Ok(Code::Kept(Arc::new(code.into()))))),
                None => drop(missing.insert(path, *plugin)),
            }
        }
        if !missing.is_empty() {
            let names: Vec<&str> = missing.values().map(|plugin| plugin.name).collect();
            let _shown = WATCHER.get().map(|watcher| watcher(&names));
            let jobs: Vec<(&Path, &Binary)> =
                missing.into_iter().map(|(path, plugin)| (path, plugin.file)).collect();
            found.extend(compile_all(&self.folder, &jobs)?);
        }
        let code =
            |path: &PathBuf| found.get(path.as_path()).cloned().context("code that was just made is gone");
        paths.iter().map(code).collect()
    }

    /// What a plugin said when it was given the same before, to the same release.
    pub(crate) fn known(&self, sha256: &str, given: &str) -> Option<Known> {
        // Whatever is wrong with it: it is asked again.
        let mut file = open_own(&self.known_path(sha256, given)).ok()??;
        let mut text = vec![];
        file.read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(crate) fn keep_known(&self, sha256: &str, given: &str, known: &Known) -> anyhow::Result<()> {
        let path = self.known_path(sha256, given);
        keep(&self.folder, &path, &serde_json::to_vec(known)?)
    }

    fn known_path(&self, file: &str, given: &str) -> PathBuf {
        let given = sha256(format!("{}\0{given}", engine_identity()).as_bytes());
        let given: String = given.chars().take(16).collect();
        self.folder.join(format!("{}.{given}.{KNOWN}", stem(file, &self.version)))
    }
}

/// What everything but the file that decides about code is called in names of code.
fn version() -> String {
    sha256(component::code_version().as_bytes()).chars().take(16).collect()
}

fn stem(file: &str, version: &str) -> String {
    format!("{file}-{version}")
}

/// Compiles side by side, as many at once as there are processors, and keeps what was made.
fn compile_all<'p>(folder: &Path, jobs: &[(&'p Path, &Binary)]) -> anyhow::Result<Vec<(&'p Path, Compiled)>> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made = vec![];
        while let Some((path, file)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let code = match file.bytes() {
                Ok(bytes) => compile(&bytes)?,
                Err(why) => Err(Failure::NotCompiled(why.to_string())),
            };
            if let Ok(code) = &code {
                keep(folder, path, code)?;
            }
            made.push((*path, code.map(Code::from)));
        }
        anyhow::Ok(made)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut all = vec![];
        for worker in running {
            let made = worker.join().map_err(|_| anyhow::anyhow!("a thread that compiles plugins ended"))?;
            all.extend(made?);
        }
        Ok(all)
    })
}

/// Puts a file into the folder, whole or not at all.
fn keep(folder: &Path, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<_> {
        let mut kept = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        kept.write_all(content)?;
        kept.as_file().sync_all()?;
        kept.persist(path).map_err(|error| error.error)
    };
    write().at("write", path)?;
    Ok(())
}

/// What [`collect`] removed, or would.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Removed {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// Removes code that this release can't use, or whose file has none of these digests.
pub(crate) fn collect(state: &Path, files: &BTreeSet<&str>, dry_run: bool) -> anyhow::Result<Removed> {
    /// No compilation takes as long.
    const STALE: Duration = Duration::from_secs(3600);
    let folder = state.join(FOLDER);
    let mut removed = Removed::default();
    if !folder.try_exists()? {
        return Ok(removed);
    }
    let needed: BTreeSet<String> = match files.is_empty() {
        true => BTreeSet::new(),
        false => {
            let version = version();
            files.iter().map(|file| stem(file, &version)).collect()
        }
    };
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        // Another run may have been quicker.
        let Ok(found) = entry.metadata() else { continue };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let unfinished = name.starts_with(UNFINISHED);
        let written = found.modified()?.elapsed().unwrap_or_default();
        let of = name.split('.').next().unwrap_or_default();
        if needed.contains(of) || (unfinished && written < STALE) {
            continue;
        }
        removed.files += usize::from(!name.ends_with(KNOWN));
        removed.bytes += found.len();
        if dry_run {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| entry.path().display().to_string());
            }
            _ => {}
        }
    }
    Ok(removed)
}

/// `plugins` in the state folder, which only its owner can enter.
fn private_folder(state: &Path) -> anyhow::Result<PathBuf> {
    let folder = state.join(FOLDER);
    std::fs::create_dir_all(state).at("make", state)?;
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).at("make", &folder)?;
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(&folder).with_context(|| folder.display().to_string())?;
    anyhow::ensure!(
        found.is_dir() && is_own(&found),
        "{} is no folder that only you can write: remove it, monprov makes it again",
        folder.display()
    );
    Ok(folder)
}

fn is_own(found: &std::fs::Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0
}

/// A file of our own; `None` where there is none.
fn open_own(path: &Path) -> anyhow::Result<Option<File>> {
    let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = match std::fs::OpenOptions::new().read(true).custom_flags(no_link).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    // Of the file that is open, so that nobody can exchange it in between.
    let found = file.metadata()?;
    anyhow::ensure!(
        found.is_file() && is_own(&found),
        "{} is no file that only you can write: remove it, monprov makes it again",
        path.display()
    );
    Ok(Some(file))
}

/// Compiles in a process of its own, which may be ended.
fn compile(file: &[u8]) -> anyhow::Result<Result<Vec<u8>, Failure>> {
    let program = std::env::current_exe().context("where this program lies")?;
    let mut child = Command::new(program)
        .arg(VERB)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the process that compiles")?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended early says why below.
        let _ = stdin.write_all(file);
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(Ok(output.stdout));
    }
    // What was said last: the allocator may have complained before.
    let said = String::from_utf8_lossy(&output.stderr);
    let failure = said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    Ok(Err(failure.unwrap_or_else(|| {
        let (memory, seconds) = (MEMORY >> 30, SECONDS);
        Failure::NotCompiled(format!(
            "the compiler gave up ({}): it is damaged, or takes more than {memory} GiB of memory or {seconds} s",
            output.status
        ))
    })))
}

/// The process that compiles: a component on stdin, code on stdout, a [`Failure`] on stderr.
pub(crate) fn child() -> anyhow::Result<bool> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    for (resource, most) in [(Resource::As, MEMORY), (Resource::Cpu, SECONDS)] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    let mut file = vec![];
    std::io::stdin().read_to_end(&mut file)?;
    match component::compile(&file) {
        Ok(code) => {
            std::io::stdout().write_all(&code)?;
            Ok(true)
        }
        Err(failure) => {
            serde_json::to_writer(std::io::stderr(), &failure)?;
            Ok(false)
        }
    }
}
