//! The token that reads: one that was given, or one of a login of our own.
//!
//! ```text
//! VAULT_TOKEN, where it is set
//! token        `vault.auth.token`, else ~/.vault-token; unwrapped where `wrapped`
//! approle      role_id, and secret_id where the role wants one; unwrapped where `wrapped`
//! kubernetes   role, and the service account's token
//! jwt          jwt, and role where the server has no default
//! ```

use reqwest::Method;
use serde::Serialize;
use zeroize::Zeroizing;

use super::answer::Reply;
use super::server::{Call, Server};
use super::settings::variable;
use super::{Environment, Local, messages};
use crate::profile::settings::VaultMethod;
use crate::secret::{Answer, Request, Secret, Trouble};
use crate::stack::{Origin, VaultAuth};

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

pub(super) struct Login<'a> {
    pub(super) settings: &'a VaultAuth,
    pub(super) environment: &'a Environment,
    pub(super) credentials: Local<'a>,
}

#[derive(Clone)]
pub(super) struct Token {
    /// `None` where an agent adds its own.
    secret: Option<Secret>,
    pub(super) from: From,
}

/// What a login sends.
#[derive(Default, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// `VAULT_TOKEN`, `~/.vault-token` or what the profile names.
    Given(String),
    /// What was wrapped under that.
    Unwrapped(String),
    /// A login by this method.
    Login(&'static str),
}

/// What a server that denies a request thinks of the token itself.
pub(super) enum Standing {
    /// It lives, and has these policies.
    Good(Vec<String>),
    Refused,
}

impl Token {
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// There can be another by one more login.
    pub(super) fn renewable(&self) -> bool {
        matches!(self.from, From::Login(_))
    }
}

impl Login<'_> {
    pub(super) async fn token(&self, server: &Server) -> Result<Token, Trouble> {
        if let Some(found) = variable(self.environment, "TOKEN") {
            let wrapped = self.settings.wrapped && self.settings.method == VaultMethod::Token;
            return given(server, Secret::new(found.value), found.by, wrapped).await;
        }
        match self.settings.method {
            VaultMethod::Token => self.given(server).await,
            VaultMethod::AppRole => self.approle(server).await,
            VaultMethod::Kubernetes => {
                let default = Origin::File(SERVICE_ACCOUNT.to_owned());
                let jwt = self.credential("jwt", self.settings.jwt.as_ref().unwrap_or(&default))?;
                self.jwt(server, "kubernetes", &jwt).await
            }
            VaultMethod::Jwt => {
                let Some(origin) = &self.settings.jwt else { return Err(messages::no_credential("jwt")) };
                let jwt = self.credential("jwt", origin)?;
                self.jwt(server, "jwt", &jwt).await
            }
        }
    }

    async fn given(&self, server: &Server) -> Result<Token, Trouble> {
        let wrapped = self.settings.wrapped;
        if let Some(origin) = &self.settings.token {
            let secret = self.credential("token", origin)?;
            return given(server, secret, format!("{} {origin}", origin.provider()), wrapped).await;
        }
        // Where `vault login` leaves it.
        let path = variable(self.environment, "TOKEN_PATH").map(|path| path.value);
        let path = path.unwrap_or_else(|| "~/.vault-token".to_owned());
        match self.ask(&Origin::File(path.clone())) {
            Answer::Found(found) => {
                let secret = Secret::new(found.secret.expose().trim().to_owned());
                given(server, secret, path, wrapped).await
            }
            Answer::Failed(trouble) => Err(messages::credential("token", trouble)),
            _ if server.config.agent => Ok(Token { secret: None, from: From::Given("the agent".to_owned()) }),
            _ => Err(messages::no_token(&server.name(), &path)),
        }
    }

    async fn approle(&self, server: &Server) -> Result<Token, Trouble> {
        let mut secret_id = None;
        if let Some(origin) = &self.settings.secret_id {
            let mut found = self.credential("secret_id", origin)?;
            if self.settings.wrapped {
                let from = format!("{} {origin}", origin.provider());
                let reply = unwrap(server, &found, &from).await?;
                found = reply.text("secret_id").ok_or_else(|| messages::wrapped_other(&from, "secret_id"))?;
            }
            secret_id = Some(found);
        }
        let body = Body {
            role_id: self.settings.role_id.as_deref(),
            secret_id: secret_id.as_ref().map(Secret::expose),
            ..Body::default()
        };
        self.log_in(server, "approle", &body).await
    }

    async fn jwt(&self, server: &Server, method: &'static str, jwt: &Secret) -> Result<Token, Trouble> {
        let role = self.settings.role.as_deref();
        let body = Body { role, jwt: Some(jwt.expose()), ..Body::default() };
        self.log_in(server, method, &body).await
    }

    async fn log_in(&self, server: &Server, method: &'static str, body: &Body<'_>) -> Result<Token, Trouble> {
        let mount = self.settings.mount.as_deref().unwrap_or(method);
        let path = format!("auth/{mount}/login");
        let json = Zeroizing::new(serde_json::to_vec(body).unwrap_or_default());
        let reply = server.send(&Call::post(&path, None, json)).await?;
        match reply.client_token() {
            Some(secret) if reply.status == 200 => {
                Ok(Token { secret: Some(secret), from: From::Login(method) })
            }
            _ => {
                let said = reply.errors().iter().map(|text| redact(text, body)).collect();
                Err(messages::login(server, method, mount, self.settings, reply.status, said))
            }
        }
    }

    fn credential(&self, what: &str, origin: &Origin) -> Result<Secret, Trouble> {
        match self.ask(origin) {
            Answer::Found(found) => Ok(found.secret),
            Answer::Missing(trouble) | Answer::Failed(trouble) => Err(messages::credential(what, trouble)),
            Answer::Later => Err(messages::no_credential(what)),
        }
    }

    fn ask(&self, origin: &Origin) -> Answer {
        let request = Request { name: "vault", origin };
        let mut answers = self.credentials.of(origin).get(&[request]);
        answers.pop().unwrap_or(Answer::Later)
    }
}

async fn given(server: &Server, secret: Secret, from: String, wrapped: bool) -> Result<Token, Trouble> {
    if !wrapped {
        return Ok(Token { secret: Some(secret), from: From::Given(from) });
    }
    let reply = unwrap(server, &secret, &from).await?;
    // A token that was created wrapped, or one that somebody wrapped by hand.
    let found = reply.client_token().or_else(|| reply.text("token"));
    let secret = found.ok_or_else(|| messages::wrapped_other(&from, "token"))?;
    Ok(Token { secret: Some(secret), from: From::Unwrapped(from) })
}

async fn unwrap(server: &Server, token: &Secret, from: &str) -> Result<Reply, Trouble> {
    let body = Zeroizing::new(b"{}".to_vec());
    let call = Call { once: true, ..Call::post("sys/wrapping/unwrap", Some(token), body) };
    let reply = server.send(&call).await?;
    match reply.status {
        200 => Ok(reply),
        status => Err(messages::unwrap(server, from, status, &reply.errors())),
    }
}

/// Is it the token that is denied, or what it asked for?
pub(super) async fn standing(server: &Server, token: &Token) -> Standing {
    #[derive(serde::Deserialize)]
    struct Found {
        #[serde(default)]
        policies: Vec<String>,
        #[serde(default)]
        identity_policies: Vec<String>,
    }
    match server.send(&Call::get("auth/token/lookup-self", token.secret())).await {
        Ok(reply) if reply.status == 403 && is_refusal(&reply.errors()) => Standing::Refused,
        Ok(reply) => {
            let found: Option<Found> = reply.data();
            let policies = found.map(|found| [found.policies, found.identity_policies].concat());
            Standing::Good(policies.unwrap_or_default())
        }
        Err(_) => Standing::Good(vec![]),
    }
}

/// A token without the right to look itself up is denied in the words in which any request is:
/// `1 error occurred: * permission denied`.
fn is_refusal(said: &[String]) -> bool {
    let said = said.join(" ");
    said == "permission denied" || said.contains("invalid token") || said.contains("bad token")
}

pub(super) async fn revoke(server: &Server, token: &Token) {
    let call =
        Call { method: Method::POST, once: true, ..Call::get("auth/token/revoke-self", token.secret()) };
    server.start();
    let _ = server.send(&call).await;
}

/// A server that repeats what it was sent must not make us print it.
fn redact(text: &str, body: &Body<'_>) -> String {
    let hidden = [body.secret_id, body.jwt].into_iter().flatten().filter(|secret| !secret.is_empty());
    hidden.fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}
