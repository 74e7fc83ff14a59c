//! The real Nix takes what we wrote, and we take what it wrote.

use std::process::{Command, Output};

use monprov::store::Store;
use tempfile::TempDir;

use super::{Origin, host, key, names};
use crate::support::bundles::is_intact;

/// The real Nix with a store of its own, whose paths are those of `/nix/store`.
struct Nix(TempDir);

impl Nix {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let settings = "sandbox = false\nbuild-users-group =\nsubstituters =\n\
                        experimental-features = nix-command\n";
        std::fs::write(directory.path().join("nix.conf"), settings).unwrap();
        Nix(directory)
    }

    fn root(&self) -> String {
        self.0.path().join("root").display().to_string()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut nix = Command::new("nix");
        nix.env("NIX_CONF_DIR", self.0.path()).env("HOME", self.0.path()).args(args);
        nix.output().unwrap_or_else(|error| panic!("nix is needed for this test: {error}"))
    }

    #[track_caller]
    fn succeeds(&self, args: &[&str]) {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn nix_copies_and_verifies_what_was_pushed() {
    let (origin, nix) = (Origin::new().pushed(), Nix::new());
    let (root, path) = (nix.root(), format!("/nix/store/{}", origin.name()));
    let public = key("fleet-1", 1).public().to_string();
    let copy = |trusted: &str| {
        nix.run(&[
            "copy",
            "--from",
            &origin.url(),
            "--to",
            &root,
            &path,
            "--option",
            "trusted-public-keys",
            trusted,
        ])
    };
    let stranger = key("fleet-1", 2).public().to_string();
    for trusted in ["", &stranger] {
        let refused = copy(trusted);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("lacks a valid signature"), "{said}");
    }
    let taken = copy(&public);
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    assert!(is_intact(&std::path::Path::new(&root).join("nix/store").join(origin.name().as_str())));

    let verify = |trusted: &str| {
        nix.run(&[
            "store",
            "verify",
            "--store",
            &root,
            "--sigs-needed",
            "1",
            &path,
            "--option",
            "trusted-public-keys",
            trusted,
        ])
    };
    assert!(verify(&public).status.success());
    assert!(!verify(&stranger).status.success());
    nix.succeeds(&["path-info", "--store", &origin.url(), &path]);
}

#[test]
fn what_nix_wrote_is_pulled_however_it_is_compressed() {
    let (origin, nix) = (Origin::new().pushed(), Nix::new());
    let (root, path) = (nix.root(), format!("/nix/store/{}", origin.name()));
    let public = key("fleet-1", 1).public().to_string();
    nix.succeeds(&[
        "copy",
        "--from",
        &origin.url(),
        "--to",
        &root,
        &path,
        "--option",
        "trusted-public-keys",
        &public,
    ]);
    for compression in ["", "?compression=xz", "?compression=zstd", "?compression=none"] {
        let cache = origin.project.path(&format!("nix{}", compression.replace('?', "-")));
        let url = format!("file://{}{compression}", cache.display());
        nix.succeeds(&["copy", "--from", &root, "--to", &url, &path]);
        let host = host(&[&key("fleet-1", 1)]);
        host.run(&format!("pull {} {url}", origin.name())).succeeds();
        assert!(is_intact(&host.path("state/store").join(origin.name().as_str())), "{compression}");
    }
    let cache = origin.project.path("nix-bzip2");
    nix.succeeds(&[
        "copy",
        "--from",
        &root,
        "--to",
        &format!("file://{}?compression=bzip2", cache.display()),
        &path,
    ]);
    let refused = host(&[]).run(&format!("pull {} file://{}", origin.name(), cache.display())).exits(3);
    assert!(refused.stderr.contains("write it with `compression=zstd`"), "{}", refused.stderr);
}

/// What Nix signs with a key that it made is taken where that key is trusted.
#[test]
fn keys_and_signatures_are_those_of_nix() {
    let (origin, nix) = (Origin::new(), Nix::new());
    let file = |name: &str| nix.0.path().join(name).display().to_string();
    let (secret, public) = (file("secret"), file("public"));
    let made = Command::new("nix-store")
        .env("NIX_CONF_DIR", nix.0.path())
        .args(["--generate-binary-cache-key", "nix-1", &secret, &public])
        .output()
        .unwrap();
    assert!(made.status.success());
    let public = std::fs::read_to_string(public).unwrap();
    assert_eq!(origin.project.run(&format!("key public {secret}")).succeeds().last_line(), public.trim());

    // Added by Nix, so it is content-addressed there, and signed by it.
    let (root, folder) = (nix.root(), TempDir::new().unwrap());
    let copy = folder.path().join("prod");
    assert!(Command::new("cp").arg("-r").arg(origin.bundle.path()).arg(&copy).status().unwrap().success());
    let added = Command::new("nix-store")
        .env("NIX_CONF_DIR", nix.0.path())
        .args(["--store", &root, "--add"])
        .arg(&copy)
        .output()
        .unwrap();
    let path = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    assert_eq!(path, format!("/nix/store/{}", origin.name()));
    nix.succeeds(&["store", "sign", "--store", &root, "--key-file", &secret, &path]);
    nix.succeeds(&["copy", "--from", &root, "--to", &origin.url(), &path]);
    let host = host(&[]).file("trust.toml", format!("keys = [\"{}\"]\nrequired = true\n", public.trim()));
    let output = host.run(&format!("pull {} {}", origin.name(), origin.url())).succeeds();
    assert!(output.stderr.contains("signed by nix-1"), "{}", output.stderr);

    // We sign as it does: the same key over the same path gives the same bytes.
    origin.project.run(&format!("sign prod --key {secret}")).succeeds();
    let ours = origin.store.signatures(origin.name()).unwrap();
    let its = Store::open(&host.path("state")).unwrap().signatures(origin.name()).unwrap();
    assert_eq!(ours, its);
    assert_eq!(names(&host.path("state/signatures")), [origin.name().as_str()]);
}
