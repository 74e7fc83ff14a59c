//! A value that changes in Vault is taken over without a build, and a pinned one is not.

use serde_json::{Value, json};

use crate::support::openbao::OpenBao;
use crate::support::project::{Output, Project};

const PROFILE: &str = r#"
[services.app]
image = "example/app:1.0"
user = "1000"
health.command = ["true"]
secret_files = { newest = "${secret.newest}", pinned = "${secret.pinned}" }

[secrets]
newest = { vault = "secret/app", field = "password" }
pinned = { vault = "secret/app", field = "password", version = 1 }
"#;

struct Rotation {
    bao: OpenBao,
    project: Project,
}

impl Rotation {
    /// The first version is handed over.
    fn start() -> Rotation {
        let bao = OpenBao::dev();
        bao.put("app", json!({ "password": "the-first-password" }));
        let project = Project::empty()
            .file("profiles/p.toml", PROFILE)
            .env("VAULT_ADDR", &bao.address)
            .env("VAULT_TOKEN", &bao.root);
        let built = project.run("build p --oracle off").succeeds();
        let bundle = built.last_line().rsplit('/').next().unwrap().to_owned();
        project.run(&format!("activate {bundle} --runtime none")).succeeds();
        let rotation = Rotation { bao, project };
        rotation.sync().succeeds();
        rotation
    }

    fn sync(&self) -> Output {
        self.project.run("secrets sync p")
    }

    fn handed_over(&self, file: &str) -> String {
        self.project.read(&format!(".monprov/secrets/p/app/{file}"))
    }

    fn json(&self, command: &str) -> Value {
        serde_json::from_str(&self.project.run(command).succeeds().stdout).unwrap()
    }
}

#[test]
fn sync_takes_the_newest_over_and_says_which_version_it_is() {
    let rotation = Rotation::start();
    rotation.bao.put("app", json!({ "password": "the-second-password" }));
    let synced = rotation.sync().succeeds();
    assert!(synced.stdout.contains("app      restart  newest"), "{}", synced.stdout);
    assert_eq!(rotation.handed_over("newest"), "the-second-password");
    assert_eq!(rotation.handed_over("pinned"), "the-first-password");
    let list = rotation.json("secrets list p --json");
    let versions: Vec<_> = list.as_array().unwrap().iter().map(|s| &s["handed_over"]["version"]).collect();
    assert_eq!(versions, [&json!(2), &json!(1)]);
    let history = rotation.json("secrets history p --json");
    assert_eq!(history[1]["changes"]["app"]["files"], json!(["newest"]));
}

#[test]
fn a_pinned_version_that_was_destroyed_is_refused_and_services_keep_what_they_have() {
    let rotation = Rotation::start();
    rotation.bao.put("app", json!({ "password": "the-second-password" }));
    rotation.bao.write("secret/destroy/app", json!({ "versions": [1] }));
    let refused = rotation.sync().exits(4);
    assert!(refused.stderr.contains("destroyed"), "{}", refused.stderr);
    assert_eq!(rotation.handed_over("newest"), "the-first-password");
    rotation.project.run("build p --oracle off").exits(4);
}
