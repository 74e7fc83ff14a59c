#![expect(clippy::disallowed_methods, reason = "the process environment is one of the sources")]

use std::collections::BTreeMap;

use super::{Provider, Secret};
use crate::stack::SecretSource;

/// The process environment, and below it the file given with `--env-file`.
#[derive(Debug, Default)]
pub struct Environment {
    file: BTreeMap<String, Secret>,
}

impl Environment {
    pub fn new(file: BTreeMap<String, Secret>) -> Self {
        Environment { file }
    }

    /// A variable's value. Only the names that a profile declares are asked for.
    pub fn var(&self, name: &str) -> Option<String> {
        match std::env::var(name) {
            Ok(value) => Some(value),
            Err(_) => self.file.get(name).map(|s| s.expose().to_owned()),
        }
    }
}

impl Provider for Environment {
    fn name(&self) -> &'static str {
        "env"
    }

    fn get(&self, source: &SecretSource) -> Result<Option<Secret>, String> {
        let name = &source.env;
        if std::env::var_os(name).is_some_and(|v| v.to_str().is_none()) {
            return Err(format!("the environment variable {name} is not UTF-8"));
        }
        match self.var(name) {
            Some(value) if value.is_empty() => Err(format!("{name} is empty")),
            Some(value) => Ok(Some(Secret::new(value))),
            None => Ok(None),
        }
    }
}
