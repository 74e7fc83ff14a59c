//! Why a plugin can't be used: what happened, which limit it was, and what to do about it.

use wasmtime::Trap;

use super::limits::{Denied, Limits};
use super::{abi, clean};

/// Why a plugin gave no answer. The message follows the words "the plugin `NAME`".
/// It has a form for programs, in which the process that compiles hands it over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum Failure {
    #[error("is not WebAssembly: {0}")]
    NotWasm(String),
    #[error("is a core module that can't be made a component: {0}")]
    NotComponentised(String),
    #[error("is {size} bytes, and {limit} are allowed")]
    TooLarge { size: u64, limit: u64 },
    #[error("can't be compiled: {0}")]
    NotCompiled(String),
    #[error("imports functions, which no plugin gets: {}", .0.join(", "))]
    Imports(Vec<String>),
    #[error("is made for {found}, and this release runs {} of {}", abi::hosted(), abi::PACKAGE)]
    UnknownAbi { found: String },
    #[error("exports no interface of {}; it has {}", abi::PACKAGE, list(.exports))]
    NoWorld { exports: Vec<String> },
    #[error("lacks an export: {0}")]
    MissingExport(String),
    #[error("exports something of another type: {0}")]
    WrongType(String),
    #[error("used up its fuel of {0}: it loops, or has more to do than that")]
    Fuel(u64),
    #[error("took longer than {0} ms")]
    Time(u64),
    #[error("recursed beyond its stack of {0} bytes")]
    Stack(u64),
    #[error("wanted more than {0} bytes of memory")]
    Memory(u64),
    #[error("wanted more than {0} table entries")]
    Tables(u64),
    #[error("is made of more than {0} instances")]
    Instances(u64),
    #[error("returned more than {0} bytes")]
    Output(u64),
    #[error("returned a text that is not UTF-8")]
    NotUtf8,
    #[error("wanted to wait, which no plugin may")]
    Waited,
    #[error("crashed: {0}")]
    Trap(String),
    #[error("says: {0}")]
    Said(String),
    #[error("can't do this: {0}")]
    Unsupported(String),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no exports".into() } else { names.join(", ") }
}

impl Failure {
    /// What the person who runs the build, or the plugin's author, does about it.
    pub fn remedy(&self, name: &str) -> String {
        let raise = |key: &str| format!("raise `plugins.{name}.limits.{key}`, or ask the plugin's author");
        match self {
            Failure::NotWasm(_) => "give a component, a core module or component text (.wat)".into(),
            Failure::NotComponentised(_) => {
                "build it with wit-bindgen for wasm32-unknown-unknown, as plugins/README.md says".into()
            }
            Failure::TooLarge { .. } => raise("component"),
            Failure::NotCompiled(_) => "ask the plugin's author for a build without this".into(),
            Failure::Imports(_) => {
                "what a plugin needs is an argument; build it without these imports (--stub-wasi)".into()
            }
            Failure::UnknownAbi { .. } => {
                "take a release of the plugin for this ABI, or a newer monprov".into()
            }
            Failure::NoWorld { .. } | Failure::MissingExport(_) | Failure::WrongType(_) => {
                "build it against plugins/wit: `meta` and one interface per role".into()
            }
            Failure::Fuel(_) => raise("fuel"),
            Failure::Time(_) => raise("time"),
            Failure::Stack(_) => raise("stack"),
            Failure::Memory(_) => raise("memory"),
            Failure::Tables(_) => raise("table_entries"),
            Failure::Instances(_) => raise("instances"),
            Failure::Output(_) => raise("output"),
            Failure::Waited => "a plugin gets the time as an argument and answers at once".into(),
            Failure::NotUtf8 => {
                format!("this is a defect of the plugin: see `monprov plugin run PROFILE {name}`")
            }
            // A stubbed guest ends so, without a word, also when it prints or asks for anything.
            Failure::Trap(_) => format!(
                "this is a defect of the plugin, and `monprov plugin run PROFILE {name}` shows what it printed; one built with --stub-wasi crashes where it asks for time, chance, a file or the network"
            ),
            Failure::Said(_) | Failure::Unsupported(_) => format!("see the settings of `plugins.{name}`"),
        }
    }

    /// What ended a call. The store's guard knows what it denied.
    pub(super) fn of(error: &wasmtime::Error, denied: Option<Denied>, fuel: u64, limits: &Limits) -> Failure {
        if error.is::<super::wasi::Waited>() {
            return Failure::Waited;
        }
        let trap = error.downcast_ref::<Trap>();
        match (trap, denied) {
            (Some(Trap::OutOfFuel), _) => return Failure::Fuel(fuel),
            (Some(Trap::Interrupt), _) => return Failure::Time(limits.milliseconds),
            (Some(Trap::StackOverflow), _) => return Failure::Stack(limits.stack),
            // A guest that does not get what it needs most often gives up with a trap.
            (_, Some(Denied::Memory)) => return Failure::Memory(limits.memory),
            (_, Some(Denied::Tables)) => return Failure::Tables(limits.table_entries),
            (Some(trap), None) => return Failure::Trap(trap.to_string()),
            (None, None) => {}
        }
        if error.is::<std::str::Utf8Error>() {
            return Failure::NotUtf8;
        }
        // These two have no type that can be named: tests hold wasmtime to its words.
        let text = error.root_cause().to_string();
        if text.contains("fuel allocated for hostcalls") {
            Failure::Output(limits.output)
        } else if text.contains("resource limit exceeded") {
            Failure::Instances(limits.instances)
        } else {
            Failure::Trap(clean(&text))
        }
    }

    pub(super) fn missing(error: wasmtime::Error) -> Failure {
        Failure::MissingExport(clean(&format!("{error:#}")))
    }

    pub(super) fn wrong_type(error: wasmtime::Error) -> Failure {
        Failure::WrongType(clean(&format!("{error:#}")))
    }
}
