//! Files that are no text: plugins.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::{LARGEST_BINARY, reason, regular};
use crate::bundle::listing::hex;
use crate::bundle::manifest::sha256;

/// A file that may be large, held against its digest and read as a whole only by who needs it.
#[derive(Debug, Clone)]
pub struct Binary {
    pub sha256: String,
    pub size: u64,
    content: Content,
    /// Whether it has the digest; else the one that it has.
    proof: Arc<OnceLock<Result<(), String>>>,
}

#[derive(Debug, Clone)]
enum Content {
    Here(Arc<Vec<u8>>),
    There(Arc<File>),
}

impl Binary {
    pub fn of(bytes: Vec<u8>) -> Self {
        let (sha256, size) = (sha256(&bytes), bytes.len() as u64);
        Binary { sha256, size, content: Content::Here(bytes.into()), proof: proved() }
    }

    pub fn open(path: &Path) -> Result<Self, String> {
        let binary = Self::claimed(path, String::new())?;
        let sha256 = binary.digest().map_err(|error| format!("can't be read: {}", reason(&error)))?;
        Ok(Binary { sha256, proof: proved(), ..binary })
    }

    /// Of which is said that it has a digest: [`Binary::prove`] looks.
    pub fn claimed(path: &Path, sha256: String) -> Result<Self, String> {
        regular(path, LARGEST_BINARY)?;
        let open = || File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = open().map_err(|error| format!("can't be read: {}", reason(&error)))?;
        Ok(Binary { sha256, size, content: Content::There(file.into()), proof: Arc::default() })
    }

    pub fn is_proved(&self) -> bool {
        self.proof.get().is_some()
    }

    /// Whether it has its digest; else the one that it has, or why that can't be said. It is looked
    /// at once.
    pub fn prove(&self) -> Result<(), String> {
        let prove = || match self.digest() {
            Ok(sha256) if sha256 == self.sha256 => Ok(()),
            Ok(other) => Err(other),
            Err(error) => Err(format!("unknown: it can't be read: {}", reason(&error))),
        };
        self.proof.get_or_init(prove).clone()
    }

    fn digest(&self) -> std::io::Result<String> {
        let file = match &self.content {
            Content::Here(bytes) => return Ok(sha256(bytes)),
            Content::There(file) => file,
        };
        let mut sum = Sha256::new();
        let mut piece = vec![0; 64 << 10];
        let mut at = 0;
        loop {
            match file.read_at(&mut piece, at)? {
                0 => return Ok(hex(&sum.finalize())),
                n => {
                    sum.update(piece.get(..n).unwrap_or_default());
                    at += n as u64;
                }
            }
        }
    }

    /// The bytes that have the digest: a file that has been changed since is refused.
    pub fn bytes(&self) -> anyhow::Result<Cow<'_, [u8]>> {
        match &self.content {
            Content::Here(bytes) => Ok(bytes.as_slice().into()),
            Content::There(file) => {
                let mut bytes = vec![0; usize::try_from(self.size)?];
                file.read_exact_at(&mut bytes, 0)?;
                anyhow::ensure!(
                    sha256(&bytes) == self.sha256,
                    "a plugin's file is not the one that it was said to be"
                );
                Ok(bytes.into())
            }
        }
    }
}

fn proved() -> Arc<OnceLock<Result<(), String>>> {
    Arc::new(OnceLock::from(Ok(())))
}
