//! Where plugins run: a call blocks, and needs a stack of its own size.
//!
//! On threads of their own, unless a channel's calls have all been short of late. Then one takes
//! less time than to hand it over and back, and is made where it is asked for, on a thread that
//! serves connections. There it gets little fuel: one that needs more is made once more, on a
//! thread of its own. Calls are pure, so nobody sees that.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::sync::{Semaphore, oneshot};

use super::locked;
use crate::plugin::Failure;
use crate::plugin::channel::{Deliverer, Said, TICK};

type Job = Box<dyn FnOnce() + Send>;

/// Calls that wait for a thread. Each channel has a few at most, so that it is never full while
/// there are fewer channels.
const QUEUE: usize = 1024;

/// The threads of one configuration. They end when it does, after what is queued.
#[derive(Debug)]
pub(super) struct Guests {
    queue: SyncSender<Job>,
    clock: Arc<Clock>,
}

/// The plugin of one channel, and its calls.
#[derive(Debug)]
pub(super) struct Turns {
    free: Semaphore,
    /// Short calls since the last one that was not.
    short: AtomicU32,
    plugin: Arc<Deliverer>,
    /// For short calls, where a thread that serves connections has the stack for them.
    hurried: Option<Deliverer>,
}

/// Fuel of a call that is short: about a millisecond.
const SHORT: u64 = 5_000_000;
/// So many short calls one after the other let the next one expected to be.
const TRUSTED: u32 = 100;
/// The stack of a thread that serves connections.
pub(super) const STACK: usize = 4 << 20;

impl Turns {
    pub(super) fn new(plugin: Arc<Deliverer>) -> Self {
        let hurried = (plugin.stack() <= STACK).then(|| plugin.hurried(SHORT, TICK));
        // Other channels always find a thread.
        Turns { free: Semaphore::new(share()), short: AtomicU32::new(0), plugin, hurried }
    }

    fn trusted(&self) -> Option<&Deliverer> {
        self.hurried.as_ref().filter(|_| self.short.load(Ordering::Relaxed) >= TRUSTED)
    }

    fn note<T>(&self, called: &Result<Said<T>, Failure>) {
        match called {
            Ok(Said { fuel, .. }) if *fuel <= SHORT => {
                let one_more = |short: u32| Some(short.saturating_add(1));
                let _ = self.short.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
            }
            _ => self.short.store(0, Ordering::Relaxed),
        }
    }
}

/// Why a call did not happen.
#[derive(Debug)]
pub(super) enum NotCalled {
    Busy,
    /// Its thread ended, which is a mistake of ours.
    Lost,
}

/// How many calls of one channel may run at once.
pub(super) fn share() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Guests {
    /// As many threads as keep the processors busy with half of them.
    pub(super) fn start(deliverers: Vec<Arc<Deliverer>>) -> anyhow::Result<Self> {
        let share = share();
        let stack = deliverers.iter().map(|one| one.stack()).max().unwrap_or_default();
        let (queue, jobs) = sync_channel::<Job>(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let clock = Arc::new(Clock::default());
        for number in 0..share * 2 {
            let jobs = jobs.clone();
            thread(format!("guest-{number}"), stack.max(MINIMUM), move || work(&jobs))?;
        }
        if !deliverers.is_empty() {
            let clock = clock.clone();
            thread("epoch".into(), MINIMUM, move || clock.run(&deliverers))?;
        }
        Ok(Guests { queue, clock })
    }

    /// Calls a guest. `turns`: of its channel.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        turns: &Turns,
        call: impl Fn(&Deliverer) -> Result<Said<T>, Failure> + Send + 'static,
    ) -> Result<Result<Said<T>, Failure>, NotCalled> {
        let _turn = turns.free.acquire().await.map_err(|_| NotCalled::Lost)?;
        if let Some(hurried) = turns.trusted() {
            let _running = Running::new(&*self.clock);
            match call(hurried) {
                Err(Failure::Fuel(_) | Failure::Time(_)) => {}
                called => return Ok(called),
            }
        }
        let plugin = turns.plugin.clone();
        let called = self.hand_over(move || call(&plugin)).await?;
        turns.note(&called);
        Ok(called)
    }

    async fn hand_over<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotCalled> {
        let (answer, answered) = oneshot::channel();
        let clock = self.clock.clone();
        let job = Box::new(move || {
            let _running = Running::new(clock);
            let _ = answer.send(call());
        });
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => NotCalled::Busy,
            TrySendError::Disconnected(_) => NotCalled::Lost,
        })?;
        answered.await.map_err(|_| NotCalled::Lost)
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.clock.wake(true);
    }
}

const MINIMUM: usize = 256 << 10;

fn thread(name: String, stack: usize, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let builder = std::thread::Builder::new().name(name).stack_size(stack);
    builder.spawn(work).context("starting a thread for plugins").map(drop)
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Held while it waits: whoever is next waits for the lock instead.
        let job = locked(jobs).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

/// Ticks for the backstop of plugins, while any runs.
#[derive(Debug, Default)]
struct Clock {
    running: AtomicUsize,
    /// It waits for a call: only then is it worth waking.
    waiting: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Clock {
    fn wake(&self, ends: bool) {
        *locked(&self.ended) |= ends;
        self.changed.notify_one();
    }

    fn run(&self, deliverers: &[Arc<Deliverer>]) {
        loop {
            let mut ended = locked(&self.ended);
            // Said before it looks: a call that begins after that look sees it, and wakes.
            self.waiting.store(true, Ordering::SeqCst);
            while self.running.load(Ordering::SeqCst) == 0 && !*ended {
                ended = self.changed.wait(ended).unwrap_or_else(PoisonError::into_inner);
            }
            self.waiting.store(false, Ordering::SeqCst);
            // What is still queued at the end runs, and is ticked for.
            if *ended && self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            drop(ended);
            std::thread::sleep(TICK);
            deliverers.iter().for_each(|one| one.tick());
        }
    }
}

/// Counts as running until it is dropped, however the call ends.
struct Running<C: Deref<Target = Clock>>(C);

impl<C: Deref<Target = Clock>> Running<C> {
    fn new(clock: C) -> Self {
        clock.running.fetch_add(1, Ordering::SeqCst);
        if clock.waiting.load(Ordering::SeqCst) {
            clock.wake(false);
        }
        Running(clock)
    }
}

impl<C: Deref<Target = Clock>> Drop for Running<C> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
