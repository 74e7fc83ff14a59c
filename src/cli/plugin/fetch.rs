//! Plugins from elsewhere: an address of the web, or of a registry

use std::time::Duration;

use anyhow::Context;

use crate::pins::FILE;
use crate::registry::{Artifact, Registries, SCHEME};

/// A plugin's file takes no longer than this.
const DEADLINE: Duration = Duration::from_secs(60);
/// And is no larger.
pub(super) const LARGEST: u64 = 256 << 20;

/// Where a plugin is to be fetched.
#[derive(Debug)]
pub(super) enum Address {
    Web(String),
    Registry(Artifact),
}

/// A plugin as it came, with the address to fetch the same again.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) bytes: Vec<u8>,
    pub(super) source: String,
}

impl Address {
    /// `None` where it names a file.
    pub(super) fn parse(source: &str) -> anyhow::Result<Option<Self>> {
        if source.starts_with(SCHEME) {
            return Ok(Some(Address::Registry(Artifact::parse(source).map_err(anyhow::Error::msg)?)));
        }
        if !source.starts_with("http://") && !source.starts_with("https://") {
            return Ok(None);
        }
        if reqwest::Url::parse(source).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
        {
            anyhow::bail!(
                "an address with a user or password would stand in {FILE}, which is checked in: fetch the file \
                 yourself and add that"
            );
        }
        Ok(Some(Address::Web(source.to_owned())))
    }

    /// What its file is to be called.
    pub(super) fn file_name(&self) -> String {
        match self {
            Address::Web(url) => {
                let path = url.split(['?', '#']).next().unwrap_or(url);
                path.rsplit('/').next().unwrap_or_default().to_owned()
            }
            Address::Registry(artifact) => format!("{}.wasm", artifact.title()),
        }
    }

    /// What it is now, whatever it was when it was pinned.
    pub(super) fn anew(self) -> Self {
        match self {
            Address::Registry(artifact) => Address::Registry(artifact.by_tag()),
            web => web,
        }
    }

    /// Another version of what an address stands for.
    pub(super) fn is_version_of(&self, source: &str) -> bool {
        match (self, Artifact::parse(source)) {
            (Address::Registry(artifact), Ok(other)) => artifact.repository() == other.repository(),
            _ => false,
        }
    }

    pub(super) fn fetch(&self, registries: &Registries) -> anyhow::Result<Arrived> {
        match self {
            Address::Web(url) => Ok(Arrived { bytes: fetch(url)?, source: url.clone() }),
            Address::Registry(artifact) => {
                let fetched = registries.fetch(artifact, LARGEST)?;
                Ok(Arrived { bytes: fetched.bytes, source: fetched.source.to_string() })
            }
        }
    }
}

fn fetch(url: &str) -> anyhow::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(DEADLINE).build()?;
        let mut answer = client.get(url).send().await.with_context(|| url.to_owned())?;
        anyhow::ensure!(answer.status().is_success(), "{url} answered {}", answer.status());
        let mut bytes = vec![];
        while let Some(part) = answer.chunk().await.with_context(|| url.to_owned())? {
            bytes.extend_from_slice(&part);
            anyhow::ensure!(bytes.len() as u64 <= LARGEST, "{url} is larger than {} MiB", LARGEST >> 20);
        }
        Ok(bytes)
    })
}
