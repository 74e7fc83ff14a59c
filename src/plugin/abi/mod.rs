//! The ABI: which of its versions and interfaces a component has, and the calls. The rest of
//! the room speaks the newest version, whose types are [`types`], [`thresholds`] and [`policy`];
//! an older one has bindings of its own, and what goes through them is converted.

mod v1_0;
mod v1_1;

use super::call::{Answer, Failed};
use super::component::Linked;

pub(super) use v1_1::{channel, meta, policy, thresholds, types};

/// A version of the ABI, as `plugins/wit` has a folder for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Abi {
    V1_0,
    V1_1,
}

/// What every version is a version of.
pub(super) const PACKAGE: &str = "monprov:plugin";

impl Abi {
    /// Those that this release hosts, the newest first.
    pub const HOSTED: [Abi; 2] = [Abi::V1_1, Abi::V1_0];

    pub fn version(self) -> &'static str {
        match self {
            Abi::V1_0 => "1.0.0",
            Abi::V1_1 => "1.1.0",
        }
    }

    /// An interface, as a component exports it.
    pub(super) fn interface(self, name: &str) -> String {
        format!("{PACKAGE}/{name}@{}", self.version())
    }
}

/// The hosted versions, for people.
pub(super) fn hosted() -> String {
    let versions: Vec<_> = Abi::HOSTED.iter().rev().map(|abi| abi.version()).collect();
    versions.join(" and ")
}

/// What a plugin can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    Thresholds,
    Policy,
    Channel,
}

impl World {
    pub const ALL: [World; 3] = [World::Thresholds, World::Policy, World::Channel];

    /// Its name, which its interface has too.
    pub fn name(self) -> &'static str {
        match self {
            World::Thresholds => "thresholds",
            World::Policy => "policy",
            World::Channel => "channel",
        }
    }
}

/// What a plugin gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    /// A document.
    pub(super) settings: &'a String,
    pub(super) alerts: &'a [types::Alert],
    pub(super) seen: &'a [types::Observation],
    /// The document of the stack.
    pub(super) stack: &'a String,
}

/// What a channel delivers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery<'a> {
    /// A document.
    pub(super) settings: &'a String,
    pub(super) group: &'a channel::Group,
    pub(super) now_ms: f64,
}

/// What a role returns: its answer, or why there is none.
pub(super) type Returned<T> = ReturnedOne<Vec<T>>;
pub(super) type ReturnedOne<T> = Result<Answer<Result<T, types::Failure>>, Failed>;

/// Asks a plugin who it is.
pub(super) fn describe(linked: &Linked) -> Result<Answer<meta::Info>, Failed> {
    match linked.abi {
        Abi::V1_0 => v1_0::describe(linked),
        Abi::V1_1 => v1_1::describe(linked),
    }
}

/// Lets a threshold plugin say what it wants changed.
pub(super) fn adjust(linked: &Linked, given: Given<'_>) -> Returned<thresholds::Change> {
    match linked.abi {
        Abi::V1_0 => v1_0::adjust(linked, given),
        Abi::V1_1 => v1_1::adjust(linked, given),
    }
}

/// Lets a policy plugin judge a stack.
pub(super) fn check(linked: &Linked, given: Given<'_>) -> Returned<policy::Finding> {
    match linked.abi {
        Abi::V1_0 => v1_0::check(linked, given),
        Abi::V1_1 => v1_1::check(linked, given),
    }
}

/// Asks a channel plugin whether Alertmanager can deliver by itself.
pub(super) fn receiver(linked: &Linked, settings: &String) -> ReturnedOne<Option<channel::Native>> {
    match linked.abi {
        Abi::V1_0 => v1_0::receiver(linked, settings),
        Abi::V1_1 => v1_1::receiver(linked, settings),
    }
}

/// Lets a channel plugin say which requests deliver a group.
pub(super) fn deliver(linked: &Linked, given: Delivery<'_>) -> Returned<channel::Request> {
    match linked.abi {
        Abi::V1_0 => v1_0::deliver(linked, given),
        Abi::V1_1 => v1_1::deliver(linked, given),
    }
}

/// Lets a channel plugin say what came of a request.
pub(super) fn judge(
    linked: &Linked,
    settings: &String,
    key: &String,
    response: &channel::Response,
) -> Result<Answer<channel::Verdict>, Failed> {
    match linked.abi {
        Abi::V1_0 => v1_0::judge(linked, settings, key, response),
        Abi::V1_1 => v1_1::judge(linked, settings, key, response),
    }
}
