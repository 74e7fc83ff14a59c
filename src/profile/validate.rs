//! A layer against the language: unknown keys and wrong values, each at its place, all at once.

use crate::diagnostic::{Finding, Place, nearest};

use super::codes::{M002, M003};
use super::node::{Node, Value};
use super::shape::{Fields, Scalar, Shape, ShapeRef, Shapes};
use super::units::{Bytes, Duration, Threshold};

/// What was found in a layer.
#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// Paths of values whose type is wrong, for the places of what they would replace.
    pub wrong: Vec<(usize, Vec<String>)>,
    /// Keys that an unknown key was most likely meant to be: not "missing" as well.
    pub meant: Vec<Vec<String>>,
}

/// Removes what does not fit and reports it. `shape`: a layer's, or that of a part of one.
pub fn part(shapes: &Shapes, file: &str, node: &mut Node, shape: ShapeRef) -> Report {
    let mut validator = Validator { shapes, file, path: vec![], report: Report::default() };
    validator.node(node, shape);
    validator.report
}

struct Validator<'a> {
    shapes: &'a Shapes,
    file: &'a str,
    path: Vec<String>,
    report: Report,
}

impl Validator<'_> {
    fn place(&self, at: &super::node::At) -> Place {
        Place::File { file: self.file.to_owned(), range: at.range() }
    }

    fn wrong(&mut self, node: &Node, message: String, label: String) -> bool {
        self.report.wrong.push((self.report.findings.len(), self.path.clone()));
        let finding = Finding::error(&M003, self.place(&node.at), message).label(label);
        self.report.findings.push(finding);
        false
    }

    /// False where the value has to go.
    fn node(&mut self, node: &mut Node, shape: ShapeRef) -> bool {
        let shapes = self.shapes;
        match shapes.get(shape) {
            Shape::Table(fields) => self.table(node, fields),
            Shape::Named(inner) => {
                let Value::Table(table) = &mut node.value else { return self.expected(node, "a table") };
                let inner = *inner;
                table.entries.retain(|key, child| {
                    self.path.push(key.clone());
                    let keep = self.node(child, inner);
                    self.path.pop();
                    keep
                });
                true
            }
            Shape::List(item) => {
                let Value::Array(items) = &mut node.value else { return self.expected(node, "a list") };
                let item = *item;
                let mut index = 0;
                items.retain_mut(|child| {
                    self.path.push(index.to_string());
                    index += 1;
                    let keep = self.node(child, item);
                    self.path.pop();
                    keep
                });
                true
            }
            Shape::Scalar(scalar) => self.scalar(node, scalar),
            Shape::Any => true,
            Shape::Either(forms) => {
                let fits = |form: &&ShapeRef| self.fits(node, **form);
                match forms.iter().find(fits).copied() {
                    Some(form) => self.node(node, form),
                    None => {
                        let wanted: Vec<_> = forms.iter().map(|f| self.describe(*f)).collect();
                        self.expected(node, &wanted.join(" or "))
                    }
                }
            }
        }
    }

    fn expected(&mut self, node: &Node, wanted: &str) -> bool {
        let message = format!("`{}` must be {wanted}, not {}", self.path.join("."), node.value.kind());
        self.wrong(node, message, format!("expected {wanted}"))
    }

    fn fits(&self, node: &Node, shape: ShapeRef) -> bool {
        match self.shapes.get(shape) {
            Shape::Table(_) | Shape::Named(_) => matches!(node.value, Value::Table(_)),
            Shape::List(_) => matches!(node.value, Value::Array(_)),
            Shape::Scalar(_) => !matches!(node.value, Value::Table(_) | Value::Array(_)),
            Shape::Any => true,
            Shape::Either(forms) => forms.iter().any(|f| self.fits(node, *f)),
        }
    }

    fn describe(&self, shape: ShapeRef) -> String {
        match self.shapes.get(shape) {
            Shape::Table(_) | Shape::Named(_) => "a table".into(),
            Shape::List(_) => "a list".into(),
            Shape::Scalar(scalar) => describe(scalar),
            Shape::Any => "a value".into(),
            Shape::Either(forms) => forms.iter().map(|f| self.describe(*f)).collect::<Vec<_>>().join(" or "),
        }
    }

    fn table(&mut self, node: &mut Node, fields: &Fields) -> bool {
        let Value::Table(table) = &mut node.value else { return self.expected(node, "a table") };
        table.entries.retain(|key, child| {
            self.path.push(key.clone());
            let keep = if let Some(shape) = fields.fields.get(key) {
                self.node(child, *shape)
            } else if key == "unset" || key == "final" {
                self.names(child)
            } else if let Some(shape) = key.strip_suffix("_append").and_then(|k| fields.fields.get(k)) {
                match &mut child.value {
                    Value::Array(_) if self.shapes.item(*shape).is_some() => self.node(child, *shape),
                    _ => self.expected(child, "a list"),
                }
            } else {
                self.unknown(key, child, fields);
                false
            };
            self.path.pop();
            keep
        });
        true
    }

    fn names(&mut self, node: &Node) -> bool {
        match &node.value {
            Value::Array(items) if items.iter().all(|i| i.as_str().is_some()) => true,
            _ => self.expected(node, "a list of strings"),
        }
    }

    fn unknown(&mut self, key: &str, node: &Node, fields: &Fields) {
        let place = self.place(node.key.as_ref().unwrap_or(&node.at));
        let owner = self.path.split_last().map_or(&[][..], |(_, owner)| owner).join(".");
        let message = match owner.as_str() {
            "" => format!("a profile has no table `{key}`"),
            owner => format!("`{owner}` has no key `{key}`"),
        };
        let mut finding = Finding::error(&M002, place, message);
        if let Some(hint) = hint(key) {
            finding = finding.label(hint);
        } else if let Some(known) = nearest(key, fields.fields.keys().map(String::as_str)) {
            finding = finding.label(format!("did you mean `{known}`?"));
            let mut meant = self.path.clone();
            meant.pop();
            meant.push(known.to_owned());
            self.report.meant.push(meant);
        } else {
            let known: Vec<_> = fields.fields.keys().map(String::as_str).collect();
            finding = finding.note(format!("known keys: {}", known.join(", ")));
        }
        self.report.findings.push(finding);
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar) -> bool {
        let right = match &node.value {
            // Filled in later, and looked at again then.
            Value::String(text) if text.contains("${") => true,
            Value::String(_) => scalar.string,
            Value::Integer(_) => scalar.integer || scalar.number,
            Value::Float(n) => scalar.number && n.is_finite(),
            Value::Bool(_) => scalar.boolean,
            _ => false,
        };
        if !right {
            return self.expected(node, &describe(scalar));
        }
        match problem(&node.value, scalar) {
            None => true,
            Some((message, label)) => {
                let message = format!("`{}`: {message}", self.path.join("."));
                self.wrong(node, message, label)
            }
        }
    }
}

/// Habits from other tools that deserve a better answer than the nearest key.
fn hint(key: &str) -> Option<&'static str> {
    Some(match key {
        "networks" | "network_mode" => "every service joins `stack.network`; there is nothing to choose",
        "command" => "write `args`, and `entrypoint` where the image's own must be replaced",
        "ports" => "write `port`, and `publish` for another port on the host",
        "mem_limit" | "memory" | "cpus" => "write `limits = { cpus = \"0.5\", memory = \"128MiB\" }`",
        "receiver" => "write `channel`",
        "env" | "env_file" => "write `environment`",
        "matrix" => "only a file has sites",
        "profile" => "only a file says what it is",
        _ => return None,
    })
}

fn describe(scalar: &Scalar) -> String {
    if !scalar.choices.is_empty() {
        let quoted: Vec<_> = scalar.choices.iter().map(|c| format!("`{c}`")).collect();
        return format!("one of {}", quoted.join(", "));
    }
    match scalar.format.as_deref() {
        Some("duration") => "a duration such as \"5m\"".into(),
        Some("bytes") => "a size such as \"128MiB\"".into(),
        Some("threshold") => "a threshold such as 100, \"10%\" or \"30m\"".into(),
        _ if scalar.string => "a string".into(),
        _ if scalar.integer => "an integer".into(),
        _ if scalar.number => "a number".into(),
        _ => "true or false".into(),
    }
}

/// What is wrong with a value of the right type: the message, and what stands at the caret.
pub fn problem(value: &Value, scalar: &Scalar) -> Option<(String, String)> {
    match value {
        Value::String(text) if text.contains("${") => None,
        Value::String(text) if text.contains('\0') => Some(("a NUL character".into(), "remove it".into())),
        Value::String(text) if !scalar.choices.is_empty() && !scalar.choices.contains(text) => {
            let label = nearest(text, scalar.choices.iter().map(String::as_str))
                .map_or_else(|| describe(scalar), |known| format!("did you mean `{known}`?"));
            Some((format!("`{text}` is not {}", describe(scalar)), label))
        }
        Value::String(text) => {
            let wrong = match scalar.format.as_deref() {
                Some("duration") => text.parse::<Duration>().err(),
                Some("bytes") => text.parse::<Bytes>().err(),
                Some("threshold") => text.parse::<Threshold>().err(),
                _ => None,
            }?;
            Some((wrong, String::new()))
        }
        Value::Integer(n) => {
            let (low, high) = scalar.range?;
            (*n < low || *n > high).then(|| match high {
                i64::MAX => (format!("{n} is too small"), format!("at least {low}")),
                _ => (format!("{n} is out of range"), format!("from {low} to {high}")),
            })
        }
        _ => None,
    }
}
