//! Vault's KV engine, versions 1 and 2, spoken to over its HTTP API. OpenBao speaks the same.
//!
//! ```text
//! settings ─► server (retries, redirects, one deadline) ◄─ tls (certificates, connections)
//!    session: login (one token a process) ─► kv (mounts, reads side by side) ─► field ─► Answer
//! ```
//!
//! Every way in which that can end has its words in [`messages`]. Not `vaultrs`: it neither
//! finds out which version of KV a mount is, nor retries, and what a 404 says of a deleted
//! version is left in it as the text of a transport error; what remains is a few paths.

mod alert;
mod answer;
mod field;
mod kv;
mod login;
mod messages;
mod server;
mod session;
mod settings;
mod tls;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use self::kv::Place;
use self::login::Login;
use self::session::Session;
use super::{Answer, Environment, Local, Provider, Request, Trouble};
use crate::stack::Vault as Settings;

/// Reads at a time: enough to hide a round trip, too few to trouble a server.
const SIDE_BY_SIDE: usize = 32;

/// What a profile reads from a Vault server.
pub(super) struct Vault<'a> {
    settings: &'a Settings,
    login: Login<'a>,
    /// Relative paths of certificates start here.
    base: &'a Path,
    /// What is unsafe about the connection is said once, with the first secret.
    warned: Cell<bool>,
}

/// The sessions of this process, by where they lead. A command may resolve more than once (a
/// switch does so to build and to activate), but logs in only once: a wrapped token would not
/// be good for another time.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Opened>>);

struct Opened {
    settings: Settings,
    base: PathBuf,
    session: Result<Session, Trouble>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions(…)")
    }
}

impl Sessions {
    /// Does something with the session, which is opened first where it is not yet.
    fn with<T>(
        &self,
        (settings, environment, base): (&Settings, &Environment, &Path),
        act: impl FnOnce(&Result<Session, Trouble>) -> T,
    ) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = all.iter().find(|opened| opened.settings == *settings && opened.base == base) {
            return act(&opened.session);
        }
        let session = Session::open(settings, environment, base);
        let result = act(&session);
        all.push(Opened { settings: settings.clone(), base: base.to_owned(), session });
        result
    }
}

impl<'a> Vault<'a> {
    /// `credentials` are where those of the login come from: env, file and exec.
    pub(super) fn new(
        settings: &'a Settings,
        environment: &'a Environment,
        credentials: Local<'a>,
        base: &'a Path,
    ) -> Self {
        let login = Login { settings: &settings.auth, environment, credentials };
        Vault { settings, login, base, warned: Cell::new(false) }
    }
}

impl Provider for Vault<'_> {
    /// Opens a session with the first request: until then not even its settings are looked at.
    fn get(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        let environment = self.login.environment;
        environment.vault().with((self.settings, environment, self.base), |session| match session {
            Ok(session) => self.answers(session, requests),
            Err(trouble) => requests.iter().map(|_| Answer::Failed(trouble.clone())).collect(),
        })
    }
}

impl Vault<'_> {
    fn answers(&self, session: &Session, requests: &[Request<'_>]) -> Vec<Answer> {
        session.fetch(&self.login, requests.iter().filter_map(|request| Place::of(request.origin)));
        let warning = || session.warning().filter(|_| !self.warned.replace(true));
        requests.iter().map(|request| session.answer(request.origin, warning)).collect()
    }
}
