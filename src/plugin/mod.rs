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
pub mod limits;
pub mod order;
pub mod payload;
pub mod policy;
pub mod receivers;
pub mod schema;
pub mod thresholds;
mod wasi;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::diagnostic::{Finding, Path, Place};
use crate::profile::settings as set;

use abi::types;
pub use abi::{Abi, World};
use call::{Answer, Failed, side_by_side};
use codes::{M702, M703, M704};
use component::{Engines, Linked, link};
pub use failure::Failure;
pub use limits::Limits;
use schema::Refused;

/// What a plugin says of itself, and what can be seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub fn inspect(code: &[u8], limits: &Limits) -> Result<Info, Failure> {
    let linked = link(code, limits, Engines::default().of(limits)?)?;
    described(&[&linked]).pop().unwrap_or_else(|| Err(Failure::Trap("it gave no answer".into())))
}

fn described(all: &[&Linked]) -> Vec<Result<Info, Failure>> {
    let answers = side_by_side(all, |linked| linked, abi::describe);
    let info = |(answer, linked): (Result<Answer<abi::meta::Info>, Failed>, &&Linked)| match answer {
        Ok(Answer { value, .. }) => Ok(Info {
            name: clean(&value.name),
            version: clean(&value.version),
            homepage: clean(&value.homepage),
            settings_schema: value.settings_schema,
            abi: linked.abi,
            worlds: linked.worlds.clone(),
            wasi: linked.wasi.clone(),
        }),
        Err(Failed { failure, .. }) => Err(failure),
    };
    answers.into_iter().zip(all).map(info).collect()
}

/// A plugin of the profile before anything of it has run.
#[derive(Debug)]
pub struct Unloaded<'a> {
    pub name: &'a str,
    /// What [`component::compile`] made of its file.
    pub code: Arc<Vec<u8>>,
    pub settings: &'a set::Plugin,
}

/// Takes plugins in, and asks each who it is; those that can't be used are findings.
pub fn load(all: Vec<Unloaded<'_>>) -> (Vec<Plugin>, Vec<Finding>) {
    let mut engines = Engines::default();
    let (mut plugins, mut findings, mut linked) = (vec![], vec![], vec![]);
    for Unloaded { name, code, settings } in all {
        let limits = Limits::of(&settings.limits);
        match engines.of(&limits).and_then(|engine| link(&code, &limits, engine)) {
            Ok(one) => linked.push((name, settings, one)),
            Err(failure) => findings.push(refusal(name, &failure)),
        }
    }
    let infos = described(&linked.iter().map(|(.., linked)| linked).collect::<Vec<_>>());
    for ((name, settings, linked), info) in linked.into_iter().zip(infos) {
        match info {
            Ok(info) => match Plugin::new(name, info, settings, linked) {
                Ok(plugin) => plugins.push(plugin),
                Err(wrong) => findings.extend(wrong),
            },
            Err(failure) => findings.push(refusal(name, &failure)),
        }
    }
    (plugins, findings)
}

impl Plugin {
    fn new(name: &str, info: Info, settings: &set::Plugin, linked: Linked) -> Result<Self, Vec<Finding>> {
        let at = Path::new(["plugins", name]);
        let given = settings.settings.0.clone().into_iter().collect();
        let settings_at = at.join("settings");
        let complete = schema::complete(&info.settings_schema, given).map_err(|refused| match refused {
            Refused::Schema(why) => {
                let message = format!("the plugin `{name}` has a schema that can't be used: {}", clean(&why));
                vec![Finding::error(&M704, Place::Key(at.clone()), message).note("ask the plugin's author")]
            }
            Refused::Settings(wrong) => wrong
                .iter()
                .map(|wrong| wrong_setting(&settings_at, &wrong.pointer, &wrong.message))
                .collect(),
        })?;
        let may = settings.may.clone().unwrap_or_else(|| GRANTED.to_vec());
        Ok(Plugin { name: name.to_owned(), info, may, settings: complete.to_string(), linked })
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
fn clean(text: &str) -> String {
    const LONGEST: usize = 500;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    line.trim().to_owned()
}

/// Calls the plugins of a stage side by side; the answers stand in the order of the plugins.
fn ask<T: Send>(
    plugins: &[&Plugin],
    role: impl Fn(&Linked, &String) -> Result<Answer<T>, Failed> + Sync,
) -> Vec<Result<Answer<T>, Failed>> {
    side_by_side(plugins, |plugin| &plugin.linked, |plugin| role(&plugin.linked, &plugin.settings))
}

impl Said {
    /// Notes what a call took; its value, or findings instead.
    fn take<T>(&mut self, plugin: &Plugin, answer: Result<Answer<T>, Failed>) -> Option<T> {
        let (printed, value) = match answer {
            Ok(Answer { value, fuel, printed }) => {
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
