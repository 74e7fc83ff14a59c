//! Channels that the relay delivers: can it, and is what their plugins are granted what it should be?

use super::services::M313;
use crate::diagnostic::{Code, Finding, Place, nearest};
use crate::profile::codes::M003;
use crate::profile::settings::{Place as Where, Use};
use crate::stack::{Relayed, Runtime, Stack, endpoint};

pub static M330: Code = Code {
    id: "M330",
    title: "a channel whose plugin nobody runs",
    explain: "Channel plugins deliver through the relay, a service of the stack:\n\n\
              extends = [\"relay\"]   # the layer beside the reference stack's, or\n\n\
              [services.relay]\n\
              kind = \"relay\"\n\
              image = \"monprov/monprov:0.1.0\"\n\
              port = 9095",
};
pub static M331: Code = Code {
    id: "M331",
    title: "an endpoint that no request can go to",
    explain: "An endpoint is scheme, host, port and the beginning of the path. What is behind comes from the\n\
              plugin, and a password comes from a grant:\n\n\
              [channels.ops.plugin.endpoints.robot]\n\
              url = \"https://oapi.dingtalk.com/robot/send\"\n\n\
              Addresses that are not public are dialled only with `private = true`.",
};
pub static M332: Code = Code {
    id: "M332",
    title: "a grant that grants nothing",
    explain: "A grant binds a secret to one endpoint, one use and one place or several. The plugin says which\n\
              names it uses (its README); requests that carry a secret otherwise are not sent.\n\n\
              [channels.ops.plugin.grants.token]\n\
              secret = \"${secret.dingtalk_token}\"\n\
              endpoint = \"robot\"\n\
              use = \"value\"      # as it is, or `hmac`: in the key or message of a signature\n\
              place = \"query\"    # path, query, header, body, or receiver",
};
pub static M333: Code = Code {
    id: "M333",
    title: "a secret that travels in the open",
    explain: "The endpoint is reached by http, so whoever stands between reads the secret. Take https, or, inside\n\
              a network of your own, say so with `private = true`.",
};

pub static CODES: &[&Code] = &[&M330, &M331, &M332, &M333];

pub fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    for (name, relayed) in &stack.relayed {
        if stack.relay().is_none() {
            let message = format!("channel `{name}` delivers through a relay, and the stack has none");
            findings.push(
                Finding::error(&M330, Place::Key(relayed.at.clone()), message)
                    .label("extend the layer `relay`, or add a service of this kind"),
            );
        }
        endpoints(relayed, &mut findings);
        grants(relayed, &mut findings);
        if relayed.budget.is_some_and(|budget| budget.messages == 0 || budget.per.0 == 0) {
            let place = Place::setting(relayed.at.join("budget"));
            findings.push(
                Finding::error(&M003, place, "a budget of nothing").label("at least one message in a time"),
            );
        }
    }
    if let (Some(relay), Runtime::Compose) = (stack.relay(), stack.runtime)
        && relay.publish.is_some()
    {
        let place = Place::setting(relay.at.join("publish"));
        let message = "monprov reloads and proves the relay through its published port; keep it on 127.0.0.1";
        if relay.publish_address != "127.0.0.1" && relay.publish_address != "::1" {
            findings.push(
                Finding::error(&M313, place, message).label("leave `publish_address` out: it is 127.0.0.1"),
            );
        }
    }
    findings
}

fn endpoints(relayed: &Relayed, findings: &mut Vec<Finding>) {
    for (name, stated) in &relayed.endpoints {
        let place = Place::setting(relayed.at.join("endpoints").join(name).join("url"));
        let Err(why) = endpoint::parse(&stated.url, stated.private, stated.timeout) else { continue };
        let message = match why {
            endpoint::Wrong::User => format!("the endpoint `{name}` {why}"),
            why => format!("`{}` can't be an endpoint: it {why}", stated.url),
        };
        let label = "scheme, host, port and the beginning of the path";
        findings.push(Finding::error(&M331, place, message).label(label));
    }
}

fn grants(relayed: &Relayed, findings: &mut Vec<Finding>) {
    for (name, grant) in &relayed.grants {
        let at = relayed.at.join("grants").join(name);
        if !grant.secret.is_secret() {
            let place = Place::setting(at.join("secret"));
            let finding =
                Finding::error(&M332, place, format!("`{}` is no secret", grant.secret.reference()));
            findings.push(finding.label("`${secret.NAME}`; what anyone may read is a setting"));
        }
        if grant.place.as_slice().is_empty() {
            findings.push(Finding::error(&M332, Place::setting(at.join("place")), "nowhere is no place"));
        }
        if grant.r#use == Use::Hmac && grant.place.as_slice().contains(&Where::Receiver) {
            let message = "Alertmanager signs nothing with it";
            findings.push(Finding::error(&M332, Place::setting(at.join("place")), message));
        }
        let Some(endpoint) = relayed.endpoints.get(&grant.endpoint) else {
            let place = Place::setting(at.join("endpoint"));
            let finding =
                Finding::error(&M332, place, format!("this channel has no endpoint `{}`", grant.endpoint));
            let near = nearest(&grant.endpoint, relayed.endpoints.keys().map(String::as_str));
            findings.push(match near {
                Some(near) => finding.label(format!("did you mean `{near}`?")),
                None => finding.label(format!("declare `[{}.endpoints.{}]`", relayed.at, grant.endpoint)),
            });
            continue;
        };
        // A signature gives nothing away.
        let open = endpoint.url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
        if open && !endpoint.private && grant.r#use == Use::Value {
            let place = Place::setting(relayed.at.join("endpoints").join(&grant.endpoint).join("url"));
            let message = format!("the secret `{name}` goes to `{}` in the open", grant.endpoint);
            findings.push(Finding::warning(&M333, place, message).label("take https"));
        }
    }
}
