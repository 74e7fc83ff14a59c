//! Profile → [`Stack`]: defaults are filled in, references looked up, orders fixed.

mod alerting;
mod relay;
mod rules;
mod secrets;

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Finding, Path, Place, nearest};
use crate::profile::Profile;
use crate::profile::codes::{M003, M004, M013, M014, M016};
use crate::profile::settings as set;
use crate::profile::units::Duration;

use super::*;

pub use alerting::integration;
pub use relay::{CONTROL, secret, token_of};
pub use secrets::whole;

/// The texts of the files that a profile names, read by the edge.
#[derive(Debug, Default, PartialEq)]
pub struct Files {
    /// Rule files in the order of their names: file name for people, text.
    pub rules: Vec<(String, String)>,
    /// Exported dashboards by dashboard: file name for people, text.
    pub dashboards: BTreeMap<String, (String, String)>,
    /// Digests of images that must be pinned, by name and tag.
    pub images: BTreeMap<String, String>,
}

/// Resolves a profile. What can't be resolved is left out and reported.
pub fn resolve(profile: &Profile, files: &Files) -> (Stack, Vec<Finding>) {
    let mut resolver = Resolver { profile, settings: &profile.settings, findings: vec![] };
    let stack = resolver.stack(files);
    (stack, resolver.findings)
}

struct Resolver<'a> {
    profile: &'a Profile,
    settings: &'a set::Settings,
    findings: Vec<Finding>,
}

impl Resolver<'_> {
    fn stack(&mut self, files: &Files) -> Stack {
        let settings = self.settings;
        let name = self.profile.name.clone();
        self.names();
        let services = settings
            .services
            .iter()
            .map(|(n, s)| (n.clone(), service(n, s, settings.stack.runtime, &files.images)))
            .collect();
        let mut groups = self.groups();
        let (from_files, findings) = super::rulefile::groups(&files.rules, &groups);
        self.findings.extend(findings);
        groups.extend(from_files);
        Stack {
            project: settings.stack.project.clone().unwrap_or_else(|| format!("monprov-{name}")),
            runtime: settings.stack.runtime,
            network: settings.stack.network.clone(),
            kubernetes: Kubernetes::new(&name, &settings.kubernetes),
            images: settings.build.images,
            vars: self.profile.vars.clone(),
            secrets: self.secrets(),
            services,
            prometheus: Prometheus {
                scrape_interval: settings.prometheus.scrape_interval,
                scrape_timeout: settings.prometheus.scrape_timeout,
                evaluation_interval: settings.prometheus.evaluation_interval,
                external_labels: settings.prometheus.external_labels.clone(),
                retention: settings.prometheus.retention,
                at: Path::new(["prometheus"]),
            },
            scrapes: settings
                .scrapes
                .iter()
                .filter_map(|(n, s)| Some((n.clone(), self.scrape(n, s)?)))
                .collect(),
            groups,
            alertmanager: self.alertmanager(),
            receivers: settings.channels.keys().map(|n| (n.clone(), self.receiver(n))).collect(),
            relayed: self.relayed(),
            route: self.root_route(),
            inhibitions: settings
                .inhibitions
                .iter()
                .map(|(n, i)| (n.clone(), self.inhibition(n, i)))
                .collect(),
            intervals: settings.intervals.clone(),
            grafana: Grafana {
                admin_user: settings.grafana.admin_user.clone().unwrap_or_else(|| "admin".into()),
                admin_password: settings.grafana.admin_password.clone(),
                at: Path::new(["grafana"]),
            },
            dashboards: settings
                .dashboards
                .iter()
                .filter_map(|(n, d)| Some((n.clone(), self.dashboard(n, d, files)?)))
                .collect(),
            name,
        }
    }

    fn error(&mut self, code: &'static Code, path: Path, message: String, label: impl Into<String>) {
        self.findings.push(Finding::error(code, Place::setting(path), message).label(label));
    }

    /// Names become parts of host names, file names and URLs.
    fn names(&mut self) {
        let settings = self.settings;
        let host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let file = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let services: Vec<&String> = settings.services.keys().collect();
        for name in services {
            let fits =
                name.chars().all(host) && !name.starts_with('-') && !name.ends_with('-') && name.len() <= 63;
            if name.is_empty() || !fits {
                self.bad_name(
                    &["services", name],
                    "small letters, digits and dashes, at most 63, as in a host name",
                );
            }
        }
        let others: [(&str, Vec<&String>); 4] = [
            ("channels", settings.channels.keys().collect()),
            ("routes", settings.routes.keys().collect()),
            ("dashboards", settings.dashboards.keys().collect()),
            ("intervals", settings.intervals.keys().collect()),
        ];
        for (table, names) in others {
            for name in names {
                if name.is_empty() || name.starts_with('.') || name.len() > 100 || !name.chars().all(file) {
                    self.bad_name(&[table, name], "letters, digits and `._-`, not starting with a dot");
                }
            }
        }
        for (service, settings) in &settings.services {
            for name in settings.secret_files.keys() {
                if name.is_empty() || name.starts_with('.') || !name.chars().all(file) {
                    self.bad_name(&["services", service, "secret_files", name], "letters, digits and `._-`");
                }
            }
            for name in settings.environment.keys() {
                let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if name.is_empty() || !fits || name.starts_with(|c: char| c.is_ascii_digit()) {
                    self.bad_name(&["services", service, "environment", name], "letters, digits and `_`");
                }
            }
        }
    }

    fn bad_name(&mut self, path: &[&str], rule: &str) {
        let at = path.iter().fold(Path::root(), |p, s| p.join(s));
        let name = path.last().copied().unwrap_or_default();
        let finding = Finding::error(&M014, Place::Key(at), format!("`{name}` can't be used as a name here"));
        self.findings.push(finding.label(rule));
    }

    /// Reports a reference to something that isn't there.
    fn dangling(&mut self, at: Path, table: &str, name: &str, what: &str, known: &[String]) {
        let target = Path::new([table, name]);
        let finding = Finding::error(&M013, Place::setting(at), format!("there is no {what} `{name}`"));
        self.findings.push(match self.profile.removed.get(&target) {
            Some(gone) => {
                let file = self.profile.files.get(usize::from(gone.layer)).cloned().unwrap_or_default();
                finding.related(
                    Place::File { file, range: gone.range() },
                    format!("`{target}` is switched off here"),
                )
            }
            None => match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => finding.label(format!("did you mean `{near}`?")),
                None => finding.label(format!("declare `[{target}]`")),
            },
        });
    }

    fn scrape(&mut self, name: &str, scrape: &set::Scrape) -> Option<Scrape> {
        let at = Path::new(["scrapes", name]);
        let runtime = self.settings.stack.runtime;
        let mut catalog = scrape.catalog.clone();
        let targets = match (&scrape.service, scrape.targets.is_empty()) {
            (Some(service), true) => match self.settings.services.get(service) {
                Some(found) => {
                    catalog = catalog.or_else(|| found.catalog.clone());
                    let Some(port) = found.port else {
                        let message = format!("the service `{service}` has no port to scrape");
                        self.error(
                            &M013,
                            at.join("service"),
                            message,
                            format!("set `services.{service}.port`"),
                        );
                        return None;
                    };
                    vec![Target { address: runtime.address(service, port), instance: Some(service.clone()) }]
                }
                None => {
                    let known: Vec<String> = self.settings.services.keys().cloned().collect();
                    self.dangling(at.join("service"), "services", service, "service", &known);
                    return None;
                }
            },
            (None, false) => {
                let one = |address: &String| Target { address: address.clone(), instance: None };
                scrape.targets.iter().map(one).collect()
            }
            (Some(_), false) => {
                self.error(
                    &M016,
                    at.join("targets"),
                    format!("`{at}` has both `service` and `targets`"),
                    "keep one",
                );
                return None;
            }
            (None, true) => {
                let finding =
                    Finding::error(&M004, Place::Key(at.clone()), format!("`{at}` scrapes nothing"));
                self.findings.push(finding.label("set `service` or `targets`"));
                return None;
            }
        };
        let global = &self.settings.prometheus;
        let interval = scrape.interval.unwrap_or(global.scrape_interval);
        let timeout = scrape.timeout.unwrap_or(global.scrape_timeout.min(interval));
        if timeout > interval {
            let message = format!("the time-out {timeout} is longer than the interval {interval}");
            self.error(&M016, at.join("timeout"), message, "Prometheus refuses this");
        }
        if scrape.basic_auth.is_some() && scrape.bearer_token.is_some() {
            let message = format!("`{at}` has both `basic_auth` and `bearer_token`");
            self.error(&M016, at.join("bearer_token"), message, "keep one");
        }
        Some(Scrape {
            name: name.to_owned(),
            job: scrape.job.clone().unwrap_or_else(|| name.to_owned()),
            targets,
            service: scrape.service.clone(),
            catalog,
            interval,
            timeout,
            path: scrape.path.clone().unwrap_or_else(|| "/metrics".into()),
            scheme: scrape.scheme.unwrap_or(Scheme::Http),
            honor_labels: scrape.honor_labels,
            labels: scrape.labels.clone(),
            basic_auth: scrape.basic_auth.clone(),
            bearer_token: scrape.bearer_token.clone(),
            sample_limit: scrape.sample_limit,
            relabel: scrape.relabel.clone(),
            metric_relabel: scrape.metric_relabel.clone(),
            at,
        })
    }

    fn dashboard(&mut self, name: &str, dashboard: &set::Dashboard, files: &Files) -> Option<Dashboard> {
        let at = Path::new(["dashboards", name]);
        if dashboard.file.is_some() {
            if !dashboard.panels.is_empty() || dashboard.title.is_some() {
                let message = format!("`{at}` has a file, which says everything");
                self.error(&M016, at.join("file"), message, "remove the other keys, or the file");
            }
            // A file that can't be read was reported where it was read.
            let (file, text) = files.dashboards.get(name)?.clone();
            let content = DashboardContent::File { file, text };
            return Some(Dashboard { name: name.to_owned(), content, at });
        }
        let mut panels: Vec<_> = dashboard.panels.iter().collect();
        panels.sort_by_key(|(name, panel)| (panel.order.unwrap_or(0), *name));
        let panels =
            panels.into_iter().map(|(name, panel)| self.panel(name, panel, at.join("panels").join(name)));
        let content = DashboardContent::Panels {
            title: dashboard.title.clone().unwrap_or_else(|| name.to_owned()),
            tags: dashboard.tags.clone(),
            range: dashboard.range.unwrap_or(Duration::seconds(6 * 3600)),
            refresh: dashboard.refresh.unwrap_or(Duration::seconds(30)),
            panels: panels.collect(),
        };
        Some(Dashboard { name: name.to_owned(), content, at })
    }

    fn panel(&mut self, name: &str, panel: &set::Panel, at: Path) -> Panel {
        if panel.expr.is_some() && !panel.queries.is_empty() {
            self.error(&M016, at.join("expr"), format!("`{at}` has both `expr` and `queries`"), "keep one");
        }
        let one = panel.expr.iter().map(|expr| Query { expr: expr.clone(), legend: panel.legend.clone() });
        Panel {
            name: name.to_owned(),
            title: panel.title.clone().unwrap_or_else(|| name.to_owned()),
            description: panel.description.clone(),
            r#type: panel.r#type,
            queries: one.chain(panel.queries.iter().cloned()).collect(),
            listed: panel.expr.is_none(),
            unit: panel.unit.clone(),
            min: panel.min,
            max: panel.max,
            decimals: panel.decimals,
            steps: panel.steps.clone(),
            mappings: panel.mappings.clone(),
            width: panel.width.unwrap_or(12),
            height: panel.height.unwrap_or(8),
            at,
        }
    }
}

/// `digests`: what the tags of images mean, where that is to stand in the bundle.
fn service(
    name: &str,
    service: &set::Service,
    runtime: Runtime,
    digests: &BTreeMap<String, String>,
) -> Service {
    let pinned = |image: &String| match digests.get(image) {
        Some(digest) => format!("{image}@{digest}"),
        None => image.clone(),
    };
    let written = service.version.as_deref().and_then(Version::parse);
    Service {
        name: name.to_owned(),
        kind: service.kind,
        version: written.or_else(|| service.image.as_deref().and_then(Version::of_image)),
        image: service.image.as_ref().map(pinned),
        program: service.program.clone(),
        entrypoint: service.entrypoint.clone(),
        args: service.args.clone(),
        port: service.port,
        publish: match service.publish {
            Some(0) => None,
            Some(port) => Some(port),
            // What Swarm publishes is open to everybody who reaches the node.
            None => service.port.filter(|_| runtime != Runtime::Swarm),
        },
        publish_address: service.publish_address.clone().unwrap_or_else(|| "127.0.0.1".into()),
        environment: service.environment.clone(),
        secret_files: service.secret_files.clone(),
        allow_env: service.allow_env,
        reload: match service.kind {
            ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay => {
                Some("/-/reload".into())
            }
            _ => service.reload.clone(),
        },
        health: service.health.clone(),
        limits: service.limits.clone(),
        user: service.user.clone(),
        volumes: service.volumes.clone(),
        after: service.after.clone(),
        swarm: service.swarm.clone(),
        required: service.required.unwrap_or(match service.kind {
            ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay => true,
            ServiceKind::Grafana | ServiceKind::Exporter => false,
        }),
        catalog: service.catalog.clone(),
        at: Path::new(["services", name]),
    }
}
