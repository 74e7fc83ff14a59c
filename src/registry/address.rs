//! Names of images, and addresses of plugins: `oci://HOST/PATH:TAG[@sha256:DIGEST]`.

use std::fmt;

use oci_client::Reference;

use crate::check::images;

/// What an address of a plugin in a registry begins with.
pub const SCHEME: &str = "oci://";

/// The reference that Docker makes of an image's name: without a host it is the Hub's, there
/// without a path in `library/`, and without a tag `latest`.
pub(super) fn image(name: &str) -> Result<Reference, String> {
    images::Reference::parse(name)?;
    name.parse().map_err(|error| format!("`{name}` is no image: {error}"))
}

/// A plugin in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    name: String,
    digest: Option<String>,
}

impl Artifact {
    /// The address is not repeated in what is told: a password may stand in it.
    pub fn parse(address: &str) -> Result<Self, String> {
        let text = address.strip_prefix(SCHEME).ok_or("an address in a registry begins with `oci://`")?;
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) if images::is_digest(digest) => (name, Some(digest.to_owned())),
            Some(_) => return Err("after the `@` of an address stands a digest, `sha256:…`; users and passwords are those of `docker login`".into()),
            None => (text, None),
        };
        let parsed = images::Reference::parse(name)?;
        let host = parsed.repository.split_once('/').map_or("", |(host, _)| host);
        if !host.contains(['.', ':']) && host != "localhost" {
            return Err(format!("`{name}` names no registry: {SCHEME}registry.example/{name}"));
        }
        if parsed.tag.is_none() {
            return Err(format!("`{name}` names no tag: {SCHEME}{name}:1.0.0"));
        }
        image(name)?;
        Ok(Artifact { name: name.to_owned(), digest })
    }

    /// The same address with what its tag means.
    #[must_use]
    pub fn at(&self, digest: &str) -> Self {
        Artifact { name: self.name.clone(), digest: Some(digest.to_owned()) }
    }

    /// The tag alone, to be asked anew.
    #[must_use]
    pub fn by_tag(&self) -> Self {
        Artifact { name: self.name.clone(), digest: None }
    }

    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The address without its tag.
    pub fn repository(&self) -> &str {
        self.name.rsplit_once(':').map_or(&*self.name, |(repository, _)| repository)
    }

    /// The last part of the path: what it is called.
    pub fn title(&self) -> &str {
        self.repository().rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn reference(&self) -> Result<Reference, String> {
        let by_tag = image(&self.name)?;
        Ok(match &self.digest {
            Some(digest) => by_tag.clone_with_digest(digest.clone()),
            None => by_tag,
        })
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.name)?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_is_called_at_the_hub() {
        for (name, host, path, tag) in [
            ("redis", "docker.io", "library/redis", "latest"),
            ("redis:7", "docker.io", "library/redis", "7"),
            ("prom/prometheus:v3.14.0", "docker.io", "prom/prometheus", "v3.14.0"),
            ("docker.io/library/redis:7", "docker.io", "library/redis", "7"),
            ("index.docker.io/redis:7", "docker.io", "library/redis", "7"),
            ("quay.io/a/b:1", "quay.io", "a/b", "1"),
            ("localhost/b:1", "localhost", "b", "1"),
            ("127.0.0.1:5000/b:1", "127.0.0.1:5000", "b", "1"),
        ] {
            let parsed = image(name).unwrap();
            assert_eq!(
                (parsed.registry(), parsed.repository(), parsed.tag()),
                (host, path, Some(tag)),
                "{name}"
            );
        }
        assert_eq!(image("redis:7").unwrap().resolve_registry(), "index.docker.io");
    }

    #[test]
    fn addresses_of_plugins() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let by_tag = Artifact::parse("oci://registry.example:5000/team/naming:1.2.0").unwrap();
        assert_eq!((by_tag.title(), by_tag.digest()), ("naming", None));
        let exact = format!("{by_tag}@{digest}");
        assert_eq!(Artifact::parse(&exact).unwrap(), by_tag.at(&digest));
        assert_eq!(Artifact::parse(&exact).unwrap().by_tag(), by_tag);
        assert_eq!(by_tag.at(&digest).to_string(), exact);
        for (wrong, told) in [
            ("https://a.example/b:1", "begins with `oci://`"),
            ("oci://team/naming:1", "names no registry"),
            ("oci://a.example/b", "names no tag"),
            ("oci://me:canary-1@a.example/b:1", "docker login"),
            ("oci://a.example/b:1@sha256:00", "docker login"),
            ("oci://a.example/B:1", "capital letters"),
            ("oci://", "names no repository"),
        ] {
            let why = Artifact::parse(wrong).unwrap_err();
            assert!(why.contains(told) && !why.contains("canary"), "{wrong}: {why}");
        }
    }
}
