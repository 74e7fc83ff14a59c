//! Fills in `${…}` after the merge, once: what is filled in is not searched again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::diagnostic::{Finding, Path, Place, nearest};

use super::codes::{M003, M010, M011, M012};
use super::node::{Node, Value};
use super::shape::{Scalar, ShapeRef, Shapes};
use super::text::{Filter, Piece, Text};
use super::validate::problem;

/// What placeholders can refer to.
#[expect(missing_debug_implementations, reason = "holds a function")]
pub struct Scope<'a> {
    /// Declared variables and their values; `None` where nothing gives one.
    pub vars: &'a BTreeMap<String, Option<String>>,
    /// What a missing variable is for.
    pub descriptions: &'a BTreeMap<String, String>,
    pub secrets: &'a BTreeSet<String>,
    /// Where a service finds a secret file of its own: (service, file) → path.
    pub secret_file: &'a dyn Fn(&str, &str) -> Option<String>,
    /// The site that the profile is for, where it has a matrix.
    pub site: Option<&'a str>,
}

/// What was used, and what was wrong.
#[derive(Debug, Default)]
pub struct Outcome {
    pub vars: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
    pub findings: Vec<Finding>,
}

/// Fills in the whole tree.
pub fn interpolate(shapes: &Shapes, root: &mut Node, scope: &Scope<'_>) -> Outcome {
    let mut filler =
        Filler { shapes, scope, path: vec![], outcome: Outcome::default(), has_threshold: false };
    filler.node(root, shapes.root);
    filler.outcome
}

struct Filler<'a> {
    shapes: &'a Shapes,
    scope: &'a Scope<'a>,
    path: Vec<String>,
    outcome: Outcome,
    /// The alert that is being filled in has a threshold.
    has_threshold: bool,
}

/// Tables that say where values come from, and files whose names are not ours to change.
const VERBATIM: [&str; 3] = ["extends", "vars", "rules"];

impl Filler<'_> {
    fn node(&mut self, node: &mut Node, shape: ShapeRef) {
        let shapes = self.shapes;
        match &mut node.value {
            Value::Table(table) => {
                if self.path.len() == 2 {
                    self.has_threshold = table.entries.contains_key("threshold");
                }
                for (key, child) in &mut table.entries {
                    if self.path.is_empty() && VERBATIM.contains(&key.as_str()) {
                        continue;
                    }
                    let Some(inner) = shapes.field(shape, key) else { continue };
                    self.path.push(key.clone());
                    self.node(child, inner);
                    self.path.pop();
                }
            }
            Value::Array(items) => {
                let Some(inner) = shapes.item(shape) else { return };
                for (index, child) in items.iter_mut().enumerate() {
                    self.path.push(index.to_string());
                    self.node(child, inner);
                    self.path.pop();
                }
            }
            Value::String(text) if text.contains("${") => {
                let Some(scalar) = shapes.scalar(shape) else { return };
                let pieces = self.pieces(text);
                node.value = self.value(pieces, scalar);
            }
            _ => {}
        }
    }

    fn here(&self) -> Path {
        self.path.iter().fold(Path::root(), |p, s| p.join(s))
    }

    fn report(&mut self, finding: Finding) {
        self.outcome.findings.push(finding);
    }

    fn value(&mut self, pieces: Vec<Piece>, scalar: &Scalar) -> Value {
        if pieces.iter().any(|p| !matches!(p, Piece::Plain(_))) {
            if scalar.format.as_deref() == Some("text") {
                return Value::Text(Text(pieces));
            }
            let place = Place::setting(self.here());
            let finding = match pieces.iter().find(|p| matches!(p, Piece::Secret { .. })) {
                Some(_) => Finding::error(&M012, place, format!("a secret can't stand in `{}`", self.here()))
                    .note("it would land in the bundle, where everyone can read it"),
                None => Finding::error(&M010, place, "`${threshold}` has no meaning in this key".to_owned()),
            };
            self.report(finding);
            return Value::String(String::new());
        }
        let text: String = pieces
            .into_iter()
            .map(|p| match p {
                Piece::Plain(text) => text,
                _ => String::new(),
            })
            .collect();
        let value = typed(text, scalar);
        let fits = match &value {
            Value::String(_) => scalar.string,
            _ => true,
        };
        // `problem` leaves text with `${` alone; what stands here now is final.
        let wrong = match &value {
            Value::String(text) if !fits => {
                Some(format!("`{text}` is not a value that `{}` can have", self.here()))
            }
            Value::String(text) if text.contains("${") => None,
            other => problem(other, scalar).map(|(message, _)| message),
        };
        if let Some(message) = wrong {
            let place = Place::setting(self.here());
            self.report(Finding::error(&M003, place, message).note("after its variables were filled in"));
        }
        value
    }

    fn pieces(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = vec![];
        let mut plain = String::new();
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(|rest| rest.find("${")) {
            let start = at + found;
            plain.push_str(text.get(at..start).unwrap_or_default());
            if plain.ends_with('$') {
                plain.push('{');
                at = start + 2;
                continue;
            }
            let rest = text.get(start..).unwrap_or_default();
            let length = rest.find('}').map_or(rest.len(), |end| end + 1);
            let whole = rest.get(..length).unwrap_or_default();
            match self.placeholder(whole, start..start + length) {
                Some(Piece::Plain(value)) => plain.push_str(&value),
                Some(piece) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                    }
                    pieces.push(piece);
                }
                None => plain.push_str(whole),
            }
            at = start + length;
        }
        plain.push_str(text.get(at..).unwrap_or_default());
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        pieces
    }

    /// The piece that a placeholder stands for; `None` where it is not ours.
    fn placeholder(&mut self, whole: &str, range: Range<usize>) -> Option<Piece> {
        let inner = whole.strip_prefix("${").unwrap_or(whole);
        let (name, closed) = match inner.strip_suffix('}') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let space = ["var.", "secret.", "file.", "matrix."].iter().find(|s| name.starts_with(**s));
        let threshold = self.path.first().is_some_and(|p| p == "alerts") && name == "threshold";
        if space.is_none() && !threshold {
            return None;
        }
        let place = Place::setting(self.here()).within(range);
        if !closed {
            self.report(Finding::error(&M010, place, "a placeholder without its closing `}`"));
            return Some(Piece::Plain(String::new()));
        }
        if threshold {
            if !self.has_threshold {
                self.report(
                    Finding::error(&M010, place, "`${threshold}` in an alert without a threshold")
                        .label("set `threshold` beside it"),
                );
            }
            return Some(Piece::Threshold);
        }
        let (space, name) = name.split_once('.')?;
        let (name, filter) = match name.split_once('|') {
            Some((name, filter)) => (name, Some(filter)),
            None => (name, None),
        };
        let piece = match space {
            "var" => self.variable(name, &place),
            "file" => self.secret_file(name, &place),
            "matrix" => self.site(name, &place),
            _ => self.secret(name, filter, &place),
        };
        if space != "secret" && filter.is_some() {
            self.report(Finding::error(&M010, place, "only secrets have filters"));
        }
        Some(piece)
    }

    fn variable(&mut self, name: &str, place: &Place) -> Piece {
        let first = self.outcome.vars.insert(name.to_owned());
        match self.scope.vars.get(name) {
            Some(Some(value)) => return Piece::Plain(value.clone()),
            Some(None) if !first => {}
            Some(None) => {
                let mut finding =
                    Finding::error(&M011, place.clone(), format!("the variable `{name}` has no value"))
                        .label(format!("set {name} in the environment or in a file given with --env-file"));
                if let Some(what) = self.scope.descriptions.get(name) {
                    finding = finding.note(format!("{name}: {what}"));
                }
                if let Some(site) = self.scope.site {
                    finding = finding
                        .note(format!("for this site alone: [matrix.sites.{site}] vars.{name} = \"…\""));
                }
                self.report(finding);
            }
            None => {
                let near = nearest(name, self.scope.vars.keys().map(String::as_str));
                let label = near.map_or_else(
                    || format!("declare it: [vars] {name} = {{}}"),
                    |near| format!("did you mean `{near}`?"),
                );
                self.report(
                    Finding::error(&M010, place.clone(), format!("no variable `{name}` is declared"))
                        .label(label),
                );
            }
        }
        Piece::Plain(String::new())
    }

    fn site(&mut self, name: &str, place: &Place) -> Piece {
        let wrong = match self.scope.site {
            Some(site) if name == "site" => return Piece::Plain(site.to_owned()),
            Some(_) => Finding::error(&M010, place.clone(), format!("a matrix has no `{name}`"))
                .label("`${matrix.site}` is the site's name"),
            None => Finding::error(&M010, place.clone(), "this profile has no [matrix]")
                .note("`${matrix.site}` is the name of the site that a bundle is for"),
        };
        self.report(wrong);
        Piece::Plain(String::new())
    }

    fn secret(&mut self, name: &str, filter: Option<&str>, place: &Place) -> Piece {
        let filter = match filter {
            None => Filter::None,
            Some("url") => Filter::Url,
            Some("json") => Filter::Json,
            Some("base64") => Filter::Base64,
            Some(other) => {
                self.report(
                    Finding::error(&M010, place.clone(), format!("no filter is called `{other}`"))
                        .label("filters are `url`, `json` and `base64`"),
                );
                Filter::None
            }
        };
        if self.scope.secrets.contains(name) {
            self.outcome.secrets.insert(name.to_owned());
        } else {
            let near = nearest(name, self.scope.secrets.iter().map(String::as_str));
            let label = near.map_or_else(
                || format!("declare it: [secrets] {name} = {{ env = \"{}\" }}", name.to_uppercase()),
                |near| format!("did you mean `{near}`?"),
            );
            self.report(
                Finding::error(&M010, place.clone(), format!("no secret `{name}` is declared")).label(label),
            );
        }
        Piece::Secret { name: name.to_owned(), filter }
    }

    fn secret_file(&mut self, name: &str, place: &Place) -> Piece {
        let found = match self.path.as_slice() {
            [services, service, ..] if services == "services" => (self.scope.secret_file)(service, name),
            _ => None,
        };
        Piece::Plain(found.unwrap_or_else(|| {
            self.report(
                Finding::error(&M010, place.clone(), format!("this service has no secret file `{name}`"))
                    .label(format!("add `secret_files.{name} = \"…\"` to the service")),
            );
            String::new()
        }))
    }
}

/// A string that came from a variable, as the type that its key wants.
fn typed(text: String, scalar: &Scalar) -> Value {
    if scalar.boolean
        && let Ok(value) = text.parse()
    {
        return Value::Bool(value);
    }
    if scalar.integer
        && let Ok(value) = text.parse()
    {
        return Value::Integer(value);
    }
    if scalar.number
        && !scalar.string
        && let Ok(value) = text.parse::<f64>()
        && value.is_finite()
    {
        return Value::Float(value);
    }
    Value::String(text)
}
