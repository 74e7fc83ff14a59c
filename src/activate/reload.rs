//! Telling a service to read its files again.

use std::path::Path;

use super::http::Client;
use super::{Bundle, Runtime, RuntimeError};
use crate::render::relay;
use crate::secret;
use crate::stack::ServiceKind;

/// Tells a service to read its files again; what it answers is believed only when it refuses.
pub(super) fn reload(
    runtime: &dyn Runtime,
    client: &Client,
    bundle: &Bundle,
    state: &Path,
    name: &str,
) -> Result<(), RuntimeError> {
    let Some(service) = bundle.manifest.services.get(name) else { return Ok(()) };
    let path = match service.kind {
        ServiceKind::Prometheus | ServiceKind::Alertmanager => "/-/reload",
        _ => service.reload.as_deref().unwrap_or("/-/reload"),
    };
    let unreachable = |why: String| {
        RuntimeError::unavailable(
            format!("{name} can't be told to reload: {why}"),
            "see that this host reaches its port; publish it, if it is not published",
        )
    };
    let port = service.port.ok_or_else(|| unreachable("it has no port".into()))?;
    let address = runtime
        .address(name, port)?
        .ok_or_else(|| unreachable(format!("its port {port} can't be reached from here")))?;
    let url = format!("http://{address}/{}", path.trim_start_matches('/'));
    let token = match service.kind {
        ServiceKind::Relay => secret::handed_over(state, &bundle.manifest.profile, name, relay::CONTROL),
        _ => None,
    };
    let answer = match token {
        Some(token) => client.post_with(&url, token.expose()),
        None => client.post(&url),
    };
    let answer = answer.map_err(unreachable)?;
    match answer.status {
        200..=299 => Ok(()),
        status => Err(RuntimeError::Rejected {
            what: format!("{name} rejected its configuration ({status}): {}", answer.body.trim()),
            logs: Some(runtime.logs(name, 5)),
        }),
    }
}
