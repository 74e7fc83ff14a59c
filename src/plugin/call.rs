//! Calling plugins: a fresh instance for every call, held to its limits, on a thread that has
//! the stack for it.

use std::sync::mpsc;
use std::time::Duration;

use wasmtime::component::Instance;
use wasmtime::{Engine, Store};

use super::component::Linked;
use super::failure::Failure;
use super::limits::Guard;
use super::wasi::State;

/// What a call gave, and what it took.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) fuel: u64,
    pub(super) printed: String,
}

impl<T> Answer<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        let Answer { value, fuel, printed } = self;
        Answer { value: change(value), fuel, printed }
    }
}

/// A call that failed, and what the guest had printed until then.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) printed: String,
}

/// The clock of the backstop ticks this often.
const TICK: Duration = Duration::from_millis(50);

/// Makes one call in an instance of its own. `items`: how many things the call is about, for
/// its fuel.
///
/// `bind` looks an interface up, see [`lookup`]; `call` calls it.
pub(super) fn call<B, T>(
    linked: &Linked,
    items: usize,
    bind: impl FnOnce(&Linked, &mut Store<State>, &Instance) -> Result<B, Failure>,
    call: impl FnOnce(&mut Store<State>, B) -> wasmtime::Result<T>,
) -> Result<Answer<T>, Failed> {
    let limits = &linked.limits;
    let fuel = limits.fuel_for(items);
    let mut store = Store::new(&linked.engine, State::new(Guard::new(*limits)));
    store.limiter(|state| &mut state.guard);
    store.set_hostcall_fuel(usize::try_from(limits.output).unwrap_or(usize::MAX));
    // The first tick may come at once.
    store.set_epoch_deadline(1 + limits.milliseconds.div_ceil(TICK.as_millis() as u64));
    let result = store
        .set_fuel(fuel)
        .and_then(|()| linked.pre.instantiate(&mut store))
        .map_err(|error| Failure::of(&error, store.data().guard.denied, fuel, limits))
        .and_then(|instance| bind(linked, &mut store, &instance))
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

/// Looks an interface of a version's bindings up in an instance.
macro_rules! lookup {
    ($interface:ident) => {
        |linked, store, instance| {
            let indices = $interface::GuestIndices::new(&linked.pre)
                .map_err($crate::plugin::failure::Failure::missing)?;
            indices.load(store, instance).map_err($crate::plugin::failure::Failure::wrong_type)
        }
    };
}
pub(super) use lookup;

/// Calls plugins side by side while a clock ticks. The answers stand in their order.
pub(super) fn side_by_side<P: Sync, T: Send>(
    all: &[&P],
    linked: impl Fn(&P) -> &Linked,
    work: impl Fn(&P) -> Result<Answer<T>, Failed> + Sync,
) -> Vec<Result<Answer<T>, Failed>> {
    let mut engines: Vec<&Engine> = vec![];
    for engine in all.iter().map(|one| &linked(one).engine) {
        if !engines.iter().any(|known| Engine::same(known, engine)) {
            engines.push(engine);
        }
    }
    let work = &work;
    std::thread::scope(|scope| {
        let (running, ended) = mpsc::channel::<()>();
        let start = |one| {
            let running = running.clone();
            std::thread::Builder::new().stack_size(linked(one).limits.thread()).spawn_scoped(
                scope,
                move || {
                    // Dropped when the work ends, however it ends.
                    let _running = running;
                    work(one)
                },
            )
        };
        let threads: Vec<_> = all.iter().map(|one| start(*one)).collect();
        drop(running);
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
            engines.iter().for_each(|engine| engine.increment_epoch());
        }
        let lost = |why: String| Err(Failed { failure: Failure::Trap(why), printed: String::new() });
        let answers = threads.into_iter().map(|thread| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_| lost("its thread ended".into())),
            Err(error) => lost(format!("there is no thread for it: {error}")),
        });
        answers.collect()
    })
}
