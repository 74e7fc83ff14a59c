//! What a person watches. A terminal that stands still never holds up the supervisor: lines of
//! programs that find no room are dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::Serialize;

/// As many bytes of log lines wait for a slow reader.
const ROOM: usize = 8 << 20;

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// What is to run from now on, in the order of the bundle.
    Services {
        services: Vec<String>,
    },
    Log {
        service: String,
        stream: Stream,
        line: String,
    },
    /// Lines of programs that were dropped, since nobody read them fast enough.
    Dropped {
        lines: usize,
    },
    /// It is started once those are well.
    Waits {
        service: String,
        on: Vec<String>,
    },
    /// It is started although those are not well.
    WaitsNoLonger {
        service: String,
        on: Vec<String>,
    },
    Started {
        service: String,
        pid: u32,
    },
    Healthy {
        service: String,
        ms: u128,
    },
    Unhealthy {
        service: String,
        why: String,
    },
    /// It ended by itself or could not be started.
    Failed {
        service: String,
        why: String,
        /// What to do about it.
        help: Option<String>,
        last_lines: Vec<String>,
        again_in_ms: u128,
    },
    /// Its program is not there; the rest runs without it.
    Missing {
        service: String,
        program: String,
    },
    Stopping {
        services: usize,
    },
    Stopped {
        service: String,
        /// It did not end by itself within the grace.
        killed: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Where the supervisor says what happens.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

/// Where somebody reads it, blocking; ends with the supervisor.
#[derive(Debug)]
pub struct Watched {
    receiver: mpsc::Receiver<Event>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

pub fn channel() -> (Events, Watched) {
    let (sender, receiver) = mpsc::channel();
    let (waiting, dropped) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let events = Events { sender, waiting: waiting.clone(), dropped: dropped.clone() };
    (events, Watched { receiver, waiting, dropped })
}

impl Events {
    pub(super) fn send(&self, event: Event) {
        // Nobody watches any more: that is their right.
        let _ = self.sender.send(event);
    }

    pub(super) fn log(&self, service: &str, stream: Stream, line: &str) {
        if self.waiting.load(Ordering::Relaxed) + line.len() > ROOM {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        self.send(Event::Log { service: service.to_owned(), stream, line: line.to_owned() });
    }
}

impl Watched {
    /// Waits for the next event; `None` after the last.
    pub fn next(&self) -> Option<Event> {
        let lines = self.dropped.swap(0, Ordering::Relaxed);
        if lines > 0 {
            return Some(Event::Dropped { lines });
        }
        let event = self.receiver.recv().ok()?;
        if let Event::Log { line, .. } = &event {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_room_are_dropped_and_counted_and_nothing_else_is() {
        let (events, watched) = channel();
        let line = "x".repeat(ROOM / 2);
        for _ in 0..5 {
            events.log("noisy", Stream::Stdout, &line);
        }
        events.send(Event::Started { service: "calm".into(), pid: 1 });
        drop(events);
        let seen: Vec<Event> = std::iter::from_fn(|| watched.next()).collect();
        assert!(matches!(
            seen.as_slice(),
            [Event::Dropped { lines: 3 }, Event::Log { .. }, Event::Log { .. }, Event::Started { .. }]
        ));
    }
}
