//! A path, a version or a field that gives no value.

use super::{list, no_namespace, said, unknown_namespace};
use crate::diagnostic::nearest;
use crate::secret::Trouble;
use crate::secret::vault::answer::{Metadata, Reply, plain};
use crate::secret::vault::kv::{Place, Request};
use crate::secret::vault::server::Server;

pub(in super::super) fn no_path(server: &Server, path: &str) -> Trouble {
    let place = match &server.config.namespace {
        Some(namespace) => format!("{} (namespace {namespace})", server.name()),
        None => server.name(),
    };
    Trouble::new(
        format!("Vault at {place} has no secret {path}"),
        format!("`vault kv put {path} FIELD=-` writes one"),
    )
}

pub(in super::super) fn no_version(path: &str, version: u64, newest: u64) -> Trouble {
    Trouble::new(
        format!("{path} has no version {version}; the newest is {newest}"),
        "pin another, or none: then the newest is taken",
    )
}

pub(in super::super) fn no_versions(place: &Place) -> Trouble {
    let (path, version) = (&place.path, place.version.unwrap_or_default());
    Trouble::new(
        format!(
            "{path} can't be pinned to version {version}: it lies in a KV engine of version 1, which keeps none"
        ),
        "remove `version`, or `vault kv enable-versioning MOUNT`",
    )
}

pub(in super::super) fn deleted(path: &str, metadata: &Metadata) -> Trouble {
    let (version, when) = (metadata.version, plain(&metadata.deletion_time));
    // Up to the second.
    let when = when.split('.').next().unwrap_or_default().replace('T', " ");
    let when =
        if when.is_empty() { String::new() } else { format!(" at {} UTC", when.trim_end_matches('Z')) };
    Trouble::new(
        format!("version {version} of {path} was deleted{when}; its value is still there"),
        format!("`vault kv undelete -versions={version} {path}` brings it back"),
    )
}

pub(in super::super) fn destroyed(path: &str, version: u64, pinned: bool) -> Trouble {
    let what = format!("version {version} of {path} was destroyed; nothing brings its value back");
    let newer = format!("`vault kv put {path} FIELD=-`");
    let remedy = if pinned {
        format!("pin another version, or none: `vault kv metadata get {path}` lists them")
    } else {
        format!("write a new one: {newer}")
    };
    Trouble::new(what, remedy)
}

/// `secret/data/…`, as the API of KV 2 has it.
pub(in super::super) fn api_path(path: &str, written: &str) -> Trouble {
    Trouble::new(
        format!("there is no secret {path}: `data/` belongs to the API's path and not to the secret's"),
        format!("write vault = \"{written}\", as for `vault kv get`"),
    )
}

/// The stanza is written for the path that the API was asked for.
pub(in super::super) fn denied(path: &str, request: &Request, policies: &[String]) -> Trouble {
    let policies = match policies {
        [] => String::new(),
        some => format!(" (its policies: {})", list(some.iter().map(String::as_str))),
    };
    let stanza = |path: &str| format!("path \"{path}\" {{\n  capabilities = [\"read\"]\n}}");
    let what = format!("the token may not read {path}{policies}");
    let allow = format!("a policy of it must say:\n{}", stanza(&request.path));
    let remedy = if request.guessed {
        format!(
            "{allow}\nor, where the mount is a KV engine of version 1:\n{}\nif there is such a mount: `vault secrets list`",
            stanza(path)
        )
    } else {
        allow
    };
    Trouble::new(what, remedy)
}

pub(in super::super) fn which_field(path: &str, names: &[&str]) -> Trouble {
    if names.is_empty() {
        return Trouble::new(
            format!("{path} has no fields"),
            format!("`vault kv put {path} FIELD=-` writes one"),
        );
    }
    Trouble::new(
        format!("{path} has several fields"),
        format!("say which in `field`: {}", list(names.iter().copied())),
    )
}

pub(in super::super) fn no_field(path: &str, name: &str, names: &[&str]) -> Trouble {
    let what = format!("{path} has no field `{name}`");
    let has = match names {
        [] => "it has none at all".to_owned(),
        some => format!("it has {}", list(some.iter().copied())),
    };
    match nearest(name, names.iter().copied()) {
        Some(near) => Trouble::new(what, format!("did you mean {}? {has}", list([near]))),
        None => Trouble::new(what, has),
    }
}

pub(in super::super) fn unfit(path: &str, name: &str, is: &str) -> Trouble {
    Trouble::new(
        format!("the field `{name}` of {path} is {is}, and no text"),
        "write it as text, or name another field",
    )
}

pub(in super::super) fn empty(path: &str, name: &str) -> Trouble {
    Trouble::new(
        format!("the field `{name}` of {path} is empty"),
        format!("`vault kv patch {path} {name}=-`"),
    )
}

/// Every other answer to a read.
pub(in super::super) fn answered(server: &Server, path: &str, reply: &Reply) -> Trouble {
    let errors = reply.errors();
    if no_namespace(&errors) {
        return unknown_namespace(server);
    }
    let at = server.name();
    let text = said(&errors);
    if reply.status == 404 && text.contains("no handler for route") {
        let mount = path.split('/').next().unwrap_or_default();
        return Trouble::new(
            format!("Vault at {at} has nothing mounted at {mount}/, where {path} should lie"),
            "`vault secrets list` shows what is mounted; the path begins with one of these",
        );
    }
    if reply.status == 200 {
        return Trouble::from(format!("{path} of Vault at {at} is no secret of a KV engine"));
    }
    Trouble::from(format!("Vault at {at} answered {} to reading {path}{text}", reply.status))
}
