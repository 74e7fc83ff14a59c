//! The files of a service as ConfigMaps, named by their content and never changed. A ConfigMap
//! holds 1 MiB, so there are as many as it takes; a file of more is refused by a check.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{resource, set};
use crate::bundle::manifest::sha256;
use crate::bundle::{File, Tree};
use crate::render::ServiceFiles;
use crate::stack::{Service, Stack};

/// What one ConfigMap may hold: a MiB, less what the names and the management of fields take.
pub const LIMIT: usize = 1_000_000;

/// A ConfigMap, and the files that a pod makes of it.
pub(super) struct ConfigMap {
    pub(super) name: String,
    pub(super) resource: Value,
    /// Path in the bundle by key.
    pub(super) items: BTreeMap<String, String>,
}

pub(super) fn maps(stack: &Stack, service: &Service, rendered: &ServiceFiles, tree: &Tree) -> Vec<ConfigMap> {
    let read = |path: &str| rendered.reads.iter().any(|start| path.starts_with(start.as_str()));
    let mut parts: Vec<Vec<(&str, &File)>> = vec![];
    let mut size = 0;
    for (path, file) in tree.iter().filter(|(path, _)| read(path)) {
        let more = path.len() + file.content.len();
        match parts.last_mut().filter(|_| size + more <= LIMIT) {
            Some(part) => part.push((path, file)),
            None => {
                parts.push(vec![(path, file)]);
                size = 0;
            }
        }
        size += more;
    }
    parts.into_iter().map(|part| map(stack, service, part)).collect()
}

fn map(stack: &Stack, service: &Service, files: Vec<(&str, &File)>) -> ConfigMap {
    let mut items = BTreeMap::new();
    let (mut text, mut binary) = (Map::new(), Map::new());
    for (path, file) in files {
        let key = key(path, &items);
        match std::str::from_utf8(&file.content) {
            Ok(content) => text.insert(key.clone(), json!(content)),
            Err(_) => binary.insert(key.clone(), json!(STANDARD.encode(&file.content))),
        };
        items.insert(key, path.to_owned());
    }
    let content = json!({ "data": text, "binaryData": binary, "items": items });
    let digest = sha256(content.to_string().as_bytes());
    let name = format!("{}-config-{}", service.name, digest.get(..10).unwrap_or(&digest));
    let mut resource = resource(stack, Some(service), "v1", "ConfigMap", &name);
    set(&mut resource, "immutable", json!(true));
    for (field, entries) in [("data", text), ("binaryData", binary)] {
        if !entries.is_empty() {
            set(&mut resource, field, Value::Object(entries));
        }
    }
    ConfigMap { name, resource, items }
}

/// A key has no slashes; where two paths come to the same, the later one is called by its digest.
fn key(path: &str, taken: &BTreeMap<String, String>) -> String {
    let (_, name) = path.split_once('/').unwrap_or(("", path));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let key: String = name.chars().map(|c| if c == '/' { '.' } else { c }).collect();
    let whole = key.chars().all(fits) && key.len() <= 200 && !key.starts_with('.') && !key.is_empty();
    if whole && !taken.contains_key(&key) { key } else { sha256(path.as_bytes()) }
}
