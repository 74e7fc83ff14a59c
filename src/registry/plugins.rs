//! Plugins as WebAssembly artifacts, in the layout of the CNCF's TAG Runtime: one layer, which is the
//! component, and a configuration that says what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use oci_client::RegistryOperation;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde::Serialize;

use super::manifest::{Manifest, WASM_CONFIG, WASM_LAYER, wasm};
use super::{Artifact, Registries, Trouble};
use crate::bundle::manifest::sha256;

/// A plugin's file takes no longer than this.
const DEADLINE: Duration = Duration::from_secs(300);

/// A plugin as it came.
#[derive(Debug)]
pub struct Fetched {
    pub bytes: Vec<u8>,
    /// The address with the digest that the tag had.
    pub source: Artifact,
}

/// A plugin as it was put there.
#[derive(Debug)]
pub struct Published {
    pub source: Artifact,
    /// It was there already, byte for byte.
    pub unchanged: bool,
}

/// What a component imports and exports.
#[derive(Debug, Default, Serialize)]
pub(super) struct Component {
    exports: Vec<String>,
    imports: Vec<String>,
}

/// The configuration of the artifact. Its time is none, so that one file gives one digest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<Component>,
}

impl Registries {
    /// Fetches a plugin of at most `limit` bytes.
    pub fn fetch(&self, address: &Artifact, limit: u64) -> anyhow::Result<Fetched> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(async {
            let reference = address.reference().map_err(|why| Trouble::new(why, "mind the address"))?;
            let session = self.session(reference, RegistryOperation::Pull).await?;
            let (content, manifest) = session.manifest().await?;
            let wrong = |why: String| Trouble::wrong(&session.host, format!("{address}: {why}"));
            let Manifest::One(manifest) = manifest else {
                return Err(wrong("it is an index of several, and a plugin is one".into()));
            };
            let (digest, size) = wasm(&manifest, limit).map_err(wrong)?;
            let bytes = session.blob(digest, size, DEADLINE).await?;
            Ok(Fetched { bytes, source: address.at(&content.digest) })
        })?)
    }

    /// Publishes a plugin. A tag that is another plugin's already is refused, unless it is to be
    /// replaced.
    pub fn publish(
        &self,
        address: &Artifact,
        bytes: Vec<u8>,
        annotations: BTreeMap<String, String>,
        replace: bool,
    ) -> anyhow::Result<Published> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(async {
            let wrong = |why: String| Trouble::new(why, "mind the address");
            let reference = address.by_tag().reference().map_err(wrong)?;
            let session = self.session(reference.clone(), RegistryOperation::Push).await?;
            let layer = descriptor(WASM_LAYER, &bytes);
            let component = component(&bytes);
            let config = Config {
                created: "1970-01-01T00:00:00Z",
                architecture: "wasm",
                os: if component.is_some() { "wasip2" } else { "wasip1" },
                layer_digests: [&layer.digest],
                component,
            };
            let config = serde_json::to_vec(&config).map_err(|error| wrong(error.to_string()))?;
            let manifest = OciImageManifest {
                schema_version: 2,
                media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
                config: descriptor(WASM_CONFIG, &config),
                layers: vec![layer.clone()],
                subject: None,
                artifact_type: None,
                annotations: Some(annotations).filter(|all| !all.is_empty()),
            };
            let there = match session.manifest().await {
                Ok((content, _)) => Some(content.digest),
                Err(trouble) if trouble.missing => None,
                Err(trouble) => return Err(trouble),
            };
            let body = serde_json::to_vec(&manifest).map_err(|error| wrong(error.to_string()))?;
            let digest = format!("sha256:{}", sha256(&body));
            if there.as_ref() == Some(&digest) {
                return Ok(Published { source: address.at(&digest), unchanged: true });
            }
            if let Some(there) = there.filter(|_| !replace) {
                return Err(Trouble::new(
                    format!("{} is another artifact already, {there}", address.by_tag()),
                    "take a tag of its own for each version, or --replace it",
                ));
            }
            let parts = [(&*layer.digest, bytes), (&*manifest.config.digest, config)];
            let digest = session.push(&parts, &manifest, DEADLINE).await?;
            Ok(Published { source: address.at(&digest), unchanged: false })
        })?)
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.into(),
        digest: format!("sha256:{}", sha256(bytes)),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

/// `None` for a plain core module, which is made a component where it runs.
fn component(bytes: &[u8]) -> Option<Component> {
    // The preamble's second half: a version, and what follows.
    if bytes.get(6..8) != Some([1, 0].as_slice()) {
        return None;
    }
    let decoded = wit_component::decode(bytes).ok()?;
    let resolve = decoded.resolve();
    let wit_component::DecodedWasm::Component(_, world) = &decoded else { return None };
    let world = resolve.worlds.get(*world)?;
    let name = |key: &_| resolve.name_world_key(key);
    Some(Component {
        exports: world.exports.keys().map(name).collect(),
        imports: world.imports.keys().map(name).collect(),
    })
}
