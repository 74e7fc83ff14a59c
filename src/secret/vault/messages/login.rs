//! No token, or none that Vault takes.

use super::{list, no_namespace, said, unknown_namespace};
use crate::secret::Trouble;
use crate::secret::vault::login::{From, Token};
use crate::secret::vault::server::Server;
use crate::stack::VaultAuth;

pub(in super::super) fn no_token(server: &str, file: &str) -> Trouble {
    Trouble::new(
        format!("there is no token for Vault at {server}: VAULT_TOKEN is not set, and there is no {file}"),
        "`vault login`, or tell how to log in with `[vault.auth]`",
    )
}

pub(in super::super) fn unprintable_token() -> Trouble {
    Trouble::new(
        "the token for Vault has a line break or another unprintable character in it",
        "copy it again",
    )
}

pub(in super::super) fn no_credential(what: &str) -> Trouble {
    Trouble::new(format!("`vault.auth.{what}` is not set"), "say where it comes from: env, file or exec")
}

/// A credential's own source failed.
pub(in super::super) fn credential(what: &str, trouble: Trouble) -> Trouble {
    let Trouble { what: why, remedy } = trouble;
    Trouble { what: format!("`vault.auth.{what}` can't be had: {why}"), remedy }
}

/// The token is wrong, or its time is over. `again`: so is that of a second login.
pub(in super::super) fn token_refused(server: &str, token: &Token, again: bool) -> Trouble {
    let refused = |what: &str| {
        format!("Vault at {server} refuses the token {what}: it is wrong, expired, revoked or used up")
    };
    match &token.from {
        From::Given(from) => Trouble::new(
            refused(&format!("of {from}")),
            format!(
                "get a new one with `vault login`{}",
                if from.starts_with('~') { "" } else { ", and put it there" }
            ),
        ),
        From::Unwrapped(from) => Trouble::new(
            refused(&format!("that was wrapped in {from}")),
            "have a new one wrapped, with a longer time to live",
        ),
        From::Login(method) => Trouble::new(
            format!(
                "Vault at {server} refuses the token that it gave us with {method}{}",
                if again { ", twice" } else { "" }
            ),
            "mind the role's token_ttl and token_num_uses: the token must outlive the reads",
        ),
    }
}

pub(in super::super) fn unwrap(server: &Server, from: &str, status: u16, errors: &[String]) -> Trouble {
    let at = server.name();
    if no_namespace(errors) {
        return unknown_namespace(server);
    }
    if status == 400 || status == 403 {
        return Trouble::new(
            format!(
                "Vault at {at} can't unwrap the token of {from}: it was unwrapped already, has expired, or is none"
            ),
            "have it wrapped anew; if nobody here unwrapped it, someone else may have read what was in it: \
             then revoke that too",
        );
    }
    Trouble::from(format!(
        "Vault at {at} answered {status} to unwrapping the token of {from}{}",
        said(errors)
    ))
}

pub(in super::super) fn wrapped_other(from: &str, what: &str) -> Trouble {
    Trouble::new(
        format!("what was wrapped in {from} is no {what}"),
        format!("wrap the {what} itself; the wrapping token is used up now"),
    )
}

pub(in super::super) fn login(
    server: &Server,
    method: &str,
    mount: &str,
    auth: &VaultAuth,
    status: u16,
    errors: Vec<String>,
) -> Trouble {
    let at = server.name();
    let role = auth.role.as_deref().unwrap_or("the default role");
    if no_namespace(&errors) {
        return unknown_namespace(server);
    }
    let text = said(&errors);
    let no_route = text.contains("no handler for route") || text.contains("unsupported path");
    if status == 404 && no_route || status == 403 && method == "approle" && errors == ["permission denied"] {
        return Trouble::new(
            format!("Vault at {at} has no login at auth/{mount}"),
            format!("mind `vault.auth.mount`; `vault auth enable -path={mount} {method}` sets one up"),
        );
    }
    let what = format!("Vault at {at} refuses the login at auth/{mount}{text}");
    let remedy = match method {
        "approle" if auth.secret_id.is_none() => {
            "if the role wants a secret id, say in `vault.auth.secret_id` where it comes from".to_owned()
        }
        "approle" => "the role_id is wrong, or the secret id is wrong, expired or used up; a new one: \
                      `vault write -f auth/approle/role/ROLE/secret-id`"
            .to_owned(),
        "kubernetes" => format!(
            "{} must take this pod's service account and namespace: `vault read auth/{mount}/role/{role}`",
            list([role])
        ),
        _ => format!(
            "{} must take the token's claims (aud, sub, …): `vault read auth/{mount}/role/{role}`",
            list([role])
        ),
    };
    Trouble::new(what, remedy)
}
