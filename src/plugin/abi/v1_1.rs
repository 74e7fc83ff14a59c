//! Version 1.1: what the room speaks, so that nothing is converted.

use wasmtime::component::Instance;

use super::super::call::{Answer, Failed, call, lookup};
use super::super::component::Linked;
use super::super::failure::Failure;
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
    type Delivered = (Result<Vec<channel::Request>, types::Failure>,);
    let Delivery { settings, group, now_ms } = given;
    let given = (settings.as_str(), group, now_ms);
    // This one alone: to hold the whole interface against its types takes a tenth of a call.
    let find = |linked: &Linked, store: &mut _, instance: &Instance| {
        let missing = || Failure::MissingExport("channel#deliver".to_owned());
        let function = linked.deliver.as_ref().ok_or_else(missing)?;
        instance.get_typed_func::<_, Delivered>(store, function).map_err(Failure::wrong_type)
    };
    call(linked, group.events.len(), find, |store, deliver| Ok(deliver.call(store, given)?.0))
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
