//! Whom a machine trusts decides what it runs: signed by whom, revoked, marked as bad.

use std::os::unix::fs::PermissionsExt as _;

use monprov::store::{Store, StorePath};
use monprov::trust::SecretKey;
use serde_json::Value;

use crate::support::bundles::{activate, put};
use crate::support::project::Project;

fn key(name: &str, seed: u8) -> SecretKey {
    SecretKey::generate(name, &[seed; 32]).unwrap()
}

/// A project of `prod` whose profile demands a signature of `fleet-1` or `fleet-2`.
struct Site {
    project: Project,
    store: Store,
}

impl Site {
    fn new() -> Self {
        let project = Project::empty();
        for (file, key) in
            [("one", key("fleet-1", 1)), ("two", key("fleet-2", 2)), ("other", key("other", 3))]
        {
            project.write(file, format!("{}\n", *key.expose()));
            std::fs::set_permissions(project.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let store = Store::open(&project.path(".monprov")).unwrap();
        let site = Site { project, store };
        site.trust("");
        site
    }

    fn trust(&self, more: &str) {
        let keys = format!("\"{}\", \"{}\"", key("fleet-1", 1).public(), key("fleet-2", 2).public());
        self.project
            .write("profiles/prod.toml", format!("[trust]\nkeys = [{keys}]\nrequired = true\n{more}"));
    }

    fn put(&self, seed: &str) -> StorePath {
        put(&self.store, "prod", seed)
    }

    fn sign(&self, bundle: &StorePath, key: &str) {
        self.project.run(&format!("sign {} --key {key}", bundle.name())).succeeds();
    }

    /// What `activate` says, and its exit code.
    fn activate(&self, bundle: &StorePath) -> (i32, String) {
        let output = self.project.run(&format!("activate {} --runtime none", bundle.name()));
        (output.code, output.stderr)
    }

    fn current(&self) -> String {
        self.store.current("prod").unwrap().unwrap().bundle.to_string()
    }
}

#[test]
fn only_what_a_trusted_key_signed_is_activated() {
    let site = Site::new();
    let bundle = site.put("one");
    let (code, said) = site.activate(&bundle);
    assert_eq!(code, 3);
    assert!(said.contains("it has no signature: sign it with fleet-1 or fleet-2"), "{said}");
    site.sign(&bundle, "other");
    let (code, said) = site.activate(&bundle);
    assert_eq!(code, 3);
    assert!(said.contains("nothing here trusts the key `other`"), "{said}");
    // Not even by force, which is for bundles that failed.
    site.project.run(&format!("activate {} --runtime none --force", bundle.name())).exits(3);
    assert_eq!(site.store.current("prod").unwrap(), None);
    site.sign(&bundle, "two");
    assert_eq!(site.activate(&bundle).0, 0);
    assert_eq!(site.current(), bundle.name().to_string());
}

#[test]
fn a_signature_that_was_edited_is_no_signature() {
    let site = Site::new();
    let (bundle, other) = (site.put("one"), site.put("two"));
    site.sign(&other, "one");
    let signatures = site.project.path(".monprov/signatures");
    std::fs::copy(signatures.join(other.name().as_str()), signatures.join(bundle.name().as_str())).unwrap();
    let (code, said) = site.activate(&bundle);
    assert!(code == 3 && said.contains("the signature of `fleet-1` is not of this content"), "{said}");
    let verify = site.project.run("verify --json").exits(1);
    let json: Value = serde_json::from_str(&verify.stdout).unwrap();
    assert_eq!(json["signatures"]["trusted"], 1);
    assert_eq!(json["signatures"]["wrong"].as_array().unwrap().len(), 1);
    assert_eq!(json["changed"], serde_json::json!([]));
    site.sign(&bundle, "one");
    site.project.run("verify").succeeds();
    std::fs::write(signatures.join(bundle.name().as_str()), "rubbish").unwrap();
    let (code, said) = site.activate(&bundle);
    assert!(code == 1 && said.contains("remove the file and sign the bundle again"), "{said}");
    site.sign(&bundle, "one");
    assert_eq!(site.activate(&bundle).0, 0);
}

#[test]
fn a_rollback_goes_only_to_what_is_still_trusted() {
    let site = Site::new();
    let [oldest, old, now] = ["oldest", "old", "now"].map(|seed| site.put(seed));
    for (bundle, key) in [(&oldest, "two"), (&old, "one"), (&now, "two")] {
        site.sign(bundle, key);
        assert_eq!(site.activate(bundle).0, 0);
    }
    // The key that signed the one before was lost.
    site.trust("revoked = [\"fleet-1\"]\n");
    let refused = site.project.run("rollback --runtime none").exits(3);
    assert!(refused.stderr.contains("the key `fleet-1` that signed it was revoked"), "{}", refused.stderr);
    assert_eq!(site.current(), now.name().to_string());
    // Older, and signed by the key that is left; unless it is known to be bad.
    site.trust(&format!("revoked = [\"fleet-1\"]\nbad = [\"{}\"]\n", oldest.name()));
    let bad = site.project.run("rollback --to 1 --runtime none").exits(3);
    assert!(bad.stderr.contains("is marked as bad"), "{}", bad.stderr);
    site.trust("revoked = [\"fleet-1\"]\n");
    site.project.run("rollback --to 1 --runtime none").succeeds();
    assert_eq!(site.current(), oldest.name().to_string());
    // Signed again by the new key, what was refused is taken.
    site.sign(&old, "two");
    assert_eq!(site.activate(&old).0, 0);
}

#[test]
fn a_bad_bundle_is_refused_also_where_no_signature_is_demanded() {
    let site = Site::new();
    let bundle = site.put("one");
    site.project.write("profiles/prod.toml", format!("[trust]\nbad = [\"{}\"]\n", bundle.name()));
    assert_eq!(site.activate(&bundle).0, 3);
    site.project.write("profiles/prod.toml", "");
    assert_eq!(site.activate(&bundle).0, 0);
}

/// The machine's own file and the variable's add up with the profile; none weakens another.
#[test]
fn policies_add_up() {
    let site = Site::new();
    let bundle = site.put("one");
    site.sign(&bundle, "one");
    let file = site.project.path("trust.toml").display().to_string();
    let site = Site { project: site.project.env("MONPROV_TRUST", &file), store: site.store };
    let (code, said) = site.activate(&bundle);
    assert!(code == 1 && said.contains("the trust file"), "a file that is named must be there: {said}");
    site.project.write("trust.toml", "revoked = [\"fleet-1\"]\nrequired = false\n");
    assert_eq!(site.activate(&bundle).0, 3);
    site.project.write("trust.toml", "require = true\n");
    let (code, said) = site.activate(&bundle);
    assert!(code == 1 && said.contains("unknown field `require`"), "{said}");
    site.project.write("trust.toml", "");
    assert_eq!(site.activate(&bundle).0, 0);
    // A trust file alone demands as well.
    site.project.write("profiles/prod.toml", "");
    site.project.write("trust.toml", "required = true\n");
    let (code, said) = site.activate(&site.put("two"));
    assert!(code == 3 && said.contains("no key is trusted here"), "{said}");
}

/// In the middle of an edit a rollback must be possible, but not past what the profile demands.
#[test]
fn a_profile_that_can_not_be_built_still_says_whom_to_trust() {
    let site = Site::new();
    let bundle = site.put("one");
    site.trust("[alerts.X]\nexpr = \"up ==\"\nunknown = 1\n[services.y]\nextra = \"${var.MISSING}\"\n");
    assert_eq!(site.activate(&bundle).0, 3);
    site.sign(&bundle, "one");
    assert_eq!(site.activate(&bundle).0, 0);
    // Whom it trusts can't be told, so nobody is.
    site.trust("\n[broken");
    let (code, said) = site.activate(&site.put("two"));
    assert!(code == 1 && said.contains("says whom to trust and can't be read"), "{said}");
    // Without a word of trust, a broken layer stops nobody.
    site.project.write("profiles/prod.toml", "[broken");
    assert_eq!(site.activate(&site.put("three")).0, 0);
}

#[test]
fn a_key_is_made_once_and_shown_in_part() {
    let project = Project::empty();
    let made = project.run("key generate fleet-1 --out secret").succeeds();
    let public = made.last_line().to_owned();
    assert!(public.starts_with("fleet-1:") && public.len() == "fleet-1:".len() + 44, "{public}");
    let mode = std::fs::metadata(project.path("secret")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let secret = project.read("secret");
    let inner = &secret.trim()["fleet-1:".len()..][..40];
    assert!(!made.stdout.contains(inner) && !made.stderr.contains(inner));
    assert_eq!(project.run("key public secret").succeeds().last_line(), public);
    let again = project.run("key generate fleet-1 --out secret").exits(1);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(project.read("secret"), secret);
    project.run("key generate a:b --out other").exits(1);
    project.write("public", &public);
    let wrong = project.run("key public public").exits(1);
    assert!(wrong.stderr.contains("`fleet-1` is a public key"), "{}", wrong.stderr);
    // A key that others can read is warned of.
    std::fs::set_permissions(project.path("secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&project.path(".monprov")).unwrap();
    activate(&store, &put(&store, "prod", "one"));
    let signed = project.run("sign prod --key secret").succeeds();
    assert!(signed.stderr.contains("can be read by others"), "{}", signed.stderr);
}

const PROFILE: &str = "[stack]\nruntime = \"process\"\n[services.prometheus]\nkind = \"prometheus\"\nprogram = \"prometheus\"\n\
                       port = 9090\nimage = \"prom/prometheus:v3.14.0\"\n";

/// Whom to trust is no part of what a bundle is: another key moves no bundle.
#[test]
fn a_build_signs_and_trust_changes_no_bundle() {
    let site = Site::new();
    let build = |more: &str| {
        site.project.run(&format!("build prod --oracle off {more}")).succeeds().last_line().to_owned()
    };
    site.project.write("profiles/prod.toml", PROFILE);
    let plain = build("");
    site.trust(PROFILE);
    assert_eq!(build("--key one"), plain);
    site.trust(&format!("revoked = [\"fleet-1\"]\n{PROFILE}"));
    assert_eq!(build("--key two"), plain);
    let bundle = site.store.list().unwrap().remove(0);
    let by: Vec<_> = site.store.signatures(bundle.name()).unwrap();
    assert_eq!(by.iter().map(|signature| signature.name()).collect::<Vec<_>>(), ["fleet-1", "fleet-2"]);
    // What it can't say is said where it stands.
    site.trust(&format!("revoked = [\"{}\"]\n{PROFILE}", key("x", 1).public()));
    let wrong = site.project.run("build prod --oracle off").exits(3);
    assert!(
        wrong.stderr.contains("M801") && wrong.stderr.contains("profiles/prod.toml:4"),
        "{}",
        wrong.stderr
    );
}
