//! What a bundle holds, file by file: kept beside a bundle so that a change in it can be named.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Tree;

/// Every file of a bundle by its path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Listing(pub BTreeMap<String, Listed>);

/// One file of a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// SHA-256 of the content in hex, as `sha256sum` prints it.
    pub sha256: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

impl Listing {
    pub fn of(tree: &Tree) -> Self {
        let listed = |(path, file): (&str, &super::File)| {
            let sha256 = hex(&Sha256::digest(&file.content));
            (path.to_owned(), Listed { sha256, executable: file.executable })
        };
        Self(tree.iter().map(listed).collect())
    }
}

/// A digest as lower-case hex.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
