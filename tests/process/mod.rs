//! `monprov up`: real programs under the supervisor, and small scripts that misbehave.

mod changes;
mod messages;
mod orphans;
mod runtime;
mod secrets;
mod services;

use crate::support::daemon::free_port;
use crate::support::project::Project;

/// A profile `dev` of the process runtime with these tables.
fn project(tables: &str) -> Project {
    Project::empty().file("profiles/dev.toml", profile(tables))
}

fn profile(tables: &str) -> String {
    format!("[stack]\nruntime = \"process\"\n{tables}\n")
}

/// A service that runs a shell script.
fn script(name: &str, script: &str, rest: &str) -> String {
    format!("[services.{name}]\nprogram = \"sh\"\nargs = [\"-c\", '''{script}''']\n{rest}\n")
}

/// A script that does nothing but live.
const IDLE: &str = "exec sleep 100000";

/// Debian's Alertmanager and Prometheus, which waits for it.
fn prometheus_and_alertmanager() -> (String, u16) {
    let (prometheus, alertmanager) = (free_port(), free_port());
    let tables = format!(
        "[services.prometheus]\nkind = \"prometheus\"\nprogram = \"prometheus\"\nversion = \"2.42.0\"\n\
         port = {prometheus}\nafter = [\"alertmanager\"]\n\
         [services.alertmanager]\nkind = \"alertmanager\"\nprogram = \"prometheus-alertmanager\"\n\
         version = \"0.25.0\"\nport = {alertmanager}\n\
         [alertmanager]\nchannel = \"hook\"\n[channels.hook.webhook]\nurl = \"http://127.0.0.1:1/\"\n\
         [scrapes.prometheus]\nservice = \"prometheus\"\n"
    );
    (tables, prometheus)
}
