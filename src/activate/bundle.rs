//! What activation reads from a bundle: its manifest and its files, from the store.
#![expect(clippy::disallowed_methods, reason = "bundles are on disk")]

use crate::bundle::manifest::{self, Manifest};
use crate::stack::ServiceKind;
use crate::store::StorePath;

/// A bundle of the store with its manifest.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub path: StorePath,
    pub manifest: Manifest,
}

/// A bundle that activation can't use.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path} can't be read: {why}: build the profile again")]
    Unreadable { path: String, why: String },
    #[error(
        "{path} has schema {found} and this monprov knows {known}: use a monprov as new as the one that built it"
    )]
    Schema { path: String, found: u64, known: u32 },
}

impl Bundle {
    /// Reads the manifest. That the files are those that the name promises is the store's to say.
    pub fn open(path: StorePath) -> Result<Self, BundleError> {
        let file = path.path().join(manifest::FILE);
        let unreadable = |why: String| BundleError::Unreadable { path: file.display().to_string(), why };
        let text = std::fs::read(&file).map_err(|e| unreadable(e.to_string()))?;
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
        let found = value.get("schema").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if found != u64::from(manifest::SCHEMA) {
            return Err(BundleError::Schema {
                path: file.display().to_string(),
                found,
                known: manifest::SCHEMA,
            });
        }
        let manifest = serde_json::from_value(value).map_err(|e| unreadable(e.to_string()))?;
        Ok(Bundle { path, manifest })
    }

    /// A file of the bundle as text.
    pub fn text(&self, file: &str) -> Result<String, BundleError> {
        let path = self.path.path().join(file);
        std::fs::read_to_string(&path)
            .map_err(|e| BundleError::Unreadable { path: path.display().to_string(), why: e.to_string() })
    }

    /// The service of a kind that the stack has one of, with its port.
    pub fn service_of(&self, kind: ServiceKind) -> Option<(&str, u16)> {
        let (name, service) = self.manifest.services.iter().find(|(_, s)| s.kind == kind)?;
        Some((name, service.port?))
    }

    /// As people call it: `k2x…-prod`, the store's name cut short.
    pub fn short(&self) -> String {
        let name = self.path.name();
        format!("{}…-{}", name.id().get(..3).unwrap_or_default(), name.name())
    }
}
