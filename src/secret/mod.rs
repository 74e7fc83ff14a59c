//! Secrets: where they come from, a type that can't be printed, and handing them to services.
//!
//! [`resolve()`] asks one [`Provider`] per kind of source, each for all that it may have at
//! once. What is found is held against its constraints. Nothing here writes a value anywhere
//! but [`HandOver`], at activation.

mod env;
pub mod envfile;
mod exec;
mod file;
mod files;
mod fill;
mod generate;
mod hand_over;
mod history;
mod judge;
mod leaks;
mod place;
mod resolve;
mod vault;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::diagnostic::Code;
use crate::stack::{Origin, Secrets};

pub use env::Environment;
pub use hand_over::{Change, Changes, Error, HandOver, wipe};
pub use history::{SecretGeneration, Source, history, last, outstanding, sync, taken_up};
pub use leaks::leaks;
pub use place::handed_over;
pub use resolve::{M501, Resolved, Value, resolve};

pub static CODES: &[&Code] =
    &[&M501, &leaks::M502, &judge::M503, &judge::M504, &judge::M505, &resolve::M506, &resolve::M507];

/// A value that nobody may see: no `Display`, no `Serialize`, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: String) -> Self {
        Secret(Zeroizing::new(value))
    }

    /// For the one place that hands it over.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where to look, and for which secret.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The secret's name in the profile.
    pub name: &'a str,
    pub origin: &'a Origin,
}

/// What a provider has to say to a request.
#[derive(Debug, Clone)]
pub enum Answer {
    Found(Found),
    /// There is nothing yet; the first hand-over to a service will make it.
    Later,
    /// It works, but has no such secret.
    Missing(Trouble),
    /// It can't tell.
    Failed(Trouble),
}

/// A value, and what is known about it.
#[derive(Debug, Clone)]
pub struct Found {
    pub secret: Secret,
    /// The version that its source gives it.
    pub version: Option<u64>,
    /// What is unsafe about the way it is kept.
    pub warning: Option<Trouble>,
}

impl Found {
    /// A value of which nothing else is known.
    fn plain(secret: Secret) -> Answer {
        Answer::Found(Found { secret, version: None, warning: None })
    }
}

/// What is wrong, in one sentence, and what to do about it. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    pub what: String,
    pub remedy: Option<String>,
}

impl Trouble {
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Trouble { what: what.into(), remedy: Some(remedy.into()) }
    }
}

impl From<String> for Trouble {
    fn from(what: String) -> Self {
        Trouble { what, remedy: None }
    }
}

/// One kind of source.
pub trait Provider {
    /// One answer a request, in their order.
    fn get(&self, requests: &[Request<'_>]) -> Vec<Answer>;
}

/// A request that was handed to the wrong provider.
fn not_mine(origin: &Origin) -> Answer {
    Answer::Failed(Trouble::from(format!("{} was asked of the wrong provider", origin.provider())))
}

/// The providers of a profile.
#[expect(missing_debug_implementations, reason = "there is nothing to see but places")]
pub struct Providers<'a> {
    local: Local<'a>,
    generate: generate::Generator,
    /// `None` where no secret lies there: then nothing of it is even read.
    vault: Option<vault::Vault<'a>>,
}

/// Those that need no server and make nothing: the credentials of servers come from here too.
#[derive(Clone)]
struct Local<'a> {
    environment: &'a Environment,
    file: file::Files<'a>,
    exec: exec::Exec<'a>,
}

/// What providers need to know of a project.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub environment: &'a Environment,
    /// The folder of profiles: relative paths start here, commands run here.
    pub profiles: &'a Path,
    /// The state directory.
    pub state: &'a Path,
    /// The profile's name.
    pub profile: &'a str,
    /// Secrets that are not there yet are generated. Only the hand-over to services does so.
    pub generate: bool,
}

impl<'a> Providers<'a> {
    pub fn new(secrets: &'a Secrets, context: Context<'a>) -> Self {
        let Context { environment, profiles, .. } = context;
        let local = Local {
            environment,
            file: file::Files { base: profiles, environment },
            exec: exec::Exec {
                directory: profiles,
                hidden: variables(secrets),
                known: environment.commands(),
            },
        };
        let directory = generate::directory(context.state, context.profile);
        Providers {
            vault: secrets
                .vault
                .as_ref()
                .map(|settings| vault::Vault::new(settings, environment, local.clone(), profiles)),
            local,
            generate: generate::Generator { directory, create: context.generate },
        }
    }

    /// The provider of one kind of source.
    fn of(&self, origin: &Origin) -> &dyn Provider {
        match (origin, &self.vault) {
            (Origin::Generate(_), _) => &self.generate,
            (Origin::Vault(_), Some(vault)) => vault,
            _ => self.local.of(origin),
        }
    }
}

impl Local<'_> {
    fn of(&self, origin: &Origin) -> &dyn Provider {
        match origin {
            Origin::File(_) => &self.file,
            Origin::Exec(_) => &self.exec,
            _ => self.environment,
        }
    }
}

/// Variables of the process environment that hold secrets: no child inherits them.
pub fn variables(secrets: &Secrets) -> BTreeSet<String> {
    let auth = secrets.vault.iter().map(|vault| &vault.auth);
    let credentials = auth.flat_map(|auth| [&auth.token, &auth.jwt, &auth.secret_id]).flatten();
    let origins = secrets.sources.values().flatten().map(|source| &source.origin).chain(credentials);
    let names = origins.filter_map(|origin| match origin {
        Origin::Env(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}
