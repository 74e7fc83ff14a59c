//! Compiled code of plugins: made once in a process of its own, and kept in the state folder.
//!
//! Code is trusted when it is loaded, so it is taken only from a folder and a file that belong
//! to the user who runs this and that nobody else can write. Its name is a digest over the
//! component and over everything else that decides about code.
#![expect(
    clippy::disallowed_methods,
    reason = "keeps compiled code on disk and compiles in a process of its own"
)]

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::bundle::manifest::sha256;
use crate::plugin::{Failure, component};

/// The verb of this program that compiles: for itself alone.
pub(crate) const VERB: &str = "compile-plugin";

/// What the process that compiles may use.
const MEMORY: u64 = 4 << 30;
const SECONDS: u64 = 120;

/// Why there is no code.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is the plugin's fault.
    Plugin(Failure),
    /// It is not.
    Machine(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble::Machine(error.into())
    }
}

/// The code of a plugin: kept, or made and kept.
pub(crate) fn code(state: &Path, file: &[u8]) -> Result<Vec<u8>, Trouble> {
    let version = component::code_version().map_err(Trouble::Plugin)?;
    let folder = private_folder(state)?;
    let path = folder.join(format!("{}.code", sha256(format!("{}\0{version}", sha256(file)).as_bytes())));
    if let Some(code) = read_own(&path)? {
        return Ok(code);
    }
    let code = compile(file)?;
    let mut kept = tempfile::Builder::new().prefix(".tmp-").tempfile_in(&folder)?;
    kept.write_all(&code)?;
    kept.as_file().sync_all()?;
    kept.persist(&path).with_context(|| path.display().to_string())?;
    Ok(code)
}

/// `plugins` in the state folder, which only its owner can enter.
fn private_folder(state: &Path) -> anyhow::Result<PathBuf> {
    let folder = state.join("plugins");
    std::fs::create_dir_all(state).with_context(|| state.display().to_string())?;
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| folder.display().to_string());
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
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
fn compile(file: &[u8]) -> Result<Vec<u8>, Trouble> {
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
        return Ok(output.stdout);
    }
    // What was said last: the allocator may have complained before.
    let said = String::from_utf8_lossy(&output.stderr);
    let failure = said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    Err(Trouble::Plugin(failure.unwrap_or_else(|| {
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
