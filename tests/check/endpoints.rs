//! Endpoints of channel plugins that lead into a network.

use crate::support::resolved::{line, stack};

fn findings(url: &str, more: &str) -> Vec<String> {
    let stack = stack(&format!(
        "[services.prometheus]\nkind = \"prometheus\"\nimage = \"prom/prometheus:v3.14.0\"\nport = 9090\n\
         [services.alertmanager]\nkind = \"alertmanager\"\nimage = \"prom/alertmanager:v0.34.0\"\nport = 9093\n\
         [alertmanager]\nchannel = \"ops\"\n\
         [plugins.robot]\nfile = \"robot.wasm\"\n\
         [channels.ops.plugin]\nname = \"robot\"\n\
         [channels.ops.plugin.endpoints.robot]\nurl = \"{url}\"\n{more}"
    ));
    let findings = monprov::check::all(&stack, &Default::default());
    findings.iter().map(line).filter(|line| line.contains("M331")).collect()
}

#[test]
fn an_address_that_is_not_public_is_meant_or_refused_in_every_spelling() {
    for (url, kind) in [
        ("http://127.0.0.1:8080/hook", "loopback"),
        ("https://0x7f.1/hook", "loopback"),
        ("https://2852039166/", "link-local"),
        ("https://[::ffff:10.0.0.1]/", "private"),
    ] {
        let expected = format!(
            "error M331 channels.ops.plugin.endpoints.robot.url: `{url}` can't be an endpoint: it has an \
             address that is {kind}; if it is meant: private = true"
        );
        assert_eq!(findings(url, ""), [expected]);
        assert_eq!(findings(url, "private = true"), Vec::<String>::new());
    }
    assert_eq!(findings("https://1.1.1.1/hook", ""), Vec::<String>::new());
    assert_eq!(findings("https://example.com/hook", ""), Vec::<String>::new());
}
