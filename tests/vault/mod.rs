//! Secrets in Vault, against a real OpenBao.

mod faults;
mod logins;
mod messages;
mod reads;
mod rotation;
mod tls;

use serde_json::json;

use crate::support::openbao::OpenBao;
use crate::support::project::{Output, Project};

/// A project whose one secret comes from there; `more` stands beneath it.
fn project(source: &str, more: &str) -> Project {
    let profile =
        format!("[grafana]\nadmin_password = \"${{secret.a}}\"\n\n[secrets]\na = {source}\n\n{more}");
    Project::empty().file("profiles/profile.toml", profile)
}

/// As root, unless the environment says otherwise.
fn check(project: &Project, bao: &OpenBao, environment: &[(&str, &str)]) -> Output {
    let mut command = project.command(["check", "profile", "--oracle", "off"]);
    command.env("VAULT_ADDR", &bao.address).env("VAULT_TOKEN", &bao.root);
    for (name, value) in environment {
        match value.is_empty() {
            true => command.env_remove(name),
            false => command.env(name, value),
        };
    }
    project.output(command)
}

/// A policy and a role for it, with which `secret/monitoring/smtp` can be read.
fn with_approle(bao: &OpenBao, properties: serde_json::Value) -> String {
    bao.put("monitoring/smtp", json!({ "password": "correct-horse-battery" }));
    bao.policy("monitoring", "path \"secret/data/monitoring/*\" { capabilities = [\"read\"] }");
    let mut all = json!({ "token_policies": ["monitoring"] });
    all.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    bao.approle("monitoring", all)
}

/// A project with secrets from many paths, `fields` of each.
fn many(paths: usize, fields: &[&str], more: &str) -> Project {
    let (mut files, mut secrets) = (String::new(), String::new());
    for path in 0..paths {
        for field in fields {
            let name = format!("{field}_{path}");
            files += &format!("{name} = \"${{secret.{name}}}\"\n");
            secrets += &format!("{name} = {{ vault = \"secret/many/{path}\", field = \"{field}\" }}\n");
        }
    }
    let service = "[services.app]\nimage = \"x/app:1.0\"\nuser = \"1000\"\nhealth.command = [\"true\"]\n";
    let profile = format!("{service}[services.app.secret_files]\n{files}\n[secrets]\n{secrets}\n{more}");
    Project::empty().file("profiles/profile.toml", profile)
}

fn put_many(bao: &OpenBao, paths: usize, fields: &[&str]) {
    for path in 0..paths {
        let values = fields.iter().map(|field| ((*field).to_owned(), format!("{field}-{path}-value").into()));
        bao.put(&format!("many/{path}"), serde_json::Value::Object(values.collect()));
    }
}
