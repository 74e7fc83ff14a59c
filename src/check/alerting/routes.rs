//! The routing tree: does every alert reach somebody, and is every route of use?

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;

use crate::diagnostic::{Code, Finding, Path, Place, nearest};
use crate::profile::units::Duration;
use crate::stack::re2::PatternError;
use crate::stack::routing::{Condition, Router, Truth};
use crate::stack::{Matcher, Route, Stack};

use super::alerts::Alert;
use super::overlap::Facts;

pub(super) static M201: Code = Code {
    id: "M201",
    title: "an alert that reaches nobody",
    explain: "The alert's labels lead it to a channel that has no integration, or the stack has no\n\
              Alertmanager: it would fire and nobody would hear of it. Give the channel a way to send, or a\n\
              route that takes the alert to another channel:\n\n\
              [channels.pager]\n\
              email.to = \"${var.ALERT_EMAIL_CRITICAL}\"",
};
pub(super) static M202: Code = Code {
    id: "M202",
    title: "a route behind one that takes everything",
    explain: "Routes of one level are tried in order, and the first that matches takes the alert unless it\n\
              says `continue = true`. An earlier route matches whatever this one matches, so nothing is left\n\
              for it. Put the narrower route first with a smaller `order`, or let the earlier one continue.",
};
pub(super) static M203: Code = Code {
    id: "M203",
    title: "two routes of one order that could both match",
    explain: "Which of two routes takes an alert must not depend on their names. Say which comes first:\n\n\
              [routes.critical]\n\
              order = 10\n\
              [routes.celery]\n\
              order = 20",
};
pub(super) static M204: Code = Code {
    id: "M204",
    title: "a route or an inhibition that no alert of the stack meets",
    explain: "No alert of this stack has labels that match, most often because of a mistyped label or value.\n\
              Labels that only the samples know are taken into account. A route for alerts of another\n\
              Prometheus that shares this Alertmanager is fine: this is a warning.",
};
pub(super) static M205: Code = Code {
    id: "M205",
    title: "matchers that contradict each other",
    explain: "All matchers of a route must match, and these two can't both: `severity=\"critical\"` and\n\
              `severity!=\"critical\"`, say. For one or the other write a regular expression:\n\
              `severity=~\"warning|critical\"`.",
};
pub(super) static M206: Code = Code {
    id: "M206",
    title: "labels to group by that Alertmanager refuses",
    explain: "`group_by` lists names of labels, each once. `\"...\"` means all labels, and so stands alone.",
};
pub(super) static M207: Code = Code {
    id: "M207",
    title: "intervals of a route that do not fit together",
    explain: "Alertmanager looks at a group once every `group_interval` and repeats a notification when\n\
              `repeat_interval` has passed by then, so a shorter `repeat_interval` has no effect. Neither can\n\
              be zero. What a route does not set is its parent's; at the root they are 5m and 4h.",
};

pub(super) fn check(stack: &Stack, alerts: &[Alert<'_>]) -> Vec<Finding> {
    let mut findings = vec![];
    let defaults = Intervals { group: Duration::seconds(300), repeat: Duration::seconds(4 * 3600) };
    intervals(&stack.route, defaults, &mut findings);
    group_by(&stack.route, &mut findings);
    let mut dead = BTreeSet::new();
    siblings(&stack.route, &mut dead, &mut findings);
    match Router::new(&stack.route) {
        Ok(router) => reach(stack, &router, alerts, &dead, &mut findings),
        Err((route, error)) => findings.push(pattern(&route.at, &error)),
    }
    findings
}

/// A stack with alerts, and nothing that could send them.
pub(super) fn no_alertmanager(alerts: &[Alert<'_>]) -> Option<Finding> {
    let first = alerts.first()?;
    let message = "the stack has alerts and no Alertmanager, so that nobody hears of them";
    Some(
        Finding::warning(&M201, first.place(), message)
            .label("the first of them")
            .note("add a service with `kind = \"alertmanager\"` and a channel"),
    )
}

/// A pattern that came past the profile, from a plugin.
pub(super) fn pattern(at: &Path, error: &PatternError) -> Finding {
    let code = &crate::stack::matcher::BAD_MATCHER;
    Finding::error(code, Place::Key(at.clone()), format!("a matcher of `{at}`: {error}"))
}

#[derive(Clone, Copy)]
struct Intervals {
    group: Duration,
    repeat: Duration,
}

fn intervals(route: &Route, parent: Intervals, findings: &mut Vec<Finding>) {
    for (key, value) in [("group_interval", route.group_interval), ("repeat_interval", route.repeat_interval)]
    {
        if value == Some(Duration(0)) {
            let place = Place::setting(route.at.join(key));
            findings.push(
                Finding::error(&M207, place, format!("`{key}` can't be zero")).label("write `5m` or so"),
            );
        }
    }
    let own = Intervals {
        group: route.group_interval.unwrap_or(parent.group),
        repeat: route.repeat_interval.unwrap_or(parent.repeat),
    };
    let key = if route.repeat_interval.is_some() { "repeat_interval" } else { "group_interval" };
    let set_here = route.repeat_interval.is_some() || route.group_interval.is_some();
    if set_here && own.repeat < own.group && own.repeat.0 != 0 {
        let message = format!("notifications repeat every {}, not every {}", own.group, own.repeat);
        findings.push(
            Finding::warning(&M207, Place::setting(route.at.join(key)), message).label(format!(
                "`repeat_interval` {} is less than `group_interval` {}",
                own.repeat, own.group
            )),
        );
    }
    route.routes.iter().for_each(|child| intervals(child, own, findings));
}

fn group_by(route: &Route, findings: &mut Vec<Finding>) {
    let labels = route.group_by.as_deref().unwrap_or_default();
    for (index, label) in labels.iter().enumerate() {
        let message = if label.is_empty() {
            "an empty name is no label to group by".to_owned()
        } else if label == "..." && labels.len() > 1 {
            "`...` means all labels and stands alone".to_owned()
        } else if labels.iter().take(index).any(|earlier| earlier == label) {
            format!("`{label}` stands twice in `group_by`")
        } else {
            continue;
        };
        let place = Place::setting(route.at.join("group_by").join(index));
        findings.push(Finding::error(&M206, place, message).label("remove it"));
    }
    route.routes.iter().for_each(|child| group_by(child, findings));
}

/// What can be said of the routes of one level without any alert. `dead` gets the paths of
/// those that are reported here and need no second finding.
fn siblings(route: &Route, dead: &mut BTreeSet<Path>, findings: &mut Vec<Finding>) {
    // One that does not compile is reported by the router.
    let facts: Option<Vec<Facts<'_>>> = route.routes.iter().map(|r| Facts::new(&r.matchers).ok()).collect();
    let Some(facts) = facts else { return };
    let children: Vec<(&Route, &Facts<'_>)> = route.routes.iter().zip(&facts).collect();
    for (index, (child, own)) in children.iter().enumerate() {
        if let Some((one, other)) = own.contradiction() {
            let message = format!("`{one}` and `{other}` never match together");
            findings.push(
                Finding::error(&M205, Place::Key(child.at.clone()), message).label("no alert gets here"),
            );
            dead.insert(child.at.clone());
            continue;
        }
        let earlier = || children.iter().take(index);
        let tie = earlier().find(|(e, facts)| {
            e.order == child.order && !(e.r#continue && child.r#continue) && !facts.exclude(own)
        });
        if let Some((other, _)) = tie {
            let message = format!(
                "routes `{}` and `{}` both have order {} and could match the same alert",
                other.name, child.name, child.order
            );
            findings.push(
                Finding::error(&M203, Place::Key(child.at.clone()), message)
                    .label("set `order` here and there: the smaller is tried first")
                    .related(Place::Key(other.at.clone()), "the other"),
            );
            dead.insert(child.at.clone());
            continue;
        }
        if let Some((other, _)) = earlier().find(|(e, facts)| !e.r#continue && own.imply(facts)) {
            let message =
                format!("route `{}` gets no alert: `{}` takes them all before", child.name, other.name);
            findings.push(
                Finding::error(&M202, Place::Key(child.at.clone()), message)
                    .label(format!("give it an `order` below {}", other.order))
                    .note(format!("or set `continue = true` in `{}`", other.at))
                    .related(Place::Key(other.at.clone()), "matches whatever that one matches"),
            );
            dead.insert(child.at.clone());
        }
    }
    route.routes.iter().for_each(|child| siblings(child, dead, findings));
}

/// What can be said of the alerts of this stack.
fn reach(
    stack: &Stack,
    router: &Router<'_>,
    alerts: &[Alert<'_>],
    dead: &BTreeSet<Path>,
    findings: &mut Vec<Finding>,
) {
    let mut reached: BTreeSet<*const Route> = BTreeSet::new();
    for alert in alerts {
        let steps = router.trace(&alert.labels);
        reached.extend(steps.iter().map(|s| ptr::from_ref(s.route)));
        let mut ends = steps.iter().filter(|s| s.stays != Truth::No).map(|s| s.route).peekable();
        let silent =
            |route: &Route| stack.receivers.get(&route.receiver).is_none_or(|r| r.integrations.is_empty());
        if let Some(first) = ends.peek().copied()
            && ends.all(silent)
        {
            let name = &alert.rule.name;
            findings.push(
                Finding::error(&M201, alert.place(), format!("alert `{name}` reaches nobody"))
                    .label(format!("goes to channel `{}`, which has no integration", first.receiver))
                    .related(Place::Key(first.at.clone()), "by this route"),
            );
        }
    }
    if !alerts.is_empty() {
        unreached(&stack.route, &reached, alerts, dead, findings);
    }
}

/// The topmost routes that no alert comes to.
fn unreached(
    route: &Route,
    reached: &BTreeSet<*const Route>,
    alerts: &[Alert<'_>],
    dead: &BTreeSet<Path>,
    findings: &mut Vec<Finding>,
) {
    for child in route.routes.iter().filter(|c| !dead.contains(&c.at)) {
        if reached.contains(&ptr::from_ref(child)) {
            unreached(child, reached, alerts, dead, findings);
            continue;
        }
        let message = format!("no alert of the stack takes route `{}`", child.name);
        let finding = Finding::warning(&M204, Place::Key(child.at.clone()), message);
        findings.push(match unmet(&child.matchers, alerts) {
            Some(why) => finding.label(why),
            None => finding.label("other routes take all that match"),
        });
    }
}

/// Why no alert matches: the matcher that fails alone, and what is near it.
pub(super) fn unmet(matchers: &[Matcher], alerts: &[Alert<'_>]) -> Option<String> {
    let fails = |matchers: &[Matcher]| {
        let condition = Condition::new(matchers).ok()?;
        alerts.iter().all(|a| condition.test(&a.labels) == Truth::No).then_some(())
    };
    fails(matchers)?;
    let Some(matcher) = matchers.iter().find(|m| fails(std::slice::from_ref(m)).is_some()) else {
        return Some("each of its matchers is met, but not all by one alert".into());
    };
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (label, value) in alerts.iter().flat_map(|a| &a.labels.known).filter(|(_, v)| !v.is_empty()) {
        labels.entry(label).or_default().insert(value);
    }
    Some(match labels.get(matcher.label.as_str()) {
        Some(values) => match nearest(&matcher.value, values.iter().copied()) {
            Some(near) => format!("no alert has `{matcher}`; did you mean `{near}`?"),
            None => {
                let some: Vec<&str> = values.iter().copied().take(5).collect();
                format!("no alert has `{matcher}`; `{}` is {}", matcher.label, some.join(", "))
            }
        },
        None => match nearest(&matcher.label, labels.keys().copied()) {
            Some(near) => format!("no alert has a label `{}`; did you mean `{near}`?", matcher.label),
            None => format!("no alert has a label `{}`", matcher.label),
        },
    })
}
