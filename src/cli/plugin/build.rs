//! `monprov plugin build`: runs the toolchain of a plugin's language
#![expect(clippy::disallowed_methods, reason = "starts the toolchain and keeps what it made")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output as Ended, Stdio};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::folder::{Folder, Language};
use super::worlds;
use crate::cli::output::{Output, kilobytes};
use crate::cli::progress::spinner;
use crate::engine::{Failure, plugins};

#[derive(Debug, Args)]
pub(super) struct Build {
    /// The plugin's folder
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    folder: PathBuf,
}

impl Build {
    pub(super) fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        let folder = Folder::open(&self.folder)?;
        let file = folder.built();
        match folder.settings.language {
            Language::Rust => cargo(&folder, output)?,
            Language::Js => {
                let program = local(&folder, "node_modules/.bin", "componentize-qjs");
                let mut command = Command::new(&program);
                command.arg("-w").arg(folder.wit()).args(["-j", "src/plugin.js", "--sync", "-n"]);
                command.arg(&folder.settings.world).arg("-o").arg(&file);
                run(&folder, command, output, "Node.js and, in the plugin's folder: npm install")?;
            }
            Language::Python => {
                let program = local(&folder, ".venv/bin", "componentize-py");
                let mut command = Command::new(&program);
                command.arg("-d").arg(folder.wit()).arg("-w").arg(&folder.settings.world);
                command.args(["componentize", "-p", "src", "plugin", "-o"]).arg(&file);
                let get = "in the plugin's folder: python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
                run(&folder, command, output, get)?;
            }
        }
        let bytes = folder.read_built()?;
        let shown = file.display();
        let (info, sha256) = plugins::inspect(&folder.state(), &folder.settings.name, &bytes)
            .map_err(|why| anyhow::anyhow!("{shown} is no plugin: {why:#}"))?;
        if output.json {
            output.json(&json!({
                "file": file, "size": bytes.len(), "sha256": sha256, "name": info.name,
                "version": info.version, "worlds": info.worlds,
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let size = kilobytes(bytes.len() as u64);
        output.line("plugin", &format!("{} {}, {}, {size}", info.name, info.version, worlds(&info.worlds)));
        output.line("sha256", &sha256);
        output.line("next", "monprov plugin test");
        output.result(&format!("{shown}\n"));
        Ok(ExitCode::SUCCESS)
    }
}

/// A program of the plugin's own folder, or else the one on PATH.
fn local(folder: &Folder, bin: &str, program: &str) -> OsString {
    let own = folder.path.join(bin).join(program);
    if own.is_file() { own.into() } else { program.into() }
}

/// Runs a toolchain; what it says is passed on where it fails. `get`: how to get it.
fn run(folder: &Folder, mut command: Command, output: &Output, get: &str) -> anyhow::Result<Ended> {
    let program = command.get_program().to_string_lossy().into_owned();
    let name = Path::new(&program).file_name().map_or(program.clone(), |n| n.to_string_lossy().into_owned());
    output.line("building", &format!("with {name}"));
    let working = spinner("building", format!("with {name}"), output);
    let ended = command.current_dir(&folder.path).stdin(Stdio::null()).output();
    drop(working);
    let ended = match ended {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            anyhow::bail!("{name} is missing. To get it: {get}");
        }
        ended => ended.with_context(|| format!("starting {name}"))?,
    };
    if !ended.status.success() {
        // Cargo's stdout is for programs, and its messages are on stderr.
        let said = if name == "cargo" { vec![&ended.stderr] } else { vec![&ended.stdout, &ended.stderr] };
        let said: String = said.into_iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        let no_target =
            said.contains("can't find crate for `core`") || said.contains("can't find crate for `std`");
        let note = match no_target {
            true => ". To get what is missing: rustup target add wasm32-unknown-unknown",
            false => "",
        };
        anyhow::bail!("{name} failed{note}\n\n{}", said.trim());
    }
    Ok(ended)
}

/// A message of cargo about something that it made.
#[derive(Deserialize)]
struct Made {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Cargo says itself where its target folder is.
fn cargo(folder: &Folder, output: &Output) -> anyhow::Result<()> {
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--target", "wasm32-unknown-unknown"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let get = "Rust from https://rustup.rs, then: rustup target add wasm32-unknown-unknown";
    let ended = run(folder, command, output, get)?;
    let said = String::from_utf8_lossy(&ended.stdout);
    let made = said.lines().filter_map(|line| serde_json::from_str::<Made>(line).ok());
    let module = made
        .filter(|made| made.reason == "compiler-artifact")
        .flat_map(|made| made.filenames)
        .rfind(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .context("cargo made no module: `crate-type = [\"cdylib\"]` belongs into [lib] of Cargo.toml")?;
    std::fs::copy(&module, folder.built()).with_context(|| module.display().to_string())?;
    Ok(())
}
