//! `monprov push`

use std::process::ExitCode;

use clap::Args;

use super::key::Keys;
use super::output::{Output, kilobytes};
use super::{Site, exit};
use crate::cache::{Cache, Change, News, Pushed};
use crate::engine::{Failure, distribute};
use crate::store::{Store, StorePath};

/// Bring bundles into a binary cache, from which `pull` and Nix take them
#[derive(Debug, Args)]
pub(super) struct Push {
    /// Bundles or profiles (what of them is current), then the cache: `file:///DIR`,
    /// `https://HOST/PATH` or `s3://BUCKET?region=REGION&endpoint=HOST`
    #[arg(required = true, num_args = 1.., value_name = "BUNDLE|PROFILE… URL")]
    what: Vec<String>,
    /// Every bundle of the store
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    keys: Keys,
    /// Let the channel of its profile name the bundle, for hosts that follow it
    #[arg(long)]
    channel: bool,
    /// A bundle that ran before is meant to run again
    #[arg(long, requires = "channel")]
    rollback: bool,
    /// Why, for those who read the channel
    #[arg(long, value_name = "TEXT", requires = "channel")]
    reason: Option<String>,
    /// The channel's serial, in the place of one more than before
    #[arg(long, value_name = "N", requires = "channel")]
    serial: Option<u64>,
}

impl Push {
    pub(super) fn run(&self, site: &Site, output: &Output) -> Result<ExitCode, Failure> {
        let (url, wanted) = match self.what.split_last() {
            Some(split) if self.all == split.1.is_empty() => split,
            _ => {
                let text = "name what to push and then the URL of the cache, or --all and the URL";
                output.error(&anyhow::anyhow!(text));
                return Ok(ExitCode::from(exit::USAGE));
            }
        };
        let keys = self.keys.read(output)?;
        let store = Store::open(&site.state)?;
        let _hold = store.hold()?;
        let bundles: Vec<StorePath> = match self.all {
            true => store.list()?,
            false => wanted.iter().map(|word| store.find(word)).collect::<Result<_, _>>()?,
        };
        let cache = Cache::open_for_writing(url)?;
        distribute::push(&store, &cache, &bundles, &keys, &|pushed| say(pushed, output))?;
        let mut channels = vec![];
        if self.channel {
            let change = Change { rollback: self.rollback, reason: self.reason.clone(), serial: self.serial };
            for bundle in &bundles {
                let trust = distribute::trust(site.project.as_ref(), Some(bundle.name().name()))?;
                let pointer = distribute::point(&cache, bundle.name(), &keys, &trust, &change)?;
                output.line("channel", &format!("{}  serial {}", pointer.profile, pointer.serial));
                channels.push(pointer);
            }
        }
        if output.json {
            let names: Vec<_> = bundles.iter().map(StorePath::name).collect();
            output
                .json(&serde_json::json!({ "cache": cache.shown(), "bundles": names, "channels": channels }));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn say(pushed: &Pushed, output: &Output) {
    let news = match pushed.news {
        News::All => kilobytes(pushed.bytes),
        News::Signatures => "was there, signatures added".into(),
        News::Nothing => "was there".into(),
    };
    let by: Vec<&str> = pushed.signatures.iter().map(|signature| signature.name()).collect();
    let by = if by.is_empty() { "not signed".into() } else { format!("signed by {}", by.join(", ")) };
    output.line("pushed", &format!("{}  {news}, {by}", pushed.name));
}
