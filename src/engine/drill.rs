//! A fire drill: canary alerts through the running Alertmanager, followed to where they end.

mod exercise;

use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::Failure;
use super::activate::runtime;
use crate::activate::Bundle;
use crate::activate::Runtime;
use crate::activate::http::Client;
use crate::activate::kubernetes::by_operator;
use crate::diff::Side;
use crate::project::Project;
use crate::render::relay::CONTROL;
use crate::secret;
use crate::stack::canary;
use crate::stack::{Receiver, ServiceKind, Stack};
use crate::store::{Store, StorePath};

use exercise::{Exercise, Relay};

/// What is to be drilled.
#[derive(Debug)]
pub struct Drill<'a> {
    pub profile: &'a str,
    /// Empty: every one that a route leads to.
    pub receivers: &'a [String],
    /// How long a canary may take, beyond what Alertmanager waits for its group.
    pub timeout: Duration,
}

/// What came of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The service itself said that it took the message.
    Delivered,
    /// Alertmanager sent it and saw no error; that it arrived can't be proved.
    HandedOver,
    /// It got no further.
    Stopped,
}

/// How a receiver did.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub receiver: String,
    /// The integration of Alertmanager, or the plugin.
    pub via: String,
    pub canaries: usize,
    pub verdict: Verdict,
    /// The proof that there is, or where it stopped and why.
    pub text: String,
}

/// A drill that was held.
#[derive(Debug, Serialize)]
pub struct Held {
    /// The value of the canaries' label.
    pub drill: String,
    pub canaries: usize,
    pub outcomes: Vec<Outcome>,
}

impl Held {
    pub fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Stopped)
    }
}

/// Holds a drill of what runs. `say`: what is waited for.
pub fn hold(project: &Project, drill: &Drill<'_>, say: &mut dyn FnMut(&str, &str)) -> Result<Held, Failure> {
    let store = Store::open(&project.state)?;
    let profile = drill.profile;
    let path = store
        .live(profile)?
        .ok_or_else(|| anyhow!("nothing of `{profile}` runs: `monprov switch {profile}` starts it"))?;
    let side = super::side(&store, &path)?;
    let bundle = Bundle::open(path)?;
    is_possible(&bundle)?;
    let carrier = runtime(&store, &bundle)?;
    of(&store, &bundle, &side, &*carrier, drill, say)
}

/// Whether canaries of a bundle can be followed.
pub(super) fn is_possible(bundle: &Bundle) -> Result<(), Failure> {
    match by_operator(bundle) {
        true => Err(anyhow!(
            "a drill of `{}` can't be followed: the Prometheus operator gives receivers names of its own; \
             `flavor = \"plain\"` can be drilled",
            bundle.manifest.profile
        )
        .into()),
        false => Ok(()),
    }
}

/// Drills the receivers of a bundle that runs now and that are not as they were before.
pub(super) fn changed(
    store: &Store,
    before: Option<&StorePath>,
    bundle: &Bundle,
    carrier: &dyn Runtime,
    timeout: Duration,
    say: &mut dyn FnMut(&str, &str),
) -> Result<(), Vec<String>> {
    let mut hold = || -> Result<Held, Failure> {
        let new = super::side(store, &bundle.path)?;
        // What can't be read any more counts as another.
        let old = before.and_then(|path| super::side(store, path).ok());
        let receivers: Vec<String> = altered(old.as_ref().map(|old| &old.stack), &new.stack);
        if receivers.is_empty() {
            say("drill", "no receiver is new or another");
            return Ok(Held { drill: String::new(), canaries: 0, outcomes: vec![] });
        }
        let drill = Drill { profile: &bundle.manifest.profile, receivers: &receivers, timeout };
        of(store, bundle, &new, carrier, &drill, say)
    };
    let held = hold().map_err(|failure| vec![format!("the drill could not be held: {failure}")])?;
    for outcome in held.outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Stopped) {
        say("drill", &format!("{} ✓  {}: {}", outcome.receiver, outcome.via, outcome.text));
    }
    let failed = |outcome: &Outcome| format!("{} ({}): {}", outcome.receiver, outcome.via, outcome.text);
    let failed: Vec<String> = held.failed().map(failed).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// Receivers that a route leads to and that are not what they were.
fn altered(old: Option<&Stack>, new: &Stack) -> Vec<String> {
    let same_server = old.is_some_and(|old| old.alertmanager.smtp == new.alertmanager.smtp);
    let is_same = |name: &String, receiver: &Receiver| {
        let mails = receiver.integrations.iter().any(|integration| integration.kind == "email");
        old.is_some_and(|old| {
            old.receivers.get(name) == Some(receiver) && old.relayed.get(name) == new.relayed.get(name)
        }) && (same_server || !mails)
    };
    let routed = canary::routed(&new.route);
    let receivers = new.receivers.iter().filter(|(name, receiver)| !is_same(name, receiver));
    receivers.map(|(name, _)| name).filter(|name| routed.contains(name)).cloned().collect()
}

/// The same of a bundle that runs.
pub(crate) fn of(
    store: &Store,
    bundle: &Bundle,
    side: &Side,
    carrier: &dyn Runtime,
    drill: &Drill<'_>,
    say: &mut dyn FnMut(&str, &str),
) -> Result<Held, Failure> {
    let stack = &side.stack;
    for receiver in drill.receivers {
        if !stack.receivers.contains_key(receiver) {
            let near = crate::diagnostic::nearest(receiver, stack.receivers.keys().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(anyhow!("what runs of `{}` has no channel `{receiver}`{near}", drill.profile).into());
        }
    }
    let address = |kind: ServiceKind| -> anyhow::Result<Option<String>> {
        match bundle.service_of(kind) {
            Some((name, port)) => Ok(carrier.address(name, port)?),
            None => Ok(None),
        }
    };
    let alertmanager = address(ServiceKind::Alertmanager)?
        .ok_or_else(|| anyhow!("`{}` has no Alertmanager that can be reached from here", drill.profile))?;
    let relay = match (address(ServiceKind::Relay)?, bundle.service_of(ServiceKind::Relay)) {
        (Some(address), Some((name, _))) => {
            secret::handed_over(store.directory(), &bundle.manifest.profile, name, CONTROL)
                .map(|token| Relay { address, token })
        }
        _ => None,
    };
    let id = name()?;
    let canaries = canary::canaries(stack, &id, drill.receivers);
    let exercise = Exercise {
        client: Client::new().context("no requests can be made from here")?,
        alertmanager,
        relay,
        stack,
        canaries: &canaries,
        only: drill.receivers,
        id: &id,
    };
    exercise.run(drill.timeout, say)
}

/// Eight hexadecimal digits.
fn name() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random number is to be had: {error}"))?;
    Ok(crate::bundle::listing::hex(&bytes))
}
