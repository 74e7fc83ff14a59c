//! WASI for components that import it: no file, no network, no environment, no argument, a
//! clock that stands still and the same random numbers each time. What a guest prints is kept.

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
}

/// More than this of what a guest prints is nobody's reading.
const PRINTED: usize = 64 << 10;

impl State {
    pub(super) fn new(guard: Guard) -> Self {
        let printed = MemoryOutputPipe::new(PRINTED);
        let numbers = || Deterministic::new(vec![0x6d, 0x6f, 0x6e, 0x70, 0x72, 0x6f, 0x76]);
        let context = WasiCtxBuilder::new()
            .stdout(printed.clone())
            .stderr(printed.clone())
            .secure_random(numbers())
            .insecure_random(numbers())
            .insecure_random_seed(0)
            .max_random_size(1 << 20)
            .wall_clock(Still)
            .monotonic_clock(Still)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        State { guard, context, table: ResourceTable::new(), printed }
    }

    /// What the guest printed so far.
    pub(super) fn printed(&self) -> String {
        String::from_utf8_lossy(&self.printed.contents()).into_owned()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

/// The epoch, always.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
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
