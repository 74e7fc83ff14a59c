//! `monprov lock`: what the tags of images mean

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output::{Output, plural};
use super::progress::Progress;
use super::registry::RegistryOptions;
use super::table::table;
use super::{environment, exit};
use crate::engine::Failure;
use crate::engine::lock::{self, Ask, Asked, Named};
use crate::pins::{FILE, Image};
use crate::project::Project;
use crate::registry::{Registries, Trouble};

#[derive(Debug, Args)]
pub(super) struct Lock {
    /// Profiles [default: all that can be built]
    #[arg(value_name = "PROFILE")]
    wanted: Vec<String>,
    /// Ask again what is pinned already, all or the images called NAME, and show what moved
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    update: Option<Option<String>>,
    /// Write nothing; exit 3 where a pin is missing or a tag means something else now
    #[arg(long, conflicts_with_all = ["update", "prune"])]
    check: bool,
    /// Take out the pins that no profile needs
    #[arg(long, conflicts_with = "wanted")]
    prune: bool,
    /// Demand that images are there for OS/ARCHITECTURE, such as linux/arm64
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<String>,
    /// Read variables that the environment lacks from FILE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    #[command(flatten)]
    registry: RegistryOptions,
}

impl Lock {
    pub(super) fn run(&self, project: &Project, output: &Output) -> Result<ExitCode, Failure> {
        let named = lock::named(project, &self.wanted, &environment(&self.env_file)?)?;
        let registries = self.registry.open()?;
        let which = match &self.update {
            _ if self.check => Ask::All,
            None => Ask::Missing,
            Some(None) => Ask::All,
            Some(Some(name)) if named.keys().all(|image| image != name) && self.is_profile(project, name) => {
                let hint = format!("`{name}` is a profile: monprov lock {name} --update");
                return Err(anyhow::anyhow!(hint).into());
            }
            Some(Some(name)) => Ask::Only(name),
        };
        let progress = Progress::new("images", named.len(), output);
        let asked = lock::ask(project, &named, &which, &registries, || progress.step())?;
        drop(progress);
        let asked = self.with_platforms(asked);
        if self.check {
            return check(&named, &asked, &registries, output);
        }
        refuse_troubles(&named, &asked)?;
        let needed: BTreeSet<&str> = named.keys().map(String::as_str).collect();
        let written = lock::write(project, &asked, |name| !self.prune || needed.contains(name))?;
        let left: Vec<&String> = asked
            .before
            .keys()
            .filter(|name| self.wanted.is_empty() && !needed.contains(name.as_str()))
            .collect();
        if output.json {
            let images: Vec<_> = named.iter().map(|(name, by)| json(name, by, &asked)).collect();
            let key = if self.prune { "removed" } else { "unused" };
            output.json(&json!({ "lock": FILE, "written": written, "images": images, key: left }));
            return Ok(ExitCode::SUCCESS);
        }
        show(&asked, output);
        summary(&named, &asked, output);
        if !left.is_empty() {
            let names = left.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            match self.prune {
                true => output.line("removed", &names),
                false => output.line("unused", &format!("{names}  (--prune takes them out)")),
            }
        }
        if written {
            output.line("next", &format!("look at the change of {FILE}, and check it in"));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn is_profile(&self, project: &Project, name: &str) -> bool {
        use crate::profile::layers::Source as _;
        project.names().iter().any(|profile| profile == name)
    }

    /// Holds what was found against the platforms that are demanded.
    fn with_platforms(&self, mut asked: Asked) -> Asked {
        for found in asked.found.values_mut() {
            let Ok(image) = found else { continue };
            let has = |wanted: &String| {
                image.platforms.keys().any(|there| {
                    there
                        .strip_prefix(wanted.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            };
            if let Some(lacks) = self.platform.iter().find(|wanted| !has(wanted)) {
                *found = Err(Trouble::lacks(lacks, &platforms(image)));
            }
        }
        asked
    }
}

fn platforms(image: &Image) -> String {
    image.platforms.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// All that is wrong at once: the lock is written with all or not at all.
fn refuse_troubles(named: &Named, asked: &Asked) -> anyhow::Result<()> {
    let troubles: Vec<String> = asked
        .found
        .iter()
        .filter_map(|(name, found)| Some((name, found.as_ref().err()?)))
        .map(|(name, trouble)| format!("  {name} ({}): {trouble}", by(named, name)))
        .collect();
    if troubles.is_empty() {
        return Ok(());
    }
    let of = plural(asked.found.len(), "image");
    anyhow::bail!(
        "{} of {of} can't be pinned, so {FILE} stays as it is:\n{}",
        troubles.len(),
        troubles.join("\n")
    )
}

fn by(named: &Named, name: &str) -> String {
    named.get(name).map(|by| by.join(", ")).unwrap_or_default()
}

/// Enough of a digest to tell it from others.
fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// What is new and what moved.
fn show(asked: &Asked, output: &Output) {
    let rows: Vec<_> = asked
        .found
        .iter()
        .filter_map(|(name, found)| Some((name, found.as_ref().ok()?, asked.before.get(name))))
        .filter(|(_, now, before)| before.is_none_or(|before| before != *now))
        .map(|(name, now, before)| {
            let was = before.map_or("-", |before| short(&before.digest)).to_owned();
            vec![name.clone(), was, short(&now.digest).to_owned(), platforms(now)]
        })
        .collect();
    if !rows.is_empty() {
        output.result(&table(&["image", "was", "is", "platforms"], rows.into_iter()));
    }
}

fn summary(named: &Named, asked: &Asked, output: &Output) {
    let new = asked.found.keys().filter(|name| !asked.before.contains_key(*name)).count();
    let moved = |(name, found): &(&String, &Result<Image, Trouble>)| {
        let before = asked.before.get(*name);
        matches!((before, found), (Some(before), Ok(now)) if before != now)
    };
    let moved = asked.found.iter().filter(moved).count();
    let counts = format!("{}, {new} new, {moved} moved", plural(named.len(), "image"));
    output.line("images", &format!("{counts:<32} {} asked for", asked.found.len()));
}

fn json(name: &str, by: &[String], asked: &Asked) -> serde_json::Value {
    let before = asked.before.get(name);
    let found = asked.found.get(name);
    let now = found.and_then(|found| found.as_ref().ok()).or(before);
    let state = match (before, found) {
        (_, Some(Err(_))) => "failed",
        (None, Some(Ok(_))) => "new",
        (None, None) => "missing",
        (Some(before), Some(Ok(now))) if before != now => "moved",
        (Some(_), _) => "kept",
    };
    let mut entry = json!({
        "image": name, "by": by, "state": state,
        "digest": now.map(|image| &image.digest), "platforms": now.map(|image| &image.platforms),
    });
    if let Some(entry) = entry.as_object_mut() {
        if let (Some(before), "moved") = (before, state) {
            entry.insert("was".into(), before.digest.clone().into());
        }
        if let Some(Err(trouble)) = found {
            entry.insert("error".into(), trouble.to_string().into());
        }
    }
    entry
}

/// Whether the lock has all, and the tags mean what it says.
fn check(
    named: &Named,
    asked: &Asked,
    registries: &Registries,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let (mut refused, mut failed, mut lines) = (false, false, vec![]);
    for (name, found) in &asked.found {
        let by = by(named, name);
        match (asked.before.get(name), found) {
            (_, Err(trouble)) => {
                failed = true;
                lines.push(format!("{name} ({by}): {trouble}"));
            }
            (None, Ok(_)) => {
                refused = true;
                lines.push(format!("{name} ({by}) is not pinned; monprov lock"));
            }
            (Some(before), Ok(now)) if before != now => {
                refused = true;
                let gone = match registries.has(name, &before.digest)? {
                    Ok(false) => ", and the registry no longer has what is pinned",
                    _ => "",
                };
                let (was, is) = (short(&before.digest), short(&now.digest));
                lines.push(format!("{name} ({by}) moved: {was} → {is}{gone}; monprov lock --update {name}"));
            }
            (Some(_), Ok(_)) => {}
        }
    }
    if output.json {
        let images: Vec<_> = named.iter().map(|(name, by)| json(name, by, asked)).collect();
        output.json(&json!({ "lock": FILE, "written": false, "images": images }));
    } else {
        for line in &lines {
            output.warn("lock", line);
        }
        if lines.is_empty() {
            output.line("lock", &format!("{} mean what {FILE} says", plural(named.len(), "tag")));
        }
    }
    Ok(ExitCode::from(match (refused, failed) {
        (true, _) => exit::REFUSED,
        (false, true) => exit::FAILED,
        (false, false) => 0,
    }))
}
