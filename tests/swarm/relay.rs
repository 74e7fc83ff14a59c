//! The relay in a swarm, and a stack that gets another name.

use serde_json::Value;

use super::{Stack, profile};

/// Its plugin is carried as a config; what it delivers arrives, and another configuration is taken
/// over by a new start.
#[test]
fn the_relay_delivers_from_a_swarm() {
    let stack = Stack::new();
    stack.engine.import_relay();
    crate::support::project::copy_plugins(stack.project.root());
    // What takes every POST here is Prometheus.
    let relayed = |text: &str| {
        profile(100).replace("channel = \"hook\"", "channel = \"room\"\ngroup_wait = \"1s\"").replace(
            "[channels.hook.webhook]\nurl = \"http://127.0.0.1:1/hook\"",
            &format!(
                r#"
[services.relay]
kind = "relay"
image = "test/monprov:v0.1.0"
port = 9095
health = {{ interval = "1s", start_period = "1s" }}
swarm.constraints = ["node.role == manager"]

[plugins.webhook-template]
file = "plugins/webhook-template/webhook-template.wasm"

[channels.room.plugin]
name = "webhook-template"
settings = {{ body = '{{ "{text}": {{{{ text }}}} }}' }}
endpoints.hook = {{ url = "http://prometheus:9090/-/reload", private = true }}
"#
            ),
        )
    };
    let first = stack.switch(&relayed("text")).succeeds();
    assert!(first.stderr.contains("relay runs "), "{}", first.stderr);
    let held = stack.monprov("drill prod --json").succeeds();
    let held: Value = serde_json::from_str(&held.stdout).unwrap();
    let outcome = &held["outcomes"][0];
    assert_eq!(
        (&outcome["receiver"], &outcome["verdict"]),
        (&"room".into(), &"delivered".into()),
        "{held:#}"
    );

    let before = stack.containers();
    stack.switch(&relayed("message")).succeeds();
    assert_eq!(stack.changed(&before), ["monprov-prod_relay"]);
    stack.monprov("status prod").succeeds();
    let token = stack.project.path(".monprov/secrets/prod/relay/room.token");
    let token = std::fs::read_to_string(token).unwrap();
    let listed =
        stack.engine.docker(&["service", "inspect", "monprov-prod_relay", "monprov-prod_alertmanager"]);
    assert!(token.len() == 43 && !listed.contains(&token));
}

/// The old services have the ports that the new ones want.
#[test]
fn a_renamed_stack_takes_the_place_of_the_old_one() {
    let stack = Stack::new();
    let named = |name: &str, threshold| {
        profile(threshold).replace("[stack]\n", &format!("[stack]\nproject = \"{name}\"\n"))
    };
    stack.switch(&profile(100)).succeeds();
    let renamed = stack.switch(&named("watch", 500)).succeeds();
    assert!(renamed.stderr.contains("Swarm stack monprov-prod → watch"), "{}", renamed.stderr);
    let all = |name: &str| {
        ["alertmanager", "opened", "prometheus", "reader"].map(|service| format!("{name}_{service}"))
    };
    assert_eq!(stack.services(), all("watch"));
    stack.monprov("status prod").succeeds();

    // A failure brings the old name back.
    let ill = named("other", 700)
        .replace("[services.alertmanager]", "[services.alertmanager]\nargs = ['--log.level=loud']");
    stack.switch(&ill).exits(5);
    assert_eq!(
        (stack.services(), stack.expression()),
        (all("watch").into(), "prometheus_tsdb_head_series > 500".into())
    );
    stack.monprov("down prod").succeeds();
    assert_eq!(stack.services(), [""; 0]);
}
