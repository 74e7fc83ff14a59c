//! (old, new) → what changes for the people on call.
//!
//! Two bundles are read back into the model that they were rendered from ([`Side`]), and
//! [`changes`] compares the models, not texts: a threshold, whom an alert wakes, what is
//! scraped, what will be restarted. What makes no difference to anyone is not said, only that
//! files differ.
//!
//! # The document of `monprov diff --json`
//!
//! Its shape is [`Changes`] and only grows. Empty lists and values that are not known are left
//! out, and what is compared comes sorted by name:
//!
//! ```text
//! {
//!   "schema": 1,
//!   "old": "708…-prod",                    left out where there is nothing to compare with
//!   "new": "k2x…-prod",
//!   "same": false,                         true where both are the same bundle
//!   "alerts": [{
//!     "name": "CeleryWorkerDown",
//!     "change": "changed",                 or added, removed, renamed
//!     "was": "WorkerDown",                 the name before, where it was renamed
//!     "origin": "profiles/prod.toml:12",   where it was added, renamed or switched off
//!     "severity": "critical",
//!     "channels": {                        where they differ; of an added or removed alert always
//!       "old": [{"name": "e-mail", "sure": true}],
//!       "new": [{"name": "pager", "sure": true}],
//!       "route": "routes.critical",        what takes it to a channel that is new to it
//!       "origin": "profiles/prod.toml:20"
//!     },
//!     "fields": [{
//!       "field": "threshold",              named as in a profile
//!       "channel": "pager",                where it is about one of several channels of the alert
//!       "old": "100 messages",             left out where it was not set
//!       "new": "500 messages",             left out where it is not set any more
//!       "origin": "profiles/prod.toml:12"
//!     }]
//!   }],
//!   "records": [], "channels": [], "scrapes": [], "services": [], "secrets": [],
//!   "dashboards": [], "variables": [],     of name, change, was, origin and fields, as above
//!   "stack": [],                           fields of the stack as a whole: runtime, network
//!   "will": {"create": [], "restart": [], "reload": [], "remove": []},    services
//!   "files": [{"path": "prometheus/prometheus.yml", "change": "changed", "diff": "--- a/…"}]
//! }
//! ```
//!
//! An alert is `sure` to reach a channel unless labels that only its samples have decide. A
//! panel is called `DASHBOARD/PANEL`. `will` is left out where the sides are of different
//! profiles. `diff` is there with `--files`. No secret's value is in either side.

mod alerts;
mod dashboards;
mod delivery;
mod fact;
mod files;
mod origins;
mod pairs;
mod side;
mod things;
mod will;

use serde::Serialize;

pub use files::FileChange;
pub use origins::Origins;
pub use side::{Side, SideError};
pub use will::Will;

/// Everything that changes from one bundle to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changes {
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    pub new: String,
    pub same: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertChange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scrapes: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dashboards: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub will: Option<Will>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
}

/// The version of the document.
const SCHEMA: u32 = 1;

/// What happens to a thing that has a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    pub name: String,
    pub change: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Added,
    Removed,
    Changed,
    Renamed,
}

/// A value of a thing, before and after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Field {
    pub field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// What happens to an alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertChange {
    #[serde(flatten)]
    pub change: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

/// Whom an alert reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Channels {
    pub old: Vec<Reached>,
    pub new: Vec<Reached>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A channel that an alert reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reached {
    pub name: String,
    pub sure: bool,
}

impl Changes {
    /// True where nothing changes but the bytes of files.
    pub fn is_only_files(&self) -> bool {
        let things = [
            &self.records,
            &self.channels,
            &self.scrapes,
            &self.services,
            &self.secrets,
            &self.dashboards,
            &self.variables,
        ];
        self.stack.is_empty() && self.alerts.is_empty() && things.iter().all(|list| list.is_empty())
    }
}

/// Compares two bundles; without an old one, all that the new one has is new.
pub fn changes(old: Option<&Side>, new: &Side) -> Changes {
    let things =
        |of: fn(&Side) -> things::Things| pairs::compare(&old.map(of).unwrap_or_default(), &of(new), new);
    Changes {
        schema: SCHEMA,
        old: old.map(|side| side.name.clone()),
        new: new.name.clone(),
        same: old.is_some_and(|old| old.tree == new.tree),
        stack: old.map_or_else(Vec::new, |old| {
            fact::fields(&things::stack(old), &things::stack(new), &|path| new.origins.of_value(path))
        }),
        alerts: alerts::compare(old, new),
        records: things(things::records),
        channels: things(things::channels),
        scrapes: things(things::scrapes),
        services: things(things::services),
        secrets: things(things::secrets),
        dashboards: dashboards::compare(old, new),
        variables: things(things::variables),
        will: will::will(old, new),
        files: files::compare(old.map(|side| &side.tree), &new.tree),
    }
}

impl Changes {
    /// Adds to each changed file how its lines differ.
    #[must_use]
    pub fn with_texts(mut self, old: Option<&Side>, new: &Side) -> Self {
        files::texts(&mut self.files, old.map(|side| &side.tree), &new.tree);
        self
    }
}
