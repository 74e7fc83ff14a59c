//! `monprov build` and its neighbours on the reference stack, as a user runs them.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::project::{Output, Project};

const BUILD: &str = "build prod --env-file profiles/prod.env.example --oracle off";

fn build(project: &Project) -> Output {
    project.run(BUILD).succeeds()
}

fn id(output: &Output) -> String {
    output.last_line().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn the_store_path_is_all_that_stands_on_stdout() {
    let project = Project::reference();
    let output = build(&project);
    assert_eq!(output.stdout.lines().count(), 1);
    assert!(output.stdout.starts_with("$PROJECT/.monprov/store/"), "{}", output.stdout);
    assert!(output.stdout.ends_with("-prod\n"), "{}", output.stdout);
    assert!(output.stderr.contains("7 alerts"), "{}", output.stderr);
}

#[test]
fn the_oracles_agree_with_the_reference_stack() {
    let project = Project::reference();
    let output = project.run("build prod --env-file profiles/prod.env.example --oracle require").succeeds();
    assert!(output.stderr.contains("promtool, amtool agree"), "{}", output.stderr);
}

#[test]
fn every_environment_of_the_reference_stack_builds() {
    for profile in ["dev", "staging", "prod"] {
        let project = Project::reference();
        project.run(&format!("build {profile} --env-file profiles/prod.env.example --oracle off")).succeeds();
    }
}

#[test]
fn the_same_inputs_elsewhere_give_the_same_id() {
    let first = Project::reference();
    let second =
        Project::reference().env("TZ", "Asia/Shanghai").env("LANG", "tr_TR.UTF-8").env("LC_ALL", "C");
    for file in walkdir::WalkDir::new(second.path("profiles")) {
        let status = Command::new("touch").args(["-d", "2001-02-03"]).arg(file.unwrap().path()).status();
        assert!(status.unwrap().success());
    }
    let one = id(&build(&first));
    assert_eq!(one, id(&build(&second)));
    // umask: through a shell, since it is the process's.
    let third = Project::reference();
    let monprov = env!("CARGO_BIN_EXE_monprov");
    let mut shell = third.command([] as [&str; 0]);
    let script = format!("umask 077 && exec {monprov} {BUILD}");
    shell = {
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(third.root()).env_clear();
        command.envs(shell.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))));
        command
    };
    assert_eq!(one, id(&third.output(shell).succeeds()));
}

#[test]
fn a_comment_changes_nothing_a_threshold_does() {
    let project = Project::reference();
    let one = id(&build(&project));
    let prod = project.read("profiles/prod.toml");
    project.write("profiles/prod.toml", format!("# another comment\n\n{prod}"));
    assert_eq!(one, id(&build(&project)));
    project.write("profiles/prod.toml", format!("{prod}\n[alerts.HighCeleryQueueLength]\nthreshold = 500\n"));
    assert_ne!(one, id(&build(&project)));
}

#[test]
fn unchanged_inputs_are_answered_from_the_memo_and_only_while_the_bundle_is_intact() {
    let project = Project::reference();
    let first = build(&project);
    let second = build(&project);
    assert_eq!(first.stdout, second.stdout);
    assert!(second.stderr.contains("unchanged"), "{}", second.stderr);

    let bundle = project.path(&first.last_line().replace("$PROJECT/", ""));
    let file = bundle.join("prometheus/prometheus.yml");
    let writable = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let before = std::fs::read(&file).unwrap();
    writable(0o644);
    std::fs::write(&file, b"scrape_configs: []\n").unwrap();
    let refused = project.run(BUILD).exits(3);
    assert_eq!(refused.stdout, "");
    assert!(refused.stderr.contains("was changed after it was built"), "{}", refused.stderr);
    assert!(refused.stderr.contains("prometheus/prometheus.yml"), "{}", refused.stderr);
    // `show` does not print a bundle that lies, either.
    project.run("show prod").exits(3);
    std::fs::write(&file, before).unwrap();
    writable(0o444);
    let touched = Command::new("touch").args(["-d", "@1"]).arg(&file).status().unwrap();
    assert!(touched.success());
    build(&project);
}

#[test]
fn dry_run_and_path_write_nothing_and_name_the_same_path() {
    let project = Project::reference();
    let dry = project.run(&format!("{BUILD} --dry-run")).succeeds();
    let path = project.run("path prod --env-file profiles/prod.env.example --oracle off").succeeds();
    // Compiled code of plugins is kept all the same.
    let kept = std::fs::read_dir(project.path(".monprov")).unwrap();
    assert_eq!(kept.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["plugins"]);
    assert_eq!(dry.stdout, path.stdout);
    assert_eq!(build(&project).stdout, path.stdout);
}

#[test]
fn rebuild_proves_that_the_build_is_reproducible() {
    let project = Project::reference();
    build(&project);
    let output = project.run(&format!("{BUILD} --rebuild")).succeeds();
    assert!(output.stderr.contains("reproduced"), "{}", output.stderr);
}

#[test]
fn an_out_link_points_to_the_bundle() {
    let project = Project::reference();
    let output = project.run(&format!("{BUILD} --out-link result")).succeeds();
    let link = std::fs::read_link(project.path("result")).unwrap();
    assert_eq!(project.normalise(&link.to_string_lossy()), output.last_line());
    // What is no link is not replaced.
    project.write("taken", "precious");
    project.run(&format!("{BUILD} -o taken")).exits(1);
    assert_eq!(project.read("taken"), "precious");
}

#[test]
fn a_bundle_is_read_only_and_has_no_times() {
    use std::os::unix::fs::MetadataExt;
    let project = Project::reference();
    let bundle = project.path(&build(&project).last_line().replace("$PROJECT/", ""));
    for entry in walkdir::WalkDir::new(bundle) {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        assert_eq!(meta.mtime(), 1, "{}", entry.path().display());
        let mode = meta.permissions().mode() & 0o7777;
        assert!(mode == 0o444 || mode == 0o555, "{}: {mode:o}", entry.path().display());
    }
}

#[test]
fn no_secret_reaches_the_bundle_the_output_or_the_state() {
    let canary = "c4n4ry-9f\"8e7d$6c";
    let project = Project::reference()
        .env("REDIS_PASSWORD", canary)
        .env("SMTP_PASSWORD", canary)
        .env("GRAFANA_ADMIN_PASSWORD", canary)
        .env("RUST_LOG", "trace");
    let mut seen = String::new();
    for command in
        [BUILD, &format!("{BUILD} --json"), "check prod --env-file profiles/prod.env.example --json"]
    {
        let output = project.run(command).succeeds();
        seen += &output.stdout;
        seen += &output.stderr;
    }
    for file in walkdir::WalkDir::new(project.path(".monprov")) {
        let file = file.unwrap();
        if file.file_type().is_file() {
            seen += &String::from_utf8_lossy(&std::fs::read(file.path()).unwrap());
        }
    }
    assert!(seen.contains("redis_password"), "the references are there");
    for form in ["c4n4ry", "c4n4ry-9f%22", "YzRuNHJ5"] {
        assert!(!seen.contains(form), "{form} leaked");
    }
}

#[test]
fn a_secret_pasted_by_hand_is_refused_without_showing_it() {
    let canary = "c4n4ry-9f8e7d6c";
    let project = Project::reference().env("SMTP_PASSWORD", canary);
    let prod = project.read("profiles/prod.toml");
    project.write(
        "profiles/prod.toml",
        format!("{prod}\n[alerts.CeleryWorkerDown]\nrunbook_url = \"https://x.example/?p={canary}\"\n"),
    );
    let refused = project.run(BUILD).exits(3);
    assert!(refused.stderr.contains("M502"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(canary), "{}", refused.stderr);
    assert!(!project.path(".monprov/store").exists(), "nothing was written");
}

#[test]
fn secrets_are_resolved_at_every_build_also_when_the_memo_answers() {
    let project = Project::reference();
    build(&project);
    let env = project.read("profiles/prod.env.example");
    let less: String =
        env.lines().filter(|l| !l.starts_with("SMTP_PASSWORD")).map(|l| format!("{l}\n")).collect();
    project.write("less.env", less);
    let refused = project.run("build prod --env-file less.env --oracle off").exits(4);
    assert!(refused.stderr.contains("smtp_password"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
    project.run("build prod --env-file less.env --oracle off --no-secrets").succeeds();
}

#[test]
fn twenty_builds_at_once_agree() {
    let project = Project::reference();
    let children: Vec<_> = (0..20)
        .map(|n| {
            let profile = ["prod", "staging", "dev"][n % 3];
            let args = BUILD.replace("prod ", &format!("{profile} "));
            let mut command = project.command(args.split_whitespace());
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            (profile, command.spawn().unwrap())
        })
        .collect();
    let mut paths = std::collections::BTreeSet::new();
    for (profile, child) in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{profile}: {}", String::from_utf8_lossy(&output.stderr));
        paths.insert(String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(paths.len(), 3);
    let store: Vec<_> = std::fs::read_dir(project.path(".monprov/store")).unwrap().collect();
    assert!(store.len() <= 9, "leftovers in the store: {store:?}");
}

#[test]
fn init_writes_a_project_that_builds_and_overwrites_nothing() {
    let project = Project::empty();
    std::fs::remove_dir(project.path("profiles")).unwrap();
    project.run("init").succeeds();
    project.run("build dev --env-file profiles/dev.env.example --oracle off").succeeds();
    project.write("profiles/base.toml", "# mine");
    let refused = project.run("init").exits(1);
    assert!(refused.stderr.contains("nothing was written"), "{}", refused.stderr);
    assert_eq!(project.read("profiles/base.toml"), "# mine");
}

#[test]
fn explain_prints_the_chain_of_a_value() {
    let project = Project::reference();
    let prod = project.read("profiles/prod.toml");
    project.write("profiles/prod.toml", format!("{prod}\n[alerts.HighCeleryQueueLength]\nthreshold = 500\n"));
    let output = project.run("explain prod alerts.HighCeleryQueueLength.threshold").succeeds();
    let chain = output.stdout.lines().nth(1).unwrap();
    assert!(
        chain.contains("profiles/celery.toml:") && chain.contains(" 100 → profiles/prod.toml:"),
        "{chain}"
    );
    assert!(chain.ends_with(" 500"), "{chain}");
}

#[test]
fn every_code_is_explained() {
    let project = Project::empty();
    let list = project.run("explain M999").exits(1).stderr;
    let codes: Vec<&str> =
        list.lines().filter_map(|l| l.trim().split_once("  ")).map(|(code, _)| code).collect();
    assert!(codes.len() > 30, "{list}");
    for code in codes {
        let text = project.run(&format!("explain {code}")).succeeds().stdout;
        assert!(text.lines().count() >= 3, "{text}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    Project::empty().run("bild prod").exits(2);
    Project::empty().run("build").exits(2);
}

#[test]
fn the_schema_speaks_of_layers() {
    let schema: serde_json::Value =
        serde_json::from_str(&Project::empty().run("schema").succeeds().stdout).unwrap();
    assert!(schema["properties"]["alerts"].is_object());
    let alert = &schema["$defs"]["Alert"];
    assert!(alert["properties"]["threshold"].is_object());
    assert!(alert["properties"]["final"].is_object());
    assert!(alert.get("required").is_none(), "a layer may override one field only");
}

/// A terminal that was closed, a pipe whose reader went away.
#[test]
fn a_reader_that_went_away_is_no_error() {
    let project = Project::reference();
    let script =
        format!("{} {BUILD} 2>&- | :; {0} {BUILD} 2>/dev/full >/dev/full", env!("CARGO_BIN_EXE_monprov"));
    let mut command = project.command(["--version"]);
    let environment: Vec<_> =
        command.get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
    command = std::process::Command::new("sh");
    command.args(["-c", &script]).current_dir(project.root()).env_clear().envs(environment);
    project.output(command).succeeds();
}
