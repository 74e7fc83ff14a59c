//! Keys and signatures as Nix writes them: `NAME:` and base 64.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// Longer than anybody's, and short enough for a line.
const MAX_NAME: usize = 200;
/// The longest base 64 of what is read here (64 bytes).
const MAX_BASE64: usize = 88;

/// Whom to trust: 32 bytes under a name.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

/// What signs. Wiped when dropped, and printed nowhere but by [`SecretKey::expose`].
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

/// 64 bytes under the name of the key that made them.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    bytes: [u8; 64],
}

/// Why a text is no key or signature. Never holds any of it but the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("this is no {what}: write `NAME:` and the {what} in base 64, on one line")]
    NoName { what: &'static str },
    #[error(
        "the name of a {what} has 1 to {MAX_NAME} printable characters of ASCII without `:` and spaces: write \
         one such as `fleet-1`"
    )]
    Name { what: &'static str },
    #[error("the {what} `{name}` is no base 64 of {size} bytes: copy the whole line")]
    Encoding { what: &'static str, name: String, size: usize },
    #[error("`{name}` is a secret key: only its public key belongs here (`monprov key public`)")]
    Secret { name: String },
    #[error("`{name}` is a public key: the secret key, which was made with it, is needed here")]
    Public { name: String },
    #[error("the two halves of the secret key `{name}` don't belong together: it was damaged or patched up")]
    Halves { name: String },
    #[error("the public key `{name}` is one under which anything passes as signed: make another")]
    Weak { name: String },
}

impl PublicKey {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this key made the signature, and of this message. Names are not compared.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let bytes = ed25519_dalek::Signature::from_bytes(&signature.bytes);
        self.key.verify_strict(message, &bytes).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        const WHAT: &str = "public key";
        let (name, encoded) = split(text, WHAT)?;
        let bytes = match decode(encoded, 32) {
            Some(bytes) => bytes,
            None if decode(encoded, 64).is_some() => return Err(KeyError::Secret { name }),
            None => return Err(KeyError::Encoding { what: WHAT, name, size: 32 }),
        };
        let key = VerifyingKey::try_from(bytes.as_slice()).ok().filter(|key| !key.is_weak());
        match key {
            Some(key) => Ok(PublicKey { name, key }),
            None => Err(KeyError::Weak { name }),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.key.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl SecretKey {
    /// A new key out of 32 random bytes.
    pub fn generate(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name, "key")?;
        Ok(SecretKey { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn public(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature { name: self.name.clone(), bytes: self.key.sign(message).to_bytes() }
    }

    /// The text of its file, for the one place that writes it.
    pub fn expose(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(self.key.to_keypair_bytes());
        // All of it in one piece of memory: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(self.name.len() + 1 + MAX_BASE64));
        text.push_str(&self.name);
        text.push(':');
        BASE64.encode_string(pair.as_slice(), &mut text);
        text
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        const WHAT: &str = "secret key";
        let (name, encoded) = split(text, WHAT)?;
        let pair = match decode(encoded, 64) {
            Some(pair) => pair,
            None if decode(encoded, 32).is_some() => return Err(KeyError::Public { name }),
            None => return Err(KeyError::Encoding { what: WHAT, name, size: 64 }),
        };
        let pair = pair.first_chunk().map(SigningKey::from_keypair_bytes);
        match pair {
            Some(Ok(key)) => Ok(SecretKey { name, key }),
            _ => Err(KeyError::Halves { name }),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}:…)", self.name)
    }
}

impl Signature {
    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a file holds, one a line. Empty lines mean nothing; a line that is no signature is
    /// an error, since it was one once.
    pub fn lines(text: &str) -> Result<Vec<Self>, KeyError> {
        text.lines().filter(|line| !line.trim().is_empty()).map(str::parse).collect()
    }

    pub(super) fn from_parts(name: &str, bytes: [u8; 64]) -> Result<Self, KeyError> {
        check_name(name, "signature")?;
        Ok(Signature { name: name.to_owned(), bytes })
    }

    pub(super) fn bytes(&self) -> &[u8; 64] {
        &self.bytes
    }
}

impl FromStr for Signature {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        const WHAT: &str = "signature";
        let (name, encoded) = split(text, WHAT)?;
        let bytes = decode(encoded, 64).and_then(|bytes| bytes.first_chunk().copied());
        match bytes {
            Some(bytes) => Ok(Signature { name, bytes }),
            None => Err(KeyError::Encoding { what: WHAT, name, size: 64 }),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

fn split<'a>(text: &'a str, what: &'static str) -> Result<(String, &'a str), KeyError> {
    let (name, encoded) = text.trim().split_once(':').ok_or(KeyError::NoName { what })?;
    check_name(name, what)?;
    Ok((name.to_owned(), encoded))
}

/// A name stands in lists, lines and messages.
fn check_name(name: &str, what: &'static str) -> Result<(), KeyError> {
    let legal = |c: u8| c.is_ascii_graphic() && c != b':';
    match (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(legal) {
        true => Ok(()),
        false => Err(KeyError::Name { what }),
    }
}

fn decode(encoded: &str, size: usize) -> Option<Zeroizing<Vec<u8>>> {
    if encoded.len() > MAX_BASE64 {
        return None;
    }
    let bytes = Zeroizing::new(BASE64.decode(encoded).ok()?);
    (bytes.len() == size).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by `nix-store --generate-binary-cache-key fleet-1` of Nix 2.8.
    const SECRET: &str =
        "fleet-1:Uo4eLoPg9+LxFNe3ZFhvBSXp7vRgsMcXJgnlj63S4IPAjbRPjOduDwieODRaM7u6JEveNweShCUPF7slNMZweg==";
    const PUBLIC: &str = "fleet-1:wI20T4znbg8Injg0WjO7uiRL3jcHkoQlDxe7JTTGcHo=";

    #[test]
    fn keys_are_those_of_nix() {
        let secret: SecretKey = SECRET.parse().unwrap();
        assert_eq!(secret.public().to_string(), PUBLIC);
        assert_eq!(secret.expose().as_str(), SECRET);
        assert_eq!(secret.public(), PUBLIC.parse().unwrap());
        assert_eq!(format!("{SECRET}\n").parse::<SecretKey>().unwrap().name(), "fleet-1");
    }

    #[test]
    fn a_signature_reads_back_and_verifies() {
        let secret = SecretKey::generate("a", &[7; 32]).unwrap();
        let signature = secret.sign(b"message");
        assert_eq!(signature.to_string().parse(), Ok(signature.clone()));
        assert!(secret.public().verify(b"message", &signature));
        assert!(!secret.public().verify(b"massage", &signature));
        assert!(!SecretKey::generate("a", &[8; 32]).unwrap().public().verify(b"message", &signature));
        let lines = format!("\n{signature}\n\n{signature}\n");
        assert_eq!(Signature::lines(&lines).unwrap().len(), 2);
        assert!(Signature::lines("rubbish").is_err());
    }

    #[test]
    fn a_secret_key_shows_itself_nowhere() {
        let secret: SecretKey = SECRET.parse().unwrap();
        assert_eq!(format!("{secret:?}"), "SecretKey(fleet-1:…)");
        let halves = SECRET.split_once(':').unwrap().1;
        for text in
            [halves.to_owned(), format!("x:{halves}A"), format!("x y:{halves}"), SECRET[..60].to_owned()]
        {
            let said = text.parse::<SecretKey>().unwrap_err().to_string();
            assert!(!said.contains(&halves[..16]), "{said}");
        }
    }

    #[test]
    fn what_is_no_key_says_what_it_is() {
        let of_public = |text: &str| text.parse::<PublicKey>().unwrap_err();
        assert_eq!(of_public(SECRET), KeyError::Secret { name: "fleet-1".into() });
        assert_eq!(PUBLIC.parse::<SecretKey>().unwrap_err(), KeyError::Public { name: "fleet-1".into() });
        assert_eq!(of_public("fleet"), KeyError::NoName { what: "public key" });
        for name in ["", "a b", "ä", &"x".repeat(201)] {
            let text = format!("{name}:{}", PUBLIC.split_once(':').unwrap().1);
            assert_eq!(of_public(&text), KeyError::Name { what: "public key" });
        }
        assert!(matches!(of_public("a:AAAA"), KeyError::Encoding { size: 32, .. }));
        let zero = format!("a:{}", BASE64.encode([0; 32]));
        assert_eq!(of_public(&zero), KeyError::Weak { name: "a".into() });
        let mut pair = BASE64.decode(SECRET.split_once(':').unwrap().1).unwrap();
        pair[0] ^= 1;
        let text = format!("a:{}", BASE64.encode(pair));
        assert_eq!(text.parse::<SecretKey>().unwrap_err(), KeyError::Halves { name: "a".into() });
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,120}", name in "[a-z:]{0,3}", raw in prop::collection::vec(any::<u8>(), 30..66)) {
            for text in [text, format!("{name}:{}", BASE64.encode(raw))] {
                if let Ok(key) = text.parse::<PublicKey>() {
                    prop_assert_eq!(key.to_string().parse(), Ok(key));
                }
                if let Ok(signature) = text.parse::<Signature>() {
                    prop_assert_eq!(signature.to_string().parse(), Ok(signature));
                }
                if let Ok(key) = text.parse::<SecretKey>() {
                    prop_assert_eq!(key.expose().parse::<SecretKey>().unwrap().public(), key.public());
                }
            }
        }
    }
}
