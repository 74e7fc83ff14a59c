//! What channels of plugins are refused for, before anything is sent.

use monprov::check::relay::check;

use crate::support::resolved::{line, stack};

/// A stack whose one channel is a plugin's.
fn with(relay: bool, plugin: &str) -> Vec<String> {
    let relay =
        if relay { "[services.relay]\nkind = \"relay\"\nimage = \"m/m:1.0.0\"\nport = 9095\n" } else { "" };
    let stack = stack(&format!(
        r#"
        [services.alertmanager]
        kind = "alertmanager"
        image = "prom/alertmanager:v0.34.0"
        port = 9093
        {relay}
        [alertmanager]
        channel = "ops"

        [plugins.robot]
        file = "robot.wasm"

        [channels.ops.plugin]
        name = "robot"
        endpoints.robot.url = "https://robot.example/send"
        {plugin}

        [secrets]
        token = {{ env = "TOKEN" }}
        "#
    ));
    check(&stack).iter().map(line).collect()
}

const GRANT: &str =
    r#"grants.token = { secret = "${secret.token}", endpoint = "robot", use = "value", place = "query" }"#;

#[test]
fn what_is_granted_as_it_should_be_says_nothing() {
    assert_eq!(with(true, GRANT), [""; 0]);
    assert_eq!(with(true, "budget = { messages = 20, per = \"1m\" }"), [""; 0]);
}

#[test]
fn a_channel_of_a_plugin_needs_a_relay() {
    assert_eq!(
        with(false, GRANT),
        ["error M330 channels.ops.plugin: channel `ops` delivers through a relay, and the stack has none"]
    );
}

#[test]
fn a_grant_that_grants_nothing_is_refused() {
    for (from, to, expected) in [
        (
            "endpoint = \"robot\"",
            "endpoint = \"robt\"",
            "error M332 channels.ops.plugin.grants.token.endpoint: this channel has no endpoint `robt`",
        ),
        (
            "${secret.token}",
            "plain",
            "error M332 channels.ops.plugin.grants.token.secret: `plain` is no secret",
        ),
        (
            "place = \"query\"",
            "place = []",
            "error M332 channels.ops.plugin.grants.token.place: nowhere is no place",
        ),
        (
            "use = \"value\", place = \"query\"",
            "use = \"hmac\", place = \"receiver\"",
            "error M332 channels.ops.plugin.grants.token.place: Alertmanager signs nothing with it",
        ),
    ] {
        assert_eq!(with(true, &GRANT.replace(from, to)), [expected]);
    }
}

#[test]
fn a_secret_travels_in_the_open_only_where_that_is_said() {
    let open = |more: &str| {
        let grant = GRANT.replace("\"robot\"", "\"open\"");
        with(true, &format!("endpoints.open = {{ url = \"http://robot.example\"{more} }}\n{grant}"))
    };
    assert_eq!(
        open(""),
        [
            "warning M333 channels.ops.plugin.endpoints.open.url: the secret `token` goes to `open` in the open"
        ]
    );
    assert_eq!(open(", private = true"), [""; 0]);
}

#[test]
fn what_the_relay_would_refuse_is_refused_at_build() {
    for (endpoint, why) in [
        (
            r#"url = "https://a.example/b c""#,
            "`https://a.example/b c` can't be an endpoint: it holds a space",
        ),
        (r#"url = "https://a.example", timeout = "0s""#, "can't be an endpoint: it has no time"),
        (r#"url = "https://me@a.example""#, "the endpoint `odd` holds a user name"),
        (
            r#"url = "https://a.example/?b=c""#,
            "can't be an endpoint: it must end with its path; a query comes from the plugin",
        ),
    ] {
        let found = with(true, &format!("endpoints.odd = {{ {endpoint} }}"));
        assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
    }
}

#[test]
fn a_budget_of_nothing_delivers_nothing() {
    assert_eq!(
        with(true, "budget = { messages = 0, per = \"1m\" }"),
        ["error M003 channels.ops.plugin.budget: a budget of nothing"]
    );
}
