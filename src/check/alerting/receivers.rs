//! Channels: are they used, and can they send?

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Finding, Place};
use crate::profile::text::{Piece, Text};
use crate::render::integrations::{self, Form};
use crate::stack::{Integration, Route, Stack, Value};

pub(super) static M210: Code = Code {
    id: "M210",
    title: "a channel that no route names",
    explain: "The channel is complete, but nothing is ever sent through it. Name it in a route, or in\n\
              `[alertmanager]` for all that no route takes; or set `enable = false` in it.",
};
pub(super) static M211: Code = Code {
    id: "M211",
    title: "mail without a mail server",
    explain: "A channel sends mail, and Alertmanager does not know through which server or from whom:\n\n\
              [alertmanager.smtp]\n\
              smarthost = \"mail.example.org:587\"\n\
              from = \"alerts@example.org\"\n\
              username = \"alerts\"\n\
              password = \"${secret.smtp_password}\"",
};
pub(super) static M212: Code = Code {
    id: "M212",
    title: "an address that Alertmanager can't send to",
    explain: "Addresses begin with `http://` or `https://` and a host; the mail server is `host:port`; mail\n\
              goes to `name@host`, several separated by commas.",
};
pub(super) static M213: Code = Code {
    id: "M213",
    title: "a value that is not among the choices",
    explain: "Alertmanager knows a fixed set of values for this option and refuses the file otherwise.",
};

pub(super) fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    let mut used = BTreeSet::new();
    channels(&stack.route, &mut used);
    for receiver in stack.receivers.values().filter(|r| !used.contains(r.name.as_str())) {
        let message = format!("no route names channel `{}`", receiver.name);
        findings.push(
            Finding::warning(&M210, Place::Key(receiver.at.clone()), message)
                .label("name it in a route, or set `enable = false`"),
        );
    }
    smtp(stack, &mut findings);
    for integration in stack.receivers.values().flat_map(|r| &r.integrations) {
        check_integration(integration, &mut findings);
    }
    findings
}

fn channels<'a>(route: &'a Route, used: &mut BTreeSet<&'a str>) {
    used.insert(&route.receiver);
    route.routes.iter().for_each(|child| channels(child, used));
}

fn smtp(stack: &Stack, findings: &mut Vec<Finding>) {
    let smtp = &stack.alertmanager.smtp;
    let at = stack.alertmanager.at.join("smtp");
    if let Some(email) = stack.receivers.values().flat_map(|r| &r.integrations).find(|i| i.kind == "email") {
        for (key, value) in [("smarthost", &smtp.smarthost), ("from", &smtp.from)] {
            if value.as_ref().is_none_or(String::is_empty) {
                let message = format!("mail needs `{key}` in `[alertmanager.smtp]`");
                findings.push(
                    Finding::error(&M211, Place::Key(email.at.clone()), message)
                        .label("sends mail, through no server"),
                );
            }
        }
    }
    if let Some(smarthost) = smtp.smarthost.as_deref().filter(|s| !s.is_empty())
        && smarthost.rsplit_once(':').is_none_or(|(host, port)| {
            // An address of IP version 6 stands in brackets.
            let open = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
            host.is_empty() || open || port.is_empty() || port.contains(char::is_whitespace)
        })
    {
        let message = format!("`{smarthost}` is no `host:port`");
        let place = Place::setting(at.join("smarthost"));
        findings.push(Finding::error(&M212, place, message).label("write `mail.example.org:587`"));
    }
    if smtp.password.is_some() && smtp.username.as_ref().is_none_or(String::is_empty) {
        let message = "the password is never used: Alertmanager logs in only with a `username`";
        findings.push(
            Finding::warning(&M211, Place::setting(at.join("password")), message).label("set `username` too"),
        );
    }
}

fn check_integration(integration: &Integration, findings: &mut Vec<Finding>) {
    let Some(kind) = integrations::kind(&integration.kind) else { return };
    for option in kind.options {
        let Some(Value::Text(text)) = integration.options.get(option.name) else { continue };
        let place = Place::setting(integration.at.join(option.name));
        if option.form.is_url() && !is_http(text) {
            let message = format!("`{}` is no address of a web server", text.reference());
            findings.push(
                Finding::error(&M212, place.clone(), message)
                    .label("begins with `https://` or `http://` and a host"),
            );
        }
        if let Form::Choice(choices) = option.form
            && let Some(value) = text.fill("")
            && !choices.contains(&value.as_str())
        {
            let message = format!("`{value}` is no `{}` of {}", option.name, kind.name);
            let label = format!("one of {}", choices.join(", "));
            findings.push(Finding::error(&M213, place.clone(), message).label(label));
        }
        if let ("email", "to", Some(to)) = (kind.name, option.name, text.fill("")) {
            for address in to.split(',').map(str::trim).filter(|a| !is_mail(a)) {
                let message = format!("`{address}` is no mail address");
                findings.push(Finding::error(&M212, place.clone(), message).label("write `name@host`"));
            }
        }
    }
}

/// What is known of it looks like an address: a secret may stand for the rest or for all.
fn is_http(text: &Text) -> bool {
    let start = match text.0.as_slice() {
        [Piece::Plain(plain), ..] => plain,
        [] => return false,
        _ => return true,
    };
    let Some((scheme, rest)) = start.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    // Without a host in the plain text, a secret right behind it may be one.
    let hosted = !host.is_empty() || (rest.is_empty() && text.0.len() > 1);
    web && hosted && !start.contains(char::is_whitespace)
}

/// An address, perhaps with a name before it; a template decides when it is sent.
fn is_mail(address: &str) -> bool {
    let bare = address.rsplit_once('<').map_or(address, |(_, rest)| rest.trim_end_matches('>'));
    let valid = |(name, host): (&str, &str)| {
        !name.is_empty() && !host.is_empty() && !bare.contains(char::is_whitespace)
    };
    address.contains("{{") || bare.rsplit_once('@').is_some_and(valid)
}
