//! `stack.yaml` of a bundle, and the parts of it that are deployed at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::activate::{Bundle, RuntimeError};
use crate::render::swarm::FILE;

/// The file as it was read.
pub(super) struct StackFile(Value);

impl StackFile {
    pub(super) fn of(bundle: &Bundle) -> Result<Self, RuntimeError> {
        let unreadable = |why: String| RuntimeError::Rejected { what: format!("{FILE}: {why}"), logs: None };
        let text = bundle.text(FILE).map_err(|error| unreadable(error.to_string()))?;
        serde_saphyr::from_str(&text).map(StackFile).map_err(|error| unreadable(error.to_string()))
    }

    fn service(&self, name: &str) -> Option<&Value> {
        self.0.get("services")?.get(name)
    }

    /// A field of a service, as the swarm will read it.
    pub(super) fn image(&self, service: &str) -> String {
        let image = self.service(service).and_then(|s| s.get("image")?.as_str());
        image.unwrap_or_default().replace("$$", "$")
    }

    /// The ports that a service opens on nodes.
    pub(super) fn published(&self, service: &str) -> Vec<u16> {
        let ports = self.service(service).and_then(|s| s.get("ports")?.as_array());
        let port = |port: &Value| u16::try_from(port.get("published")?.as_u64()?).ok();
        ports.into_iter().flatten().filter_map(port).collect()
    }

    /// The network's name, and whether somebody else makes it.
    pub(super) fn network(&self) -> Option<(String, bool)> {
        let network = self.0.pointer("/networks/default")?;
        let external = network.get("external").and_then(Value::as_bool) == Some(true);
        Some((network.get("name")?.as_str()?.replace("$$", "$"), external))
    }

    fn after(&self, service: &str) -> BTreeSet<&str> {
        let after = self.service(service).and_then(|s| s.get("depends_on")?.as_array());
        after.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The services in the order in which they may start: those of one list at once, once those
    /// of the lists before it are well.
    pub(super) fn waves<'a>(&self, services: &[&'a str]) -> Vec<Vec<&'a str>> {
        let mut waves = vec![];
        let mut left: Vec<&str> = services.to_vec();
        while !left.is_empty() {
            let ready = |name: &&str| !self.after(name).iter().any(|other| left.contains(other));
            let (mut now, mut later): (Vec<&str>, Vec<&str>) = left.iter().partition(|name| ready(name));
            // The check of services refuses circles.
            if now.is_empty() {
                std::mem::swap(&mut now, &mut later);
            }
            waves.push(now);
            left = later;
        }
        waves
    }

    /// The file with nothing but these services. `secrets`: what they are called in the swarm.
    pub(super) fn only(&self, services: &[&str], secrets: &BTreeMap<String, String>) -> Value {
        let mut file = self.0.clone();
        let kept: Map<String, Value> = services
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.service(name)?.clone())))
            .collect();
        let used = |kind: &str| -> BTreeSet<String> {
            let mounts = kept.values().filter_map(|s| s.get(kind)?.as_array()).flatten();
            mounts.filter_map(|mount| Some(mount.get("source")?.as_str()?.to_owned())).collect()
        };
        let configs = used("configs");
        let external = |name: String| {
            let own = secrets.get(&name).cloned().unwrap_or_else(|| name.clone());
            (name, json!({ "external": true, "name": own }))
        };
        let secrets: Map<String, Value> = used("secrets").into_iter().map(external).collect();
        if let Some(all) = file.get_mut("configs").and_then(Value::as_object_mut) {
            all.retain(|name, _| configs.contains(name));
        }
        if let Some(file) = file.as_object_mut() {
            file.insert("services".into(), kept.into());
            file.insert("secrets".into(), secrets.into());
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> StackFile {
        StackFile(json!({
            "version": "3.8",
            "services": {
                "a": { "image": "x$$y", "secrets": [{ "source": "a.token" }], "configs": [{ "source": "one" }] },
                "b": { "depends_on": ["a"], "configs": [{ "source": "two" }] },
                "c": { "depends_on": ["b", "gone"], "ports": [{ "published": 9090 }] },
            },
            "configs": { "one": {}, "two": {} },
            "secrets": { "a.token": { "external": true } },
        }))
    }

    #[test]
    fn services_start_after_those_that_they_wait_for() {
        assert_eq!(file().waves(&["a", "b", "c"]), [vec!["a"], vec!["b"], vec!["c"]]);
        // One that runs is not waited for.
        assert_eq!(file().waves(&["a", "c"]), [vec!["a", "c"]]);
        assert!(file().waves(&[]).is_empty());
    }

    #[test]
    fn a_part_has_what_its_services_use() {
        let part = file().only(&["a"], &[("a.token".to_owned(), "monprov-1".to_owned())].into());
        assert_eq!(part.pointer("/services").unwrap().as_object().unwrap().len(), 1);
        assert_eq!(part["configs"], json!({ "one": {} }));
        assert_eq!(part["secrets"], json!({ "a.token": { "external": true, "name": "monprov-1" } }));
        assert_eq!((file().image("a"), file().published("c")), ("x$y".into(), vec![9090]));
    }
}
