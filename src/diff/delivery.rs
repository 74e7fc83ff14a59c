//! Whom an alert reaches, how soon and how often, and what mutes it.

use std::collections::{BTreeMap, HashMap};

use crate::diagnostic::Path;
use crate::profile::units::Duration;
use crate::stack::routing::{Condition, Labels, Router, Truth};
use crate::stack::{Inhibition, Matcher, Route, ServiceKind, Stack, TimeInterval};

use super::Reached;
use super::fact::Fact;

/// The way of one alert to people.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Delivery {
    /// In the order of the routing tree.
    pub channels: Vec<Reached>,
    /// The first route that leads to each channel.
    pub routes: BTreeMap<String, Path>,
    /// How it is sent, by channel.
    pub options: BTreeMap<String, Vec<Fact>>,
    /// What mutes it while it fires, in words, and the inhibition that says so.
    pub muted: BTreeMap<String, Path>,
}

/// Delivers the alerts of a stack.
pub(super) struct Office<'a> {
    /// `None` where the stack sends nothing.
    router: Option<Router<'a>>,
    effective: HashMap<&'a Path, Vec<Fact>>,
    inhibitions: Vec<(Condition, String, &'a Path)>,
}

impl<'a> Office<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        let mut effective = HashMap::new();
        inherit(stack, &stack.route, &Inherited::root(&stack.route), &mut effective);
        let sends = stack.service_of(ServiceKind::Alertmanager).is_some();
        // Patterns that don't compile were refused when the bundle was built.
        let router = Router::new(&stack.route).ok().filter(|_| sends);
        let inhibition = |inhibition: &'a Inhibition| {
            Some((Condition::new(&inhibition.target).ok()?, words(inhibition), &inhibition.at))
        };
        let inhibitions = stack.inhibitions.values().filter_map(inhibition).collect();
        Office { router, effective, inhibitions }
    }

    pub(super) fn deliver(&self, labels: &Labels) -> Delivery {
        let mut delivery = Delivery::default();
        let Some(router) = &self.router else { return delivery };
        for (route, truth) in router.route(labels) {
            let sure = truth == Truth::Yes;
            match delivery.channels.iter_mut().find(|reached| reached.name == route.receiver) {
                Some(reached) => reached.sure |= sure,
                None => delivery.channels.push(Reached { name: route.receiver.clone(), sure }),
            }
            delivery.routes.entry(route.receiver.clone()).or_insert_with(|| route.at.clone());
            let options = delivery.options.entry(route.receiver.clone()).or_default();
            for fact in self.effective.get(&route.at).into_iter().flatten() {
                match options.iter_mut().find(|known| known.field == fact.field) {
                    Some(known) if known.text == fact.text => {}
                    Some(known) => known.text = format!("{} and {}", known.text, fact.text),
                    None => options.push(fact.clone()),
                }
            }
        }
        let muting = self.inhibitions.iter().filter(|(target, ..)| target.test(labels) != Truth::No);
        delivery.muted = muting.map(|(_, words, at)| (words.clone(), (*at).clone())).collect();
        delivery
    }
}

/// `{alertname="RedisDown"} with the same component`
fn words(inhibition: &Inhibition) -> String {
    let source: Vec<String> = inhibition.source.iter().map(Matcher::to_string).collect();
    let source = format!("{{{}}}", source.join(", "));
    match inhibition.equal.as_slice() {
        [] => source,
        equal => format!("{source} with the same {}", equal.join(", ")),
    }
}

/// What a route takes over from those around it, with the place that says it.
#[derive(Clone)]
struct Inherited {
    group_by: (Vec<String>, Path),
    times: [(&'static str, Duration, Path); 3],
}

impl Inherited {
    /// What Alertmanager does where nothing is said.
    fn root(root: &Route) -> Self {
        let time = |key: &'static str, seconds| (key, Duration::seconds(seconds), root.at.join(key));
        Inherited {
            group_by: (vec![], root.at.join("group_by")),
            times: [time("group_wait", 30), time("group_interval", 300), time("repeat_interval", 4 * 3600)],
        }
    }

    fn with(&self, route: &Route) -> Self {
        let mut own = self.clone();
        if let Some(group_by) = &route.group_by {
            own.group_by = (group_by.clone(), route.at.join("group_by"));
        }
        let written = [route.group_wait, route.group_interval, route.repeat_interval];
        for ((key, time, path), written) in own.times.iter_mut().zip(written) {
            if let Some(written) = written {
                (*time, *path) = (written, route.at.join(*key));
            }
        }
        own
    }
}

fn inherit<'a>(
    stack: &Stack,
    route: &'a Route,
    outer: &Inherited,
    effective: &mut HashMap<&'a Path, Vec<Fact>>,
) {
    let own = outer.with(route);
    let (labels, at) = &own.group_by;
    let grouped = if labels.is_empty() { "nothing".to_owned() } else { labels.join(", ") };
    let fact = |field: &str, text: String, path: Path| Fact { field: field.to_owned(), text, path };
    let mut facts = vec![fact("group_by", grouped, at.clone())];
    facts.extend(own.times.iter().map(|(key, time, path)| fact(key, time.to_string(), path.clone())));
    // These are not inherited.
    for (key, names) in [("mute_during", &route.mute_during), ("active_during", &route.active_during)] {
        if !names.is_empty() {
            let intervals: Vec<String> = names.iter().map(|name| interval(stack, name)).collect();
            facts.push(fact(key, intervals.join(", "), route.at.join(key)));
        }
    }
    effective.insert(&route.at, facts);
    for child in &route.routes {
        inherit(stack, child, &own, effective);
    }
}

/// `nights (22:00–06:00, monday:friday, Europe/Berlin)`
fn interval(stack: &Stack, name: &str) -> String {
    let Some(interval) = stack.intervals.get(name) else { return name.to_owned() };
    let TimeInterval { times, weekdays, days_of_month, months, years, location } = interval;
    let mut parts: Vec<String> = times.iter().map(|time| format!("{}–{}", time.from, time.to)).collect();
    for list in [weekdays, days_of_month, months, years] {
        parts.extend(list.iter().cloned());
    }
    parts.extend(location.clone());
    format!("{name} ({})", parts.join(", "))
}
