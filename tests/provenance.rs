//! Where a bundle comes from: what a build states, who signs it, and that it is true.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monprov::bundle::manifest::sha256;
use monprov::store::hash_directory;
use monprov::trust::SecretKey;
use serde_json::{Value, json};

use crate::support::project::{Output, Project};

const BUILD: &str = "build prod --env-file profiles/prod.env.example --oracle off";

/// Two services and a rule file, in a fraction of the time that the reference stack takes.
fn small() -> Project {
    let profile = "[stack]\nruntime = \"process\"\n[vars]\nWHO = { default = \"all\" }\n\
                   [rules]\nfiles = [\"rules/*.yml\"]\n\
                   [services.one]\nprogram = \"sh\"\nargs = [\"-c\", \"${var.WHO}\"]\n";
    let rules = "groups:\n- name: g\n  rules:\n  - record: a:b\n    expr: vector(1)\n";
    Project::empty().file("profiles/p.toml", profile).file("profiles/rules/a.yml", rules)
}

fn name(output: &Output) -> String {
    output.last_line().rsplit('/').next().unwrap().to_owned()
}

/// A secret key in a file of the project, and the trust file that names its public key.
fn key(project: &Project, name: &str, seed: u8) -> SecretKey {
    let key = SecretKey::generate(name, &[seed; 32]).unwrap();
    project.write(&format!("{name}.key"), key.expose().as_bytes());
    key
}

fn trust(project: &Project, keys: &[&SecretKey], required: bool) {
    let keys: Vec<String> = keys.iter().map(|key| key.public().to_string()).collect();
    project.write("trust.toml", format!("required = {required}\nkeys = {keys:?}\n"));
}

fn trusting(project: Project) -> Project {
    let file = project.path("trust.toml").display().to_string();
    project.env("MONPROV_TRUST", &file)
}

fn envelope(project: &Project, name: &str) -> Value {
    serde_json::from_str(&project.read(&format!(".monprov/provenance/{name}.json"))).unwrap()
}

fn statement(envelope: &Value) -> Value {
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// Puts another statement into an envelope, whose signatures stay.
fn state(project: &Project, name: &str, envelope: &Value, statement: &Value) {
    let mut envelope = envelope.clone();
    envelope["payload"] = STANDARD.encode(statement.to_string()).into();
    project.write(&format!(".monprov/provenance/{name}.json"), envelope.to_string());
}

#[test]
fn a_build_states_its_inputs() {
    let project = Project::reference();
    let name = name(&project.run(BUILD).succeeds());
    let envelope = envelope(&project, &name);
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(envelope["signatures"], json!([]));

    let statement = statement(&envelope);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let hash = hash_directory(&project.path(".monprov/store").join(&name)).unwrap().to_string();
    assert_eq!(statement["subject"], json!([{ "name": name, "digest": { "sha256": hash } }]));

    let build = &statement["predicate"]["buildDefinition"];
    let parameters = &build["externalParameters"];
    assert_eq!(parameters["profile"], "prod");
    assert_eq!(parameters["runtime"], "compose");
    assert_eq!(parameters["variables"]["SMTP_HOST"], "smtp.example.com:587");
    let all = build["resolvedDependencies"].as_array().unwrap();
    for file in ["profiles/base.toml", "profiles/celery.toml", "profiles/prod.toml"] {
        let found = all.iter().find(|one| one["name"] == file).unwrap();
        assert_eq!(found["digest"]["sha256"], sha256(project.read(file).as_bytes()));
    }
    let plugin = all.iter().find(|one| one["name"].as_str().is_some_and(|name| name.ends_with(".wasm")));
    let plugin = plugin.unwrap();
    let bytes = std::fs::read(project.path(plugin["name"].as_str().unwrap())).unwrap();
    assert_eq!(plugin["digest"]["sha256"], sha256(&bytes));
    let image =
        |one: &Value| one["uri"].as_str().is_some_and(|uri| uri.starts_with("docker://prom/prometheus:"));
    assert!(all.iter().any(image), "{all:?}");
}

#[test]
fn it_names_neither_the_machine_nor_the_time_nor_a_secret() {
    let (one, two) = (Project::reference(), Project::reference().env("USER", "anna").env("TZ", "Asia/Tokyo"));
    let name = name(&one.run(BUILD).succeeds());
    two.run(BUILD).succeeds();
    assert_eq!(envelope(&one, &name), envelope(&two, &name));
    let text = statement(&envelope(&one, &name)).to_string();
    assert!(!text.contains("example-smtp-password"), "{text}");
}

#[test]
fn it_is_signed_with_the_keys_of_who_builds() {
    let project = trusting(small());
    let (ours, theirs) = (key(&project, "fleet-1", 1), key(&project, "ci", 2));
    trust(&project, &[&ours], false);
    let name =
        name(&project.run("build p --key fleet-1.key --builder https://ci.example.org/build").succeeds());
    let shown = project.run("provenance p").succeeds().stdout;
    for expected in [
        "signed     by fleet-1",
        "profile    p, for process",
        "builder    https://ci.example.org/build",
        "profiles/rules/a.yml",
        "WHO=\"all\"",
    ] {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
    // A second signature of the same statement, where the memo answers.
    let again = "build p --key ci.key --builder https://ci.example.org/build";
    project.run(again).succeeds();
    let signed: Value = serde_json::from_str(&project.run("provenance p --json").succeeds().stdout).unwrap();
    assert_eq!((&signed["signed_by"], &signed["unknown"]), (&json!(["fleet-1"]), &json!(["ci"])));
    // Who builds without a key takes no signature away.
    project.run("build p").succeeds();
    project.run("build p --rebuild").succeeds();
    assert_eq!(envelope(&project, &name)["signatures"].as_array().unwrap().len(), 2);
    // Whoever signs the bundle later signs what is said of it.
    key(&project, "audit", 3);
    project.run(&format!("sign {name} --key audit.key")).succeeds();
    let signed: Value = serde_json::from_str(&project.run("provenance p --json").succeeds().stdout).unwrap();
    assert_eq!(signed["unknown"], json!(["audit", "ci"]));
    // The key of the environment.
    let file = project.path("ci.key").display().to_string();
    let project = project.env("MONPROV_SIGNING_KEY", &file);
    trust(&project, &[&theirs], true);
    project.run("build p --invocation 42").succeeds();
    let shown = project.run("provenance p").succeeds().stdout;
    assert!(shown.contains("by ci\n") && shown.contains("run        42"), "{shown}");
}

#[test]
fn what_is_not_stated_of_this_bundle_is_refused() {
    let project = trusting(small());
    let ours = key(&project, "fleet-1", 1);
    trust(&project, &[&ours], false);
    let one = name(&project.run("build p --key fleet-1.key").succeeds());
    let signed = envelope(&project, &one);
    let refused = |why: &str| {
        let said = project.run("provenance p").exits(3).stderr;
        assert!(said.contains("error[M822]") && said.contains(why), "{said}");
    };
    // Another builder under the same signature.
    let mut forged = statement(&signed);
    forged["predicate"]["runDetails"]["builder"]["id"] = "https://ci.example.org".into();
    state(&project, &one, &signed, &forged);
    refused("the signature of `fleet-1` is not of this content");
    // The signed statement of another bundle.
    let mut command = project.command(["build", "p"]);
    command.env("WHO", "two");
    let two = name(&project.output(command).succeeds());
    project.write(&format!(".monprov/provenance/{two}.json"), signed.to_string());
    let said = project.run(&format!("provenance {two}")).exits(3).stderr;
    assert!(said.contains(&format!("is about {one}")), "{said}");
    // None at all, where one is demanded.
    trust(&project, &[&ours], true);
    let mut bare = signed.clone();
    bare["signatures"] = json!([]);
    project.write(&format!(".monprov/provenance/{one}.json"), bare.to_string());
    let said = project.run(&format!("provenance {one}")).exits(3).stderr;
    assert!(said.contains("it has no signature"), "{said}");
    project.write(&format!(".monprov/provenance/{one}.json"), "{");
    project.run(&format!("provenance {one}")).exits(3);
}

#[test]
fn the_recorded_inputs_give_the_bundle_again() {
    let project = Project::reference();
    let name = name(&project.run(BUILD).succeeds());
    // The variables are those of the record, so that no env file is needed.
    let again =
        project.run(&format!("build prod --rebuild --from {name} --no-secrets --oracle off")).succeeds();
    assert!(again.last_line().ends_with(&name), "{}", again.stdout);
    assert!(again.stderr.contains("reproduced"), "{}", again.stderr);
}

#[test]
fn each_input_that_differs_is_named() {
    let project = small();
    let name = name(&project.run("build p").succeeds());
    let again = format!("build p --rebuild --from {name}");
    project.run(&again).succeeds();
    // A comment: the same bundle, but not the same inputs.
    project.write("profiles/p.toml", format!("# more\n{}", project.read("profiles/p.toml")));
    project.write("profiles/rules/b.yml", "groups: []\n");
    std::fs::remove_file(project.path("profiles/rules/a.yml")).unwrap();
    let said = project.run(&again).exits(3).stderr;
    for expected in [
        "error[M820]: profiles/p.toml was ",
        "error[M820]: profiles/rules/a.yml is not an input any more, or missing",
        "error[M820]: profiles/rules/b.yml was no input",
        "with what is here, it is ",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    let said = project.run(&format!("build other --rebuild --from {name}")).exits(1).stderr;
    assert!(said.contains("was built from the profile `p`, and not from `other`"), "{said}");
}

#[test]
fn an_image_that_was_pinned_anew_is_named() {
    let lock = |digit: &str| {
        let digest = format!("sha256:{}", digit.repeat(64));
        format!(
            "schema = 2\n[images.\"x/a:1.0\"]\ndigest = \"{digest}\"\n\
             [images.\"x/a:1.0\".platforms]\n\"linux/amd64\" = \"{digest}\"\n"
        )
    };
    let profile = "[build]\nimages = \"digest\"\n[services.a]\nimage = \"x/a:1.0\"\n";
    let project = Project::empty().file("profiles/p.toml", profile).file("monprov.lock", lock("1"));
    let name = name(&project.run("build p --oracle off").succeeds());
    let pinned = format!("x/a:1.0@sha256:{}", "1".repeat(64));
    assert!(project.run(&format!("provenance {name}")).succeeds().stdout.contains(&format!("  {pinned}\n")));
    let again = format!("build p --rebuild --from {name} --oracle off");
    project.run(&again).succeeds();
    project.write("monprov.lock", lock("2"));
    let said = project.run(&again).exits(3).stderr;
    assert!(said.contains(&format!("error[M820]: the image {pinned} is not used any more")), "{said}");
    assert!(!said.contains("M821"), "{said}");
}

#[test]
fn inputs_that_give_another_bundle_are_a_lie() {
    let project = small();
    let one = name(&project.run("build p").succeeds());
    project.write("profiles/p.toml", project.read("profiles/p.toml").replace("all", "nobody"));
    let two = name(&project.run("build p").succeeds());
    let envelope = envelope(&project, &two);
    let mut lie = statement(&envelope);
    let hash = hash_directory(&project.path(".monprov/store").join(&one)).unwrap().to_string();
    lie["subject"] = json!([{ "name": one, "digest": { "sha256": hash } }]);
    state(&project, &one, &envelope, &lie);
    let said = project.run(&format!("build p --rebuild --from {one}")).exits(3).stderr;
    assert!(said.contains(&format!("error[M821]: the recorded inputs of {one} give {two}")), "{said}");
}

#[test]
fn it_goes_with_its_bundle() {
    let project = small();
    let name = name(&project.run("build p").succeeds());
    let file = project.path(&format!(".monprov/provenance/{name}.json"));
    std::fs::remove_file(&file).unwrap();
    let said = project.run("provenance p").exits(1).stderr;
    assert!(said.contains("has no provenance: `monprov build p` states it"), "{said}");
    // Also where the memo answers.
    project.run("build p").succeeds();
    assert!(file.exists());
    project.run("gc").succeeds();
    assert!(!file.exists());
}
