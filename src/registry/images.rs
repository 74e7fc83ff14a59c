//! What tags of images mean.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use oci_client::RegistryOperation;

use super::manifest::{CONFIGS, Manifest, part, platform};
use super::patience::ONE;
use super::{Registries, Trouble, address};
use crate::pins::Image;

/// So many are asked for at once.
const AT_ONCE: usize = 8;
/// An image's configuration is no larger.
const LARGEST_CONFIG: u64 = 8 << 20;

impl Registries {
    /// What each tag means now, or why that is not known; `step` is called after each.
    pub fn images<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        step: impl Fn(),
    ) -> anyhow::Result<BTreeMap<String, Result<Image, Trouble>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let one = async |name: &str| {
            let found = self.image(name, None).await;
            step();
            (name.to_owned(), found)
        };
        let all = futures_util::stream::iter(names).map(one).buffer_unordered(AT_ONCE);
        Ok(runtime.block_on(all.collect::<Vec<_>>()).into_iter().collect())
    }

    /// Whether a registry still has what a tag meant once.
    pub fn has(&self, name: &str, digest: &str) -> anyhow::Result<Result<bool, Trouble>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(match runtime.block_on(self.image(name, Some(digest))) {
            Ok(_) => Ok(true),
            Err(trouble) if trouble.missing => Ok(false),
            Err(trouble) => Err(trouble),
        })
    }

    async fn image(&self, name: &str, digest: Option<&str>) -> Result<Image, Trouble> {
        let mut reference = address::image(name).map_err(|why| Trouble::new(why, "mind the profile"))?;
        if let Some(digest) = digest {
            reference = reference.clone_with_digest(digest.to_owned());
        }
        let session = self.session(reference, RegistryOperation::Pull).await?;
        let (content, manifest) = session.manifest().await?;
        let wrong = |why: String| Trouble::wrong(&session.host, format!("{name}: {why}"));
        let platforms = match manifest {
            Manifest::Index(platforms) => platforms,
            Manifest::One(one) => {
                let (config, size) =
                    part(&one.config, &CONFIGS, LARGEST_CONFIG, "configuration").map_err(wrong)?;
                let bytes = session.blob(config, size, ONE).await?;
                BTreeMap::from([(platform(&bytes).map_err(wrong)?, content.digest.clone())])
            }
        };
        Ok(Image { digest: content.digest, platforms })
    }
}
