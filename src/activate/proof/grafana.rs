//! Grafana has the bundle's data source and dashboards.
#![expect(clippy::disallowed_methods, reason = "asks as the administrator whose password the service has")]

use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Check, Look};
use crate::activate::Bundle;
use crate::activate::http::Client;
use crate::render::grafana::DATA_SOURCE;
use crate::stack::ServiceKind;

/// Grafana looks for dashboards every 10 s.
const LOOKS_AGAIN: Duration = Duration::from_secs(15);

const DASHBOARDS: &str = "grafana/dashboards/";

/// What a Grafana says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Things of the bundle that it does not have.
    missing: Vec<String>,
    found: usize,
    /// Why it would not say.
    refused: Option<String>,
}

impl Seen {
    pub(super) fn read(
        client: &Client,
        address: &str,
        bundle: &Bundle,
        state: &Path,
        service: &str,
    ) -> Result<Seen, String> {
        client.ok(&format!("http://{address}/api/health"))?;
        let mut seen = Seen::default();
        let profile = &bundle.manifest.profile;
        let file = state.join("secrets").join(profile).join(service).join("GF_SECURITY_ADMIN_PASSWORD");
        let Ok(password) = std::fs::read_to_string(file).map(Zeroizing::new) else {
            seen.refused = Some("its administrator's password can't be read here".into());
            return Ok(seen);
        };
        let user = bundle.manifest.settings.pointer("/grafana/admin_user").and_then(|v| v.as_str());
        let mut wanted = vec![];
        if bundle.service_of(ServiceKind::Prometheus).is_some() {
            wanted.push(("the data source", format!("datasources/uid/{DATA_SOURCE}")));
        }
        let dashboards = bundle.manifest.files.keys().filter(|path| path.starts_with(DASHBOARDS));
        for path in dashboards {
            let uid = bundle.text(path).ok().and_then(|text| {
                let dashboard: serde_json::Value = serde_json::from_str(&text).ok()?;
                Some(dashboard.get("uid")?.as_str()?.to_owned())
            });
            wanted.extend(uid.map(|uid| ("the dashboard", format!("dashboards/uid/{uid}"))));
        }
        for (what, path) in wanted {
            let url = format!("http://{address}/api/{path}");
            match client.get_as(&url, user.unwrap_or("admin"), &password)?.status {
                200 => seen.found += 1,
                404 => {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    seen.missing.push(format!("{what} {name}"));
                }
                // A password in the environment counts for a new Grafana only.
                401 | 403 => {
                    seen.refused = Some("it refuses the administrator's password of the profile".into());
                    break;
                }
                status => return Err(format!("{url} answers {status}")),
            }
        }
        Ok(seen)
    }
}

pub(super) fn check(look: &Look<'_>, checks: &mut Vec<Check>) {
    let Some((name, _)) = look.bundle.service_of(ServiceKind::Grafana) else { return };
    match &look.seen.grafana {
        Some(Err(why)) => checks.push(Check::unreachable(name, why)),
        Some(Ok(Seen { refused: Some(why), .. })) => {
            checks.push(Check::unproved(name, &format!("data source and dashboards: {why}")));
        }
        Some(Ok(seen)) if !seen.missing.is_empty() => {
            let what = format!("does not have {}", seen.missing.join(", "));
            checks.push(Check::waiting(name, &what, look.patience(name).max(LOOKS_AGAIN)));
        }
        Some(Ok(seen)) => {
            checks.push(Check::proved(name, &format!("has its {} data sources and dashboards", seen.found)));
            checks.push(Check::unproved(name, "what dashboards show"));
        }
        None => {}
    }
}
