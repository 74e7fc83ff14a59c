//! Calling plugins: a fresh instance for every call, held to its limits, on a thread that has
//! the stack for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
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
    let threads = match threads(stack) {
        Ok(threads) => threads,
        Err(why) => {
            let none = |one| lost(one, Failure::Trap(format!("there is no thread for it: {why}")));
            return (all.iter().map(none).collect(), beside());
        }
    };
    let next = AtomicUsize::new(0);
    let work = |done: mpsc::Sender<(usize, T)>| {
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(one) = all.get(at)
        {
            // A panic has been told; what it owed is missing in the results.
            let Ok(result) = catch_unwind(AssertUnwindSafe(|| work(one))) else { return };
            let _ = done.send((at, result));
        }
    };
    let work = &work;
    let mut results: Vec<Option<T>> = all.iter().map(|_| None).collect();
    let beside = threads.in_place_scope(|scope| {
        let (done, ended) = mpsc::channel();
        for _ in 0..processors().min(all.len()) {
            let done = done.clone();
            scope.spawn(move |_| work(done));
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
        beside
    });
    let result = |(one, result): (&P, Option<T>)| match result {
        Some(result) => result,
        None => lost(one, Failure::Trap("its thread ended".to_owned())),
    };
    (all.iter().zip(results).map(result).collect(), beside)
}

/// Two things at once, one of them on a thread for plugins. `None`: that there is none.
pub fn both<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (Option<A>, B) {
    let Ok(threads) = threads(0) else { return (None, other()) };
    let mut done = None;
    let other = threads.in_place_scope(|scope| {
        scope.spawn(|_| done = catch_unwind(AssertUnwindSafe(one)).ok());
        other()
    });
    (done, other)
}

/// Threads for plugins that need no larger stack than most do are made once: to start and end
/// one takes longer than most calls.
fn threads(stack: usize) -> Result<Arc<ThreadPool>, String> {
    static USUAL: OnceLock<Result<Arc<ThreadPool>, String>> = OnceLock::new();
    let make = |stack| {
        let builder = ThreadPoolBuilder::new().num_threads(processors()).stack_size(stack);
        builder.build().map(Arc::new).map_err(|error| error.to_string())
    };
    let usual = Limits::default().thread();
    match stack <= usual {
        true => USUAL.get_or_init(|| make(usual)).clone(),
        false => make(stack),
    }
}

/// Asked once: that reads files.
fn processors() -> usize {
    static ALL: OnceLock<usize> = OnceLock::new();
    *ALL.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
