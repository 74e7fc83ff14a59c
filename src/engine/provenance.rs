//! Where a bundle comes from: every build states its inputs beside the bundle, signed where the
//! caller has a key. It stands outside the bundle, so that the same inputs give the same hash
//! whoever builds them.

mod statement;

use std::collections::{BTreeMap, BTreeSet};

use super::{Evaluation, Failure, Options, Report, evaluate, load_with};
use crate::activate::Bundle;
use crate::bundle::StoreName;
use crate::diagnostic::{Code, Finding, Place};
use crate::memo::Inputs;
use crate::project::Project;
use crate::stack::Stack;
use crate::store::{Store, StorePath, hash_directory};
use crate::trust::envelope::{Envelope, seal};
use crate::trust::{SecretKey, Trust, Verdict};

pub use statement::{PAYLOAD_TYPE, Parameters, Resource, Statement};

pub static M820: Code = Code {
    id: "M820",
    title: "an input is not the one that a bundle was built from",
    explain:
        "`build --rebuild --from BUNDLE` holds today's layers, rule files, dashboards, catalogues and plugins
against the digests that the bundle's provenance records, and images against those that monprov.lock
pins. Those that differ are named: take them from the commit that the bundle was built from, and run it
again there. Variables are taken from the provenance, so they never differ.",
};

pub static M821: Code = Code {
    id: "M821",
    title: "the recorded inputs don't give the bundle",
    explain:
        "Every input has the digest that the provenance records, and yet another bundle comes out. Most often
another release of monprov built it, which renders a file in another way: the message names both
releases. With the same release, somebody has stated inputs that the bundle was not built from: don't
run it, and ask whoever signed the provenance.",
};

pub static M822: Code = Code {
    id: "M822",
    title: "a provenance is not this bundle's, or not signed by whom you trust",
    explain:
        "The statement beside the bundle is about another bundle or other content, or its signatures are not
those of a trusted key. Build the bundle again, or pull it from where it was built; `[trust]` of the
profile and /etc/monprov/trust.toml say whose signatures count.",
};

pub static CODES: &[&Code] = &[&M820, &M821, &M822];

/// What only the caller knows about a build.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// A URI that names who builds: a workflow of the CI, say.
    pub builder: Option<String>,
    /// What tells this run from others.
    pub invocation: Option<String>,
}

/// States what a bundle was just built from. What somebody has signed stays: it is as true.
pub(super) fn note(
    store: &Store,
    path: &StorePath,
    evaluation: &Evaluation,
    inputs: &Inputs,
) -> Result<(), Failure> {
    let Evaluation { profile, stack, nar, .. } = evaluation;
    let parameters = Parameters {
        profile: profile.name.clone(),
        runtime: stack.runtime.name().to_owned(),
        variables: stack.vars.clone(),
    };
    let images = stack.services.values().filter_map(|service| service.image.as_deref());
    let payload = Statement::new(path.name(), nar, parameters, dependencies(inputs, images)).to_json();
    if let Some(known) = envelope(store, path)?
        && (is_signed(&known) || known.payload() == payload)
    {
        return Ok(());
    }
    Ok(store.note_provenance(path.name(), &seal(PAYLOAD_TYPE, &payload, &[]))?)
}

/// The same where the memo answered: most often it is there.
pub(super) fn note_if_missing(store: &Store, path: &StorePath, inputs: &Inputs) -> Result<(), Failure> {
    if store.has_provenance(path.name()) {
        return Ok(());
    }
    let payload = stated(path, inputs)?.to_json();
    Ok(store.note_provenance(path.name(), &seal(PAYLOAD_TYPE, &payload, &[]))?)
}

/// States what only the caller of a build knows. Signatures of the same statement stay.
pub(crate) fn attest(
    store: &Store,
    path: &StorePath,
    inputs: &Inputs,
    caller: &Caller,
) -> Result<(), Failure> {
    if caller.builder.is_none() && caller.invocation.is_none() {
        return Ok(());
    }
    let statement = stated(path, inputs)?;
    let payload = statement.by(caller.builder.as_deref(), caller.invocation.as_deref()).to_json();
    if envelope(store, path)?.is_some_and(|known| known.payload() == payload) {
        return Ok(());
    }
    Ok(store.put_provenance(path.name(), &seal(PAYLOAD_TYPE, &payload, &[]))?)
}

/// Signs what is stated about a bundle, where anything is.
pub(super) fn countersign(store: &Store, path: &StorePath, keys: &[SecretKey]) -> Result<(), Failure> {
    let Some(known) = envelope(store, path)? else { return Ok(()) };
    let mut signed = known.clone();
    signed.sign(keys);
    match signed == known {
        true => Ok(()),
        false => Ok(store.put_provenance(path.name(), &signed.to_json())?),
    }
}

/// The statement about a bundle of the store, by its manifest and what was read for it.
fn stated(path: &StorePath, inputs: &Inputs) -> Result<Statement, Failure> {
    let manifest = Bundle::open(path.clone())?.manifest;
    let images = manifest.services.values().filter_map(|service| service.image.as_deref());
    let dependencies = dependencies(inputs, images);
    let parameters =
        Parameters { profile: manifest.profile, runtime: manifest.runtime, variables: manifest.vars };
    Ok(Statement::new(path.name(), &hash_directory(path.path())?, parameters, dependencies))
}

fn dependencies<'i>(inputs: &Inputs, images: impl Iterator<Item = &'i str>) -> Vec<Resource> {
    let files = inputs.digests().into_iter().map(|(name, sha256)| Resource::file(name, sha256));
    let images: BTreeSet<&str> = images.collect();
    files.chain(images.into_iter().map(Resource::image)).collect()
}

fn envelope(store: &Store, path: &StorePath) -> Result<Option<Envelope>, Failure> {
    // One that can't be read is none: the next build writes it again.
    Ok(store.provenance(path.name())?.and_then(|bytes| Envelope::parse(&bytes).ok()))
}

fn is_signed(envelope: &Envelope) -> bool {
    !envelope.judge(&Trust::default()).unknown.is_empty()
}

/// A provenance that was held against its bundle.
#[derive(Debug)]
pub struct Examined {
    pub statement: Statement,
    /// Who signed it.
    pub verdict: Verdict,
}

/// Reads the provenance of a bundle. One of another bundle is refused, and so is one with a
/// signature that is wrong, or without one where trust demands it.
pub fn examine(store: &Store, path: &StorePath, trust: &Trust) -> Result<Examined, Failure> {
    let Some(bytes) = store.provenance(path.name())? else {
        let name = path.name();
        return Err(anyhow::anyhow!(
            "{name} has no provenance: `monprov build {}` states it, `monprov pull` brings what others stated",
            name.name()
        )
        .into());
    };
    let envelope = Envelope::parse(&bytes).map_err(|error| refused(error.to_string()))?;
    envelope.require_type(PAYLOAD_TYPE).map_err(|error| refused(error.to_string()))?;
    let verdict = envelope.judge(trust);
    if !verdict.is_signed() && (trust.required || !verdict.wrong.is_empty()) {
        return Err(refused(format!(
            "the provenance of {} is not to be trusted: {}",
            path.name(),
            verdict.shortcoming()
        )));
    }
    let statement = Statement::parse(envelope.payload()).map_err(|error| refused(error.to_string()))?;
    if !statement.is_of(path.name(), &hash_directory(path.path())?) {
        let subject = statement.subject.first().map_or("nothing", |subject| &subject.name);
        let what =
            format!("the provenance beside {} is about {subject}, or about other content", path.name());
        return Err(refused(what));
    }
    Ok(Examined { statement, verdict })
}

fn refused(message: String) -> Failure {
    let findings = vec![Finding::error(&M822, Place::Profile, message)];
    Failure::Refused(Box::new(Report { findings, ..Report::default() }))
}

/// Builds a bundle again from the inputs that its provenance records, as they are here today.
/// Anything but the same bundle is a refusal that names what differs. Nothing is written.
pub fn reproduce(
    project: &Project,
    profile: &str,
    from: &StorePath,
    trust: &Trust,
    options: &Options,
) -> Result<(Evaluation, Examined), Failure> {
    let store = Store::open(&project.state)?;
    store.require_intact(from)?;
    let examined = examine(&store, from, trust)?;
    let recorded = examined.statement.parameters();
    if recorded.profile != profile {
        let (name, of) = (from.name(), &recorded.profile);
        return Err(
            anyhow::anyhow!("{name} was built from the profile `{of}`, and not from `{profile}`").into()
        );
    }
    let loaded = load_with(project, profile, &|variable| recorded.variables.get(variable).cloned())?;
    let inputs = Inputs::of(project, &loaded, options);
    let mut differing = differences(&examined.statement.files(), &inputs.digests());
    let evaluated = evaluate(project, loaded, options);
    match evaluated {
        Ok(evaluation) if differing.is_empty() && evaluation.name == *from.name() => {
            Ok((evaluation, examined))
        }
        Ok(mut evaluation) => {
            let now = &evaluation.name;
            differing.extend(other_images(&examined.statement, &evaluation.stack));
            if differing.is_empty() {
                differing.push(another(from, now, &examined.statement));
            } else if let Some(last) = differing.pop() {
                differing.push(last.note(format!("with what is here, it is {now}")));
            }
            evaluation.report.findings = differing;
            Err(Failure::Refused(Box::new(evaluation.report)))
        }
        Err(Failure::Refused(mut report)) => {
            report.findings.extend(differing);
            Err(Failure::Refused(report))
        }
        Err(failed) => Err(failed),
    }
}

fn another(from: &StorePath, now: &StoreName, statement: &Statement) -> Finding {
    let theirs = &statement.predicate.build_definition.internal_parameters.monprov;
    let message = format!("the recorded inputs of {} give {now}", from.name());
    Finding::error(&M821, Place::Profile, message)
        .note(format!("it was built by monprov {theirs}; this is {}", env!("CARGO_PKG_VERSION")))
}

/// A finding for each file that is not as it was.
fn differences(recorded: &BTreeMap<&str, &str>, now: &BTreeMap<&str, &str>) -> Vec<Finding> {
    let names: BTreeSet<&str> = recorded.keys().chain(now.keys()).copied().collect();
    let differs = |name: &str| {
        let text = match (recorded.get(name), now.get(name)) {
            (Some(one), Some(other)) if one == other => return None,
            (Some(was), Some(is)) => format!("{name} was {}, and is {}", short(was), short(is)),
            (Some(_), None) => format!("{name} is not an input any more, or missing"),
            (None, _) => format!("{name} was no input"),
        };
        Some(Finding::error(&M820, Place::Profile, text))
    };
    names.into_iter().filter_map(differs).collect()
}

/// The same for images, whose digests stand in monprov.lock.
fn other_images(recorded: &Statement, now: &Stack) -> Vec<Finding> {
    let recorded: BTreeSet<&str> = recorded.images().filter_map(|one| one.uri.as_deref()).collect();
    let now: BTreeSet<String> =
        now.services.values().filter_map(|s| Resource::image(s.image.as_deref()?).uri).collect();
    let shown = |uri: &str| uri.trim_start_matches("docker://").to_owned();
    let gone =
        recorded.iter().filter(|uri| !now.contains(**uri)).map(|uri| (shown(uri), "is not used any more"));
    let new =
        now.iter().filter(|uri| !recorded.contains(uri.as_str())).map(|uri| (shown(uri), "was not used"));
    gone.chain(new)
        .map(|(image, what)| Finding::error(&M820, Place::Profile, format!("the image {image} {what}")))
        .collect()
}

/// Enough of a digest to tell it from others.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
