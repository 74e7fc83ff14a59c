//! Version 1.1: what the room speaks, so that nothing is converted.

use super::super::call::{Answer, Failed, call, lookup};
use super::super::component::Linked;
use super::{Delivery, Given, Returned, ReturnedOne};

mod bindings {
    wasmtime::component::bindgen!({
        path: "plugins/wit/1.1",
        inline: "
            package monprov:host;
            world roles {
                export monprov:plugin/meta@1.1.0;
                export monprov:plugin/thresholds@1.1.0;
                export monprov:plugin/policy@1.1.0;
                export monprov:plugin/channel@1.1.0;
            }
        ",
        world: "monprov:host/roles",
        additional_derives: [PartialEq],
    });
}

pub(in super::super) use bindings::exports::monprov::plugin::{channel, meta, policy, thresholds};
pub(in super::super) use bindings::monprov::plugin::types;

pub(super) fn describe(linked: &Linked) -> Result<Answer<meta::Info>, Failed> {
    call(linked, 0, lookup!(meta), |store, guest| guest.call_describe(store))
}

pub(super) fn adjust(linked: &Linked, given: Given<'_>) -> Returned<thresholds::Change> {
    let Given { settings, alerts, seen, stack } = given;
    call(linked, alerts.len(), lookup!(thresholds), |store, guest| {
        guest.call_adjust(store, settings, alerts, seen, stack)
    })
}

pub(super) fn check(linked: &Linked, given: Given<'_>) -> Returned<policy::Finding> {
    let Given { settings, alerts, stack, .. } = given;
    call(linked, alerts.len(), lookup!(policy), |store, guest| {
        guest.call_check(store, settings, alerts, stack)
    })
}

pub(super) fn receiver(linked: &Linked, settings: &String) -> ReturnedOne<Option<channel::Native>> {
    call(linked, 0, lookup!(channel), |store, guest| guest.call_receiver(store, settings))
}

pub(super) fn deliver(linked: &Linked, given: Delivery<'_>) -> Returned<channel::Request> {
    let Delivery { settings, group, now_ms } = given;
    call(linked, group.events.len(), lookup!(channel), |store, guest| {
        guest.call_deliver(store, settings, group, now_ms)
    })
}

#[expect(clippy::ptr_arg, reason = "what the bindings take")]
pub(super) fn judge(
    linked: &Linked,
    settings: &String,
    key: &String,
    response: &channel::Response,
) -> Result<Answer<channel::Verdict>, Failed> {
    call(linked, 0, lookup!(channel), |store, guest| guest.call_judge(store, settings, key, response))
}
