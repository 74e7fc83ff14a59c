//! The Nix archive (NAR) of a tree: written, or streamed into SHA-256 without ever being held.
//!
//! The format is defined in Eelco Dolstra's thesis, section 5.2.1, and in the Nix manual:
//! every token is its length as a little-endian u64, its bytes, and zeros up to a multiple of 8.
//! [`read`] takes one apart that comes from elsewhere.

pub mod read;

use std::convert::Infallible;

use sha2::{Digest, Sha256};

use super::{NarHash, Step};

pub(super) fn hash(steps: &[Step<'_>]) -> NarHash {
    let mut nar = NarHasher::new();
    for step in steps {
        match *step {
            Step::Enter { path: "", .. } => nar.open_root(),
            Step::Enter { name, .. } => nar.open_directory(name.as_bytes()),
            Step::File { name, file, .. } => {
                nar.open_file(name.as_bytes(), file.executable, file.content.len() as u64);
                nar.content(&file.content);
                nar.close_file(file.content.len() as u64);
            }
            Step::Leave { path: "" } => nar.close_root(),
            Step::Leave { .. } => nar.close_directory(),
        }
    }
    nar.finish().0
}

/// Where a NAR goes.
pub trait Sink {
    type Error;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl Sink for Sha256 {
    type Error = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.update(bytes);
        Ok(())
    }
}

/// Hashes a NAR as it is written to a sink. The caller keeps the order (names sorted by bytes
/// within each directory) and hands over exactly as many bytes of content as it announced.
#[derive(Debug, Clone)]
pub struct NarWriter<S> {
    sink: S,
    size: u64,
}

impl<S: Sink> NarWriter<S> {
    pub fn to(sink: S) -> Result<Self, S::Error> {
        let mut nar = Self { sink, size: 0 };
        nar.token(b"nix-archive-1")?;
        Ok(nar)
    }

    /// The directory that the archive is of.
    pub fn open_root(&mut self) -> Result<(), S::Error> {
        self.tokens(&[b"(", b"type", b"directory"])
    }

    pub fn close_root(&mut self) -> Result<(), S::Error> {
        self.token(b")")
    }

    pub fn open_directory(&mut self, name: &[u8]) -> Result<(), S::Error> {
        self.tokens(&[b"entry", b"(", b"name", name, b"node", b"(", b"type", b"directory"])
    }

    pub fn close_directory(&mut self) -> Result<(), S::Error> {
        self.tokens(&[b")", b")"])
    }

    /// A file whose `size` bytes follow by [`NarWriter::content`].
    pub fn open_file(&mut self, name: &[u8], executable: bool, size: u64) -> Result<(), S::Error> {
        self.tokens(&[b"entry", b"(", b"name", name, b"node", b"(", b"type", b"regular"])?;
        if executable {
            self.tokens(&[b"executable", b""])?;
        }
        self.token(b"contents")?;
        self.put(&size.to_le_bytes())
    }

    pub fn content(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.put(bytes)
    }

    pub fn close_file(&mut self, size: u64) -> Result<(), S::Error> {
        self.pad(size)?;
        self.tokens(&[b")", b")"])
    }

    /// The sink, and how many bytes it got.
    pub fn end(self) -> (S, u64) {
        (self.sink, self.size)
    }

    fn tokens(&mut self, tokens: &[&[u8]]) -> Result<(), S::Error> {
        tokens.iter().try_for_each(|token| self.token(token))
    }

    fn token(&mut self, token: &[u8]) -> Result<(), S::Error> {
        let size = token.len() as u64;
        self.put(&size.to_le_bytes())?;
        self.put(token)?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> Result<(), S::Error> {
        let zeros = (8 - size % 8) % 8;
        self.put([0; 8].get(..zeros as usize).unwrap_or_default())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.size += bytes.len() as u64;
        self.sink.put(bytes)
    }
}

/// A [`NarWriter`] that only hashes, which can't fail.
#[derive(Debug, Clone)]
pub struct NarHasher(NarWriter<Sha256>);

impl NarHasher {
    #[expect(clippy::new_without_default, reason = "a begun stream is no default value")]
    pub fn new() -> Self {
        let Ok(nar) = NarWriter::to(Sha256::new());
        Self(nar)
    }

    pub fn open_root(&mut self) {
        let Ok(()) = self.0.open_root();
    }

    pub fn close_root(&mut self) {
        let Ok(()) = self.0.close_root();
    }

    pub fn open_directory(&mut self, name: &[u8]) {
        let Ok(()) = self.0.open_directory(name);
    }

    pub fn close_directory(&mut self) {
        let Ok(()) = self.0.close_directory();
    }

    pub fn open_file(&mut self, name: &[u8], executable: bool, size: u64) {
        let Ok(()) = self.0.open_file(name, executable, size);
    }

    pub fn content(&mut self, bytes: &[u8]) {
        let Ok(()) = self.0.content(bytes);
    }

    pub fn close_file(&mut self, size: u64) {
        let Ok(()) = self.0.close_file(size);
    }

    /// The hash, and the size of the archive.
    pub fn finish(self) -> (NarHash, u64) {
        let (sum, size) = self.0.end();
        (NarHash(sum.finalize().into()), size)
    }
}

#[cfg(test)]
mod tests {
    use crate::bundle::{StoreName, Tree};

    /// Pins the identity of bundles across releases. The figures are those that `nix-hash
    /// --type sha256` and `nix-store --add` of Nix 2.8 gave for this directory.
    #[test]
    fn identity_is_stable() {
        let mut tree = Tree::new();
        tree.insert("a/b", "hi\n");
        assert_eq!(
            tree.nar_hash().unwrap().to_string(),
            "dd27763ee78f8d8ee3f916383f4dda2a6f88f5ea513ac76b08a96829a39d4b19"
        );
        let name = StoreName::of(&tree.nar_hash().unwrap(), "prod").unwrap();
        assert_eq!(name.to_string(), "jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod");
    }

    #[test]
    fn name_content_and_mode_are_part_of_the_identity() {
        let hash = |name: &str, content: &str, executable| {
            let mut tree = Tree::new();
            match executable {
                true => tree.insert_executable(name, content),
                false => tree.insert(name, content),
            }
            tree.nar_hash().unwrap()
        };
        let original = hash("a", "x", false);
        assert_eq!(original, hash("a", "x", false));
        assert_ne!(original, hash("b", "x", false));
        assert_ne!(original, hash("a", "y", false));
        assert_ne!(original, hash("a", "x\0", false));
        assert_ne!(original, hash("a", "x", true));
    }
}
