//! From the store into a cache: the archive first, what is known of it next.

use std::io::{self, Read, Seek as _, Write};
use std::path::Path as FilePath;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};
use sha2::{Digest, Sha256};
use tempfile::SpooledTempFile;

use super::narinfo::{Compression, NarInfo};
use super::place::Kind;
use super::{Cache, CacheError, INFO, INFO_TEXT, Put, narinfo_path, provenance_path};
use crate::bundle::name::base32;
use crate::bundle::{NarHash, StoreName};
use crate::store::{At as _, Store, StorePath};
use crate::trust::Signature;

/// Text gets three times smaller at it, as fast as it is hashed.
const LEVEL: i32 = 3;
/// Up to here a compressed archive is held; beyond it waits in a file.
const HELD: usize = 8 << 20;
/// How much of a large archive is sent at a time, and how many of those at once.
const PART: usize = 8 << 20;
const AT_ONCE: usize = 4;

/// A bundle that is in the cache now.
#[derive(Debug)]
pub struct Pushed {
    pub name: StoreName,
    /// How large the archive is as it is kept.
    pub bytes: u64,
    pub news: News,
    pub signatures: Vec<Signature>,
}

/// What had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    All,
    /// The cache had the bundle, without these signatures.
    Signatures,
    Nothing,
}

/// An archive, compressed.
struct Packed {
    file: SpooledTempFile,
    file_hash: [u8; 32],
    file_size: u64,
    nar_hash: NarHash,
    nar_size: u64,
}

impl Cache {
    /// Brings a bundle of the store into the cache, with the signatures that the store has.
    pub fn push(&self, store: &Store, path: &StorePath) -> Result<Pushed, CacheError> {
        let name = path.name();
        store.require_portable(path)?;
        let signatures = store.signatures(name)?;
        // What is there and wrong is written over: the name says what is right.
        let known = match self.info(name) {
            Err(CacheError::Wrong { .. }) => None,
            known => known?,
        };
        let mut info = match known {
            Some(info) if self.has(&Path::from(info.url.as_str()), "the archive")? => info,
            _ => return self.push_all(store, path, signatures),
        };
        let (nar_hash, nar_size) = store.nar(path)?;
        if (info.nar_hash, info.nar_size) != (nar_hash, nar_size) {
            return self.push_all(store, path, signatures);
        }
        let more: Vec<Signature> =
            signatures.into_iter().filter(|one| !info.signatures.contains(one)).collect();
        let news = if more.is_empty() { News::Nothing } else { News::Signatures };
        info.signatures.extend(more);
        if news == News::Signatures {
            self.put_info(&info)?;
        }
        self.put_provenance(store, name)?;
        Ok(Pushed {
            name: name.clone(),
            bytes: info.file_size.unwrap_or_default(),
            news,
            signatures: info.signatures,
        })
    }

    fn push_all(
        &self,
        store: &Store,
        path: &StorePath,
        signatures: Vec<Signature>,
    ) -> Result<Pushed, CacheError> {
        let packed = pack(store, path)?;
        let url = format!("nar/{}.nar.zst", base32(&packed.file_hash));
        let info = NarInfo {
            name: path.name().clone(),
            url: url.clone(),
            compression: Compression::Zstd,
            file_hash: Some(packed.file_hash),
            file_size: Some(packed.file_size),
            nar_hash: packed.nar_hash,
            nar_size: packed.nar_size,
            signatures,
        };
        self.upload(
            &Path::from(url),
            packed.file,
            packed.file_size,
            &format!("the archive of {}", path.name()),
        )?;
        self.put_provenance(store, path.name())?;
        self.put_info(&info)?;
        Ok(Pushed { name: info.name, bytes: packed.file_size, news: News::All, signatures: info.signatures })
    }

    pub(super) fn put_info(&self, info: &NarInfo) -> Result<(), CacheError> {
        let what = format!("the narinfo of {}", info.name);
        self.put(&narinfo_path(&info.name), Bytes::from(info.to_string()), Put::Always, &what).map(|_| ())
    }

    fn put_provenance(&self, store: &Store, name: &StoreName) -> Result<(), CacheError> {
        match store.provenance(name)? {
            Some(bytes) => {
                let what = format!("the provenance of {name}");
                self.put(&provenance_path(name), bytes.into(), Put::Always, &what).map(|_| ())
            }
            None => Ok(()),
        }
    }

    /// Says what it is, for Nix; once before anything is written.
    pub fn introduce(&self) -> Result<(), CacheError> {
        let path = Path::from(INFO);
        if self.has(&path, INFO)? {
            return Ok(());
        }
        self.put(&path, Bytes::from_static(INFO_TEXT.as_bytes()), Put::Always, INFO).map(|_| ())
    }

    /// Writes an object of any size: what is large in parts, where the place takes parts.
    pub(super) fn upload(
        &self,
        path: &Path,
        mut from: impl Read,
        size: u64,
        what: &str,
    ) -> Result<(), CacheError> {
        let in_parts = size > HELD as u64 && self.kind != Kind::Web;
        if !in_parts {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default().min(HELD));
            from.read_to_end(&mut bytes).at("read", FilePath::new(what))?;
            let put = self.wait(self.objects.put(path, PutPayload::from(bytes)));
            return put.map(|_| ()).map_err(|error| self.unwritten(what, error));
        }
        let upload =
            self.wait(self.objects.put_multipart(path)).map_err(|error| self.unwritten(what, error))?;
        let mut upload = {
            let _runtime = self.runtime.enter();
            WriteMultipart::new_with_chunk_size(upload, PART)
        };
        let mut part = vec![0; PART];
        loop {
            let read = match fill(&mut from, &mut part) {
                Ok(read) => read,
                Err(error) => {
                    let _ = self.wait(upload.abort());
                    return Err(error).at("read", FilePath::new(what)).map_err(CacheError::from);
                }
            };
            if read == 0 {
                break;
            }
            let sent = self.wait(async {
                upload.wait_for_capacity(AT_ONCE).await?;
                upload.write(part.get(..read).unwrap_or_default());
                Ok(())
            });
            sent.map_err(|error| self.unwritten(what, error))?;
        }
        self.wait(upload.finish()).map(|_| ()).map_err(|error| self.unwritten(what, error))
    }
}

/// Compresses a bundle, and proves on the way that it is what its name says.
fn pack(store: &Store, path: &StorePath) -> Result<Packed, CacheError> {
    let at = path.path();
    let spool = tempfile::spooled_tempfile_in(HELD, store.directory());
    let counted = Counted { out: spool, sum: Sha256::new(), size: 0 };
    let mut encoder = zstd::stream::write::Encoder::new(counted, LEVEL).at("read", at)?;
    let (nar_hash, nar_size) = store.dump(path, &mut encoder)?;
    let Counted { out: mut file, sum, size: file_size } = encoder.finish().at("read", at)?;
    file.rewind().at("read", at)?;
    Ok(Packed { file, file_hash: sum.finalize().into(), file_size, nar_hash, nar_size })
}

struct Counted<W> {
    out: W,
    sum: Sha256,
    size: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
