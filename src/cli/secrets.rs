//! `monprov secrets`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::activate::proved;
use super::output::{Output, plural};
use super::table::{table, when};
use super::{environment, exit};
use crate::activate::sync::Sync as Taken;
use crate::engine::secrets::{self, Declared, Mode};
use crate::engine::{Failure, Options};
use crate::oracle::Oracle;
use crate::project::Project;
use crate::secret::{Changes, SecretGeneration, Source};
use crate::stack::{SecretSource, Uptake};
use crate::store::NO_RUNTIME;

#[derive(Debug, Args)]
pub(super) struct Secrets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List secrets: where they come from, who gets them, when they were handed over
    List(Profile),
    /// Resolve every secret and hold it against its constraints; hands nothing over
    Check(Profile),
    /// Take today's values over: services are reloaded or restarted where they have to be
    Sync(Sync),
    /// List what was handed over when
    History(History),
}

#[derive(Debug, Args)]
struct Profile {
    /// The profile
    profile: String,
    /// Read variables and secrets that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Sync {
    #[command(flatten)]
    profile: Profile,
    /// Say what would change, but hand nothing over
    #[arg(long)]
    dry_run: bool,
    /// `none`: only hand the values over; something else reloads and restarts the services
    #[arg(long, value_name = "RUNTIME", value_parser = [NO_RUNTIME])]
    runtime: Option<String>,
}

#[derive(Debug, Args)]
struct History {
    /// The profile
    profile: String,
}

impl Profile {
    fn options(&self) -> anyhow::Result<Options> {
        let environment = environment(&self.env_file)?;
        Ok(Options { environment, oracle: Oracle::Off, secrets: true, rebuild: false })
    }
}

impl Secrets {
    /// Others go by what was activated.
    pub(super) fn reads_profiles(&self) -> bool {
        matches!(self.verb, Verb::List(_) | Verb::Check(_))
    }

    pub(super) fn run(&self, project: &Project, output: &mut Output) -> Result<ExitCode, Failure> {
        match &self.verb {
            Verb::List(verb) => verb.list(project, output)?,
            Verb::Check(verb) => verb.check(project, output)?,
            Verb::Sync(verb) => return verb.run(project, output),
            Verb::History(verb) => verb.run(project, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Profile {
    fn list(&self, project: &Project, output: &Output) -> Result<(), Failure> {
        let declared = secrets::list(project, &self.profile, &self.options()?)?;
        if output.json {
            let entry = |secret: &Declared| {
                json!({
                    "secret": secret.name,
                    "sources": secret.sources.iter().map(reference).collect::<Vec<_>>(),
                    "services": secret.services,
                    "handed_over": secret.last.as_ref().map(|(source, generation)| json!({
                        "provider": source.provider,
                        "source": source.source,
                        "version": source.version,
                        "generation": generation.number,
                        "time": generation.time,
                        "confirmed": generation.confirmed,
                    })),
                })
            };
            output.json(&declared.iter().map(entry).collect::<Vec<_>>());
            return Ok(());
        }
        let rows = declared.iter().map(|secret| {
            let (used, version, synced) = match &secret.last {
                None => ("", String::new(), "never".to_owned()),
                Some((source, generation)) => {
                    (source.provider.as_str(), version(source), when(generation.confirmed))
                }
            };
            let sources: Vec<_> = secret.sources.iter().map(reference).collect();
            let services: Vec<&str> = secret.services.iter().map(String::as_str).collect();
            vec![
                secret.name.clone(),
                sources.join(", then "),
                used.to_owned(),
                version,
                synced,
                services.join(", "),
            ]
        });
        let header = ["secret", "source", "from", "version", "synced", "services"];
        output.result(&table(&header, rows));
        Ok(())
    }

    fn check(&self, project: &Project, output: &Output) -> Result<(), Failure> {
        let (resolved, report) = secrets::check(project, &self.profile, &self.options()?)?;
        let found = Source::of(&resolved);
        if output.json {
            output.json(&json!({ "secrets": found, "generated_later": resolved.later }));
            return Ok(());
        }
        let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, source) in &found {
            let row = vec![name.clone(), source.provider.clone(), source.source.clone(), version(source)];
            rows.insert(name, row);
        }
        for name in &resolved.later {
            let row = [name, "generate", "made when it is first handed over", ""].map(str::to_owned);
            rows.insert(name, row.to_vec());
        }
        output.result(&table(&["secret", "from", "source", "version"], rows.into_values()));
        output.findings_if_any(report);
        Ok(())
    }
}

impl Sync {
    fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let profile = &self.profile.profile;
        let options = self.profile.options()?;
        let mode = match (self.dry_run, &self.runtime) {
            (true, _) => Mode::DryRun,
            (false, Some(_)) => Mode::HandOver,
            (false, None) => Mode::Act,
        };
        let mut say = |what: &str, text: &str| output.line(what, text);
        let synced = secrets::sync(project, profile, &options, mode, &mut say)?;
        let failed = match &synced.services {
            Some(Taken::Failed { why }) => Some(why.as_slice()),
            _ => None,
        };
        let code = if failed.is_some() { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS };
        if output.json {
            output.json(&json!({
                "bundle": synced.bundle.path(),
                "generation": synced.generation.as_ref().map(|generation| generation.number),
                "written": mode != Mode::DryRun,
                "services": synced.changes,
                "told": matches!(synced.services, Some(Taken::Done { .. })),
                "failed": failed,
            }));
            return Ok(code);
        }
        output.findings_if_any(synced.report);
        let services = plural(synced.changes.len(), "service");
        match (&synced.generation, synced.changes.is_empty()) {
            (Some(generation), true) => {
                output.line("secrets", &format!("unchanged since generation {}", generation.number));
            }
            (Some(generation), false) => {
                output.line("secrets", &format!("generation {}, new for {services}", generation.number));
            }
            (None, true) => output.line("secrets", "nothing would change"),
            (None, false) => output.line("secrets", &format!("{services} would get new values (--dry-run)")),
        }
        if !synced.changes.is_empty() {
            output.result(&table(&["service", "needs", "secrets", "files"], rows(&synced.changes)));
        }
        match &synced.services {
            Some(Taken::Done { report, .. }) => proved(report, output),
            Some(Taken::Idle) => output.line("services", "none runs: the next start finds the new values"),
            _ => {}
        }
        if let Some(why) = failed {
            output.error(&anyhow::anyhow!(
                "the values are handed over, but not all is well:\n   {}\n   = `monprov secrets sync {profile}` tries again",
                why.join("\n   ")
            ));
        }
        Ok(code)
    }
}

impl History {
    fn run(&self, project: &Project, output: &Output) -> Result<(), Failure> {
        crate::bundle::check_name(&self.profile)?;
        let history = crate::secret::history(&project.state, &self.profile)?;
        if output.json {
            output.json(&history);
            return Ok(());
        }
        let row = |generation: &SecretGeneration| {
            let services: Vec<_> = generation
                .changes
                .iter()
                .map(|(service, change)| format!("{service} ({})", needs(change.needs)))
                .collect();
            let changed: std::collections::BTreeSet<&str> =
                generation.changes.values().flat_map(|c| &c.secrets).map(String::as_str).collect();
            let versions: Vec<_> = changed
                .into_iter()
                .map(|name| match generation.secrets.get(name).and_then(|source| source.version) {
                    Some(version) => format!("{name} (version {version})"),
                    None => name.to_owned(),
                })
                .collect();
            vec![
                generation.number.to_string(),
                when(generation.time),
                versions.join(", "),
                services.join(", "),
            ]
        };
        let header = ["n", "when", "secrets", "services"];
        output.result(&table(&header, history.iter().rev().map(row)));
        Ok(())
    }
}

fn rows(changes: &Changes) -> impl Iterator<Item = Vec<String>> {
    changes.iter().map(|(service, change)| {
        let join = |names: &std::collections::BTreeSet<String>| {
            names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        vec![service.clone(), needs(change.needs).into(), join(&change.secrets), join(&change.files)]
    })
}

fn needs(uptake: Uptake) -> &'static str {
    match uptake {
        Uptake::Nothing => "nothing",
        Uptake::Reload => "reload",
        Uptake::Restart => "restart",
    }
}

/// `vault secret/monitoring/redis#password`
fn reference(source: &SecretSource) -> String {
    format!("{} {}", source.origin.provider(), source.origin)
}

fn version(source: &Source) -> String {
    source.version.map(|version| version.to_string()).unwrap_or_default()
}
