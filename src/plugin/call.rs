//! Calling plugins: a fresh instance for every call, held to its limits, on a thread that has
//! the stack for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
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
    /// What the guest asked for in vain.
    pub(super) asked: u8,
}

impl<T> Answer<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        let Answer { value, fuel, printed, asked } = self;
        Answer { value: change(value), fuel, printed, asked }
    }
}

/// A call that failed, and what the guest had printed until then.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) printed: String,
}

/// The clock of the backstop ticks this often.
pub const TICK: Duration = Duration::from_millis(50);

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
    let (printed, asked) = (store.data().printed(linked.own), store.data().asked());
    match result {
        Ok(value) => Ok(Answer { value, fuel: fuel - store.get_fuel().unwrap_or(fuel), printed, asked }),
        Err(failure) => Err(Failed { failure, printed }),
    }
}

/// Makes an instance and nothing else.
pub(super) fn instantiate(linked: &Linked) -> Result<Answer<()>, Failed> {
    call(linked, 0, |_, _, _| Ok(()), |_, ()| Ok(()))
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

/// Works on plugins side by side while a clock ticks, on as many threads as there are
/// processors, which have the stack for it, and meanwhile on something else, `beside`. The
/// results stand in their order. `lost`: what stands for one whose thread is gone.
pub(super) fn side_by_side<P: Sync, T: Send, B>(
    all: &[P],
    host: impl Fn(&P) -> (Engine, Limits),
    work: impl Fn(&P) -> T + Sync,
    lost: impl Fn(&P, Failure) -> T,
    beside: impl FnOnce() -> B,
) -> (Vec<T>, B) {
    let mut engines: Vec<Engine> = vec![];
    let mut stack = 0;
    for (engine, limits) in all.iter().map(&host) {
        stack = stack.max(limits.thread());
        if !engines.iter().any(|known| Engine::same(known, &engine)) {
            engines.push(engine);
        }
    }
    let next = AtomicUsize::new(0);
    let work = |done: mpsc::Sender<(usize, T)>| {
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(one) = all.get(at)
        {
            let _ = done.send((at, work(one)));
        }
    };
    let work = &work;
    let mut results: Vec<Option<T>> = all.iter().map(|_| None).collect();
    let mut why = "its thread ended".to_owned();
    let beside = std::thread::scope(|scope| {
        let (done, ended) = mpsc::channel();
        let mut threads = vec![];
        for _ in 0..processors().min(all.len()) {
            let done = done.clone();
            let thread = std::thread::Builder::new().stack_size(stack);
            match thread.spawn_scoped(scope, move || work(done)) {
                Ok(thread) => threads.push(thread),
                Err(error) => why = format!("there is no thread for it: {error}"),
            }
        }
        // Dropped by each thread when it ends, however it ends.
        drop(done);
        let beside = beside();
        loop {
            match ended.recv_timeout(TICK) {
                Ok((at, result)) => {
                    if let Some(place) = results.get_mut(at) {
                        *place = Some(result);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => engines.iter().for_each(Engine::increment_epoch),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        for thread in threads {
            // Its panic has been told; what it owed is missing in the results.
            let _ = thread.join();
        }
        beside
    });
    let result = |(one, result): (&P, Option<T>)| match result {
        Some(result) => result,
        None => lost(one, Failure::Trap(why.clone())),
    };
    (all.iter().zip(results).map(result).collect(), beside)
}

/// Asked once: that reads files.
fn processors() -> usize {
    static ALL: OnceLock<usize> = OnceLock::new();
    *ALL.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
