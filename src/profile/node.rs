//! A parsed layer, and what layers merge into: TOML values that know where they came from.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::text::Text;

/// Bytes of a layer's text; layers are numbered in the order in which they are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    pub layer: u16,
    pub span: Range<u32>,
}

impl At {
    pub fn new(layer: u16, span: Range<usize>) -> Self {
        let cut = |n| u32::try_from(n).unwrap_or(u32::MAX);
        At { layer, span: cut(span.start)..cut(span.end) }
    }

    pub fn range(&self) -> Range<usize> {
        self.span.start as usize..self.span.end as usize
    }
}

/// A value, its place, and what it replaced.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Value,
    /// The value's place; of a table, its header.
    pub at: At,
    /// The key's place, where it has one.
    pub key: Option<At>,
    /// Earlier values, the first layer's first.
    pub past: Vec<Node>,
}

#[derive(Debug, Clone)]
pub enum Value {
    Table(Table),
    Array(Vec<Node>),
    String(String),
    /// A string whose secrets and thresholds are still open.
    Text(Text),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Datetime(String),
}

#[derive(Debug, Clone, Default)]
pub struct Table {
    pub entries: BTreeMap<String, Node>,
    /// Keys that later layers and plugins may not touch, and where that is said.
    pub finals: BTreeMap<String, At>,
}

impl Value {
    /// What a person calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Table(_) => "a table",
            Value::Array(_) => "a list",
            Value::String(_) | Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Bool(_) => "a boolean",
            Value::Datetime(_) => "a date",
        }
    }
}

impl Node {
    pub fn new(value: Value, at: At) -> Self {
        Node { value, at, key: None, past: vec![] }
    }

    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(table) => table.entries.get(key),
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value as the typed settings read it.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Table(table) => {
                Json::Object(table.entries.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
            Value::Array(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::String(text) | Value::Datetime(text) => Json::String(text.clone()),
            Value::Text(text) => serde_json::to_value(&text.0).unwrap_or_default(),
            Value::Integer(n) => Json::from(*n),
            Value::Float(n) => Json::from(*n),
            Value::Bool(b) => Json::Bool(*b),
        }
    }
}

/// A syntax error of a layer.
#[derive(Debug)]
pub struct SyntaxError {
    pub message: String,
    pub span: Range<usize>,
}

/// Reads a layer's text. All syntax errors come at once.
pub fn parse(layer: u16, text: &str) -> Result<Node, Vec<SyntaxError>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors
            .iter()
            // What follows is mostly the echo of the first.
            .take(5)
            .map(|e| SyntaxError { message: e.message().replace('\n', ", "), span: e.span().unwrap_or(0..0) })
            .collect());
    }
    let at = At::new(layer, 0..0);
    Ok(Node::new(table(layer, document.get_ref()), at))
}

fn table(layer: u16, source: &DeTable<'_>) -> Value {
    let entries = source
        .iter()
        .map(|(key, value)| {
            let mut node = Node::new(convert(layer, value.get_ref()), At::new(layer, value.span()));
            node.key = Some(At::new(layer, key.span()));
            (key.get_ref().to_string(), node)
        })
        .collect();
    Value::Table(Table { entries, finals: BTreeMap::new() })
}

fn convert(layer: u16, value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => {
            let digits = n.as_str();
            match i64::from_str_radix(digits, n.radix()) {
                Ok(n) => Value::Integer(n),
                Err(_) => Value::String(digits.to_owned()),
            }
        }
        DeValue::Float(n) => {
            n.as_str().parse().map_or_else(|_| Value::String(n.as_str().to_owned()), Value::Float)
        }
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(date) => Value::Datetime(date.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| Node::new(convert(layer, item.get_ref()), At::new(layer, item.span())))
                .collect(),
        ),
        DeValue::Table(inner) => table(layer, inner),
    }
}
