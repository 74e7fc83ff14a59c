//! `monprov plugin new`: a plugin that builds, with a test case
#![expect(clippy::disallowed_methods, reason = "writes the new plugin")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::folder::{ABI, FILE, Language};
use crate::cli::output::Output;
use crate::engine::Failure;

#[derive(Debug, Args)]
pub(super) struct New {
    /// What it is called, and the folder that is made: small letters, digits and dashes
    name: String,
    /// The language
    #[arg(long)]
    lang: Language,
    /// What it does: change alerts, judge a stack, or deliver to a service
    #[arg(long, default_value = "thresholds")]
    world: World,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum World {
    Thresholds,
    Policy,
    Channel,
}

macro_rules! embedded {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../../../plugins/", $path)))),*] };
}

/// What new plugins are made of: files of `plugins/`, which a released binary has in it.
const EMBEDDED: &[(&str, &str)] = embedded![
    "wit/1.1/plugin.wit",
    "sdk/Cargo.toml",
    "sdk/src/lib.rs",
    "sdk/src/channel/judge.rs",
    "sdk/src/channel/message.rs",
    "sdk/src/channel/mod.rs",
    "sdk/src/channel/request.rs",
    "sdk/src/channel/split.rs",
    "sdk/src/channel/time.rs",
    "sdk/src/channel/words.rs",
    "sdk/src/heap.rs",
    "templates/plugin.toml",
    "templates/README.md",
    "templates/gitignore",
    "templates/rust/manifest.toml",
    "templates/rust/thresholds.rs",
    "templates/rust/policy.rs",
    "templates/rust/channel.rs",
    "templates/js/package.json",
    "templates/js/thresholds.js",
    "templates/js/policy.js",
    "templates/js/channel.js",
    "templates/python/requirements.txt",
    "templates/python/thresholds.py",
    "templates/python/policy.py",
    "templates/python/channel.py",
    "templates/cases/thresholds/profile.toml",
    "templates/cases/thresholds/expected.txt",
    "templates/cases/policy/profile.toml",
    "templates/cases/policy/expected.txt",
    "templates/cases/channel/group.json",
    "templates/cases/channel/responses/accepted.json",
    "templates/cases/channel/responses/too-fast.json",
    "templates/cases/channel/responses/unknown.json",
    "templates/cases/channel/rust.txt",
    "templates/cases/channel/js.txt",
    "templates/cases/channel/python.txt",
];

impl New {
    pub(super) fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        let name = &self.name;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_lowercase())
            || !name.chars().all(plain)
            || name.ends_with('-')
        {
            return Err(anyhow::anyhow!(
                "`{name}` can't be a plugin's name: small letters, digits and dashes, a letter first"
            )
            .into());
        }
        let root = PathBuf::from(name);
        std::fs::create_dir(&root).with_context(|| format!("{name}: nothing was written"))?;
        for (file, from) in self.files() {
            let text = EMBEDDED.iter().find(|(path, _)| *path == from).map(|(_, text)| self.filled(text));
            let text = text.with_context(|| format!("{from} is not in this program"))?;
            let path = root.join(file);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            }
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        if output.json {
            output.json(&serde_json::json!({ "name": name, "source": self.source() }));
            return Ok(ExitCode::SUCCESS);
        }
        output.line("wrote", &format!("{name}/: the plugin is {name}/{}", self.source()));
        output
            .line("next", &format!("cd {name}; {}; monprov plugin build; monprov plugin test", self.setup()));
        Ok(ExitCode::SUCCESS)
    }

    /// The files of the new plugin, and what each is made of.
    fn files(&self) -> Vec<(String, String)> {
        let world = self.world();
        let source = self.source().to_owned();
        let mut own: Vec<(String, String)> = match self.lang {
            Language::Rust => vec![
                ("Cargo.toml".into(), "templates/rust/manifest.toml".into()),
                (source, format!("templates/rust/{world}.rs")),
            ],
            Language::Js => vec![
                ("package.json".into(), "templates/js/package.json".into()),
                (source, format!("templates/js/{world}.js")),
            ],
            Language::Python => vec![
                ("requirements.txt".into(), "templates/python/requirements.txt".into()),
                (source, format!("templates/python/{world}.py")),
            ],
        };
        if self.lang == Language::Rust {
            let sdk = EMBEDDED.iter().filter(|(path, _)| path.starts_with("sdk/"));
            own.extend(sdk.map(|(path, _)| (path.to_string(), path.to_string())));
        }
        let cases = format!("templates/cases/{world}/");
        for (path, _) in EMBEDDED {
            // What a channel says differs, since only Rust has the messages of the SDK.
            let Some(file) = path.strip_prefix(&cases) else { continue };
            let file = match file.strip_suffix(".txt") {
                Some(language) if language == self.language() => "expected.txt",
                Some("expected") | None => file,
                Some(_) => continue,
            };
            own.push((format!("cases/first/{file}"), path.to_string()));
        }
        let wit = format!("wit/{ABI}/plugin.wit");
        let all = [
            (FILE, format!("templates/{FILE}")),
            ("README.md", "templates/README.md".into()),
            (".gitignore", "templates/gitignore".into()),
            (&wit, wit.clone()),
        ];
        all.into_iter().map(|(file, from)| (file.to_owned(), from)).chain(own).collect()
    }

    fn source(&self) -> &'static str {
        match self.lang {
            Language::Rust => "src/lib.rs",
            Language::Js => "src/plugin.js",
            Language::Python => "src/plugin.py",
        }
    }

    /// What brings the language's toolchain.
    fn setup(&self) -> &'static str {
        match self.lang {
            Language::Rust => "rustup target add wasm32-unknown-unknown",
            Language::Js => "npm install",
            Language::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        }
    }

    fn world(&self) -> &'static str {
        match self.world {
            World::Thresholds => "thresholds",
            World::Policy => "policy",
            World::Channel => "channel",
        }
    }

    fn language(&self) -> &'static str {
        match self.lang {
            Language::Rust => "rust",
            Language::Js => "js",
            Language::Python => "python",
        }
    }

    fn filled(&self, text: &str) -> String {
        let world = match self.world {
            World::Thresholds => "threshold-plugin",
            World::Policy => "policy-plugin",
            World::Channel => "channel-plugin",
        };
        text.replace("PLUGIN_NAME", &self.name)
            .replace("PLUGIN_LANGUAGE", self.language())
            .replace("PLUGIN_WORLD", world)
            .replace("PLUGIN_SOURCE", self.source())
            .replace("PLUGIN_SETUP", self.setup())
    }
}
