//! Deployed, changed, broken, brought back, taken down.

use super::{Stack, profile};

const ALL: [&str; 4] =
    ["monprov-prod_alertmanager", "monprov-prod_opened", "monprov-prod_prometheus", "monprov-prod_reader"];

#[test]
fn a_stack_lives_through_everything_on_a_real_swarm() {
    let mut stack = Stack::new();

    // Nothing is touched, and nobody blamed, for what lies around the stack.
    let external = profile(100).replace("name = \"monprov-test\"", "name = \"elsewhere\", external = true");
    let failed = stack.switch(&external).exits(1);
    assert!(failed.stderr.contains("docker network create --driver overlay"), "{}", failed.stderr);
    let failed = stack.switch(&profile(100).replace("test/tool:v1.0.0", "test/none:v1.0.0")).exits(1);
    assert!(failed.stderr.contains("the image test/none:v1.0.0"), "{}", failed.stderr);

    // A first activation that fails leaves nothing, although `stack deploy` says 0.
    let dies = profile(100)
        .replace("[services.alertmanager]", "[services.alertmanager]\nargs = ['--log.level=loud']");
    let failed = stack.switch(&dies).exits(5);
    assert!(failed.stderr.contains("alertmanager"), "{}", failed.stderr);
    assert!(failed.stderr.contains("loud"), "{}", failed.stderr);
    assert!(failed.stderr.contains("nothing runs, as before"), "{}", failed.stderr);
    assert_eq!(stack.services(), [""; 0]);
    assert_eq!(stack.named("secret"), [""; 0]);
    assert_eq!(stack.named("config"), [""; 0]);

    let first = stack.switch(&profile(100)).succeeds();
    assert!(first.stderr.contains("prometheus has 2 of 2 targets up"), "{}", first.stderr);
    assert_eq!(stack.services(), ALL);
    assert_eq!(stack.log("reader"), "token first-token");
    // Templates of the swarm, and variables of its files, are text of the profile.
    assert_eq!(stack.log("opened"), "open open-secret {{.Node.ID}}, {{.Node.ID}} costs $5");
    let before = stack.containers();
    let configs = stack.named("config");
    // Nothing is done where nothing changed.
    stack.switch(&profile(100)).succeeds();
    assert_eq!(stack.containers(), before);

    // A threshold: Prometheus starts anew on another config, and nothing else does.
    let changed = stack.switch(&profile(500)).succeeds();
    assert!(changed.stderr.contains("restart prometheus"), "{}", changed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
    assert_eq!(stack.changed(&before), ["monprov-prod_prometheus"]);
    stack.monprov("status prod").succeeds();
    // Its data is still there.
    let old = &stack.api("query?query=count_over_time(up{job=\"prometheus\"}[5m])")["data"]["result"][0];
    assert!(old["value"][1].as_str().unwrap().parse::<u32>().unwrap() > 1, "{old}");
    let before = stack.containers();

    // A rule that only the real Prometheus refuses: what ran before is proved to run again.
    let newer = profile(700).replace("v2.42.0\"", "v2.42.0\"\nversion = \"3.0.0\"")
        + "[groups.default]\nquery_offset = \"1m\"\n";
    let failed = stack.switch(&newer).exits(5);
    assert!(failed.stderr.contains("field query_offset not found"), "{}", failed.stderr);
    assert!(failed.stderr.contains("is marked as failed"), "{}", failed.stderr);
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 500");
    assert_eq!(stack.changed(&before), ["monprov-prod_prometheus"]);
    stack.monprov("status prod").succeeds();

    // One whose health check fails, and one that no node can carry.
    let before = stack.containers();
    let ill = profile(500)
        + "[services.ill]\nimage = \"test/tool:v1.0.0\"\nargs = [\"sleep 100000\"]\n\
           health = { command = [\"sh\", \"-c\", \"exit 1\"], interval = \"1s\", start_period = \"0s\", retries = 1 }\n";
    let failed = stack.switch(&ill).exits(5);
    assert!(failed.stderr.contains("ill ended "), "{}", failed.stderr);
    let lost = profile(500)
        + "[services.lost]\nimage = \"test/tool:v1.0.0\"\nargs = [\"sleep 100000\"]\n\
           swarm.constraints = [\"node.labels.nowhere == true\"]\n";
    let failed = stack.switch(&lost).exits(5);
    assert!(failed.stderr.contains("no suitable node"), "{}", failed.stderr);
    assert_eq!(stack.containers(), before);
    assert_eq!(stack.services(), ALL);

    // Back, and the configs that nobody uses are gone. One generation more is kept for those who
    // roll a service back by hand.
    stack.monprov("rollback prod").succeeds();
    assert_eq!(stack.expression(), "prometheus_tsdb_head_series > 100");
    assert!(configs.iter().all(|config| stack.named("config").contains(config)));
    assert!(stack.named("config").len() <= configs.len() + 2, "{:?}", stack.named("config"));

    // What somebody does by hand is seen and mended.
    stack.engine.docker(&["service", "rm", "monprov-prod_reader"]);
    let drift = stack.monprov("status prod").exits(1);
    assert!(drift.stderr.contains("reader does not run"), "{}", drift.stderr);
    let mended = stack.switch(&profile(100)).succeeds();
    assert!(mended.stderr.contains("create reader"), "{}", mended.stderr);
    stack.engine.docker(&["service", "scale", "--detach", "monprov-prod_opened=0"]);
    let drift = stack.monprov("status prod").exits(1);
    assert!(drift.stderr.contains("opened"), "{}", drift.stderr);
    let mended = stack.switch(&profile(100)).succeeds();
    assert!(mended.stderr.contains("restart opened"), "{}", mended.stderr);
    for by_hand in [&["--env-add", "PLAIN=other"][..], &["--limit-cpu", "0", "--args", "sleep 100000"]] {
        let update = [&["service", "update", "--detach"], by_hand, &["monprov-prod_opened"]].concat();
        stack.engine.docker(&update);
        let drift = stack.monprov("status prod").exits(1);
        let seen = "opened runs with another definition than the bundle's";
        assert!(drift.stderr.contains(seen), "{}", drift.stderr);
        stack.switch(&profile(100)).succeeds();
        stack.monprov("status prod").succeeds();
    }

    stack.monprov("down prod").succeeds();
    assert_eq!(stack.services(), [""; 0]);
    assert_eq!(stack.named("secret"), [""; 0]);
    assert_eq!(stack.containers(), [""; 0]);
    assert!(stack.engine.docker(&["volume", "ls"]).contains("prometheus-data"));
    assert_eq!(stack.engine.docker(&["network", "ls", "--quiet", "--filter", "name=monprov-test"]), "");
    // And up again, with the data that was there.
    stack.switch(&profile(100)).succeeds();

    stack.engine.docker(&["swarm", "leave", "--force"]);
    let failed = stack.monprov("status prod").exits(1);
    assert!(failed.stderr.contains("docker swarm init"), "{}", failed.stderr);
    stack.engine.kill();
    let failed = stack.project.run("status prod").exits(1);
    assert!(failed.stderr.contains("start Docker"), "{}", failed.stderr);
}
