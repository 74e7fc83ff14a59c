//! `monprov cache`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::gc::ago;
use super::output::{Output, kilobytes, plural};
use super::table::{table, when};
use crate::cache::{Cache as Binary, Kept, Listed};
use crate::engine::Failure;

/// Look into a binary cache, and remove what is old
#[derive(Debug, Args)]
pub(super) struct Cache {
    #[command(subcommand)]
    verb: CacheVerb,
}

#[derive(Debug, Subcommand)]
enum CacheVerb {
    /// List the bundles of a cache: when they came, how large they are, who signed them
    List {
        /// A folder or bucket: `file:///DIR`, `s3://BUCKET?…`
        url: String,
    },
    /// Remove old bundles of profiles that have a channel, never one that a channel names, and
    /// archives that nothing names
    Gc(Gc),
}

#[derive(Debug, Args)]
struct Gc {
    /// A folder or bucket: `file:///DIR`, `s3://BUCKET?…`
    url: String,
    /// Also of these profiles, which have no channel
    profiles: Vec<String>,
    /// Keep the last N bundles of each profile
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Keep bundles that are not older: `30d`, `2 weeks`. With --keep, what one of the two keeps
    /// stays
    #[arg(long, value_name = "TIME", value_parser = ago)]
    older_than: Option<Timestamp>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Cache {
    pub(super) fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        match &self.verb {
            CacheVerb::List { url } => list(url, output),
            CacheVerb::Gc(gc) => gc.run(output),
        }
    }
}

fn list(url: &str, output: &Output) -> Result<ExitCode, Failure> {
    let (bundles, channels) = Binary::open(url)?.list()?;
    if output.json {
        let bundle = |one: &Listed| {
            serde_json::json!({
                "bundle": one.info.name,
                "time": one.time,
                "bytes": one.info.file_size,
                "signatures": one.info.signatures.iter().map(|s| s.name()).collect::<Vec<_>>(),
                "current": one.current,
            })
        };
        let bundles: Vec<_> = bundles.iter().map(bundle).collect();
        output.json(&serde_json::json!({ "bundles": bundles, "channels": channels }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = bundles.iter().map(|one| {
        let by: Vec<&str> = one.info.signatures.iter().map(|signature| signature.name()).collect();
        let serial = channels.get(one.info.name.name()).filter(|_| one.current);
        vec![
            one.info.name.to_string(),
            when(one.time),
            kilobytes(one.info.file_size.unwrap_or_default()),
            if by.is_empty() { "not signed".into() } else { by.join(", ") },
            serial.map_or_else(String::new, |pointer| format!("channel, serial {}", pointer.serial)),
        ]
    });
    output.result(&table(&["bundle", "when", "size", "signed by", ""], rows));
    Ok(ExitCode::SUCCESS)
}

impl Gc {
    fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        let cache = Binary::open(&self.url)?;
        let profiles = self.profiles.iter().cloned().collect();
        let kept = Kept { keep: self.keep, since: self.older_than, profiles };
        let removed = cache.retain(&kept, self.dry_run, Timestamp::now())?;
        if output.json {
            output.json(&serde_json::json!({
                "removed": !self.dry_run,
                "bundles": removed.bundles,
                "archives": removed.archives,
                "bytes": removed.bytes,
            }));
        } else {
            output.result(&removed.bundles.iter().map(|name| format!("{name}\n")).collect::<String>());
        }
        let note = if self.dry_run { "  (--dry-run: nothing yet)" } else { "" };
        let (bundles, archives) =
            (plural(removed.bundles.len(), "bundle"), plural(removed.archives, "archive"));
        let size = kilobytes(removed.bytes);
        output.line("removed", &format!("{bundles}, {archives} that nothing named, {size}{note}"));
        Ok(ExitCode::SUCCESS)
    }
}
