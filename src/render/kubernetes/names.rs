//! What resources are called, and how those of a profile are found.

use serde_json::{Map, Value, json};

use crate::stack::{Service, Stack};

/// The label with the profile, on everything.
pub const PROFILE: &str = "monprov.profile";

/// The label with the service, on everything that is one service's.
pub const SERVICE: &str = "monprov.service";

/// The annotation with the digest of what a pod was made from.
pub const DIGEST: &str = "monprov.digest";

/// The one who applies resources.
pub const MANAGER: &str = "monprov";

/// The name in a bundle of the Secret of a service.
pub fn secret_name(service: &str) -> String {
    format!("{service}-secrets")
}

pub(super) fn account(stack: &Stack) -> String {
    format!("monprov-{}", stack.name)
}

pub(super) fn labels(stack: &Stack, service: Option<&Service>) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("app.kubernetes.io/managed-by".into(), json!(MANAGER));
    labels.insert(PROFILE.into(), json!(stack.name));
    if let Some(service) = service {
        labels.insert("app.kubernetes.io/name".into(), json!(service.name));
        labels.insert(SERVICE.into(), json!(service.name));
    }
    labels
}
