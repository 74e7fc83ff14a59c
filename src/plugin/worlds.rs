//! The ABI: bindings made from `plugins/wit`, and which of its interfaces a component has.

/// Bindings of every interface that a plugin may export. A component is asked for those that
/// it has, one by one.
mod bindings {
    wasmtime::component::bindgen!({
        path: "plugins/wit",
        inline: "
            package monprov:host;
            world roles {
                export monprov:plugin/meta@1.0.0;
                export monprov:plugin/thresholds@1.0.0;
                export monprov:plugin/policy@1.0.0;
            }
        ",
        world: "monprov:host/roles",
        additional_derives: [PartialEq],
    });
}

pub(super) use bindings::exports::monprov::plugin::{meta, policy, thresholds};
pub(super) use bindings::monprov::plugin::types;

/// The package and version of the ABI that this release hosts.
pub const PACKAGE: &str = "monprov:plugin@1.0.0";

/// The interfaces of a role, as a component exports them.
pub(super) const META: &str = "monprov:plugin/meta@1.0.0";
pub(super) const THRESHOLDS: &str = "monprov:plugin/thresholds@1.0.0";
pub(super) const POLICY: &str = "monprov:plugin/policy@1.0.0";
pub(super) const CHANNEL: &str = "monprov:plugin/channel@1.0.0";

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

    pub fn name(self) -> &'static str {
        match self {
            World::Thresholds => "thresholds",
            World::Policy => "policy",
            World::Channel => "channel",
        }
    }

    pub(super) fn interface(self) -> &'static str {
        match self {
            World::Thresholds => THRESHOLDS,
            World::Policy => POLICY,
            World::Channel => CHANNEL,
        }
    }
}
