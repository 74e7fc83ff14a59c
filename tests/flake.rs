//! The flake, with the real Nix: it evaluates, its checks pass, and Nix builds the bundle that
//! `monprov build` builds. There is no network here, so the place of nixpkgs is taken by
//! `support/nixpkgs`, which has the few attributes that the flake uses; its package `monprov` is
//! the program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use monprov::store::hash_directory;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::project::{Project, copy_folder};
use crate::support::{program, repository, repository_files};

/// The real Nix on a copy of the repository, with a store and a HOME of its own.
struct Nix {
    folder: TempDir,
}

impl Nix {
    fn new() -> Nix {
        let nix = Nix { folder: tempfile::tempdir().unwrap() };
        for file in repository_files() {
            let target = nix.at("source").join(&file);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(repository().join(&file), target).unwrap();
        }
        copy_folder(&repository().join("tests/support/nixpkgs"), &nix.at("nixpkgs"));
        std::fs::write(nix.at("nixpkgs/program"), env!("CARGO_BIN_EXE_monprov")).unwrap();
        std::fs::create_dir(nix.at("conf")).unwrap();
        std::fs::write(
            nix.at("conf/nix.conf"),
            "sandbox = false\nbuild-users-group =\nsubstituters =\nflake-registry =\n\
             extra-experimental-features = nix-command flakes\n",
        )
        .unwrap();
        nix
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str], attribute: &str) -> Output {
        let stub = format!("path:{}", self.at("nixpkgs").display());
        Command::new(program("nix"))
            .args(args)
            .args(["--offline", "--no-write-lock-file", "--override-input", "nixpkgs", &stub])
            .arg(format!("path:{}{attribute}", self.at("source").display()))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("NIX_CONF_DIR", self.at("conf"))
            .output()
            .unwrap()
    }

    /// A run in a store of its own that need not be `/nix/store`.
    fn succeeds(&self, args: &[&str], attribute: &str) -> String {
        let store =
            format!("local?store={0}/store&state={0}/state&log={0}/log", self.folder.path().display());
        let output = self.run(&[args, &["--store", &store]].concat(), attribute);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str], attribute: &str) -> Value {
        serde_json::from_str(&self.succeeds(&[args, &["--json"]].concat(), attribute)).unwrap()
    }

    /// The path of a bundle that Nix builds, in a store whose paths are those of `/nix/store`:
    /// such builds need the sandbox, into which the programs of this machine are let.
    fn bundle(&self, arguments: &str) -> Result<String, String> {
        let stub = self.at("nixpkgs");
        let apply = format!(
            "mkBundle: let pkgs = (builtins.getFlake \"path:{}\").legacyPackages.${{builtins.currentSystem}}; \
             in \"${{mkBundle ({{ inherit pkgs; }} // {{ {arguments} }})}}\"",
            stub.display()
        );
        let root = self.at("root");
        let folder = Path::new(env!("CARGO_BIN_EXE_monprov")).parent().unwrap().display();
        let visible = format!("/bin /lib /lib64? /usr {folder}");
        let args = ["eval", "--impure", "--raw", "--apply", &apply, "--store", root.to_str().unwrap()];
        let sandbox = ["--option", "sandbox", "true", "--option", "sandbox-paths", &visible, "-L"];
        let output = self.run(&[&args[..], &sandbox].concat(), "#lib.mkBundle");
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(said) }
    }
}

#[test]
fn flake_evaluates_on_every_system() {
    let nix = Nix::new();
    let name = concat!("monprov-", env!("CARGO_PKG_VERSION"));
    let shown = nix.json(&["flake", "show"], "");
    for system in ["x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"] {
        assert_eq!(shown["packages"][system]["default"]["name"], name);
        assert_eq!(shown["devShells"][system]["default"]["type"], "derivation");
        assert_eq!(shown["packages"][system]["image"]["type"], "derivation");
        assert_eq!(shown["checks"][system]["bundle"]["name"], "monprov-prod");
    }
    assert_eq!(shown["overlays"]["default"]["type"], "nixpkgs-overlay");
    assert_eq!(shown["nixosModules"]["default"]["type"], "nixos-module");
    let image = "#packages.x86_64-linux.image.contents";
    let contents = nix.json(&["eval", "--apply", "map (package: package.name)"], image);
    assert_eq!(contents, json!([name, "busybox", "cacert"]));

    let shell = "#devShells.x86_64-linux.default.packages";
    let tools = nix.json(&["eval", "--apply", "map (package: package.name)"], shell);
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
fn its_checks_pass() {
    Nix::new().succeeds(&["flake", "check"], "");
}

#[test]
fn the_overlay_brings_the_package() {
    let nix = Nix::new();
    let apply = format!(
        "overlay: (overlay (builtins.getFlake \"path:{}\").legacyPackages.x86_64-linux {{ }}).monprov.name",
        nix.at("nixpkgs").display()
    );
    let name = nix.json(&["eval", "--impure", "--apply", &apply], "#overlays.default");
    assert_eq!(name, concat!("monprov-", env!("CARGO_PKG_VERSION")));
}

#[test]
fn nix_builds_the_bundle_that_monprov_builds() {
    let project = Project::reference();
    let ours = project.run("build prod --env-file profiles/prod.env.example --oracle off").succeeds();
    let ours = ours.last_line().rsplit_once('/').unwrap().1.to_owned();
    let nix = Nix::new();
    let root = project.root().display();
    let arguments =
        format!("project = {root}; profile = \"prod\"; envFiles = [ {root}/profiles/prod.env.example ];");
    assert_eq!(nix.bundle(&arguments).unwrap(), format!("/nix/store/{ours}"));
    let (built, own) = (nix.at("root/nix/store").join(&ours), project.path(".monprov/store").join(&ours));
    assert_eq!(hash_directory(&built).unwrap(), hash_directory(&own).unwrap());
}

#[test]
fn variables_reach_the_bundle_as_they_are() {
    let profile = "[stack]\nruntime = \"process\"\n[vars]\nname = {}\nWORDS = {}\n\
                   [services.one]\nprogram = \"sh\"\nargs = [\"-c\", \"${var.name} ${var.WORDS}\"]\n";
    let project = Project::empty().file("profiles/p.toml", profile);
    // `name` is a variable of every build of Nix, and has to be that of the profile.
    let mut command = project.command(["build", "p", "--oracle", "off"]);
    command.env("name", "here").env("WORDS", "it's \"quoted\" \\ $HOME\nand long");
    let ours = project.output(command).succeeds().last_line().rsplit_once('/').unwrap().1.to_owned();
    let nix = Nix::new();
    let project = format!("project = {}; profile = \"p\";", project.root().display());
    let variables = r#"variables = { name = "here"; WORDS = "it's \"quoted\" \\ $HOME\nand long"; };"#;
    assert_eq!(nix.bundle(&format!("{project} {variables}")).unwrap(), format!("/nix/store/{ours}"));

    let said = nix.bundle(&project).unwrap_err();
    assert!(said.contains("variable `name` has no value"), "{said}");
}

#[test]
fn nixos_brings_the_current_generations_up_at_boot() {
    let nix = Nix::new();
    let apply = format!("import {}/tests/support/nixpkgs/nixos.nix", repository().display());
    let made = nix.json(&["eval", "--impure", "--apply", &apply], "#nixosModules.default");
    let services = &made["services"];

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

#[test]
fn nixos_follows_a_channel() {
    let nix = Nix::new();
    let apply = format!("import {}/tests/support/nixpkgs/nixos.nix", repository().display());
    let made = nix.json(&["eval", "--impure", "--apply", &apply], "#nixosModules.default");
    let services = &made["services"];

    // Under Compose, who follows brings up what is there, too.
    assert!(services["monprov-site"].is_null());
    assert_eq!(
        services["monprov-follow-site"]["serviceConfig"]["ExecStart"],
        "monprov/bin/monprov --state-dir /var/lib/monprov follow --every 60s --textfile /var/lib/node/site.prom \
         https://cache.example.org site"
    );
    // Programs end with their supervisor, so that has a unit of its own.
    let edge = &services["monprov-edge"]["serviceConfig"];
    assert_eq!(edge["ExecStart"], "monprov/bin/monprov --state-dir /var/lib/monprov up --no-build edge");
    assert_eq!(services["monprov-follow-edge"]["serviceConfig"]["Restart"], "on-failure");
    assert!(services["monprov-follow-small"].is_null());

    let trust = made["etc"]["monprov/trust.toml"]["text"].as_str().unwrap();
    let trust: toml::Table = trust.parse().unwrap();
    assert_eq!(trust["keys"], toml::Value::from(vec!["fleet-1:cHVibGlj"]));
    assert_eq!(trust["required"], toml::Value::from(true));
}
