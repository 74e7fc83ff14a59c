//! Which layers a profile is made of, and in which order they count.

use crate::diagnostic::{Finding, Place, nearest};

use super::codes::{M001, M003, M005, M006, M015};
use super::node::{self, Node, Value};

/// Hands out layers by name. The edge reads files; tests read from memory.
pub trait Source: std::fmt::Debug + Sync {
    /// The text of a layer.
    fn read(&self, name: &str) -> Read;
    /// All layers that there are, for "did you mean".
    fn names(&self) -> Vec<String>;
    /// How people know a layer: `profiles/prod.toml`.
    fn file(&self, name: &str) -> String;
}

/// What reading a layer gave.
#[derive(Debug)]
pub enum Read {
    Text(String),
    Missing,
    /// Why it can't be read.
    Failed(String),
}

/// A layer as it was read.
#[derive(Debug)]
pub struct Layer {
    pub name: String,
    pub file: String,
    pub text: String,
    pub root: Node,
}

/// Reads a profile and all that it extends, depth first, each layer once; the profile is last.
pub fn collect(profile: &str, source: &dyn Source) -> (Vec<Layer>, Vec<Finding>, Sources) {
    let mut walk =
        Walk { source, layers: vec![], trail: vec![], done: vec![], findings: vec![], sources: vec![] };
    walk.visit(profile, None);
    (walk.layers, walk.findings, walk.sources)
}

/// Reads what a part of a layer extends, in the same way. `known`: layers that were read before.
pub(super) fn beyond(
    part: &Node,
    file: &str,
    known: Vec<String>,
    source: &dyn Source,
) -> (Vec<Layer>, Vec<Finding>, Sources) {
    let mut walk =
        Walk { source, layers: vec![], trail: vec![], done: known, findings: vec![], sources: vec![] };
    walk.follow(part, file);
    (walk.layers, walk.findings, walk.sources)
}

/// The texts of all files that findings may point into, by name.
pub type Sources = Vec<(String, String)>;

struct Walk<'a> {
    source: &'a dyn Source,
    layers: Vec<Layer>,
    /// The layers whose `extends` is being followed.
    trail: Vec<String>,
    done: Vec<String>,
    findings: Vec<Finding>,
    sources: Sources,
}

/// A layer of more than this is no profile: 16 MiB.
const MAX_SIZE: usize = 16 << 20;

impl Walk<'_> {
    fn visit(&mut self, name: &str, named_at: Option<Place>) {
        if let Some(start) = self.trail.iter().position(|n| n == name) {
            let circle: Vec<&str> = self.trail.iter().skip(start).map(String::as_str).chain([name]).collect();
            let message = format!("layers extend each other in a circle: {}", circle.join(" → "));
            let place = named_at.unwrap_or(Place::Profile);
            self.findings.push(Finding::error(&M006, place, message).label("closes the circle"));
            return;
        }
        if self.done.iter().any(|n| n == name) {
            return;
        }
        self.done.push(name.to_owned());
        let text = match self.source.read(name) {
            Read::Text(text) => text,
            Read::Missing => return self.missing(name, named_at),
            Read::Failed(why) => {
                let message = format!("{} can't be read: {why}", self.source.file(name));
                self.findings.push(Finding::error(&M015, named_at.unwrap_or(Place::Profile), message));
                return;
            }
        };
        let file = self.source.file(name);
        self.sources.push((file.clone(), text.clone()));
        if text.len() > MAX_SIZE {
            let message = format!("{file} is larger than 16 MiB");
            self.findings.push(Finding::error(&M015, Place::File { file, range: 0..0 }, message));
            return;
        }
        match node::parse(0, &text) {
            Ok(root) => {
                self.trail.push(name.to_owned());
                self.follow(&root, &file);
                self.trail.pop();
                self.layers.push(Layer { name: name.to_owned(), file, text, root });
            }
            Err(errors) => {
                let place = |span| Place::File { file: file.clone(), range: span };
                // After a bracket that is never closed, all else is an echo of it.
                let unclosed = errors.iter().any(|e| e.message.contains("unclosed"));
                let shown = if unclosed { 1 } else { errors.len() };
                for error in errors.into_iter().take(shown) {
                    let mut finding = Finding::error(&M001, place(error.span), error.message);
                    if unclosed {
                        finding = finding.note("a bracket or quote that stands before this is never closed");
                    }
                    self.findings.push(finding);
                }
            }
        }
    }

    fn follow(&mut self, root: &Node, file: &str) {
        let Some(extends) = root.get("extends") else { return };
        // A list of anything but strings is reported with all other wrong types.
        let Value::Array(items) = &extends.value else { return };
        for item in items {
            let Some(name) = item.as_str() else { continue };
            let place = Place::File { file: file.to_owned(), range: item.at.range() };
            if name.is_empty() || name.contains(['/', '\\', '\0']) || name.starts_with('.') {
                let message = format!("`{name}` is not the name of a layer");
                let label = "the file name without folder and `.toml`";
                self.findings.push(Finding::error(&M003, place, message).label(label));
                continue;
            }
            self.visit(name, Some(place));
        }
    }

    fn missing(&mut self, name: &str, named_at: Option<Place>) {
        let known = self.source.names();
        let message = match named_at {
            Some(_) => format!("no layer is called `{name}`"),
            None => format!("no profile is called `{name}`"),
        };
        let mut finding = Finding::error(&M005, named_at.unwrap_or(Place::Profile), message);
        let bare = name.strip_suffix(".toml").unwrap_or(name);
        finding = match nearest(bare, known.iter().map(String::as_str)) {
            Some(near) => finding.label(format!("did you mean `{near}`?")),
            None if known.is_empty() => {
                finding.note("there are no layers here; `monprov init` writes a first one")
            }
            None => finding.note(format!("there are: {}", known.join(", "))),
        };
        self.findings.push(finding.note(format!("it would be {}", self.source.file(name))));
    }
}
