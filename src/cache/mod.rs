//! A binary cache of Nix: how bundles get from one machine to others.
//!
//! ```text
//! nix-cache-info               StoreDir: /nix/store
//! <id>.narinfo                 what the bundle is, and who signed it
//! nar/<FileHash>.nar.zst       its archive
//! provenance/<id>-<name>.json  beside what Nix knows: how it was built
//! channels/<profile>.json      the bundle that hosts are to run, signed
//! ```
//!
//! Any web server, folder or bucket will do, and it is trusted with nothing: what comes from it
//! is read within limits, and becomes a bundle only once every hash and its name agree. An
//! archive is written first, then its narinfo, then a pointer to it; removed in the other
//! order. So whoever reads meanwhile finds nothing that is not there.

mod channel;
mod copy;
mod error;
pub mod narinfo;
mod place;
mod pull;
mod push;
mod retain;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::runtime::{Builder, Runtime};

use crate::bundle::StoreName;
use narinfo::NarInfo;
use place::{Kind, Place};

pub use channel::{Change, Pointer, Sealed, Seen};
pub use copy::Copied;
pub use error::CacheError;
pub use pull::{Here, Pulled};
pub use push::{News, Pushed};
pub use retain::{Kept, Listed, Removed};

const INFO: &str = "nix-cache-info";
/// After those of cache.nixos.org (40), and mass queries are welcome.
const INFO_TEXT: &str = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 50\n";

/// Threads for transfers; the work on what is transferred is done by the callers' own.
const WORKERS: usize = 2;

/// A cache, opened. Its calls block, and may come from several threads.
#[derive(Debug, Clone)]
pub struct Cache {
    objects: Arc<dyn ObjectStore>,
    shown: String,
    kind: Kind,
    runtime: Arc<Runtime>,
}

/// A small object as it was read.
#[derive(Debug)]
struct Object {
    bytes: Bytes,
    version: UpdateVersion,
}

/// How an object is to be written.
#[derive(Debug)]
enum Put {
    Always,
    /// Only where there is none.
    New,
    /// Only in the place of that one.
    Instead(UpdateVersion),
}

impl Cache {
    /// A cache to read from.
    pub fn open(url: &str) -> Result<Self, CacheError> {
        Self::open_to(url, false)
    }

    /// A cache to write to as well; a folder that is not there is made.
    pub fn open_for_writing(url: &str) -> Result<Self, CacheError> {
        Self::open_to(url, true)
    }

    fn open_to(url: &str, writing: bool) -> Result<Self, CacheError> {
        let refused = |why| CacheError::Url { url: without_password(url), why };
        let Place { objects, shown, kind } = place::find(url, writing).map_err(refused)?;
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
        let runtime = Arc::new(runtime.map_err(|error| refused(error.to_string()))?);
        Ok(Cache { objects, shown, kind, runtime })
    }

    /// Its URL, without a password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// An object of a bounded size, if it is there.
    fn get(&self, path: &Path, most: u64, what: &str) -> Result<Option<Object>, CacheError> {
        self.get_with(path, GetOptions::new(), most, what)
    }

    fn get_with(
        &self,
        path: &Path,
        options: GetOptions,
        most: u64,
        what: &str,
    ) -> Result<Option<Object>, CacheError> {
        let got = self.wait(async {
            let got = self.objects.get_opts(path, options).await?;
            let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
            if got.meta.size > most {
                return Ok(None);
            }
            let bytes = got.bytes().await?;
            Ok(Some(Object { bytes, version }))
        });
        match got {
            Ok(Some(object)) => Ok(Some(object)),
            Ok(None) => Err(self.wrong(what, format!("it is larger than {most} bytes"))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(what, error)),
        }
    }

    /// False where the condition does not hold.
    fn put(&self, path: &Path, bytes: Bytes, how: Put, what: &str) -> Result<bool, CacheError> {
        let mode = match how {
            Put::Always => PutMode::Overwrite,
            Put::New => PutMode::Create,
            Put::Instead(version) => PutMode::Update(version),
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.wait(self.objects.put_opts(path, PutPayload::from(bytes), options)) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) => Err(self.unwritten(what, error)),
        }
    }

    /// What the cache says of a bundle.
    fn info(&self, name: &StoreName) -> Result<Option<NarInfo>, CacheError> {
        let what = format!("the narinfo of {name}");
        let Some(object) = self.get(&narinfo_path(name), narinfo::MAX_SIZE, &what)? else { return Ok(None) };
        let text = std::str::from_utf8(&object.bytes).map_err(|_| self.wrong(&what, "it is no text"))?;
        NarInfo::parse(text, name).map(Some).map_err(|error| self.wrong(&what, error.to_string()))
    }

    fn has(&self, path: &Path, what: &str) -> Result<bool, CacheError> {
        match self.wait(self.objects.head(path)) {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed(what, error)),
        }
    }

    fn wrong(&self, what: impl Into<String>, why: impl Into<String>) -> CacheError {
        CacheError::Wrong { cache: self.shown.clone(), what: what.into(), why: why.into() }
    }

    fn failed(&self, what: &str, error: object_store::Error) -> CacheError {
        CacheError::Transfer { cache: self.shown.clone(), what: what.to_owned(), error }
    }

    fn unwritten(&self, what: &str, error: object_store::Error) -> CacheError {
        use object_store::Error as E;
        let refused = matches!(
            error,
            E::Generic { .. }
                | E::NotImplemented { .. }
                | E::PermissionDenied { .. }
                | E::Unauthenticated { .. }
        );
        if self.kind == Kind::Web && refused {
            tracing::debug!(%error, "PUT failed");
            let why = "the web server takes no PUT there, or not from you: push to its folder or bucket \
                       (`file://`, `s3://`), let it allow PUT (WebDAV), or log in (`https://USER:PASSWORD@…`)";
            return CacheError::ReadOnly { cache: self.shown.clone(), why: why.into() };
        }
        self.failed(what, error)
    }
}

fn narinfo_path(name: &StoreName) -> Path {
    Path::from(format!("{}.narinfo", name.id()))
}

fn provenance_path(name: &StoreName) -> Path {
    Path::from(format!("provenance/{name}.json"))
}

/// For the message about a URL that can't even be read.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://…{}", url.get(at..).unwrap_or_default()),
        _ => url.to_owned(),
    }
}
