//! Signed documents that are no store paths: DSSE, the envelope of in-toto attestations.
//!
//! What is signed is the type and the payload's bytes, not its JSON, so that no reader can
//! understand it in another way than the signer did.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::key::{SecretKey, Signature};
use super::{Refusal, Trust, Verdict};

/// More than any pointer or statement has: an envelope comes from elsewhere.
const MAX_BYTES: usize = 64 * 1024 * 1024;
const MAX_SIGNATURES: usize = 64;

/// A document and its signatures, none of which has been judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// A payload that a trusted key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub payload: Vec<u8>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("this is no signed document (a DSSE envelope in JSON): {0}")]
    Format(String),
    #[error("this document is of the type `{found}`, where `{wanted}` was wanted")]
    Type { found: String, wanted: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    payload_type: String,
    payload: String,
    signatures: Vec<JsonSignature>,
}

#[derive(Serialize, Deserialize)]
struct JsonSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// Signs a document with each key; without one, the envelope has no signature.
pub fn seal(payload_type: &str, payload: &[u8], keys: &[SecretKey]) -> Vec<u8> {
    let mut envelope =
        Envelope { payload_type: payload_type.to_owned(), payload: payload.to_owned(), signatures: vec![] };
    envelope.sign(keys);
    envelope.to_json()
}

/// The payload of an envelope of that type, if a trusted key has signed it.
pub fn open(trust: &Trust, payload_type: &str, bytes: &[u8]) -> Result<Opened, EnvelopeError> {
    let envelope = Envelope::parse(bytes)?;
    envelope.require_type(payload_type)?;
    let verdict = envelope.judge(trust);
    if !verdict.is_signed() {
        let (what, why) = (format!("the document of the type `{payload_type}`"), verdict.shortcoming());
        return Err(Refusal::Unsigned { what, why, trusted: trust.trusted() }.into());
    }
    Ok(Opened { payload: envelope.payload, verdict })
}

impl Envelope {
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let bad = |what: &str| EnvelopeError::Format(what.to_owned());
        if bytes.len() > MAX_BYTES {
            return Err(bad("it is larger than 64 MiB"));
        }
        let json: Json = serde_json::from_slice(bytes).map_err(|error| bad(&error.to_string()))?;
        if json.signatures.len() > MAX_SIGNATURES {
            return Err(bad("it has more than 64 signatures"));
        }
        let payload = decode(&json.payload).ok_or_else(|| bad("its payload is no base 64"))?;
        let mut signatures = vec![];
        for one in &json.signatures {
            // A signature of another kind is no reason to refuse ours beside it.
            if let Some(bytes) = decode(&one.sig).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok())
                && let Ok(signature) = Signature::from_parts(&one.keyid, bytes)
            {
                signatures.push(signature);
            }
        }
        Ok(Envelope { payload_type: json.payload_type, payload, signatures })
    }

    pub fn require_type(&self, wanted: &str) -> Result<(), EnvelopeError> {
        match self.payload_type == wanted {
            true => Ok(()),
            false => Err(EnvelopeError::Type { found: self.payload_type.clone(), wanted: wanted.to_owned() }),
        }
    }

    /// What it says, whoever says it. See [`open`] for what is to be acted upon.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub fn judge(&self, trust: &Trust) -> Verdict {
        trust.judge(&self.message(), &self.signatures)
    }

    /// Adds signatures; one of the same key is replaced.
    pub fn sign(&mut self, keys: &[SecretKey]) {
        let message = self.message();
        for key in keys {
            self.signatures.retain(|one| one.name() != key.name());
            self.signatures.push(key.sign(&message));
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        let signature = |one: &Signature| JsonSignature {
            keyid: one.name().to_owned(),
            sig: STANDARD.encode(one.bytes()),
        };
        let json = Json {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self.signatures.iter().map(signature).collect(),
        };
        let mut text = serde_json::to_vec(&json).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The pre-authentication encoding: lengths keep type and payload apart.
    fn message(&self) -> Vec<u8> {
        let (kind, payload) = (&self.payload_type, &self.payload);
        let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        message.extend_from_slice(payload);
        message
    }
}

/// A verifier must take both alphabets.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "application/vnd.monprov.channel+json";

    fn key(name: &str, seed: u8) -> SecretKey {
        SecretKey::generate(name, &[seed; 32]).unwrap()
    }

    fn trusting(keys: &[&SecretKey]) -> Trust {
        Trust { keys: keys.iter().map(|key| key.public()).collect(), ..Trust::default() }
    }

    #[test]
    fn the_message_is_that_of_dsse() {
        // The example of the specification, protocol.md.
        let envelope = Envelope {
            payload_type: "http://example.com/HelloWorld".into(),
            payload: b"hello world".into(),
            signatures: vec![],
        };
        assert_eq!(envelope.message(), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn what_was_sealed_is_opened_by_those_who_trust_the_key() {
        let (one, two) = (key("one", 1), key("two", 2));
        let sealed = seal(TYPE, b"{}", &[one.clone(), two]);
        let opened = open(&trusting(&[&one]), TYPE, &sealed).unwrap();
        assert_eq!(opened.payload, b"{}");
        assert!(opened.verdict.signed_by.contains("one") && opened.verdict.unknown.contains("two"));
        assert!(matches!(open(&trusting(&[&key("one", 9)]), TYPE, &sealed), Err(EnvelopeError::Refused(_))));
        // Also where trust is not required: whoever opens wants a signature.
        assert!(matches!(
            open(&Trust::default(), TYPE, &seal(TYPE, b"{}", &[])),
            Err(EnvelopeError::Refused(_))
        ));
    }

    #[test]
    fn another_type_or_payload_is_not_what_was_signed() {
        let ours = key("one", 1);
        let trust = trusting(&[&ours]);
        let mut envelope = Envelope::parse(&seal(TYPE, b"one", &[ours])).unwrap();
        assert!(matches!(envelope.require_type("text/plain"), Err(EnvelopeError::Type { .. })));
        envelope.payload = b"two".into();
        assert!(envelope.judge(&trust).wrong.contains("one"));
        envelope.payload = b"one".into();
        envelope.payload_type = "text/plain".into();
        assert!(envelope.judge(&trust).wrong.contains("one"));
    }

    #[test]
    fn a_key_signs_once() {
        let ours = key("one", 1);
        let mut envelope = Envelope::parse(&seal(TYPE, b"x", std::slice::from_ref(&ours))).unwrap();
        envelope.sign(&[ours, key("two", 2)]);
        assert_eq!(envelope.signatures.len(), 2);
        assert_eq!(Envelope::parse(&envelope.to_json()), Ok(envelope));
    }

    #[test]
    fn signatures_of_another_kind_stand_beside_ours() {
        let ours = key("one", 1);
        let text = String::from_utf8(seal(TYPE, b"x", std::slice::from_ref(&ours))).unwrap();
        let more = text.replace(
            "\"signatures\":[",
            "\"signatures\":[{\"sig\":\"AAAA\"},{\"keyid\":\"\",\"sig\":\"?\"},",
        );
        assert!(open(&trusting(&[&ours]), TYPE, more.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
            let _ = Envelope::parse(&bytes);
            let ours = key("one", 1);
            let trust = trusting(&[&ours]);
            let mut sealed = seal(TYPE, &bytes, &[ours]);
            prop_assert_eq!(open(&trust, TYPE, &sealed).unwrap().payload, bytes.clone());
            let at = at.index(sealed.len());
            sealed[at] ^= 1;
            if let Ok(opened) = open(&trust, TYPE, &sealed) {
                prop_assert_eq!(opened.payload, bytes);
            }
        }
    }
}
