//! `monprov plugin add`, `update` and `list`: what a project has pinned
#![expect(clippy::disallowed_methods, reason = "copies the file that it is given into the project")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::fetch::Address;
use super::{read, worlds};
use crate::cli::environment;
use crate::cli::output::Output;
use crate::cli::registry::RegistryOptions;
use crate::cli::table::table;
use crate::diagnostic::has_errors;
use crate::engine::{self, Failure, plugins};
use crate::pins::{FILE, Pin, Pins};
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Add {
    /// A file, or an address (http, https; in a registry oci://HOST/PATH:TAG)
    source: String,
    #[command(flatten)]
    registry: RegistryOptions,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Files as monprov.lock names them [default: all]
    files: Vec<String>,
    #[command(flatten)]
    registry: RegistryOptions,
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
        let (file, source) = match Address::parse(&self.source)? {
            Some(address) => {
                let arrived = address.fetch(&self.registry.open()?)?;
                let name = address.file_name();
                must_be_plugin(project, &self.source, &arrived.bytes)?;
                let file = copied(project, &self.source, &name, &arrived.bytes, |pin| {
                    pin.source.as_ref().is_some_and(|source| address.is_version_of(source))
                })?;
                (file, Some(arrived.source))
            }
            None => match project.name_of(Path::new(&self.source)) {
                Some(file) => (file, None),
                None => {
                    let bytes = read(Path::new(&self.source))?;
                    let name = self.source.rsplit('/').next().unwrap_or_default();
                    (copied(project, &self.source, name, &bytes, |_| false)?, None)
                }
            },
        };
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
        let registries = self.registry.open()?;
        let mut updated = vec![];
        for (file, old) in
            pins.plugins.iter().filter(|(f, _)| self.files.is_empty() || self.files.contains(f))
        {
            let mut source = old.source.clone();
            if let Some(address) = source.as_deref().map(Address::parse).transpose()?.flatten() {
                let arrived = address.anew().fetch(&registries)?;
                must_be_plugin(project, file, &arrived.bytes)?;
                write(project, file, &arrived.bytes)?;
                source = Some(arrived.source);
            }
            let (pin, before) = plugins::pin(project, file, source)?;
            if output.json {
                let was = before.as_ref().filter(|before| **before != pin);
                updated.push(
                    json!({ "file": file, "pin": pin, "changed": pin.sha256 != old.sha256, "was": was }),
                );
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

/// What came must be a plugin before it takes the place of one.
fn must_be_plugin(project: &Project, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let inspected = plugins::inspect(&project.state, name, bytes);
    inspected.map(|_| ()).map_err(|why| anyhow::anyhow!("{name} is no plugin: {why}"))
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

/// Puts a file into `plugins/`, where no other file is in its way. `replaces`: whether it takes the place
/// of one with that pin.
fn copied(
    project: &Project,
    source: &str,
    name: &str,
    bytes: &[u8],
    replaces: impl Fn(&Pin) -> bool,
) -> anyhow::Result<String> {
    anyhow::ensure!(!name.is_empty() && !name.starts_with('.'), "{source} does not end in a file's name");
    let file = format!("plugins/{name}");
    if let Ok(there) = project.bytes(&file) {
        if there == bytes {
            return Ok(file);
        }
        anyhow::ensure!(
            Pins::read(project)?.plugins.get(&file).is_some_and(replaces),
            "{file} is another file already: remove it first, or put the new one there and run `monprov plugin update {file}`"
        );
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
