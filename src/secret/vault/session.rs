//! A session with a server: one login, and one read a path, whatever is asked and however often.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::runtime::{Builder, Runtime};

use super::kv::{self, Mounts, Outcome, Place};
use super::login::{self, Login, Standing, Token};
use super::server::Server;
use super::{Environment, SIDE_BY_SIDE, Settings, field, messages, settings};
use crate::secret::{Answer, Trouble, not_mine};
use crate::stack::Origin;

/// Nobody waits longer for a token to be given back.
const GIVE_BACK: Duration = Duration::from_secs(2);

pub(super) struct Session {
    server: Server,
    /// Connections live in it, so it outlives a round. `None` only in `drop`.
    runtime: Option<Runtime>,
    /// What the login gave; one that failed is not tried again.
    token: RefCell<Option<Result<Token, Trouble>>>,
    mounts: RefCell<Mounts>,
    read: RefCell<BTreeMap<Place, Outcome>>,
}

impl Session {
    pub(super) fn open(
        settings: &Settings,
        environment: &Environment,
        base: &Path,
    ) -> Result<Session, Trouble> {
        let config = settings::read(settings, environment, base)?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| Trouble::from(format!("no runtime for requests: {error}")))?;
        Ok(Session {
            server: Server::new(config),
            runtime: Some(runtime),
            token: RefCell::default(),
            mounts: RefCell::default(),
            read: RefCell::default(),
        })
    }

    /// Reads what was not read yet.
    pub(super) fn fetch(&self, login: &Login<'_>, places: impl Iterator<Item = Place>) {
        let known = self.read.borrow();
        let mut open: Vec<Place> = places.filter(|place| !known.contains_key(place)).collect();
        drop(known);
        open.sort();
        open.dedup();
        if let Some(runtime) = &self.runtime
            && !open.is_empty()
        {
            self.server.start();
            runtime.block_on(self.fetch_all(login, open));
            self.server.stop();
        }
    }

    async fn fetch_all(&self, login: &Login<'_>, mut open: Vec<Place>) {
        // A token may end between the login and a read; then there is one more login.
        for last in [false, true] {
            let token = match self.token(login).await {
                Ok(token) => token,
                Err(trouble) => return self.keep_all(open, &trouble),
            };
            let paths = open.iter().map(|place| place.path.as_str());
            let mounts = self.mounts.take().find(&self.server, &token, paths).await;
            let reads = open.drain(..).map(|place| async {
                let outcome = kv::read(&self.server, &token, &mounts, &place).await;
                (place, outcome)
            });
            let outcomes: Vec<(Place, Outcome)> =
                stream::iter(reads).buffer_unordered(SIDE_BY_SIDE).collect().await;
            self.mounts.replace(mounts);
            let mut denied = vec![];
            for (place, outcome) in outcomes {
                match outcome {
                    Outcome::Denied(request) => denied.push((place, request)),
                    other => self.keep(place, other),
                }
            }
            if denied.is_empty() {
                return;
            }
            match login::standing(&self.server, &token).await {
                Standing::Refused if token.renewable() && !last => {
                    self.token.take();
                    self.mounts.borrow_mut().forget_unknown();
                    open = denied.into_iter().map(|(place, _)| place).collect();
                }
                Standing::Refused => {
                    let trouble = messages::token_refused(&self.server.name(), &token, last);
                    return self.keep_all(denied.into_iter().map(|(place, _)| place), &trouble);
                }
                Standing::Good(policies) => {
                    for (place, request) in denied {
                        let trouble = messages::denied(&place.path, &request, &policies);
                        self.keep(place, Outcome::Failed(trouble));
                    }
                    return;
                }
            }
        }
    }

    async fn token(&self, login: &Login<'_>) -> Result<Token, Trouble> {
        if let Some(token) = &*self.token.borrow() {
            return token.clone();
        }
        let token = login.token(&self.server).await;
        self.token.replace(Some(token.clone()));
        token
    }

    fn keep(&self, place: Place, outcome: Outcome) {
        self.read.borrow_mut().insert(place, outcome);
    }

    fn keep_all(&self, places: impl IntoIterator<Item = Place>, trouble: &Trouble) {
        places.into_iter().for_each(|place| self.keep(place, Outcome::Failed(trouble.clone())));
    }

    /// What is unsafe about the connection.
    pub(super) fn warning(&self) -> Option<Trouble> {
        self.server.config.tls.skip_verify.as_deref().map(messages::unverified)
    }

    pub(super) fn answer(&self, origin: &Origin, warning: impl FnOnce() -> Option<Trouble>) -> Answer {
        let (Some(place), Origin::Vault(wanted)) = (Place::of(origin), origin) else {
            return not_mine(origin);
        };
        match self.read.borrow().get(&place) {
            Some(Outcome::Read(data)) => field::pick(data, wanted, warning),
            Some(Outcome::Missing(trouble)) => Answer::Missing(trouble.clone()),
            Some(Outcome::Failed(trouble)) => Answer::Failed(trouble.clone()),
            Some(Outcome::Denied(_)) | None => {
                Answer::Failed(Trouble::from(format!("{origin} was not read")))
            }
        }
    }
}

impl Drop for Session {
    /// A token of our own login is given back, so that a hundred builds a day leave no heap of
    /// leases. Best effort: it ends by itself anyway.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if let Some(Ok(token)) = self.token.take()
            && token.renewable()
        {
            runtime.block_on(async {
                let _ = tokio::time::timeout(GIVE_BACK, login::revoke(&self.server, &token)).await;
            });
        }
        // A look-up of a name can't be interrupted, and must not be waited for.
        runtime.shutdown_background();
    }
}
