//! Tries what no plugin gets, and says what came of it.

use monprov_plugin::{Alert, Finding, Level, NoSettings, Policy, Result, Stack};

struct Plugin;

impl Policy for Plugin {
    type Settings = NoSettings;

    fn check(_: NoSettings, _: Vec<Alert>, _: Stack) -> Result<Vec<Finding>> {
        let outcome = |failed: bool| if failed { "denied" } else { "given" };
        let tried = [
            ("file", std::fs::read("/etc/passwd").is_err()),
            ("write", std::fs::write("/tmp/written", "x").is_err()),
            ("environment", std::env::var("HOME").is_err()),
            ("socket", std::net::TcpStream::connect("127.0.0.1:9").is_err()),
        ];
        let finding = |(what, failed): (&str, bool)| Finding {
            code: "tried".into(),
            level: Level::Advice,
            path: String::new(),
            message: format!("{what}: {}", outcome(failed)),
            help: None,
        };
        Ok(tried.into_iter().map(finding).collect())
    }
}

monprov_plugin::policy!(Plugin);
