//! `monprov pull`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Site;
use super::output::{Output, kilobytes};
use crate::cache::{Cache, Pulled};
use crate::engine::{Failure, distribute};
use crate::store::Store;

/// Bring bundles from a binary cache into the store; prints their store paths
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// Store names, or profiles (what their channel names), then the cache: `file:///DIR`,
    /// `https://HOST/PATH` or `s3://BUCKET?region=REGION&endpoint=HOST`
    #[arg(required = true, num_args = 2.., value_name = "BUNDLE|PROFILE… URL")]
    what: Vec<String>,
    /// Point LINK to the bundle and keep it from being collected
    #[arg(short, long, value_name = "LINK")]
    out_link: Option<PathBuf>,
}

impl Pull {
    pub(super) fn run(&self, site: &Site, output: &Output) -> Result<ExitCode, Failure> {
        let Some((url, words)) = self.what.split_last() else { return Ok(ExitCode::SUCCESS) };
        if self.out_link.is_some() && words.len() > 1 {
            return Err(anyhow::anyhow!(
                "--out-link is for one bundle: pull the others by a call of their own"
            )
            .into());
        }
        let cache = Cache::open(url)?;
        let project = site.project.as_ref();
        let wanted: Vec<_> =
            words.iter().map(|word| distribute::wanted(project, &cache, word)).collect::<Result<_, _>>()?;
        for pointer in wanted.iter().filter_map(|one| one.pointer.as_ref()) {
            let back = if pointer.rollback { ", a rollback" } else { "" };
            output.line("channel", &format!("{}  serial {}{back}", pointer.profile, pointer.serial));
        }
        let store = Store::open(&site.state)?;
        let _hold = store.hold()?;
        let pulled = distribute::pull(&store, &cache, &wanted)?;
        if let (Some(link), [one]) = (&self.out_link, pulled.as_slice()) {
            store.out_link(link, &one.path)?;
        }
        for one in &pulled {
            say(one, output);
        }
        if output.json {
            let list: Vec<_> = pulled.iter().map(json).collect();
            output.json(&list);
        } else {
            let text: String = pulled.iter().map(|one| format!("{}\n", one.path.path().display())).collect();
            output.result(&text);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn say(pulled: &Pulled, output: &Output) {
    let size = pulled.bytes.map_or_else(|| "was here".into(), kilobytes);
    let by: Vec<&str> = pulled.verdict.signed_by.iter().map(String::as_str).collect();
    let by = match by.as_slice() {
        [] => "not signed by a trusted key".into(),
        by => format!("signed by {}", by.join(", ")),
    };
    output.line("pulled", &format!("{}  {size}, {by}", pulled.path.name()));
}

fn json(pulled: &Pulled) -> serde_json::Value {
    serde_json::json!({
        "path": pulled.path.path(),
        "bytes": pulled.bytes,
        "signed_by": pulled.verdict.signed_by,
    })
}
