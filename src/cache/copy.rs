//! From one cache into another, without a store in between. What is wrong is not carried on.

use std::io::{self, BufReader, Read, Seek as _, Write as _};
use std::path::Path as FilePath;

use object_store::path::Path;
use sha2::{Digest, Sha256};
use tempfile::SpooledTempFile;

use super::narinfo::{Compression, NarInfo};
use super::pull::decoder;
use super::{Cache, CacheError, Put, provenance_path};
use crate::bundle::name::base32;
use crate::bundle::nar::read::{Limits, NarReader};
use crate::bundle::{NarHash, StoreName};
use crate::store::At as _;
use crate::trust::Trust;

const HELD: usize = 8 << 20;
const MAX_PROVENANCE: u64 = 16 << 20;

/// A bundle that the other cache has now.
#[derive(Debug)]
pub struct Copied {
    pub name: StoreName,
    /// What was transferred; `None` where the other had it.
    pub bytes: Option<u64>,
}

impl Cache {
    pub fn copy(&self, to: &Cache, name: &StoreName, trust: &Trust) -> Result<Copied, CacheError> {
        let missing = || CacheError::Missing { cache: self.shown.clone(), name: name.clone() };
        let mut info = self.info(name)?.ok_or_else(missing)?;
        self.admit(&info, trust)?;
        let known = match to.info(name) {
            Err(CacheError::Wrong { .. }) => None,
            known => known?,
        };
        let bytes = match known {
            Some(mut known) if to.has(&Path::from(known.url.as_str()), "the archive")? => {
                let before = known.signatures.len();
                known.signatures.extend(
                    info.signatures
                        .iter()
                        .filter(|s| !known.signatures.contains(s))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
                if known.signatures.len() > before {
                    to.put_info(&known)?;
                }
                None
            }
            _ => {
                let what = format!("the archive of {name}");
                let (file, size) = self.held(&mut info, &what)?;
                to.upload(&Path::from(info.url.as_str()), file, size, &what)?;
                Some(size)
            }
        };
        let what = format!("the provenance of {name}");
        if let Some(object) = self.get(&provenance_path(name), MAX_PROVENANCE, &what)? {
            to.put(&provenance_path(name), object.bytes, Put::Always, &what)?;
        }
        if bytes.is_some() {
            to.put_info(&info)?;
        }
        Ok(Copied { name: name.clone(), bytes })
    }

    /// An archive as it is kept here, once all of it was proved. The narinfo then says where it
    /// will be.
    fn held(&self, info: &mut NarInfo, what: &str) -> Result<(SpooledTempFile, u64), CacheError> {
        let at = FilePath::new(what);
        let mut body = self.body(&info.url, what)?;
        let mut file = tempfile::spooled_tempfile(HELD);
        let (mut sum, mut size, mut piece) = (Sha256::new(), 0, vec![0; 64 << 10]);
        loop {
            let read = body.read(&mut piece).map_err(|error| CacheError::Cut {
                cache: self.shown.clone(),
                what: what.to_owned(),
                why: error.to_string(),
            })?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
            sum.update(piece);
            size += read as u64;
            if info.file_size.is_some_and(|most| size > most) || size > Limits::default().size {
                return Err(self.wrong(what, "it is larger than the `FileSize` of its narinfo"));
            }
            file.write_all(piece).at("write", at)?;
        }
        let hash: [u8; 32] = sum.finalize().into();
        if info.file_hash.is_some_and(|expected| expected != hash)
            || info.file_size.is_some_and(|s| s != size)
        {
            return Err(self.wrong(what, "it is not what its narinfo says (`FileHash`, `FileSize`)"));
        }
        file.rewind().at("read", at)?;
        let (nar_hash, nar_size) = unpacked(info, &mut file).map_err(|why| self.wrong(what, why))?;
        if (nar_hash, nar_size) != (info.nar_hash, info.nar_size) {
            return Err(self.wrong(what, "its content is not what its narinfo says (`NarHash`, `NarSize`)"));
        }
        file.rewind().at("read", at)?;
        let ending = match info.compression {
            Compression::None => "",
            Compression::Zstd => ".zst",
            Compression::Xz => ".xz",
        };
        (info.file_hash, info.file_size) = (Some(hash), Some(size));
        info.url = format!("nar/{}.nar{ending}", base32(&hash));
        Ok((file, size))
    }
}

/// The hash and size of what an archive unpacks to, which must be a bundle.
fn unpacked(info: &NarInfo, file: &mut SpooledTempFile) -> Result<(NarHash, u64), String> {
    struct Hashed<R>(R, Sha256, u64);
    impl<R: Read> Read for Hashed<R> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(into)?;
            self.1.update(into.get(..read).unwrap_or_default());
            self.2 += read as u64;
            Ok(read)
        }
    }
    let nar = decoder(info.compression, file).map_err(|error| error.to_string())?;
    let mut hashed = Hashed(BufReader::new(nar), Sha256::new(), 0);
    let limits = Limits { size: info.nar_size.min(Limits::default().size), ..Limits::default() };
    let mut reader = NarReader::new(&mut hashed, limits);
    while reader.step().map_err(|error| error.to_string())?.is_some() {}
    Ok((NarHash::from(<[u8; 32]>::from(hashed.1.finalize())), hashed.2))
}
