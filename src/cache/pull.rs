//! From a cache into the store. Nothing that comes is believed before its hash is checked, and
//! nothing appears in the store before all of it is.

use std::cell::RefCell;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lzma_rust2::XzReader;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStoreExt as _};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{Receiver, channel};

use super::narinfo::{Compression, NarInfo};
use super::{Cache, CacheError, provenance_path};
use crate::bundle::StoreName;
use crate::bundle::nar::read::{Limits, NarError};
use crate::store::{ImportError, Store, StorePath};
use crate::trust::envelope::Envelope;
use crate::trust::{Signature, Trust, Verdict};

/// How often a transfer that was cut off begins anew. Servers that name versions (`ETag`) go on
/// where they were before that.
const ATTEMPTS: usize = 3;
/// Pieces of an archive that wait for whoever unpacks it.
const WAITING: usize = 16;
/// As base 2: what a decoder may reserve. More than the strongest usual level needs.
const WINDOW: u32 = 25;
const XZ_MEMORY_KB: u32 = 128 << 10;
/// The largest that is kept of how a bundle was built.
const MAX_PROVENANCE: u64 = 16 << 20;

/// A bundle that is in the store now.
#[derive(Debug)]
pub struct Pulled {
    pub path: StorePath,
    pub verdict: Verdict,
    /// What was transferred; `None` where the store had the bundle.
    pub bytes: Option<u64>,
}

/// Whether a bundle that the store has is taken without asking the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// Its signatures may have become more.
    AskAllTheSame,
    IsEnough,
}

impl Cache {
    /// Brings a bundle into the store, if it may be taken. The caller holds the store until
    /// something points to the bundle.
    pub fn pull(
        &self,
        store: &Store,
        name: &StoreName,
        trust: &Trust,
        here: Here,
    ) -> Result<Pulled, CacheError> {
        let is_here = match store.get(name)? {
            // One that was changed on disk comes anew, and takes its place.
            Some(path) if store.verify(&path)?.is_empty() => {
                store.complete(&path)?;
                Some(path)
            }
            _ => None,
        };
        if let (Some(path), Here::IsEnough) = (&is_here, here) {
            let (hash, size) = store.nar(path)?;
            let verdict = trust.judge_bundle(name, &hash, size, &store.signatures(name)?);
            if trust.admit(name, &verdict).is_ok() {
                return Ok(Pulled { path: path.clone(), verdict, bytes: None });
            }
        }
        let missing = || CacheError::Missing { cache: self.shown.clone(), name: name.clone() };
        let info = self.info(name)?.ok_or_else(missing)?;
        let verdict = self.admit(&info, trust)?;
        let (path, bytes) = match is_here {
            Some(path) => (path, None),
            None => self.fetch(store, &info).map(|(path, bytes)| (path, Some(bytes)))?,
        };
        // What is wrong or revoked is not handed on.
        let good =
            |one: &&Signature| !verdict.wrong.contains(one.name()) && !verdict.revoked.contains(one.name());
        let signatures: Vec<Signature> = info.signatures.iter().filter(good).cloned().collect();
        store.add_signatures(&path, &signatures)?;
        if store.provenance(name)?.is_none() {
            self.provenance(store, name)?;
        }
        Ok(Pulled { path, verdict, bytes })
    }

    /// Judges the signatures that a narinfo bears.
    pub(super) fn admit(&self, info: &NarInfo, trust: &Trust) -> Result<Verdict, CacheError> {
        let verdict = trust.judge_bundle(&info.name, &info.nar_hash, info.nar_size, &info.signatures);
        trust
            .admit(&info.name, &verdict)
            .map_err(|refusal| CacheError::Unsigned { name: info.name.to_string(), refusal })?;
        let most = Limits::default().size;
        if info.nar_size > most {
            let why = format!("it has {} bytes, and at most {most} are taken", info.nar_size);
            return Err(self.wrong(info.name.to_string(), why));
        }
        Ok(verdict)
    }

    fn fetch(&self, store: &Store, info: &NarInfo) -> Result<(StorePath, u64), CacheError> {
        let mut attempt = 1;
        loop {
            match self.fetch_once(store, info) {
                Err(CacheError::Cut { what, why, .. }) if attempt < ATTEMPTS => {
                    tracing::debug!(%what, %why, attempt, "begins anew");
                    attempt += 1;
                }
                fetched => return fetched,
            }
        }
    }

    fn fetch_once(&self, store: &Store, info: &NarInfo) -> Result<(StorePath, u64), CacheError> {
        let what = format!("the archive of {}", info.name);
        let arriving = RefCell::new(Arriving::default());
        let body = self.body(&info.url, &what)?;
        let counted = Counted { body, most: info.file_size, arriving: &arriving };
        let nar = decoder(info.compression, counted).map_err(|error| self.wrong(&what, error.to_string()))?;
        let agree = || arriving.borrow_mut().agree(info);
        let build = serde_json::Value::Null;
        let imported =
            store.import(&info.name, info.nar_size, BufReader::with_capacity(64 << 10, nar), agree, build);
        let state = arriving.into_inner();
        match imported {
            Ok(path) => Ok((path, state.size)),
            Err(ImportError::Store(error)) => Err(error.into()),
            // Whatever the decoder made of it.
            Err(_) if state.cut.is_some() => {
                let why = state.cut.unwrap_or_default();
                Err(CacheError::Cut { cache: self.shown.clone(), what, why })
            }
            Err(_) if state.ended && info.file_size.is_some_and(|size| size > state.size) => {
                let why = format!("it has {} bytes of {}", state.size, info.file_size.unwrap_or_default());
                Err(self.wrong(what, why))
            }
            Err(ImportError::Nar(NarError::Io(error))) => Err(self.wrong(what, error.to_string())),
            Err(error) => Err(self.wrong(what, error.to_string())),
        }
    }

    /// The bytes of an object as they come.
    pub(super) fn body(&self, url: &str, what: &str) -> Result<Box<dyn Read + Send>, CacheError> {
        let got = match self.wait(self.objects.get(&Path::from(url))) {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(self.wrong(what, "the cache has its narinfo, but not the archive: push it again"));
            }
            Err(error) => return Err(self.failed(what, error)),
        };
        if let GetResultPayload::File(file, _) = got.payload {
            return Ok(Box::new(file));
        }
        let (sender, pieces) = channel(WAITING);
        let mut stream = got.into_stream();
        self.runtime.spawn(async move {
            while let Some(piece) = stream.next().await {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        });
        Ok(Box::new(Pieces { pieces, piece: Bytes::new(), _runtime: Arc::clone(&self.runtime) }))
    }

    /// Takes over how a bundle was built. It is judged by who reads it.
    fn provenance(&self, store: &Store, name: &StoreName) -> Result<(), CacheError> {
        let what = format!("the provenance of {name}");
        match self.get(&provenance_path(name), MAX_PROVENANCE, &what) {
            Ok(Some(object)) if Envelope::parse(&object.bytes).is_ok() => {
                store.put_provenance(name, &object.bytes)?;
            }
            Ok(None) => {}
            // The bundle is what it is without it.
            Ok(Some(_)) => tracing::warn!("{what} can't be read and is left out"),
            Err(error) => tracing::warn!("{error}"),
        }
        Ok(())
    }
}

pub(super) fn decoder<'a>(compression: Compression, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(input)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(decoder)
        }
        Compression::Xz => Box::new(XzReader::new_mem_limit(input, true, XZ_MEMORY_KB)),
    })
}

/// What is known of an archive while it comes.
#[derive(Default)]
struct Arriving {
    sum: Sha256,
    size: u64,
    ended: bool,
    /// Why the transfer stopped before the end.
    cut: Option<String>,
}

impl Arriving {
    /// Whether what came is what the narinfo said would come.
    fn agree(&mut self, info: &NarInfo) -> Result<(), String> {
        if !self.ended {
            return Err("there is more of it than one archive".into());
        }
        if let Some(size) = info.file_size.filter(|size| *size != self.size) {
            return Err(format!("it has {} bytes, and its narinfo says {size}", self.size));
        }
        let sum: [u8; 32] = self.sum.finalize_reset().into();
        match info.file_hash {
            Some(hash) if hash != sum => Err("its hash is not the `FileHash` of its narinfo".into()),
            _ => Ok(()),
        }
    }
}

struct Counted<'a, R> {
    body: R,
    most: Option<u64>,
    arriving: &'a RefCell<Arriving>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut arriving = self.arriving.borrow_mut();
        let read = match self.body.read(into) {
            Ok(read) => read,
            Err(error) => {
                arriving.cut = Some(error.to_string());
                return Err(error);
            }
        };
        arriving.ended |= read == 0 && !into.is_empty();
        arriving.size += read as u64;
        if self.most.is_some_and(|most| arriving.size > most) {
            return Err(io::Error::other("it is larger than the `FileSize` of its narinfo"));
        }
        arriving.sum.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// What a task of the runtime receives, read by another thread.
struct Pieces {
    pieces: Receiver<object_store::Result<Bytes>>,
    piece: Bytes,
    /// It must live on for as long as somebody waits.
    _runtime: Arc<tokio::runtime::Runtime>,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        let piece = self.piece.split_to(length);
        into.get_mut(..length).unwrap_or_default().copy_from_slice(&piece);
        Ok(length)
    }
}
