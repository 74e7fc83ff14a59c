//! A flat map of paths as the directory tree that it means: checked, and in NAR order.
//!
//! NAR sorts the names of each directory by their bytes. That is not the order of whole
//! paths: `a-b` sorts before `a/b` as text, but the directory `a` comes before the file `a-b`.

use super::{File, Tree};

/// The longest path and name that Linux takes.
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

/// A tree that can't be a directory on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("the bundle's file path {path:?} {problem}: give it a relative path such as `rules/celery.yml`")]
    Path { path: String, problem: &'static str },
    #[error("the bundle has both a file {file:?} and a file {inside:?} inside it: rename one of them")]
    FileIsDirectory { file: String, inside: String },
}

/// One step of the walk over a tree. The root is entered first and left last; its path and
/// name are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    Enter { path: &'a str, name: &'a str },
    File { path: &'a str, name: &'a str, file: &'a File },
    Leave { path: &'a str },
}

pub(super) fn walk(tree: &Tree) -> Result<Vec<Step<'_>>, TreeError> {
    let mut files: Vec<(&str, &File)> = tree.iter().collect();
    for (path, _) in &files {
        check(path)?;
    }
    files.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));

    let mut steps = vec![Step::Enter { path: "", name: "" }];
    let mut open: Vec<&str> = Vec::new(); // the directories entered, outermost first
    let mut last = "";
    for (path, file) in files {
        // A file sorts directly before everything inside a directory of its name.
        if !last.is_empty() && is_inside(path, last) {
            return Err(TreeError::FileIsDirectory { file: last.to_owned(), inside: path.to_owned() });
        }
        last = path;
        while let Some(directory) = open.pop_if(|directory| !is_inside(path, directory)) {
            steps.push(Step::Leave { path: directory });
        }
        let start = open.last().map_or(0, |directory| directory.len() + 1);
        for (slash, _) in path.match_indices('/').filter(|(slash, _)| *slash > start) {
            let (directory, _) = path.split_at(slash);
            steps.push(Step::Enter { path: directory, name: file_name(directory) });
            open.push(directory);
        }
        steps.push(Step::File { path, name: file_name(path), file });
    }
    steps.extend(open.into_iter().rev().map(|path| Step::Leave { path }));
    steps.push(Step::Leave { path: "" });
    Ok(steps)
}

/// Whether `path` lies within the directory.
pub(crate) fn is_inside(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn check(path: &str) -> Result<(), TreeError> {
    let problem = if path.is_empty() {
        "is empty"
    } else if path.starts_with('/') {
        "is absolute"
    } else if path.contains('\0') {
        "holds a NUL byte"
    } else if path.len() > MAX_PATH {
        "is longer than 4095 bytes"
    } else {
        let problem = path.split('/').find_map(|name| match name {
            "" => Some("has an empty name in it"),
            "." | ".." => Some("has a `.` or `..` in it"),
            name if name.len() > MAX_NAME => Some("has a name of more than 255 bytes in it"),
            _ => None,
        });
        match problem {
            Some(problem) => problem,
            None => return Ok(()),
        }
    };
    Err(TreeError::Path { path: path.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for path in paths {
            tree.insert(*path, *path);
        }
        tree
    }

    fn shape(paths: &[&str]) -> String {
        let show = |step: &Step<'_>| match step {
            Step::Enter { name, .. } => format!("{name}("),
            Step::File { name, .. } => format!("{name} "),
            Step::Leave { .. } => ")".to_owned(),
        };
        tree(paths).walk().unwrap().iter().map(show).collect()
    }

    #[test]
    fn names_are_sorted_within_each_directory() {
        assert_eq!(shape(&["a-b", "a/b", "a/c/d", "a.b", "z"]), "(a(b c(d ))a-b a.b z )");
        assert_eq!(shape(&["a/b/c/d", "a/b/e", "b/b/c/d"]), "(a(b(c(d )e ))b(b(c(d ))))");
        assert_eq!(shape(&["ab/x", "abc/x", "ab-/x"]), "(ab(x )ab-(x )abc(x ))");
        assert_eq!(shape(&["a/x", "ab/x"]), "(a(x )ab(x ))");
    }

    #[test]
    fn no_files_is_an_empty_directory() {
        assert_eq!(shape(&[]), "()");
    }

    #[test]
    fn paths_that_leave_the_tree_or_are_ambiguous_are_refused() {
        let long = "x".repeat(256);
        let deep = "x/".repeat(2048) + "x";
        for path in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.", "a\0b", &long, &deep] {
            let error = tree(&[path]).walk().unwrap_err();
            assert!(matches!(&error, TreeError::Path { path: p, .. } if p == path), "{path:?}: {error}");
        }
        for path in ["...", "-a", " ", "a\nb", "…", "a:b", ".a", "a.", &"x".repeat(255)] {
            assert!(tree(&[path]).walk().is_ok(), "{path:?}");
        }
    }

    #[test]
    fn a_file_that_is_also_a_directory_is_refused() {
        let error = tree(&["a", "a-b", "a.b", "a/b/c"]).walk().unwrap_err();
        assert_eq!(error, TreeError::FileIsDirectory { file: "a".into(), inside: "a/b/c".into() });
        assert!(tree(&["a/b", "a/b/c"]).walk().is_err());
        assert!(tree(&["a/b", "a/bc", "ab/c"]).walk().is_ok());
    }
}
