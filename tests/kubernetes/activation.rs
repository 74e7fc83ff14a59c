//! `switch` and its kin through the real kubectl, on pods that are real programs.

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::daemon::free_port;
use crate::support::http;
use crate::support::project::{Output, Project};

const NAMESPACE: &str = "monprov-site";

/// A service in name only, with a secret in its environment.
const EXPORTER: &str = r#"
[services.exporter]
image = "example/exporter:1.0"
port = 9100
user = "1000"
environment.PASSWORD = "${secret.password}"
health.http = "/health"

[secrets]
password = { file = "../password" }
"#;

/// What a test may change of the profile.
#[derive(Clone)]
struct Profile {
    threshold: u32,
    /// Of Prometheus.
    args: Vec<&'static str>,
    exporter: bool,
    /// Tables added at the end.
    more: &'static str,
}

impl Default for Profile {
    fn default() -> Self {
        Profile { threshold: 100, args: vec![], exporter: true, more: "" }
    }
}

fn write_password(project: &Project, password: &str) {
    project.write("password", password);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(project.path("password"), mode).unwrap();
}

struct Site {
    cluster: Cluster,
    project: Project,
    prometheus: u16,
    alertmanager: u16,
}

impl Site {
    fn new() -> Site {
        let cluster = Cluster::start();
        let project = cluster.serves(Project::empty());
        write_password(&project, "first-secret-value");
        let (prometheus, alertmanager) = (free_port(), free_port());
        let site = Site { cluster, project, prometheus, alertmanager };
        site.write(&Profile::default());
        site
    }

    /// The first generation, running and proved.
    fn started() -> Site {
        let site = Site::new();
        site.switch().succeeds();
        site
    }

    fn write(&self, profile: &Profile) {
        let Site { prometheus, alertmanager, .. } = self;
        let Profile { threshold, args, exporter, more } = profile;
        let exporter = if *exporter { EXPORTER } else { "" };
        let profile = format!(
            r#"
[stack]
runtime = "kubernetes"

[prometheus]
scrape_interval = "1s"
scrape_timeout = "1s"

[services.prometheus]
kind = "prometheus"
catalog = "prometheus"
image = "prom/prometheus:v2.42.0"
port = {prometheus}
args = {args:?}

[services.alertmanager]
kind = "alertmanager"
image = "prom/alertmanager:v0.25.0"
port = {alertmanager}
{exporter}
[scrapes.prometheus]
service = "prometheus"

[scrapes.alertmanager]
service = "alertmanager"

[groups.site]

[alerts.Queue]
group = "site"
expr = "prometheus_tsdb_head_series > ${{threshold}}"
threshold = {threshold}
severity = "warning"
summary = "Too many series"

[alertmanager]
channel = "ops"

[channels.ops.webhook]
url = "http://127.0.0.1:1/nobody"
{more}"#
        );
        self.project.write("profiles/site.toml", profile);
    }

    fn set_password(&self, password: &str) {
        write_password(&self.project, password);
    }

    fn switch(&self) -> Output {
        self.project.run("switch site --oracle off")
    }

    /// The rule that the real Prometheus evaluates.
    fn expression(&self) -> String {
        let rules = http::json(&format!("http://127.0.0.1:{}/api/v1/rules", self.prometheus));
        rules["data"]["groups"][0]["rules"][0]["query"].as_str().unwrap().to_owned()
    }

    /// The unique number of a service's pod.
    fn pod(&self, service: &str) -> String {
        let pods = self.cluster.all("pods", NAMESPACE);
        let own: Vec<&Value> =
            pods.iter().filter(|pod| pod["metadata"]["labels"]["monprov.service"] == service).collect();
        assert_eq!(own.len(), 1, "{service}");
        own[0]["metadata"]["uid"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_switch_is_proved_and_touches_only_what_changed() {
    let site = Site::new();
    let first = site.switch().succeeds();
    assert!(first.stderr.contains("generation 1"), "{}{}", first.stdout, first.stderr);
    assert_eq!(site.expression(), "prometheus_tsdb_head_series > 100");
    let before = ["prometheus", "alertmanager", "exporter"].map(|service| site.pod(service));
    let maps = site.cluster.names("configmaps", NAMESPACE);

    // Again: nothing happens.
    site.switch().succeeds();
    assert_eq!(before, ["prometheus", "alertmanager", "exporter"].map(|service| site.pod(service)));

    site.write(&Profile { threshold: 7, ..Profile::default() });
    site.switch().succeeds();
    assert_eq!(site.expression(), "prometheus_tsdb_head_series > 7");
    assert_ne!(site.pod("prometheus"), before[0]);
    assert_eq!([site.pod("alertmanager"), site.pod("exporter")], before[1..]);
    let new = site.cluster.names("configmaps", NAMESPACE);
    assert_eq!(new.len(), maps.len(), "what no pod reads any more is removed: {new:?}");
    assert_ne!(new, maps);

    // By generation, from the bundle in the store.
    site.project.run("rollback site").succeeds();
    assert_eq!(site.expression(), "prometheus_tsdb_head_series > 100");
    assert_eq!(site.cluster.names("configmaps", NAMESPACE), maps);
    site.project.run("status site").succeeds();

    site.project.run("down site").succeeds();
    for kind in
        ["pods", "statefulsets", "deployments", "services", "configmaps", "secrets", "networkpolicies"]
    {
        assert_eq!(site.cluster.names(kind, NAMESPACE), Vec::<String>::new(), "{kind}");
    }
    let claims = site.cluster.names("persistentvolumeclaims", NAMESPACE);
    assert_eq!(claims, ["alertmanager-data", "prometheus-data"], "data stays");
}

#[test]
fn what_does_not_start_is_taken_back() {
    let site = Site::started();
    let alertmanager = site.pod("alertmanager");
    site.write(&Profile { threshold: 7, args: vec!["--no-such-flag"], ..Profile::default() });
    let output = site.switch().exits(5);
    assert!(output.stderr.contains("no-such-flag"), "what it said is shown: {}", output.stderr);
    assert_eq!(site.expression(), "prometheus_tsdb_head_series > 100");
    assert_eq!(site.pod("alertmanager"), alertmanager);
    site.project.run("status site").succeeds();
}

#[test]
fn a_rotated_secret_restarts_who_uses_it_and_has_another_name() {
    let site = Site::started();
    let (exporter, prometheus) = (site.pod("exporter"), site.pod("prometheus"));
    let names = site.cluster.names("secrets", NAMESPACE);
    assert_eq!(names.len(), 1);
    site.set_password("second-secret-value");
    site.project.run("secrets sync site").succeeds();
    assert_ne!(site.pod("exporter"), exporter);
    assert_eq!(site.pod("prometheus"), prometheus);
    let rotated = site.cluster.all("secrets", NAMESPACE);
    assert_eq!(rotated.len(), 1, "the old one is gone");
    assert_ne!(rotated[0]["metadata"]["name"], names[0]);
    // "second-secret-value"
    assert_eq!(rotated[0]["data"]["PASSWORD"], "c2Vjb25kLXNlY3JldC12YWx1ZQ==");
    // The name is a keyed digest: with another key, the same value has another.
    std::fs::remove_file(site.project.path(".monprov/kubernetes/key")).unwrap();
    site.write(&Profile { threshold: 7, ..Profile::default() });
    site.switch().succeeds();
    let renamed = site.cluster.all("secrets", NAMESPACE);
    assert_eq!(renamed[0]["data"], rotated[0]["data"]);
    assert_ne!(renamed[0]["metadata"]["name"], rotated[0]["metadata"]["name"]);
}

#[test]
fn a_service_that_is_left_out_is_removed() {
    let site = Site::started();
    site.write(&Profile { exporter: false, ..Profile::default() });
    site.switch().succeeds();
    assert_eq!(site.cluster.names("deployments", NAMESPACE), Vec::<String>::new());
    assert_eq!(site.cluster.names("services", NAMESPACE), ["alertmanager", "prometheus"]);
    assert_eq!(site.cluster.names("secrets", NAMESPACE), Vec::<String>::new());
}

#[test]
fn what_is_in_the_way_is_said_before_anything_is_touched() {
    let site = Site::new();
    let elsewhere = "[kubernetes]\nnamespace = \"elsewhere\"\ncreate_namespace = false\n";
    site.write(&Profile { more: elsewhere, ..Profile::default() });
    let output = site.switch().exits(1);
    assert!(output.stderr.contains("the namespace `elsewhere` does not exist"), "{}", output.stderr);

    // Somebody else's service of that name.
    let foreign = r#"
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monprov-site"}}
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "prometheus", "namespace": "monprov-site"},
         "spec": {"ports": [{"port": 80}]}}"#;
    site.project.write("foreign.json", foreign);
    let file = site.project.path("foreign.json");
    site.cluster
        .kubectl(&format!("apply --server-side --field-manager=monprov --filename {}", file.display()));
    site.write(&Profile::default());
    let output = site.switch().exits(1);
    assert!(output.stderr.contains("`kubernetes.create_namespace = false`"), "{}", output.stderr);
    site.write(&Profile { more: "[kubernetes]\ncreate_namespace = false\n", ..Profile::default() });
    let output = site.switch().exits(1);
    assert!(output.stderr.contains("Service prometheus in `monprov-site`"), "{}", output.stderr);
    assert_eq!(site.cluster.names("pods", NAMESPACE), Vec::<String>::new());
}

#[test]
fn a_drill_that_cannot_be_followed_is_refused_before_anything_is_touched() {
    let site = Site { prometheus: 9090, alertmanager: 9093, ..Site::new() };
    site.write(&Profile { more: "[kubernetes]\nflavor = \"operator\"\n", ..Profile::default() });
    let output = site.project.run("switch site --oracle off --drill").exits(1);
    assert!(output.stderr.contains("`flavor = \"plain\"` can be drilled"), "{}", output.stderr);
    assert_eq!(site.cluster.names("pods", NAMESPACE), Vec::<String>::new());
}

#[test]
fn a_cluster_that_cannot_be_reached_is_said_so() {
    let site = Site::new();
    let project = site.cluster.serves(Project::empty()).env("KUBECONFIG", "kubeconfig");
    project.write("profiles/site.toml", site.project.read("profiles/site.toml"));
    project.write("kubeconfig", "{}");
    write_password(&project, "first-secret-value");
    let output = project.run("switch site --oracle off").exits(1);
    assert!(output.stderr.contains("kubeconfig"), "{}", output.stderr);
}
