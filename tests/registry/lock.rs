//! `monprov lock`: what it asks, writes, shows and refuses.

use serde_json::Value;

use super::{lock, pinned, project};
use crate::support::project::Project;
use crate::support::registry::Registry;

#[test]
fn a_tag_is_pinned_by_the_digest_of_its_index_with_its_platforms() {
    let registry = Registry::start();
    let index = registry.index("team/app", "1.0.0", &["amd64", "arm64"], "one");
    let single = registry.image("tool", "2.0.0", "amd64", "two");
    let (app, tool) =
        (format!("{}/team/app:1.0.0", registry.host()), format!("{}/tool:2.0.0", registry.host()));
    let project = project(&[&app, &tool]);
    let told = project.run("lock").succeeds();
    assert!(
        told.stdout.contains("linux/amd64, linux/arm64") && told.stdout.contains(&index[..19]),
        "{}",
        told.stdout
    );
    assert!(told.stderr.contains("2 images, 2 new, 0 moved"), "{}", told.stderr);
    assert_eq!((pinned(&project, &app), pinned(&project, &tool)), (index, single.clone()));
    let platforms = &lock(&project)["images"][&*tool]["platforms"];
    assert_eq!(platforms.as_table().unwrap().keys().collect::<Vec<_>>(), ["linux/amd64"]);
    assert_eq!(platforms["linux/amd64"].as_str().unwrap(), single);
    // Again nobody is asked.
    let requests = registry.log().matches("manifests").count();
    project.run("lock").succeeds();
    assert_eq!(registry.log().matches("manifests").count(), requests);
}

#[test]
fn a_tag_that_moves_under_a_pin_stays_pinned_until_it_is_updated() {
    let registry = Registry::start();
    let old = registry.image("app", "1.0.0", "amd64", "old");
    let image = format!("{}/app:1.0.0", registry.host());
    let project = project(&[&image]);
    project.run("lock").succeeds();
    project.run("lock --check").succeeds();
    let new = registry.image("app", "1.0.0", "amd64", "new");
    let built = |project: &Project| project.run("build prod --oracle off").succeeds().last_line().to_owned();
    let before = built(&project);
    project.run("lock").succeeds();
    assert_eq!(pinned(&project, &image), old);
    let checked = project.run("lock --check").exits(3).stderr;
    assert!(checked.contains(&format!("moved: {} → {}", &old[..19], &new[..19])), "{checked}");
    assert_eq!(built(&project), before, "a build asks no registry");
    let shown = project.run("lock --update").succeeds().stdout;
    assert!(shown.contains(&old[..19]) && shown.contains(&new[..19]), "{shown}");
    assert_eq!(pinned(&project, &image), new);
    assert_ne!(built(&project), before, "and another pin is another bundle");
    project.run("lock --check").succeeds();
}

#[test]
fn a_pin_that_the_registry_has_no_more_is_told() {
    let registry = Registry::start();
    registry.image("app", "1.0.0", "amd64", "one");
    let image = format!("{}/app:1.0.0", registry.host());
    let project = project(&[&image]);
    project.run("lock").succeeds();
    let pinned = pinned(&project, &image);
    let text = project.read("monprov.lock").replace(&pinned, &format!("sha256:{}", "ab".repeat(32)));
    project.write("monprov.lock", text);
    let checked = project.run("lock --check").exits(3).stderr;
    assert!(checked.contains("the registry no longer has what is pinned"), "{checked}");
}

#[test]
fn one_image_is_updated_by_its_name_with_or_without_its_tag() {
    let registry = Registry::start();
    let names: Vec<String> =
        ["a", "b"].iter().map(|name| format!("{}/{name}:1.0.0", registry.host())).collect();
    let project = project(&[&names[0], &names[1]]);
    for round in ["one", "two", "three"] {
        for repository in ["a", "b"] {
            registry.image(repository, "1.0.0", "amd64", &format!("{repository} {round}"));
        }
        match round {
            "one" => project.run("lock").succeeds(),
            "two" => project.run(&format!("lock --update {}", names[0])).succeeds(),
            _ => project.run(&format!("lock --update {}/b", registry.host())).succeeds(),
        };
    }
    let shown: Value = serde_json::from_str(&project.run("lock --update --json").succeeds().stdout).unwrap();
    let state = |n: usize| shown["images"][n]["state"].as_str().unwrap().to_owned();
    assert_eq!((state(0), state(1)), ("moved".into(), "kept".into()));
    assert_eq!(shown["images"][0]["by"][0], "services.s0 of prod");
    let unknown = project.run("lock --update nothing").exits(1).stderr;
    assert!(unknown.contains("no profile names an image `nothing`"), "{unknown}");
    let profile = project.run("lock --update prod").exits(1).stderr;
    assert!(profile.contains("monprov lock prod --update"), "{profile}");
}

#[test]
fn what_no_profile_names_any_more_is_told_and_taken_out_when_asked() {
    let registry = Registry::start();
    registry.image("app", "1.0.0", "amd64", "one");
    registry.image("app", "2.0.0", "amd64", "two");
    let (old, new) = (format!("{}/app:1.0.0", registry.host()), format!("{}/app:2.0.0", registry.host()));
    let project = project(&[&old]);
    project.run("lock").succeeds();
    let text = project.read("profiles/prod.toml").replace(&old, &new);
    project.write("profiles/prod.toml", text);
    let told = project.run("lock").succeeds().stderr;
    assert!(told.contains("unused") && told.contains(&old), "{told}");
    assert!(lock(&project)["images"].get(&old).is_some());
    // A profile alone knows nothing of the others.
    assert!(!project.run("lock prod").succeeds().stderr.contains("unused"));
    project.run("lock --prune").succeeds();
    assert!(lock(&project)["images"].get(&old).is_none() && lock(&project)["images"].get(&new).is_some());
}

#[test]
fn all_profiles_are_asked_for_and_layers_are_not() {
    let registry = Registry::start();
    registry.image("app", "1.0.0", "amd64", "one");
    let image = format!("{}/app:1.0.0", registry.host());
    // The layer names what nobody has; the profile names another.
    let service = |image: &str| format!("[services.app]\nimage = \"{image}\"\nuser = \"1000\"\n");
    let project = Project::empty()
        .file("profiles/base.toml", service("127.0.0.1:1/nowhere:1.0.0"))
        .file("profiles/prod.toml", format!("extends = [\"base\"]\n{}", service(&image)));
    project.run("lock").succeeds();
    assert_eq!(lock(&project)["images"].as_table().unwrap().keys().collect::<Vec<_>>(), [&image]);
    project.write("profiles/broken.toml", "services = [");
    let refused = project.run("lock").exits(3).stderr;
    assert!(refused.contains("broken.toml"), "{refused}");
}

#[test]
fn an_image_must_be_there_for_the_platforms_that_are_demanded() {
    let registry = Registry::start();
    registry.index("app", "1.0.0", &["amd64", "arm64"], "one");
    registry.image("tool", "1.0.0", "amd64", "two");
    let names: Vec<String> =
        ["app", "tool"].iter().map(|name| format!("{}/{name}:1.0.0", registry.host())).collect();
    let project = project(&[&names[0], &names[1]]);
    let refused = project.run("lock --platform linux/amd64,linux/arm64").exits(1).stderr;
    assert!(refused.contains("tool:1.0.0") && refused.contains("not there for linux/arm64"), "{refused}");
    assert!(!refused.contains("app:1.0.0 ("), "{refused}");
    assert!(!project.path("monprov.lock").exists());
    project.run("lock --platform linux/amd64").succeeds();
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_nothing_is_written() {
    let registry = Registry::start();
    registry.image("app", "1.0.0", "amd64", "one");
    let host = registry.host();
    let names = [
        format!("{host}/app:1.0.0"),
        format!("{host}/app:9.9.9"),
        format!("{host}/nothing:1.0.0"),
        "127.0.0.1:1/app:1.0.0".to_owned(),
    ];
    let project = project(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let refused = project.run("lock").exits(1).stderr;
    assert!(refused.contains("3 of 4 images can't be pinned, so monprov.lock stays as it is"), "{refused}");
    for text in [
        format!("{host}/app:9.9.9 (services.s1 of prod): {host} has no app:9.9.9"),
        format!("{host} has no nothing:1.0.0"),
        "nothing listens at 127.0.0.1:1 (4 tries)".to_owned(),
    ] {
        assert!(refused.contains(&text), "{text}: {refused}");
    }
    assert!(!project.path("monprov.lock").exists());
}
