//! The proof that a bundle runs: what the services themselves say, never what was told to them.
//! One file a tool; each looks at a [`Look`] and adds its [`Check`]s.
//!
//! A reload that answers 200 proves nothing. So the time of the last successful reload must
//! have moved, and the configuration that the daemon prints must be the bundle's.

mod alertmanager;
mod grafana;
mod health;
mod metrics;
mod model;
mod prometheus;
mod relay;
mod rules;
mod targets;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::http::Client;
use super::{Bundle, Observed, Plan, Runtime, RuntimeError, Step};
use crate::stack::ServiceKind;
use metrics::Reload;

/// A daemon that was only told to reload shows the new configuration within this.
const SETTLES: Duration = Duration::from_secs(3);

/// One that was started needs longer.
const STARTS: Duration = Duration::from_secs(60);

/// What one look at one thing gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub service: String,
    pub verdict: Verdict,
    pub text: String,
    /// It says nothing about the bundle: the network, say.
    #[serde(skip)]
    blameless: bool,
    /// The service's last words may say more.
    #[serde(skip)]
    logs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Proved,
    /// Nobody can say.
    Unproved,
    /// Worth knowing, and no reason to fail.
    Note,
    /// As dead as before, so no reason to go back; but what it would run is not proved.
    Dead,
    /// May still become right; wrong after that long.
    Waiting(Duration),
    /// May still become right, and is worth a note if it does not.
    Hoping(Duration),
    Wrong,
}

impl Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Verdict::Proved => "proved",
            Verdict::Unproved => "unproved",
            Verdict::Note | Verdict::Hoping(_) => "note",
            Verdict::Dead => "dead",
            Verdict::Wrong | Verdict::Waiting(_) => "wrong",
        })
    }
}

impl Check {
    fn new(service: &str, verdict: Verdict, text: &str) -> Check {
        Check { service: service.into(), verdict, text: text.into(), blameless: false, logs: false }
    }

    fn proved(service: &str, text: &str) -> Check {
        Check::new(service, Verdict::Proved, text)
    }

    fn unproved(service: &str, text: &str) -> Check {
        Check::new(service, Verdict::Unproved, text)
    }

    fn note(service: &str, text: &str) -> Check {
        Check::new(service, Verdict::Note, text)
    }

    fn wrong(service: &str, text: &str) -> Check {
        Check { logs: true, ..Check::new(service, Verdict::Wrong, text) }
    }

    fn waiting(service: &str, text: &str, patience: Duration) -> Check {
        Check::new(service, Verdict::Waiting(patience), text)
    }

    fn hoping(service: &str, text: &str, patience: Duration) -> Check {
        Check::new(service, Verdict::Hoping(patience), text)
    }

    fn unreachable(service: &str, why: &str) -> Check {
        let text = format!("can't be asked what it runs: {why}");
        Check { blameless: true, ..Check::waiting(service, &text, STARTS) }
    }
}

/// What ran before a switch, as the services said it.
#[derive(Debug, Clone, Default)]
pub struct Before {
    pub observed: Observed,
    pub seen: Seen,
    /// While something is being restored: how it was when it was last proved. A daemon that has
    /// taken over nothing since then runs what is to be restored.
    pub proved: Option<Box<Seen>>,
}

/// What the tools that monprov knows say of themselves; `None` where they don't run.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    prometheus: Option<Result<prometheus::Seen, String>>,
    alertmanager: Option<Result<alertmanager::Seen, String>>,
    grafana: Option<Result<grafana::Seen, String>>,
    relay: Option<Result<relay::Seen, String>>,
}

/// Everything that a check may look at.
struct Look<'a> {
    bundle: &'a Bundle,
    plan: &'a Plan,
    /// Services that were told to reload.
    reloaded: &'a BTreeSet<String>,
    before: &'a Before,
    observed: Observed,
    seen: Seen,
    /// The first look after the switch.
    first: Option<&'a Seen>,
    now: SystemTime,
    /// Nothing was switched: somebody asks how things are.
    at_rest: bool,
}

impl Look<'_> {
    fn started(&self, service: &str) -> bool {
        matches!(self.plan.0.get(service), Some(Step::Create | Step::Restart))
    }

    fn kind(&self, service: &str) -> Option<ServiceKind> {
        Some(self.bundle.manifest.services.get(service)?.kind)
    }

    fn patience(&self, service: &str) -> Duration {
        if self.started(service) { STARTS } else { SETTLES }
    }

    /// A service that was told to reload did so since, or still runs what is to be restored.
    fn took_over(&self, service: &str, reload: impl Fn(&Seen) -> Option<Reload>) -> bool {
        let (Some(now), true) = (reload(&self.seen), self.reloaded.contains(service)) else { return true };
        let Some(before) = reload(&self.before.seen) else { return true };
        let proved = self.before.proved.as_deref().and_then(reload);
        now.is_later_than(&before) || proved.is_some_and(|proved| proved.at == now.at && now.at.is_some())
    }
}

/// What was proved, and what else is worth saying.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Report {
    pub checks: Vec<Check>,
}

/// The proof failed.
#[derive(Debug)]
pub struct Disproof {
    /// What is wrong, by service.
    pub wrong: Vec<String>,
    /// The bundle is to blame, and not its surroundings.
    pub blames_bundle: bool,
}

impl Report {
    pub fn having(&self, verdict: Verdict) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.verdict == verdict)
    }

    /// What is not as the bundle says.
    pub fn wrong(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| matches!(c.verdict, Verdict::Wrong | Verdict::Waiting(_)))
    }
}

/// Asks a runtime and its services, again and again where that may help.
#[derive(Debug)]
pub struct Prover<'a, R: Runtime + ?Sized> {
    pub runtime: &'a R,
    pub client: &'a Client,
    /// The state directory.
    pub state: &'a Path,
    /// Nothing is waited for longer than this.
    pub deadline: Duration,
}

impl<R: Runtime + ?Sized> Prover<'_, R> {
    /// What runs now, as the services of these bundles say it.
    pub fn before(&self, bundle: Option<&Bundle>) -> Result<Before, RuntimeError> {
        let observed = self.runtime.observe()?;
        let seen = bundle.map(|b| self.see(b)).transpose()?.unwrap_or_default();
        Ok(Before { observed, seen, proved: None })
    }

    /// Proves that the bundle runs after a switch, or says what does not.
    #[expect(clippy::disallowed_methods, reason = "waits for services")]
    pub fn prove(
        &self,
        bundle: &Bundle,
        plan: &Plan,
        reloaded: &BTreeSet<String>,
        before: &Before,
        say: &mut dyn FnMut(&str),
    ) -> Result<Report, Disproof> {
        let start = Instant::now();
        let mut first: Option<Seen> = None;
        let mut said = Instant::now();
        loop {
            let mut look = self
                .look(bundle, plan, reloaded, before)
                .map_err(|e| Disproof { blames_bundle: e.blames_bundle(), wrong: vec![e.to_string()] })?;
            look.first = first.as_ref();
            let checks = checks(&look);
            let elapsed = start.elapsed();
            let is_wrong = |check: &&Check| match check.verdict {
                Verdict::Wrong => true,
                Verdict::Waiting(patience) => elapsed > patience.min(self.deadline),
                _ => false,
            };
            let wrong: Vec<&Check> = checks.iter().filter(is_wrong).collect();
            if !wrong.is_empty() {
                return Err(self.disproof(&wrong));
            }
            let waits = |check: &&Check| match check.verdict {
                Verdict::Waiting(_) => true,
                Verdict::Hoping(patience) => elapsed <= patience.min(self.deadline),
                _ => false,
            };
            let Some(waiting) = checks.iter().find(waits) else { return Ok(Report { checks }) };
            if said.elapsed() > Duration::from_secs(5) {
                say(&format!("{} {}", waiting.service, waiting.text));
                said = Instant::now();
            }
            if first.is_none() {
                first = Some(look.seen.clone());
            }
            std::thread::sleep(if elapsed < SETTLES {
                Duration::from_millis(50)
            } else {
                Duration::from_millis(300)
            });
        }
    }

    /// The daemons that ran another configuration than the bundle's before anything was done.
    #[expect(clippy::disallowed_methods, reason = "a look needs a time")]
    pub fn drifted(&self, bundle: &Bundle, before: &Before) -> BTreeSet<String> {
        let (plan, nothing, none) = (undisturbed(bundle), BTreeSet::new(), Before::default());
        let look = Look {
            bundle,
            plan: &plan,
            reloaded: &nothing,
            before: &none,
            observed: before.observed.clone(),
            seen: before.seen.clone(),
            first: None,
            now: SystemTime::now(),
            at_rest: true,
        };
        let mut checks = vec![];
        prometheus::check(&look, &mut checks);
        alertmanager::check(&look, &mut checks);
        relay::check(&look, &mut checks);
        Report { checks }.wrong().map(|check| check.service.clone()).collect()
    }

    /// How things are with a bundle that should be running undisturbed.
    pub fn report(&self, bundle: &Bundle) -> Result<(Observed, Report), RuntimeError> {
        let (plan, nothing, before) = (undisturbed(bundle), BTreeSet::new(), Before::default());
        let mut look = self.look(bundle, &plan, &nothing, &before)?;
        look.at_rest = true;
        let checks = checks(&look);
        Ok((look.observed, Report { checks }))
    }

    #[expect(clippy::disallowed_methods, reason = "how long a service runs")]
    fn look<'a>(
        &self,
        bundle: &'a Bundle,
        plan: &'a Plan,
        reloaded: &'a BTreeSet<String>,
        before: &'a Before,
    ) -> Result<Look<'a>, RuntimeError> {
        let observed = self.runtime.observe()?;
        let seen = self.see(bundle)?;
        let now = SystemTime::now();
        Ok(Look { bundle, plan, reloaded, before, observed, seen, first: None, now, at_rest: false })
    }

    fn see(&self, bundle: &Bundle) -> Result<Seen, RuntimeError> {
        let client = self.client;
        let grafana = |address: &str| {
            let service = bundle.service_of(ServiceKind::Grafana).map(|(name, _)| name).unwrap_or_default();
            grafana::Seen::read(client, address, bundle, self.state, service)
        };
        let relay = |address: &str| {
            let service = bundle.service_of(ServiceKind::Relay).map(|(name, _)| name).unwrap_or_default();
            relay::Seen::read(client, address, bundle, self.state, service)
        };
        Ok(Seen {
            prometheus: self.ask(bundle, ServiceKind::Prometheus, |a| prometheus::Seen::read(client, a))?,
            alertmanager: self
                .ask(bundle, ServiceKind::Alertmanager, |a| alertmanager::Seen::read(client, a))?,
            grafana: self.ask(bundle, ServiceKind::Grafana, grafana)?,
            relay: self.ask(bundle, ServiceKind::Relay, relay)?,
        })
    }

    /// Asks the service of a kind, where the stack has one and it can be reached.
    fn ask<T>(
        &self,
        bundle: &Bundle,
        kind: ServiceKind,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Result<T, String>>, RuntimeError> {
        let Some((name, port)) = bundle.service_of(kind) else { return Ok(None) };
        let address = self.runtime.address(name, port)?;
        let address = address.ok_or_else(|| format!("its port {port} can't be reached from here"));
        Ok(Some(address.and_then(|address| read(&address))))
    }

    /// What is wrong, with the last words of the services that it is about.
    fn disproof(&self, wrong: &[&Check]) -> Disproof {
        let told = |check: &&Check| {
            let logs = if check.logs { self.runtime.logs(&check.service, 5) } else { String::new() };
            let logs = if logs.is_empty() { String::new() } else { format!("; it said:\n{logs}") };
            format!("{} {}{logs}", check.service, check.text)
        };
        Disproof {
            wrong: wrong.iter().map(told).collect(),
            blames_bundle: wrong.iter().any(|check| !check.blameless),
        }
    }
}

fn undisturbed(bundle: &Bundle) -> Plan {
    Plan(bundle.manifest.services.keys().map(|name| (name.clone(), Step::Keep)).collect())
}

fn checks(look: &Look<'_>) -> Vec<Check> {
    let mut checks = vec![];
    health::check(look, &mut checks);
    checks.iter_mut().for_each(|check| check.logs = true);
    let absent: BTreeSet<&str> = look
        .observed
        .0
        .iter()
        .filter(|(_, running)| !running.state.is_up())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut asked = vec![];
    prometheus::check(look, &mut asked);
    alertmanager::check(look, &mut asked);
    grafana::check(look, &mut asked);
    relay::check(look, &mut asked);
    targets::check(look, &mut asked);
    for name in look.reloaded {
        if look.kind(name) == Some(ServiceKind::Exporter) {
            asked.push(Check::unproved(name, "what it took over with its reload"));
        }
    }
    // Health has said it all about a service that does not run.
    asked.retain(|check: &Check| !absent.contains(check.service.as_str()));
    checks.extend(asked);
    checks
}
