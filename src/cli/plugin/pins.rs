//! `monprov plugin add`, `update` and `list`: what a project has pinned
#![expect(clippy::disallowed_methods, reason = "copies the file that it is given into the project")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{read, worlds};
use crate::cli::environment;
use crate::cli::output::Output;
use crate::cli::table::table;
use crate::diagnostic::has_errors;
use crate::engine::{self, Failure, plugins};
use crate::pins::{FILE, Pin, Pins};
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Add {
    /// A file, or an address (http, https)
    source: String,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Files as monprov.lock names them [default: all]
    files: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The profile
    profile: String,
    /// Read variables that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl Add {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let address = self.source.starts_with("http://") || self.source.starts_with("https://");
        if address && reqwest::Url::parse(&self.source).is_ok_and(|url| has_credentials(&url)) {
            return Err(anyhow::anyhow!(
                "an address with a user or password would stand in {FILE}, which is checked in: fetch the file \
                 yourself and add that"
            )
            .into());
        }
        let inside = if address { None } else { project.name_of(Path::new(&self.source)) };
        let file = match inside {
            Some(file) => file,
            None => {
                let bytes = if address { fetch(&self.source)? } else { read(Path::new(&self.source))? };
                copied(project, &self.source, &bytes)?
            }
        };
        let source = address.then(|| self.source.clone());
        let (pin, before) = plugins::pin(project, &file, source)?;
        if output.json {
            output.json(&json!({ "file": file, "pin": pin }));
            return Ok(ExitCode::SUCCESS);
        }
        output.line("pinned", &describe(&file, &pin, before.as_ref()));
        output.line("next", &format!("name it in a profile, and check {FILE} in"));
        output.result(&format!("[plugins.{}]\nfile = {file:?}\n", pin.name));
        Ok(ExitCode::SUCCESS)
    }
}

impl Update {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let pins = Pins::read(project)?;
        if let Some(unknown) = self.files.iter().find(|file| !pins.plugins.contains_key(*file)) {
            let known: Vec<_> = pins.plugins.keys().map(String::as_str).collect();
            let near = crate::diagnostic::nearest(unknown, known.iter().copied());
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(anyhow::anyhow!(
                "{unknown} is not pinned{near} (pin it: monprov plugin add {unknown})"
            )
            .into());
        }
        let mut updated = vec![];
        for (file, old) in
            pins.plugins.iter().filter(|(f, _)| self.files.is_empty() || self.files.contains(f))
        {
            if let Some(source) = &old.source {
                write(project, file, &fetch(source)?)?;
            }
            let (pin, before) = plugins::pin(project, file, old.source.clone())?;
            if output.json {
                updated.push(json!({ "file": file, "pin": pin, "changed": pin.sha256 != old.sha256 }));
            } else {
                output.result(&format!("{}\n", describe(file, &pin, before.as_ref())));
            }
        }
        if output.json {
            output.json(&updated);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// `plugins/naming.wasm  naming-policy 1.0.0  policy  sha256 3f2a… (was 1.0.0, 99ab…)`
fn describe(file: &str, pin: &Pin, before: Option<&Pin>) -> String {
    let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
    let was = match before {
        Some(before) if before.sha256 != pin.sha256 => {
            format!("  (was {}, {})", before.version, short(&before.sha256))
        }
        Some(_) => "  (unchanged)".into(),
        None => String::new(),
    };
    format!("{file}  {} {}  {}  {}{was}", pin.name, pin.version, worlds(&pin.worlds), short(&pin.sha256))
}

/// Puts a file into `plugins/`, where no other file is in its way.
fn copied(project: &Project, source: &str, bytes: &[u8]) -> anyhow::Result<String> {
    let name = source.split(['?', '#']).next().unwrap_or(source).rsplit('/').next().unwrap_or_default();
    anyhow::ensure!(!name.is_empty() && !name.starts_with('.'), "{source} does not end in a file's name");
    let file = format!("plugins/{name}");
    if let Ok(there) = project.bytes(&file) {
        anyhow::ensure!(
            there == bytes,
            "{file} is another file already: remove it first, or put the new one there and run `monprov plugin update {file}`"
        );
        return Ok(file);
    }
    write(project, &file, bytes)?;
    Ok(file)
}

fn write(project: &Project, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = project.path(file);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(&path, bytes).with_context(|| path.display().to_string())
}

fn has_credentials(url: &reqwest::Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A plugin's file takes no longer than this.
const DEADLINE: Duration = Duration::from_secs(60);
/// And is no larger.
const LARGEST: u64 = 256 << 20;

fn fetch(url: &str) -> anyhow::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(DEADLINE).build()?;
        let mut answer = client.get(url).send().await.with_context(|| url.to_owned())?;
        anyhow::ensure!(answer.status().is_success(), "{url} answered {}", answer.status());
        let mut bytes = vec![];
        while let Some(part) = answer.chunk().await.with_context(|| url.to_owned())? {
            bytes.extend_from_slice(&part);
            anyhow::ensure!(bytes.len() as u64 <= LARGEST, "{url} is larger than {} MiB", LARGEST >> 20);
        }
        Ok(bytes)
    })
}

impl List {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let loaded = engine::load(project, &self.profile, &environment(&self.env_file)?)?;
        if has_errors(&loaded.report.findings) {
            return Err(Failure::Refused(Box::new(loaded.report)));
        }
        let pins = Pins::read(project)?;
        let plugins = &loaded.profile.settings.plugins;
        let pin = |file: &str| pins.plugins.get(file);
        let may = |plugin: &crate::profile::settings::Plugin| match &plugin.may {
            Some(may) => may.iter().map(|grant| grant.name()).collect::<Vec<_>>().join(", "),
            None => "threshold, for".into(),
        };
        if output.json {
            let all: Vec<_> = plugins
                .iter()
                .map(|(name, plugin)| {
                    json!({ "name": name, "file": plugin.file, "pin": pin(&plugin.file), "may": may(plugin), "after": plugin.after })
                })
                .collect();
            output.json(&all);
            return Ok(ExitCode::SUCCESS);
        }
        if plugins.is_empty() {
            output.line("plugins", &format!("`{}` has none", self.profile));
            return Ok(ExitCode::SUCCESS);
        }
        let rows = plugins.iter().map(|(name, plugin)| {
            let pin = pin(&plugin.file);
            let cell = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            vec![
                name.clone(),
                cell(pin.map(|pin| format!("{} {}", pin.name, pin.version))),
                cell(pin.map(|pin| worlds(&pin.worlds))),
                may(plugin),
                plugin.file.clone(),
            ]
        });
        output.result(&table(&["name", "plugin", "does", "may change", "file"], rows));
        Ok(ExitCode::SUCCESS)
    }
}
