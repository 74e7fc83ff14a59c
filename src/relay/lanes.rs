//! The threads that serve connections. Each has a runtime of its own, and whatever belongs to a
//! connection stays on its thread: nothing that a notification needs is woken from elsewhere.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::guests;

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// Which lane this thread is; 0 elsewhere.
pub(super) fn lane() -> usize {
    LANE.get()
}

/// How many lanes there are.
pub(super) fn count() -> usize {
    guests::share()
}

/// All of them. When this is gone they take nothing more, and end what they have.
#[derive(Debug)]
pub(super) struct Lanes<T>(Vec<Lane<T>>);

#[derive(Debug)]
struct Lane<T> {
    send: UnboundedSender<Held<T>>,
    held: Arc<AtomicUsize>,
}

/// Counts while it lasts.
#[derive(Debug)]
struct Held<T> {
    thing: T,
    count: Count,
}

#[derive(Debug)]
struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T: Send + 'static> Lanes<T> {
    /// `serve`: what is done with each thing, on the lane that has the fewest.
    pub(super) fn start<S, F>(serve: S) -> anyhow::Result<Self>
    where
        S: Fn(T) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let start = |number| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (send, receive) = unbounded_channel();
            let serve = serve.clone();
            // Short calls of plugins are made here, see `guests`.
            let thread = std::thread::Builder::new().name(format!("lane-{number}")).stack_size(guests::STACK);
            thread
                .spawn(move || {
                    LANE.set(number);
                    runtime.block_on(run(receive, serve));
                })
                .context("starting a thread for connections")?;
            Ok(Lane { send, held: Arc::default() })
        };
        (0..count()).map(start).collect::<anyhow::Result<_>>().map(Lanes)
    }

    pub(super) fn hand_over(&self, thing: T) {
        let Some(lane) = self.0.iter().min_by_key(|lane| lane.held.load(Ordering::Relaxed)) else { return };
        lane.held.fetch_add(1, Ordering::Relaxed);
        // A lane ends with the program only.
        let _ = lane.send.send(Held { thing, count: Count(lane.held.clone()) });
    }
}

async fn run<T, S, F>(mut receive: UnboundedReceiver<Held<T>>, serve: S)
where
    T: Send + 'static,
    S: Fn(T) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(Held { thing, count }) = receive.recv().await {
        let served = serve(thing);
        tokio::spawn(async move {
            served.await;
            drop(count);
        });
    }
    drop(serve);
    // What was taken is served until the program ends.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};

    use super::*;

    #[test]
    fn each_gets_as_many_as_the_others_and_one_that_ended_makes_room() {
        let (told, mut tells) = mpsc::unbounded_channel();
        let (go, gone) = watch::channel(());
        let lanes = Lanes::start(move |lasts: bool| {
            let (told, mut gone) = (told.clone(), gone.clone());
            async move {
                told.send(lane()).unwrap();
                if lasts {
                    gone.changed().await.unwrap();
                }
            }
        })
        .unwrap();
        let mut served = vec![0; count()];
        for _ in 0..2 * count() {
            lanes.hand_over(true);
            served[tells.blocking_recv().unwrap()] += 1;
        }
        assert_eq!(served, vec![2; count()]);
        go.send(()).unwrap();
        while lanes.0.iter().any(|lane| lane.held.load(Ordering::Relaxed) > 0) {
            std::thread::yield_now();
        }
    }
}
