//! WASI for components that import it: no file, no network, no environment, no argument, a
//! clock that stands still and the same random numbers each time. What a guest prints is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable, Val};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::limits::Guard;

/// What a store holds.
pub(super) struct State {
    pub(super) guard: Guard,
    asked: Arc<Asked>,
    /// Made when a guest first asks: most never do.
    wasi: Option<Wasi>,
}

struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    printed: MemoryOutputPipe,
}

/// What no plugin gets. Chance is not among it: runtimes seed their tables with it before
/// anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    Time = 1,
    Files = 2,
    Environment = 4,
    Network = 8,
}

impl Denied {
    const ALL: [Denied; 4] = [Denied::Time, Denied::Files, Denied::Environment, Denied::Network];

    /// What to do instead.
    fn note(self) -> &'static str {
        match self {
            Denied::Time => {
                "it asked for the time, and got 1970-01-01 as every plugin does: take times from the settings, and let PromQL's time() and hour() look at the clock"
            }
            Denied::Files => {
                "it looked for files, and there are none: what it needs is an argument, or built into it"
            }
            Denied::Environment => {
                "it read the environment, which is empty: take such values from the settings, where ${var.NAME} can stand"
            }
            Denied::Network => {
                "it asked for the network, and was refused: what was measured comes as observations, all else from the settings"
            }
        }
    }
}

/// What a guest asked for in vain.
#[derive(Debug, Default)]
struct Asked(AtomicU8);

impl Asked {
    fn note(&self, what: Denied) {
        self.0.fetch_or(what as u8, Ordering::Relaxed);
    }
}

/// The clock among what was asked for.
pub(super) const TIME: u8 = Denied::Time as u8;

/// More than this of what a guest prints is nobody's reading.
const PRINTED: usize = 64 << 10;

impl Wasi {
    fn new(asked: &Arc<Asked>) -> Self {
        let printed = MemoryOutputPipe::new(PRINTED);
        let numbers = || Deterministic::new(vec![0x6d, 0x6f, 0x6e, 0x70, 0x72, 0x6f, 0x76]);
        let context = WasiCtxBuilder::new()
            .stdout(printed.clone())
            .stderr(printed.clone())
            .secure_random(numbers())
            .insecure_random(numbers())
            .insecure_random_seed(0)
            .max_random_size(1 << 20)
            .wall_clock(Still(Arc::clone(asked)))
            .monotonic_clock(Still(Arc::clone(asked)))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Wasi { context, table: ResourceTable::new(), printed }
    }
}

impl State {
    pub(super) fn new(guard: Guard) -> Self {
        State { guard, asked: Arc::default(), wasi: None }
    }

    /// What was asked for in vain, to be handed to [`State::printed`] of later calls.
    pub(super) fn asked(&self) -> u8 {
        self.asked.0.load(Ordering::Relaxed)
    }

    /// What the guest printed so far, and what to do instead of what it asked for. `own`: what
    /// its runtime asks for whatever is called, which is no word of the author's.
    pub(super) fn printed(&self, own: u8) -> String {
        let printed = self.wasi.as_ref().map(|wasi| wasi.printed.contents()).unwrap_or_default();
        let mut text = String::from_utf8_lossy(&printed).into_owned();
        let asked = self.asked() & !own;
        for denied in Denied::ALL.into_iter().filter(|denied| asked & *denied as u8 != 0) {
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            text.push_str(&format!("{end}{}\n", denied.note()));
        }
        text
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { context, table, .. } = self.wasi.get_or_insert_with(|| Wasi::new(&self.asked));
        WasiCtxView { ctx: context, table }
    }
}

/// The epoch, always.
struct Still(Arc<Asked>);

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        self.0.note(Denied::Time);
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.note(Denied::Time);
        0
    }
}

/// A guest wanted to wait: neither fuel nor the epoch runs while the host sleeps for it.
#[derive(Debug, thiserror::Error)]
#[error("a plugin may not wait")]
pub(super) struct Waited;

/// The functions through which a guest asks for what it does not get.
const ASKS: [(&str, &str, Denied); 5] = [
    ("wasi:cli/environment@0.2.12", "get-environment", Denied::Environment),
    ("wasi:filesystem/preopens@0.2.12", "get-directories", Denied::Files),
    ("wasi:sockets/tcp-create-socket@0.2.12", "create-tcp-socket", Denied::Network),
    ("wasi:sockets/udp-create-socket@0.2.12", "create-udp-socket", Denied::Network),
    ("wasi:sockets/ip-name-lookup@0.2.12", "resolve-addresses", Denied::Network),
];

/// Adds WASI to a linker.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    for wait in ["poll", "[method]pollable.block"] {
        poll.func_new(wait, |_, _, _, _| Err(Waited.into()))?;
    }
    for (interface, function, denied) in ASKS {
        linker.instance(interface)?.func_new(function, move |store, _, _, results| {
            store.data().asked.note(denied);
            results.fill(match denied {
                Denied::Network => Val::Result(Err(Some(Box::new(Val::Enum("access-denied".to_owned()))))),
                _ => Val::List(vec![]),
            });
            Ok(())
        })?;
    }
    Ok(())
}
