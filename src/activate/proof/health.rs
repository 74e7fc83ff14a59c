//! Every service is well, as the runtime sees it, and stays so.

use std::time::{Duration, SystemTime};

use super::{Check, Look, Verdict};
use crate::activate::{Running, State, Step};
use crate::stack::ServiceKind;

/// A service that was started must last this long: some die a few seconds later.
const LASTS: Duration = Duration::from_secs(4);

/// One fall is forgiven: what a service waits for may come up after it.
const FALLS: u64 = 2;

/// A service that was started gets well within this: health checks start late and are patient.
const PATIENCE: Duration = Duration::from_secs(120);

/// One check a service.
pub(super) fn check(look: &Look<'_>, checks: &mut Vec<Check>) {
    for name in look.bundle.manifest.services.keys() {
        let step = look.plan.0.get(name).copied().unwrap_or(Step::Keep);
        let check = match look.observed.0.get(name) {
            None if step == Step::Keep => Check::wrong(name, "does not run"),
            None => Check::waiting(name, "does not run yet", PATIENCE),
            Some(running) => one(look, name, running, step),
        };
        checks.push(check);
    }
    for name in look.observed.0.keys().filter(|name| !look.bundle.manifest.services.contains_key(*name)) {
        checks.push(Check::waiting(name, "runs, and no bundle knows it", PATIENCE));
    }
}

fn one(look: &Look<'_>, name: &str, running: &Running, step: Step) -> Check {
    let wanted = look.bundle.manifest.services.get(name).map(|s| s.definition.as_str());
    if running.definition.as_deref() != wanted && !matches!(running.state, State::Absent(_)) {
        return Check::waiting(
            name,
            "runs with another definition than the bundle's",
            Duration::from_secs(10),
        );
    }
    let started = matches!(step, Step::Create | Step::Restart);
    let before = look.before.observed.0.get(name);
    // An outage must not keep anybody from switching: what was ill stays ill.
    let falls = |b: &Running| step == Step::Keep && has_fallen(look.now, b);
    let ill_before =
        before.is_some_and(|b| b.definition == running.definition && (!b.state.is_well() || falls(b)));
    let ill = |what: String| match (started, ill_before) {
        (_, true) => Check::note(name, &format!("{what}, as before")),
        (true, false) => Check::waiting(name, &what, PATIENCE),
        (false, false) => Check::wrong(name, &what),
    };
    if started && running.restarts >= FALLS && !ill_before {
        return Check::wrong(name, &format!("ended {} times since it was started", running.restarts));
    }
    match &running.state {
        State::Absent(why) => Check::unproved(name, &format!("does not run here: {why}")),
        State::Failed(why) if ill_before => {
            let verdict = match look.kind(name) {
                // Of an exporter nothing else is proved either.
                Some(ServiceKind::Exporter) | None => Verdict::Note,
                Some(_) => Verdict::Dead,
            };
            Check::new(name, verdict, &format!("failed, as before: {why}"))
        }
        State::Failed(why) => Check::wrong(name, &format!("failed: {why}")),
        State::Unhealthy(why) if started && !ill_before => {
            Check::wrong(name, &format!("is unhealthy: {why}"))
        }
        State::Unhealthy(why) => ill(format!("is unhealthy: {why}")),
        State::Starting => Check::waiting(name, "is starting", PATIENCE),
        State::Running | State::Healthy if started && !has_lasted(look.now, running) => {
            Check::waiting(name, "has just been started", PATIENCE)
        }
        State::Running => Check::proved(name, "runs (it has no health check)"),
        State::Healthy => Check::proved(name, "is healthy"),
    }
}

/// Lately, so that standing now says little: an outage makes a service fall again and again.
fn has_fallen(now: SystemTime, running: &Running) -> bool {
    let since = running.since.and_then(|since| now.duration_since(since).ok());
    running.restarts > 0 && since.is_none_or(|lasted| lasted < PATIENCE)
}

fn has_lasted(now: SystemTime, running: &Running) -> bool {
    let since = running.since.and_then(|since| now.duration_since(since).ok());
    running.since.is_none() || since.is_some_and(|lasted| lasted >= LASTS)
}
