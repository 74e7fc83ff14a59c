//! A bundle as it is on disk: hashed as a NAR, and checked for what no bundle has.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::ffi::OsString;
use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind, Read as _, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::error::{At as _, StoreError};
use super::write::{DIRECTORY, EXECUTABLE, FILE, MTIME};
use crate::bundle::listing::hex;
use crate::bundle::nar::{NarWriter, Sink};
use crate::bundle::{NarHash, Tree};

/// Stays in the second-level cache between the kernel's copy and the hash.
const BUFFER: usize = 256 * 1024;

/// What a directory tree on disk is.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) hash: NarHash,
    /// The size of its NAR.
    pub(super) size: u64,
    /// Whether it is made of nothing but files and directories with the modes and times of a bundle.
    pub(super) regular: bool,
    /// Everything found, if asked for.
    pub(super) entries: Vec<Entry>,
}

/// One entry of a tree on disk.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the root, which itself is empty.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) time_is_right: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// With the SHA-256 of its content.
    File {
        sha256: String,
    },
    /// A file or directory that may not be read.
    Unreadable,
    /// What a bundle can't hold.
    Other(&'static str),
}

/// The NAR hash of a directory, as `nix-hash --type sha256` prints it. Links and special files,
/// which a bundle can't hold, are left out.
pub fn hash_directory(path: &Path) -> Result<NarHash, StoreError> {
    Ok(scan(path, false)?.hash)
}

/// Whether there is anything at that path; a link is.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        found => found.at("look at", path).map(|_| true),
    }
}

/// The names in a directory; none if it is not there.
pub(super) fn names(directory: &Path) -> Result<Vec<OsString>, StoreError> {
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries
            .at("read", directory)?
            .map(|entry| entry.map(|entry| entry.file_name()).at("read", directory))
            .collect(),
    }
}

/// Reads the whole tree; with `entries`, also the digest of every file.
pub(super) fn scan(root: &Path, entries: bool) -> Result<Scan, StoreError> {
    scan_into(root, entries, &mut io::sink())
}

/// The same, and writes the tree's NAR.
pub(super) fn scan_into(root: &Path, entries: bool, out: &mut dyn Write) -> Result<Scan, StoreError> {
    let mut scanner = Scanner {
        root,
        nar: NarWriter::to(Tee { sum: Sha256::new(), out }).at("read", root)?,
        buffer: vec![0; BUFFER],
        regular: true,
        entries: entries.then(Vec::new),
    };
    scanner.nar.open_root().at("read", root)?;
    scanner.directory(root.to_owned())?;
    scanner.nar.close_root().at("read", root)?;
    let Scanner { nar, regular, entries, .. } = scanner;
    let (tee, size) = nar.end();
    let hash = NarHash::from(<[u8; 32]>::from(tee.sum.finalize()));
    Ok(Scan { hash, size, regular, entries: entries.unwrap_or_default() })
}

/// What is hashed, and written as well.
struct Tee<'a> {
    sum: Sha256,
    out: &'a mut dyn Write,
}

impl Sink for Tee<'_> {
    type Error = io::Error;

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}

struct Scanner<'a> {
    root: &'a Path,
    nar: NarWriter<Tee<'a>>,
    buffer: Vec<u8>,
    regular: bool,
    entries: Option<Vec<Entry>>,
}

impl Scanner<'_> {
    /// Depth is bounded by the length of a path that the kernel takes.
    fn directory(&mut self, path: PathBuf) -> Result<(), StoreError> {
        let metadata = std::fs::symlink_metadata(&path).at("look at", &path)?;
        if !metadata.is_dir() {
            self.found(&path, Kind::Other(kind_name(metadata.file_type())), &metadata);
            return Ok(());
        }
        let listed = std::fs::read_dir(&path).and_then(|entries| {
            entries
                .map(|entry| entry.and_then(|entry| Ok((entry.file_name().into_vec(), entry.file_type()?))))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut names = match listed {
            Err(error) if self.is_locked_up(&error, &metadata, DIRECTORY) => {
                self.found(&path, Kind::Unreadable, &metadata);
                return Ok(());
            }
            listed => listed.at("read", &path)?,
        };
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.found(&path, Kind::Directory, &metadata);
        for (name, kind) in names {
            let inner = path.join(std::ffi::OsStr::from_bytes(&name));
            if kind.is_dir() {
                self.nar.open_directory(&name).at("read", &inner)?;
                self.directory(inner)?;
                self.nar.close_directory().at("read", &path)?;
            } else if kind.is_file() {
                self.file(inner, &name)?;
            } else {
                let metadata = std::fs::symlink_metadata(&inner).at("look at", &inner)?;
                self.found(&inner, Kind::Other(kind_name(kind)), &metadata);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, name: &[u8]) -> Result<(), StoreError> {
        // Should it turn into a link or a pipe just now, neither is followed nor waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut file: File = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(errno) => {
                let metadata = std::fs::symlink_metadata(&path).at("look at", &path)?;
                let error = errno.into();
                if self.is_locked_up(&error, &metadata, FILE) {
                    self.found(&path, Kind::Unreadable, &metadata);
                    return Ok(());
                }
                return Err(error).at("read", &path);
            }
        };
        let metadata = file.metadata().at("read", &path)?;
        let size = metadata.len();
        self.nar.open_file(name, metadata.mode() & 0o100 != 0, size).at("read", &path)?;
        let mut digest = self.entries.is_some().then(Sha256::new);
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let buffer = self.buffer.get_mut(..want).unwrap_or_default();
            // Truncated while it is read: an error, and rightly so.
            file.read_exact(buffer).at("read", &path)?;
            self.nar.content(buffer).at("read", &path)?;
            if let Some(digest) = &mut digest {
                digest.update(&*buffer);
            }
            left -= want as u64;
        }
        self.nar.close_file(size).at("read", &path)?;
        let sha256 = digest.map(|digest| hex(&digest.finalize())).unwrap_or_default();
        self.found(&path, Kind::File { sha256 }, &metadata);
        Ok(())
    }

    /// Whether an entry can't be read because somebody changed its mode, which is a difference
    /// to report; with the right mode it is a failure of ours.
    fn is_locked_up(&self, error: &io::Error, metadata: &Metadata, mode: u32) -> bool {
        error.kind() == ErrorKind::PermissionDenied && metadata.mode() & mode != mode
    }

    fn found(&mut self, path: &Path, kind: Kind, metadata: &Metadata) {
        let mode = metadata.mode() & 0o7777;
        let time_is_right = (metadata.mtime(), metadata.mtime_nsec()) == (MTIME, 0);
        self.regular &= time_is_right
            && match kind {
                Kind::Directory => mode == DIRECTORY,
                Kind::File { .. } => mode == FILE || mode == EXECUTABLE,
                Kind::Unreadable | Kind::Other(_) => false,
            };
        if let Some(entries) = &mut self.entries {
            let path = path.strip_prefix(self.root).unwrap_or(path).to_owned();
            entries.push(Entry { path, kind, mode, time_is_right });
        }
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_symlink() => "symbolic link",
        kind if kind.is_fifo() => "pipe",
        kind if kind.is_socket() => "socket",
        kind if kind.is_file() => "file",
        _ => "device",
    }
}

/// The files of a bundle, read back. Meant for one that was just found intact.
pub fn read_tree(bundle: &Path) -> Result<Tree, StoreError> {
    let mut tree = Tree::new();
    for entry in walkdir::WalkDir::new(bundle) {
        let entry = entry.map_err(io::Error::from).at("read", bundle)?;
        if !entry.file_type().is_file() {
            continue;
        }
        let name = entry.path().strip_prefix(bundle).unwrap_or(entry.path()).to_string_lossy().into_owned();
        let content = std::fs::read(entry.path()).at("read", entry.path())?;
        let metadata = entry.metadata().map_err(io::Error::from).at("read", entry.path())?;
        match metadata.mode() & 0o100 {
            0 => tree.insert(name, content),
            _ => tree.insert_executable(name, content),
        }
    }
    Ok(tree)
}
