//! A host that runs what a signed channel points to, and needs no project for it: it asks a
//! cache, pulls the bundle, and activates it with the full proof. Whatever fails, what runs
//! goes on.
//!
//! What is refused for good is a finding ([`decide`]); what may go better next time is tried
//! again ([`pace`]). A bundle that failed by itself is left alone until the pointer moves.

mod decide;
pub mod metrics;
mod pace;
mod state;

use std::cell::RefCell;
use std::time::Duration;

use super::activate::{Change, activate};
use super::{Failure, Options, Report, distribute};
use crate::activate::Bundle;
use crate::activate::process::Client;
use crate::activate::sequence::{Activation, Say};
use crate::cache::{Cache, CacheError, Here, Pointer, Sealed, Seen};
use crate::diagnostic::{Code, Finding};
use crate::project::Project;
use crate::stack::Runtime;
use crate::store::{Attempt, Busy, Generation, NO_RUNTIME, Outcome as Came, ProfileLock, Store, StorePath};
use crate::trust::Trust;

use decide::{Decision, Known, decide};
pub use pace::Pace;
pub use state::Outcome;
use state::State;

pub static CODES: &[&Code] = &[&decide::M830, &decide::M831, &decide::M832];

/// Who follows what.
#[expect(missing_debug_implementations, reason = "it holds what secrets come from")]
pub struct Follower<'a> {
    pub project: &'a Project,
    pub profile: &'a str,
    pub cache: Cache,
    /// The pointer that came last, for a server that says that it is still the same.
    pub last: RefCell<Option<Sealed>>,
    pub options: &'a Options,
    /// No service is waited for longer than this.
    pub deadline: Duration,
}

/// What a round did.
#[derive(Debug)]
pub struct Round {
    pub profile: String,
    /// What the channel points to; `None` where nobody could tell.
    pub pointer: Option<Pointer>,
    /// The highest that was ever seen.
    pub serial: Option<u64>,
    pub done: Done,
    /// What became of the activation, where there was one.
    pub activation: Option<Activation>,
}

#[derive(Debug)]
pub enum Done {
    /// The bundle is what runs now.
    Taken,
    /// It was before.
    Kept,
    /// It is current, for the supervisor of its programs, which does not run now.
    Recorded,
    /// It failed, now or earlier; what ran before runs.
    Failed,
    /// Nothing was done, and what runs goes on.
    Not(Failure),
}

impl Done {
    pub fn is_well(&self) -> bool {
        matches!(self, Done::Taken | Done::Kept | Done::Recorded)
    }

    /// For programs.
    pub fn name(&self) -> &'static str {
        match self {
            Done::Taken => "activated",
            Done::Kept => "unchanged",
            Done::Recorded => "recorded",
            Done::Failed => "failed",
            Done::Not(Failure::Refused(_)) => "refused",
            Done::Not(Failure::Failed(_)) => "error",
        }
    }
}

impl Round {
    /// The bundle that the channel points to, for people.
    pub fn bundle(&self) -> &str {
        self.pointer.as_ref().map_or("nothing", |pointer| pointer.bundle.as_str())
    }

    /// Whether the same may go well the next time, so that it is worth a wait.
    pub fn may_get_better(&self) -> bool {
        match &self.done {
            Done::Not(Failure::Failed(_)) => true,
            Done::Not(Failure::Refused(report)) => report.only_secrets(),
            Done::Failed => self.activation.is_some(),
            _ => false,
        }
    }
}

impl Follower<'_> {
    /// Brings up what is current, as after a boot. `None` where nothing is, or where its
    /// supervisor does that.
    pub fn keep(&self, say: &mut Say<'_>) -> Result<Option<Activation>, Failure> {
        let store = Store::open(&self.project.state)?;
        let mut lock = self.lock(&store, say)?;
        let Some(current) = store.current(self.profile)? else { return Ok(None) };
        let bundle = store.path_of(&current.bundle);
        if self.unsupervised(&Bundle::open(bundle.clone())?)? {
            return Ok(None);
        }
        activate(self.project, &mut lock, &self.change(&bundle, None, None), self.options, say).map(Some)
    }

    /// Asks the channel once and does what it says. `keep`: where that is what runs already, it
    /// is proved again.
    pub fn round(&self, keep: bool, say: &mut Say<'_>) -> Round {
        let mut round = Round {
            profile: self.profile.to_owned(),
            pointer: None,
            serial: None,
            done: Done::Kept,
            activation: None,
        };
        if let Err(failure) = self.ask(&mut round, keep, say) {
            round.done = Done::Not(failure);
        }
        round
    }

    fn ask(&self, round: &mut Round, keep: bool, say: &mut Say<'_>) -> Result<(), Failure> {
        let store = Store::open(&self.project.state)?;
        let seen = State::read(store.directory(), self.profile)?;
        round.serial = seen.as_ref().map(|seen| seen.serial);
        // Read anew each time: a key may have been revoked.
        let trust = distribute::trust(Some(self.project), Some(self.profile))?;
        let pointer = self.pointer(&trust)?;
        // Whatever is pulled is kept until a generation has it.
        let _hold = store.hold()?;
        let (decision, seen) = self.see(&store, &pointer, say)?;
        round.serial = Some(seen.serial);
        round.pointer = Some(pointer.clone());
        let back = match decision {
            Decision::Done(outcome) => {
                round.activation = if keep { self.keep(say)? } else { None };
                round.done = round.activation.as_ref().map_or(Done::Kept, |came| done(came, Done::Kept));
                if outcome == Outcome::Rejected && round.done.is_well() {
                    // What ran before runs, and that is not what the channel says.
                    (round.done, round.activation) = (Done::Failed, None);
                }
                return Ok(());
            }
            Decision::Take { back } => back,
        };
        say("channel", &format!("serial {} is {}", pointer.serial, pointer.bundle));
        let pulled = self.cache.pull(&store, &pointer.bundle, &trust, Here::IsEnough)?;
        if let Some(bytes) = pulled.bytes {
            say("pulled", &format!("{bytes} B"));
        }
        self.take(round, &store, &pulled.path, &pointer, back, say)?;
        self.remember(&store, round, seen, say)
    }

    /// What the channel says today.
    fn pointer(&self, trust: &Trust) -> Result<Pointer, Failure> {
        let mut last = self.last.borrow_mut();
        let known = last.as_ref().and_then(|last| last.tag().map(str::to_owned));
        match self.cache.pointer(self.profile, known.as_deref())? {
            Seen::Sealed(sealed) => *last = Some(sealed),
            Seen::Unchanged => {}
            Seen::Nothing => *last = None,
        }
        let missing = || {
            let (cache, profile) = (self.cache.shown().to_owned(), self.profile.to_owned());
            CacheError::NoChannel { cache, profile }
        };
        let sealed = last.as_ref().ok_or_else(missing)?;
        Ok(self.cache.opened(sealed, self.profile, trust)?)
    }

    /// What is to be done about a pointer, which is remembered from now on. With the lock, so
    /// that of two that follow none forgets what the other has seen.
    fn see(&self, store: &Store, pointer: &Pointer, say: &mut Say<'_>) -> Result<(Decision, State), Failure> {
        let _lock = self.lock(store, say)?;
        let seen = State::read(store.directory(), self.profile)?;
        let current = store.current(self.profile)?.map(|current| current.bundle);
        let ran = |one: &Generation| one.outcome == Came::Activated && one.bundle == pointer.bundle;
        let ran = store.generations(self.profile)?.iter().any(ran);
        let known = Known { seen: seen.as_ref(), current: current.as_ref(), ran };
        let decision = decide(pointer, known).map_err(|finding| refused(*finding))?;
        match seen {
            Some(seen) if seen.serial == pointer.serial => Ok((decision, seen)),
            _ => {
                let seen = State::new(pointer);
                seen.write(store.directory(), self.profile)?;
                Ok((decision, seen))
            }
        }
    }

    fn take(
        &self,
        round: &mut Round,
        store: &Store,
        bundle: &StorePath,
        pointer: &Pointer,
        back: bool,
        say: &mut Say<'_>,
    ) -> Result<(), Failure> {
        let mut lock = self.lock(store, say)?;
        if State::read(store.directory(), self.profile)?.is_some_and(|now| now.serial > pointer.serial) {
            // Another run was faster, with a newer pointer.
            return Ok(());
        }
        if store.rejected(self.profile, bundle.name())?.is_some() {
            round.done = Done::Failed;
            return Ok(());
        }
        let target = || store.rollback_target(self.profile, Some(bundle.name().as_str()));
        let rollback = if back { Some(target()?.1) } else { None };
        let why = pointer.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        let message = format!("channel, serial {}{why}", pointer.serial);
        if self.unsupervised(&Bundle::open(bundle.clone())?)? {
            lock.settle()?;
            lock.require_activatable(bundle, false)?;
            distribute::require_trusted(self.project, store, bundle)?;
            if lock.already(bundle.name())?.is_none() {
                let message = Some(message.as_str());
                lock.record(Attempt { bundle, runtime: NO_RUNTIME, message, rollback })?;
            }
            round.done = Done::Recorded;
            return Ok(());
        }
        let change = self.change(bundle, rollback, Some(&message));
        let activation = activate(self.project, &mut lock, &change, self.options, say)?;
        round.done = done(&activation, Done::Taken);
        round.activation = Some(activation);
        Ok(())
    }

    /// What became of a pointer, unless it is to be tried again, or a newer one was seen.
    fn remember(&self, store: &Store, round: &Round, seen: State, say: &mut Say<'_>) -> Result<(), Failure> {
        let outcome = match store.rejected(self.profile, &seen.bundle)? {
            _ if round.done.is_well() => Outcome::Activated,
            Some(_) => Outcome::Rejected,
            None => return Ok(()),
        };
        let _lock = self.lock(store, say)?;
        if State::read(store.directory(), self.profile)?.is_some_and(|now| now.serial == seen.serial) {
            seen.became(outcome).write(store.directory(), self.profile)?;
        }
        Ok(())
    }

    fn change<'c>(
        &self,
        bundle: &'c StorePath,
        rollback: Option<crate::store::Rollback>,
        message: Option<&'c str>,
    ) -> Change<'c> {
        Change { bundle, rollback, message, force: false, stay: false, drill: None, deadline: self.deadline }
    }

    fn lock(&self, store: &Store, say: &mut Say<'_>) -> Result<ProfileLock, Failure> {
        let mut wait = || say("waits", &format!("another run is changing `{}`", self.profile));
        Ok(store.lock_profile(self.profile, Busy::Wait(&mut wait))?)
    }

    /// Whether the programs of a bundle have nobody who would start them.
    fn unsupervised(&self, bundle: &Bundle) -> Result<bool, Failure> {
        if bundle.manifest.runtime != Runtime::Process.name() {
            return Ok(false);
        }
        Ok(Client::new(&self.project.state, self.profile).status().map_err(anyhow::Error::from)?.is_none())
    }
}

fn done(activation: &Activation, taken: Done) -> Done {
    match activation {
        Activation::Activated { .. } => taken,
        Activation::Unchanged { .. } => Done::Kept,
        _ => Done::Failed,
    }
}

fn refused(finding: Finding) -> Failure {
    Failure::Refused(Box::new(Report { findings: vec![finding], ..Report::default() }))
}
