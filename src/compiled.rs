//! Compiled code of plugins: made once in a process of its own, and kept in the state folder.
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
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;

use crate::bundle::manifest::sha256;
use crate::plugin::{Failure, component};
use crate::store::At as _;

/// The verb of this program that compiles: for itself alone.
pub(crate) const VERB: &str = "compile-plugin";

/// What the process that compiles may use.
const MEMORY: u64 = 4 << 30;
const SECONDS: u64 = 120;

/// Where code lies in the state folder: `<digest of the file>-<digest of all else>.code`.
const FOLDER: &str = "plugins";
const EXTENSION: &str = "code";
/// What names start with until a file is whole.
const UNFINISHED: &str = ".tmp-";

/// A plugin's code, or what is wrong with the plugin.
/// Plugins of one file share it.
pub(crate) type Code = Result<Arc<Vec<u8>>, Failure>;

/// Told which plugins are about to be compiled, which may take seconds. What it returns is
/// dropped when that is done.
pub(crate) type Watcher = Box<dyn Fn(&[&str]) -> Box<dyn Any> + Send + Sync>;

static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Shows compiling to who waits for it; to be set once, before anything is compiled.
pub(crate) fn watch(watcher: Watcher) {
    let _ = WATCHER.set(watcher);
}

/// The code of plugins (name and file), in their order: kept, or made and kept. An error of
/// the whole is the machine's.
pub(crate) fn code(state: &Path, plugins: &[(&str, &[u8])]) -> anyhow::Result<Vec<Code>> {
    let folder = private_folder(state)?;
    let mine = version()?;
    let paths: Vec<PathBuf> =
        plugins.iter().map(|(_, file)| folder.join(name(&sha256(file), &mine))).collect();
    let mut found: HashMap<&Path, Code> = HashMap::new();
    let mut missing: BTreeMap<&Path, (&str, &[u8])> = BTreeMap::new();
    for (path, plugin) in paths.iter().zip(plugins) {
        match read_own(path)? {
            Some(code) => drop(found.insert(path, Ok(Arc::new(code)))),
            None => drop(missing.insert(path, *plugin)),
        }
    }
    if !missing.is_empty() {
        let names: Vec<&str> = missing.values().map(|(name, _)| *name).collect();
        let _shown = WATCHER.get().map(|watcher| watcher(&names));
        let jobs: Vec<(&Path, &[u8])> = missing.into_iter().map(|(path, (_, file))| (path, file)).collect();
        found.extend(compile_all(&folder, &jobs)?);
    }
    let code = |path: &PathBuf| found.get(path.as_path()).cloned().context("code that was just made is gone");
    paths.iter().map(code).collect()
}

/// What everything but the file that decides about code is called in names of code.
fn version() -> anyhow::Result<String> {
    let version = component::code_version().map_err(|failure| anyhow::anyhow!("the compiler {failure}"))?;
    Ok(sha256(version.as_bytes()).chars().take(16).collect())
}

fn name(file: &str, version: &str) -> String {
    format!("{file}-{version}.{EXTENSION}")
}

/// Compiles side by side, as many at once as there are processors, and keeps what was made.
fn compile_all<'p>(folder: &Path, jobs: &[(&'p Path, &[u8])]) -> anyhow::Result<Vec<(&'p Path, Code)>> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made = vec![];
        while let Some((path, file)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            made.push((*path, compile(file).and_then(|code| keep(folder, path, code))?));
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

/// Puts code into the folder, whole or not at all.
fn keep(folder: &Path, path: &Path, code: Code) -> anyhow::Result<Code> {
    if let Ok(code) = &code {
        let write = || -> std::io::Result<_> {
            let mut kept = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
            kept.write_all(code)?;
            kept.as_file().sync_all()?;
            kept.persist(path).map_err(|error| error.error)
        };
        write().at("write", path)?;
    }
    Ok(code)
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
            let version = version()?;
            files.iter().map(|file| name(file, &version)).collect()
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
        if needed.contains(&*name) || (unfinished && written < STALE) {
            continue;
        }
        removed.files += 1;
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
fn read_own(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file = match std::fs::OpenOptions::new().read(true).custom_flags(no_link).open(path) {
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
    let mut code = vec![];
    file.read_to_end(&mut code)?;
    Ok(Some(code))
}

/// Compiles in a process of its own, which may be ended.
fn compile(file: &[u8]) -> anyhow::Result<Code> {
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
        return Ok(Ok(Arc::new(output.stdout)));
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
