//! What a bundle is called: the hash of its NAR, and the Nix store name made of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::listing::hex;

/// Nix base 32: digits and letters without `e`, `o`, `t` and `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
/// Characters of the hash part of a store name: 160 bits.
const ID_LEN: usize = 32;
/// The longest name that Nix takes, so that the name of a lock file fits as well.
const MAX_NAME: usize = 211;

/// The SHA-256 of a NAR. Displayed in hex, as `nix-hash --type sha256` does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NarHash(pub(super) [u8; 32]);

impl NarHash {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// In Nix base 32, 52 characters, as `nix-hash --type sha256 --base32` prints it.
    pub fn base32(&self) -> String {
        base32(&self.0)
    }
}

impl From<[u8; 32]> for NarHash {
    fn from(sum: [u8; 32]) -> Self {
        NarHash(sum)
    }
}

impl fmt::Display for NarHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for NarHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NarHash({self})")
    }
}

/// The name of a bundle in a store: `<32 characters of Nix base 32>-<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreName(String);

impl StoreName {
    /// The name that `nix-store --add` gives a directory called `name` with that NAR: SHA-256
    /// over its fingerprint, folded to 160 bits.
    pub fn of(hash: &NarHash, name: &str) -> Result<Self, NameError> {
        check_name(name)?;
        let digest = Sha256::digest(format!("source:sha256:{hash}:/nix/store:{name}"));
        let mut id = [0_u8; 20];
        for chunk in digest.chunks(id.len()) {
            id.iter_mut().zip(chunk).for_each(|(folded, byte)| *folded ^= byte);
        }
        Ok(Self(format!("{}-{name}", base32(&id))))
    }

    /// The hash part, 32 characters.
    pub fn id(&self) -> &str {
        self.0.get(..ID_LEN).unwrap_or_default()
    }

    /// The profile's name.
    pub fn name(&self) -> &str {
        self.0.get(ID_LEN + 1..).unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StoreName> for String {
    fn from(name: StoreName) -> Self {
        name.0
    }
}

impl TryFrom<String> for StoreName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl FromStr for StoreName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts = text.split_at_checked(ID_LEN).and_then(|(id, rest)| Some((id, rest.strip_prefix('-')?)));
        match parts {
            Some((id, name)) if id.bytes().all(|byte| ALPHABET.contains(&byte)) => {
                check_name(name)?;
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameError::NoStoreName(text.to_owned())),
        }
    }
}

/// Why a name can't be that of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty: give it at least one character")]
    Empty,
    #[error("the name has {0} characters: shorten it to {MAX_NAME} at most")]
    TooLong(usize),
    #[error("the name {0:?} starts with a dot: start it with a letter or digit")]
    LeadingDot(String),
    #[error("the name {name:?} has {character:?} in it: use only letters a-z and A-Z, digits and `+-._?=`")]
    Character { name: String, character: char },
    #[error(
        "{0:?} is not the name of a bundle: that is 32 characters of Nix base 32, `-` and a profile's name"
    )]
    NoStoreName(String),
}

/// Says why Nix would not take `name` as the name of a store path.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let legal = |c: &char| c.is_ascii_alphanumeric() || "+-._?=".contains(*c);
    match name.chars().find(|c| !legal(c)) {
        Some(character) => Err(NameError::Character { name: name.to_owned(), character }),
        None if name.is_empty() => Err(NameError::Empty),
        None if name.len() > MAX_NAME => Err(NameError::TooLong(name.len())),
        None if name.starts_with('.') => Err(NameError::LeadingDot(name.to_owned())),
        None => Ok(()),
    }
}

/// Nix base 32: the bits as one little-endian number, most significant digit first. It differs
/// from every other base 32 in that order and in its alphabet.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let digits = (bytes.len() * 8).div_ceil(5);
    let byte = |i: usize| bytes.get(i).copied().map_or(0, u16::from);
    let digit = |n: usize| {
        let (index, shift) = (n * 5 / 8, n * 5 % 8);
        let bits = (byte(index) | byte(index + 1) << 8) >> shift;
        ALPHABET.get(usize::from(bits & 31)).copied().map_or('0', char::from)
    };
    (0..digits).rev().map(digit).collect()
}

/// What [`base32`] wrote; `None` for any other text, also one with bits to spare.
pub(crate) fn from_base32<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut bytes = [0_u8; N];
    for (n, character) in text.bytes().rev().enumerate() {
        let digit = u16::try_from(ALPHABET.iter().position(|known| *known == character)?).ok()?;
        let (index, shift) = (n * 5 / 8, n * 5 % 8);
        let [low, high] = (digit << shift).to_le_bytes();
        *bytes.get_mut(index)? |= low;
        match bytes.get_mut(index + 1) {
            Some(next) => *next |= high,
            None if high != 0 => return None,
            None => {}
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_nix() {
        let hash = NarHash(Sha256::digest("hello").into());
        assert_eq!(hash.to_string(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!(hash.base32(), "094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic");
        assert_eq!(base32(&[]), "");
        assert_eq!(base32(&[0xff]), "7z");
    }

    #[test]
    fn base32_reads_back() {
        for seed in 0..200_u8 {
            let sum: [u8; 32] = Sha256::digest([seed]).into();
            assert_eq!(from_base32(&base32(&sum)), Some(sum));
            let id: [u8; 20] = std::array::from_fn(|at| sum[at]);
            assert_eq!(from_base32(&base32(&id)), Some(id));
        }
        assert_eq!(from_base32::<1>("7z"), Some([0xff]));
        for text in ["", "7", "zz", "8z", "e0", "é"] {
            assert_eq!(from_base32::<1>(text), None, "{text}");
        }
    }

    #[test]
    fn a_store_name_reads_back() {
        let name = StoreName::of(&NarHash([7; 32]), "prod-eu_1.2").unwrap();
        assert_eq!(name.to_string().parse(), Ok(name.clone()));
        assert_eq!(name.name(), "prod-eu_1.2");
        assert_eq!(name.id().len(), 32);
        assert_eq!(format!("{}-{}", name.id(), name.name()), name.as_str());
    }

    #[test]
    fn other_texts_are_no_store_name() {
        let id = "jiv7pv958p3njlg6hb4vnq0zp17jsziq";
        assert!(format!("{id}-prod").parse::<StoreName>().is_ok());
        for text in ["", "prod", id, &format!("{id}prod"), &format!("{}e-prod", &id[1..]), &"é".repeat(40)] {
            assert_eq!(text.parse::<StoreName>(), Err(NameError::NoStoreName(text.to_owned())));
        }
        assert_eq!(format!("{id}-").parse::<StoreName>(), Err(NameError::Empty));
        assert!(format!("{id}-a/b").parse::<StoreName>().is_err());
    }

    #[test]
    fn illegal_names_say_why() {
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name(&"x".repeat(212)), Err(NameError::TooLong(212)));
        assert_eq!(check_name(&"x".repeat(211)), Ok(()));
        for name in [".", "..", ".prod"] {
            assert_eq!(check_name(name), Err(NameError::LeadingDot(name.into())));
        }
        for (name, character) in [("a/b", '/'), ("a b", ' '), ("prüf", 'ü'), ("a\0", '\0'), ("a\n", '\n')] {
            assert_eq!(check_name(name), Err(NameError::Character { name: name.into(), character }));
        }
        for name in ["prod", "a+b-c.d_e?f=g", "-x", "0"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }
}
