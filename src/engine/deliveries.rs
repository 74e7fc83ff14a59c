//! A channel plugin outside of the relay: held against cases, shown what was recorded, measured.
//! Nothing is sent, and no secret is read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::authors::{ALERTS, Cost, begun, code, fastest, timed};
use super::{Environment, Failure, load};
use crate::plugin::channel::{Deliverer, Event, Group, Response, TICK};
use crate::plugin::schema::{self, Refused};
use crate::plugin::{self, Info, Limits, World, grants, payload, show};
use crate::profile::settings::SecretGrant;
use crate::project::Project;
use crate::stack::resolve;

/// A channel plugin with complete settings.
#[derive(Debug)]
pub struct Channel {
    deliverer: Deliverer,
    /// Endpoints by name, as the profile has them.
    urls: BTreeMap<String, String>,
    /// As the profile has them; none where there is no profile.
    grants: Option<BTreeMap<String, SecretGrant>>,
}

/// What was shown, and what the guest printed.
#[derive(Debug, Default)]
pub struct Shown {
    pub text: String,
    pub printed: String,
    /// It can't deliver all of it.
    pub failed: bool,
}

/// A response of a case, as its file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    /// The `key` of the request; by default the first one's.
    request: Option<String>,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Text as it is, anything else as JSON.
    #[serde(default)]
    body: Json,
}

/// What a file can do.
pub fn worlds(state: &Path, name: &str, file: &[u8]) -> anyhow::Result<Vec<World>> {
    Ok(super::plugins::inspect(state, name, file)?.0.worlds)
}

impl Channel {
    /// A file with settings. `Ok(Err(text))`: it does not take them, which for a case is an outcome.
    pub fn new(
        state: &Path,
        name: &str,
        file: &[u8],
        settings: Map<String, Json>,
    ) -> anyhow::Result<Result<Self, String>> {
        Self::with(state, name, file, settings, &Limits::default())
    }

    fn with(
        state: &Path,
        name: &str,
        file: &[u8],
        settings: Map<String, Json>,
        limits: &Limits,
    ) -> anyhow::Result<Result<Self, String>> {
        let why =
            |failure: plugin::Failure| anyhow::anyhow!("the plugin {failure}; {}", failure.remedy(name));
        let code = code(state, name, file, limits)?;
        let info = plugin::inspect(&code, limits).map_err(why)?;
        anyhow::ensure!(
            info.worlds.contains(&World::Channel),
            "the plugin {} delivers nothing: it has no interface `channel`",
            info.name
        );
        match complete(&info, settings)? {
            Ok(settings) => {
                let deliverer = Deliverer::new(&code, limits, settings).map_err(why)?;
                Ok(Ok(Channel { deliverer, urls: BTreeMap::new(), grants: None }))
            }
            Err(text) => Ok(Err(text)),
        }
    }

    /// The channel of a profile.
    pub fn of(
        project: &Project,
        profile: &str,
        name: &str,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let loaded = load(project, profile, environment)?;
        if crate::diagnostic::has_errors(&loaded.report.findings) {
            return Err(Failure::Refused(Box::new(loaded.report)));
        }
        let (mut stack, _) = resolve::resolve(&loaded.profile, &loaded.files);
        let Some(relayed) = stack.relayed.remove(name) else {
            let all: Vec<_> = stack.relayed.keys().map(String::as_str).collect();
            let near = crate::diagnostic::nearest(name, all.iter().copied());
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(anyhow::anyhow!("`{profile}` has no channel `{name}` of a plugin{near}").into());
        };
        let file = loaded.plugins.get(&relayed.plugin).context("the plugin's file is missing")?;
        let limits = Limits::of(&relayed.limits);
        let channel = Self::with(&project.state, &relayed.plugin, &file.bytes()?, relayed.settings, &limits)?;
        let mut channel = channel.map_err(anyhow::Error::msg)?;
        channel.urls = relayed.endpoints.into_iter().map(|(name, endpoint)| (name, endpoint.url)).collect();
        channel.grants = Some(relayed.grants);
        Ok(channel)
    }

    /// The requests that deliver a payload of Alertmanager.
    pub fn replay(&self, payload: &[u8], now_ms: f64) -> anyhow::Result<Shown> {
        let group = payload::parse(payload)?;
        let mut shown = Shown::default();
        self.on_a_thread(|| self.deliver(&group, now_ms, &mut shown).map(drop).unwrap_or_default())?;
        Ok(shown)
    }

    /// A case: what it makes of a payload, and of responses by the name of their files. The time
    /// is five minutes after the last one in the payload, so that it is always the same.
    pub fn case(&self, payload: &[u8], responses: &[(String, Vec<u8>)]) -> anyhow::Result<Shown> {
        let group = payload::parse(payload)?;
        let mut shown = Shown::default();
        let last = |event: &Event| event.ends_ms.unwrap_or(event.starts_ms);
        let now_ms = group.events.iter().map(last).fold(0.0, f64::max) + 300_000.0;
        self.on_a_thread(|| {
            let Some(first) = self.deliver(&group, now_ms, &mut shown) else { return Ok(()) };
            for (name, file) in responses {
                let answered: Answered = serde_json::from_slice(file).with_context(|| name.clone())?;
                let key = answered.request.clone().unwrap_or_else(|| first.clone());
                let judged = self.deliverer.judge(&key, &answered.response());
                let verdict = match judged {
                    Ok(said) => {
                        shown.printed.push_str(&said.printed);
                        show::verdict(&said.value)
                    }
                    Err(failure) => format!("the plugin {failure}"),
                };
                let _ = writeln!(shown.text, "response {name}: {verdict}");
            }
            anyhow::Ok(())
        })??;
        Ok(shown)
    }

    /// Shows what it would do; the key of the first request, if there is any.
    fn deliver(&self, group: &Group, now_ms: f64, shown: &mut Shown) -> Option<String> {
        let failed = |failure: plugin::Failure, shown: &mut Shown| {
            let _ = writeln!(shown.text, "the plugin {failure}");
            shown.failed = true;
            None
        };
        match self.deliverer.receiver() {
            Ok(said) => {
                shown.printed.push_str(&said.printed);
                if let Some(native) = said.value {
                    shown.text.push_str(&show::native(&native));
                    return None;
                }
            }
            Err(failure) => return failed(failure, shown),
        }
        match self.deliverer.deliver(group, now_ms) {
            Ok(said) => {
                shown.printed.push_str(&said.printed);
                let mut text = show::requests(group, &said.value, &self.urls);
                if let Some(grants) = &self.grants {
                    let missing = grants::missing(&said.value, grants);
                    text.extend(missing.iter().map(|what| format!("error: {what}\n")));
                }
                shown.failed = text.lines().any(|line| line.starts_with("error: "));
                shown.text.push_str(&text);
                Some(said.value.first().map(|request| request.key.clone()).unwrap_or_default())
            }
            Err(failure) => failed(failure, shown),
        }
    }

    /// Guests run on a stack that is as large as their limits say, while time passes for them.
    fn on_a_thread<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(self.deliverer.stack());
            let (done, ended) = mpsc::channel();
            let work = move || drop(done.send(work()));
            let running = thread.spawn_scoped(scope, work).context("there is no thread for the plugin")?;
            loop {
                match ended.recv_timeout(TICK) {
                    Ok(result) => return Ok(result),
                    Err(mpsc::RecvTimeoutError::Timeout) => self.deliverer.tick(),
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
            // Its panic has been told.
            let _ = running.join();
            anyhow::bail!("the plugin's thread ended")
        })
    }
}

impl Answered {
    fn response(&self) -> Response {
        let body = match &self.body {
            Json::Null => vec![],
            Json::String(text) => text.clone().into_bytes(),
            json => json.to_string().into_bytes(),
        };
        let headers = self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        Response { status: self.status, headers: headers.collect(), body, cut: false }
    }
}

/// Settings with defaults; what is wrong with them, as a case shows it.
fn complete(info: &Info, settings: Map<String, Json>) -> anyhow::Result<Result<String, String>> {
    match schema::complete(&info.settings_schema, settings) {
        Ok(settings) => Ok(Ok(settings.to_string())),
        Err(Refused::Schema(why)) => anyhow::bail!("the plugin's schema can't be used: {why}"),
        Err(Refused::Settings(wrong)) => {
            let line =
                |wrong: &schema::Wrong| format!("error: settings{}: {}\n", wrong.pointer, wrong.message);
            Ok(Err(wrong.iter().map(line).collect()))
        }
    }
}

/// Measures a channel plugin at the first alert of a payload many times over.
pub fn cost(name: &str, file: &[u8], settings: Map<String, Json>, payload: &[u8]) -> anyhow::Result<Cost> {
    let group = payload::parse(payload)?;
    let why = |failure: plugin::Failure| anyhow::anyhow!("the plugin {failure}; {}", failure.remedy(name));
    // A folder of its own, so that nothing is there yet.
    let fresh = tempfile::tempdir()?;
    let limits = Limits::default();
    let (compile, made) = timed(|| code(fresh.path(), name, file, &limits));
    made?;
    let begun = begun(&code(fresh.path(), name, file, &limits)?, &limits).map_err(why)?;
    let channel = Channel::new(fresh.path(), name, file, settings)?.map_err(anyhow::Error::msg)?;
    let mut calls = vec![];
    for alerts in ALERTS {
        let group = repeated(&group, alerts);
        let call = || channel.deliverer.deliver(&group, 0.0);
        let (took, said) = channel.on_a_thread(|| fastest(call))?;
        calls.push((alerts, took, said.map_err(why)?.fuel));
    }
    Ok(Cost { compile, begun, calls })
}

/// A group whose first event stands there many times, by other fingerprints.
fn repeated(group: &Group, times: usize) -> Group {
    let first = group.events.first();
    let event = |n: usize| first.map(|event| Event { fingerprint: format!("{n:016x}"), ..event.clone() });
    Group { events: (0..times).filter_map(event).collect(), ..group.clone() }
}
