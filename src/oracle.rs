//! A second opinion: Prometheus' and Alertmanager's own tools on what was rendered.
//!
//! They see a scratch copy of the files. They judge syntax only, since secret files and other
//! things that a configuration names exist only once the stack runs.
#![expect(clippy::disallowed_methods, reason = "starts promtool and amtool on a scratch directory")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::bundle::Tree;
use crate::diagnostic::{Code, Finding, Place};
use crate::stack::{ServiceKind, Stack, Version};

pub static M602: Code = Code {
    id: "M602",
    title: "promtool or amtool rejects what monprov accepts",
    explain:
        "The tool's own checker finds something wrong that monprov's checks let pass. The tool is right about
what it would load: change what it names. Please report the case, since monprov should have said it
first, and with the line of the profile. Where the tool on PATH is older than the version that the
stack runs, it may not know an option yet, and the finding is a warning; `--oracle off` silences it.",
};

pub static M603: Code = Code {
    id: "M603",
    title: "promtool or amtool is required but missing",
    explain: "`--oracle require` asks for a second opinion by the tools of Prometheus and Alertmanager. Install them
(Debian: `apt-get install prometheus prometheus-alertmanager`), or use `--oracle auto`.",
};

pub static CODES: &[&Code] = &[&M602, &M603];

/// Whether other tools are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Oracle {
    /// Where they are on PATH.
    Auto,
    /// A missing tool is an error.
    Require,
    Off,
}

/// What they said.
#[derive(Debug, Default)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    /// `promtool 2.42` for each tool that agrees.
    pub agree: Vec<String>,
}

struct Question {
    tool: &'static str,
    kind: ServiceKind,
    args: Vec<String>,
}

/// Asks all tools at the same time.
pub fn ask(stack: &Stack, tree: &Tree, mode: Oracle) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    if mode == Oracle::Off {
        return Ok(verdict);
    }
    let scratch = tempfile::tempdir()?;
    let mut rules = vec![];
    for (path, file) in
        tree.iter().filter(|(p, _)| p.starts_with("prometheus/") || p.starts_with("alertmanager/"))
    {
        let target = scratch.path().join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&target, &file.content)?;
        if path.starts_with("prometheus/rules/") {
            rules.push(path.to_owned());
        }
    }
    let args = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let mut questions = vec![];
    if tree.get("prometheus/prometheus.yml").is_some() {
        let config = args(&["check", "config", "--syntax-only", "prometheus/prometheus.yml"]);
        questions.push(Question { tool: "promtool", kind: ServiceKind::Prometheus, args: config });
        if !rules.is_empty() {
            let check = [args(&["check", "rules", "--lint=none"]), rules].concat();
            questions.push(Question { tool: "promtool", kind: ServiceKind::Prometheus, args: check });
        }
    }
    if tree.get("alertmanager/alertmanager.yml").is_some() {
        let config = args(&["check-config", "alertmanager/alertmanager.yml"]);
        questions.push(Question { tool: "amtool", kind: ServiceKind::Alertmanager, args: config });
    }
    let answers: Vec<(Question, anyhow::Result<Option<Output>>)> = std::thread::scope(|scope| {
        let running: Vec<_> = questions
            .into_iter()
            .map(|q| {
                let directory = scratch.path();
                let args = q.args.clone();
                let tool = q.tool;
                (q, scope.spawn(move || run(tool, &args, directory)))
            })
            .collect();
        let failed = || Err(anyhow::anyhow!("the thread that ran it ended"));
        running.into_iter().map(|(q, thread)| (q, thread.join().unwrap_or_else(|_| failed()))).collect()
    });
    for (question, answer) in answers {
        judge(stack, &question, answer?, mode, &mut verdict);
    }
    Ok(verdict)
}

/// A tool without our environment, which may hold secrets.
fn program(tool: &str) -> Command {
    let mut command = Command::new(tool);
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

fn run(tool: &str, args: &[String], directory: &Path) -> anyhow::Result<Option<Output>> {
    let mut command = program(tool);
    command.args(args).current_dir(directory);
    match command.output() {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::anyhow!("{tool} could not be started: {error}")),
    }
}

fn judge(stack: &Stack, question: &Question, output: Option<Output>, mode: Oracle, verdict: &mut Verdict) {
    let tool = question.tool;
    let Some(output) = output else {
        if mode == Oracle::Require && !verdict.findings.iter().any(|f| f.message.starts_with(tool)) {
            let message = format!("{tool} is not on PATH");
            verdict
                .findings
                .push(Finding::error(&M603, Place::Profile, message).note("`--oracle auto` does without"));
        }
        return;
    };
    if output.status.success() {
        if !verdict.agree.iter().any(|t| t == tool) {
            verdict.agree.push(tool.to_owned());
        }
        return;
    }
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines = said
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("Checking") && !l.contains("SUCCESS"));
    let message = format!("{tool} rejects what monprov accepts");
    let mine = stack.service_of(question.kind).and_then(|s| s.version);
    let its = version(tool);
    let older = matches!((its, mine), (Some(its), Some(mine)) if its < mine);
    let mut finding = match older {
        true => Finding::warning(&M602, Place::Profile, message),
        false => Finding::error(&M602, Place::Profile, message),
    };
    for line in lines.take(10) {
        finding = finding.note(format!("{tool}: {line}"));
    }
    if let (true, Some(its), Some(mine)) = (older, its, mine) {
        finding = finding.note(format!("it is version {its}; the stack runs {mine}, which may know more"));
    }
    verdict.findings.push(finding);
}

/// Asked only where it matters: it costs as much as a check.
fn version(tool: &str) -> Option<Version> {
    let output = program(tool).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let (_, rest) = text.split_once("version ")?;
    Version::parse(rest.split([' ', ',']).next()?)
}
