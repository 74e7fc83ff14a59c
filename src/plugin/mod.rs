//! WebAssembly bytes + [`Stack`](crate::stack::Stack) + settings → changes and findings.
//!
//! In the order of the flow: [`component`] makes a component of a file's bytes and code of that,
//! [`abi`] says what it can do, [`schema`] completes its settings, [`order`] puts plugins
//! into stages, [`call`] runs each in a fresh instance within its [`limits`], and [`thresholds`],
//! [`policy`] and [`channel`] hold what comes back against what the profile grants.
//!
//! The room is pure: reading files, pins, and compiling in a process of its own are the edge's
//! (`engine::plugins`). The same inputs give the same result on every machine: nothing but fuel
//! decides, NaNs are canonical, and no guest has a clock or chance.

mod abi;
mod call;
pub mod case;
pub mod channel;
pub mod codes;
pub mod component;
mod document;
pub mod failure;
pub mod grants;
pub mod limits;
pub mod order;
pub mod payload;
pub mod policy;
pub mod receivers;
pub mod schema;
pub mod show;
pub mod thresholds;
mod wasi;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use wasmtime::Engine;

use crate::diagnostic::{Finding, Path, Place};
use crate::profile::settings as set;

use abi::types;
pub use abi::{Abi, World};
pub use call::both;
use call::{Answer, Failed, instantiate, side_by_side};
use codes::{M702, M703, M704};
pub use component::{Code, Engines};
use component::{Linked, link_code};
pub use failure::Failure;
pub use limits::Limits;
use schema::Refused;

/// What a plugin says of itself, and what can be seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    pub name: String,
    pub version: String,
    pub homepage: String,
    pub settings_schema: String,
    pub abi: Abi,
    pub worlds: Vec<World>,
    /// Interfaces of WASI that it imports, all of which answer nothing.
    pub wasi: Vec<String>,
}

/// A plugin that can be called.
#[derive(Clone)]
pub struct Plugin {
    /// Its name in the profile.
    pub name: String,
    pub info: Info,
    pub may: Vec<set::Grant>,
    /// Complete, as the plugin gets them.
    settings: String,
    linked: Linked,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).field("info", &self.info).finish_non_exhaustive()
    }
}

/// What a plugin said of itself, and its settings, complete. Both follow from its code, its
/// limits and what the profile gives it, so whoever keeps them need not ask again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Known {
    info: Info,
    settings: String,
    /// What it asked for in vain when it was asked who it is: its runtime does so by itself.
    own: u8,
}

/// What a plugin may change where the profile does not say.
const GRANTED: [set::Grant; 2] = [set::Grant::Threshold, set::Grant::For];

/// What the plugins of a stack said.
#[derive(Debug, Default)]
pub struct Said {
    pub findings: Vec<Finding>,
    /// What guests printed, by plugin.
    pub printed: BTreeMap<String, String>,
    /// The fuel that each used.
    pub fuel: BTreeMap<String, u64>,
}

/// Asks compiled code what it is.
pub fn inspect(code: &Code, limits: &Limits) -> Result<Info, Failure> {
    let engine = Engines::default().of(limits)?;
    let ask = |_: &()| Ok(described(&link_code(code, limits, engine.clone())?)?.0);
    let (mut asked, ()) =
        side_by_side(&[()], |()| (engine.clone(), *limits), ask, |(), failure| Err(failure), || ());
    asked.pop().unwrap_or_else(|| Err(Failure::Trap("it gave no answer".into())))
}

/// What is done with a plugin before its first call, and how long each took.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// Taking its code in.
    pub load: Duration,
    /// Making an instance, as every call does.
    pub instantiate: Duration,
    /// Asking it who it is, without making the instance for that.
    pub describe: Duration,
}

/// Begins with compiled code, by somebody's `clock`.
pub fn begin(code: &Code, limits: &Limits, clock: &(dyn Fn() -> Duration + Sync)) -> Result<Begun, Failure> {
    let engine = Engines::default().of(limits)?;
    let begin = |_: &()| {
        let start = clock();
        let linked = link_code(code, limits, engine.clone())?;
        let loaded = clock();
        instantiate(&linked).map_err(|Failed { failure, .. }| failure)?;
        let instantiated = clock();
        described(&linked)?;
        let (load, instantiate) = (loaded - start, instantiated - loaded);
        let describe = (clock() - instantiated).saturating_sub(instantiate);
        Ok(Begun { load, instantiate, describe })
    };
    let (mut begun, ()) =
        side_by_side(&[()], |()| (engine.clone(), *limits), begin, |(), failure| Err(failure), || ());
    begun.pop().unwrap_or_else(|| Err(Failure::Trap("it gave no answer".into())))
}

/// Who it is, and what it asked for in vain.
fn described(linked: &Linked) -> Result<(Info, u8), Failure> {
    let Answer { value, asked, .. } = abi::describe(linked).map_err(|Failed { failure, .. }| failure)?;
    let info = Info {
        name: clean(&value.name),
        version: clean(&value.version),
        homepage: clean(&value.homepage),
        settings_schema: value.settings_schema,
        abi: linked.abi,
        worlds: linked.worlds.clone(),
        wasi: linked.wasi.clone(),
    };
    Ok((info, asked))
}

/// A plugin of the profile before anything of it has run.
#[derive(Debug)]
pub struct Unloaded<'a> {
    pub name: &'a str,
    /// What [`component::compile`] made of its file.
    pub code: Code,
    pub settings: &'a set::Plugin,
    /// What it said when it was loaded before.
    pub known: Option<Known>,
}

/// Takes plugins in side by side, and asks each who it is where that is not known; those that
/// can't be used are findings. Meanwhile something else is done, `beside`.
pub fn load<B>(
    all: Vec<Unloaded<'_>>,
    engines: &mut Engines,
    beside: impl FnOnce() -> B,
) -> (Vec<Plugin>, Vec<Finding>, B) {
    let (mut plugins, mut findings, mut ready) = (vec![], vec![], vec![]);
    for unloaded in all {
        let limits = Limits::of(&unloaded.settings.limits);
        match engines.of(&limits) {
            Ok(engine) => ready.push((unloaded, limits, engine)),
            Err(failure) => findings.push(refusal(unloaded.name, &failure)),
        }
    }
    let (taken, beside) = side_by_side(
        &ready,
        |(_, limits, engine)| (engine.clone(), *limits),
        |(unloaded, limits, engine)| Plugin::new(unloaded, limits, engine),
        |(unloaded, ..), failure| Err(vec![refusal(unloaded.name, &failure)]),
        beside,
    );
    for taken in taken {
        match taken {
            Ok(plugin) => plugins.push(plugin),
            Err(wrong) => findings.extend(wrong),
        }
    }
    (plugins, findings, beside)
}

/// Settings as the plugin gets them.
fn complete(name: &str, schema: &str, settings: &set::Plugin) -> Result<Json, Vec<Finding>> {
    let at = Path::new(["plugins", name]);
    let given = settings.settings.0.clone().into_iter().collect();
    schema::complete(schema, given).map_err(|refused| match refused {
        Refused::Schema(why) => {
            let message = format!("the plugin `{name}` has a schema that can't be used: {}", clean(&why));
            vec![Finding::error(&M704, Place::Key(at), message).note("ask the plugin's author")]
        }
        Refused::Settings(wrong) => {
            let at = at.join("settings");
            wrong.iter().map(|wrong| wrong_setting(&at, &wrong.pointer, &wrong.message)).collect()
        }
    })
}

impl Plugin {
    fn new(unloaded: &Unloaded<'_>, limits: &Limits, engine: &Engine) -> Result<Self, Vec<Finding>> {
        let Unloaded { name, code, settings, known } = unloaded;
        let refused = |failure| vec![refusal(name, &failure)];
        let mut linked = link_code(code, limits, engine.clone()).map_err(refused)?;
        let Known { info, settings: complete, own } = match known {
            Some(known) => known.clone(),
            None => {
                let (info, own) = described(&linked).map_err(refused)?;
                // Those of a channel are complete only with the channel's own: `receivers` completes them.
                let settings = match info.worlds.as_slice() {
                    [World::Channel] => Json::Object(settings.settings.0.clone().into_iter().collect()),
                    _ => complete(name, &info.settings_schema, settings)?,
                };
                let settings = settings.to_string();
                Known { info, settings, own }
            }
        };
        // An author who looks at the clock has reason to be told, wherever that is.
        linked.own = own & !wasi::TIME;
        let may = settings.may.clone().unwrap_or_else(|| GRANTED.to_vec());
        Ok(Plugin { name: (*name).to_owned(), info, may, settings: complete, linked })
    }

    /// To be kept for the next time.
    pub fn known(&self) -> Known {
        Known { info: self.info.clone(), settings: self.settings.clone(), own: self.linked.own }
    }

    pub fn can(&self, world: World) -> bool {
        self.info.worlds.contains(&world)
    }

    /// The settings with defaults filled in.
    pub fn settings(&self) -> Json {
        serde_json::from_str(&self.settings).unwrap_or_default()
    }

    fn at(&self) -> Path {
        Path::new(["plugins", &self.name])
    }

    /// Findings for what a guest returned instead of an answer.
    fn failed(&self, failure: types::Failure) -> Vec<Finding> {
        self.failed_at(failure, &self.at().join("settings"))
    }

    /// The same, where its settings stand elsewhere.
    fn failed_at(&self, failure: types::Failure, settings: &Path) -> Vec<Finding> {
        match failure {
            types::Failure::Settings(problems) => problems
                .iter()
                .map(|problem| wrong_setting(settings, &problem.pointer, &problem.message))
                .collect(),
            types::Failure::Unsupported(what) => {
                vec![refusal(&self.name, &Failure::Unsupported(clean(&what)))]
            }
            types::Failure::Other(what) => vec![refusal(&self.name, &Failure::Said(clean(&what)))],
        }
    }
}

/// A plugin that can't be used, as a finding.
pub fn refusal(name: &str, failure: &Failure) -> Finding {
    let code = match failure {
        Failure::NotWasm(_)
        | Failure::NotComponentised(_)
        | Failure::TooLarge { .. }
        | Failure::NotCompiled(_)
        | Failure::Imports(_)
        | Failure::UnknownAbi { .. }
        | Failure::NoWorld { .. }
        | Failure::MissingExport(_)
        | Failure::WrongType(_) => &M702,
        _ => &M703,
    };
    let place = Place::Key(Path::new(["plugins", name]));
    Finding::error(code, place, format!("the plugin `{name}` {failure}")).note(failure.remedy(name))
}

fn wrong_setting(settings: &Path, pointer: &str, message: &str) -> Finding {
    let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let path = steps.fold(settings.clone(), |path, step| path.join(step));
    Finding::error(&M704, Place::setting(path.clone()), format!("`{path}`: {}", clean(message)))
}

/// A guest's text as one line that does nothing to a terminal.
pub(crate) fn clean(text: &str) -> String {
    const LONGEST: usize = 500;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    line.trim().to_owned()
}

/// Calls the plugins of a stage side by side, and meanwhile does something else; the answers
/// stand in the order of the plugins.
fn ask<T: Send, B>(
    plugins: &[&Plugin],
    role: impl Fn(&Linked, &String) -> Result<Answer<T>, Failed> + Sync,
    beside: impl FnOnce() -> B,
) -> (Vec<Result<Answer<T>, Failed>>, B) {
    side_by_side(
        plugins,
        |plugin| (plugin.linked.engine.clone(), plugin.linked.limits),
        |plugin| role(&plugin.linked, &plugin.settings),
        |_, failure| Err(Failed { failure, printed: String::new() }),
        beside,
    )
}

impl Said {
    /// Notes what a call took; its value, or findings instead.
    fn take<T>(&mut self, plugin: &Plugin, answer: Result<Answer<T>, Failed>) -> Option<T> {
        let (printed, value) = match answer {
            Ok(Answer { value, fuel, printed, .. }) => {
                *self.fuel.entry(plugin.name.clone()).or_default() += fuel;
                (printed, Some(value))
            }
            Err(Failed { failure, printed }) => {
                self.findings.push(refusal(&plugin.name, &failure));
                (printed, None)
            }
        };
        if !printed.is_empty() {
            self.printed.entry(plugin.name.clone()).or_default().push_str(&printed);
        }
        value
    }
}
