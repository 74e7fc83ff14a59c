//! Calling a plugin: a fresh instance for every call, held to its limits.

use std::sync::mpsc;
use std::time::Duration;

use wasmtime::component::Instance;
use wasmtime::{Engine, Store};

use super::component::Linked;
use super::failure::Failure;
use super::limits::{Guard, Limits};
use super::wasi::State;

/// What a call gave, and what it took.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) fuel: u64,
    pub(super) printed: String,
}

/// A call that failed, and what the guest had printed until then.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) printed: String,
}

/// The clock of the backstop ticks this often over a call's time.
const TICKS: u64 = 20;

/// Makes one call in an instance of its own. `items`: how many things the call is about, for
/// its fuel.
///
/// `bind` looks an interface up; `call` calls it.
pub(super) fn call<B, T>(
    linked: &Linked,
    limits: &Limits,
    items: usize,
    bind: impl FnOnce(&mut Store<State>, &Instance) -> Result<B, Failure>,
    call: impl FnOnce(&mut Store<State>, B) -> wasmtime::Result<T>,
) -> Result<Answer<T>, Failed> {
    let fuel = limits.fuel_for(items);
    let mut store = Store::new(&linked.engine, State::new(Guard::new(*limits)));
    store.limiter(|state| &mut state.guard);
    store.set_hostcall_fuel(usize::try_from(limits.output).unwrap_or(usize::MAX));
    store.set_epoch_deadline(TICKS);
    let result = store
        .set_fuel(fuel)
        .and_then(|()| linked.pre.instantiate(&mut store))
        .map_err(|error| Failure::of(&error, store.data().guard.denied, fuel, limits))
        .and_then(|instance| bind(&mut store, &instance))
        .and_then(|bound| {
            call(&mut store, bound)
                .map_err(|error| Failure::of(&error, store.data().guard.denied, fuel, limits))
        });
    let printed = store.data().printed();
    match result {
        Ok(value) => Ok(Answer { value, fuel: fuel - store.get_fuel().unwrap_or(fuel), printed }),
        Err(failure) => Err(Failed { failure, printed }),
    }
}

/// Runs something on a thread that has the stack that a plugin may use, while a clock ticks.
pub(super) fn on_a_stack<T: Send>(
    engine: &Engine,
    limits: &Limits,
    work: impl FnOnce() -> T + Send,
) -> Option<T> {
    /// What the host itself needs on top.
    const OWN: u64 = 1 << 20;
    let size = usize::try_from(limits.stack + OWN).unwrap_or(usize::MAX);
    let tick = Duration::from_millis((limits.milliseconds / TICKS).max(1));
    std::thread::scope(|scope| {
        let (done, ended) = mpsc::channel::<()>();
        let worker = std::thread::Builder::new().stack_size(size).spawn_scoped(scope, move || {
            // Dropped when the work ends, however it ends.
            let _done = done;
            work()
        });
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(tick) {
            engine.increment_epoch();
        }
        worker.ok()?.join().ok()
    })
}
