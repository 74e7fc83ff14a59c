//! `monprov relay`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::engine::Failure;
use crate::relay::{self, Options};

/// Deliver alerts through channel plugins; the stack starts this by itself
#[derive(Debug, Args)]
#[command(after_help = "It ends on SIGTERM, when what is under way is finished, and takes a changed \
    configuration on SIGHUP.")]
pub(super) struct Relay {
    /// The relay.json of the bundle that runs
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder of the relay's secret files
    #[arg(long, value_name = "DIR")]
    secrets: PathBuf,
    /// Where the code of plugins is kept
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The address to listen on: `127.0.0.1:9095` of the machine itself, `:9095` in a container of
    /// the stack's network
    #[arg(long, value_name = "[IP]:PORT", value_parser = address)]
    listen: SocketAddr,
    /// Keep payloads in DIR, for `monprov plugin replay`: the last 1000, and what alerts say is in them
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

/// As Prometheus takes it: without an IP all of the machine's.
fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| "write `127.0.0.1:9095`, or `:9095`".to_owned())
}

impl Relay {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        relay::run(Options {
            config: self.config.clone(),
            secrets: self.secrets.clone(),
            data: self.data.clone(),
            listen: self.listen,
            record: self.record.clone(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
