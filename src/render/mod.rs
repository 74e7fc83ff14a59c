//! Stack → files, one file a tool. Everything is a typed value that a serialiser writes.

pub mod command;
pub mod compose;
pub mod grafana;
pub mod process;
pub mod script;
pub mod yaml;

use std::fmt;

/// A value that a format cannot hold: a fault of monprov, since stacks are checked first.
#[derive(Debug)]
pub enum Error {
    Yaml(serde_saphyr::ser::Error),
    Json(serde_json::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Yaml(error) => write!(f, "cannot be written as YAML: {error}"),
            Error::Json(error) => write!(f, "cannot be written as JSON: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<serde_saphyr::ser::Error> for Error {
    fn from(error: serde_saphyr::ser::Error) -> Self {
        Error::Yaml(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Error::Json(error)
    }
}
