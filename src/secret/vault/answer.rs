//! What Vault's API answers, decoded. Nothing that a server sends makes this panic, and no
//! value leaves it but as a [`Secret`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A status and a body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// What every answer is wrapped in. Absent and `null` are the same.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
    errors: Option<Vec<String>>,
    warnings: Option<Vec<String>>,
}

/// A secret of the KV engine.
#[derive(Debug, Clone)]
pub(super) struct Data {
    pub(super) fields: BTreeMap<String, Field>,
    /// KV 2 counts them.
    pub(super) version: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) enum Field {
    Value(Secret),
    /// What it is instead of a text, a number or a truth value.
    Unfit(&'static str),
}

/// What is said of a version of KV 2.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) version: u64,
    pub(super) deletion_time: String,
    pub(super) destroyed: bool,
}

/// Where an engine is mounted, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Mount {
    pub(super) path: String,
    options: Option<BTreeMap<String, Option<String>>>,
}

impl Mount {
    /// As `vault kv get` decides.
    pub(super) fn is_versioned(&self) -> bool {
        let version = self.options.as_ref().and_then(|options| options.get("version"));
        version.and_then(Option::as_deref) == Some("2")
    }
}

/// How far a sealed server is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct SealStatus {
    pub(super) initialized: bool,
    pub(super) sealed: bool,
    /// How many keys it takes.
    #[serde(rename = "t", default)]
    pub(super) threshold: u64,
    #[serde(default)]
    pub(super) progress: u64,
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    metadata: Metadata,
}

impl Reply {
    /// `None` where it does not speak as Vault does.
    pub(super) fn envelope(&self) -> Option<Envelope<'_>> {
        match self.body.iter().all(u8::is_ascii_whitespace) {
            true => Some(Envelope { data: None, auth: None, errors: None, warnings: None }),
            false => serde_json::from_slice(&self.body).ok(),
        }
    }

    /// What it says is wrong, each on one line, without anything that a terminal would obey.
    pub(super) fn errors(&self) -> Vec<String> {
        let errors = self.envelope().and_then(|envelope| envelope.errors).unwrap_or_default();
        errors.iter().map(|error| plain(error)).filter(|error| !error.is_empty()).collect()
    }

    /// It says that the path is not one of a versioned engine.
    pub(super) fn has_warnings(&self) -> bool {
        self.envelope().and_then(|envelope| envelope.warnings).is_some_and(|warnings| !warnings.is_empty())
    }

    pub(super) fn data<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.envelope()?.data?.get()).ok()
    }

    /// A document that is not wrapped.
    pub(super) fn bare<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// KV 1: the fields stand right there.
    pub(super) fn kv1(&self) -> Option<Data> {
        Some(Data { fields: fields(self.envelope()?.data?)?, version: None })
    }

    /// KV 2: fields and metadata; a version that was deleted has no fields.
    pub(super) fn kv2(&self) -> Option<(Option<Data>, Metadata)> {
        let found: Versioned<'_> = self.data()?;
        let data = match found.data {
            Some(raw) => Some(Data { fields: fields(raw)?, version: Some(found.metadata.version) }),
            None => None,
        };
        Some((data, found.metadata))
    }

    /// The token that a login gave.
    pub(super) fn client_token(&self) -> Option<Secret> {
        #[derive(Deserialize)]
        struct Auth {
            client_token: String,
        }
        let auth: Auth = serde_json::from_str(self.envelope()?.auth?.get()).ok()?;
        Some(Secret::new(auth.client_token))
    }

    /// A text of `data`, such as an unwrapped `secret_id`.
    pub(super) fn text(&self, key: &str) -> Option<Secret> {
        match fields(self.envelope()?.data?)?.remove(key)? {
            Field::Value(secret) => Some(secret),
            Field::Unfit(_) => None,
        }
    }
}

fn fields(raw: &RawValue) -> Option<BTreeMap<String, Field>> {
    let map: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).ok()?;
    map.into_iter().map(|(name, raw)| Some((name, field(raw)?))).collect()
}

/// Numbers keep the form in which they were written: `1.10` stays `1.10`.
fn field(raw: &RawValue) -> Option<Field> {
    let raw = raw.get();
    Some(match raw.as_bytes().first()? {
        b'"' => Field::Value(Secret::new(serde_json::from_str(raw).ok()?)),
        b'{' => Field::Unfit("an object"),
        b'[' => Field::Unfit("a list"),
        b'n' => Field::Unfit("null"),
        _ => Field::Value(Secret::new(raw.to_owned())),
    })
}

/// One line of at most a few hundred characters.
pub(super) fn plain(text: &str) -> String {
    const LONGEST: usize = 300;
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let words: String = printable.collect();
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(body: &[u8]) -> Reply {
        Reply { status: 200, body: Zeroizing::new(body.to_vec()) }
    }

    /// Everything that anybody asks of a reply.
    fn decode(reply: &Reply) {
        let _ = (reply.errors(), reply.has_warnings(), reply.kv1(), reply.kv2(), reply.client_token());
        let _ = (reply.data::<Mount>().map(|m| m.is_versioned()), reply.bare::<SealStatus>());
        let _ = reply.text("secret_id");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        // Names that are looked for, so that decoding gets beyond the first.
        let names = prop::sample::select(vec![
            "data",
            "auth",
            "errors",
            "warnings",
            "metadata",
            "version",
            "deletion_time",
            "destroyed",
            "path",
            "options",
            "client_token",
            "secret_id",
            "sealed",
            "initialized",
            "t",
            "progress",
            "x",
        ]);
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((names.clone(), inner), 0..6).prop_map(|pairs| {
                    pairs
                        .into_iter()
                        .map(|(k, v)| (k.to_owned(), v))
                        .collect::<serde_json::Map<_, _>>()
                        .into()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_document_makes_it_panic(document in json()) {
            decode(&reply(document.to_string().as_bytes()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&reply(&bytes));
        }

        #[test]
        fn no_error_reaches_a_terminal_as_more_than_a_line(text in ".*") {
            let plain = plain(&text);
            prop_assert!(!plain.chars().any(char::is_control) && plain.chars().count() <= 301);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{{\"data\":{}", "[".repeat(1_000_000));
        decode(&reply(deep.as_bytes()));
        decode(&reply("{\"data\":".repeat(1_000_000).as_bytes()));
    }

    #[test]
    fn a_field_is_text_in_the_form_in_which_it_was_written() {
        let body = br#"{"data":{"a":"x\u00e9\n","n":1.10,"big":123456789012345678901,"b":true,"o":{},"l":[1],"z":null}}"#;
        let fields = reply(body).kv1().unwrap().fields;
        let shown = |name: &str| match &fields[name] {
            Field::Value(secret) => secret.expose().to_owned(),
            Field::Unfit(what) => format!("({what})"),
        };
        let all: Vec<_> = ["a", "n", "big", "b", "o", "l", "z"].map(shown).into();
        assert_eq!(
            all,
            ["xé\n", "1.10", "123456789012345678901", "true", "(an object)", "(a list)", "(null)"]
        );
    }
}
