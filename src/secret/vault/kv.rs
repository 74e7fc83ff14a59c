//! Where secrets are mounted, and reading one version of one.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use super::answer::{Data, Metadata, Mount, Reply};
use super::login::Token;
use super::server::{Call, Server};
use super::{SIDE_BY_SIDE, messages};
use crate::secret::Trouble;
use crate::stack::{Origin, VaultField};

/// What one read answers: all fields of a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) version: Option<u64>,
}

pub(super) enum Outcome {
    Read(Data),
    /// The server works, and has none.
    Missing(Trouble),
    Failed(Trouble),
    /// No policy of the token allows to read there.
    Denied(Request),
}

/// A path of the API, and whether we know that it is the right one.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) guessed: bool,
}

/// The mounts that were found.
#[derive(Default)]
pub(super) struct Mounts {
    known: Vec<Mount>,
    /// Paths of which the server does not say where they are mounted.
    unknown: BTreeSet<String>,
}

impl Place {
    pub(super) fn of(origin: &Origin) -> Option<Place> {
        match origin {
            Origin::Vault(VaultField { path, version, .. }) => {
                Some(Place { path: path.clone(), version: *version })
            }
            _ => None,
        }
    }
}

impl Mounts {
    /// Finds where paths are mounted as `vault kv get` does: first one path of each first
    /// segment, which mostly tells of all of them, then what is left.
    pub(super) async fn find<'p>(
        mut self,
        server: &Server,
        token: &Token,
        paths: impl Iterator<Item = &'p str>,
    ) -> Mounts {
        let mut open: BTreeSet<&str> = paths.collect();
        for first in [true, false] {
            open.retain(|path| self.of(path).is_none() && !self.unknown.contains(*path));
            let heads: BTreeMap<_, _> = open.iter().map(|path| (path.split('/').next(), *path)).collect();
            let asked: Vec<&str> =
                if first { heads.into_values().collect() } else { open.iter().copied().collect() };
            let answers =
                asked.into_iter().map(|path| async move { (path, mount(server, token, path).await) });
            let answers: Vec<_> = stream::iter(answers).buffer_unordered(SIDE_BY_SIDE).collect().await;
            for (path, found) in answers {
                match found {
                    Some(mount) if within(&mount, path).is_some() => self.add(mount),
                    _ => {
                        self.unknown.insert(path.to_owned());
                    }
                }
            }
        }
        self
    }

    /// Another token may be told more.
    pub(super) fn forget_unknown(&mut self) {
        self.unknown.clear();
    }

    fn add(&mut self, mount: Mount) {
        if !self.known.contains(&mount) {
            self.known.push(mount);
        }
    }

    /// The mount of a path and what is left of it. One within another is the nearer.
    fn of<'p>(&self, path: &'p str) -> Option<(&Mount, &'p str)> {
        let fits = self.known.iter().filter_map(|mount| Some((mount, within(mount, path)?)));
        fits.min_by_key(|(_, rest)| rest.len())
    }
}

/// What is left of a path beneath a mount. The server may name the mount with namespaces before
/// it that the path does not have.
fn within<'p>(mount: &Mount, path: &'p str) -> Option<&'p str> {
    let mut name = mount.path.as_str();
    while !name.is_empty() {
        if let Some(rest) = path.strip_prefix(name).filter(|rest| !rest.is_empty()) {
            return Some(rest);
        }
        name = name.split_once('/').map_or("", |(_, shorter)| shorter);
    }
    None
}

async fn mount(server: &Server, token: &Token, path: &str) -> Option<Mount> {
    let path = format!("sys/internal/ui/mounts/{path}");
    let reply = server.send(&Call::get(&path, token.secret())).await.ok()?;
    let mount: Mount = reply.data()?;
    (reply.status == 200 && mount.path.ends_with('/')).then_some(mount)
}

/// Reads one version.
pub(super) async fn read(server: &Server, token: &Token, mounts: &Mounts, place: &Place) -> Outcome {
    let result = match mounts.of(&place.path) {
        Some((mount, rest)) if mount.is_versioned() => {
            let before = place.path.get(..place.path.len() - rest.len()).unwrap_or_default();
            versioned(server, token, place, before, rest, false).await
        }
        Some(_) => plain(server, token, place).await,
        None => guess(server, token, place).await,
    };
    result.unwrap_or_else(Outcome::Failed)
}

/// KV 1.
async fn plain(server: &Server, token: &Token, place: &Place) -> Result<Outcome, Trouble> {
    if place.version.is_some() {
        return Err(messages::no_versions(place));
    }
    let reply = server.send(&Call::get(&place.path, token.secret())).await?;
    Ok(of_plain(server, place, &reply))
}

fn of_plain(server: &Server, place: &Place, reply: &Reply) -> Outcome {
    match reply.status {
        200 if place.version.is_some() => Outcome::Failed(messages::no_versions(place)),
        200 => reply.kv1().map_or_else(|| odd(server, place, reply), Outcome::Read),
        403 => denied(place.path.clone(), false),
        404 if reply.errors().is_empty() => Outcome::Missing(messages::no_path(server, &place.path)),
        _ => odd(server, place, reply),
    }
}

/// KV 2: the path as the API wants it is `MOUNT/data/REST`.
async fn versioned(
    server: &Server,
    token: &Token,
    place: &Place,
    mount: &str,
    rest: &str,
    guessed: bool,
) -> Result<Outcome, Trouble> {
    let api = format!("{mount}data/{rest}");
    let get = |version| Call { version, ..Call::get(&api, token.secret()) };
    let reply = server.send(&get(place.version)).await?;
    if reply.status == 403 {
        return Ok(denied(api, guessed));
    }
    match (reply.status, reply.kv2()) {
        (200, Some((Some(data), _))) => return Ok(Outcome::Read(data)),
        (200 | 404, Some((None, metadata))) => return Ok(gone(place, &metadata)),
        (404, None) if reply.errors().is_empty() => {}
        _ => return Ok(odd(server, place, &reply)),
    }
    // Neither this version nor anything said about it: is there any other?
    if let Some(version) = place.version {
        let newest = server.send(&get(None)).await?;
        if let Some((_, metadata)) = newest.kv2() {
            return Ok(Outcome::Missing(messages::no_version(&place.path, version, metadata.version)));
        }
    }
    if let Some(name) = rest.strip_prefix("data/").filter(|name| !name.is_empty()) {
        return Err(messages::api_path(&place.path, &format!("{mount}{name}")));
    }
    Ok(Outcome::Missing(messages::no_path(server, &place.path)))
}

/// A version that was there.
fn gone(place: &Place, metadata: &Metadata) -> Outcome {
    if !metadata.destroyed {
        return Outcome::Missing(messages::deleted(&place.path, metadata));
    }
    let trouble = messages::destroyed(&place.path, metadata.version, place.version.is_some());
    // Whoever pinned it wants that one and no other.
    if place.version.is_some() { Outcome::Failed(trouble) } else { Outcome::Missing(trouble) }
}

/// The server does not say what is mounted there: an old one, or no policy covers the mount.
async fn guess(server: &Server, token: &Token, place: &Place) -> Result<Outcome, Trouble> {
    let (mount, rest) = place.path.split_once('/').unwrap_or((&place.path, ""));
    let mount = format!("{mount}/");
    let reply = server.send(&Call::get(&place.path, token.secret())).await?;
    match reply.status {
        404 if reply.has_warnings() => versioned(server, token, place, &mount, rest, false).await,
        403 => versioned(server, token, place, &mount, rest, true).await,
        _ => Ok(of_plain(server, place, &reply)),
    }
}

fn denied(path: String, guessed: bool) -> Outcome {
    Outcome::Denied(Request { path, guessed })
}

fn odd(server: &Server, place: &Place, reply: &Reply) -> Outcome {
    Outcome::Failed(messages::answered(server, &place.path, reply))
}
