#![expect(clippy::disallowed_methods, reason = "the process environment is one of the sources")]

use std::collections::BTreeMap;

use super::exec::Commands;
use super::vault::Sessions;
use super::{Answer, Found, Provider, Request, Secret, Trouble};
use crate::stack::Origin;

/// The process environment, and below it the file given with `--env-file`.
#[derive(Debug, Default)]
pub struct Environment {
    file: BTreeMap<String, Secret>,
    /// The sessions that were opened with what stands here.
    vault: Sessions,
    /// What commands printed, in a run over many profiles.
    commands: Option<Commands>,
}

impl Environment {
    pub fn new(file: BTreeMap<String, Secret>) -> Self {
        Environment { file, vault: Sessions::default(), commands: None }
    }

    /// The same for a run over many profiles: a command that prints a secret runs once.
    #[must_use]
    pub fn once(self) -> Self {
        Environment { commands: Some(Commands::default()), ..self }
    }

    pub(super) fn commands(&self) -> Option<&Commands> {
        self.commands.as_ref()
    }

    pub(super) fn vault(&self) -> &Sessions {
        &self.vault
    }

    /// A variable's value. Only the names that a profile declares are asked for.
    pub fn var(&self, name: &str) -> Option<String> {
        match std::env::var(name) {
            Ok(value) => Some(value),
            Err(_) => self.file.get(name).map(|s| s.expose().to_owned()),
        }
    }

    fn answer(&self, name: &str) -> Answer {
        if std::env::var_os(name).is_some_and(|v| v.to_str().is_none()) {
            let remedy = "encode it, for example with base64, where it is not text";
            return Answer::Failed(Trouble::new(format!("the variable {name} is not UTF-8"), remedy));
        }
        match self.var(name) {
            Some(value) if value.is_empty() => {
                Answer::Missing(Trouble::from(format!("the variable {name} is empty")))
            }
            Some(value) => Found::plain(Secret::new(value)),
            None => {
                let remedy =
                    format!("`export {name}=…`, or a line `{name}=…` in a file given with --env-file");
                Answer::Missing(Trouble::new(format!("the variable {name} is not set"), remedy))
            }
        }
    }
}

impl Provider for Environment {
    fn get(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        requests
            .iter()
            .map(|request| match request.origin {
                Origin::Env(name) => self.answer(name),
                other => super::not_mine(other),
            })
            .collect()
    }
}
