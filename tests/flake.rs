//! The flake evaluates, with the real Nix. There is no network here, so the place of nixpkgs
//! is taken by `support/nixpkgs`, which has the few attributes that the flake uses.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{program, repository, repository_files};

/// `nix COMMAND` on a copy of the repository, with a store and a HOME of its own.
fn nix(folder: &TempDir, command: &[&str], attribute: &str) -> Value {
    let at = |name: &str| folder.path().join(name);
    if !at("source").exists() {
        for file in repository_files() {
            let target = at("source").join(&file);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(repository().join(&file), target).unwrap();
        }
        std::fs::create_dir(at("conf")).unwrap();
        std::fs::write(
            at("conf").join("nix.conf"),
            "sandbox = false\nbuild-users-group =\nsubstituters =\nflake-registry =\n\
             extra-experimental-features = nix-command flakes\n",
        )
        .unwrap();
    }
    let stub = format!("path:{}", repository().join("tests/support/nixpkgs").display());
    let output = Command::new(program("nix"))
        .args(command)
        .args(["--json", "--offline", "--no-write-lock-file", "--override-input", "nixpkgs", &stub])
        .arg(format!("path:{}{attribute}", at("source").display()))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder.path())
        .env("NIX_CONF_DIR", at("conf"))
        .env("NIX_STORE_DIR", at("store"))
        .env("NIX_STATE_DIR", at("state"))
        .env("NIX_LOG_DIR", at("log"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn flake_evaluates_on_every_system() {
    let folder = tempfile::tempdir().unwrap();
    let name = concat!("monprov-", env!("CARGO_PKG_VERSION"));
    let shown = nix(&folder, &["flake", "show"], "");
    for system in ["x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"] {
        assert_eq!(shown["packages"][system]["default"]["name"], name);
        assert_eq!(shown["devShells"][system]["default"]["type"], "derivation");
        assert_eq!(shown["packages"][system]["image"]["type"], "derivation");
    }
    let image = "#packages.x86_64-linux.image.contents";
    let contents = nix(&folder, &["eval", "--apply", "map (package: package.name)"], image);
    assert_eq!(contents, json!([name, "busybox", "cacert"]));

    let shell = "#devShells.x86_64-linux.default.packages";
    let tools = nix(&folder, &["eval", "--apply", "map (package: package.name)"], shell);
    assert_eq!(
        tools,
        json!([
            "cargo",
            "clippy",
            "rustc",
            "rustfmt",
            "prometheus",
            "promtool",
            "prometheus-alertmanager",
            "grafana",
            "openbao"
        ])
    );
}

#[test]
fn nixos_brings_the_current_generations_up_at_boot() {
    let folder = tempfile::tempdir().unwrap();
    let apply = format!("import {}/tests/support/nixpkgs/nixos.nix", repository().display());
    let services = nix(&folder, &["eval", "--impure", "--apply", &apply], "#nixosModules.default");

    let prod = &services["monprov-prod"];
    assert_eq!(
        prod["serviceConfig"]["ExecStart"],
        "monprov/bin/monprov -C /etc/monitoring --state-dir /var/lib/monprov activate prod --env-file /run/keys/prod.env"
    );
    assert_eq!(prod["serviceConfig"]["Type"], "oneshot");
    assert_eq!(prod["requires"], json!(["docker.service"]));
    assert_eq!(prod["path"], json!(["docker"]));

    let small = &services["monprov-small"];
    assert_eq!(
        small["serviceConfig"]["ExecStart"],
        "monprov/bin/monprov -C /srv/small --state-dir /var/lib/monprov up --no-build small"
    );
    assert_eq!(small["serviceConfig"]["User"], "monitoring");
    assert_eq!(small["path"], json!(["prometheus"]));
    assert_eq!(small["wantedBy"], json!(["multi-user.target"]));
}
