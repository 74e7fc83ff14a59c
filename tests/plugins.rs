//! Plugins: what they may change, what stops them, and that the same inputs give the same result.

use crate::support::guests::{self, project, unpinned};
use crate::support::project::Project;
use crate::support::repository;

const BUILD: &str = "build profile --oracle off --json";
const CHECK: &str = "check profile --oracle off";

fn rules(project: &Project) -> String {
    let output = project.run("build profile --oracle off").succeeds();
    project.read(&format!("{}/prometheus/rules/default.yml", output.last_line().replace("$PROJECT/", "")))
}

/// The bundle's manifest.
fn manifest(project: &Project) -> serde_json::Value {
    let output = project.run("build profile --oracle off").succeeds();
    let path = format!("{}/manifest.json", output.last_line().replace("$PROJECT/", ""));
    serde_json::from_str(&project.read(&path)).unwrap()
}

// -- what they do --

#[test]
fn a_change_lands_in_the_rules_the_manifest_explain_and_diff_with_its_reason() {
    let project = project(&[("raise", "raise.wat", "")]);
    assert!(rules(&project).contains("expr: up > 200"), "{}", rules(&project));
    let manifest = manifest(&project);
    assert_eq!(manifest["changes"][0]["plugin"], "raise");
    assert_eq!(manifest["changes"][0]["reason"], "a good reason");
    assert_eq!(manifest["plugins"]["raise"]["worlds"][0], "thresholds");
    let explained = project.run("explain profile alerts.Slow.threshold").succeeds().stdout;
    assert!(explained.contains("profile.toml:5 100 → plugin raise 200 (a good reason)"), "{explained}");
    // A bundle that is read back has its changes, though no plugin runs then.
    project.run("build profile --oracle off --out-link after").succeeds();
    project.write("profiles/profile.toml", guests::PROFILE);
    project.run("build profile --oracle off --out-link before").succeeds();
    let told = project.run("diff ./before ./after").exits(1).stdout;
    assert!(told.contains("threshold 100 → 200") && told.contains("plugin raise: a good reason"), "{told}");
}

#[test]
fn what_was_not_granted_is_refused_with_the_line_to_write() {
    for (guest, grant) in [("label.wat", "label"), ("disable.wat", "disable"), ("add.wat", "add")] {
        let refused = project(&[("guest", guest, "")]).run(CHECK).exits(3).stderr;
        assert!(
            refused.contains("M705") && refused.contains(&format!("`{grant}` is not granted")),
            "{refused}"
        );
        assert!(refused.contains(&format!("may = [\"threshold\", \"for\", \"{grant}\"]")), "{refused}");
        let granted = project(&[("guest", guest, &format!("may = [\"{grant}\"]"))]);
        granted.run(CHECK).succeeds();
    }
}

#[test]
fn granted_changes_are_made() {
    let labelled = rules(&project(&[("guest", "label.wat", "may = [\"label\"]")]));
    assert!(labelled.contains("team: core"), "{labelled}");
    let disabled = rules(&project(&[("guest", "disable.wat", "may = [\"disable\"]")]));
    assert!(!disabled.contains("Slow") && disabled.contains("Tall"), "{disabled}");
    let added = project(&[("guest", "add.wat", "may = [\"add\"]")]);
    let output = added.run("build profile --oracle off").succeeds();
    let file = format!("{}/prometheus/rules/plugin-guest.yml", output.last_line().replace("$PROJECT/", ""));
    let text = added.read(&file);
    assert!(text.contains("alert: Extra") && text.contains("expr: up == 0"), "{text}");
}

#[test]
fn of_two_that_change_the_same_the_later_wins_and_both_are_named() {
    let both = |one: &str, two: &str| project(&[("aa", "raise.wat", one), ("bb", "fixed.wat", two)]);
    let side_by_side = both("", "");
    let warned = side_by_side.run(CHECK).succeeds().stderr;
    assert!(
        warned.contains("warning[M706]") && warned.contains("`aa` and `bb` both change `threshold`"),
        "{warned}"
    );
    assert!(rules(&side_by_side).contains("up > 7"));
    let ordered = both("order = 1", "");
    assert!(rules(&ordered).contains("up > 200"), "both saw 100");
    let staged = both("after = [\"bb\"]", "");
    assert!(!staged.run(CHECK).succeeds().stderr.contains("M706"));
    assert!(rules(&staged).contains("up > 14"), "aa saw the 7 of bb");
}

#[test]
fn what_is_final_stays() {
    let project = project(&[("raise", "raise.wat", "")]);
    let text = project
        .read("profiles/profile.toml")
        .replace("[alerts.Slow]\n", "[alerts.Slow]\nfinal = [\"threshold\"]\n");
    project.write("profiles/profile.toml", text);
    let refused = project.run(CHECK).exits(3).stderr;
    assert!(refused.contains("may not change `Slow`: the profile marked threshold `final`"), "{refused}");
    assert!(!refused.contains("`Tall`"), "{refused}");
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    for (guest, why) in [("nan.wat", "NaN is no threshold"), ("unreasoned.wat", "it gives no reason")] {
        let refused = project(&[("guest", guest, "")]).run(CHECK).exits(3).stderr;
        assert!(refused.contains("M705") && refused.contains(why), "{refused}");
    }
}

// -- pins --

#[test]
fn only_what_was_pinned_runs() {
    let project = unpinned(&[("raise", guests::threshold_plugin("raise.wat"), "")]);
    let refused = project.run(BUILD).exits(3).stdout;
    assert!(
        refused.contains("is not pinned in monprov.lock")
            && refused.contains("monprov plugin add plugins/raise.wasm"),
        "{refused}"
    );
    let added = project.run("plugin add plugins/raise.wasm").succeeds();
    assert_eq!(added.stdout, "[plugins.guest]\nfile = \"plugins/raise.wasm\"\n");
    project.run(BUILD).succeeds();
    project.write("plugins/raise.wasm", guests::threshold_plugin("fixed.wat"));
    let refused = project.run(BUILD).exits(3).stdout;
    assert!(
        refused.contains("not the file that was pinned")
            && refused.contains("monprov plugin update plugins/raise.wasm"),
        "{refused}"
    );
    project.run("plugin update plugins/raise.wasm").succeeds();
    assert!(rules(&project).contains("up > 7"));
    let listed = project.run("plugin list profile").succeeds().stdout;
    assert!(listed.contains("guest 1.0.0") && listed.contains("thresholds"), "{listed}");
    // Also where the memo knows the bundle: without its pin, nothing is answered.
    std::fs::remove_file(project.path("monprov.lock")).unwrap();
    project.run(BUILD).exits(3);
}

#[test]
fn a_password_in_an_address_gets_neither_into_the_pins_nor_into_the_error() {
    let project = project(&[]);
    let refused = project.run("plugin add http://me:canary-4711@127.0.0.1:1/guest.wasm").exits(1);
    assert!(refused.stderr.contains("fetch the file yourself"), "{}", refused.stderr);
    assert!(!(refused.stdout + &refused.stderr).contains("canary-4711"));
    assert!(!project.path("monprov.lock").exists() || !project.read("monprov.lock").contains("canary-4711"));
}

#[test]
fn a_plugin_can_be_fetched_and_fetched_anew() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/raise.wasm?v=1", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for guest in ["raise.wat", "fixed.wat"] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let body = guests::threshold_plugin(guest);
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let project = unpinned(&[]);
    project.output(project.command(["plugin", "add", &address])).succeeds();
    assert_eq!(
        std::fs::read(project.path("plugins/raise.wasm")).unwrap(),
        guests::threshold_plugin("raise.wat")
    );
    let updated = project.run("plugin update").succeeds().stdout;
    assert!(updated.contains("(was 1.0.0, "), "{updated}");
    assert_eq!(
        std::fs::read(project.path("plugins/raise.wasm")).unwrap(),
        guests::threshold_plugin("fixed.wat")
    );
    server.join().unwrap();
}

#[test]
fn a_build_without_plugins_makes_no_folder_for_them_and_no_lock() {
    let project = unpinned(&[]);
    project.run(BUILD).succeeds();
    assert!(!project.path("monprov.lock").exists() && !project.path(".monprov/plugins").exists());
}

#[test]
fn compiled_code_is_private_and_taken_from_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let project = project(&[("raise", "raise.wat", "")]);
    let folder = project.path(".monprov/plugins");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let code = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    for (path, mode) in [(&code, 0o666), (&folder, 0o777)] {
        let before = std::fs::metadata(path).unwrap().permissions();
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let refused = project.run("build profile --oracle off --rebuild").exits(1).stderr;
        assert!(refused.contains("only you can write"), "{refused}");
        std::fs::set_permissions(path, before).unwrap();
    }
    project.run(BUILD).succeeds();
}

#[test]
fn code_that_no_pin_names_or_of_another_release_is_collected() {
    let project = project(&[("raise", "raise.wat", ""), ("fixed", "fixed.wat", "")]);
    let names = || {
        let folder = std::fs::read_dir(project.path(".monprov/plugins")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".code")).collect::<Vec<_>>()
    };
    project.run(BUILD).succeeds();
    project.write("plugins/fixed.wasm", guests::threshold_plugin("add.wat"));
    project.run("plugin update plugins/fixed.wasm").succeeds();
    let digest = monprov::bundle::manifest::sha256(&guests::threshold_plugin("raise.wat"));
    project.write(&format!(".monprov/plugins/{digest}-0123456789abcdef.code"), "of another release");
    assert_eq!(names().len(), 4);
    let planned = project.run("gc --dry-run").succeeds().stderr;
    assert!(planned.contains("removed   code of 2 plugins"), "{planned}");
    assert_eq!(names().len(), 4);
    project.run("gc").succeeds();
    assert_eq!(names().len(), 2, "{:?}", names());
    assert!(names().iter().any(|name| name.starts_with(&digest)), "{:?}", names());
}

/// What a plugin said is kept beside its code, by what it was given and by its limits.
#[test]
fn what_a_plugin_said_is_kept_and_taken_from_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let project = project(&[("raise", "raise.wat", "")]);
    let known = || {
        let folder = std::fs::read_dir(project.path(".monprov/plugins")).unwrap();
        let paths = folder.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "known")).collect::<Vec<_>>()
    };
    let rebuild = || project.run(&format!("{BUILD} --rebuild")).succeeds().stdout;
    let built = rebuild();
    let [kept] = known().try_into().unwrap();
    assert_eq!(rebuild(), built);
    assert_eq!(known(), std::slice::from_ref(&kept));
    // One that others could write, or that is damaged, is no answer; the plugin is asked again.
    let text = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, text.replace("\"settings\":\"", "\"settings\":\"nonsense")).unwrap();
    std::fs::set_permissions(&kept, PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!(rebuild(), built);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), text);
    std::fs::write(&kept, "{").unwrap();
    assert_eq!(rebuild(), built);
    // Another limit is another question.
    let profile = std::fs::read_to_string(project.path("profiles/profile.toml")).unwrap();
    let more = "file = \"plugins/raise.wasm\"\nlimits = { memory = \"8MiB\" }";
    project.write("profiles/profile.toml", profile.replace("file = \"plugins/raise.wasm\"", more));
    rebuild();
    assert_eq!(known().len(), 2);
}

// -- what guests get --

#[test]
fn wasi_answers_nothing_or_a_fixed_value() {
    let with = |more: &str| {
        let project = unpinned(&[("guest", guests::wasi_plugin(more), "")]).env("SECRET", "value");
        project.run("plugin add plugins/guest.wasm").succeeds();
        project
    };
    let project = with("");
    let ran = project.run("plugin run profile guest").succeeds();
    assert!(ran.stderr.contains("printed   I was here"), "{}", ran.stderr);
    // The clock says 0, there is no variable and no folder, and chance is the same each time.
    let change = ran.stdout.lines().nth(1).unwrap().to_owned();
    let value = change.strip_prefix("Slow: threshold 100 → 0.").unwrap_or_else(|| panic!("{change}"));
    assert!(value.split_whitespace().next().unwrap().len() > 3, "{change}");
    assert_eq!(project.run("plugin run profile guest").succeeds().stdout, ran.stdout);
    let inspected = project.run("plugin inspect plugins/guest.wasm").succeeds().stdout;
    assert!(inspected.contains("wasi:cli/environment@0.2.3") && inspected.contains("denied"), "{inspected}");
}

// -- the shipped plugin --

fn with_naming(profile: &str, settings: &str) -> Project {
    let file = repository().join("plugins/naming-policy/naming-policy.wasm");
    let profile = format!(
        "{profile}\n[plugins.naming]\nfile = \"plugins/naming-policy.wasm\"\n[plugins.naming.settings]\n{settings}\n"
    );
    let project = Project::empty()
        .file("profiles/profile.toml", profile)
        .file("plugins/naming-policy.wasm", std::fs::read(file).unwrap());
    project.run("plugin add plugins/naming-policy.wasm").succeeds();
    project
}

#[test]
fn naming_policy_finds_what_its_settings_say_at_the_line() {
    let project = with_naming(
        guests::PROFILE,
        "required_labels = [\"severity\", \"team\"]\nseverities = [\"critical\"]",
    );
    let refused = project.run(CHECK).exits(3).stderr;
    assert!(
        refused.contains("error[M707]: the alert `Slow` has no label `team` (naming, required-label)"),
        "{refused}"
    );
    assert!(
        refused.contains("profile.toml:7")
            && refused.contains("has the severity `warning` (naming, severity)"),
        "{refused}"
    );
    let fine = with_naming(guests::PROFILE, "level = \"warning\"\nrunbook_for = [\"warning\"]");
    let warned = fine.run(CHECK).succeeds().stderr;
    assert!(warned.contains("warning[M707]: the alert `Tall` is warning and has no runbook"), "{warned}");
    let manifest = manifest(&fine);
    assert_eq!(manifest["verdicts"].as_array().unwrap().len(), 2, "{manifest}");
}

#[test]
fn settings_are_held_against_the_plugins_schema_and_its_own_rules() {
    let typo =
        with_naming(guests::PROFILE, "required_label = [\"team\"]\nlevel = 3").run(CHECK).exits(3).stderr;
    assert!(
        typo.contains("error[M704]")
            && typo.contains("`plugins.naming.settings.required_label`: the plugin knows no such setting")
            && typo.contains("profile.toml:17:1"),
        "{typo}"
    );
    let own = with_naming(guests::PROFILE, "runbook_for = [\"page\"]").run(CHECK).exits(3).stderr;
    assert!(own.contains("`page` is none of `severities`"), "{own}");
}

#[test]
fn a_policy_speaks_of_rule_files_by_their_lines() {
    let project = with_naming("[rules]\nfiles = [\"rules/*.yml\"]\n", "");
    project.write(
        "profiles/rules/a.yml",
        "groups:\n- name: host\n  rules:\n  - alert: Down\n    expr: up == 0\n",
    );
    let refused = project.run(CHECK).exits(3).stderr;
    assert!(
        refused.contains("profiles/rules/a.yml:4") && refused.contains("`Down` has no label `severity`"),
        "{refused}"
    );
}

#[test]
fn inspect_shows_what_a_file_is() {
    let project = Project::empty();
    let file = repository().join("plugins/naming-policy/naming-policy.wasm");
    let shown =
        project.output(project.command(["plugin", "inspect", file.to_str().unwrap()])).succeeds().stdout;
    for word in ["naming-policy 1.0.0", "does      policy", "imports   nothing", "required_labels"] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn run_shows_changes_fuel_and_settings_of_one_plugin() {
    let project = project(&[("aa", "raise.wat", ""), ("bb", "fixed.wat", "after = [\"aa\"]")]);
    let shown = project.run("plugin run profile bb").succeeds();
    assert!(
        shown.stdout.contains("Slow: threshold 100 → 7") && shown.stdout.contains("a good reason"),
        "{}",
        shown.stdout
    );
    assert!(shown.stderr.contains("1 change, 0 findings"), "{}", shown.stderr);
    let unknown = project.run("plugin run profile ab").exits(1).stderr;
    assert!(unknown.contains("did you mean"), "{unknown}");
}

#[test]
fn shipped_plugins_are_what_their_sources_build() {
    let out = tempfile::tempdir().unwrap();
    let built =
        std::process::Command::new(repository().join("plugins/build")).arg(out.path()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let digest = monprov::bundle::manifest::sha256;
    let rebuilt: Vec<_> = std::fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(rebuilt.len() >= 3, "{rebuilt:?}");
    for file in rebuilt {
        let folder = repository().join("plugins").join(file.file_stem().unwrap());
        let committed = std::fs::read(folder.join(file.file_name().unwrap())).unwrap();
        let rebuilt = std::fs::read(&file).unwrap();
        let what = file.file_name().unwrap().display();
        assert_eq!(
            digest(&committed),
            digest(&rebuilt),
            "{what}: run plugins/build, and `plugin update` where it is pinned"
        );
        // Those of the relay are made for speed, and a language of templates takes its room.
        let most = match file.file_stem().unwrap().to_str().unwrap() {
            "webhook-template" => 1024,
            "dingtalk" | "wecom" | "feishu" | "telegram" => 384,
            _ => 256,
        };
        assert!(committed.len() < most << 10, "{what} has {} bytes", committed.len());
        // The same bytes on every machine: no path of this one is in them.
        let text = String::from_utf8_lossy(&committed);
        for folder in [repository().to_str().unwrap(), env!("CARGO"), ".cargo/", "rustlib/src"] {
            assert!(!text.contains(folder), "{what} names {folder}");
        }
    }
}
