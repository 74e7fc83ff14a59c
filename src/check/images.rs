//! Images: well formed, and named as exactly as the profile demands.

use crate::diagnostic::{Code, Finding, Place};
use crate::stack::{ImagePolicy, Service, ServiceKind, Stack, Version};

pub static M310: Code = Code {
    id: "M310",
    title: "an image's name is malformed",
    explain:
        "An image is named `[HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]`: the path in small letters, a tag of
letters, digits and `._-`, a digest of 64 hexadecimal digits.

    image = \"prom/prometheus:v3.14.0\"",
};

pub static M311: Code = Code {
    id: "M311",
    title: "an image is named less exactly than the profile demands",
    explain:
        "What a tag like `latest` means changes under your feet: two hosts, or the same host on two days, run
different programs from one bundle. `[build] images = \"version\"` (the default) demands a tag that is a
version, `\"digest\"` a pin as well (M340), `\"any\"` takes everything.

    image = \"prom/prometheus\"          # whatever is newest
    image = \"prom/prometheus:v3.14.0\"  # always the same release",
};

pub static M340: Code = Code {
    id: "M340",
    title: "an image is not pinned",
    explain:
        "With `[build] images = \"digest\"` a bundle names each image by the digest of what its tag means, so that
what runs is what was looked at, wherever and whenever it is started. Tags stay in the profile; what
they mean stands in monprov.lock, which is checked in. A build asks no registry and changes no pin:

    monprov lock prod           # asks the registries, and pins what prod names
    monprov lock --update       # what do the tags mean now?

A digest may also stand in the profile: `image = \"prom/prometheus:v3.14.0@sha256:…\"`.",
};

pub static CODES: &[&Code] = &[&M310, &M311, &M340];

/// `sha256:` and 64 hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The parts of an image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    pub repository: &'a str,
    pub tag: Option<&'a str>,
    pub digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// The grammar is that of `distribution/reference`.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
            return Err(format!("`{digest}` is no digest: `sha256:` and 64 hexadecimal digits"));
        }
        // A colon before the last slash belongs to the host's port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if tag.is_empty() || tag.len() > 128 || tag.starts_with(['.', '-']) || !tag.chars().all(fits) {
                return Err(format!("`{tag}` is no tag: letters, digits and `._-`"));
            }
        }
        let mut parts = repository.split('/').peekable();
        // The first part is a host where it has a dot or a port, or is `localhost`.
        let host = parts.next_if(|p| p.contains(['.', ':']) || *p == "localhost");
        let host_fits = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        if host.is_some_and(|h| !h.chars().all(host_fits)) {
            return Err(format!("`{}` is no host", host.unwrap_or_default()));
        }
        let path: Vec<&str> = parts.collect();
        let component = |p: &&str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            !p.is_empty()
                && p.chars().all(inner)
                && !p.starts_with(['.', '_', '-'])
                && !p.ends_with(['.', '_', '-'])
        };
        match path.iter().find(|p| !component(p)) {
            None if !path.is_empty() => Ok(Reference { repository, tag, digest }),
            Some(wrong) if wrong.chars().any(|c| c.is_ascii_uppercase()) => {
                Err(format!("`{wrong}` has capital letters; repositories are written in small ones"))
            }
            _ => Err(format!("`{repository}` names no repository")),
        }
    }
}

pub fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    if stack.runtime.in_containers() {
        for service in stack.services.values() {
            if let Some(image) = &service.image {
                findings.extend(one(stack, service, image));
            }
        }
    }
    findings
}

fn one(stack: &Stack, service: &Service, image: &str) -> Option<Finding> {
    let place = Place::setting(service.at.join("image"));
    let reference = match Reference::parse(image) {
        Ok(reference) => reference,
        Err(why) => return Some(Finding::error(&M310, place, format!("not an image: {why}"))),
    };
    let repository = reference.repository;
    let version = reference.tag.and_then(Version::parse);
    let known = service.kind != ServiceKind::Exporter;
    let (message, label) = match (stack.images, reference.tag, reference.digest) {
        (ImagePolicy::Any, _, _) | (ImagePolicy::Version | ImagePolicy::Digest, _, Some(_)) => return None,
        (ImagePolicy::Digest, _, None) => {
            let message = format!("`{image}` is not pinned in monprov.lock");
            let remedy = format!("monprov lock {}", stack.name);
            return Some(
                Finding::error(&M340, place, message)
                    .label("named by tag alone")
                    .note(format!("pin what it means now: {remedy}"))
                    .note("the profile demands `images = \"digest\"`"),
            );
        }
        (ImagePolicy::Version, None, None) => {
            (format!("`{image}` names no version, so it means `latest`"), format!("{repository}:VERSION"))
        }
        (ImagePolicy::Version, Some(tag), None) if version.is_none() => {
            (format!("the tag `{tag}` is no version"), format!("{repository}:VERSION"))
        }
        (ImagePolicy::Version, Some(tag), None) if known && !tag.contains('.') => {
            (format!("the tag `{tag}` moves with every release"), format!("{repository}:MAJOR.MINOR.PATCH"))
        }
        (ImagePolicy::Version, Some(_), None) => return None,
    };
    Some(
        Finding::error(&M311, place, message).label(label).note("the profile demands `images = \"version\"`"),
    )
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let pinned = format!("ghcr.example:5000/a/b_c:v1.0@{digest}");
        let parsed = Reference::parse(&pinned).unwrap();
        assert_eq!(parsed.repository, "ghcr.example:5000/a/b_c");
        assert_eq!((parsed.tag, parsed.digest), (Some("v1.0"), Some(digest.as_str())));
        assert_eq!(Reference::parse("localhost:5000/x").unwrap().tag, None);
        for good in ["redis", "prom/prometheus:v3.14.0", "a.example/b", "x:1", "x__y/z:latest"] {
            Reference::parse(good).unwrap_or_else(|e| panic!("{good}: {e}"));
        }
        for bad in [
            "",
            ":1",
            "Prom/Prometheus:v1",
            "a//b",
            "x:",
            "x:.1",
            "x@sha256:12",
            "x@md5:1",
            "a b",
            "x:a/b:",
            "/x",
            "-x",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
