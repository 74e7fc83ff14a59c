//! Text with holes: `redis://:${secret.redis_password|url}@redis:6379/0`.
//!
//! Variables are filled in when the profile is read. A secret stays a reference until it is
//! materialised, and a threshold until the rules are rendered, since plugins may change it.
//! What was filled in is never searched again, so no value can become a reference.

use serde::{Deserialize, Serialize};

/// A part of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    Plain(String),
    Secret { name: String, filter: Filter },
    Threshold,
}

/// How a secret is escaped where it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    None,
    /// Percent-encoding of all but unreserved characters (RFC 3986).
    Url,
    /// The inside of a JSON string.
    Json,
    Base64,
}

/// A string of which some pieces come later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(pub Vec<Piece>);

impl Text {
    pub fn plain(text: impl Into<String>) -> Self {
        Text(vec![Piece::Plain(text.into())])
    }

    /// The names of the secrets in it.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|p| match p {
            Piece::Secret { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    pub fn is_secret(&self) -> bool {
        self.secrets().next().is_some()
    }

    /// The one secret that this is, where it is nothing else.
    pub fn only_secret(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Secret { name, filter: Filter::None }] => Some(name),
            _ => None,
        }
    }

    /// The text with the threshold filled in; `None` where it holds a secret.
    pub fn fill(&self, threshold: &str) -> Option<String> {
        self.0.iter().try_fold(String::new(), |mut text, piece| {
            match piece {
                Piece::Plain(plain) => text.push_str(plain),
                Piece::Threshold => text.push_str(threshold),
                Piece::Secret { .. } => return None,
            }
            Some(text)
        })
    }

    /// The text as it was written, references and all: for people and for the manifest.
    pub fn reference(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, piece| {
            match piece {
                Piece::Plain(plain) => text.push_str(&plain.replace("${", "$${")),
                Piece::Threshold => text.push_str("${threshold}"),
                Piece::Secret { name, filter } => {
                    text.push_str("${secret.");
                    text.push_str(name);
                    text.push_str(match filter {
                        Filter::None => "",
                        Filter::Url => "|url",
                        Filter::Json => "|json",
                        Filter::Base64 => "|base64",
                    });
                    text.push('}');
                }
            }
            text
        })
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::plain(text)
    }
}

/// A string where it is plain, otherwise the list of its pieces: the form in which the
/// merged profile hands texts to the typed settings, and in which manifests keep them.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Plain(String),
            Pieces(Vec<Piece>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Plain(text) => Text::plain(text),
            Form::Pieces(pieces) => Text(pieces),
        })
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [Piece::Plain(text)] => serializer.serialize_str(text),
            pieces => serializer.collect_seq(pieces),
        }
    }
}

impl schemars::JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "text" })
    }
}
