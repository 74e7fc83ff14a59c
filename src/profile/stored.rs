//! A profile as a bundle keeps it: already merged, checked and filled in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::Profile;
use super::node::{At, Node, Table, Value};
use super::text::{Piece, Text};

impl Profile {
    /// Reads the merged settings of a manifest back. Where its values came from is not in them.
    pub fn stored(
        name: &str,
        layers: &[String],
        settings: &Json,
        vars: &BTreeMap<String, String>,
        secrets: BTreeSet<String>,
    ) -> Result<Profile, serde_json::Error> {
        Ok(Profile {
            name: name.to_owned(),
            files: vec![],
            layers: layers.to_vec(),
            site: None,
            root: node(settings),
            settings: serde::Deserialize::deserialize(settings)?,
            removed: BTreeMap::new(),
            vars: vars.clone(),
            secrets,
        })
    }
}

/// What [`Node::to_json`] wrote.
pub fn node(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::String(String::new()),
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Integer),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => match text(json, items) {
            Some(text) => Value::Text(text),
            None => Value::Array(items.iter().map(node).collect()),
        },
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone(), node(value))).collect();
            Value::Table(Table { entries, ..Table::default() })
        }
    };
    Node::new(value, At::new(0, 0..0))
}

/// The pieces of a text. A list that holds but strings stays a list: that a text is nothing
/// but a threshold, only an alert can say, which is read by its own type.
fn text(json: &Json, items: &[Json]) -> Option<Text> {
    if !items.iter().any(Json::is_object) {
        return None;
    }
    let pieces: Vec<Piece> = serde::Deserialize::deserialize(json).ok()?;
    Some(Text(pieces))
}
