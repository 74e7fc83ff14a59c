//! Plugins that are being written: `plugin new`, `build`, `test` and `bench`, in each language.
//! The guide's commands are run by `readme.rs`.

use std::path::PathBuf;
use std::process::Command;

use crate::support::project::{Output, Project};
use crate::support::{repository, toolchains};

/// A new policy plugin whose source is another file of the repository's, not yet built.
fn plugin(name: &str, language: &str, source: &str) -> Project {
    let project = toolchains::environment()
        .iter()
        .fold(Project::empty(), |project, (name, value)| project.env(name, value));
    project.run(&format!("plugin new {name} --lang {language} --world policy")).succeeds();
    let file = match language {
        "rust" => "src/lib.rs",
        "js" => "src/plugin.js",
        _ => "src/plugin.py",
    };
    project.write(&format!("{name}/{file}"), std::fs::read(repository().join(source)).unwrap());
    let link =
        |from: PathBuf, to: &str| std::os::unix::fs::symlink(from, project.path(name).join(to)).unwrap();
    link(toolchains::npm(), "node_modules");
    link(toolchains::venv(), ".venv");
    project
}

/// `plugin test --json` of the case, which is its only one.
fn outcome(project: &Project, name: &str, profile: &str) -> serde_json::Value {
    project.write(&format!("{name}/cases/first/profile.toml"), profile);
    let output = project.run(&format!("plugin test {name} --bless --json")).succeeds();
    serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap()[0].take()
}

const DENIED: &str = "\
[plugins.denied]
file = \"denied.wasm\"

[alerts.Down]
expr = \"up == ${threshold}\"
threshold = 0
severity = \"critical\"
";

#[track_caller]
fn denied(language: &str, source: &str, tried: &[&str]) -> String {
    let project = plugin("denied", language, source).env("HOME", "/somewhere");
    if language == "rust" {
        let manifest = std::fs::read_to_string(project.path("denied/Cargo.toml")).unwrap();
        let with = "[dependencies]\nwit-bindgen = { version = \"0.61\", default-features = false, features = [\"macros\", \"realloc\"] }\n";
        project.write("denied/Cargo.toml", manifest.replace("[dependencies]\n", with));
    }
    project.run("plugin build denied").succeeds();
    let again = outcome(&project, "denied", DENIED);
    let outcome = outcome(&project, "denied", DENIED);
    for part in ["got", "printed"] {
        assert_eq!(outcome[part], again[part], "what is not denied is the same each time");
    }
    for tried in tried {
        assert!(outcome["got"].as_str().unwrap().contains(tried), "`{tried}` is not in {outcome:#}");
    }
    outcome["printed"].as_str().unwrap().to_owned()
}

#[test]
fn a_guest_in_rust_gets_nothing_and_is_told_what_to_use() {
    let tried = [
        "file: denied",
        "write: denied",
        "environment: denied",
        "socket: denied",
        "clock of WASI: 0 ",
        "timer of WASI: 0 ",
        "chance of WASI: 6d6f6e70726f766d",
        "environment of WASI: 0 ",
        "folders of WASI: 0 ",
        "socket of WASI: ErrorCode { code: 1, name: \"access-denied\"",
    ];
    let printed = denied("rust", "tests/guests/denied/lib.rs", &tried);
    for told in [
        "it asked for the time",
        "it looked for files",
        "it read the environment",
        "it asked for the network",
    ] {
        assert!(printed.contains(told), "{printed}");
    }
}

#[test]
fn a_guest_in_javascript_gets_nothing_and_is_told_about_the_clock() {
    let tried = [
        "clock: 0 ",
        "date: 1970-01-01T00:00:00.000Z",
        "chance: 0.",
        "crypto: ReferenceError",
        "file: ReferenceError",
        "environment: ReferenceError",
        "socket: ReferenceError",
        "network: ReferenceError",
    ];
    let printed = denied("js", "tests/guests/denied/plugin.js", &tried);
    assert!(printed.contains("it asked for the time") && printed.contains("from the settings"), "{printed}");
}

#[test]
fn a_guest_in_python_gets_nothing_and_is_told_what_to_use() {
    let tried = [
        "clock: 0.0",
        "chance: 6f6e7670",
        "file: FileNotFoundError",
        "write: FileNotFoundError",
        "environment: {}",
        "timer: 0.0",
        "random: 0.",
        "socket: PermissionError",
    ];
    let printed = denied("python", "tests/guests/denied/plugin.py", &tried);
    for told in ["it asked for the time", "it looked for files", "it asked for the network"] {
        assert!(printed.contains(told), "{printed}");
    }
}

/// Settings of `naming-policy`, and what is found, by the shipped plugin in Rust.
const NAMING: [&str; 3] = [
    "level = \"warning\"",
    "required_labels = [\"severity\", \"team\"]\nseverities = [\"critical\"]\nrunbook_for = []",
    "runbook_for = [\"page\"]",
];

fn naming(settings: &str) -> String {
    format!(
        "{}\n[plugins.naming-policy]\nfile = \"naming-policy.wasm\"\n[plugins.naming-policy.settings]\n{settings}\n",
        crate::support::guests::PROFILE.replace("severity = \"warning\"\n\n", "severity = \"critical\"\n\n")
    )
}

#[track_caller]
fn answers_as_the_shipped_one(language: &str, source: &str) {
    let shipped = plugin("naming-policy", language, source);
    let file = repository().join("plugins/naming-policy/naming-policy.wasm");
    shipped.write("naming-policy/naming-policy.wasm", std::fs::read(file).unwrap());
    let expected =
        NAMING.map(|settings| outcome(&shipped, "naming-policy", &naming(settings))["got"].clone());
    assert!(expected[0].as_str().unwrap().contains("no runbook"), "{expected:#?}");
    assert!(expected[1].as_str().unwrap().contains("no label `team`"), "{expected:#?}");
    assert!(expected[2].as_str().unwrap().contains("`page` is none of `severities`"), "{expected:#?}");
    shipped.run("plugin build naming-policy").succeeds();
    for (settings, expected) in NAMING.iter().zip(expected) {
        assert_eq!(outcome(&shipped, "naming-policy", &naming(settings))["got"], expected, "{settings}");
    }
    // Under the default limits, or there would be no answer.
    let refused = shipped.run("plugin bench naming-policy").exits(3).stderr;
    assert!(refused.contains("`page` is none of `severities`"), "{refused}");
    outcome(&shipped, "naming-policy", &naming(NAMING[0]));
    let measured = shipped.run("plugin bench naming-policy --json").succeeds().stdout;
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    assert_eq!(measured["calls"][2]["alerts"], 10_000, "{measured}");
    assert!(measured["calls"][2]["fuel"].as_u64().unwrap() > 0, "{measured}");
}

#[test]
fn naming_policy_in_javascript_answers_as_in_rust_also_at_10000_alerts() {
    answers_as_the_shipped_one("js", "plugins/naming-policy/js/plugin.js");
}

#[test]
fn naming_policy_in_python_answers_as_in_rust_also_at_10000_alerts() {
    answers_as_the_shipped_one("python", "plugins/naming-policy/python/plugin.py");
}

#[track_caller]
fn a_channel_of_10000_alerts_is_within_the_limits(language: &str) {
    let project = Project::empty();
    project.run(&format!("plugin new chat --lang {language} --world channel")).succeeds();
    let link = |from: PathBuf, to: &str| {
        std::os::unix::fs::symlink(from, project.path("chat").join(to)).unwrap();
    };
    link(toolchains::npm(), "node_modules");
    link(toolchains::venv(), ".venv");
    project.run("plugin build chat").succeeds();
    let measured = project.run("plugin bench chat --json").succeeds().stdout;
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    assert_eq!(measured["calls"][2]["alerts"], 10_000, "{measured}");
    // What is wrong with an answer of the service is said by the template's case.
    project.write("chat/cases/first/responses/accepted.json", "{ \"status\": 500 }");
    let told = project.run("plugin test chat").exits(1).stdout;
    assert!(told.contains("-response accepted: delivered\n+response accepted: retry\n"), "{told}");
}

#[test]
fn a_channel_in_javascript_delivers_10000_alerts() {
    a_channel_of_10000_alerts_is_within_the_limits("js");
}

#[test]
fn a_channel_in_python_delivers_10000_alerts() {
    a_channel_of_10000_alerts_is_within_the_limits("python");
}

#[test]
fn a_case_of_a_channel_says_what_is_wrong_with_it() {
    let wasm = repository().join("plugins/wecom/wecom.wasm");
    let project = Project::empty()
        .file("mine/plugin.toml", "name = \"mine\"\nlanguage = \"rust\"\nworld = \"channel-plugin\"\n")
        .file("mine/mine.wasm", std::fs::read(wasm).unwrap())
        .file(
            "mine/cases/first/group.json",
            std::fs::read(repository().join("plugins/payloads/one.json")).unwrap(),
        )
        .file("mine/cases/first/settings.toml", "language = \"fr\"\nlang = \"en\"\n");
    // Settings that it does not take are an outcome, as for the other worlds.
    let told = project.run("plugin test mine").exits(1).stdout;
    assert!(
        told.contains("+error: settings/language: ") && told.contains("+error: settings/lang: "),
        "{told}"
    );
    project.write("mine/cases/first/settings.toml", "");
    project.write("mine/cases/first/responses/wrong.json", "{ \"state\": 200 }");
    let told = project.run("plugin test mine").exits(1).stderr;
    assert!(told.contains("wrong") && told.contains("unknown field `state`"), "{told}");
    project.write("mine/cases/first/group.json", "{ \"version\": \"4\" }");
    let told = project.run("plugin test mine").exits(1).stderr;
    assert!(told.contains("group.json") && told.contains("missing field"), "{told}");
}

/// `plugin build` where no toolchain is installed.
fn built_without_tools(project: &Project) -> Output {
    let mut command: Command = project.command(["plugin", "build", "mine"]);
    command.env("PATH", project.path("nowhere"));
    project.output(command).exits(1)
}

#[test]
fn a_missing_toolchain_is_named_with_the_command_that_gets_it() {
    for (language, get) in [
        ("rust", "rustup target add wasm32-unknown-unknown"),
        ("js", "npm install"),
        ("python", ".venv/bin/pip install -r requirements.txt"),
    ] {
        let project = Project::empty();
        project.run(&format!("plugin new mine --lang {language}")).succeeds();
        let said = built_without_tools(&project).stderr;
        assert!(said.contains("is missing") && said.contains(get), "{said}");
        let said = project.run("plugin test mine").exits(1).stderr;
        assert!(said.contains("monprov plugin build"), "{said}");
    }
}

#[test]
fn what_the_toolchain_says_is_passed_on() {
    let project = plugin("mine", "js", "plugins/naming-policy/js/plugin.js");
    project.write("mine/src/plugin.js", "export const meta = {{\n");
    let said = project.run("plugin build mine").exits(1).stderr;
    assert!(said.contains("componentize-qjs failed") && said.contains("src/plugin.js:1:22"), "{said}");
}

#[test]
fn new_writes_nothing_over_what_is_there_and_takes_no_wild_names() {
    let project = Project::empty().file("mine/kept", "");
    project.run("plugin new mine --lang js").exits(1);
    for name in ["../mine", "Mine", "1st", "a/b", "-x"] {
        project.output(project.command(["plugin", "new", "--lang", "js", "--", name])).exits(1);
    }
    assert_eq!(std::fs::read_dir(project.path("mine")).unwrap().count(), 1);
}
