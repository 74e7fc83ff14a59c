//! Bytes → component → compiled code → a component that can be called.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine};

use crate::bundle::listing::hex;

use super::failure::Failure;
use super::limits::Limits;
use super::wasi::{self, State};
use super::worlds::{META, PACKAGE, World};

/// What decides about compiled code besides the component and wasmtime: to be changed with
/// every line of [`engine`] that changes how code is made, since wasmtime loads code that was
/// made with other settings of some kinds without a word.
const MAKE: &str = "1: fuel, epoch, canonical NaN, no relaxed SIMD";

/// The engine of one plugin: same inputs, same results, on every machine.
fn engine(limits: &Limits) -> Result<Engine, Failure> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(usize::try_from(limits.stack).unwrap_or(usize::MAX))
        .concurrency_support(false);
    Engine::new(&config).map_err(|error| Failure::NotCompiled(error.to_string()))
}

/// A component from whatever an author gives: a component, a core module that wit-bindgen
/// made, or either as text.
pub fn componentise(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let binary = wat::parse_bytes(bytes).map_err(|e| Failure::NotWasm(first_line(&e.to_string())))?;
    // The 4 bytes after the magic: 1 for a core module, 13 and a layer for a component.
    match binary.get(4..8) {
        Some([1, 0, 0, 0]) => wit_component::ComponentEncoder::default()
            .validate(false)
            .module(&binary)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|e| Failure::NotComponentised(first_line(&format!("{e:#}")))),
        Some(_) => Ok(binary.into_owned()),
        None => Err(Failure::NotWasm("the file is cut off".into())),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Refuses a file that is too large before anything looks into it.
pub fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), Failure> {
    let size = bytes.len() as u64;
    if size > limits.component {
        return Err(Failure::TooLarge { size, limit: limits.component });
    }
    Ok(())
}

/// Code for this machine. This takes long, can't be interrupted and can need much memory:
/// the edge does it in a process of its own.
pub fn compile(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let component = componentise(bytes)?;
    let code = engine(&Limits::default())?.precompile_component(&component);
    code.map_err(|error| Failure::NotCompiled(first_line(&format!("{error:#}"))))
}

/// Names everything but the component that compiled code depends on.
pub fn code_version() -> Result<String, Failure> {
    let mut sum = Sum(Sha256::new());
    engine(&Limits::default())?.precompile_compatibility_hash().hash(&mut sum);
    Ok(format!("{MAKE} {}", hex(&sum.0.finalize())))
}

/// SHA-256 over what something hashes of itself: the same in every process.
struct Sum(Sha256);

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// A component, compiled and linked.
pub(super) struct Linked {
    pub(super) engine: Engine,
    pub(super) pre: InstancePre<State>,
    pub(super) worlds: Vec<World>,
    /// WASI interfaces that it imports.
    pub(super) wasi: Vec<String>,
}

/// Takes compiled code in.
///
/// `code`: what [`compile`] returned. It is trusted; whoever can write it can do what this
/// program can.
#[expect(
    unsafe_code,
    reason = "wasmtime can't check compiled code; the edge reads only what it wrote itself"
)]
pub(super) fn link(code: &[u8], limits: &Limits) -> Result<Linked, Failure> {
    let engine = engine(limits)?;
    // SAFETY: the caller vouches that `compile` of this program made the code.
    let component = unsafe { Component::deserialize(&engine, code) }
        .map_err(|error| Failure::NotCompiled(first_line(&format!("{error:#}"))))?;
    let (worlds, wasi) = interfaces(&engine, &component)?;
    let mut linker = Linker::new(&engine);
    if !wasi.is_empty() {
        wasi::add(&mut linker).map_err(|error| Failure::Trap(error.to_string()))?;
    }
    let pre = linker.instantiate_pre(&component).map_err(|error| {
        // An interface of WASI that is not answered, such as HTTP.
        Failure::Imports(vec![first_line(&format!("{error:#}"))])
    })?;
    Ok(Linked { engine, pre, worlds, wasi })
}

/// The worlds that a component fits, and what it imports of WASI.
fn interfaces(engine: &Engine, component: &Component) -> Result<(Vec<World>, Vec<String>), Failure> {
    let ty = component.component_type();
    let (mut wasi, mut refused) = (vec![], vec![]);
    for (name, import) in ty.imports(engine) {
        let functions = match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                instance.exports(engine).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
            }
            ComponentItem::Type(_) => false,
            _ => true,
        };
        match name.starts_with("wasi:") {
            true => wasi.push(name.to_owned()),
            false if functions => refused.push(format!("`{name}`")),
            false => {}
        }
    }
    if !refused.is_empty() {
        return Err(Failure::Imports(refused));
    }
    let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let has = |interface: &str| exports.iter().any(|export| export == interface);
    let worlds: Vec<World> = World::ALL.into_iter().filter(|world| has(world.interface())).collect();
    if worlds.is_empty() || !has(META) {
        let ours = PACKAGE.split_once('@').map_or(PACKAGE, |(name, _)| name);
        let other = exports.iter().find(|export| {
            export.split_once('/').is_some_and(|(package, _)| package == ours)
                && !export.ends_with(PACKAGE.rsplit('@').next().unwrap_or_default())
        });
        return Err(match other {
            Some(found) => Failure::UnknownAbi { found: found.clone() },
            None if !worlds.is_empty() => Failure::MissingExport(META.to_owned()),
            None => Failure::NoWorld { exports },
        });
    }
    Ok((worlds, wasi))
}
