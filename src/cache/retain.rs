//! What a cache holds, and removing what is old. A cache may be shared with Nix: only bundles
//! of profiles that have a channel there, or that are named, are ever removed.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};

use super::channel::Pointer;
use super::narinfo::{self, NarInfo};
use super::place::Kind;
use super::{Cache, CacheError, narinfo_path, provenance_path};
use crate::bundle::StoreName;

/// An archive that no narinfo names may be about to get one.
const UNDER_WAY: SignedDuration = SignedDuration::from_hours(24);
/// Narinfos that are asked for at once.
const AT_ONCE: usize = 16;
const MAX_POINTER: u64 = 256 << 10;

/// A bundle in a cache.
#[derive(Debug)]
pub struct Listed {
    pub info: NarInfo,
    pub time: Timestamp,
    /// The channel of its profile names it.
    pub current: bool,
}

/// Which bundles stay. One stays if any of the limits keeps it, or a channel names it; without
/// limits all stay.
#[derive(Debug, Default)]
pub struct Kept {
    /// So many of each profile, the last that came.
    pub keep: Option<usize>,
    /// Those that came from this time on.
    pub since: Option<Timestamp>,
    /// Beside those that have a channel.
    pub profiles: BTreeSet<String>,
}

/// What was removed, or would be.
#[derive(Debug, Default)]
pub struct Removed {
    pub bundles: Vec<StoreName>,
    pub archives: usize,
    pub bytes: u64,
}

/// All that a cache holds, by what it is.
struct Contents {
    bundles: Vec<Listed>,
    /// What narinfos name, those of other store paths too.
    named: BTreeSet<String>,
    archives: Vec<ObjectMeta>,
    /// By profile.
    channels: BTreeMap<String, Pointer>,
}

impl Cache {
    /// The bundles of a cache, by name and the last that came first; and the channels.
    pub fn list(&self) -> Result<(Vec<Listed>, BTreeMap<String, Pointer>), CacheError> {
        let contents = self.contents()?;
        Ok((contents.bundles, contents.channels))
    }

    /// Removes bundles beyond the limits, and archives that nothing names.
    pub fn retain(&self, kept: &Kept, dry_run: bool, now: Timestamp) -> Result<Removed, CacheError> {
        let contents = self.contents()?;
        let mut removed = Removed::default();
        let mut stays: BTreeSet<&str> = BTreeSet::new();
        let mut goes = vec![];
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for one in &contents.bundles {
            let profile = one.info.name.name();
            let count = counts.entry(profile).or_default();
            let limited = kept.keep.is_some() || kept.since.is_some();
            let ours = contents.channels.contains_key(profile) || kept.profiles.contains(profile);
            let stay = !limited
                || !ours
                || one.current
                || kept.keep.is_some_and(|keep| *count < keep)
                || kept.since.is_some_and(|since| one.time >= since);
            *count += 1;
            if stay {
                stays.insert(&one.info.url);
            } else {
                goes.push(&one.info);
            }
        }
        let orphan = |archive: &&ObjectMeta| {
            !contents.named.contains(archive.location.as_ref())
                && now.duration_since(time(archive)) > UNDER_WAY
        };
        let orphans: Vec<&ObjectMeta> = contents.archives.iter().filter(orphan).collect();
        removed.bytes = orphans.iter().map(|archive| archive.size).sum::<u64>()
            + goes.iter().filter_map(|info| info.file_size).sum::<u64>();
        removed.archives = orphans.len();
        removed.bundles = goes.iter().map(|info| info.name.clone()).collect();
        if dry_run {
            return Ok(removed);
        }
        // What points to something goes before that.
        for info in goes {
            self.delete(&narinfo_path(&info.name))?;
            self.delete(&provenance_path(&info.name))?;
            // Two bundles of one content, under different names, share an archive.
            if !stays.contains(info.url.as_str()) {
                self.delete(&Path::from(info.url.as_str()))?;
            }
        }
        orphans.into_iter().try_for_each(|archive| self.delete(&archive.location))?;
        Ok(removed)
    }

    fn contents(&self) -> Result<Contents, CacheError> {
        let listed: Result<Vec<ObjectMeta>, _> = self.wait(self.objects.list(None).try_collect());
        let all = listed.map_err(|error| match self.kind {
            Kind::Web => CacheError::ReadOnly {
                cache: self.shown.clone(),
                why: "nor can its files be listed: name its folder or bucket (`file://`, `s3://`)".into(),
            },
            _ => self.failed("its list", error),
        })?;
        let mut channels = BTreeMap::new();
        for object in &all {
            let Some(profile) = inside(object, "channels").and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            let what = format!("the channel `{profile}`");
            let Some(read) = self.get(&object.location, MAX_POINTER, &what)? else { continue };
            // Signed or not: nothing that one names is removed. One that can't be read stops all.
            let pointer =
                Pointer::peek(&read.bytes, profile).map_err(|error| self.wrong(&what, error.to_string()))?;
            channels.insert(profile.to_owned(), pointer);
        }
        let infos: Vec<&ObjectMeta> =
            all.iter().filter(|object| object.location.as_ref().ends_with(".narinfo")).collect();
        let texts: Vec<Result<Option<String>, CacheError>> = self.wait(
            futures_util::stream::iter(infos.iter().map(|object| self.text(&object.location)))
                .buffered(AT_ONCE)
                .collect(),
        );
        let (mut bundles, mut named) = (vec![], BTreeSet::new());
        for (object, text) in infos.iter().zip(texts) {
            let Some(text) = text? else { continue };
            named.extend(narinfo::url_of(&text).map(str::to_owned));
            let info = narinfo::name_of(&text).and_then(|name| NarInfo::parse(&text, &name).ok());
            if let Some(info) = info {
                let current =
                    channels.get(info.name.name()).is_some_and(|pointer| pointer.bundle == info.name);
                bundles.push(Listed { info, time: time(object), current });
            }
        }
        bundles.sort_by(|a, b| {
            (a.info.name.name(), b.time, &a.info.name).cmp(&(b.info.name.name(), a.time, &b.info.name))
        });
        let archives = all.into_iter().filter(|object| inside(object, "nar").is_some()).collect();
        Ok(Contents { bundles, named, archives, channels })
    }

    /// A narinfo, unless it was removed just now.
    async fn text(&self, path: &Path) -> Result<Option<String>, CacheError> {
        let got = match self.objects.get(path).await {
            Ok(got) if got.meta.size <= narinfo::MAX_SIZE => got.bytes().await,
            Ok(_) => return Ok(None),
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(String::from_utf8(bytes.to_vec()).ok()),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path.as_ref(), error)),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), CacheError> {
        match self.wait(self.objects.delete(path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.unwritten(path.as_ref(), error)),
        }
    }
}

/// The name of an object directly within a folder.
fn inside<'a>(object: &'a ObjectMeta, folder: &str) -> Option<&'a str> {
    let name = object.location.as_ref().strip_prefix(folder)?.strip_prefix('/')?;
    (!name.contains('/')).then_some(name)
}

fn time(object: &ObjectMeta) -> Timestamp {
    Timestamp::from_second(object.last_modified.timestamp()).unwrap_or_default()
}
