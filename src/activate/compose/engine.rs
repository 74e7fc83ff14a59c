//! Compose, in the version that is there.

use std::collections::BTreeMap;

use crate::activate::RuntimeError;
use crate::activate::docker::{command, result, run};
use crate::secret::Secret;

/// The commands of an engine.
#[derive(Debug)]
pub(super) struct Engine {
    /// `docker compose` (2) or `docker-compose` (1).
    compose: &'static [&'static str],
}

impl Engine {
    /// Finds the Compose that is there.
    pub(super) fn find() -> Result<Self, RuntimeError> {
        let answers = |program: &[&str]| {
            command(program, &["version"]).output().is_ok_and(|output| output.status.success())
        };
        const SECOND: &[&str] = &["docker", "compose"];
        const FIRST: &[&str] = &["docker-compose"];
        let compose = [SECOND, FIRST].into_iter().find(|program| answers(program)).ok_or_else(|| {
            RuntimeError::unavailable(
                "neither `docker compose` nor `docker-compose` is there",
                "install Docker Compose, or build the profile with another `stack.runtime`",
            )
        })?;
        Ok(Engine { compose })
    }

    pub(super) fn compose(
        &self,
        args: &[&str],
        environment: &BTreeMap<String, Secret>,
    ) -> Result<(), RuntimeError> {
        let mut command = command(self.compose, args);
        command.envs(environment.iter().map(|(name, secret)| (name, secret.expose())));
        let output = run(command, "Compose")?;
        result(&output, "Compose")
    }
}
