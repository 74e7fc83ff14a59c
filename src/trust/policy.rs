//! Whom to trust, as it is written: `[trust]` of a profile, or a file of the machine with the
//! same keys.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{KeyError, Trust};
use crate::bundle::NameError;

/// Whose bundles are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Public keys, `NAME:BASE64`, as `monprov key` and Nix print them.
    pub keys: Vec<String>,
    /// Names of keys that are not trusted any more, whoever still lists them.
    pub revoked: Vec<String>,
    /// Refuse what no trusted key has signed.
    pub required: bool,
    /// Store names of bundles that are not to run, whoever signed them.
    pub bad: Vec<String>,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("{0}")]
    Syntax(String),
    #[error("`keys`, entry {number}: {error}")]
    Key { number: usize, error: KeyError },
    #[error("`revoked`, entry {number}: write the name of a key, which stands before its `:`")]
    Revoked { number: usize },
    #[error("`bad`, entry {number}: {error}")]
    Bad { number: usize, error: NameError },
}

impl Policy {
    /// A file of its own, such as `/etc/monprov/trust.toml`.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        toml::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string().trim_end().to_owned()))
    }

    pub fn read(&self) -> Result<Trust, PolicyError> {
        let mut trust = Trust { required: self.required, ..Trust::default() };
        for (number, key) in (1..).zip(&self.keys) {
            trust.keys.push(key.parse().map_err(|error| PolicyError::Key { number, error })?);
        }
        for (number, name) in (1..).zip(&self.revoked) {
            // A whole key where its name was meant would revoke nothing.
            if name.trim().is_empty() || name.contains(|c: char| c == ':' || c.is_whitespace()) {
                return Err(PolicyError::Revoked { number });
            }
            trust.revoked.insert(name.clone());
        }
        for (number, name) in (1..).zip(&self.bad) {
            trust.bad.insert(name.parse().map_err(|error| PolicyError::Bad { number, error })?);
        }
        Ok(trust)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "fleet-1:wI20T4znbg8Injg0WjO7uiRL3jcHkoQlDxe7JTTGcHo=";

    #[test]
    fn a_policy_is_read() {
        let text = format!(
            "keys = [\"{KEY}\"]\nrevoked = [\"fleet-0\"]\nrequired = true\n\
             bad = [\"jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod\"]\n"
        );
        let trust = Policy::parse(&text).unwrap().read().unwrap();
        assert_eq!(trust.keys, [KEY.parse().unwrap()]);
        assert!(trust.required && trust.revoked.contains("fleet-0"));
        assert_eq!(trust.bad.len(), 1);
        assert_eq!(Policy::parse("").unwrap().read(), Ok(Trust::default()));
    }

    #[test]
    fn what_would_silently_trust_too_much_is_an_error() {
        let said = |text: &str| Policy::parse(text).and_then(|policy| policy.read()).unwrap_err().to_string();
        assert!(said("require = true").contains("unknown field `require`"));
        assert!(said(&format!("revoked = [\"{KEY}\"]")).contains("`revoked`, entry 1"));
        assert!(
            said(&format!("keys = [\"{KEY}\", \"x\"]")).contains("`keys`, entry 2: this is no public key")
        );
        assert!(said("bad = [\"prod\"]").contains("`bad`, entry 1"));
    }
}
