//! Where values come from: for findings, and for `monprov explain`.

use std::ops::Range;

use crate::diagnostic::{Path, Place};

use super::node::{At, Node, Value};

/// The merged tree and the files of its layers.
#[derive(Debug)]
pub struct Map {
    pub root: Node,
    pub files: Vec<String>,
}

/// One step of a value's history.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Step {
    pub file: String,
    /// Bytes of the file.
    pub range: Range<usize>,
    /// The value as the layer wrote it.
    pub value: String,
}

impl Map {
    /// The bytes of a file that a place stands for; `None` for the whole profile.
    pub fn locate<'t>(
        &self,
        place: &Place,
        text: &dyn Fn(&str) -> Option<&'t str>,
    ) -> Option<(String, Range<usize>)> {
        match place {
            Place::Profile => None,
            Place::File { file, range } => Some((file.clone(), range.clone())),
            Place::Key(path) => {
                let node = self.nearest(path).0;
                let at = node.key.as_ref().unwrap_or(&node.at);
                Some((self.files.get(usize::from(at.layer))?.clone(), at.range()))
            }
            Place::Setting { path, range } => {
                let (node, exact) = self.nearest(path);
                let at = if exact { &node.at } else { node.key.as_ref().unwrap_or(&node.at) };
                let file = self.files.get(usize::from(at.layer))?.clone();
                let whole = at.range();
                let inner = range.as_ref().filter(|_| exact).and_then(|inner| {
                    let text = text(&file)?;
                    within(text.get(whole.clone())?, inner)
                });
                Some(match inner {
                    Some(inner) => (file, whole.start + inner.start..whole.start + inner.end),
                    None => (file, whole),
                })
            }
        }
    }

    /// The node at a path, or the nearest one above it, and whether it is the one asked for.
    fn nearest(&self, path: &Path) -> (&Node, bool) {
        let mut node = &self.root;
        let steps: Vec<&str> = path.segments().collect();
        let mut rest = steps.as_slice();
        while let [step, tail @ ..] = rest {
            // A check may name the shortcut of a label or annotation that was written out.
            let found = node.get(step).or_else(|| {
                let table = match *step {
                    "severity" | "component" => "labels",
                    "summary" | "description" | "runbook_url" => "annotations",
                    _ => return None,
                };
                node.get(table)?.get(step)
            });
            match found {
                Some(inner) => node = inner,
                None => return (node, false),
            }
            rest = tail;
        }
        (node, true)
    }

    /// The history of a value, the first layer's first.
    pub fn history(&self, path: &Path) -> Option<Vec<Step>> {
        let node = path.segments().try_fold(&self.root, |node, step| node.get(step))?;
        Some(node.past.iter().chain([node]).map(|n| self.step(n)).collect())
    }

    fn step(&self, node: &Node) -> Step {
        let At { layer, .. } = node.at;
        let file = self.files.get(usize::from(layer)).cloned().unwrap_or_default();
        Step { file, range: node.at.range(), value: show(&node.value) }
    }

    /// All paths below a path, leaves only.
    pub fn leaves(&self, path: &Path) -> Vec<Path> {
        let Some(node) = path.segments().try_fold(&self.root, |node, step| node.get(step)) else {
            return vec![];
        };
        let mut all = vec![];
        collect(node, path, &mut all);
        all
    }
}

fn collect(node: &Node, path: &Path, all: &mut Vec<Path>) {
    match &node.value {
        Value::Table(table) => {
            table.entries.iter().for_each(|(key, child)| collect(child, &path.join(key), all))
        }
        _ => all.push(path.clone()),
    }
}

/// A value as TOML, on one line.
pub fn show(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Text(text) => format!("{:?}", text.reference()),
        Value::Integer(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Datetime(date) => date.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|i| show(&i.value)).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let entries: Vec<_> =
                table.entries.iter().map(|(k, v)| format!("{k} = {}", show(&v.value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// Bytes of a string's value as bytes of its TOML source. `None` where escapes or line
/// continuations make the two differ.
fn within(source: &str, inner: &Range<usize>) -> Option<Range<usize>> {
    let (open, raw) = if source.starts_with("\"\"\"") {
        (3, false)
    } else if source.starts_with("'''") {
        (3, true)
    } else if source.starts_with('"') {
        (1, false)
    } else if source.starts_with('\'') {
        (1, true)
    } else {
        return None;
    };
    let mut body = source.get(open..source.len().checked_sub(open)?)?;
    let mut skipped = open;
    if open == 3 {
        let newline = if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) };
        body = body.get(newline..)?;
        skipped += newline;
    }
    if !raw && body.contains('\\') {
        return escaped(body, inner).map(|r| r.start + skipped..r.end + skipped);
    }
    (inner.end <= body.len()).then(|| inner.start + skipped..inner.end + skipped)
}

/// The same for a basic string with escapes: walks both side by side.
fn escaped(body: &str, inner: &Range<usize>) -> Option<Range<usize>> {
    let mut value = 0;
    let mut start = None;
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        if value >= inner.start && start.is_none() {
            start = Some(at);
        }
        if value >= inner.end {
            return Some(start?..at);
        }
        if c != '\\' {
            value += c.len_utf8();
            continue;
        }
        let digits = match chars.next()?.1 {
            'u' => 4,
            'U' => 8,
            'x' => 2,
            c if c.is_whitespace() => return None,
            _ => 0,
        };
        if digits == 0 {
            value += 1;
            continue;
        }
        let code: String = (0..digits).filter_map(|_| chars.next().map(|(_, c)| c)).collect();
        value += u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)?.len_utf8();
    }
    (value >= inner.end).then(|| start.unwrap_or(body.len())..body.len())
}
