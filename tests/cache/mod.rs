//! Binary caches: what is pushed and pulled, with the real Nix, real servers, and those who
//! mean harm.

mod attacks;
mod cut;
mod faults;
mod nix;
mod places;

use std::path::{Path, PathBuf};

use monprov::bundle::StoreName;
use monprov::store::{Store, StorePath};
use monprov::trust::SecretKey;

use crate::support::bundles::{activate, is_intact, put};
use crate::support::project::Project;

/// A project with an activated bundle of `prod`, a key, and a folder for a cache.
struct Origin {
    project: Project,
    store: Store,
    bundle: StorePath,
}

impl Origin {
    fn new() -> Self {
        let project = Project::empty();
        let store = Store::open(&project.path(".monprov")).unwrap();
        let bundle = put(&store, "prod", "one");
        activate(&store, &bundle);
        write_key(&project, "key", "fleet-1", 1);
        Origin { project, store, bundle }
    }

    fn name(&self) -> &StoreName {
        self.bundle.name()
    }

    fn cache(&self) -> PathBuf {
        self.project.path("cache")
    }

    fn url(&self) -> String {
        format!("file://{}", self.cache().display())
    }

    /// The signed bundle in the cache, and its channel.
    fn pushed(self) -> Self {
        self.project.run(&format!("push prod {} --key key --channel", self.url())).succeeds();
        self
    }

    fn narinfo(&self) -> PathBuf {
        self.cache().join(format!("{}.narinfo", self.name().id()))
    }

    /// The only archive.
    fn archive(&self) -> PathBuf {
        let mut archives = std::fs::read_dir(self.cache().join("nar")).unwrap();
        archives.next().unwrap().unwrap().path()
    }
}

/// The key that a seed gives; names are as they come.
fn key(name: &str, seed: u8) -> SecretKey {
    SecretKey::generate(name, &[seed; 32]).unwrap()
}

fn write_key(project: &Project, file: &str, name: &str, seed: u8) {
    use std::os::unix::fs::PermissionsExt as _;
    project.write(file, format!("{}\n", *key(name, seed).expose()));
    std::fs::set_permissions(project.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A machine without a project: a state directory and a trust file that demands `keys`.
fn host(keys: &[&SecretKey]) -> Project {
    let keys: Vec<String> = keys.iter().map(|key| format!("\"{}\"", key.public())).collect();
    let host = Project::empty();
    std::fs::remove_dir(host.path("profiles")).unwrap();
    let trust = host.path("trust.toml");
    let host = host.file("trust.toml", format!("keys = [{}]\nrequired = true\n", keys.join(", ")));
    let state = host.path("state").display().to_string();
    host.env("MONPROV_TRUST", &trust.display().to_string()).env("MONPROV_STATE_DIR", &state)
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Nothing came: neither a bundle nor a part of one.
fn assert_nothing_came(host: &Project) {
    assert_eq!(names(&host.path("state/store")), Vec::<String>::new());
}

#[test]
fn a_bundle_goes_through_a_cache_with_its_signatures_and_channel() {
    let origin = Origin::new().pushed();
    let host = host(&[&key("fleet-1", 1)]);
    let output = host.run(&format!("pull prod {} --out-link result", origin.url())).succeeds();
    let path = host.path("state/store").join(origin.name().as_str());
    assert_eq!(output.last_line(), format!("$PROJECT/state/store/{}", origin.name()));
    assert!(output.stderr.contains("signed by fleet-1"), "{}", output.stderr);
    assert!(is_intact(&path));
    assert_eq!(std::fs::read_link(host.path("result")).unwrap(), path);
    // It is all there: what the record knows of its files, and who signed it.
    let store = Store::open(&host.path("state")).unwrap();
    let pulled = store.find("prod").unwrap();
    let record = |store: &Store, path| store.record(path).unwrap().unwrap().files;
    assert_eq!(record(&store, &pulled), record(&origin.store, &origin.bundle));
    assert_eq!(store.signatures(origin.name()).unwrap(), origin.store.signatures(origin.name()).unwrap());
    // By name, and once more: nothing is transferred.
    let again = host.run(&format!("pull {} {}", origin.name(), origin.url())).succeeds();
    assert!(again.stderr.contains("was here"), "{}", again.stderr);
}

/// A host has no profile from which it could be mended.
#[test]
fn what_was_changed_on_disk_is_mended_from_the_cache() {
    use std::os::unix::fs::PermissionsExt as _;
    let origin = Origin::new().pushed();
    let host = host(&[&key("fleet-1", 1)]);
    let pull = || host.run(&format!("pull prod {}", origin.url())).succeeds();
    pull();
    let path = host.path("state/store").join(origin.name().as_str());
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o755);
    mode(&path.join("empty"), 0o644);
    std::fs::write(path.join("empty"), "no more").unwrap();
    std::fs::write(path.join("added"), "").unwrap();
    assert!(!is_intact(&path));
    pull();
    assert!(is_intact(&path));
    let store = Store::open(&host.path("state")).unwrap();
    assert_eq!(store.verify(&store.find("prod").unwrap()).unwrap(), []);
    assert_eq!(names(&host.path("state/store")), [origin.name().as_str()]);
}

#[test]
fn what_is_there_is_not_pushed_again_but_new_signatures_are() {
    let origin = Origin::new();
    let push =
        |more: &str| origin.project.run(&format!("push prod {} {more}", origin.url())).succeeds().stderr;
    assert!(push("").contains("not signed"));
    assert!(push("").contains("was there, not signed"));
    let written = std::fs::metadata(origin.archive()).unwrap().modified().unwrap();
    assert!(push("--key key").contains("was there, signatures added, signed by fleet-1"));
    write_key(&origin.project, "other", "audit-1", 2);
    assert!(push("--key other").contains("signed by fleet-1, audit-1"));
    assert_eq!(std::fs::metadata(origin.archive()).unwrap().modified().unwrap(), written);
    // An archive that was lost comes again.
    std::fs::remove_file(origin.archive()).unwrap();
    push("");
    assert!(origin.archive().exists());
}

#[test]
fn every_bundle_is_pushed_and_copied_from_cache_to_cache() {
    let origin = Origin::new();
    for seed in ["two", "three"] {
        put(&origin.store, "prod", seed);
    }
    origin.project.run(&format!("push --all {} --key key", origin.url())).succeeds();
    let all: Vec<String> = origin.store.list().unwrap().iter().map(|path| path.name().to_string()).collect();
    assert_eq!(all.len(), 3);
    let second = format!("file://{}", origin.project.path("second").display());
    let host = host(&[&key("fleet-1", 1)]);
    host.run(&format!("copy {} {second} {}", origin.url(), all.join(" "))).succeeds();
    std::fs::remove_dir_all(origin.cache()).unwrap();
    host.run(&format!("pull {} {second}", all.join(" "))).succeeds();
    for name in all {
        assert!(is_intact(&host.path("state/store").join(name)));
    }
}

#[test]
fn a_channel_counts_up_and_says_why() {
    let origin = Origin::new().pushed();
    let two = put(&origin.store, "prod", "two");
    let url = origin.url();
    let push =
        |what: &str, more: &str| origin.project.run(&format!("push {what} {url} --channel --key key {more}"));
    push(two.name().as_str(), "").succeeds();
    let back = push("prod", "--rollback --reason slow --json").succeeds();
    let said: serde_json::Value = serde_json::from_str(&back.stdout).unwrap();
    let pointer = &said["channels"][0];
    assert_eq!(pointer["serial"], 3);
    assert_eq!(pointer["bundle"], origin.name().as_str());
    assert_eq!((&pointer["rollback"], &pointer["reason"]), (&true.into(), &"slow".into()));
    // Without a key there is no channel, and nobody counts on from what others signed.
    origin.project.run(&format!("push prod {url} --channel")).exits(1);
    write_key(&origin.project, "other", "other-1", 9);
    let other = origin.project.run(&format!("push prod {url} --channel --key other")).exits(3);
    assert!(other.stderr.contains("nothing here trusts the key `fleet-1`"), "{}", other.stderr);
    origin.project.run(&format!("push prod {url} --channel --key other --serial 9")).succeeds();
}

#[test]
fn a_cache_keeps_what_a_channel_names_and_forgets_what_is_old() {
    let origin = Origin::new();
    let url = origin.url();
    let old: Vec<StorePath> = ["a", "b", "c"].iter().map(|seed| put(&origin.store, "prod", seed)).collect();
    let other = put(&origin.store, "tools", "other");
    // The one that the channel names is the oldest of all.
    origin.project.run(&format!("push prod {url} --channel --key key")).succeeds();
    for path in old.iter().chain([&other]) {
        origin.project.run(&format!("push {} {url}", path.name())).succeeds();
    }
    for (age, path) in (1..).zip([&origin.bundle, &old[0], &old[1], &old[2]]) {
        let file = std::fs::File::options()
            .append(true)
            .open(origin.cache().join(format!("{}.narinfo", path.name().id())))
            .unwrap();
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(86400 * (10 - age));
        file.set_modified(time).unwrap();
    }
    let lost = origin.cache().join("nar/lost.nar.zst");
    std::fs::write(&lost, "x").unwrap();
    let list = origin.project.run(&format!("cache list {url}")).succeeds().stdout;
    assert!(list.contains("channel, serial 1") && list.contains(other.name().as_str()), "{list}");

    let dry = origin.project.run(&format!("cache gc {url} --keep 1 --dry-run")).succeeds();
    assert_eq!(dry.stdout.lines().count(), 2, "{}", dry.stdout);
    origin.project.run(&format!("cache gc {url} --older-than 30d")).succeeds();
    assert_eq!(names(&origin.cache()).iter().filter(|name| name.ends_with(".narinfo")).count(), 5);
    origin.project.run(&format!("cache gc {url} --keep 1")).succeeds();
    let mut left: Vec<String> = [&origin.bundle, &old[2], &other]
        .iter()
        .map(|path| format!("{}.narinfo", path.name().id()))
        .collect();
    left.sort();
    let found: Vec<_> =
        names(&origin.cache()).into_iter().filter(|name| name.ends_with(".narinfo")).collect();
    assert_eq!(found, left, "the channel's, the newest, and that of a profile without a channel");
    // An archive that nothing names yet may be one that is just being pushed.
    assert!(lost.exists());
    assert_eq!(names(&origin.cache().join("nar")).len(), 4);
    let file = std::fs::File::options().append(true).open(&lost).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(90_000)).unwrap();
    origin.project.run(&format!("cache gc {url}")).succeeds();
    assert!(!lost.exists());
}

#[test]
fn what_to_push_is_named_or_all_of_it() {
    let origin = Origin::new();
    for args in [origin.url(), format!("--all prod {}", origin.url())] {
        let wrong = origin.project.run(&format!("push {args}")).exits(2);
        assert!(wrong.stderr.contains("name what to push and then the URL"), "{}", wrong.stderr);
    }
    assert!(!origin.cache().exists());
}

#[test]
fn urls_that_are_no_cache_say_what_one_looks_like() {
    let host = host(&[]);
    for (url, said) in [
        ("cache", "it has no scheme; write `file:///DIR`"),
        ("ftp://x/y", "nothing is known of `ftp`"),
        ("file:///nowhere/at/all", "there is no folder /nowhere/at/all"),
        ("s3://bucket?colour=red", "nothing is known of the parameter `colour`"),
        ("https://user:secret@", "`https://…@` is no cache"),
    ] {
        let output = host.run(&format!("pull prod {url}")).exits(1);
        assert!(output.stderr.contains(said), "{url}: {}", output.stderr);
        assert!(!output.stderr.contains("secret"), "{}", output.stderr);
    }
}
