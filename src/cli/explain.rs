//! `monprov explain`: a code, or the history of a value

use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use crate::diagnostic::{Path, nearest};
use crate::engine::{self, Failure};
use crate::profile::node::Node;
use crate::profile::provenance::Step;
use crate::profile::{self, Lookup};
use crate::project::Project;
use crate::secret::Environment;
use crate::stack::change::Change;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A code such as M104, or a profile
    subject: String,
    /// A value of the profile: `alerts.HighCeleryQueueLength.threshold`
    path: Option<String>,
}

impl Explain {
    pub(super) fn run(
        &self,
        project: impl Fn() -> anyhow::Result<Project>,
        output: &mut Output,
    ) -> Result<ExitCode, Failure> {
        match &self.path {
            None => code(&self.subject, output)?,
            Some(path) => value(&project()?, &self.subject, &Path::parse(path), output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn code(subject: &str, output: &Output) -> anyhow::Result<()> {
    let wanted = subject.to_uppercase();
    let codes = engine::codes();
    let Some(code) = codes.iter().find(|c| c.id == wanted) else {
        let near = nearest(&wanted, codes.iter().map(|c| c.id))
            .map_or(String::new(), |n| format!("; did you mean {n}?"));
        let list: Vec<_> = codes.iter().map(|c| format!("  {}  {}", c.id, c.title)).collect();
        anyhow::bail!(
            "no code is called `{subject}`{near}\n{}\n(for a value: monprov explain PROFILE alerts.NAME.threshold)",
            list.join("\n")
        );
    };
    if output.json {
        output.json(&serde_json::json!({ "code": code.id, "title": code.title, "explain": code.explain }));
    } else {
        output.result(&format!("{}: {}\n\n{}\n", code.id, code.title, code.explain));
    }
    Ok(())
}

fn value(project: &Project, name: &str, path: &Path, output: &Output) -> Result<(), Failure> {
    // Variables may be missing here: where a value comes from does not depend on them.
    let environment = Environment::default();
    let lookup = |var: &str| environment.var(var).or(Some(String::new()));
    let loaded = profile::load(name, project, &lookup);
    let map = loaded
        .map
        .ok_or_else(|| anyhow::anyhow!("the profile `{name}` can't be read; see `monprov check {name}`"))?;
    if map.files.is_empty() {
        return Err(anyhow::anyhow!("there is no profile `{name}`; see `monprov check {name}`").into());
    }
    let changes = match plugin_changes(project, name, path, &map.root, &lookup) {
        Ok(changes) => changes,
        Err(Failure::Refused(_)) => {
            let why = format!("not asked, since the profile has errors: monprov check {name}");
            output.line("plugins", &why);
            vec![]
        }
        Err(failure) => return Err(failure),
    };
    let leaves = map.leaves(path);
    if let Some(added) = changes.iter().find(|change| change.adds(path)).filter(|_| leaves.is_empty()) {
        if output.json {
            let step = serde_json::json!({ "plugin": added.plugin, "value": added.edit.value(), "reason": added.reason });
            output.json(&serde_json::json!({ path.to_string(): [step] }));
        } else {
            let (plugin, value, reason) = (&added.plugin, added.edit.value(), &added.reason);
            output.result(&format!("{path}\n    plugin {plugin} {value} ({reason})\n"));
        }
        return Ok(());
    }
    if leaves.is_empty() {
        let parent = path.parent().unwrap_or_default();
        let known: Vec<String> = map.leaves(&parent).iter().map(ToString::to_string).collect();
        let near = nearest(&path.to_string(), known.iter().map(String::as_str));
        let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        return Err(anyhow::anyhow!("the profile `{name}` has no value `{path}`{near}").into());
    }
    let line = |step: &Step| {
        let text = loaded.sources.iter().find(|(file, _)| *file == step.file).map_or("", |(_, text)| text);
        text.get(..step.range.start).unwrap_or_default().matches('\n').count() + 1
    };
    let mut json = serde_json::Map::new();
    for leaf in leaves {
        let steps = map.history(&leaf).unwrap_or_default();
        if output.json {
            let mut steps: Vec<_> = steps
                .iter()
                .map(|s| serde_json::json!({ "file": s.file, "line": line(s), "value": s.value }))
                .collect();
            let of_plugins = changes.iter().filter(|change| change.path().as_ref() == Some(&leaf));
            steps.extend(of_plugins.map(
                |c| serde_json::json!({ "plugin": c.plugin, "value": c.edit.value(), "reason": c.reason }),
            ));
            json.insert(leaf.to_string(), steps.into());
            continue;
        }
        let mut chain: Vec<_> = steps.iter().map(|s| format!("{}:{} {}", s.file, line(s), s.value)).collect();
        let of_plugins = changes.iter().filter(|change| change.path().as_ref() == Some(&leaf));
        chain.extend(of_plugins.map(|c| format!("plugin {} {} ({})", c.plugin, c.edit.value(), c.reason)));
        output.result(&format!("{leaf}\n    {}\n", chain.join(" → ")));
    }
    if output.json {
        output.json(&json);
    }
    Ok(())
}

/// What plugins change about alerts: of those alone they can change anything.
fn plugin_changes(
    project: &Project,
    name: &str,
    path: &Path,
    root: &Node,
    lookup: Lookup<'_>,
) -> Result<Vec<Change>, Failure> {
    if root.get("plugins").is_none() || path.segments().next() != Some("alerts") {
        return Ok(vec![]);
    }
    let loaded = engine::load_with(project, name, lookup)?;
    Ok(engine::plugins::run(project, loaded, None)?.ran.changes)
}
