//! Files → bundle: a tree whose name is its content.
//!
//! A bundle has the identity that Nix gives it: SHA-256 over its NAR serialisation ([`nar`]),
//! and a store name made of that hash and the profile's name ([`name`]). So `nix-hash`,
//! `nix-store --add` and `nix copy` agree with `monprov`. Nothing here reads or writes files;
//! the store feeds what it finds on disk into the same [`nar::NarHasher`].

pub mod listing;
pub mod manifest;
pub mod name;
pub mod nar;
mod walk;

use std::collections::BTreeMap;

pub use listing::Listing;
pub use name::{NameError, NarHash, StoreName, check_name};
pub use walk::{Step, TreeError};

/// A directory tree of regular files, by path relative to its root (`/` between names).
/// Directories are implied; there are no links and no empty directories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, File>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    pub executable: bool,
}

impl Tree {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { content: content.into(), executable: false });
    }

    pub fn insert_executable(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { content: content.into(), executable: true });
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &File)> {
        self.0.iter().map(|(path, file)| (path.as_str(), file))
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.0.get(path)
    }

    /// The tree as a walk in NAR order, once its paths have been checked.
    pub fn walk(&self) -> Result<Vec<Step<'_>>, TreeError> {
        walk::walk(self)
    }

    /// The SHA-256 of the tree's NAR, as `nix-hash --type sha256` prints it for the directory.
    pub fn nar_hash(&self) -> Result<NarHash, TreeError> {
        Ok(nar::hash(&self.walk()?))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn extend(&mut self, other: Tree) {
        self.0.extend(other.0);
    }
}
