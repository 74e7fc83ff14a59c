//! What a registry sends, taken apart. Nothing here has effects, and nothing that comes in makes it
//! panic.

use std::collections::BTreeMap;

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
    OciImageIndex, OciImageManifest,
};
use serde::Deserialize;

use crate::check::images::is_digest;

/// What is asked for, best first.
pub(super) const ACCEPTED: [&str; 4] = [
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
];

/// The layout of WebAssembly artifacts, as the CNCF's TAG Runtime defines it.
pub(super) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const WASM_LAYER: &str = "application/wasm";

#[derive(Debug)]
pub(super) enum Manifest {
    /// One image for each of several platforms: digests by platform.
    Index(BTreeMap<String, String>),
    One(Box<OciImageManifest>),
}

/// What tells the two kinds apart, and what must not be there twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// `told`: the type that stands in the answer's head.
    pub(super) fn parse(bytes: &[u8], told: Option<&str>) -> Result<Self, String> {
        let told = told.map(|told| told.split(';').next().unwrap_or(told).trim());
        let shape: Shape = serde_json::from_slice(bytes).map_err(|error| match told {
            Some(told) if !told.contains("json") => format!("what came is `{told}`, and no manifest"),
            _ => format!("what came is no manifest: {error}"),
        })?;
        if shape.schema_version != 2 {
            return Err(format!(
                "its manifest has schema {}, and only 2 has digests to rely on: push the image anew",
                shape.schema_version
            ));
        }
        // Two readers of one digest must not see two things in it.
        if shape.manifests.is_some() && shape.layers.is_some() {
            return Err("its manifest is an index and an image at once".into());
        }
        let told = told.filter(|told| ACCEPTED.contains(told));
        if let (Some(own), Some(told)) = (&shape.media_type, told)
            && own != told
        {
            return Err(format!("its manifest calls itself `{own}`, and the registry calls it `{told}`"));
        }
        match shape.media_type.as_deref().or(told) {
            Some(OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE) => index(bytes),
            Some(OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE) => one(bytes),
            Some(other) => Err(format!("`{other}` is neither an image nor an index of images")),
            None if shape.manifests.is_some() => index(bytes),
            None => one(bytes),
        }
    }
}

fn index(bytes: &[u8]) -> Result<Manifest, String> {
    let index: OciImageIndex =
        serde_json::from_slice(bytes).map_err(|error| format!("its index can't be read: {error}"))?;
    let mut platforms = BTreeMap::new();
    for entry in index.manifests {
        let Some(platform) = entry.platform else { continue };
        let name = platform_name(
            &platform.os.to_string(),
            &platform.architecture.to_string(),
            platform.variant.as_deref(),
        )?;
        // Statements about the others, which build tools put there.
        if name == "unknown/unknown" {
            continue;
        }
        if !is_digest(&entry.digest) {
            return Err(format!("its index has no SHA-256 digest for {name}"));
        }
        // Of several for one platform, engines take the first.
        platforms.entry(name).or_insert(entry.digest);
    }
    if platforms.is_empty() {
        return Err("its index names no platform".into());
    }
    Ok(Manifest::Index(platforms))
}

fn one(bytes: &[u8]) -> Result<Manifest, String> {
    let manifest: OciImageManifest =
        serde_json::from_slice(bytes).map_err(|error| format!("its manifest can't be read: {error}"))?;
    Ok(Manifest::One(Box::new(manifest)))
}

/// `linux/arm64/v8`; what is written to the lock is plain.
fn platform_name(os: &str, architecture: &str, variant: Option<&str>) -> Result<String, String> {
    let parts: Vec<&str> = [os, architecture].into_iter().chain(variant.filter(|v| !v.is_empty())).collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && part.len() <= 64
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    match parts.iter().all(plain) {
        true => Ok(parts.join("/")),
        false => Err("it names a platform that can't be one".into()),
    }
}

/// A part of a manifest that is to be fetched: its digest and size, if it has that type and is not
/// larger than a limit.
pub(super) fn part<'m>(
    descriptor: &'m OciDescriptor,
    types: &[&str],
    limit: u64,
    what: &str,
) -> Result<(&'m str, u64), String> {
    let OciDescriptor { media_type, digest, size, .. } = descriptor;
    if !types.contains(&media_type.as_str()) {
        return Err(format!("its {what} is `{media_type}`, and not `{}`", types.join("` or `")));
    }
    if !is_digest(digest) {
        return Err(format!("its {what} has no SHA-256 digest"));
    }
    match u64::try_from(*size) {
        Ok(size) if size <= limit => Ok((digest, size)),
        Ok(size) => Err(format!("its {what} has {size} bytes, and at most {} MiB are taken", limit >> 20)),
        Err(_) => Err(format!("its {what} has a size below zero")),
    }
}

/// What an image that is there for one platform says about that in its configuration.
pub(super) fn platform(config: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Config {
        os: String,
        architecture: String,
        variant: Option<String>,
    }
    let Config { os, architecture, variant } = serde_json::from_slice(config)
        .map_err(|error| format!("its configuration can't be read: {error}"))?;
    platform_name(&os, &architecture, variant.as_deref())
}

/// The types of an image's configuration.
pub(super) const CONFIGS: [&str; 2] = [IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE];

/// The one layer of a WebAssembly artifact.
pub(super) fn wasm(manifest: &OciImageManifest, limit: u64) -> Result<(&str, u64), String> {
    part(&manifest.config, &[WASM_CONFIG], 1 << 20, "configuration")
        .map_err(|why| format!("it is no WebAssembly artifact: {why}"))?;
    match manifest.layers.as_slice() {
        [layer] => part(layer, &[WASM_LAYER], limit, "layer"),
        layers => Err(format!("it has {} layers, and a plugin is one component", layers.len())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn index_of(entries: &str) -> String {
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_IMAGE_INDEX_MEDIA_TYPE}","manifests":[{entries}]}}"#)
    }

    fn entry(os: &str, architecture: &str, more: &str) -> String {
        format!(
            r#"{{"mediaType":"{OCI_IMAGE_MEDIA_TYPE}","digest":"{A}","size":7,
                "platform":{{"os":"{os}","architecture":"{architecture}"{more}}}}}"#
        )
    }

    fn image(config: &str, layers: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{A}","size":7}},"layers":[{layers}]}}"#
        )
    }

    #[test]
    fn an_index_is_its_platforms_without_statements_about_them() {
        let text = index_of(&format!(
            "{},{},{}",
            entry("linux", "amd64", ""),
            entry("linux", "arm64", r#","variant":"v8""#),
            entry("unknown", "unknown", "")
        ));
        for told in [None, Some(OCI_IMAGE_INDEX_MEDIA_TYPE), Some("application/json; charset=utf-8")] {
            let Manifest::Index(platforms) = Manifest::parse(text.as_bytes(), told).unwrap() else {
                panic!()
            };
            assert_eq!(platforms.keys().collect::<Vec<_>>(), ["linux/amd64", "linux/arm64/v8"]);
        }
    }

    #[test]
    fn what_is_no_manifest_is_told() {
        let both = r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#.to_owned();
        let old = r#"{"schemaVersion":1,"name":"a","tag":"1"}"#.to_owned();
        let other = r#"{"schemaVersion":2,"mediaType":"application/vnd.example"}"#.to_owned();
        for (text, told, why) in [
            ("<html>".to_owned(), Some("text/html; charset=utf-8"), "`text/html`"),
            ("{".to_owned(), Some("application/json"), "no manifest"),
            (old, None, "schema 1"),
            (both, None, "at once"),
            (other, None, "`application/vnd.example` is neither"),
            (index_of(""), Some(OCI_IMAGE_MEDIA_TYPE), "calls itself"),
            (index_of(""), None, "names no platform"),
            (index_of(&entry("linux", "a\\u001b[31m", "")), None, "can't be one"),
            (index_of(&entry("linux", "amd64", "").replace("sha256:", "sha512:")), None, "no SHA-256"),
        ] {
            let found = Manifest::parse(text.as_bytes(), told).unwrap_err();
            assert!(found.contains(why), "{why}: {found}");
        }
    }

    #[test]
    fn a_plugin_is_one_layer_of_wasm_that_is_not_too_large() {
        let layer = |media_type: &str, size: &str| {
            format!(r#"{{"mediaType":"{media_type}","digest":"{A}","size":{size}}}"#)
        };
        let found = |config: &str, layers: &str| {
            let Manifest::One(one) = Manifest::parse(image(config, layers).as_bytes(), None).unwrap() else {
                panic!()
            };
            wasm(&one, 1 << 20).map(|(digest, size)| (digest.to_owned(), size))
        };
        assert_eq!(found(WASM_CONFIG, &layer(WASM_LAYER, "9")).unwrap(), (A.to_owned(), 9));
        let good = layer(WASM_LAYER, "9");
        for (config, layers, why) in [
            (IMAGE_CONFIG_MEDIA_TYPE, good.clone(), "no WebAssembly artifact"),
            (WASM_CONFIG, format!("{good},{good}"), "2 layers"),
            (WASM_CONFIG, String::new(), "0 layers"),
            (WASM_CONFIG, layer("application/x-tar", "9"), "`application/x-tar`"),
            (WASM_CONFIG, layer(WASM_LAYER, "1048577"), "at most 1 MiB"),
            (WASM_CONFIG, layer(WASM_LAYER, "-1"), "below zero"),
        ] {
            let found = found(config, &layers).unwrap_err();
            assert!(found.contains(why), "{why}: {found}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), told in "\\PC*") {
            let _ = Manifest::parse(&bytes, Some(&told));
            let _ = platform(&bytes);
        }

        #[test]
        fn no_change_of_a_manifest_makes_it_panic(
            which in 0..2usize, at in 0..600usize, cut in 0..30usize, with in "[\\PC]{0,4}"
        ) {
            let layer = format!(r#"{{"mediaType":"{WASM_LAYER}","digest":"{A}","size":9}}"#);
            let text = [index_of(&entry("linux", "amd64", "")), image(WASM_CONFIG, &layer)][which].clone();
            if let (Some(before), Some(after)) = (text.get(..at), text.get((at + cut).min(text.len())..)) {
                match Manifest::parse(format!("{before}{with}{after}").as_bytes(), None) {
                    Ok(Manifest::Index(platforms)) => prop_assert!(platforms.values().all(|d| is_digest(d))),
                    Ok(Manifest::One(one)) => if let Ok((digest, size)) = wasm(&one, 1 << 20) {
                        prop_assert!(is_digest(digest) && size <= 1 << 20);
                    },
                    Err(_) => {}
                }
            }
        }
    }
}
