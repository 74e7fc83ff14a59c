//! What a plugin may use, and the guard that holds it to that.

use wasmtime::ResourceLimiter;

use crate::profile::settings::PluginLimits;

/// Everything that is bounded, none of it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub fuel: u64,
    pub fuel_per_item: u64,
    pub memory: u64,
    pub table_entries: u64,
    pub instances: u64,
    pub stack: u64,
    pub output: u64,
    pub component: u64,
    pub milliseconds: u64,
}

impl Default for Limits {
    /// Enough for a guest in JavaScript or Python at 10,000 alerts.
    fn default() -> Self {
        Limits {
            fuel: 5_000_000_000,
            fuel_per_item: 1_000_000,
            memory: 64 << 20,
            table_entries: 100_000,
            instances: 64,
            stack: 1 << 20,
            output: 16 << 20,
            component: 32 << 20,
            milliseconds: 60_000,
        }
    }
}

/// No profile may ask for a call stack that a thread can't have.
const LARGEST_STACK: u64 = 256 << 20;

impl Limits {
    pub fn of(settings: &PluginLimits) -> Self {
        let known = Limits::default();
        Limits {
            fuel: settings.fuel.unwrap_or(known.fuel),
            fuel_per_item: settings.fuel_per_item.unwrap_or(known.fuel_per_item),
            memory: settings.memory.map_or(known.memory, |bytes| bytes.0),
            table_entries: settings.table_entries.unwrap_or(known.table_entries),
            instances: settings.instances.unwrap_or(known.instances),
            stack: settings.stack.map_or(known.stack, |bytes| bytes.0).clamp(64 << 10, LARGEST_STACK),
            output: settings.output.map_or(known.output, |bytes| bytes.0),
            component: settings.component.map_or(known.component, |bytes| bytes.0),
            milliseconds: settings.time.map_or(known.milliseconds, |time| time.0),
        }
    }

    /// The stack of a thread that calls the plugin: what the host itself needs is on top.
    pub(super) fn thread(&self) -> usize {
        const OWN: u64 = 1 << 20;
        usize::try_from(self.stack + OWN).unwrap_or(usize::MAX)
    }

    /// The fuel of a call about so many alerts.
    pub(super) fn fuel_for(&self, items: usize) -> u64 {
        self.fuel.saturating_add(self.fuel_per_item.saturating_mul(items as u64))
    }
}

/// What was asked for and not given. A guest may live on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    Memory,
    Tables,
}

/// Refuses what goes beyond the limits, over all memories and tables of a call.
#[derive(Debug)]
pub(super) struct Guard {
    limits: Limits,
    memory: u64,
    entries: u64,
    pub(super) denied: Option<Denied>,
}

impl Guard {
    pub(super) fn new(limits: Limits) -> Self {
        Guard { limits, memory: 0, entries: 0, denied: None }
    }

    /// Adds to what is used; false where that is too much.
    fn take(used: &mut u64, limit: u64, current: usize, desired: usize) -> bool {
        let wanted = used.saturating_add(desired.saturating_sub(current) as u64);
        let fits = wanted <= limit;
        if fits {
            *used = wanted;
        }
        fits
    }
}

impl ResourceLimiter for Guard {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = Self::take(&mut self.memory, self.limits.memory, current, desired);
        if !fits {
            self.denied = Some(Denied::Memory);
        }
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = Self::take(&mut self.entries, self.limits.table_entries, current, desired);
        if !fits {
            self.denied = Some(Denied::Tables);
        }
        Ok(fits)
    }

    // The store counts these and refuses one more; `Failure::of` asks for the words.
    fn instances(&self) -> usize {
        usize::try_from(self.limits.instances).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        self.instances()
    }

    fn memories(&self) -> usize {
        self.instances()
    }
}
