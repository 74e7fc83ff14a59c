//! `relay.json`, the plugins beside it and the secret files → what the relay runs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::Semaphore;

use super::Options;
use super::budget::{Budget, Pause};
use super::groups::Groups;
use super::guests::{Guests, Turns, share};
use super::judged::Judged;
use super::metrics::{Counted, Metrics};
use super::outcomes::Outcomes;
use super::progress::Progress;
use super::send::{Sender, Values};
use super::tokens::Tokens;
use crate::bundle::manifest::sha256;
use crate::compiled::{Shelf, Wanted};
use crate::plugin::channel::Deliverer;
use crate::plugin::{Limits, component};
use crate::profile::settings;
use crate::project::Binary;
use crate::render::relay::{self, CONTROL, VERSION};
use crate::secret::Secret;

/// One configuration. What is under way when another takes its place finishes with it.
#[derive(Debug)]
pub(super) struct Config {
    /// The digest of `relay.json`.
    pub(super) sha256: String,
    pub(super) channels: BTreeMap<String, Arc<Channel>>,
    pub(super) control: Arc<Tokens>,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) sender: Sender,
    pub(super) budget: Option<settings::Budget>,
    /// How long Alertmanager waits for an answer.
    pub(super) deadline: Duration,
    pub(super) guests: Arc<Guests>,
    /// The plugin; a call of it takes a turn.
    pub(super) turns: Turns,
    pub(super) judged: Judged,
    pub(super) counted: Counted,
    pub(super) lasting: Arc<Lasting>,
}

/// What a channel keeps when the configuration changes.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) tokens: Tokens,
    pub(super) groups: Groups,
    pub(super) progress: Mutex<Progress>,
    pub(super) budget: Mutex<Budget>,
    pub(super) pause: Mutex<Pause>,
    pub(super) outcomes: Mutex<Outcomes>,
    /// How many notifications may be under way.
    pub(super) room: Arc<Semaphore>,
}

/// Alertmanager sends as many groups at once as there are; the rest of them come again.
pub(super) const MOST: usize = 1024;

/// A file of what the relay runs.
type Files = BTreeMap<PathBuf, Binary>;

/// Reads all files of one generation. `before`: what ran until now.
pub(super) fn load(options: &Options, before: Option<&Config>, metrics: &Metrics) -> anyhow::Result<Config> {
    // The link to the generation may move meanwhile.
    let link = options.config.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let folder = std::fs::canonicalize(link).with_context(|| link.display().to_string())?;
    let name = options.config.file_name().context("--config names no file")?;
    let file = folder.join(name);
    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let relay = parse(&bytes).with_context(|| file.display().to_string())?;
    let deliverers = deliverers(options, &folder, &relay)?;
    let guests = Arc::new(Guests::start(deliverers.values().cloned().collect())?);
    let control = options.secrets.join(CONTROL);
    let control = match before.map(|config| &config.control) {
        Some(tokens) => {
            tokens.reread(&control, super::now())?;
            tokens.clone()
        }
        None => Arc::new(Tokens::read(&control)?),
    };
    let mut channels = BTreeMap::new();
    for (name, deliverer) in deliverers {
        let Some(wanted) = relay.channels.get(&name) else { continue };
        let counted = metrics.channel(&name);
        let channel = channel(options, &name, wanted, (deliverer, counted), &guests, before)
            .with_context(|| format!("the channel `{name}`"))?;
        channels.insert(name, Arc::new(channel));
    }
    Ok(Config { sha256: sha256(&bytes), channels, control })
}

fn parse(bytes: &[u8]) -> anyhow::Result<relay::Relay> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    // The version first: the rest of another version may be anything.
    let Version { version } = serde_json::from_slice(bytes).context("it is no relay.json")?;
    ensure!(
        version == VERSION,
        "it has version {version} and this release reads {VERSION}: take the release that built the bundle"
    );
    serde_json::from_slice(bytes).context("it is no relay.json")
}

/// Plugins are held against their digests, compiled, and linked.
fn deliverers(
    options: &Options,
    folder: &Path,
    relay: &relay::Relay,
) -> anyhow::Result<BTreeMap<String, Arc<Deliverer>>> {
    let mut files = Files::new();
    for (name, channel) in &relay.channels {
        let path = folder.join(&channel.plugin);
        // Channels may share a plugin, and each has a digest and a limit of its own.
        let file = match files.entry(path) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let path = new.key().clone();
                new.insert(Binary::open(&path).map_err(|why| anyhow::anyhow!("{} {why}", path.display()))?)
            }
        };
        ensure!(
            file.sha256 == channel.sha256,
            "{} is not the file that the bundle was built with: `monprov verify` says more",
            folder.join(&channel.plugin).display()
        );
        component::check_size(file.size, &Limits::of(&channel.limits))
            .map_err(|failure| anyhow::anyhow!("the plugin of the channel `{name}` {failure}"))?;
    }
    let wanted = |(name, channel): (&String, &relay::Channel)| {
        files.get(&folder.join(&channel.plugin)).map(|file| (name.clone(), file))
    };
    let named: Vec<(String, &Binary)> = relay.channels.iter().filter_map(wanted).collect();
    let wanted: Vec<Wanted<'_>> = named.iter().map(|(name, file)| Wanted { name, file }).collect();
    let code = Shelf::open(&options.data)?.code(&wanted)?;
    let mut made = BTreeMap::new();
    for ((name, channel), code) in relay.channels.iter().zip(code) {
        let deliverer = code
            .and_then(|code| {
                let calls = u32::try_from(share()).unwrap_or(u32::MAX);
                Deliverer::busy(&code, &Limits::of(&channel.limits), channel.settings.to_string(), calls)
            })
            .map_err(|failure| anyhow::anyhow!("the plugin of the channel `{name}` {failure}"))?;
        made.insert(name.clone(), Arc::new(deliverer));
    }
    Ok(made)
}

fn channel(
    options: &Options,
    name: &str,
    wanted: &relay::Channel,
    (deliverer, counted): (Arc<Deliverer>, Counted),
    guests: &Arc<Guests>,
    before: Option<&Config>,
) -> anyhow::Result<Channel> {
    let mut values = BTreeMap::new();
    for (granted, grant) in &wanted.grants {
        values.insert(granted.clone(), secret(&options.secrets.join(&grant.file))?);
    }
    let sender = Sender::new(wanted, Values::new(values)).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
    let token = options.secrets.join(&wanted.token);
    let lasting = match before.and_then(|config| config.channels.get(name)) {
        Some(channel) => {
            channel.lasting.tokens.reread(&token, super::now())?;
            channel.lasting.clone()
        }
        None => Arc::new(Lasting {
            tokens: Tokens::read(&token)?,
            groups: Groups::default(),
            progress: Mutex::default(),
            budget: Mutex::default(),
            pause: Mutex::default(),
            outcomes: Mutex::default(),
            room: Arc::new(Semaphore::new(MOST)),
        }),
    };
    Ok(Channel {
        name: name.to_owned(),
        turns: Turns::new(deliverer),
        judged: Judged::default(),
        counted,
        sender,
        budget: wanted.budget,
        deadline: Duration::from_millis(wanted.deadline.0),
        guests: guests.clone(),
        lasting,
    })
}

/// A secret file, as it was handed over. Line ends at its end are not part of it.
pub(super) fn secret(file: &Path) -> anyhow::Result<Secret> {
    let remedy = || format!("{}: `monprov secrets sync` hands secrets over", file.display());
    let text = std::fs::read_to_string(file).with_context(remedy)?;
    let text = zeroize::Zeroizing::new(text);
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        bail!("{}: it is empty", file.display());
    }
    Ok(Secret::new(value.to_owned()))
}
