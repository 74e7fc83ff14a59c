//! What people are told: one function for each way in which Vault gives no value, with what to
//! do about it. Nothing in here ever sees a value, a token or a secret id.

mod login;
mod read;
mod server;

pub(super) use login::*;
pub(super) use read::*;
pub(super) use server::*;

use crate::secret::Trouble;

/// Names in backticks: `` `a`, `b` ``.
fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> =
        names.into_iter().map(|name| format!("`{}`", super::answer::plain(name))).collect();
    names.join(", ")
}

/// What a server said, to stand behind a sentence.
fn said(errors: &[String]) -> String {
    if errors.is_empty() { String::new() } else { format!(": {}", errors.join("; ")) }
}

/// Its answer to a path outside of every mount or in a namespace that it does not know.
fn no_namespace(errors: &[String]) -> bool {
    errors.iter().any(|error| error.contains("namespace not found") || error.contains("no such namespace"))
}

fn unknown_namespace(server: &super::server::Server) -> Trouble {
    let what = match &server.config.namespace {
        Some(namespace) => format!("Vault at {} has no namespace `{namespace}`", server.name()),
        None => format!("Vault at {} does not know the namespace in the path", server.name()),
    };
    Trouble::new(
        what,
        "mind VAULT_NAMESPACE and `vault.namespace`; `vault namespace list` shows those that there are",
    )
}
