//! Alertmanager runs the bundle's configuration.

use md5::{Digest as _, Md5};

use super::metrics::Reload;
use super::{Check, Look, SETTLES, model};
use crate::activate::Step;
use crate::activate::http::Client;
use crate::activate::kubernetes;
use crate::stack::ServiceKind;

const FILE: &str = "alertmanager/alertmanager.yml";

/// What an Alertmanager says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub reload: Reload,
    /// Its configuration, marshalled anew.
    pub configuration: String,
}

impl Seen {
    pub(super) fn read(client: &Client, address: &str) -> Result<Seen, String> {
        let metrics = client.ok(&format!("http://{address}/metrics"))?;
        let status = client.json(&format!("http://{address}/api/v2/status"))?;
        let configuration = status.pointer("/config/original").and_then(|v| v.as_str()).unwrap_or_default();
        Ok(Seen { reload: Reload::read(&metrics, "alertmanager"), configuration: configuration.to_owned() })
    }
}

pub(super) fn check(look: &Look<'_>, checks: &mut Vec<Check>) {
    let Some((name, _)) = look.bundle.service_of(ServiceKind::Alertmanager) else { return };
    let seen = match &look.seen.alertmanager {
        Some(Ok(seen)) => seen,
        Some(Err(why)) => return checks.push(Check::unreachable(name, why)),
        None => return,
    };
    let patience = look.patience(name);
    if seen.reload.successful == Some(false) {
        checks.push(Check::wrong(name, "did not take over its configuration; its log says why"));
        return;
    }
    if !look.took_over(name, |seen| Some(seen.alertmanager.as_ref()?.as_ref().ok()?.reload)) {
        let what = "answered the reload, but none happened: it runs what it ran before";
        checks.push(Check::waiting(name, what, patience.min(SETTLES)));
        return;
    }
    if kubernetes::by_operator(look.bundle) {
        return checks.push(Check::unproved(name, "its configuration, which the operator writes"));
    }
    let ours = match look.bundle.text(FILE) {
        Ok(ours) => ours,
        Err(error) => return checks.push(Check::wrong(name, &error.to_string())),
    };
    // The digest is that of the file's very bytes. Other versions may make it otherwise, so
    // only equality proves something.
    let exact = seen.reload.hash == Some(hash(ours.as_bytes()));
    let difference = match (model::read(&ours), model::read(&seen.configuration)) {
        (Ok(ours), Ok(theirs)) => model::difference(&ours, &theirs),
        (Err(why), _) | (_, Err(why)) => Some(format!("its configuration can't be read: {why}")),
    };
    match difference {
        Some(difference) if !exact => {
            checks.push(Check::waiting(name, &format!("runs another configuration: {difference}"), patience));
        }
        _ => checks.push(Check::proved(name, &format!("runs {}", look.bundle.short()))),
    }
    if ours.lines().any(|line| line.starts_with("templates:")) {
        checks.push(Check::unproved(name, "template contents"));
    }
    if look.plan.0.get(name) == Some(&Step::Keep) {
        return;
    }
    if look.bundle.manifest.services.get(name).is_some_and(|s| !s.secrets.is_empty()) {
        checks.push(Check::unproved(name, "secrets in files"));
    }
}

/// As Alertmanager makes `alertmanager_config_hash`: the first 48 bits of the MD5, as a number.
fn hash(file: &[u8]) -> f64 {
    let digest = Md5::digest(file);
    digest.iter().take(6).rev().fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn the_hash_is_that_of_alertmanager() {
        // md5: d41d8cd98f00…
        assert_eq!(hash(b""), f64::from(0x_d9_8c_1d_d4_u32) + 256_f64.powi(4) * f64::from(0x_00_8f_u16));
    }
}
