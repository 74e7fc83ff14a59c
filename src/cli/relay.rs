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
    /// The address to listen on: of the machine itself, or of the stack's network
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Keep payloads in DIR, for `monprov plugin replay`: the last 1000, and what alerts say is in them
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
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
