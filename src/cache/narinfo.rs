//! What a cache says of a bundle, in Nix's own form: lines of `KEY: VALUE`.
//!
//! A cache is not trusted. What decides is the name that was asked for: the hash that a
//! narinfo claims must be the one in that name, before anything is fetched.

use std::fmt;

use crate::bundle::name::{base32, from_base32};
use crate::bundle::{NarHash, StoreName};
use crate::trust::Signature;

/// Larger ones are nobody's.
pub const MAX_SIZE: u64 = 64 << 10;

/// How an archive is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Zstd,
    /// What Nix takes unless told otherwise.
    Xz,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    pub name: StoreName,
    /// Where the archive is, relative to the cache.
    pub url: String,
    pub compression: Compression,
    /// SHA-256 of the archive as it is kept; Nix may leave it out.
    pub file_hash: Option<[u8; 32]>,
    pub file_size: Option<u64>,
    pub nar_hash: NarHash,
    pub nar_size: u64,
    pub signatures: Vec<Signature>,
}

/// Why a narinfo is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarInfoError {
    #[error("it is no text of `KEY: VALUE` lines (line {0})")]
    Line(usize),
    #[error("it has no `{0}`")]
    Missing(&'static str),
    #[error("it has `{0}` twice")]
    Twice(&'static str),
    #[error("its `{key}` is no {what}")]
    Value { key: &'static str, what: &'static str },
    #[error("it is of {found}, not of {wanted}")]
    Other { found: String, wanted: StoreName },
    #[error("its `NarHash` is not that of {0}")]
    Hash(StoreName),
    #[error("its `URL` leads out of the cache: {0:?}")]
    Url(String),
    #[error(
        "the archive is compressed with `{0}`: write it with `compression=zstd` in the URL that `nix copy` gets"
    )]
    Compression(String),
    #[error("it refers to other store paths, which a bundle never does: {0}")]
    References(String),
}

const STORE: &str = "/nix/store/";

impl NarInfo {
    /// Reads what a cache answered when it was asked for `wanted`.
    pub fn parse(text: &str, wanted: &StoreName) -> Result<Self, NarInfoError> {
        let fields = Fields::read(text)?;
        let path = fields.need("StorePath")?;
        if path.strip_prefix(STORE) != Some(wanted.as_str()) {
            return Err(NarInfoError::Other { found: path.to_owned(), wanted: wanted.clone() });
        }
        let value = |key, what| NarInfoError::Value { key, what };
        let nar_hash = hash(fields.need("NarHash")?).ok_or(value("NarHash", "SHA-256"))?;
        let nar_hash = NarHash::from(nar_hash);
        if StoreName::of(&nar_hash, wanted.name()).as_ref() != Ok(wanted) {
            return Err(NarInfoError::Hash(wanted.clone()));
        }
        if let Some(references) = fields.get("References").filter(|references| !references.is_empty()) {
            return Err(NarInfoError::References(references.to_owned()));
        }
        let url = fields.need("URL")?;
        if !is_inside(url) {
            return Err(NarInfoError::Url(url.to_owned()));
        }
        let compression = match fields.get("Compression") {
            Some("none") => Compression::None,
            Some("zstd") => Compression::Zstd,
            Some("xz") => Compression::Xz,
            // What it means where it is not said.
            other => return Err(NarInfoError::Compression(other.unwrap_or("bzip2").to_owned())),
        };
        let number = |key, text: &str| text.parse::<u64>().map_err(|_| value(key, "number"));
        let file_hash = fields.get("FileHash").map(|text| hash(text).ok_or(value("FileHash", "SHA-256")));
        Ok(NarInfo {
            name: wanted.clone(),
            url: url.to_owned(),
            compression,
            file_hash: file_hash.transpose()?,
            file_size: fields.get("FileSize").map(|text| number("FileSize", text)).transpose()?,
            nar_hash,
            nar_size: number("NarSize", fields.need("NarSize")?)?,
            // Whatever others have signed it with.
            signatures: fields.signatures.iter().filter_map(|text| text.parse().ok()).collect(),
        })
    }
}

impl fmt::Display for NarInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "StorePath: {STORE}{}\nURL: {}", self.name, self.url)?;
        writeln!(f, "Compression: {}", self.compression)?;
        if let Some(hash) = &self.file_hash {
            writeln!(f, "FileHash: sha256:{}", base32(hash))?;
        }
        if let Some(size) = self.file_size {
            writeln!(f, "FileSize: {size}")?;
        }
        writeln!(f, "NarHash: sha256:{}\nNarSize: {}", self.nar_hash.base32(), self.nar_size)?;
        // Nix wants it, also where there are none.
        writeln!(f, "References: ")?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "Sig: {signature}"))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Zstd => "zstd",
            Compression::Xz => "xz",
        })
    }
}

/// The fields that matter here; others are Nix's own.
#[derive(Default)]
struct Fields<'a> {
    known: Vec<(&'static str, &'a str)>,
    signatures: Vec<&'a str>,
}

const KEYS: [&str; 8] =
    ["StorePath", "URL", "Compression", "FileHash", "FileSize", "NarHash", "NarSize", "References"];

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, NarInfoError> {
        let mut fields = Fields::default();
        for (number, line) in (1..).zip(text.lines()) {
            let (key, value) = line.split_once(':').ok_or(NarInfoError::Line(number))?;
            let value = value.strip_prefix(' ').unwrap_or(value);
            if key == "Sig" {
                fields.signatures.push(value);
            } else if let Some(&key) = KEYS.iter().find(|known| **known == key) {
                if fields.get(key).is_some() {
                    return Err(NarInfoError::Twice(key));
                }
                fields.known.push((key, value));
            }
        }
        Ok(fields)
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.known.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    fn need(&self, key: &'static str) -> Result<&'a str, NarInfoError> {
        self.get(key).ok_or(NarInfoError::Missing(key))
    }
}

/// The store path that a narinfo says it is of, for who only lists.
pub(super) fn name_of(text: &str) -> Option<StoreName> {
    Fields::read(text).ok()?.get("StorePath")?.strip_prefix(STORE)?.parse().ok()
}

/// The archive that it names, whatever it is of.
pub(super) fn url_of(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("URL: "))
}

/// SHA-256 in one of the ways in which Nix writes it.
fn hash(text: &str) -> Option<[u8; 32]> {
    use base64::Engine as _;
    let base64 = |text: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        <[u8; 32]>::try_from(bytes).ok()
    };
    if let Some(sri) = text.strip_prefix("sha256-") {
        return base64(sri);
    }
    let text = text.strip_prefix("sha256:")?;
    match text.len() {
        52 => from_base32(text),
        64 => from_hex(text),
        _ => base64(text),
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Whether a URL names something below the cache: plain names, no way up, no other server.
fn is_inside(url: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._=".contains(c);
    let name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
    url.len() <= 1000 && url.split('/').all(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bundle::Tree;
    use crate::trust::SecretKey;

    fn example() -> NarInfo {
        let mut tree = Tree::new();
        tree.insert("a/b", "hi\n");
        let nar_hash = tree.nar_hash().unwrap();
        NarInfo {
            name: StoreName::of(&nar_hash, "prod").unwrap(),
            url: "nar/abc.nar.zst".into(),
            compression: Compression::Zstd,
            file_hash: Some([3; 32]),
            file_size: Some(77),
            nar_hash,
            nar_size: 456,
            signatures: vec![SecretKey::generate("k", &[1; 32]).unwrap().sign(b"x")],
        }
    }

    fn said(from: &str, to: &str) -> String {
        let (info, text) = (example(), example().to_string());
        assert!(text.contains(from), "{text}");
        NarInfo::parse(&text.replace(from, to), &info.name).unwrap_err().to_string()
    }

    #[test]
    fn a_narinfo_reads_back() {
        let info = example();
        assert_eq!(NarInfo::parse(&info.to_string(), &info.name), Ok(info));
    }

    #[test]
    fn one_that_nix_wrote_is_read() {
        // `nix copy --to file://…` of Nix 2.8, for a path that `nix-store --add` made.
        let text = "StorePath: /nix/store/jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod\n\
                    URL: nar/0lv5hwwvqrgbjdrwzx6m9ldrjmaqd8cqnbkd8gfjw5b1ycphqqv4.nar.xz\nCompression: xz\n\
                    FileHash: sha256:0lv5hwwvqrgbjdrwzx6m9ldrjmaqd8cqnbkd8gfjw5b1ycphqqv4\nFileSize: 212\n\
                    NarHash: sha256:06abknijjs5911mwffjixbsqhvrav96kyf0nz7iqx3cgwwz7c9yx\nNarSize: 456\n\
                    References: \nDeriver: unknown-deriver\nSig: fleet-1:AAAA\n\
                    CA: fixed:r:sha256:06abknijjs5911mwffjixbsqhvrav96kyf0nz7iqx3cgwwz7c9yx\n";
        let info = NarInfo::parse(text, &example().name).unwrap();
        assert_eq!((info.compression, info.nar_size, info.signatures.len()), (Compression::Xz, 456, 0));
    }

    #[test]
    fn a_hash_is_taken_in_each_of_its_forms() {
        let info = example();
        let text = info.to_string();
        let base32 = format!("sha256:{}", info.nar_hash.base32());
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(info.nar_hash.as_bytes());
        for other in
            [format!("sha256:{}", info.nar_hash), format!("sha256-{base64}"), format!("sha256:{base64}")]
        {
            assert_eq!(NarInfo::parse(&text.replace(&base32, &other), &info.name), Ok(info.clone()));
        }
    }

    #[test]
    fn a_wrong_narinfo_is_refused_before_anything_is_fetched() {
        assert!(said("-prod", "-evil").contains("not of jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod"));
        let other = NarHash::from([9; 32]).base32();
        assert!(
            said("06abknijjs5911mwffjixbsqhvrav96kyf0nz7iqx3cgwwz7c9yx", &other)
                .contains("`NarHash` is not that of")
        );
        assert!(said("sha256:06ab", "sha256:e6ab").contains("`NarHash` is no SHA-256"));
        for url in [
            "../secret",
            "/etc/passwd",
            "http://evil/x",
            "nar/../../x",
            "nar//x",
            "",
            "a b",
            "nar/.x",
            "nar/%2e",
        ] {
            assert!(said("nar/abc.nar.zst", url).contains("leads out of the cache"), "{url}");
        }
        assert!(said("Compression: zstd", "Compression: br").contains("compressed with `br`"));
        assert!(said("Compression: zstd\n", "").contains("compressed with `bzip2`"));
        assert!(said("References: ", "References: abc-x").contains("refers to other store paths"));
        assert!(said("NarSize: 456", "NarSize: -1").contains("`NarSize` is no number"));
        assert!(said("NarSize: 456", "NarSize: 1\nNarSize: 2").contains("`NarSize` twice"));
        assert!(said("URL: nar/abc.nar.zst\n", "").contains("no `URL`"));
        assert!(said("References: ", "rubbish").contains("line 8"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}", at in any::<prop::sample::Index>(), to in any::<char>()) {
            let info = example();
            let _ = NarInfo::parse(&text, &info.name);
            let mut damaged: Vec<char> = info.to_string().chars().collect();
            let at = at.index(damaged.len());
            damaged[at] = to;
            if let Ok(read) = NarInfo::parse(&damaged.into_iter().collect::<String>(), &info.name) {
                prop_assert_eq!(read.nar_hash, info.nar_hash);
                prop_assert_eq!(NarInfo::parse(&read.to_string(), &info.name), Ok(read));
            }
        }
    }
}
