//! The sequence: profile → stack → plugins → checks → files → bundle → store. The one file that
//! knows all of it.

pub mod activate;
pub mod all;
pub mod authors;
pub mod deliveries;
pub mod distribute;
pub mod drill;
pub mod follow;
pub mod lock;
mod mend;
pub mod observe;
pub mod plugins;
pub mod processes;
pub mod provenance;
mod report;
pub mod secrets;

use std::collections::BTreeMap;

use crate::bundle::manifest;
use crate::bundle::{NarHash, StoreName, Tree};
use crate::check;
use crate::check::catalog::Catalogs;
use crate::diagnostic::{Code, Finding, Place, has_errors};
use crate::diff::{Origins, Side};
use crate::memo::{self, Inputs};
use crate::observe::Snapshot;
use crate::oracle::{self, Oracle};
use crate::plugin;
use crate::profile::codes::{M014, M015};
use crate::profile::matrix::Profiles;
use crate::profile::{Lookup, Profile};
use crate::project::{Binary, Project};
use crate::render;
use crate::secret::{self, Environment, Providers, Resolved};
use crate::stack::change::Change;
use crate::stack::resolve::{self, Files};
use crate::stack::{Secrets, Stack};
use crate::store::{Hold, Store, StoreError, StorePath};

pub use mend::{Mended, mend};
use plugins::{Plugins, Ran, Taken};
pub use report::{Failure, Report};

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
    /// What was observed before, by the file's name; plugins alone get it.
    pub observed: Option<(String, Snapshot)>,
    /// The files of plugins, as they were pinned.
    pub plugins: BTreeMap<String, Binary>,
    pub report: Report,
}

/// A profile that passed all checks, as files.
#[derive(Debug)]
pub struct Evaluation {
    pub profile: Profile,
    pub stack: Stack,
    /// What plugins did to the stack.
    pub changes: Vec<Change>,
    /// The plugins that ran, in their order.
    pub plugins: Vec<String>,
    pub tree: Tree,
    pub name: StoreName,
    pub nar: NarHash,
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
    /// Keeps the bundle until something points to it: to be dropped after that.
    pub hold: Hold,
    /// What was read for it.
    pub(crate) inputs: Inputs,
}

/// Reads a profile and the files that it names.
pub fn load(project: &Project, name: &str, environment: &Environment) -> Result<Loaded, Failure> {
    load_with(project, name, &|variable| environment.var(variable))
}

/// The same with other values of variables.
pub fn load_with(project: &Project, name: &str, variable: Lookup<'_>) -> Result<Loaded, Failure> {
    load_using(project, &Profiles::new(project), name, variable, plugins::files)
}

/// The same with the files of plugins from elsewhere.
fn load_using(
    project: &Project,
    profiles: &Profiles<'_>,
    name: &str,
    variable: Lookup<'_>,
    plugin_files: impl FnOnce(&Project, &Profile) -> anyhow::Result<plugins::Files>,
) -> Result<Loaded, Failure> {
    if let Err(error) = crate::bundle::check_name(name) {
        let finding =
            Finding::error(&M014, Place::Profile, format!("`{name}` can't be a profile's name: {error}"));
        return Err(Failure::Refused(Box::new(Report { findings: vec![finding], ..Report::default() })));
    }
    let loaded = profiles.load(name, variable);
    let mut report = Report { findings: loaded.findings, sources: loaded.sources, map: loaded.map };
    let Some(profile) = loaded.profile else { return Err(Failure::Refused(Box::new(report))) };
    let (mut files, findings) = project.files(&profile);
    files.images = lock::digests(project, &profile)?;
    report.findings.extend(findings);
    report.sources.extend(files.rules.iter().cloned());
    report.sources.extend(files.dashboards.values().cloned());
    report.findings.extend(distribute::findings(&profile));
    let (catalogs, findings) = own_catalogs(project, &profile);
    report.findings.extend(findings);
    let (plugins, findings) = plugin_files(project, &profile)?;
    report.findings.extend(findings);
    let observed = observe::read(project, &profile, &mut report);
    Ok(Loaded { profile, files, catalogs, observed, plugins, report })
}

/// The catalogues beside the profiles that a profile names, by name.
fn own_catalogs(project: &Project, profile: &Profile) -> (BTreeMap<String, String>, Vec<Finding>) {
    let (mut catalogs, mut findings) = (BTreeMap::new(), vec![]);
    for (place, name) in named_catalogs(profile) {
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
                findings.push(Finding::error(&M015, place, message).note(note));
            }
        }
    }
    (catalogs, findings)
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
    evaluate_with(project, loaded, options, &Taken::default())
}

/// The same with plugins that were taken in before.
fn evaluate_with(
    project: &Project,
    loaded: Loaded,
    options: &Options,
    taken: &Taken,
) -> Result<Evaluation, Failure> {
    let Loaded { profile, files, catalogs, observed, plugins: plugin_files, mut report } = loaded;
    let read = || {
        let (stack, resolving) = resolve::resolve(&profile, &files);
        let (catalogs, reading) = Catalogs::with_files(catalogs);
        if !plugin_files.is_empty() {
            // While plugins are taken in there is time, and most of it they don't change.
            check::prepare(&stack, &catalogs);
        }
        (stack, resolving, catalogs, reading)
    };
    let (plugins, findings, read) = Plugins::load(project, &profile, &plugin_files, taken, read)?;
    let (mut stack, resolving, catalogs, reading) = read;
    report.findings.extend(resolving.into_iter().chain(findings).chain(reading));
    if has_errors(&report.findings) {
        // What is missing here would only echo in the checks.
        return Err(Failure::Refused(Box::new(report)));
    }
    let seen = observe::seen(observed.as_ref(), &stack, &mut report);
    let Ran { changes, said } = plugins.adjust(&profile, &seen, &mut stack);
    report.findings.extend(said.findings);
    let (receivers, said) = plugins.receivers(&plugin_files, &mut stack);
    report.findings.extend(said.findings);
    let look = || (check::all(&stack, &catalogs), render::render(&stack));
    let (judged, (checked, rendered)) = plugins.judge(&profile, &stack, look);
    report.findings.extend(checked.into_iter().chain(judged.findings));
    let rendered = rendered?;
    let mut tree = rendered.tree;
    if stack.relay().is_some() {
        for (place, component) in plugins::relayed(&stack, &plugin_files)? {
            tree.insert(place, component);
        }
    }
    report.findings.extend(check::swarm::files(&stack, &tree));
    render::complete(&stack, &rendered.services, &mut tree)?;
    report.findings.extend(check::kubernetes::sizes(&stack, &tree));
    let mut manifest = render::manifest(&profile, &stack, &files, &tree, &rendered.services);
    if let Some((name, _)) = &observed
        && let Some((_, text)) = report.sources.iter().find(|(source, _)| source == name)
    {
        manifest.inputs.insert(name.clone(), manifest::sha256(text.as_bytes()));
    }
    manifest.plugins = plugins.listed(&plugin_files);
    manifest.changes = changes.clone();
    manifest.receivers = receivers;
    manifest.verdicts = plugins::verdicts(&report.findings);
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
    let nar = tree.nar_hash()?;
    let name = StoreName::of(&nar, &profile.name)?;
    let plugins = plugins.iter().map(|plugin| plugin.name.clone()).collect();
    Ok(Evaluation { profile, stack, changes, plugins, tree, name, nar, report, agree, resolved })
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
    let mut resolved = resolve_secrets(project, profile, &stack.secrets, options, false);
    report.findings.append(&mut resolved.findings);
    report.findings.extend(secret::leaks(tree, resolved.secrets()));
    Some(resolved)
}

/// `generate`: what is to be generated and is not there yet is made.
fn resolve_secrets(
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

/// Builds a profile, or a site, into the store. Unchanged inputs are answered from the memo.
pub fn build(project: &Project, name: &str, options: &Options) -> Result<Built, Failure> {
    let store = Store::open(&project.state)?;
    let load = || load(project, name, &options.environment);
    let (made, hold) = make(project, &store, name, options, load, &Taken::default(), || store.hold())?;
    let Made { path, evaluation, secrets, inputs } = made;
    Ok(Built { path, evaluation, secrets, hold, inputs })
}

/// What a build gave, held by somebody else.
#[derive(Debug)]
pub struct Made {
    pub path: StorePath,
    /// `None` where the memo answered.
    pub evaluation: Option<Box<Evaluation>>,
    /// By provider, how many secrets were resolved.
    pub secrets: BTreeMap<&'static str, usize>,
    pub(crate) inputs: Inputs,
}

/// `hold`: keeps what is found or put from being collected.
fn make<H>(
    project: &Project,
    store: &Store,
    name: &str,
    options: &Options,
    load: impl FnOnce() -> Result<Loaded, Failure>,
    taken: &Taken,
    hold: impl Fn() -> Result<H, StoreError>,
) -> Result<(Made, H), Failure> {
    let note = memo::note(name, options);
    let known = if options.rebuild { None } else { store.note_get::<Inputs>(&note) };
    let remembered = |inputs: &Inputs| -> Result<Option<(Made, H)>, Failure> {
        let hold = hold()?;
        let Some(path) = store.memo_get(&inputs.key)? else { return Ok(None) };
        let Some(secrets) = prove_secrets(project, name, inputs, &path, options)? else { return Ok(None) };
        provenance::note_if_missing(store, &path, inputs)?;
        Ok(Some((Made { path, evaluation: None, secrets, inputs: inputs.clone() }, hold)))
    };
    if let Some(known) = &known
        && known.unchanged(project, options)
        && let Some(made) = remembered(known)?
    {
        return Ok(made);
    }
    let loaded = load()?;
    let mut inputs = Inputs::of(project, &loaded, options);
    // Layers may have changed in what is none of this site's.
    if let Some(known) = known.filter(|known| known.key == inputs.key)
        && plugins::prove(project, &loaded.profile, &loaded.plugins)?.is_empty()
    {
        inputs.secrets = known.secrets;
        if let Some(made) = remembered(&inputs)? {
            store.note_put(&note, &inputs)?;
            return Ok(made);
        }
    }
    let evaluation = evaluate_with(project, loaded, options, taken)?;
    inputs.secrets = evaluation.stack.secrets.clone();
    let hold = hold()?;
    let path = store.put(&evaluation.tree, name, &record(&evaluation))?;
    store.memo_put(&inputs.key, &path)?;
    store.note_put(&note, &inputs)?;
    provenance::note(store, &path, &evaluation, &inputs)?;
    let secrets = evaluation.resolved.as_ref().map(Resolved::providers).unwrap_or_default();
    Ok((Made { path, evaluation: Some(Box::new(evaluation)), secrets, inputs }, hold))
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
    let resolved = resolve_secrets(project, profile, &inputs.secrets, options, false);
    if !resolved.findings.is_empty() {
        return Ok(None);
    }
    let tree = crate::store::read_tree(path.path())?;
    let clean = secret::leaks(&tree, resolved.secrets()).is_empty();
    Ok(clean.then(|| resolved.providers()))
}

/// What stands beside the bundle: this program's version and the lines that values came from.
fn record(evaluation: &Evaluation) -> serde_json::Value {
    let Evaluation { profile, stack, report, .. } = evaluation;
    let origins = Origins::of(profile, stack, &report.sources);
    let mut record = serde_json::to_value(origins).unwrap_or_default();
    if let Some(entries) = record.as_object_mut() {
        entries.insert("monprov".into(), env!("CARGO_PKG_VERSION").into());
    }
    record
}

/// A bundle, read back for a comparison. One that was changed on disk is refused.
pub fn side(store: &Store, path: &StorePath) -> Result<Side, Failure> {
    store.require_intact(path)?;
    let tree = crate::store::read_tree(path.path())?;
    // A record that can't be read costs the lines, no more.
    let record = store.record(path).ok().flatten();
    Ok(Side::read(path.name().as_str(), tree, record.as_ref().map(|record| &record.build))?)
}

/// What a profile would be built into, for a comparison: nothing is written.
pub fn side_of(evaluation: &Evaluation) -> Result<Side, Failure> {
    Ok(Side::read(evaluation.name.as_str(), evaluation.tree.clone(), Some(&record(evaluation)))?)
}

/// Every code there is, by number.
pub fn codes() -> Vec<&'static Code> {
    let mut codes = check::codes();
    codes.extend(
        secret::CODES
            .iter()
            .chain(oracle::CODES)
            .chain(plugin::codes::CODES)
            .chain(crate::observe::CODES)
            .chain(crate::trust::CODES)
            .chain(provenance::CODES)
            .chain(follow::CODES)
            .copied(),
    );
    codes.sort_by_key(|code| code.id);
    codes
}
