//! Vault's KV engine, versions 1 and 2, spoken to over its HTTP API.

use super::{Answer, Environment, Local, Provider, Request, Trouble};
use crate::stack::Vault as Settings;

/// A Vault server: one login, one read a path.
pub(super) struct Vault<'a> {
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
    /// Where the credentials of the login come from: env, file and exec.
    pub(super) credentials: Local<'a>,
    /// Relative paths of certificates start here.
    pub(super) base: &'a std::path::Path,
}

impl Provider for Vault<'_> {
    fn get(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        let _ = (self.settings, self.environment, &self.credentials, self.base);
        requests
            .iter()
            .map(|r| Answer::Failed(Trouble::from(format!("{} can't be read", r.origin))))
            .collect()
    }
}
