//! Channel plugins: which requests deliver a group of alerts, and what came of each.
//!
//! A plugin gives requests in pieces; nothing here joins them, so no secret comes near.

use std::time::Duration;

use super::abi::{self, channel};
use super::call::{Answer, Failed};
use super::component::{Code, Engines, Linked, link_code, pooled};
use super::failure::Failure;
use super::limits::Limits;
use super::{World, clean};

pub use super::call::TICK;

pub use channel::{Atom, Encode, Escape, Event, Group, Mac, Native, Piece, Request, Response, Slot, Verdict};

/// A channel plugin with the settings of one channel.
///
/// The caller gives each call a thread whose stack is as large as [`Deliverer::stack`] says.
pub struct Deliverer {
    linked: Linked,
    /// Complete, as the plugin gets them.
    settings: String,
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliverer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a call gave, and what the guest printed meanwhile.
#[derive(Debug)]
pub struct Said<T> {
    pub value: T,
    pub fuel: u64,
    pub printed: String,
}

impl Deliverer {
    /// For many calls, of which so many run at once.
    pub fn busy(code: &Code, limits: &Limits, settings: String, calls: u32) -> Result<Self, Failure> {
        // A component that asks for more than is kept ready gets it anew for each call.
        match pooled(limits, calls).and_then(|engine| link_code(code, limits, engine)) {
            Ok(linked) => Self::of(linked, settings),
            Err(_) => Self::new(code, limits, settings),
        }
    }

    /// `settings`: complete.
    pub fn new(code: &Code, limits: &Limits, settings: String) -> Result<Self, Failure> {
        Self::of(link_code(code, limits, Engines::default().of(limits)?)?, settings)
    }

    fn of(linked: Linked, settings: String) -> Result<Self, Failure> {
        match linked.worlds.contains(&World::Channel) {
            true => Ok(Deliverer { linked, settings }),
            false => Err(Failure::MissingExport(linked.abi.interface(World::Channel.name()))),
        }
    }

    /// The same with no more than so much fuel and time. What gives an answer gives the same one.
    pub fn hurried(&self, fuel: u64, time: Duration) -> Self {
        let mut linked = self.linked.clone();
        let limits = &mut linked.limits;
        (limits.fuel, limits.fuel_per_item) = (limits.fuel.min(fuel), 0);
        limits.milliseconds = limits.milliseconds.min(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Deliverer { linked, settings: self.settings.clone() }
    }

    /// How large a thread's stack must be.
    pub fn stack(&self) -> usize {
        self.linked.limits.thread()
    }

    /// Lets time pass for the calls that run: the caller does so every [`TICK`].
    pub fn tick(&self) {
        self.linked.engine.increment_epoch();
    }

    /// The native receiver of Alertmanager that does it; `None`: through the relay.
    pub fn receiver(&self) -> Result<Said<Option<Native>>, Failure> {
        answer(abi::receiver(&self.linked, &self.settings))
    }

    /// The requests that deliver a group.
    pub fn deliver(&self, group: &Group, now_ms: f64) -> Result<Said<Vec<Request>>, Failure> {
        answer(abi::deliver(&self.linked, abi::Delivery { settings: &self.settings, group, now_ms }))
    }

    /// What came of a request, by its `key`.
    pub fn judge(&self, key: &String, response: &Response) -> Result<Said<Verdict>, Failure> {
        match abi::judge(&self.linked, &self.settings, key, response) {
            Ok(Answer { value, fuel, printed, .. }) => Ok(Said { value, fuel, printed }),
            Err(Failed { failure, .. }) => Err(failure),
        }
    }
}

fn answer<T>(returned: abi::ReturnedOne<T>) -> Result<Said<T>, Failure> {
    use super::types::Failure as Refusal;
    match returned {
        Ok(Answer { value: Ok(value), fuel, printed, .. }) => Ok(Said { value, fuel, printed }),
        Ok(Answer { value: Err(Refusal::Unsupported(what)), .. }) => Err(Failure::Unsupported(clean(&what))),
        Ok(Answer { value: Err(Refusal::Other(what)), .. }) => Err(Failure::Said(clean(&what))),
        Ok(Answer { value: Err(Refusal::Settings(problems)), .. }) => {
            let problem = |p: &super::types::Problem| format!("{}: {}", clean(&p.pointer), clean(&p.message));
            let all: Vec<String> = problems.iter().map(problem).collect();
            Err(Failure::Said(format!("refuses its settings: {}", all.join("; "))))
        }
        Err(Failed { failure, .. }) => Err(failure),
    }
}
