//! `monprov plugin replay`: a recorded payload through a channel plugin, without sending anything

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::folder::Folder;
use super::{delivery, read, show_printed};
use crate::cli::output::Output;
use crate::cli::{environment, exit};
use crate::engine::Failure;
use crate::engine::deliveries::Channel;
use crate::project::Project;

/// The requests are shown with the names of secrets in the place of their values.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A payload of Alertmanager's webhook, as `monprov relay --record` keeps them
    file: PathBuf,
    /// The channel of a profile
    #[arg(long, num_args = 2, value_names = ["PROFILE", "NAME"], required_unless_present = "plugin")]
    channel: Option<Vec<String>>,
    /// A plugin's folder, with the settings of a file, or none
    #[arg(long, value_name = "DIR", conflicts_with = "channel")]
    plugin: Option<PathBuf>,
    /// Settings for `--plugin`, as they stand below [channels.NAME.plugin.settings]
    #[arg(long, value_name = "FILE", requires = "plugin")]
    settings: Option<PathBuf>,
    /// When it is delivered; by default when it was recorded, or else now
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Read variables that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl Replay {
    pub(super) fn run(
        &self,
        project: impl Fn() -> anyhow::Result<Project>,
        output: &Output,
    ) -> Result<ExitCode, Failure> {
        let payload = read(&self.file)?;
        let channel = match (&self.plugin, self.channel.as_deref()) {
            (Some(folder), _) => {
                let folder = Folder::open(folder)?;
                let settings = match &self.settings {
                    Some(file) => delivery::given(file)?,
                    None => serde_json::Map::new(),
                };
                let bytes = folder.read_built()?;
                let channel = Channel::new(&folder.state(), &folder.settings.name, &bytes, settings)?;
                channel.map_err(|wrong| anyhow::anyhow!("{}", wrong.trim_end()))?
            }
            (None, Some([profile, name])) => {
                Channel::of(&project()?, profile, name, &environment(&self.env_file)?)?
            }
            (None, _) => return Err(anyhow::anyhow!("--channel takes a profile and a channel's name").into()),
        };
        let at = self.at.or_else(|| self.recorded()).unwrap_or_else(jiff::Timestamp::now);
        let shown = channel
            .replay(&payload, at.as_millisecond() as f64)
            .with_context(|| self.file.display().to_string())?;
        if output.json {
            output.json(
                &json!({ "at": at, "shown": shown.text, "printed": shown.printed, "failed": shown.failed }),
            );
        } else {
            output.line("at", &at.to_string());
            show_printed(&shown.printed, output);
            output.result(&shown.text);
        }
        Ok(if shown.failed { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
    }

    /// What the relay keeps is named by its time in milliseconds: `1767323045678-….json`.
    fn recorded(&self) -> Option<jiff::Timestamp> {
        let (at, _) = self.file.file_name()?.to_str()?.split_once('-')?;
        let digits = at.len() == 13 && at.bytes().all(|byte| byte.is_ascii_digit());
        jiff::Timestamp::from_millisecond(at.parse().ok().filter(|_| digits)?).ok()
    }
}
