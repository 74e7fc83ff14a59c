//! `monprov plugin`: pin, list, inspect and try plugins
#![expect(clippy::disallowed_methods, reason = "copies the file that it is given into the project")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{Output, kilobytes, plural};
use super::table::table;
use super::{environment, exit};
use crate::diagnostic::has_errors;
use crate::engine::plugins::{self, Trial};
use crate::engine::{self, Failure};
use crate::pins::{FILE, Pin, Pins};
use crate::plugin::World;
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct Plugin {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Pin a plugin in monprov.lock; one from elsewhere is copied to plugins/ first
    Add(Add),
    /// Pin changed files of plugins anew
    Update(Update),
    /// List a profile's plugins: pins, what they can do and may change
    List(List),
    /// Show what a file is: what it can do, imports and takes as settings
    Inspect(Inspect),
    /// Run one plugin against a profile and show what it wants changed and finds
    Run(Run),
}

#[derive(Debug, Args)]
struct Add {
    /// A file, or an address (http, https)
    source: String,
}

#[derive(Debug, Args)]
struct Update {
    /// Files as monprov.lock names them [default: all]
    files: Vec<String>,
}

#[derive(Debug, Args)]
struct List {
    /// The profile
    profile: String,
    /// Read variables that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Inspect {
    /// A component, a core module or component text
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    /// The profile
    profile: String,
    /// The plugin's name in the profile
    plugin: String,
    /// Read variables that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl Plugin {
    pub(super) fn run(
        &self,
        project: impl Fn() -> anyhow::Result<Project>,
        output: &mut Output,
    ) -> Result<ExitCode, Failure> {
        match &self.verb {
            Verb::Add(verb) => verb.run(&project()?, output),
            Verb::Update(verb) => verb.run(&project()?, output),
            Verb::List(verb) => verb.run(&project()?, output),
            Verb::Inspect(verb) => verb.run(project().ok(), output),
            Verb::Run(verb) => verb.run(&project()?, output),
        }
    }
}

impl Add {
    fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let address = self.source.starts_with("http://") || self.source.starts_with("https://");
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
    fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
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

fn worlds(worlds: &[World]) -> String {
    worlds.iter().map(|world| world.name()).collect::<Vec<_>>().join(", ")
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

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
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
    fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
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

impl Inspect {
    /// Also without a project: an author may have none.
    fn run(&self, project: Option<Project>, output: &Output) -> Result<ExitCode, Failure> {
        let bytes = read(&self.file)?;
        let shown = self.file.display();
        let scratch = tempfile::tempdir()?;
        let state = project.as_ref().map_or(scratch.path(), |project| &project.state);
        let (info, sha256) = plugins::inspect(state, &shown.to_string(), &bytes)
            .map_err(|why| anyhow::anyhow!("{shown} is no plugin: {why}"))?;
        let schema = crate::plugin::schema::parse(&info.settings_schema).unwrap_or_default();
        if output.json {
            output.json(&json!({
                "name": info.name, "version": info.version, "homepage": info.homepage, "worlds": info.worlds,
                "abi": info.abi.version(), "wasi": info.wasi, "size": bytes.len(), "sha256": sha256, "settings": schema,
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let imports = match info.wasi.as_slice() {
            [] => "nothing".to_owned(),
            wasi => format!("{} (all denied or fixed)", wasi.join(", ")),
        };
        let schema = match schema {
            Some(schema) => serde_json::to_string_pretty(&schema)?,
            None => "none".into(),
        };
        output.result(&format!(
            "plugin    {} {}\nabi       {}\nhomepage  {}\ndoes      {}\nimports   {imports}\nsize      {}\nsha256    {sha256}\nsettings  {}\n",
            info.name,
            info.version,
            info.abi.version(),
            if info.homepage.is_empty() { "-" } else { &info.homepage },
            worlds(&info.worlds),
            kilobytes(bytes.len() as u64),
            schema.replace('\n', "\n          "),
        ));
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let loaded = engine::load(project, &self.profile, &environment(&self.env_file)?)?;
        let plugins = &loaded.profile.settings.plugins;
        if !plugins.contains_key(&self.plugin) {
            let near = crate::diagnostic::nearest(&self.plugin, plugins.keys().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let list = format!("monprov plugin list {}", self.profile);
            return Err(
                anyhow::anyhow!("`{}` has no plugin `{}`{near} ({list})", self.profile, self.plugin).into()
            );
        }
        let Trial { plugins, ran, report } = plugins::run(project, loaded, Some(&self.plugin))?;
        let printed = ran.said.printed.get(&self.plugin).cloned().unwrap_or_default();
        let fuel = ran.said.fuel.get(&self.plugin).copied().unwrap_or_default();
        let settings = plugins.get(&self.plugin).map(crate::plugin::Plugin::settings);
        let failed = has_errors(&report.findings);
        let code = if failed { ExitCode::from(exit::REFUSED) } else { ExitCode::SUCCESS };
        if output.json {
            let findings: Vec<_> = report
                .findings
                .iter()
                .map(|f| json!({ "code": f.code.id, "severity": f.severity, "message": f.message }))
                .collect();
            output.json(&json!({
                "settings": settings, "changes": ran.changes, "findings": findings, "printed": printed, "fuel": fuel,
            }));
            return Ok(code);
        }
        output.line("settings", &settings.unwrap_or_default().to_string());
        for line in printed.lines() {
            let plain: String = line.chars().filter(|c| !c.is_control()).collect();
            output.line("printed", &plain);
        }
        let rows: Vec<_> =
            ran.changes.iter().map(|change| vec![change.to_string(), change.reason.clone()]).collect();
        if !rows.is_empty() {
            output.result(&table(&["change", "why"], rows.into_iter()));
        }
        let findings = report.findings.len();
        output.findings_if_any(report);
        output.line(
            "result",
            &format!("{}, {}, {fuel} fuel", plural(ran.changes.len(), "change"), plural(findings, "finding")),
        );
        Ok(code)
    }
}
