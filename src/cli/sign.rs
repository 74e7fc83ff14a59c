//! `monprov sign`

use std::process::ExitCode;

use clap::Args;

use super::Site;
use super::key::Keys;
use super::output::Output;
use crate::engine::{Failure, distribute};
use crate::store::Store;

/// Sign bundles of the store
#[derive(Debug, Args)]
pub(super) struct Sign {
    /// A bundle, or a profile: what of it is current
    #[arg(required = true, value_name = "BUNDLE|PROFILE")]
    bundles: Vec<String>,
    #[command(flatten)]
    keys: Keys,
}

impl Sign {
    pub(super) fn run(&self, site: &Site, output: &Output) -> Result<ExitCode, Failure> {
        let keys = self.keys.read(output)?;
        if keys.is_empty() {
            return Err(anyhow::anyhow!("no key: name one with --key FILE (`monprov key generate`)").into());
        }
        let store = Store::open(&site.state)?;
        let _hold = store.hold()?;
        let mut signed = vec![];
        for wanted in &self.bundles {
            let bundle = store.find(wanted)?;
            let by = distribute::sign(&store, &bundle, &keys)?;
            let note = if by.is_empty() { "unchanged".into() } else { format!("by {}", by.join(", ")) };
            output.line("signed", &format!("{}  {note}", bundle.name()));
            signed.push(serde_json::json!({ "bundle": bundle.name(), "by": by }));
        }
        if output.json {
            output.json(&signed);
        }
        Ok(ExitCode::SUCCESS)
    }
}
