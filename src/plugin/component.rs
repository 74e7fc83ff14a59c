//! Bytes → component → compiled code → a component that can be called.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::abi::{Abi, PACKAGE, World};
use super::failure::Failure;
use super::limits::Limits;
use super::wasi::{self, State};

/// What decides about compiled code besides the component, wasmtime and the processor: to be changed
/// with every line of [`config`] and [`compile`] that changes how code is made, since wasmtime loads
/// code that was made with other settings of some kinds without a word.
const MAKE: &str = "2: fuel, epoch, canonical NaN, no relaxed SIMD; no tables for backtraces and unwinding";

/// As `Cargo.lock` has it. Wasmtime itself refuses code of another.
const WASMTIME: &str = "48.0.8";

/// Engines by the only setting that differs between plugins, their stack: making one takes
/// longer than most calls.
#[derive(Debug, Default)]
pub struct Engines(BTreeMap<u64, Engine>);

impl Engines {
    pub(super) fn of(&mut self, limits: &Limits) -> Result<Engine, Failure> {
        if let Some(engine) = self.0.get(&limits.stack) {
            return Ok(engine.clone());
        }
        let engine = engine(&config(limits))?;
        self.0.insert(limits.stack, engine.clone());
        Ok(engine)
    }
}

fn engine(config: &Config) -> Result<Engine, Failure> {
    Engine::new(config).map_err(|error| Failure::NotCompiled(error.to_string()))
}

/// An engine that keeps the memory of an instance for the next one: what is called a thousand
/// times a second spends most of its time on nothing else. `calls`: as many run at once.
pub(super) fn pooled(limits: &Limits, calls: u32) -> Result<Engine, Failure> {
    /// Of one component; one that has more is not for this engine.
    const MEMORIES: u32 = 4;
    const TABLES: u32 = 16;
    /// What is zeroed rather than given back.
    const KEPT: usize = 4 << 20;
    let instances = u32::try_from(limits.instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(instances))
        .max_core_instances_per_component(instances)
        .total_memories(calls * MEMORIES)
        .max_memories_per_component(MEMORIES)
        .max_memory_size(usize::try_from(limits.memory).unwrap_or(usize::MAX))
        .total_tables(calls * TABLES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .table_elements(usize::try_from(limits.table_entries).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(KEPT)
        // Where the kernel can tell which pages a call wrote to, only these are zeroed.
        .pagemap_scan(Enabled::Auto);
    let mut config = config(limits);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    engine(&config)
}

/// Engines of plugins: same inputs, same results, on every machine. They run code and make none: to
/// set a compiler up takes longer than to take a plugin's code in.
fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .enable_compiler(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .wasm_relaxed_simd(false)
        // Nobody reads them, and they are much of what has to be taken in.
        .native_unwind_info(false)
        .generate_address_map(false)
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(usize::try_from(limits.stack).unwrap_or(usize::MAX))
        .concurrency_support(false);
    config
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
pub fn check_size(size: u64, limits: &Limits) -> Result<(), Failure> {
    if size > limits.component {
        return Err(Failure::TooLarge { size, limit: limits.component });
    }
    Ok(())
}

/// What [`compile`] made.
#[derive(Debug, Clone)]
pub enum Code {
    Made(Arc<Vec<u8>>),
    /// A file that nobody else can write, open: it is mapped into memory, not read, since most
    /// of it is never looked at.
    Kept(Arc<OwnedFd>),
}

impl From<Vec<u8>> for Code {
    fn from(code: Vec<u8>) -> Self {
        Code::Made(Arc::new(code))
    }
}

/// Code for this machine. This takes long, can't be interrupted and can need much memory:
/// the edge does it in a process of its own.
pub fn compile(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let component = componentise(bytes)?;
    let mut config = config(&Limits::default());
    config.enable_compiler(true).cranelift_nan_canonicalization(true);
    let code = engine(&config)?.precompile_component(&component);
    code.map_err(|error| Failure::NotCompiled(first_line(&format!("{error:#}"))))
}

/// Names everything but the component that compiled code depends on.
pub fn code_version() -> String {
    let processor: String = features().into_iter().map(|(_, has)| if has { '1' } else { '0' }).collect();
    format!("{MAKE}; wasmtime {WASMTIME}; {processor}")
}

/// Whether the processor has each feature that the compiler makes use of where it finds it, as
/// `cranelift_native::infer_native_flags` looks for them.
fn features() -> Vec<(&'static str, bool)> {
    #[cfg(target_arch = "x86_64")]
    macro_rules! all {
        ($($name:tt)*) => { vec![$(($name, std::arch::is_x86_feature_detected!($name))),*] };
    }
    #[cfg(target_arch = "x86_64")]
    return all!("cmpxchg16b" "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "avxvnni"
        "avx512vnni" "bmi1" "bmi2" "avx512bitalg" "avx512dq" "avx512f" "avx512vl" "avx512vbmi" "lzcnt");
    #[cfg(target_arch = "aarch64")]
    macro_rules! all {
        ($($name:tt)*) => { vec![$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    #[cfg(target_arch = "aarch64")]
    return all!("lse" "paca" "fp16" "dotprod" "i8mm");
}

/// A component, compiled and linked.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) engine: Engine,
    pub(super) pre: InstancePre<State>,
    pub(super) limits: Limits,
    pub(super) abi: Abi,
    pub(super) worlds: Vec<World>,
    /// WASI interfaces that it imports.
    pub(super) wasi: Vec<String>,
    /// What its runtime asks for in vain, whatever is called.
    pub(super) own: u8,
    /// Where a channel's `deliver` stands.
    pub(super) deliver: Option<ComponentExportIndex>,
}

/// Takes compiled code in.
///
/// `code`: what [`compile`] returned. It is trusted; whoever can write it can do what this
/// program can.
#[expect(
    unsafe_code,
    reason = "wasmtime can't check compiled code; the edge reads only what it wrote itself"
)]
pub(super) fn link(code: &[u8], limits: &Limits, engine: Engine) -> Result<Linked, Failure> {
    // SAFETY: the caller vouches that `compile` of this program made the code.
    link_component(unsafe { Component::deserialize(&engine, code) }, limits, engine)
}

/// The same with code that may have been kept.
#[expect(unsafe_code, reason = "as above; that nobody else can write the file is the edge's to know")]
pub(super) fn link_code(code: &Code, limits: &Limits, engine: Engine) -> Result<Linked, Failure> {
    match code {
        Code::Made(code) => link(code, limits, engine),
        Code::Kept(file) => {
            // By its number, so that it is the file that was looked at.
            let file = format!("/dev/fd/{}", file.as_raw_fd());
            // SAFETY: as above, and the file is never changed, only removed or replaced.
            link_component(unsafe { Component::deserialize_file(&engine, file) }, limits, engine)
        }
    }
}

fn link_component(
    component: wasmtime::Result<Component>,
    limits: &Limits,
    engine: Engine,
) -> Result<Linked, Failure> {
    let component = component.map_err(|error| Failure::NotCompiled(first_line(&format!("{error:#}"))))?;
    let wasi = imports(&engine, &component)?;
    let (abi, worlds) = exports(&engine, &component)?;
    let mut linker = Linker::new(&engine);
    if !wasi.is_empty() {
        wasi::add(&mut linker).map_err(|error| Failure::Trap(error.to_string()))?;
    }
    let pre = linker.instantiate_pre(&component).map_err(|error| {
        // An interface of WASI that is not answered, such as HTTP.
        Failure::Imports(vec![first_line(&format!("{error:#}"))])
    })?;
    let channel = component.get_export_index(None, abi.interface(World::Channel.name()));
    let deliver = channel.and_then(|channel| component.get_export_index(Some(&channel), "deliver"));
    Ok(Linked { engine, pre, limits: *limits, abi, worlds, wasi, own: 0, deliver })
}

/// What a component imports of WASI; functions of anything else are refused.
fn imports(engine: &Engine, component: &Component) -> Result<Vec<String>, Failure> {
    let (mut wasi, mut refused) = (vec![], vec![]);
    for (name, import) in component.component_type().imports(engine) {
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
    if refused.is_empty() { Ok(wasi) } else { Err(Failure::Imports(refused)) }
}

/// The newest version of the ABI that a component has a role of, by the exact names of its
/// exports, and the worlds that it fits.
fn exports(engine: &Engine, component: &Component) -> Result<(Abi, Vec<World>), Failure> {
    let ty = component.component_type();
    let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    for abi in Abi::HOSTED {
        let has = |interface: &str| exports.contains(&abi.interface(interface));
        let worlds: Vec<World> = World::ALL.into_iter().filter(|world| has(world.name())).collect();
        match (worlds.is_empty(), has("meta")) {
            (false, true) => return Ok((abi, worlds)),
            (false, false) => return Err(Failure::MissingExport(abi.interface("meta"))),
            (true, _) => {}
        }
    }
    let version = |export: &String| {
        let (package, interface) = export.split_once('/')?;
        let (_, version) = interface.split_once('@').filter(|_| package == PACKAGE)?;
        let hosted = Abi::HOSTED.iter().any(|abi| abi.version() == version);
        (!hosted).then(|| export.clone())
    };
    Err(match exports.iter().find_map(version) {
        Some(found) => Failure::UnknownAbi { found },
        None => Failure::NoWorld { exports },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_code_have_the_release_of_wasmtime_that_is_built_in() {
        let lock: toml::Table = include_str!("../../Cargo.lock").parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        let wasmtime = packages.iter().find(|package| package["name"].as_str() == Some("wasmtime")).unwrap();
        assert_eq!(wasmtime["version"].as_str(), Some(WASMTIME));
    }

    /// The compiler writes into code which features it made use of.
    #[test]
    fn names_of_code_have_what_the_compiler_finds_in_the_processor() {
        let mut config = config(&Limits::default());
        config.enable_compiler(true);
        let component = componentise(b"(component)").unwrap();
        let code = engine(&config).unwrap().precompile_component(&component).unwrap();
        let text = String::from_utf8_lossy(&code);
        let used = text.split("has_").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest[..end].replace('_', "")
        });
        let known = features().into_iter().map(|(name, _)| match name {
            "paca" => "pauth".to_owned(),
            name => name.replace('.', ""),
        });
        let (used, known): (Vec<_>, Vec<_>) = (used.collect(), known.collect());
        assert!(!used.is_empty());
        let unknown: Vec<_> = used.iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?} of {used:?}");
    }
}
