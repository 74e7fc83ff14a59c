//! Profile → [`Stack`]: defaults are filled in, references looked up, orders fixed.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Finding, Path, Place, nearest};
use crate::profile::Profile;
use crate::profile::codes::{M004, M013, M014, M016};
use crate::profile::node::{Node, Value as Tree};
use crate::profile::settings as set;
use crate::profile::text::Text;
use crate::profile::units::Duration;

use super::*;

/// The texts of the files that a profile names, read by the edge.
#[derive(Debug, Default)]
pub struct Files {
    /// Rule files in the order of their names: file name for people, text.
    pub rules: Vec<(String, String)>,
    /// Exported dashboards by dashboard: file name for people, text.
    pub dashboards: BTreeMap<String, (String, String)>,
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
        let services = settings.services.iter().map(|(n, s)| (n.clone(), service(n, s))).collect();
        let mut groups = self.groups();
        let (from_files, findings) = super::rulefile::groups(&files.rules, &groups);
        self.findings.extend(findings);
        groups.extend(from_files);
        Stack {
            project: settings.stack.project.clone().unwrap_or_else(|| format!("monprov-{name}")),
            runtime: settings.stack.runtime,
            network: settings.stack.network.clone(),
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

    fn secrets(&self) -> BTreeMap<String, Vec<SecretSource>> {
        let used = self.settings.secrets.iter().filter(|(name, _)| self.profile.secrets.contains(*name));
        used.map(|(name, sources)| (name.clone(), sources.as_slice().to_vec())).collect()
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

    /// Groups of the profile's own rules, each a file of its own.
    fn groups(&mut self) -> Vec<Group> {
        let mut rules: BTreeMap<&str, Vec<(i64, Rule)>> = BTreeMap::new();
        for (name, alert) in &self.settings.alerts {
            let rule = self.alert(name, alert);
            rules
                .entry(alert.group.as_deref().unwrap_or("default"))
                .or_default()
                .push((alert.order.unwrap_or(0), rule));
        }
        for (name, record) in &self.settings.records {
            let rule = Rule {
                kind: RuleKind::Record,
                name: record.metric.clone().unwrap_or_else(|| name.clone()),
                expr: record.expr.clone(),
                labels: record.labels.clone(),
                source: Source::Setting(Path::new(["records", name])),
            };
            let group = record.group.as_deref().unwrap_or("default");
            rules.entry(group).or_default().push((record.order.unwrap_or(0), rule));
        }
        for name in self.settings.groups.keys().filter(|n| !rules.contains_key(n.as_str())) {
            let known: Vec<&str> = rules.keys().copied().collect();
            let mut finding = Finding::warning(
                &M013,
                Place::Key(Path::new(["groups", name])),
                format!("the group `{name}` has no rules"),
            );
            if let Some(near) = nearest(name, known.iter().copied()) {
                finding = finding.label(format!("did you mean `{near}`?"));
            }
            self.findings.push(finding);
        }
        let order = |name: &str| self.settings.groups.get(name).and_then(|g| g.order).unwrap_or(0);
        let mut groups: Vec<_> = rules.into_iter().collect();
        groups.sort_by_key(|(name, _)| (order(name), *name));
        let mut taken = vec![];
        let groups = groups.into_iter().map(|(name, mut rules)| {
            // Recording rules first: what they record is then fresh for the alerts.
            rules.sort_by(|(a, x), (b, y)| {
                (a, x.alert().is_some(), &x.name).cmp(&(b, y.alert().is_some(), &y.name))
            });
            let settings = self.settings.groups.get(name);
            Group {
                name: name.to_owned(),
                file: super::rulefile::file_name(name, &mut taken),
                interval: settings.and_then(|g| g.interval),
                query_offset: settings.and_then(|g| g.query_offset),
                limit: settings.and_then(|g| g.limit),
                labels: BTreeMap::new(),
                rules: rules.into_iter().map(|(_, rule)| rule).collect(),
                source: Source::Setting(Path::new(["groups", name])),
            }
        });
        groups.collect()
    }

    fn alert(&mut self, name: &str, alert: &set::Alert) -> Rule {
        let at = Path::new(["alerts", name]);
        let mut labels = alert.labels.clone();
        let mut annotations = alert.annotations.clone();
        let plain = |text: &Option<String>| text.as_ref().map(Text::plain);
        let mut put = |table: &mut BTreeMap<String, Text>, key: &str, value: Option<Text>| {
            let Some(value) = value else { return };
            if table.insert(key.to_owned(), value).is_some() {
                let finding = Finding::error(
                    &M016,
                    Place::setting(at.join(key)),
                    format!("`{key}` stands twice in `{at}`"),
                );
                self.findings.push(finding.label("keep this one, or the one in the table"));
            }
        };
        put(&mut labels, "severity", plain(&alert.severity));
        put(&mut labels, "component", plain(&alert.component));
        put(&mut annotations, "summary", alert.summary.clone());
        put(&mut annotations, "description", alert.description.clone());
        put(&mut annotations, "runbook_url", alert.runbook_url.clone());
        self.no_secrets(&at, [("expr", &alert.expr)]);
        self.no_secrets(&at.join("labels"), labels.iter().map(|(k, v)| (k.as_str(), v)));
        self.no_secrets(&at.join("annotations"), annotations.iter().map(|(k, v)| (k.as_str(), v)));
        Rule {
            kind: RuleKind::Alert(AlertRule {
                threshold: alert.threshold,
                unit: alert.unit.clone().unwrap_or_default(),
                r#for: alert.r#for.unwrap_or_default(),
                keep_firing_for: alert.keep_firing_for.unwrap_or_default(),
                annotations,
            }),
            name: name.to_owned(),
            expr: alert.expr.clone(),
            labels,
            source: Source::Setting(at),
        }
    }

    fn no_secrets<'t>(&mut self, at: &Path, texts: impl IntoIterator<Item = (&'t str, &'t Text)>) {
        for (key, text) in texts {
            if text.is_secret() {
                let message = format!("a secret can't stand in `{}`", at.join(key));
                self.error(&crate::profile::codes::M012, at.join(key), message, "rules hold no secrets");
            }
        }
    }

    fn alertmanager(&self) -> Alertmanager {
        let settings = &self.settings.alertmanager;
        Alertmanager {
            resolve_timeout: settings.resolve_timeout.unwrap_or(Duration::seconds(300)),
            smtp: Smtp {
                smarthost: settings.smtp.smarthost.clone(),
                from: settings.smtp.from.clone(),
                username: settings.smtp.username.clone(),
                password: settings.smtp.password.clone(),
                hello: settings.smtp.hello.clone(),
                require_tls: settings.smtp.require_tls.unwrap_or(true),
            },
            at: Path::new(["alertmanager"]),
        }
    }

    fn receiver(&self, name: &str) -> Receiver {
        let at = Path::new(["channels", name]);
        let channel = self.profile.root.get("channels").and_then(|c| c.get(name));
        let mut integrations = vec![];
        for (kind, node) in channel.and_then(Node::table).into_iter().flat_map(|t| &t.entries) {
            let at = at.join(kind);
            match &node.value {
                Tree::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        integrations.extend(integration(kind, item, at.join(index)));
                    }
                }
                _ => integrations.extend(integration(kind, node, at)),
            }
        }
        Receiver { name: name.to_owned(), integrations, at }
    }

    fn channel(&mut self, at: &Path, name: &str) -> String {
        if !self.settings.channels.contains_key(name) {
            let known: Vec<String> = self.settings.channels.keys().cloned().collect();
            self.dangling(at.join("channel"), "channels", name, "channel", &known);
        }
        name.to_owned()
    }

    fn root_route(&mut self) -> Route {
        let settings = &self.settings.alertmanager;
        let at = Path::new(["alertmanager"]);
        let receiver = match &settings.channel {
            Some(name) => self.channel(&at, name),
            None => {
                if self.settings.services.values().any(|s| s.kind == ServiceKind::Alertmanager) {
                    let finding = Finding::error(
                        &M004,
                        Place::Key(at.clone()),
                        "alerts that no route takes have no channel",
                    );
                    self.findings.push(finding.label("set `channel` in `[alertmanager]`"));
                }
                String::new()
            }
        };
        let routes = self.routes(&self.settings.routes, &receiver, &Path::new(["routes"]));
        Route {
            name: String::new(),
            receiver,
            matchers: vec![],
            r#continue: false,
            group_by: settings.group_by.clone(),
            group_wait: settings.group_wait,
            group_interval: settings.group_interval,
            repeat_interval: settings.repeat_interval,
            mute_during: vec![],
            active_during: vec![],
            routes,
            order: 0,
            at,
        }
    }

    fn routes(&mut self, routes: &BTreeMap<String, set::Route>, parent: &str, at: &Path) -> Vec<Route> {
        let mut sorted: Vec<_> = routes.iter().collect();
        sorted.sort_by_key(|(name, route)| (route.order.unwrap_or(0), *name));
        sorted.into_iter().map(|(name, route)| self.route(name, route, parent, at.join(name))).collect()
    }

    fn route(&mut self, name: &str, route: &set::Route, parent: &str, at: Path) -> Route {
        let receiver = match &route.channel {
            Some(channel) => self.channel(&at, channel),
            None => parent.to_owned(),
        };
        for (key, names) in [("mute_during", &route.mute_during), ("active_during", &route.active_during)] {
            for (index, interval) in names.iter().enumerate() {
                if !self.settings.intervals.contains_key(interval) {
                    let known: Vec<String> = self.settings.intervals.keys().cloned().collect();
                    self.dangling(at.join(key).join(index), "intervals", interval, "time interval", &known);
                }
            }
        }
        Route {
            name: name.to_owned(),
            matchers: self.matchers(&route.r#match, &route.matchers, &at, "matchers"),
            r#continue: route.r#continue.unwrap_or(false),
            group_by: route.group_by.clone(),
            group_wait: route.group_wait,
            group_interval: route.group_interval,
            repeat_interval: route.repeat_interval,
            mute_during: route.mute_during.clone(),
            active_during: route.active_during.clone(),
            routes: self.routes(&route.routes, &receiver, &at.join("routes")),
            order: route.order.unwrap_or(0),
            receiver,
            at,
        }
    }

    fn matchers(
        &mut self,
        equal: &BTreeMap<String, String>,
        written: &[String],
        at: &Path,
        key: &str,
    ) -> Vec<Matcher> {
        let mut matchers: Vec<Matcher> = equal
            .iter()
            .map(|(label, value)| Matcher { label: label.clone(), op: MatchOp::Equal, value: value.clone() })
            .collect();
        for (index, text) in written.iter().enumerate() {
            match Matcher::parse(text) {
                Ok(parsed) => matchers.extend(parsed),
                Err(error) => {
                    let place = Place::setting(at.join(key).join(index));
                    self.findings.push(error.finding(place));
                }
            }
        }
        matchers
    }

    fn inhibition(&mut self, name: &str, inhibition: &set::Inhibition) -> Inhibition {
        let at = Path::new(["inhibitions", name]);
        Inhibition {
            name: name.to_owned(),
            source: self.matchers(&inhibition.source, &inhibition.source_matchers, &at, "source_matchers"),
            target: self.matchers(&inhibition.target, &inhibition.target_matchers, &at, "target_matchers"),
            equal: inhibition.equal.clone(),
            at,
        }
    }

    fn dashboard(&mut self, name: &str, dashboard: &set::Dashboard, files: &Files) -> Option<Dashboard> {
        let at = Path::new(["dashboards", name]);
        if let Some(file) = &dashboard.file {
            if !dashboard.panels.is_empty() || dashboard.title.is_some() {
                let message = format!("`{at}` has a file, which says everything");
                self.error(&M016, at.join("file"), message, "remove the other keys, or the file");
            }
            // A file that can't be read was reported where it was read.
            let (_, text) = files.dashboards.get(name)?;
            let content = DashboardContent::File { file: file.clone(), text: text.clone() };
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

fn service(name: &str, service: &set::Service) -> Service {
    let written = service.version.as_deref().and_then(Version::parse);
    Service {
        name: name.to_owned(),
        kind: service.kind,
        version: written.or_else(|| service.image.as_deref().and_then(Version::of_image)),
        image: service.image.clone(),
        program: service.program.clone(),
        entrypoint: service.entrypoint.clone(),
        args: service.args.clone(),
        port: service.port,
        publish: match service.publish {
            Some(0) => None,
            Some(port) => Some(port),
            None => service.port,
        },
        publish_address: service.publish_address.clone().unwrap_or_else(|| "127.0.0.1".into()),
        environment: service.environment.clone(),
        secret_files: service.secret_files.clone(),
        allow_env: service.allow_env,
        health: service.health.clone(),
        limits: service.limits.clone(),
        user: service.user.clone(),
        volumes: service.volumes.clone(),
        after: service.after.clone(),
        catalog: service.catalog.clone(),
        at: Path::new(["services", name]),
    }
}

/// `None` for `enable` and other plain keys of a channel.
fn integration(kind: &str, node: &Node, at: Path) -> Option<Integration> {
    let table = node.table()?;
    let options = table.entries.iter().filter(|(key, _)| *key != "enable");
    Some(Integration {
        kind: kind.to_owned(),
        options: options.map(|(key, node)| (key.clone(), option(node))).collect(),
        at,
    })
}

fn option(node: &Node) -> Value {
    match &node.value {
        Tree::Bool(b) => Value::Bool(*b),
        Tree::Integer(n) => Value::Number(*n as f64),
        Tree::Float(n) => Value::Number(*n),
        Tree::String(text) | Tree::Datetime(text) => Value::Text(Text::plain(text)),
        Tree::Text(text) => Value::Text(text.clone()),
        Tree::Array(items) => Value::List(items.iter().map(option).collect()),
        Tree::Table(table) => {
            Value::Table(table.entries.iter().map(|(k, v)| (k.clone(), option(v))).collect())
        }
    }
}
