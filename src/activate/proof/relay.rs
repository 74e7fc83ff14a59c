//! The relay runs the bundle's channels.

use std::path::Path;

use super::{Check, Look};
use crate::activate::Bundle;
use crate::activate::http::Client;
use crate::bundle::manifest::sha256;
use crate::render::relay::{CONTROL, FILE};
use crate::secret;
use crate::stack::ServiceKind;

/// What a relay says of itself.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The digest of the file that it runs; or why it would not say.
    config_sha256: Result<String, String>,
}

impl Seen {
    pub(super) fn read(
        client: &Client,
        address: &str,
        bundle: &Bundle,
        state: &Path,
        service: &str,
    ) -> Result<Seen, String> {
        let Some(token) = secret::handed_over(state, &bundle.manifest.profile, service, CONTROL) else {
            client.ok(&format!("http://{address}/-/healthy"))?;
            return Ok(Seen { config_sha256: Err("its control token can't be read here".into()) });
        };
        let url = format!("http://{address}/-/status");
        let answer = client.get_with(&url, token.expose())?;
        if answer.status == 503 {
            return Err("it compiles its plugins".into());
        }
        if answer.status != 200 {
            return Ok(Seen {
                config_sha256: Err(format!("it answers {} to its control token", answer.status)),
            });
        }
        let status: serde_json::Value = serde_json::from_str(&answer.body)
            .map_err(|e| format!("{url} answers with something else than JSON: {e}"))?;
        let digest = status.get("config_sha256").and_then(|v| v.as_str()).unwrap_or_default();
        Ok(Seen { config_sha256: Ok(digest.to_owned()) })
    }
}

pub(super) fn check(look: &Look<'_>, checks: &mut Vec<Check>) {
    let Some((name, _)) = look.bundle.service_of(ServiceKind::Relay) else { return };
    let seen = match &look.seen.relay {
        Some(Ok(seen)) => seen,
        Some(Err(why)) => return checks.push(Check::unreachable(name, why)),
        None => return,
    };
    let ours = match look.bundle.text(FILE) {
        Ok(ours) => sha256(ours.as_bytes()),
        Err(error) => return checks.push(Check::wrong(name, &error.to_string())),
    };
    checks.push(match &seen.config_sha256 {
        Ok(theirs) if *theirs == ours => Check::proved(name, &format!("runs {}", look.bundle.short())),
        Ok(_) => Check::waiting(name, "runs other channels than the bundle's", look.patience(name)),
        Err(why) => Check::unproved(name, &format!("its channels: {why}")),
    });
}
