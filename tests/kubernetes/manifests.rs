//! The plain flavor.

use serde_json::{Value, json};

use super::{assert_same, assert_schemas, build, find, kustomized, of_kind, project, resources};

const PLAIN: &str = r#"
extends = ["prod"]

[stack]
runtime = "kubernetes"
"#;

/// The reference stack with the relay and a channel of a plugin.
const RELAYED: &str = r#"
extends = ["prod", "relay"]

[stack]
runtime = "kubernetes"

[kubernetes]
namespace = "monitoring"
create_namespace = false
storage_class = "fast"
storage = "5GiB"
volumes = { prometheus = "50GiB" }
allow_from = ["ingress"]
pull_secrets = ["registry"]

[channels.dingtalk]
enable = true

[routes.dingtalk]
enable = true
"#;

#[test]
fn published_schemas_of_three_versions_take_every_resource() {
    for layer in [PLAIN, RELAYED] {
        let project = project(layer);
        assert_schemas(&resources(&build(&project, "cluster")));
    }
}

#[test]
fn kustomize_takes_the_folder_as_it_is() {
    for layer in [PLAIN, RELAYED] {
        let project = project(layer);
        let bundle = build(&project, "cluster");
        assert_same(&resources(&bundle), &kustomized(&bundle));
    }
}

#[test]
fn every_pod_is_locked_down() {
    let project = project(RELAYED);
    let resources = resources(&build(&project, "cluster"));
    let mut pods = of_kind(&resources, "Deployment");
    pods.extend(of_kind(&resources, "StatefulSet"));
    assert_eq!(pods.len(), 6);
    for workload in pods {
        let spec = &workload["spec"]["template"]["spec"];
        let name = &workload["metadata"]["name"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        let container = &spec["containers"][0];
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        assert!(container["readinessProbe"].is_object(), "{name}");
    }
}

#[test]
fn what_has_data_is_never_there_twice() {
    let project = project(PLAIN);
    let resources = resources(&build(&project, "cluster"));
    let names = |kind: &str| -> Vec<&str> {
        of_kind(&resources, kind).iter().map(|r| r["metadata"]["name"].as_str().unwrap()).collect()
    };
    assert_eq!(names("StatefulSet"), ["alertmanager", "grafana", "prometheus"]);
    assert_eq!(names("Deployment"), ["celery-exporter", "redis-exporter"]);
    assert_eq!(names("PersistentVolumeClaim"), ["alertmanager", "grafana", "prometheus"]);
    let claim = &find(&resources, "PersistentVolumeClaim", "prometheus")["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "10Gi");
}

#[test]
fn files_are_where_compose_has_them() {
    let project = project(RELAYED);
    let bundle = build(&project, "cluster");
    let resources = resources(&bundle);
    for (workload, folder) in [("prometheus", "prometheus"), ("relay", "relay"), ("grafana", "grafana")] {
        let spec = &find(&resources, "StatefulSet", workload)["spec"]["template"]["spec"];
        let mount = spec["containers"][0]["volumeMounts"].as_array().unwrap();
        assert!(mount.iter().any(|m| m["mountPath"] == "/monprov/run/cluster/live" && m["readOnly"] == true));
        let sources = spec["volumes"][0]["projected"]["sources"].as_array().unwrap();
        let mut held = 0;
        for source in sources {
            let map = find(&resources, "ConfigMap", source["configMap"]["name"].as_str().unwrap());
            assert_eq!(map["immutable"], true);
            for item in source["configMap"]["items"].as_array().unwrap() {
                let (key, path) = (item["key"].as_str().unwrap(), item["path"].as_str().unwrap());
                let content = match (&map["data"][key], &map["binaryData"][key]) {
                    (Value::String(text), Value::Null) => text.clone().into_bytes(),
                    (Value::Null, Value::String(text)) => decode(text),
                    _ => panic!("{path} is not there"),
                };
                assert!(content == std::fs::read(bundle.join(path)).unwrap(), "{path}");
                held += 1;
            }
        }
        let files = walkdir::WalkDir::new(bundle.join(folder)).into_iter().map(Result::unwrap);
        assert_eq!(held, files.filter(|entry| entry.file_type().is_file()).count(), "{folder}");
    }
}

fn decode(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = std::process::Command::new("base64")
        .arg("--decode")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

#[test]
fn another_configuration_is_another_pod_and_an_exporter_stays() {
    let project = project(PLAIN);
    let before = resources(&build(&project, "cluster"));
    project
        .write("profiles/cluster.toml", format!("{PLAIN}\n[alerts.HighCeleryQueueLength]\nthreshold = 7\n"));
    let after = resources(&build(&project, "cluster"));
    let workload = |all: &[Value], kind: &str, name: &str| find(all, kind, name).clone();
    assert_ne!(workload(&before, "StatefulSet", "prometheus"), workload(&after, "StatefulSet", "prometheus"));
    for (kind, name) in
        [("StatefulSet", "alertmanager"), ("StatefulSet", "grafana"), ("Deployment", "celery-exporter")]
    {
        assert_eq!(workload(&before, kind, name), workload(&after, kind, name), "{name}");
    }
}

#[test]
fn no_value_of_a_secret_is_in_the_bundle() {
    let project = project(PLAIN);
    let bundle = build(&project, "cluster");
    let resources = resources(&bundle);
    assert!(of_kind(&resources, "Secret").is_empty());
    let container =
        &find(&resources, "Deployment", "celery-exporter")["spec"]["template"]["spec"]["containers"][0];
    let variable =
        container["env"].as_array().unwrap().iter().find(|v| v["name"] == "CE_BROKER_URL").unwrap();
    let reference = json!({ "name": "celery-exporter-secrets", "key": "CE_BROKER_URL" });
    assert_eq!(variable["valueFrom"]["secretKeyRef"], reference);
}

#[test]
fn only_who_has_to_reaches_a_service() {
    let project = project(RELAYED);
    let resources = resources(&build(&project, "cluster"));
    let callers = |name: &str| -> Vec<String> {
        let from = &find(&resources, "NetworkPolicy", name)["spec"]["ingress"][0]["from"];
        let service = |peer: &Value| {
            let label = peer["podSelector"]["matchLabels"]["monprov.service"].as_str();
            label.map_or_else(|| "namespaces".to_owned(), str::to_owned)
        };
        from.as_array().unwrap().iter().map(service).collect()
    };
    assert_eq!(callers("prometheus"), ["grafana", "prometheus", "namespaces"]);
    assert_eq!(callers("alertmanager"), ["prometheus", "namespaces"]);
    assert_eq!(callers("relay"), ["alertmanager", "prometheus", "namespaces"]);
    assert_eq!(callers("grafana"), ["namespaces"]);
    assert_eq!(callers("celery-exporter"), ["prometheus", "namespaces"]);
    let nobody = &find(&resources, "NetworkPolicy", "monprov-cluster")["spec"];
    assert_eq!(nobody["podSelector"]["matchLabels"], json!({ "monprov.profile": "cluster" }));
}

#[test]
fn what_kubernetes_would_interpolate_is_taken_literally() {
    let layer = format!(
        "{PLAIN}\n[services.celery-exporter]\nargs_append = [\"--a=$(HOME)\", \"--b=$$x\"]\nenvironment.X = \"$(PATH)\"\n"
    );
    let project = project(&layer);
    let resources = resources(&build(&project, "cluster"));
    let container =
        &find(&resources, "Deployment", "celery-exporter")["spec"]["template"]["spec"]["containers"][0];
    let args = container["args"].as_array().unwrap();
    assert_eq!(args[args.len() - 2..], [json!("--a=$$(HOME)"), json!("--b=$$$$x")]);
    let x = container["env"].as_array().unwrap().iter().find(|v| v["name"] == "X").unwrap();
    assert_eq!(x["value"], "$$(PATH)");
}

#[test]
fn files_are_shared_out_over_config_maps_and_one_that_is_too_large_is_refused() {
    let long = |name: &str, size: usize| {
        format!(
            "groups:\n- name: {name}\n  rules:\n  - alert: {name}\n    expr: up == 0\n    annotations:\n      summary: {}\n",
            "x".repeat(size)
        )
    };
    // No policy on names here.
    let layers = PLAIN.replace("\"prod\"", "\"base\", \"celery\", \"notify\"");
    let project = project(&format!("{layers}\n[rules]\nfiles = [\"rules/*.yml\"]\n"));
    for name in ["a", "b", "c"] {
        project.write(&format!("profiles/rules/{name}.yml"), long(name, 600_000));
    }
    let resources = resources(&build(&project, "cluster"));
    assert_schemas(&resources);
    let maps = of_kind(&resources, "ConfigMap");
    let of_prometheus =
        maps.iter().filter(|map| map["metadata"]["labels"]["monprov.service"] == "prometheus");
    assert_eq!(of_prometheus.count(), 3);
    project.write("profiles/rules/d.yml", long("d", 1_100_000));
    let output = project.run("build cluster --no-secrets --oracle off").exits(3);
    assert!(output.stderr.contains("M351"), "{}", output.stderr);
}

#[test]
fn names_that_a_cluster_refuses_are_refused() {
    let layer = format!("{PLAIN}\n[kubernetes]\nnamespace = \"My_Space\"\nallow_from = [\"-x\"]\n");
    let output = project(&layer).run("check cluster --no-secrets --oracle off").exits(3);
    assert_eq!(output.stderr.matches("error[M350]").count(), 2, "{}", output.stderr);
}
