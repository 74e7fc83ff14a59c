//! Images and plugins in a real registry.

mod build;
mod engine;
mod faults;
mod lock;
mod logins;
mod plugins;
mod tokens;

use crate::support::project::Project;

/// A project whose one profile `prod` has services of these images and demands pins.
fn project(images: &[&str]) -> Project {
    let services: String = images
        .iter()
        .enumerate()
        .map(|(n, image)| {
            format!("[services.s{n}]\nimage = \"{image}\"\nuser = \"1000\"\nhealth.command = [\"true\"]\n\n")
        })
        .collect();
    Project::empty().file("profiles/prod.toml", format!("[build]\nimages = \"digest\"\n\n{services}"))
}

/// The lock, read.
fn lock(project: &Project) -> toml::Value {
    toml::from_str(&project.read("monprov.lock")).unwrap()
}

fn pinned(project: &Project, image: &str) -> String {
    lock(project)["images"][image]["digest"].as_str().unwrap().to_owned()
}
