//! WebAssembly bytes + [`Stack`](crate::stack::Stack) + settings → changes and findings.
//!
//! In the order of the flow: [`component`] makes a component of a file's bytes and code of that,
//! [`worlds`] says what it can do, [`schema`] completes its settings, [`order`] puts plugins
//! into stages, [`call`] runs one in a fresh instance within its [`limits`], and [`thresholds`]
//! and [`policy`] hold what comes back against what the profile grants.
//!
//! The room is pure: reading files, pins, and compiling in a process of its own are the edge's
//! (`engine::plugins`). The same inputs give the same result on every machine: nothing but fuel
//! decides, NaNs are canonical, and no guest has a clock or chance.

mod call;
pub mod codes;
pub mod component;
mod document;
pub mod failure;
pub mod limits;
pub mod order;
pub mod policy;
pub mod schema;
pub mod thresholds;
mod wasi;
pub mod worlds;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

use crate::diagnostic::{Finding, Path, Place};
use crate::profile::settings as set;

use call::{Answer, Failed};
use codes::{M702, M703, M704};
pub use failure::Failure;
pub use limits::Limits;
use schema::Refused;
pub use worlds::World;
use worlds::{meta, types};

/// What a plugin says of itself, and what can be seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    pub name: String,
    pub version: String,
    pub homepage: String,
    pub settings_schema: String,
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
    pub limits: Limits,
    /// Complete, as the plugin gets them.
    settings: String,
    linked: component::Linked,
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
    describe(&component::link(code, limits)?, limits)
}

fn describe(linked: &component::Linked, limits: &Limits) -> Result<Info, Failure> {
    let described = call::on_a_stack(&linked.engine, limits, || {
        call::call(
            linked,
            limits,
            0,
            |store, instance| {
                let indices = meta::GuestIndices::new(&linked.pre).map_err(missing)?;
                indices.load(store, instance).map_err(wrong_type)
            },
            |store, guest| guest.call_describe(store),
        )
    });
    let info = match described {
        Some(Ok(Answer { value, .. })) => value,
        Some(Err(Failed { failure, .. })) => return Err(failure),
        None => return Err(Failure::Trap("its thread ended".into())),
    };
    Ok(Info {
        name: clean(&info.name),
        version: clean(&info.version),
        homepage: clean(&info.homepage),
        settings_schema: info.settings_schema,
        worlds: linked.worlds.clone(),
        wasi: linked.wasi.clone(),
    })
}

fn missing(error: wasmtime::Error) -> Failure {
    Failure::MissingExport(clean(&format!("{error:#}")))
}

fn wrong_type(error: wasmtime::Error) -> Failure {
    Failure::WrongType(clean(&format!("{error:#}")))
}

impl Plugin {
    /// `code`: what [`component::compile`] made of its file.
    pub fn load(name: &str, code: &[u8], settings: &set::Plugin) -> Result<Self, Vec<Finding>> {
        let at = Path::new(["plugins", name]);
        let limits = Limits::of(&settings.limits);
        let linked = component::link(code, &limits).map_err(|failure| vec![refusal(name, &failure)])?;
        let info = describe(&linked, &limits).map_err(|failure| vec![refusal(name, &failure)])?;
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
        Ok(Plugin { name: name.to_owned(), info, may, limits, settings: complete.to_string(), linked })
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
        match failure {
            types::Failure::Settings(problems) => {
                let at = self.at().join("settings");
                problems
                    .iter()
                    .map(|problem| wrong_setting(&at, &problem.pointer, &problem.message))
                    .collect()
            }
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

/// What one plugin of a stage answered.
type Answered<'p, T> = (&'p Plugin, Result<Answer<T>, Failed>);

/// Calls plugins side by side; the answers stand in the order of the plugins.
fn side_by_side<'p, T: Send>(
    plugins: &[&'p Plugin],
    work: impl Fn(&Plugin) -> Result<Answer<T>, Failed> + Sync,
) -> Vec<Answered<'p, T>> {
    let one = |plugin: &Plugin| {
        call::on_a_stack(&plugin.linked.engine, &plugin.limits, || work(plugin)).unwrap_or_else(|| {
            Err(Failed { failure: Failure::Trap("its thread ended".into()), printed: String::new() })
        })
    };
    if let [plugin] = plugins {
        return vec![(*plugin, one(plugin))];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = plugins.iter().map(|plugin| (*plugin, scope.spawn(|| one(plugin)))).collect();
        running
            .into_iter()
            // A thread that could not finish is done again here, where its panic belongs.
            .map(|(plugin, thread)| (plugin, thread.join().unwrap_or_else(|_| one(plugin))))
            .collect()
    })
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
