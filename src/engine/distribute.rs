//! Bundles between machines: whom to trust, signing, and the ways into and out of caches.
#![expect(clippy::disallowed_methods, reason = "reads keys and policies, and the clock")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Failure;
use crate::bundle::StoreName;
use crate::cache::{Cache, CacheError, Change, Here, Pointer, Pulled, Pushed};
use crate::diagnostic::{Finding, Path as Setting, Place};
use crate::profile::codes::{M001, M006, M015};
use crate::profile::layers;
use crate::profile::{self, Profile};
use crate::project::Project;
use crate::store::{Store, StorePath};
use crate::trust::{M801, Policy, PolicyError, Refusal, SecretKey, Signature, Trust, Verdict};

/// Whom this machine trusts, whatever a project says.
const TRUST_FILE: &str = "/etc/monprov/trust.toml";
/// Another such file.
const TRUST_VARIABLE: &str = "MONPROV_TRUST";
/// Longer files are no keys.
const MAX_KEY: u64 = 4096;
/// Bundles on their way at once.
const AT_ONCE: usize = 4;

/// Whom to trust with bundles of a profile: what the machine, the environment and the profile
/// say together.
pub fn trust(project: Option<&Project>, profile: Option<&str>) -> Result<Trust, Failure> {
    let mut trust = Trust::default();
    if let Some(of_machine) = policy(Path::new(TRUST_FILE), false)? {
        trust.add(of_machine);
    }
    if let Some(file) = std::env::var_os(TRUST_VARIABLE).filter(|file| !file.is_empty())
        && let Some(named) = policy(Path::new(&file), true)?
    {
        trust.add(named);
    }
    if let (Some(project), Some(profile)) = (project, profile) {
        trust.add(of_profile(project, profile)?);
    }
    Ok(trust)
}

fn policy(file: &Path, must_be: bool) -> Result<Option<Trust>, Failure> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound && !must_be => return Ok(None),
        read => read.map_err(|error| anyhow::anyhow!("the trust file {}: {error}", file.display()))?,
    };
    let trust = Policy::parse(&text).and_then(|policy| policy.read());
    Ok(Some(trust.map_err(|error| anyhow::anyhow!("the trust file {}: {error}", file.display()))?))
}

/// `[trust]` of a profile, whatever else is wrong with it: going back must be possible in the
/// middle of an edit. A profile that is not here has none.
fn of_profile(project: &Project, name: &str) -> Result<Trust, Failure> {
    let (layers, findings, sources) = layers::collect(name, project);
    let unread = |finding: &&Finding| [M001.id, M006.id, M015.id].contains(&finding.code.id);
    if let Some(finding) = findings.iter().find(unread) {
        // A layer that can't be read may be the one that says whom to trust.
        let speaks = |text: &str| {
            text.lines().any(|line| line.trim_start().trim_start_matches('[').starts_with("trust"))
        };
        if sources.iter().any(|(_, text)| speaks(text)) {
            let why = &finding.message;
            return Err(anyhow::anyhow!(
                "`{name}` says whom to trust and can't be read ({why}): mend it (`monprov check {name}`)"
            )
            .into());
        }
    }
    // Most profiles say nothing, and a rollback is not to wait for all that they say.
    if !layers.iter().any(|layer| layer.root.get("trust").is_some()) {
        return Ok(Trust::default());
    }
    let loaded = profile::load(name, project, &|_| None);
    let table = loaded.map.as_ref().and_then(|map| map.root.get("trust"));
    let Some(table) = table else { return Ok(Trust::default()) };
    let bad = |why: String| anyhow::anyhow!("`trust` of the profile `{name}`: {why}");
    let policy: Policy = serde_json::from_value(table.to_json()).map_err(|error| bad(error.to_string()))?;
    policy.read().map_err(|error| bad(error.to_string()).into())
}

/// What is wrong with `[trust]`, for those who build.
pub(super) fn findings(profile: &Profile) -> Vec<Finding> {
    let Err(error) = profile.settings.trust.read() else { return vec![] };
    let at = |key: &str, number: usize| {
        Place::setting(Setting::new(["trust", key]).join(number.saturating_sub(1)))
    };
    let place = match &error {
        PolicyError::Key { number, .. } => at("keys", *number),
        PolicyError::Revoked { number } => at("revoked", *number),
        PolicyError::Bad { number, .. } => at("bad", *number),
        PolicyError::Syntax(_) => Place::setting(Setting::new(["trust"])),
    };
    vec![Finding::error(&M801, place, error.to_string())]
}

/// Refuses a bundle that whoever is trusted here has not signed, where that is required, and
/// one that is marked as bad.
pub fn require_trusted(project: &Project, store: &Store, bundle: &StorePath) -> Result<(), Failure> {
    let trust = trust(Some(project), Some(bundle.name().name()))?;
    if trust == Trust::default() {
        return Ok(());
    }
    let verdict = judge(store, bundle, &trust)?;
    trust.admit(bundle.name(), &verdict)?;
    Ok(())
}

/// Who signed a bundle of the store.
pub fn judge(store: &Store, bundle: &StorePath, trust: &Trust) -> Result<Verdict, Failure> {
    let signatures = store.signatures(bundle.name())?;
    if signatures.is_empty() {
        return Ok(Verdict::default());
    }
    let (hash, size) = store.nar(bundle)?;
    Ok(trust.judge_bundle(bundle.name(), &hash, size, &signatures))
}

/// What there is to say of the signatures of a bundle that is intact.
#[derive(Debug)]
pub struct Vouched {
    pub verdict: Verdict,
    /// Why it would not be activated here.
    pub refusal: Option<Refusal>,
}

/// `None` where nobody signed a bundle and nobody demands it.
pub fn vouched(trust: &Trust, store: &Store, bundle: &StorePath) -> Result<Option<Vouched>, Failure> {
    let verdict = judge(store, bundle, trust)?;
    let refusal = trust.admit(bundle.name(), &verdict).err();
    Ok((refusal.is_some() || verdict != Verdict::default()).then_some(Vouched { verdict, refusal }))
}

/// Signs a bundle with each key; the names of those that had not signed it yet.
pub fn sign(store: &Store, bundle: &StorePath, keys: &[SecretKey]) -> Result<Vec<String>, Failure> {
    if keys.is_empty() {
        return Ok(vec![]);
    }
    let (hash, size) = store.nar(bundle)?;
    let text = crate::trust::fingerprint(bundle.name(), &hash, size);
    let known = store.signatures(bundle.name()).unwrap_or_default();
    let made: Vec<Signature> = keys.iter().map(|key| key.sign(text.as_bytes())).collect();
    let new = made.iter().filter(|one| !known.contains(one)).map(|one| one.name().to_owned()).collect();
    store.add_signatures(bundle, &made)?;
    super::provenance::countersign(store, bundle, keys)?;
    Ok(new)
}

/// Reads secret keys from their files.
pub fn keys(files: &[PathBuf]) -> Result<Vec<SecretKey>, Failure> {
    files.iter().map(|file| key(file)).collect()
}

fn key(file: &Path) -> Result<SecretKey, Failure> {
    let shown = file.display();
    let said = |error: std::io::Error| anyhow::anyhow!("the key {shown}: {error}");
    if std::fs::metadata(file).map_err(said)?.len() > MAX_KEY {
        return Err(anyhow::anyhow!("the key {shown}: this is no key, which is one line").into());
    }
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(said)?);
    text.parse().map_err(|error| anyhow::anyhow!("the key {shown}: {error}").into())
}

/// A new key in a file that only its owner reads; one that is there is never replaced.
pub fn new_key(name: &str, file: &Path) -> Result<SecretKey, Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let key = SecretKey::generate(name, &seed)?;
    let shown = file.display();
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{shown} is there already: name another file, or remove it yourself")
        }
        _ => anyhow::anyhow!("{shown}: {error}"),
    })?;
    let written =
        opened.write_all(format!("{}\n", *key.expose()).as_bytes()).and_then(|()| opened.sync_all());
    written.map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    Ok(key)
}

/// Brings bundles into a cache, several at once. `done` is called after each.
pub fn push(
    store: &Store,
    cache: &Cache,
    bundles: &[StorePath],
    keys: &[SecretKey],
    done: &(dyn Fn(&Pushed) + Sync),
) -> Result<(), Failure> {
    cache.introduce()?;
    each(bundles, |bundle| {
        sign(store, bundle, keys)?;
        let pushed = cache.push(store, bundle)?;
        done(&pushed);
        Ok(())
    })
}

/// Lets the channel of a bundle's profile name it.
pub fn point(
    cache: &Cache,
    bundle: &StoreName,
    keys: &[SecretKey],
    trust: &Trust,
    change: &Change,
) -> Result<Pointer, Failure> {
    if keys.is_empty() {
        return Err(anyhow::anyhow!(
            "a channel is always signed: name a key with --key FILE (`monprov key generate` makes one)"
        )
        .into());
    }
    Ok(cache.point(bundle, keys, trust, change, Timestamp::now())?)
}

/// What is wanted of a cache.
#[derive(Debug)]
pub struct Wanted {
    pub name: StoreName,
    pub trust: Trust,
    /// What named it, where that was a channel.
    pub pointer: Option<Pointer>,
}

/// A bundle of a cache, by its store name or path, or what the channel of a profile names.
pub fn wanted(project: Option<&Project>, cache: &Cache, word: &str) -> Result<Wanted, Failure> {
    let last = word.trim_end_matches('/').rsplit('/').next().unwrap_or(word);
    match last.parse::<StoreName>() {
        Ok(name) => {
            let trust = trust(project, Some(name.name()))?;
            Ok(Wanted { name, trust, pointer: None })
        }
        Err(_) => {
            let trust = trust(project, Some(word))?;
            let pointer = cache.channel(word, &trust)?;
            Ok(Wanted { name: pointer.bundle.clone(), trust, pointer: Some(pointer) })
        }
    }
}

/// Brings bundles into the store, several at once, in the order in which they are wanted.
pub fn pull(store: &Store, cache: &Cache, wanted: &[Wanted]) -> Result<Vec<Pulled>, Failure> {
    let pulled = Mutex::new(vec![]);
    let numbered: Vec<(usize, &Wanted)> = wanted.iter().enumerate().collect();
    each(&numbered, |(number, one)| {
        let got = cache.pull(store, &one.name, &one.trust, Here::AskAllTheSame)?;
        pulled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*number, got));
        Ok(())
    })?;
    let mut pulled = pulled.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    pulled.sort_by_key(|(number, _)| *number);
    Ok(pulled.into_iter().map(|(_, got)| got).collect())
}

/// Works on several at once, until one fails.
pub fn each<T: Sync>(all: &[T], work: impl Fn(&T) -> Result<(), Failure> + Sync) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let run = || {
        while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = work(one) {
                next.store(all.len(), Ordering::Relaxed);
                failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(failure);
            }
        }
    };
    thread::scope(|scope| {
        let threads = AT_ONCE.min(all.len());
        // Where no thread is to be had, this one does the work.
        let started: Vec<_> = (1..threads).map(|_| thread::Builder::new().spawn_scoped(scope, run)).collect();
        run();
        for thread in started.into_iter().flatten() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// Whether an error is a refusal rather than a failure: its exit code says so.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref::<CacheError>().is_some_and(CacheError::is_refusal)
        || error.downcast_ref::<Refusal>().is_some()
}
