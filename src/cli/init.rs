//! `monprov init`: a small commented project that builds
#![expect(clippy::disallowed_methods, reason = "writes the new project")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use crate::engine::Failure;

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Where; by default here
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    target: PathBuf,
}

/// The files of a new project.
const FILES: [(&str, &str); 4] = [
    ("profiles/base.toml", include_str!("init/base.toml")),
    ("profiles/dev.toml", include_str!("init/dev.toml")),
    ("profiles/dev.env.example", include_str!("init/dev.env.example")),
    (".gitignore", include_str!("init/gitignore")),
];

impl Init {
    pub(super) fn run(&self, output: &mut Output) -> Result<ExitCode, Failure> {
        let root = &self.target;
        let taken: Vec<_> = FILES
            .iter()
            .filter(|(file, _)| file.starts_with("profiles") && root.join(file).exists())
            .collect();
        if let [(file, _), ..] = taken.as_slice() {
            let path = root.join(file);
            return Err(anyhow::anyhow!("{} is there already; nothing was written", path.display()).into());
        }
        for (file, content) in FILES {
            let path = root.join(file);
            if path.exists() {
                continue;
            }
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|e| anyhow::anyhow!("{}: {e}", parent.display()))?;
            }
            std::fs::write(&path, content).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
            output.line("wrote", &path.display().to_string());
        }
        let step = match root.as_os_str().to_str() {
            Some(".") | None => String::new(),
            Some(folder) => format!("-C {folder} "),
        };
        output.line("next", &format!("monprov {step}build dev --env-file profiles/dev.env.example"));
        Ok(ExitCode::SUCCESS)
    }
}
