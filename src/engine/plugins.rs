//! Plugins of a profile: their files held against their pins, compiled, and run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;

use super::{Failure, Loaded, Report};
use crate::bundle::manifest;
use crate::compiled::{self, Shelf, Wanted};
use crate::diagnostic::{Finding, Path, Place, Severity, has_errors};
use crate::observe::Seen;
use crate::pins::{self, Pin, Pins};
use crate::plugin::codes::{M701, M707};
use crate::plugin::receivers::Receiver;
use crate::plugin::{
    self, Info, Limits, Plugin, Said, Unloaded, World, component, order, policy, receivers, refusal,
    thresholds,
};
use crate::profile::Profile;
use crate::profile::codes::M015;
use crate::profile::settings;
use crate::project::{Binary, Project};
use crate::render::relay;
use crate::stack::change::Change;
use crate::stack::{Stack, resolve};

/// Files by plugin, and what is wrong with others.
pub type Files = (BTreeMap<String, Binary>, Vec<Finding>);

/// The files of all plugins by plugin; those that are not pinned are refused. Whether each is as it
/// was pinned is for [`prove`].
pub fn files(project: &Project, profile: &Profile) -> anyhow::Result<Files> {
    let (mut files, mut findings) = (BTreeMap::new(), vec![]);
    if profile.settings.plugins.is_empty() {
        return Ok((files, findings));
    }
    let pins = Pins::read(project)?;
    let channels = profile.settings.channels.values();
    let delivering: BTreeSet<&String> =
        channels.filter_map(|channel| Some(&channel.plugin.as_ref()?.name)).collect();
    // A channel that is switched off costs nothing.
    let delivers_only = |pin: &Pin| pin.worlds == [World::Channel];
    let used = |(name, plugin): &(&String, &settings::Plugin)| {
        delivering.contains(name) || !pins.plugins.get(&plugin.file).is_some_and(delivers_only)
    };
    for (name, plugin) in profile.settings.plugins.iter().filter(used) {
        let place = Place::setting(Path::new(["plugins", name, "file"]));
        let pin = pins.plugins.get(&plugin.file);
        match (project.binary(&plugin.file, pin.map_or("", |pin| &pin.sha256)), pin) {
            (Err(why), _) => {
                let note = "plugins are named relative to the project, in which monprov.lock lies";
                findings.push(Finding::error(&M015, place, why).note(note));
            }
            (Ok(file), Some(_)) => drop(files.insert(name.clone(), file)),
            (Ok(_), None) => findings.push(
                Finding::error(&M701, place, format!("the plugin `{name}` is not pinned in {}", pins::FILE))
                    .note(format!(
                        "look at it, then pin it: monprov plugin inspect {0}; monprov plugin add {0}",
                        plugin.file
                    )),
            ),
        }
    }
    Ok((files, findings))
}

/// Holds files against their pins; what is wrong, by plugin.
pub(super) fn prove(
    project: &Project,
    profile: &Profile,
    files: &BTreeMap<String, Binary>,
) -> anyhow::Result<BTreeMap<String, Finding>> {
    let mut changed = BTreeMap::new();
    for (name, binary) in files {
        let (Err(sha256), Some(plugin)) = (binary.prove(), profile.settings.plugins.get(name)) else {
            continue;
        };
        let place = Place::setting(Path::new(["plugins", name, "file"]));
        let finding =
            Finding::error(&M701, place, format!("the plugin `{name}` is not the file that was pinned"));
        let finding = match Pins::read(project)?.plugins.get(&plugin.file) {
            Some(pin) => finding.label(format!("{} {} was", pin.name, pin.version)),
            None => finding,
        };
        let finding = finding.note(format!("pinned {}, is {sha256}", binary.sha256));
        let finding = finding.note(format!("if it may: monprov plugin update {}", plugin.file));
        changed.insert(name.clone(), finding);
    }
    Ok(changed)
}

/// The pins that a build relies on, by file.
pub(crate) fn pinned<'f>(
    project: &Project,
    files: impl Iterator<Item = &'f String>,
) -> BTreeMap<String, Option<String>> {
    let pins = Pins::read(project).unwrap_or_default();
    files.map(|file| (file.clone(), pins.plugins.get(file).map(|pin| pin.sha256.clone()))).collect()
}

/// What decides about a plugin's word besides its code.
fn given(plugin: &settings::Plugin) -> anyhow::Result<String> {
    let settings = serde_json::to_string(&plugin.settings.0)?;
    Ok(format!("{:?} {settings}", Limits::of(&plugin.limits)))
}

/// Plugins that were taken in already: profiles with the same code, settings and limits share
/// them. One thread's, since the clock of an engine ticks for all that run in it.
#[derive(Debug, Default)]
pub struct Taken(Mutex<BTreeMap<[String; 4], Plugin>>);

impl Taken {
    fn all(&self) -> MutexGuard<'_, BTreeMap<[String; 4], Plugin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What decides about a plugin once it is taken in.
fn identity(name: &str, file: &Binary, settings: &settings::Plugin) -> anyhow::Result<[String; 4]> {
    Ok([name.to_owned(), file.sha256.clone(), given(settings)?, format!("{:?}", settings.may)])
}

fn is_about(finding: &Finding, plugin: &str) -> bool {
    matches!(&finding.place, Place::Key(path) if *path == Path::new(["plugins", plugin]))
}

/// Plugins, ready to be called, in stages.
#[derive(Debug, Default)]
pub struct Plugins {
    all: BTreeMap<String, Plugin>,
    stages: Vec<Vec<String>>,
}

/// What the plugins did to a stack and said about it.
#[derive(Debug, Default)]
pub struct Ran {
    pub changes: Vec<Change>,
    pub said: Said,
}

impl Plugins {
    /// Compiles, where that was not done yet, and asks each plugin who it is. Meanwhile something
    /// else is done, `beside`, and the files are held against their pins: what is kept by the
    /// digest of a pin can be taken in before.
    pub fn load<B>(
        project: &Project,
        profile: &Profile,
        files: &BTreeMap<String, Binary>,
        taken: &Taken,
        beside: impl FnOnce() -> B,
    ) -> anyhow::Result<(Self, Vec<Finding>, B)> {
        // Without any, nothing of their host is touched.
        if files.is_empty() {
            return Ok((Self::default(), vec![], beside()));
        }
        let prove = || prove(project, profile, files);
        let take_in = || Self::take_in(&project.state, profile, files, taken, beside);
        let (changed, taken_in) = match files.values().all(Binary::is_proved) {
            true => (None, take_in()),
            false => plugin::both(prove, take_in),
        };
        let changed = changed.unwrap_or_else(prove)?;
        let (plugins, mut findings, beside) = taken_in?;
        // That it can't be compiled says the same once more.
        findings.retain(|finding| !changed.keys().any(|name| is_about(finding, name)));
        findings.extend(changed.into_values());
        Ok((plugins, findings, beside))
    }

    fn take_in<B>(
        state: &std::path::Path,
        profile: &Profile,
        files: &BTreeMap<String, Binary>,
        taken: &Taken,
        beside: impl FnOnce() -> B,
    ) -> anyhow::Result<(Self, Vec<Finding>, B)> {
        let (stages, mut findings) = order::stages(&profile.settings.plugins);
        let (mut all, mut fitting) = (BTreeMap::new(), vec![]);
        for (name, file) in files {
            let Some(settings) = profile.settings.plugins.get(name) else { continue };
            if let Some(plugin) = taken.all().get(&identity(name, file, settings)?) {
                all.insert(name.clone(), plugin.clone());
                continue;
            }
            match component::check_size(file.size, &Limits::of(&settings.limits)) {
                Ok(()) => fitting.push((name.as_str(), file, settings)),
                Err(failure) => findings.push(refusal(name, &failure)),
            }
        }
        if fitting.is_empty() {
            return Ok((Plugins { all, stages }, findings, beside()));
        }
        let mut shelf = Shelf::open(state)?;
        let wanted: Vec<_> = fitting.iter().map(|(name, file, _)| Wanted { name, file }).collect();
        let (mut ready, mut unknown) = (vec![], BTreeMap::new());
        for ((name, file, settings), code) in fitting.into_iter().zip(shelf.code(&wanted)?) {
            match code {
                Ok(code) => {
                    let given = given(settings)?;
                    let known = shelf.known(&file.sha256, &given);
                    if known.is_none() {
                        unknown.insert(name, (&file.sha256, given));
                    }
                    ready.push(Unloaded { name, code, settings, known });
                }
                Err(failure) => findings.push(refusal(name, &failure)),
            }
        }
        let (plugins, wrong, beside) = plugin::load(ready, &mut shelf.engines, beside);
        findings.extend(wrong);
        for plugin in &plugins {
            if let Some((sha256, given)) = unknown.get(plugin.name.as_str()) {
                shelf.keep_known(sha256, given, &plugin.known())?;
            }
        }
        for plugin in plugins {
            if let (Some(file), Some(settings)) =
                (files.get(&plugin.name), profile.settings.plugins.get(&plugin.name))
            {
                taken.all().insert(identity(&plugin.name, file, settings)?, plugin.clone());
            }
            all.insert(plugin.name.clone(), plugin);
        }
        Ok((Plugins { all, stages }, findings, beside))
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Plugin> {
        self.all.get(name)
    }

    /// In the order in which their results count.
    pub fn iter(&self) -> impl Iterator<Item = &Plugin> {
        self.stages.iter().flatten().filter_map(|name| self.all.get(name))
    }

    /// Lets the threshold plugins change the stack.
    pub fn adjust(&self, profile: &Profile, seen: &BTreeMap<String, Seen>, stack: &mut Stack) -> Ran {
        let stage = |names: &Vec<String>| names.iter().filter_map(|name| self.all.get(name)).collect();
        let stages: Vec<Vec<&Plugin>> = self.stages.iter().map(stage).collect();
        let (changes, said) = thresholds::adjust(&stages, profile, seen, stack);
        Ran { changes, said }
    }

    /// Lets the channel plugins say how each channel is delivered; the receivers that they made.
    pub fn receivers(
        &self,
        files: &BTreeMap<String, Binary>,
        stack: &mut Stack,
    ) -> (BTreeMap<String, Receiver>, Said) {
        for relayed in stack.relayed.values_mut() {
            relayed.sha256 = files.get(&relayed.plugin).map(|file| file.sha256.clone()).unwrap_or_default();
        }
        receivers::receivers(&self.all, stack)
    }

    /// Lets the policy plugins judge the stack as it is now, while something else looks at it.
    pub fn judge<T>(&self, profile: &Profile, stack: &Stack, beside: impl FnOnce() -> T) -> (Said, T) {
        policy::judge(&self.iter().collect::<Vec<_>>(), profile, stack, beside)
    }

    /// What the manifest says about them.
    pub fn listed(&self, files: &BTreeMap<String, Binary>) -> BTreeMap<String, manifest::Plugin> {
        let entry = |(name, plugin): (&String, &Plugin)| {
            let sha256 = files.get(name).map(|file| file.sha256.clone()).unwrap_or_default();
            let worlds = plugin.info.worlds.iter().map(|world| world.name().to_owned()).collect();
            (name.clone(), manifest::Plugin { sha256, version: plugin.info.version.clone(), worlds })
        };
        self.all.iter().map(entry).collect()
    }
}

/// The components that the relay of a stack reads, by their place in the bundle.
pub fn relayed(stack: &Stack, files: &BTreeMap<String, Binary>) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let folder = relay::FILE.rsplit_once('/').map_or("", |(folder, _)| folder);
    let used = stack.relayed.values().map(|relayed| &relayed.plugin);
    let file = |plugin: &String| {
        let place = format!("{folder}/{}", relay::component(plugin));
        Some(files.get(plugin)?.bytes().map(|bytes| (place, bytes.into_owned())))
    };
    used.filter_map(file).collect()
}

/// What policy plugins found that stops nothing, as the manifest keeps it.
pub fn verdicts(findings: &[Finding]) -> Vec<manifest::Verdict> {
    let found = findings.iter().filter(|f| f.code == &M707 && f.severity != Severity::Error);
    found
        .map(|f| manifest::Verdict {
            severity: f.severity,
            path: match &f.place {
                Place::Setting { path, .. } | Place::Key(path) => path.to_string(),
                Place::File { file, .. } => file.clone(),
                Place::Profile => String::new(),
            },
            message: f.message.clone(),
        })
        .collect()
}

/// A profile's plugins against its stack, and what they said, also where that would stop a build.
#[derive(Debug)]
pub struct Trial {
    pub plugins: Plugins,
    pub ran: Ran,
    pub report: Report,
}

/// Runs plugins and nothing else. `only`: this one alone.
pub fn run(project: &Project, loaded: Loaded, only: Option<&str>) -> Result<Trial, Failure> {
    let Loaded { mut profile, files, observed, plugins: mut plugin_files, mut report, .. } = loaded;
    if let Some(only) = only {
        profile.settings.plugins.retain(|name, plugin| {
            plugin.after.clear();
            name == only
        });
        plugin_files.retain(|name, _| name == only);
    }
    let (mut stack, findings) = resolve::resolve(&profile, &files);
    report.findings.extend(findings);
    let (plugins, findings, ()) = Plugins::load(project, &profile, &plugin_files, &Taken::default(), || ())?;
    report.findings.extend(findings);
    if has_errors(&report.findings) {
        return Err(Failure::Refused(Box::new(report)));
    }
    let seen = super::observe::seen(observed.as_ref(), &stack, &mut report);
    let mut ran = plugins.adjust(&profile, &seen, &mut stack);
    let (judged, ()) = plugins.judge(&profile, &stack, || ());
    report.findings.append(&mut ran.said.findings);
    report.findings.extend(judged.findings);
    ran.said.printed.extend(judged.printed);
    for (name, fuel) in judged.fuel {
        *ran.said.fuel.entry(name).or_default() += fuel;
    }
    Ok(Trial { plugins, ran, report })
}

/// What a file is, with its digest. `state`: where compiled code is kept.
pub fn inspect(state: &std::path::Path, name: &str, bytes: &[u8]) -> anyhow::Result<(Info, String)> {
    let limits = Limits::default();
    let why = |failure: plugin::Failure| anyhow::anyhow!("it {failure}; {}", failure.remedy("NAME"));
    component::check_size(bytes.len() as u64, &limits).map_err(why)?;
    let file = Binary::of(bytes.to_vec());
    let code =
        Shelf::open(state)?.code(&[Wanted { name, file: &file }])?.pop().context("no code was made")?;
    let info = plugin::inspect(&code.map_err(why)?, &limits).map_err(why)?;
    Ok((info, file.sha256))
}

/// Removes compiled code that no pin names.
pub(crate) fn collect(project: &Project, dry_run: bool) -> anyhow::Result<compiled::Removed> {
    let pins = Pins::read(project)?;
    let pinned = pins.plugins.values().map(|pin| pin.sha256.as_str()).collect();
    compiled::collect(&project.state, &pinned, dry_run)
}

/// Pins a file of the project as it is now; the pin that it had before.
pub fn pin(project: &Project, file: &str, source: Option<String>) -> anyhow::Result<(Pin, Option<Pin>)> {
    let bytes = project.bytes(file).map_err(anyhow::Error::msg)?;
    let (info, digest) =
        inspect(&project.state, file, &bytes).map_err(|why| anyhow::anyhow!("{file} is no plugin: {why}"))?;
    let mut pins = Pins::read(project)?;
    let pin = Pin::new(digest, &info, source);
    let before = pins.plugins.insert(file.to_owned(), pin.clone());
    pins.write(project)?;
    Ok((pin, before))
}
