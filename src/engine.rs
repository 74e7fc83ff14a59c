//! The sequence: profile → stack → checks → files → bundle → store. The one file that knows
//! all of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::activate::Bundle;
use crate::activate::process::{self, Applied, Client};
use crate::bundle::manifest::{self, Manifest};
use crate::bundle::{StoreName, Tree};
use crate::check;
use crate::check::catalog::Catalogs;
use crate::diagnostic::{Code, Finding, Place, Severity, has_errors};
use crate::memo::{self, Inputs};
use crate::oracle::{self, Oracle};
use crate::profile::codes::{M014, M015};
use crate::profile::layers::Sources;
use crate::profile::provenance::Map;
use crate::profile::text::Text;
use crate::profile::{self, Profile};
use crate::project::Project;
use crate::render;
use crate::secret::{self, Environment, HandOver, Providers, Resolved};
use crate::stack::resolve::{self, Files};
use crate::stack::{Secrets, Stack};
use crate::store::{Busy, Store, StorePath};

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The profile was refused; the findings say why.
    Refused(Box<Report>),
    /// Something else went wrong: a full disk, a tool that can't be started.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

/// Findings and what is needed to show them.
#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub sources: Sources,
    pub map: Option<Map>,
}

impl Report {
    /// A secret could not be resolved, and nothing else is wrong.
    pub fn only_secrets(&self) -> bool {
        let mut errors = self.findings.iter().filter(|f| f.severity == Severity::Error).peekable();
        errors.peek().is_some() && errors.all(|f| f.code == &secret::M501)
    }
}

/// How a profile is evaluated.
#[derive(Debug)]
pub struct Options {
    pub environment: Environment,
    pub oracle: Oracle,
    /// Secrets are resolved to prove that they can be.
    pub secrets: bool,
    /// Render and check also where the memo knows the answer.
    pub rebuild: bool,
}

/// A profile, read and decoded, with the files that it names.
#[derive(Debug)]
pub struct Loaded {
    pub profile: Profile,
    pub files: Files,
    /// Catalogues beside the profiles, by the name that the profile uses.
    pub catalogs: BTreeMap<String, String>,
    pub report: Report,
}

/// A profile that passed all checks, as files.
#[derive(Debug)]
pub struct Evaluation {
    pub profile: Profile,
    pub stack: Stack,
    pub tree: Tree,
    pub name: StoreName,
    pub report: Report,
    /// The tools that agree.
    pub agree: Vec<String>,
    pub resolved: Option<Resolved>,
}

/// What a build gave.
#[derive(Debug)]
pub struct Built {
    pub path: StorePath,
    /// `None` where the memo answered.
    pub evaluation: Option<Box<Evaluation>>,
    /// By provider, how many secrets were resolved.
    pub secrets: BTreeMap<&'static str, usize>,
}

/// Reads a profile and the files that it names.
pub fn load(project: &Project, name: &str, environment: &Environment) -> Result<Loaded, Failure> {
    if let Err(error) = crate::bundle::check_name(name) {
        let finding =
            Finding::error(&M014, Place::Profile, format!("`{name}` can't be a profile's name: {error}"));
        return Err(Failure::Refused(Box::new(Report { findings: vec![finding], ..Report::default() })));
    }
    let loaded = profile::load(name, project, &|var| environment.var(var));
    let mut report = Report { findings: loaded.findings, sources: loaded.sources, map: loaded.map };
    let Some(profile) = loaded.profile else { return Err(Failure::Refused(Box::new(report))) };
    let (files, findings) = project.files(&profile);
    report.findings.extend(findings);
    report.sources.extend(files.rules.iter().cloned());
    report.sources.extend(files.dashboards.values().cloned());
    let mut catalogs = BTreeMap::new();
    for (place, name) in named_catalogs(&profile) {
        if Catalogs::is_builtin(&name) || catalogs.contains_key(&name) {
            continue;
        }
        match project.beside(&name) {
            Ok((_, text)) => {
                catalogs.insert(name, text);
            }
            Err(why) => {
                let note = format!("built-in catalogues: {}", Catalogs::builtin_names().join(", "));
                let message = format!("no catalogue `{name}`: {why}");
                report.findings.push(Finding::error(&M015, place, message).note(note));
            }
        }
    }
    Ok(Loaded { profile, files, catalogs, report })
}

fn named_catalogs(profile: &Profile) -> Vec<(Place, String)> {
    let at = |table: &str, name: &str| Place::setting(crate::diagnostic::Path::new([table, name, "catalog"]));
    let services =
        profile.settings.services.iter().filter_map(|(n, s)| Some((at("services", n), s.catalog.clone()?)));
    let scrapes =
        profile.settings.scrapes.iter().filter_map(|(n, s)| Some((at("scrapes", n), s.catalog.clone()?)));
    services.chain(scrapes).collect()
}

/// Resolves, checks and renders what was read. Pure but for the oracle and secrets.
pub fn evaluate(project: &Project, loaded: Loaded, options: &Options) -> Result<Evaluation, Failure> {
    let Loaded { profile, files, catalogs, mut report } = loaded;
    let (stack, findings) = resolve::resolve(&profile, &files);
    report.findings.extend(findings);
    let (catalogs, findings) = Catalogs::with_files(catalogs);
    report.findings.extend(findings);
    if has_errors(&report.findings) {
        // What is missing here would only echo in the checks.
        return Err(Failure::Refused(Box::new(report)));
    }
    report.findings.extend(check::all(&stack, &catalogs));
    let rendered = render::render(&stack)?;
    let mut tree = rendered.tree;
    let manifest = manifest(&profile, &stack, &files, &tree, &rendered.services);
    tree.insert(manifest::FILE, manifest.to_json());
    let resolved = resolved(project, &profile.name, &stack, &tree, options, &mut report);
    let mut agree = vec![];
    if !has_errors(&report.findings) {
        let verdict = oracle::ask(&stack, &tree, options.oracle)?;
        report.findings.extend(verdict.findings);
        agree = verdict.agree;
    }
    if has_errors(&report.findings) {
        return Err(Failure::Refused(Box::new(report)));
    }
    let name = StoreName::of(&tree.nar_hash()?, &profile.name)?;
    Ok(Evaluation { profile, stack, tree, name, report, agree, resolved })
}

/// Proves that every secret can be had and stands in no file.
fn resolved(
    project: &Project,
    profile: &str,
    stack: &Stack,
    tree: &Tree,
    options: &Options,
    report: &mut Report,
) -> Option<Resolved> {
    if !options.secrets {
        return None;
    }
    let mut resolved = resolve_secrets(project, profile, &stack.secrets, options);
    report.findings.append(&mut resolved.findings);
    report.findings.extend(secret::leaks(tree, resolved.secrets()));
    Some(resolved)
}

fn resolve_secrets(project: &Project, profile: &str, secrets: &Secrets, options: &Options) -> Resolved {
    resolve_with(project, profile, secrets, options, false)
}

/// `generate`: those that are to be generated and are not there yet are made.
fn resolve_with(
    project: &Project,
    profile: &str,
    secrets: &Secrets,
    options: &Options,
    generate: bool,
) -> Resolved {
    let context = secret::Context {
        environment: &options.environment,
        profiles: project.profiles(),
        state: &project.state,
        profile,
        generate,
    };
    secret::resolve(secrets, &Providers::new(secrets, context))
}

fn manifest(
    profile: &Profile,
    stack: &Stack,
    files: &Files,
    tree: &Tree,
    services: &BTreeMap<String, render::ServiceFiles>,
) -> Manifest {
    let service = |(name, files): (&String, &render::ServiceFiles)| {
        let stated = stack.services.get(name);
        let command = &files.command;
        let secret_file = |(file, secret): (&String, &render::command::SecretFile)| {
            (file.clone(), manifest::SecretFile { text: secret.text.clone(), on_change: secret.uptake })
        };
        let open_secret = |(variable, text): (&String, &Text)| {
            (render::compose::outer_variable(name, variable), text.clone())
        };
        let entry = manifest::Service {
            kind: stated.map(|s| s.kind).unwrap_or_default(),
            port: stated.and_then(|s| s.port),
            image: stated.and_then(|s| s.image.clone()),
            definition: files.definition.clone(),
            configuration: manifest::digest_of(tree, |path| {
                files.reads.iter().any(|r| path.starts_with(r.as_str()))
            }),
            user: stated.and_then(|service| stack.runtime.secret_owner(service)),
            reload: stated.and_then(|s| s.reload.clone()),
            secrets: command.secret_files.iter().map(secret_file).collect(),
            open_secrets: command.open_environment.iter().map(open_secret).collect(),
        };
        (name.clone(), entry)
    };
    let texts = files.rules.iter().chain(files.dashboards.values());
    Manifest {
        schema: manifest::SCHEMA,
        profile: profile.name.clone(),
        runtime: stack.runtime.name().to_owned(),
        layers: profile.layers.clone(),
        settings: profile.root.to_json(),
        vars: stack.vars.clone(),
        secrets: stack.secrets.clone(),
        services: services.iter().map(service).collect(),
        inputs: texts.map(|(name, text)| (name.clone(), manifest::sha256(text.as_bytes()))).collect(),
        files: Manifest::list(tree),
    }
}

/// Builds a profile into the store. Unchanged inputs are answered from the memo.
pub fn build(project: &Project, name: &str, options: &Options) -> Result<Built, Failure> {
    let store = Store::open(&project.state)?;
    let note = memo::note(name, options);
    if !options.rebuild
        && let Some(inputs) = store.note_get::<Inputs>(&note)
        && inputs.unchanged(project, options)
        && let Some(path) = store.memo_get(&inputs.key)?
        && let Some(secrets) = prove_secrets(project, name, &inputs, &path, options)?
    {
        return Ok(Built { path, evaluation: None, secrets });
    }
    let loaded = load(project, name, &options.environment)?;
    let mut inputs = Inputs::of(project, &loaded, options);
    let evaluation = evaluate(project, loaded, options)?;
    inputs.secrets = evaluation.stack.secrets.clone();
    let path = store.put(&evaluation.tree, name, &record(&evaluation))?;
    store.memo_put(&inputs.key, &path)?;
    store.note_put(&note, &inputs)?;
    let secrets = evaluation.resolved.as_ref().map(Resolved::providers).unwrap_or_default();
    Ok(Built { path, evaluation: Some(Box::new(evaluation)), secrets })
}

/// The memo knows the files, but not whether today's secrets resolve and stay out of them.
/// `None` where something is wrong with them: the whole way then says what.
fn prove_secrets(
    project: &Project,
    profile: &str,
    inputs: &Inputs,
    path: &StorePath,
    options: &Options,
) -> Result<Option<BTreeMap<&'static str, usize>>, Failure> {
    if !options.secrets || inputs.secrets.sources.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let resolved = resolve_secrets(project, profile, &inputs.secrets, options);
    if !resolved.findings.is_empty() {
        return Ok(None);
    }
    let tree = crate::store::read_tree(path.path())?;
    let clean = secret::leaks(&tree, resolved.secrets()).is_empty();
    Ok(clean.then(|| resolved.providers()))
}

/// The bundle of a profile's current generation.
pub fn current(project: &Project, profile: &str) -> Result<StorePath, Failure> {
    let store = Store::open(&project.state)?;
    let Some(generation) = store.current(profile)? else {
        let remedy = "`monprov switch` makes one, and `up` without --no-build builds what it runs";
        return Err(anyhow::anyhow!("`{profile}` has no generation yet: {remedy}").into());
    };
    let path = store.path_of(&generation.bundle);
    if let Some(first) = store.verify(&path)?.first() {
        let place = path.path().display();
        return Err(
            anyhow::anyhow!("{place} is not what was built ({first}): `monprov verify` says more").into()
        );
    }
    Ok(path)
}

/// Hands a bundle's secrets over, makes it the live one, and its processes run under the
/// supervisor.
pub fn run_processes(
    project: &Project,
    client: &Client,
    path: StorePath,
    options: &Options,
) -> Result<Applied, Failure> {
    let bundle = Bundle::open(path)?;
    let processes = process::processes(&bundle)?;
    client.check(&processes)?;
    let Manifest { profile, secrets, .. } = &bundle.manifest;
    let mut lock = Store::open(&project.state)?.lock_profile(profile, Busy::Refuse)?;
    if options.secrets {
        let resolved = resolve_with(project, profile, secrets, options, true);
        if has_errors(&resolved.findings) {
            let report = Report { findings: resolved.findings, ..Report::default() };
            return Err(Failure::Refused(Box::new(report)));
        }
        HandOver::new(&bundle.manifest, &resolved)?.write(&project.state)?;
    }
    lock.point_live(bundle.path.name())?;
    Ok(client.apply(&processes, &BTreeSet::new())?)
}

/// What stands beside the bundle: this program's version and the lines that values came from.
fn record(evaluation: &Evaluation) -> serde_json::Value {
    let printer =
        crate::diagnostic::show::Printer::new(&evaluation.report.sources, evaluation.report.map.as_ref());
    let mut lines = BTreeMap::new();
    for (_, rule) in evaluation.stack.rules() {
        if let Some(position) = printer.position(&rule.source.place("expr")) {
            lines.insert(format!("alerts.{}", rule.name), format!("{}:{}", position.file, position.line));
        }
    }
    serde_json::json!({ "monprov": env!("CARGO_PKG_VERSION"), "lines": lines })
}

/// Every code there is, by number.
pub fn codes() -> Vec<&'static Code> {
    let mut codes = check::codes();
    codes.extend(secret::CODES.iter().chain(oracle::CODES).copied());
    codes.sort_by_key(|code| code.id);
    codes
}
