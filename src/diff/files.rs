//! Which files differ, and in which lines.

use std::time::Duration;

use serde::Serialize;
use similar::TextDiff;

use crate::bundle::Tree;

use super::Kind;

/// A file of a bundle that is new, gone or different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    pub path: String,
    pub change: Kind,
    /// A unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// Lines around a change.
const CONTEXT: usize = 3;

/// After this a file that differs everywhere is compared less finely.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn compare(old: Option<&Tree>, new: &Tree) -> Vec<FileChange> {
    let change = |path: &str, change| FileChange { path: path.to_owned(), change, diff: None };
    let before = |path: &str| old.and_then(|old| old.get(path));
    let mut changes: Vec<FileChange> = new
        .iter()
        .filter_map(|(path, file)| match before(path) {
            None => Some(change(path, Kind::Added)),
            Some(before) if before != file => Some(change(path, Kind::Changed)),
            Some(_) => None,
        })
        .collect();
    let gone = old.into_iter().flat_map(Tree::iter).filter(|(path, _)| new.get(path).is_none());
    changes.extend(gone.map(|(path, _)| change(path, Kind::Removed)));
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

/// Adds the unified diff of each file.
pub(super) fn texts(changes: &mut [FileChange], old: Option<&Tree>, new: &Tree) {
    for change in changes {
        let text = |tree: Option<&Tree>| {
            let file = tree.and_then(|tree| tree.get(&change.path));
            file.map(|file| String::from_utf8_lossy(&file.content).into_owned())
        };
        let (before, after) = (text(old), text(Some(new)));
        let header = |side: &str, text: &Option<String>| match text {
            Some(_) => format!("{side}/{}", change.path),
            None => "/dev/null".to_owned(),
        };
        let (from, to) = (header("a", &before), header("b", &after));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&before, &after);
        change.diff = Some(diff.unified_diff().context_radius(CONTEXT).header(&from, &to).to_string());
    }
}
