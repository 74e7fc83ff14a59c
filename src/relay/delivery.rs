//! One group through one channel.
//!
//! ```text
//! progress ─► what is not delivered yet ─► plugin: requests ─► one after the other:
//!     budget ─► send ─► plugin: what came of it ─► marks ─► progress, answer
//! ```
//!
//! An alert is delivered when every request that covers it is. The first thing that may pass
//! later ends the attempt: whatever follows would meet the same.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use super::budget::{retry_after, seconds};
use super::config::Channel;
use super::guests::NotCalled;
use super::judged::Asked;
use super::outcomes::Verdict;
use super::progress::{Key, Mark, Marks, Told, key};
use super::send::{Reason, SendError};
use super::{locked, now};
use crate::plugin::channel::{self, Deliverer, Group, Request, Response, Said};
use crate::plugin::{Failure, clean};

/// What Alertmanager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// It is to send the group again, not before a time.
    Later(Later, String),
    /// It needs not to try again before something changes.
    Never(Never, String),
}

/// Why it may pass later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// The channel waits for its not-before time.
    Paused,
    Budget,
    /// The service answers that it should be asked again.
    Service,
    Deadline,
    Busy,
    Plugin,
    Failed(Reason),
}

/// Why it never passes as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Never {
    /// The service refuses it.
    Service,
    /// The plugin asks for what its grants don't allow.
    Grant,
    /// The plugin fails.
    Plugin,
}

impl Later {
    pub(super) fn all() -> impl Iterator<Item = Later> {
        let own = [Later::Paused, Later::Budget, Later::Service, Later::Deadline, Later::Busy, Later::Plugin];
        own.into_iter().chain(Reason::ALL.into_iter().map(Later::Failed))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Later::Paused => "paused",
            Later::Budget => "budget",
            Later::Service => "service",
            Later::Deadline => "deadline",
            Later::Busy => "busy",
            Later::Plugin => "plugin",
            Later::Failed(reason) => reason.name(),
        }
    }
}

impl Never {
    pub(super) const ALL: [Never; 3] = [Never::Service, Never::Grant, Never::Plugin];

    pub(super) fn name(self) -> &'static str {
        match self {
            Never::Service => "service",
            Never::Grant => "grant",
            Never::Plugin => "plugin",
        }
    }
}

/// Delivers what of a group is not delivered yet. `gone`: ends when nobody waits for the answer
/// any more; then an attempt that has not begun does not begin.
pub(super) async fn deliver(
    channel: &Channel,
    group: Group,
    gone: impl Future<Output = ()>,
) -> Option<Attempt> {
    let deadline = now() + channel.deadline;
    let key = key(&group.key);
    let present: Vec<Told> = group.events.iter().map(Told::of).collect();
    if let Some(until) = paused(channel) {
        return Some(Attempt::unsent(channel, &present, paused_until(until)));
    }
    let turn = tokio::select! {
        biased;
        turn = channel.lasting.groups.turn(key) => turn,
        () = gone => return None,
        () = tokio::time::sleep_until(deadline.into()) => {
            let why = "an earlier attempt takes as long as Alertmanager waits".to_owned();
            return Some(Attempt::unsent(channel, &present, (Later::Deadline, why)));
        }
    };
    if let Some(until) = paused(channel) {
        return Some(Attempt::unsent(channel, &present, paused_until(until)));
    }
    let marks = locked(&channel.lasting.progress).take(&key, &present);
    let mut work = Work { channel, deadline, marks, later: None, never: None };
    work.run(group, &present).await;
    work.note(&present);
    let outcome = work.outcome(&present);
    let attempt = Attempt { key: Some(key), marks: work.marks, outcome };
    match attempt.outcome {
        Outcome::Delivered => channel.counted.progress(locked(&channel.lasting.progress).len(), 0),
        _ => attempt.keep(channel),
    }
    drop(turn);
    Some(attempt)
}

fn paused(channel: &Channel) -> Option<Instant> {
    locked(&channel.lasting.pause).until(now())
}

fn paused_until(until: Instant) -> (Later, String) {
    let wait = until.saturating_duration_since(now());
    (Later::Paused, format!("nothing is sent for another {} s", wait.as_secs() + 1))
}

/// What came of a group.
pub(super) struct Attempt {
    pub(super) outcome: Outcome,
    key: Option<Key>,
    marks: Marks,
}

impl Attempt {
    fn unsent(channel: &Channel, present: &[Told], (later, why): (Later, String)) -> Self {
        let reason = why.as_str().into();
        let mut outcomes = locked(&channel.lasting.outcomes);
        present.iter().for_each(|told| outcomes.waits(told, &reason));
        Attempt { outcome: Outcome::Later(later, why), key: None, marks: Marks::new() }
    }

    /// Keeps the progress: Alertmanager did not learn that all is delivered.
    pub(super) fn keep(&self, channel: &Channel) {
        let Some(key) = self.key else { return };
        let mut progress = locked(&channel.lasting.progress);
        let dropped = progress.keep(key, self.marks.clone());
        channel.counted.progress(progress.len(), dropped);
    }
}

struct Work<'w> {
    channel: &'w Channel,
    deadline: Instant,
    marks: Marks,
    later: Option<(Later, String)>,
    /// The first reason of those that were rejected now.
    never: Option<(Never, String)>,
}

/// An alert on its way.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    /// Requests that cover it and are not delivered yet.
    open: usize,
    rejected: bool,
}

impl Work<'_> {
    async fn run(&mut self, group: Group, present: &[Told]) {
        // The same alert twice is told once.
        let mut seen = HashSet::new();
        let mut part = Group { events: vec![], ..group };
        let mut told = vec![];
        for (event, id) in group.events.into_iter().zip(present) {
            if !self.marks.contains_key(id) && seen.insert(*id) {
                part.events.push(event);
                told.push(*id);
            }
        }
        if told.is_empty() {
            return;
        }
        let Some(requests) = self.requests(part, &told).await else { return };
        let mut fates = vec![Fate::default(); told.len()];
        for request in &requests {
            for at in covered(request) {
                if let Some(fate) = fates.get_mut(at) {
                    fate.open += 1;
                }
            }
        }
        if fates.iter().any(|fate| fate.open == 0) {
            let why = "the plugin makes no request for some of the alerts".to_owned();
            return self.reject(Never::Plugin, why, &told);
        }
        for request in &requests {
            let passed = self.pass(request).await;
            for at in covered(request) {
                let Some(fate) = fates.get_mut(at) else { continue };
                match passed {
                    Passed::Delivered => fate.open = fate.open.saturating_sub(1),
                    Passed::Rejected => fate.rejected = true,
                    Passed::Not => {}
                }
            }
            if self.later.is_some() {
                break;
            }
        }
        let mut delivered = 0;
        for (fate, told) in fates.iter().zip(told) {
            match fate {
                Fate { rejected: true, .. } => drop(self.marks.insert(told, Mark::Rejected)),
                Fate { open: 0, .. } => {
                    self.marks.insert(told, Mark::Delivered);
                    delivered += 1;
                }
                _ => {}
            }
        }
        self.channel.counted.alerts(delivered);
    }

    /// Asks the plugin.
    async fn requests(&mut self, group: Group, told: &[Told]) -> Option<Vec<Request>> {
        let at = jiff::Timestamp::now().as_millisecond() as f64;
        let call = move |plugin: &Deliverer| plugin.deliver(&group, at);
        match self.channel.guests.call(&self.channel.turns, call).await {
            Ok(Ok(Said { value, printed, .. })) => {
                self.printed(&printed);
                Some(value)
            }
            Ok(Err(failure @ Failure::Time(_))) => {
                self.later = Some((Later::Plugin, format!("the plugin {failure}")));
                None
            }
            Ok(Err(failure)) => {
                self.reject(Never::Plugin, format!("the plugin {failure}"), told);
                None
            }
            Err(why) => {
                self.later = Some(not_called(&why));
                None
            }
        }
    }

    /// Sends a request and has it judged.
    async fn pass(&mut self, request: &Request) -> Passed {
        if now() >= self.deadline {
            let why = "Alertmanager waits no longer; the rest is sent when it comes again".to_owned();
            self.later = Some((Later::Deadline, why));
            return Passed::Not;
        }
        // Another group may have met something that holds for the whole channel.
        if let Some(until) = paused(self.channel) {
            self.later = Some(paused_until(until));
            return Passed::Not;
        }
        if let Err(again) = locked(&self.channel.lasting.budget).take(self.channel.budget, now()) {
            locked(&self.channel.lasting.pause).set(again);
            let wait = again.saturating_duration_since(now()).as_secs() + 1;
            self.later = Some((Later::Budget, format!("the budget is used up for another {wait} s")));
            return Passed::Not;
        }
        let sent = now();
        let response = self.channel.sender.send(request, self.deadline).await;
        match response {
            Ok(response) => {
                self.channel.counted.request(sent.elapsed());
                self.judge(request, response).await
            }
            Err(SendError::Refused(why)) => {
                locked(&self.channel.lasting.budget).give_back();
                self.never(Never::Grant, why)
            }
            Err(SendError::Failed { reason, text }) => {
                self.channel.counted.request(sent.elapsed());
                self.later(Later::Failed(reason), text, None)
            }
        }
    }

    async fn judge(&mut self, request: &Request, response: Response) -> Passed {
        let retry_after = retry_after(&response.headers, jiff::Timestamp::now());
        let status = response.status;
        if let Some(verdict) = self.channel.judged.get(&request.key, &response) {
            return self.judged(verdict, status, retry_after);
        }
        let asked = Asked::new(&request.key, &response);
        let key = request.key.clone();
        let call = move |plugin: &Deliverer| plugin.judge(&key, &response);
        match self.channel.guests.call(&self.channel.turns, call).await {
            Ok(Ok(Said { value, printed, .. })) => {
                self.printed(&printed);
                self.channel.judged.keep(asked, &value);
                self.judged(value, status, retry_after)
            }
            // Nobody knows whether it was delivered. Where it is sent again at once, and it was,
            // it is told again and again.
            Ok(Err(failure)) => {
                self.never(Never::Plugin, format!("the plugin {failure} (of status {status})"))
            }
            Err(why) => {
                self.later = Some(not_called(&why));
                Passed::Not
            }
        }
    }

    fn judged(&mut self, verdict: channel::Verdict, status: u16, retry_after: Option<Duration>) -> Passed {
        match verdict {
            channel::Verdict::Delivered => {
                locked(&self.channel.lasting.pause).worked();
                Passed::Delivered
            }
            channel::Verdict::Retry(after) => {
                let asked = after.and_then(seconds).or(retry_after);
                self.later(Later::Service, format!("the service asks to come again (status {status})"), asked)
            }
            channel::Verdict::Rejected(why) => {
                locked(&self.channel.lasting.pause).worked();
                self.never(Never::Service, format!("the service refuses it (status {status}): {why}"))
            }
        }
    }

    fn later(&mut self, later: Later, why: String, asked: Option<Duration>) -> Passed {
        locked(&self.channel.lasting.pause).failed(asked, now());
        self.later = Some((later, self.speakable(&why)));
        Passed::Not
    }

    fn never(&mut self, never: Never, why: String) -> Passed {
        let why = self.speakable(&why);
        self.never.get_or_insert((never, why));
        Passed::Rejected
    }

    fn reject(&mut self, never: Never, why: String, told: &[Told]) {
        self.never(never, why);
        self.marks.extend(told.iter().map(|told| (*told, Mark::Rejected)));
    }

    /// One line without secrets.
    fn speakable(&self, text: &str) -> String {
        clean(&self.channel.sender.redact(text))
    }

    fn printed(&self, printed: &str) {
        for line in printed.lines().filter(|line| !line.trim().is_empty()) {
            tracing::debug!(channel = self.channel.name, "the plugin prints: {}", self.speakable(line));
        }
    }

    /// Remembers what came of each alert.
    fn note(&self, present: &[Told]) {
        let reason = |why: Option<&String>| why.map(String::as_str).unwrap_or_default().into();
        let later = reason(self.later.as_ref().map(|(_, why)| why));
        let never = reason(self.never.as_ref().map(|(_, why)| why));
        let none = "".into();
        let mut outcomes = locked(&self.channel.lasting.outcomes);
        for told in present {
            match self.marks.get(told) {
                Some(Mark::Delivered) => outcomes.note(told, Verdict::Delivered, &none),
                // The reason of one that was rejected before is remembered already.
                Some(Mark::Rejected) if self.never.is_none() => {}
                Some(Mark::Rejected) => outcomes.note(told, Verdict::Rejected, &never),
                None => outcomes.note(told, Verdict::Retry, &later),
            }
        }
    }

    /// The answer. Once only rejected ones are left, these are tried anew when the group comes
    /// again.
    fn outcome(&mut self, present: &[Told]) -> Outcome {
        let has = |told: &Told, mark| self.marks.get(told) == Some(&mark);
        let delivered = present.iter().filter(|told| has(told, Mark::Delivered)).count();
        let rejected = present.iter().filter(|told| has(told, Mark::Rejected)).count();
        let all = present.len();
        if let Some((later, why)) = self.later.take() {
            return Outcome::Later(later, format!("{delivered} of {all} alerts are delivered; {why}"));
        }
        if rejected == 0 {
            return Outcome::Delivered;
        }
        self.marks.retain(|_, mark| *mark == Mark::Delivered);
        let (never, why) = self.never.take().unwrap_or((Never::Service, "refused before".to_owned()));
        Outcome::Never(never, format!("{rejected} of {all} alerts can't be delivered as they are: {why}"))
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
enum Passed {
    Delivered,
    Rejected,
    Not,
}

/// The events that a request covers, each once. An index beyond the group is none.
fn covered(request: &Request) -> impl Iterator<Item = usize> {
    let all: BTreeSet<u32> = request.covers.iter().copied().collect();
    all.into_iter().filter_map(|at| usize::try_from(at).ok())
}

fn not_called(why: &NotCalled) -> (Later, String) {
    match why {
        NotCalled::Busy => (Later::Busy, "too many plugins are at work".to_owned()),
        NotCalled::Lost => (Later::Plugin, "the thread of the plugin ended".to_owned()),
    }
}
