//! A channel: which bundle the hosts of a profile are to run, in a sealed file.
//!
//! The serial only grows. A host that remembers the last one it saw can't be led back by an old
//! file, whoever signed that once.

#![expect(clippy::disallowed_methods, reason = "a folder's channels are changed under a lock")]

use std::fs::File;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{GetOptions, UpdateVersion};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::place::Kind;
use super::{Cache, CacheError, Put};
use crate::bundle::{StoreName, check_name};
use crate::store::At as _;
use crate::trust::envelope::{self, Envelope};
use crate::trust::{SecretKey, Trust};

pub(super) const TYPE: &str = "application/vnd.monprov.channel+json";
const SCHEMA: u32 = 1;
const MAX_SIZE: u64 = 256 << 10;

/// What a channel says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    pub schema: u32,
    pub profile: String,
    /// One more than before with each change.
    pub serial: u64,
    pub bundle: StoreName,
    pub time: Timestamp,
    /// A bundle that ran before is meant to run again.
    #[serde(default)]
    pub rollback: bool,
    #[serde(default)]
    pub reason: Option<String>,
}

/// What there is to see of a channel.
#[derive(Debug)]
pub enum Seen {
    Nothing,
    /// It is still the one with that tag.
    Unchanged,
    Sealed(Sealed),
}

/// A pointer as it lies in the cache: not judged.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub bytes: Bytes,
    version: UpdateVersion,
}

/// What is to become of a channel.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub rollback: bool,
    pub reason: Option<String>,
    /// In the place of one more than before, also where what is there can't be trusted.
    pub serial: Option<u64>,
}

impl Sealed {
    /// What tells it from another version, if the server says that (`ETag`).
    pub fn tag(&self) -> Option<&str> {
        self.version.e_tag.as_deref()
    }
}

impl Pointer {
    /// What a sealed pointer says, if a trusted key has signed it and it is that profile's.
    pub fn open(sealed: &[u8], profile: &str, trust: &Trust) -> Result<Self, envelope::EnvelopeError> {
        let opened = envelope::open(trust, TYPE, sealed)?;
        Self::read(&opened.payload, profile)
    }

    /// What it says, whoever says it.
    pub(super) fn peek(sealed: &[u8], profile: &str) -> Result<Self, envelope::EnvelopeError> {
        let envelope = Envelope::parse(sealed)?;
        envelope.require_type(TYPE)?;
        Self::read(envelope.payload(), profile)
    }

    fn read(payload: &[u8], profile: &str) -> Result<Self, envelope::EnvelopeError> {
        let bad = |why: String| envelope::EnvelopeError::Format(why);
        let pointer: Pointer = serde_json::from_slice(payload).map_err(|error| bad(error.to_string()))?;
        if pointer.schema != SCHEMA {
            return Err(bad(format!("it has schema {}, this release knows {SCHEMA}", pointer.schema)));
        }
        if pointer.profile != profile || pointer.bundle.name() != profile {
            let (of, bundle) = (&pointer.profile, &pointer.bundle);
            return Err(bad(format!("it is for `{of}` and names {bundle}, where `{profile}` was asked for")));
        }
        Ok(pointer)
    }
}

impl Cache {
    /// The pointer of a profile. With the tag of one that was seen, a server may answer that
    /// nothing has changed.
    pub fn pointer(&self, profile: &str, known: Option<&str>) -> Result<Seen, CacheError> {
        let what = format!("the channel `{profile}`");
        let path = self.channel_path(profile)?;
        let options = GetOptions::new().with_if_none_match(known);
        match self.get_with(&path, options, MAX_SIZE, &what) {
            Ok(Some(object)) => Ok(Seen::Sealed(Sealed { bytes: object.bytes, version: object.version })),
            Ok(None) => Ok(Seen::Nothing),
            Err(CacheError::Transfer { error: object_store::Error::NotModified { .. }, .. }) => {
                Ok(Seen::Unchanged)
            }
            Err(error) => Err(error),
        }
    }

    /// What the channel of a profile says, signed by a trusted key.
    pub fn channel(&self, profile: &str, trust: &Trust) -> Result<Pointer, CacheError> {
        match self.pointer(profile, None)? {
            Seen::Sealed(sealed) => self.opened(&sealed, profile, trust),
            Seen::Nothing | Seen::Unchanged => {
                Err(CacheError::NoChannel { cache: self.shown.clone(), profile: profile.to_owned() })
            }
        }
    }

    /// The same of one that was fetched already.
    pub fn opened(&self, sealed: &Sealed, profile: &str, trust: &Trust) -> Result<Pointer, CacheError> {
        Pointer::open(&sealed.bytes, profile, trust)
            .map_err(|error| CacheError::of_envelope(&self.shown, &format!("the channel `{profile}`"), error))
    }

    /// Lets the channel of its profile name a bundle, which must be in the cache.
    pub fn point(
        &self,
        bundle: &StoreName,
        keys: &[SecretKey],
        trust: &Trust,
        change: &Change,
        now: Timestamp,
    ) -> Result<Pointer, CacheError> {
        let profile = bundle.name();
        let what = format!("the channel `{profile}`");
        if self.info(bundle)?.is_none() {
            return Err(CacheError::Missing { cache: self.shown.clone(), name: bundle.clone() });
        }
        let _lock = self.lock_channels()?;
        let before = match self.pointer(profile, None)? {
            Seen::Sealed(sealed) => Some(sealed),
            Seen::Nothing | Seen::Unchanged => None,
        };
        let serial = match (change.serial, &before) {
            (Some(serial), _) => serial,
            (None, None) => 1,
            (None, Some(sealed)) => {
                // Whoever signs the new one trusts what the same keys have signed before.
                let mut trust = trust.clone();
                trust.keys.extend(keys.iter().map(SecretKey::public));
                let current = self.opened(sealed, profile, &trust)?;
                let spent =
                    || self.wrong(&what, "its serial is the last one there is: set another with `--serial`");
                current.serial.checked_add(1).ok_or_else(spent)?
            }
        };
        let pointer = Pointer {
            schema: SCHEMA,
            profile: profile.to_owned(),
            serial,
            bundle: bundle.clone(),
            time: now,
            rollback: change.rollback,
            reason: change.reason.clone(),
        };
        let payload = serde_json::to_vec(&pointer).unwrap_or_default();
        let sealed = Bytes::from(envelope::seal(TYPE, &payload, keys));
        let how = match (before, &self.kind) {
            // Only a bucket compares and writes in one step; a folder is locked.
            (Some(sealed), Kind::Bucket) => Put::Instead(sealed.version),
            (None, Kind::Bucket | Kind::Folder(_)) => Put::New,
            _ => Put::Always,
        };
        if !self.put(&self.channel_path(profile)?, sealed, how, &what)? {
            return Err(CacheError::Raced { cache: self.shown.clone(), what });
        }
        Ok(pointer)
    }

    fn channel_path(&self, profile: &str) -> Result<Path, CacheError> {
        check_name(profile)
            .map_err(|error| self.wrong(format!("the channel `{profile}`"), error.to_string()))?;
        Ok(Path::from(format!("channels/{profile}.json")))
    }

    /// Two runs that change channels in one folder take turns.
    fn lock_channels(&self) -> Result<Option<File>, CacheError> {
        let Kind::Folder(folder) = &self.kind else { return Ok(None) };
        let directory = File::open(folder).at("open", folder)?;
        rustix::fs::flock(&directory, FlockOperation::LockExclusive).at("lock", folder)?;
        Ok(Some(directory))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pointer() -> Pointer {
        Pointer {
            schema: SCHEMA,
            profile: "prod".into(),
            serial: 7,
            bundle: "jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod".parse().unwrap(),
            time: "2026-11-26T07:00:00Z".parse().unwrap(),
            rollback: false,
            reason: None,
        }
    }

    fn key() -> SecretKey {
        SecretKey::generate("fleet-1", &[1; 32]).unwrap()
    }

    fn trust() -> Trust {
        Trust { keys: vec![key().public()], ..Trust::default() }
    }

    fn sealed(pointer: &Pointer) -> Vec<u8> {
        envelope::seal(TYPE, &serde_json::to_vec(pointer).unwrap(), &[key()])
    }

    #[test]
    fn its_form_is_fixed() {
        assert_eq!(
            serde_json::to_string(&pointer()).unwrap(),
            r#"{"schema":1,"profile":"prod","serial":7,"bundle":"jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod","time":"2026-11-26T07:00:00Z","rollback":false,"reason":null}"#
        );
        assert_eq!(Pointer::open(&sealed(&pointer()), "prod", &trust()), Ok(pointer()));
    }

    #[test]
    fn one_for_another_profile_is_refused() {
        let said = |pointer: &Pointer, profile| {
            Pointer::open(&sealed(pointer), profile, &trust()).unwrap_err().to_string()
        };
        assert!(said(&pointer(), "staging").contains("where `staging` was asked for"));
        let other = Pointer { profile: "staging".into(), ..pointer() };
        assert!(said(&other, "staging").contains("names jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod"));
        assert!(said(&Pointer { schema: 2, ..pointer() }, "prod").contains("schema 2"));
    }

    proptest! {
        #[test]
        fn any_payload_is_read_without_a_panic(payload in ".{0,200}", at in any::<prop::sample::Index>()) {
            let _ = Pointer::open(&envelope::seal(TYPE, payload.as_bytes(), &[key()]), "prod", &trust());
            let mut bytes = sealed(&pointer());
            let at = at.index(bytes.len());
            bytes[at] ^= 4;
            if let Ok(read) = Pointer::open(&bytes, "prod", &trust()) {
                prop_assert_eq!(read, pointer());
            }
        }
    }
}
