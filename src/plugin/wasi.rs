//! WASI for components that import it: no file, no network, no environment, no argument, a
//! clock that stands still and the same random numbers each time. What a guest prints is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::limits::Guard;

/// What a store holds.
pub(super) struct State {
    pub(super) guard: Guard,
    context: WasiCtx,
    table: ResourceTable,
    printed: MemoryOutputPipe,
    /// It asked for the time.
    clock: Arc<AtomicBool>,
}

/// Chance is not noted: runtimes seed their tables with it before anything else.
const TIME: &str = "it asked for the time, and got 1970-01-01 as every plugin does: take times from the settings, and let PromQL's time() and hour() look at the clock";

/// More than this of what a guest prints is nobody's reading.
const PRINTED: usize = 64 << 10;

impl State {
    pub(super) fn new(guard: Guard) -> Self {
        let printed = MemoryOutputPipe::new(PRINTED);
        let numbers = || Deterministic::new(vec![0x6d, 0x6f, 0x6e, 0x70, 0x72, 0x6f, 0x76]);
        let clock = Arc::new(AtomicBool::new(false));
        let context = WasiCtxBuilder::new()
            .stdout(printed.clone())
            .stderr(printed.clone())
            .secure_random(numbers())
            .insecure_random(numbers())
            .insecure_random_seed(0)
            .max_random_size(1 << 20)
            .wall_clock(Still(Arc::clone(&clock)))
            .monotonic_clock(Still(Arc::clone(&clock)))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        State { guard, context, table: ResourceTable::new(), printed, clock }
    }

    /// What the guest printed so far, and what to do instead where it asked for the time.
    pub(super) fn printed(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.printed.contents()).into_owned();
        if self.clock.load(Ordering::Relaxed) {
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            text.push_str(&format!("{end}{TIME}\n"));
        }
        text
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

/// The epoch, always.
struct Still(Arc<AtomicBool>);

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        self.0.store(true, Ordering::Relaxed);
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        0
    }
}

/// A guest wanted to wait: neither fuel nor the epoch runs while the host sleeps for it.
#[derive(Debug, thiserror::Error)]
#[error("a plugin may not wait")]
pub(super) struct Waited;

/// Adds WASI to a linker.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    for wait in ["poll", "[method]pollable.block"] {
        poll.func_new(wait, |_, _, _, _| Err(Waited.into()))?;
    }
    Ok(())
}
