//! The process runtime through the trait that activation knows.

use std::collections::BTreeMap;

use monprov::activate::process::{ProcessRuntime, State};
use monprov::activate::{self, Bundle, Observed, Plan, Runtime, RuntimeError, Step, Target};
use monprov::store::Store;

use super::{IDLE, profile, project, script};
use crate::support::daemon::free_port;
use crate::support::project::Project;
use crate::support::up::Up;

/// What the profile as it is now builds.
fn bundle(project: &Project) -> Bundle {
    let built = project.run("build dev --oracle off").succeeds();
    let name = built.last_line().rsplit('/').next().unwrap().parse().unwrap();
    Bundle::open(Store::open(&project.path(".monprov")).unwrap().path_of(&name)).unwrap()
}

fn plan(bundle: &Bundle, observed: &Observed) -> Plan {
    Plan::new(&[], &bundle.manifest, observed, &BTreeMap::new(), true)
}

#[test]
fn a_plan_is_carried_out_by_the_running_supervisor() {
    let port = free_port();
    let node = format!(
        "[services.node]\nprogram = \"prometheus-node-exporter\"\nport = {port}\n\
         args = [\"--web.listen-address=127.0.0.1:{port}\"]\nhealth = {{ http = \"/metrics\" }}\n"
    );
    let absent = "[services.absent]\nprogram = \"not-here\"\n";
    let up = Up::start(project(&(node.clone() + absent + &script("goes", IDLE, ""))));
    let runtime = ProcessRuntime::new(&up.project.path(".monprov"), "dev");
    up.until("node", State::Healthy);
    up.until("goes", State::Running);

    let before = runtime.observe().unwrap();
    let manifest = bundle(&up.project).manifest;
    let running = &before.0["node"];
    assert_eq!(running.state, activate::State::Healthy);
    assert_eq!(running.definition.as_ref(), Some(&manifest.services["node"].definition));
    assert!(running.since.unwrap().elapsed().unwrap().as_secs() < 90);
    assert_eq!(before.0["goes"].state, activate::State::Running);
    assert!(matches!(&before.0["absent"].state, activate::State::Absent(why) if why.contains("not-here")));
    let here = format!("127.0.0.1:{port}");
    assert_eq!(runtime.address("node", port).unwrap(), Some(here));
    assert_eq!(runtime.address("absent", 1).unwrap(), None);
    assert!(runtime.logs("node", 2).lines().count() == 2, "{}", runtime.logs("node", 2));

    let changed = node.replace("\"]", "\", \"--log.level=warn\"]");
    up.project
        .write("profiles/dev.toml", profile(&(changed + absent + &script("comes", "echo hi; exit 7", ""))));
    let new = bundle(&up.project);
    let target = Target { bundle: &new, environment: &BTreeMap::new() };
    let plan = plan(&new, &before);
    let having = |step| plan.having(step).collect::<Vec<_>>();
    assert_eq!(having(Step::Create), ["comes"]);
    assert_eq!(having(Step::Remove), ["goes"]);
    assert_eq!(having(Step::Restart), ["node"]);
    runtime.check(&target, &plan).unwrap();
    runtime.apply(&target, &plan).unwrap();
    let node = up.until("node", State::Healthy);
    assert!(node.started > Some(up.status().services["absent"].since), "{node:?}");
    up.until("comes", State::Restarting);
    let after = runtime.observe().unwrap();
    assert!(!after.0.contains_key("goes"));
    assert_eq!(after.0["comes"].state, activate::State::Failed("ended: exit code 7\nhi".into()));
}

#[test]
fn a_port_of_somebody_else_is_refused_before_anything_is_touched() {
    let up = Up::start(project(&script("one", IDLE, "")));
    up.until("one", State::Running);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let two = script("two", IDLE, &format!("port = {port}"));
    up.project.write("profiles/dev.toml", profile(&(script("one", IDLE, "") + &two)));
    let new = bundle(&up.project);
    let runtime = ProcessRuntime::new(&up.project.path(".monprov"), "dev");
    let plan = plan(&new, &runtime.observe().unwrap());
    let refused = runtime.check(&Target { bundle: &new, environment: &BTreeMap::new() }, &plan);
    let Err(RuntimeError::Unavailable { what, .. }) = &refused else { panic!("{refused:?}") };
    assert!(what.starts_with(&format!("port {port} of two is in use by `")), "{what}");
    assert!(what.ends_with(&format!("(process {})", std::process::id())), "{what}");
}

#[test]
fn without_a_supervisor_nothing_runs_and_a_switch_says_how_to_start_one() {
    let project = project(&script("one", IDLE, ""));
    let new = bundle(&project);
    let runtime = ProcessRuntime::new(&project.path(".monprov"), "dev");
    assert_eq!(runtime.observe().unwrap(), Observed::default());
    assert_eq!(runtime.logs("one", 10), "");
    runtime.stop().unwrap();
    let plan = plan(&new, &Observed::default());
    let refused = runtime.check(&Target { bundle: &new, environment: &BTreeMap::new() }, &plan);
    let refused = refused.unwrap_err();
    assert_eq!(refused.to_string(), "`monprov up dev` does not run: start it in a terminal of its own");
    assert!(!refused.blames_bundle());
}
