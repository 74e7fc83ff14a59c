//! `monprov unit`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::environment;
use super::output::Output;
use crate::engine::{self, Failure};
use crate::profile::units;
use crate::project::Project;
use crate::stack::Runtime;

/// Print a systemd unit that brings the current generation of a profile up at boot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    monprov unit prod | sudo tee /etc/systemd/system/monprov-prod.service\n  \
    sudo systemctl enable --now monprov-prod")]
pub(super) struct Unit {
    /// The profile
    profile: String,
    /// Variables and secrets that the environment lacks, at boot and now
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Run as USER instead of root (process runtime); the state directory must be theirs
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Run what the channel of the cache at URL points to: see `monprov follow`. Needs no project,
    /// but --state-dir. The process runtime needs the other unit beside it
    #[arg(long, value_name = "URL")]
    follow: Option<String>,
    /// How often the channel is asked
    #[arg(long, value_name = "DURATION", default_value = "60s", requires = "follow")]
    every: String,
    /// Where metrics of that are written for the node exporter
    #[arg(long, value_name = "FILE", requires = "follow")]
    textfile: Option<PathBuf>,
}

impl Unit {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let program = std::env::current_exe()?;
        let files = self.env_file.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
        let (name, text) = match &self.follow {
            Some(url) => {
                // A mistake is told now, and not by the service.
                let _: units::Duration =
                    self.every.parse().map_err(|why| anyhow::anyhow!("--every: {why}"))?;
                let text = self.follower(&program, project, url, &files)?;
                (format!("monprov-follow-{}.service", self.profile), text)
            }
            None => {
                let text = self.unit(&program, project, self.runtime(project)?, &files);
                (format!("monprov-{}.service", self.profile), text)
            }
        };
        if output.json {
            output.json(&serde_json::json!({ "name": name, "unit": text }));
        } else {
            output.result(&text);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Unit {
    /// What the profile says, or, on a host without profiles, what was activated last.
    fn runtime(&self, project: &Project) -> Result<Runtime, Failure> {
        if project.has_profiles() {
            let loaded = engine::load(project, &self.profile, &environment(&self.env_file)?)?;
            return Ok(loaded.profile.settings.stack.runtime);
        }
        let bundle = engine::processes::current(project, &self.profile)?;
        Ok(engine::activate::runtime_of(bundle)?)
    }

    /// Where everything is, for `ExecStart=`.
    fn command(&self, program: &Path, project: &Project, verb: &[&str], files: &[PathBuf]) -> String {
        let mut command = vec![word(program)];
        if project.has_profiles() {
            command.extend(["--profiles".into(), word(project.profiles())]);
        }
        command.extend(["--state-dir".into(), word(&project.state)]);
        command.extend(verb.iter().map(|part| (*part).to_owned()));
        command.push(self.profile.clone());
        for file in files {
            command.extend(["--env-file".into(), word(file)]);
        }
        command.join(" ")
    }

    fn follower(
        &self,
        program: &Path,
        project: &Project,
        url: &str,
        files: &[PathBuf],
    ) -> anyhow::Result<String> {
        let textfile = self.textfile.as_ref().map(std::path::absolute).transpose()?;
        let textfile = textfile.map(|file| format!("--textfile {}", word(&file)));
        let every = format!("--every {}", self.every);
        let url = word(Path::new(url));
        let verb: Vec<&str> =
            ["follow", &every].into_iter().chain(textfile.as_deref()).chain([url.as_str()]).collect();
        let command = self.command(program, project, &verb, files);
        // What a failed start means is `follow`'s to say: systemd tries for ever.
        let unit = "Wants=docker.service\nAfter=docker.service\nStartLimitIntervalSec=0\n";
        let service = format!("Type=exec\nExecStart={command}\nRestart=on-failure\nRestartSec=10\n");
        Ok(self.text("--follow", unit, &service))
    }

    fn unit(&self, program: &Path, project: &Project, runtime: Runtime, files: &[PathBuf]) -> String {
        let verb = match runtime {
            Runtime::Process => "up --no-build",
            Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => "activate",
        };
        let command = self.command(program, project, &[verb], files);
        let (unit, service) = match runtime {
            // systemd gives the programs time to write out what they hold.
            Runtime::Process => {
                ("", format!("Type=exec\nExecStart={command}\nRestart=on-failure\nTimeoutStopSec=90\n"))
            }
            // The cluster starts the pods itself, with the secrets that it has.
            Runtime::Kubernetes => (
                "",
                format!("Type=oneshot\nRemainAfterExit=yes\nExecStart={command}\nTimeoutStartSec=10min\n"),
            ),
            // Docker starts the containers itself; their secrets, in memory, went with the reboot.
            Runtime::Compose | Runtime::Swarm => {
                // A swarm needs a moment until its managers agree on a leader.
                let again =
                    if runtime == Runtime::Swarm { "Restart=on-failure\nRestartSec=30\n" } else { "" };
                let service = format!(
                    "Type=oneshot\nRemainAfterExit=yes\nExecStart={command}\nTimeoutStartSec=10min\n{again}"
                );
                ("Requires=docker.service\nAfter=docker.service\n", service)
            }
        };
        self.text("", unit, &service)
    }

    fn text(&self, flags: &str, unit: &str, service: &str) -> String {
        let profile = &self.profile;
        let flags = if flags.is_empty() { String::new() } else { format!(" {flags}") };
        let user = self.user.iter().fold(String::new(), |_, user| format!("User={user}\n"));
        format!(
            "# Made by `monprov unit {profile}{flags}`.\n\
         [Unit]\n\
         Description=Monitoring stack {profile} (monprov)\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         {unit}\n\
         [Service]\n\
         {service}\
         {user}\
         RuntimeDirectory=monprov\n\
         RuntimeDirectoryMode=0711\n\
         RuntimeDirectoryPreserve=yes\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
        )
    }
}

/// A word of `ExecStart=` that stands for itself.
fn word(path: &Path) -> String {
    let text = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let text = text.replace('%', "%%").replace('$', "$$");
    if text.contains(char::is_whitespace) || text.contains(['"', '\'', '\\']) {
        format!("\"{text}\"")
    } else {
        text
    }
}
