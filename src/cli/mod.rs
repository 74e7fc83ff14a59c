//! The command line: one file a verb. The only room that prints; errors become exit codes here.

mod activate;
mod all;
mod build;
mod cache;
mod catalog;
mod changes;
mod check;
mod copy;
mod diff;
mod down;
mod drill;
mod explain;
mod follow;
mod gc;
mod generations;
mod init;
mod key;
mod lock;
mod observe;
mod output;
mod plugin;
mod progress;
mod provenance;
mod pull;
mod push;
mod registry;
mod relay;
mod rollback;
mod schema;
mod secrets;
mod show;
mod sign;
mod status;
mod switch;
mod table;
mod unit;
mod up;
mod verify;
mod watch;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::activate::process;
use crate::engine::{Failure, Options};
use crate::oracle::Oracle;
use crate::project::Project;
use crate::secret::{Environment, envfile};
use output::Output;

/// Declarative provisioning of monitoring stacks: profiles in, a checked, hashed, immutable
/// bundle out.
#[derive(Debug, Parser)]
#[command(name = "monprov", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
struct Global {
    /// Work as if started in DIR
    #[arg(
        short = 'C',
        long = "directory",
        value_name = "DIR",
        global = true,
        default_value = ".",
        hide_default_value = true
    )]
    directory: PathBuf,
    /// The folder of profiles [default: the nearest `profiles` upwards]
    #[arg(long, value_name = "DIR", global = true, env = "MONPROV_PROFILES", hide_env_values = true)]
    profiles: Option<PathBuf>,
    /// Where bundles are kept [default: .monprov beside the profiles]
    #[arg(long, value_name = "DIR", global = true, env = "MONPROV_STATE_DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
    /// Print for programs
    #[arg(long, global = true)]
    json: bool,
    /// Colours
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_default_value = true)]
    color: output::Color,
    /// Print only results and errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build a profile, all sites of one, or all that there are; prints the bundles' store paths
    Build(build::Build),
    /// Check a profile without writing anything
    Check(check::Check),
    /// Print the store path that a profile builds, without writing anything
    Path(check::Path),
    /// Show what is in a bundle: its files, or one of them
    Show(show::Show),
    /// Run a profile's programs in the foreground, until Ctrl-C
    Up(up::Up),
    Diff(diff::Diff),
    /// List, check and hand over secrets
    Secrets(secrets::Secrets),
    /// Build a profile and make it what runs; if it fails, what ran before runs again
    Switch(switch::Switch),
    /// Activate a bundle of the store
    Activate(activate::Activate),
    /// Go back to what ran before; twice goes further back
    Rollback(rollback::Rollback),
    Follow(follow::Follow),
    /// Ask the running stack whether it is what it should be
    Status(status::Status),
    /// Stop a profile's services and take their secrets away; data and generations stay
    Down(down::Down),
    /// List what was activated, when, by whom, why, and what came of it
    Generations(generations::Generations),
    /// Show what a bundle was built from, and who signed that
    Provenance(provenance::Provenance),
    /// Find what was changed in the store; --repair mends it
    Verify(verify::Verify),
    /// Remove bundles that nothing needs
    Gc(gc::Gc),
    Sign(sign::Sign),
    Push(push::Push),
    Pull(pull::Pull),
    Copy(copy::Copy),
    Cache(cache::Cache),
    Key(key::Key),
    Unit(unit::Unit),
    Observe(observe::Observe),
    Drill(drill::Drill),
    /// Pin what the tags of images mean, in monprov.lock
    Lock(lock::Lock),
    /// Pin, list, inspect and try plugins
    Plugin(plugin::Plugin),
    /// Explain a code (M104) or where a value of a profile comes from
    Explain(explain::Explain),
    /// Print the JSON Schema of profiles, for editors
    Schema,
    /// Write a small project that builds
    Init(init::Init),
    /// Show catalogues of exporters' metrics, or make one from a live exporter
    Catalog(catalog::Catalog),
    Relay(relay::Relay),
    /// A component on stdin to code on stdout, for this program itself
    #[command(name = crate::compiled::VERB, hide = true)]
    CompilePlugin,
}

/// What every verb that evaluates a profile takes.
#[derive(Debug, Args)]
struct Inputs {
    /// The profile: a file name in the folder of profiles, without `.toml`, or a site, `PROFILE-SITE`
    profile: String,
    #[command(flatten)]
    evaluated: Evaluated,
}

/// The same for verbs that take many.
#[derive(Debug, Args)]
struct Several {
    /// The profile: a file name in the folder of profiles, without `.toml`. One with a matrix
    /// stands for all its sites, `PROFILE-SITE` for one
    #[arg(required_unless_present = "all")]
    profile: Option<String>,
    /// All profiles and sites: every file that no other one extends
    #[arg(long, conflicts_with = "profile")]
    all: bool,
    #[command(flatten)]
    evaluated: Evaluated,
}

/// How a profile is evaluated.
#[derive(Debug, Args)]
struct Evaluated {
    /// Read variables and secrets that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Don't resolve secrets, on a machine that may not read them
    #[arg(long)]
    no_secrets: bool,
    /// Ask promtool and amtool too
    #[arg(long, value_name = "WHEN", default_value = "auto", env = "MONPROV_ORACLE")]
    oracle: Oracle,
}

impl Inputs {
    fn options(&self) -> anyhow::Result<Options> {
        self.evaluated.options()
    }
}

impl Several {
    fn options(&self) -> anyhow::Result<Options> {
        let options = self.evaluated.options()?;
        Ok(Options { environment: options.environment.once(), ..options })
    }
}

impl Evaluated {
    fn options(&self) -> anyhow::Result<Options> {
        Ok(Options {
            environment: environment(&self.env_file)?,
            oracle: self.oracle,
            secrets: !self.no_secrets,
            rebuild: false,
        })
    }
}

/// Exit codes; they are part of the interface.
mod exit {
    use crate::engine::{Failure, distribute};
    use crate::store::StoreError;

    pub(super) fn of(failure: &Failure) -> u8 {
        match failure {
            Failure::Refused(report) if report.only_secrets() => SECRET,
            Failure::Refused(_) => REFUSED,
            Failure::Failed(error) => {
                let refused = error.downcast_ref::<StoreError>().is_some_and(StoreError::is_refusal);
                if refused || distribute::is_refusal(error) { REFUSED } else { FAILED }
            }
        }
    }

    pub(super) const FAILED: u8 = 1;
    pub(super) const USAGE: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const SECRET: u8 = 4;
    pub(super) const RESTORED: u8 = 5;
    pub(super) const LOST: u8 = 6;
}

/// Runs the program.
pub fn run() -> ExitCode {
    if let Some(ended) = process::internal(std::env::args_os()) {
        return ended.unwrap_or_else(|error| {
            Output::new(output::Color::Never, false, false).error(&error);
            ExitCode::from(exit::FAILED)
        });
    }
    leave_no_core();
    // What a library calls an error is told in our own words, unless RUST_LOG asks for more.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("monprov=error,monprov::relay=info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(ansi).with_env_filter(filter).init();
    let arguments = Arguments::parse();
    let mut output = Output::new(arguments.global.color, arguments.global.json, arguments.global.quiet);
    progress::show_compiling(&output);
    match dispatch(&arguments, &mut output) {
        Ok(code) => code,
        Err(failure) => {
            let code = exit::of(&failure);
            match failure {
                Failure::Refused(report) => output.findings(*report),
                Failure::Failed(error) => output.error(&error),
            }
            ExitCode::from(code)
        }
    }
}

/// A core dump would hold every secret that was resolved. Programs started from here may still
/// raise the limit again.
fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::debug!(%error, "cores can't be switched off");
    }
}

fn dispatch(arguments: &Arguments, output: &mut Output) -> Result<ExitCode, Failure> {
    let global = &arguments.global;
    std::env::set_current_dir(&global.directory)
        .map_err(|e| anyhow::anyhow!("-C {}: {e}", global.directory.display()))?;
    let project =
        || Project::find(std::path::Path::new("."), global.profiles.as_deref(), global.state_dir.as_deref());
    // For verbs that go by what was built: they need no profiles.
    let host = || {
        let (profiles, state) = (global.profiles.as_deref(), global.state_dir.as_deref());
        Project::find_or_state(std::path::Path::new("."), profiles, state)
    };
    match &arguments.verb {
        Verb::Build(verb) => verb.run(&project()?, output),
        Verb::Check(verb) => verb.run(&project()?, output),
        Verb::Path(verb) => verb.run(&project()?, output),
        Verb::Show(verb) => verb.run(&host()?, output),
        Verb::Up(verb) if verb.builds() => verb.run(&project()?, output),
        Verb::Up(verb) => verb.run(&host()?, output),
        Verb::Diff(verb) => verb.run(&project()?, output),
        Verb::Secrets(verb) if verb.reads_profiles() => verb.run(&project()?, output),
        Verb::Secrets(verb) => verb.run(&host()?, output),
        Verb::Switch(verb) => verb.run(&project()?, output),
        Verb::Status(verb) => verb.run(&host()?, output),
        Verb::Down(verb) => verb.run(&host()?, output),
        Verb::Activate(verb) => verb.run(&host()?, output),
        Verb::Rollback(verb) => verb.run(&host()?, output),
        Verb::Follow(verb) => verb.run(&host()?, output),
        Verb::Generations(verb) => verb.run(&host()?, output),
        Verb::Provenance(verb) => verb.run(&host()?, output),
        Verb::Verify(verb) => verb.run(&host()?, output),
        Verb::Gc(verb) => verb.run(&host()?, output),
        Verb::Sign(verb) => verb.run(&Site::find(project, global)?, output),
        Verb::Push(verb) => verb.run(&Site::find(project, global)?, output),
        Verb::Pull(verb) => verb.run(&Site::find(project, global)?, output),
        Verb::Copy(verb) => verb.run(project().ok().as_ref(), output),
        Verb::Cache(verb) => verb.run(output),
        Verb::Key(verb) => verb.run(output),
        Verb::Unit(verb) => verb.run(&host()?, output),
        Verb::Observe(verb) => verb.run(&project()?, output),
        Verb::Drill(verb) => verb.run(&project()?, output),
        Verb::Lock(verb) => verb.run(&project()?, output),
        Verb::Plugin(verb) => verb.run(project, output),
        Verb::CompilePlugin => {
            Ok(if crate::compiled::child()? { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
        }
        Verb::Explain(verb) => verb.run(project, output),
        Verb::Schema => schema::run(output),
        Verb::Init(verb) => verb.run(output),
        Verb::Catalog(verb) => verb.run(output),
        Verb::Relay(verb) => verb.run(),
    }
}

/// Where bundles are kept, for verbs that need no profiles: on a host that only takes bundles,
/// a state directory is enough.
struct Site {
    state: PathBuf,
    project: Option<Project>,
}

impl Site {
    fn find(project: impl FnOnce() -> anyhow::Result<Project>, global: &Global) -> Result<Self, Failure> {
        match (project(), &global.state_dir) {
            (Ok(project), _) => Ok(Site { state: project.state.clone(), project: Some(project) }),
            // Who names the folder of profiles wants to be told what is wrong with it.
            (Err(_), Some(state)) if global.profiles.is_none() => {
                Ok(Site { state: std::path::absolute(state)?, project: None })
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// The process environment over the env files; a later file wins.
#[expect(clippy::disallowed_methods, reason = "reads the files named on the command line")]
fn environment(files: &[PathBuf]) -> anyhow::Result<Environment> {
    let mut values = std::collections::BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|e| anyhow::anyhow!("--env-file {}: {e}", file.display()))?;
        match envfile::parse(&text) {
            Ok(found) => values.extend(found),
            Err(errors) => {
                let lines: Vec<_> =
                    errors.iter().map(|(line, what)| format!("{}:{line}: {what}", file.display())).collect();
                anyhow::bail!("{}", lines.join("\n"));
            }
        }
    }
    Ok(Environment::new(values))
}
