//! Version 1.0: alerts are without their parts and `keep_firing_for`, and edits are fewer.

use super::super::call::{Answer, Failed, call, lookup};
use super::super::component::Linked;
use super::v1_1 as new;
use super::{Given, Returned};

mod channel;

pub(super) use channel::{deliver, judge, receiver};

mod bindings {
    wasmtime::component::bindgen!({
        path: "plugins/wit/1.0",
        inline: "
            package monprov:host;
            world roles {
                export monprov:plugin/meta@1.0.0;
                export monprov:plugin/thresholds@1.0.0;
                export monprov:plugin/policy@1.0.0;
                export monprov:plugin/channel@1.0.0;
            }
        ",
        world: "monprov:host/roles",
    });
}

use bindings::exports::monprov::plugin::{meta, policy, thresholds};
use bindings::monprov::plugin::types;

pub(super) fn describe(linked: &Linked) -> Result<Answer<new::meta::Info>, Failed> {
    let answer = call(linked, 0, lookup!(meta), |store, guest| guest.call_describe(store))?;
    Ok(answer.map(Into::into))
}

pub(super) fn adjust(linked: &Linked, given: Given<'_>) -> Returned<new::thresholds::Change> {
    let alerts = alerts(given);
    let seen: Vec<types::Observation> = given.seen.iter().cloned().map(Into::into).collect();
    let answer = call(linked, alerts.len(), lookup!(thresholds), |store, guest| {
        guest.call_adjust(store, given.settings, &alerts, &seen, given.stack)
    })?;
    Ok(answer.map(returned))
}

pub(super) fn check(linked: &Linked, given: Given<'_>) -> Returned<new::policy::Finding> {
    let alerts = alerts(given);
    let answer = call(linked, alerts.len(), lookup!(policy), |store, guest| {
        guest.call_check(store, given.settings, &alerts, given.stack)
    })?;
    Ok(answer.map(returned))
}

fn alerts(given: Given<'_>) -> Vec<types::Alert> {
    given.alerts.iter().cloned().map(Into::into).collect()
}

fn returned<A: Into<B>, B>(result: Result<Vec<A>, types::Failure>) -> Result<Vec<B>, new::types::Failure> {
    result.map(|all| all.into_iter().map(Into::into).collect()).map_err(Into::into)
}

impl From<new::types::Alert> for types::Alert {
    fn from(alert: new::types::Alert) -> Self {
        let new::types::Alert {
            id,
            name,
            group,
            expr,
            parts: _,
            threshold,
            unit,
            pending_s,
            keep_firing_s: _,
            severity,
            labels,
            annotations,
            origin,
            frozen,
        } = alert;
        types::Alert {
            id,
            name,
            group,
            expr,
            threshold,
            unit,
            pending_s,
            severity,
            labels,
            annotations,
            origin,
            frozen,
        }
    }
}

impl From<types::Alert> for new::types::Alert {
    fn from(alert: types::Alert) -> Self {
        let types::Alert {
            id,
            name,
            group,
            expr,
            threshold,
            unit,
            pending_s,
            severity,
            labels,
            annotations,
            origin,
            frozen,
        } = alert;
        new::types::Alert {
            id,
            name,
            group,
            expr,
            parts: vec![],
            threshold,
            unit,
            pending_s,
            keep_firing_s: 0.0,
            severity,
            labels,
            annotations,
            origin,
            frozen,
        }
    }
}

impl From<new::types::Observation> for types::Observation {
    fn from(seen: new::types::Observation) -> Self {
        let new::types::Observation { alert, fires: _, samples, window_s, max, quantiles, would_fire } = seen;
        types::Observation { alert, samples, window_s, max, quantiles, would_fire }
    }
}

impl From<types::Failure> for new::types::Failure {
    fn from(failure: types::Failure) -> Self {
        match failure {
            types::Failure::Settings(problems) => {
                let problem = |types::Problem { pointer, message }| new::types::Problem { pointer, message };
                new::types::Failure::Settings(problems.into_iter().map(problem).collect())
            }
            types::Failure::Unsupported(what) => new::types::Failure::Unsupported(what),
            types::Failure::Other(what) => new::types::Failure::Other(what),
        }
    }
}

impl From<meta::Info> for new::meta::Info {
    fn from(info: meta::Info) -> Self {
        let meta::Info { name, version, homepage, settings_schema } = info;
        new::meta::Info { name, version, homepage, settings_schema }
    }
}

impl From<thresholds::Change> for new::thresholds::Change {
    fn from(change: thresholds::Change) -> Self {
        use new::thresholds::Edit as New;
        use thresholds::Edit as Old;
        let thresholds::Change { alert, edit, reason } = change;
        let edit = match edit {
            Old::Threshold(to) => New::Threshold(to),
            Old::PendingS(to) => New::PendingS(to),
            Old::Label(pair) => New::Label(pair),
            Old::Add(alert) => New::Add(alert.into()),
            Old::Disable => New::Disable,
            Old::Other(document) => New::Other(document),
        };
        new::thresholds::Change { alert, edit, reason }
    }
}

impl From<policy::Finding> for new::policy::Finding {
    fn from(finding: policy::Finding) -> Self {
        use new::policy::Level as New;
        use policy::Level as Old;
        let policy::Finding { code, level, path, message, help } = finding;
        let level = match level {
            Old::Advice => New::Advice,
            Old::Warning => New::Warning,
            Old::Error => New::Error,
        };
        new::policy::Finding { code, level, path, message, help }
    }
}
