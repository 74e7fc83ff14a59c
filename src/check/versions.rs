//! Does the version that runs have every option that the stack uses?

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Finding, Place};
use crate::render::integrations::{self, Form};
use crate::render::versions::{Tool, Use, is_secret, uses};
use crate::stack::{ServiceKind, Stack};

pub static M240: Code = Code {
    id: "M240",
    title: "an option that the version that runs does not have",
    explain: "Files are rendered for the version that the service names, in its image's tag or in `version`.\n\
              That version refuses a file with this option. Raise the version, or do without.",
};
pub static M241: Code = Code {
    id: "M241",
    title: "a secret that the version that runs can't read from a file",
    explain: "No secret stands in a bundle: the tool must read it from a file of its own, and only newer versions\n\
              have the option for it. Raise the version, or use another channel until then.",
};
pub static M242: Code = Code {
    id: "M242",
    title: "a service whose version is not known",
    explain: "Which options exist depends on the version. It is read from the image's tag; where that does not\n\
              say it, or no image is used, set it: `version = \"0.34.0\"`. Without it, the newest is assumed.",
};
pub static M243: Code = Code {
    id: "M243",
    title: "a secret where the tool takes none",
    explain: "The option is written to the tool's configuration, which anyone may read who may read the bundle,\n\
              and the tool has no way to read it from a file.",
};

pub static CODES: &[&Code] = &[&M240, &M241, &M242, &M243];

pub fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    let uses = uses(stack);
    for tool in [Tool::Prometheus, Tool::Alertmanager] {
        let own = || uses.iter().filter(|u| u.tool == tool);
        for service in stack.services.values().filter(|s| s.kind == tool.kind()) {
            match service.version {
                Some(version) => {
                    let missing = own().filter(|u| u.since > version);
                    findings.extend(missing.map(|u| finding(u, version)));
                }
                None if own().next().is_some() => {
                    let options: BTreeSet<&str> = own().map(|u| u.option.as_str()).collect();
                    let message = format!("which version of {} is `{}`?", tool.name(), service.name);
                    let options: Vec<&str> = options.into_iter().take(4).collect();
                    findings.push(
                        Finding::warning(&M242, Place::Key(service.at.clone()), message)
                            .label("set `version`")
                            .note(format!("it decides whether it has {}", options.join(", "))),
                    );
                }
                None => {}
            }
        }
    }
    exposed(stack, &mut findings);
    findings
}

fn finding(used: &Use, version: crate::stack::Version) -> Finding {
    let (tool, option, since) = (used.tool.name(), &used.option, used.since);
    if used.for_secret {
        let message = format!("{tool} {version} can't read this secret from a file");
        return Finding::error(&M241, used.place.clone(), message)
            .label(format!("needs `{option}`, which {tool} has since {since}"))
            .note("raise the version of the service, or do without this option");
    }
    Finding::error(&M240, used.place.clone(), format!("{tool} {version} does not have `{option}`"))
        .label(format!("{tool} has it since {since}"))
}

/// Secrets in options that have no file, in any version.
fn exposed(stack: &Stack, findings: &mut Vec<Finding>) {
    if stack.service_of(ServiceKind::Alertmanager).is_none() {
        return;
    }
    for integration in stack.receivers.values().flat_map(|r| &r.integrations) {
        let Some(kind) = integrations::kind(&integration.kind) else { continue };
        for option in kind.options.iter().filter(|o| o.form.file().is_none()) {
            if integration.options.get(option.name).is_some_and(is_secret) {
                let message =
                    format!("Alertmanager can't read `{}` of {} from a file", option.name, kind.name);
                findings.push(
                    Finding::error(&M243, Place::setting(integration.at.join(option.name)), message)
                        .label("no secret here"),
                );
            }
        }
        // Credentials have no form but a file, so the name beside a password is left.
        let basic = kind.options.iter().find(|o| o.form == Form::Basic);
        if let Some(crate::stack::Value::Table(table)) = basic.and_then(|o| integration.options.get(o.name))
            && table.get("username").is_some_and(is_secret)
        {
            let place = Place::setting(integration.at.join("basic_auth").join("username"));
            findings.push(
                Finding::error(&M243, place, "a user name stands in the configuration")
                    .label("no secret here"),
            );
        }
    }
}
