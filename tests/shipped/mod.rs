//! The shipped plugins: what they do to the reference stack, proved by `promtool test rules`,
//! and what they say to settings that make no sense.

mod adaptive_thresholds;
mod business_hours;
mod channels;
mod naming_policy;
mod scenario;
mod slo_burn;

use std::path::PathBuf;

use crate::support::project::Project;
use crate::support::repository;

const CHECK: &str = "check tried --env-file profiles/prod.env.example --oracle off";

/// The reference stack with a layer of the test on top: the profile `tried`.
fn tried(layer: &str) -> Project {
    let project = Project::reference().file("profiles/tried.toml", format!("extends = [\"prod\"]\n{layer}"));
    for name in ["business-hours", "adaptive-thresholds"] {
        let file = format!("plugins/{name}/{name}.wasm");
        project.write(&file, std::fs::read(repository().join(&file)).unwrap());
        project.run(&format!("plugin add {file}")).succeeds();
    }
    project
}

/// One of the rule files of a profile, as long as its project is there.
fn rules(project: &Project, profile: &str, file: &str) -> PathBuf {
    let build = format!("build {profile} --env-file profiles/prod.env.example --oracle off");
    let output = project.run(&build).succeeds();
    let folder = output.last_line().replace("$PROJECT", &project.root().display().to_string());
    PathBuf::from(folder).join("prometheus/rules").join(file)
}
