//! `monprov key`
#![expect(clippy::disallowed_methods, reason = "looks at the mode of a key's file")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::Output;
use crate::engine::{Failure, distribute};
use crate::trust::SecretKey;

/// Make and show keys that sign bundles
#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Make a key: the secret one into a file, the public one is printed
    Generate {
        /// What stands beside every signature: `fleet-1`, and `fleet-2` for the next key
        name: String,
        /// Where the secret key is written (0600); a file that is there is not replaced
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the public key of a secret one
    Public {
        /// The file of the secret key
        file: PathBuf,
    },
}

impl Key {
    pub(super) fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        let key = match &self.verb {
            KeyVerb::Generate { name, out } => {
                let key = distribute::new_key(name, out)?;
                output.line("key", &format!("{} (keep it secret, and a copy of it)", out.display()));
                key
            }
            KeyVerb::Public { file } => {
                let mut keys = distribute::keys(std::slice::from_ref(file))?;
                let Some(key) = keys.pop() else { return Ok(ExitCode::SUCCESS) };
                key
            }
        };
        let public = key.public();
        if output.json {
            output.json(&serde_json::json!({ "name": key.name(), "public": public.to_string() }));
        } else {
            output.result(&format!("{public}\n"));
        }
        if let KeyVerb::Generate { .. } = self.verb {
            output.line("next", "list the public key in `keys` of `[trust]`, or of each host's trust file");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The keys that sign.
#[derive(Debug, Args)]
pub(super) struct Keys {
    /// Sign with the secret key in FILE; may be given several times
    #[arg(long, value_name = "FILE", env = "MONPROV_SIGNING_KEY", hide_env_values = true)]
    key: Vec<PathBuf>,
}

impl Keys {
    pub(super) fn read(&self, output: &Output) -> Result<Vec<SecretKey>, Failure> {
        for file in &self.key {
            let open = std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0);
            if open {
                let text = format!("{} can be read by others: `chmod 600` it", file.display());
                output.warn("key", &text);
            }
        }
        distribute::keys(&self.key)
    }
}

/// A line that says who signed a bundle just now.
pub(super) fn signed(by: &[String], output: &Output) {
    if !by.is_empty() {
        output.line("signed", &format!("by {}", by.join(", ")));
    }
}
