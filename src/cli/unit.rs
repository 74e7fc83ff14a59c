//! `monprov unit`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::environment;
use super::output::Output;
use crate::engine::{self, Failure};
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
}

impl Unit {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let loaded = engine::load(project, &self.profile, &environment(&self.env_file)?)?;
        let runtime = loaded.profile.settings.stack.runtime;
        let program = std::env::current_exe()?;
        let files = self.env_file.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
        let text = self.unit(&program, project, runtime, &files);
        if output.json {
            output.json(
                &serde_json::json!({ "name": format!("monprov-{}.service", self.profile), "unit": text }),
            );
        } else {
            output.result(&text);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Unit {
    fn unit(&self, program: &Path, project: &Project, runtime: Runtime, files: &[PathBuf]) -> String {
        let profile = &self.profile;
        let user = self.user.iter().fold(String::new(), |_, user| format!("User={user}\n"));
        let verb = match runtime {
            Runtime::Process => "up --no-build",
            Runtime::Compose | Runtime::Swarm | Runtime::Kubernetes => "activate",
        };
        let mut command = vec![
            word(program),
            "--profiles".into(),
            word(project.profiles()),
            "--state-dir".into(),
            word(&project.state),
            verb.into(),
            profile.clone(),
        ];
        for file in files {
            command.extend(["--env-file".into(), word(file)]);
        }
        let command = command.join(" ");
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
        format!(
            "# Made by `monprov unit {profile}`.\n\
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
