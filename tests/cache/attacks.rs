//! A cache in the hands of somebody who means harm. Whatever it serves, no bundle appears that
//! is not what its name says, and no signature counts that is not ours.

use std::io::Write as _;
use std::path::Path;

use monprov::bundle::{NarHash, StoreName};
use monprov::cache::narinfo::{Compression, NarInfo};
use monprov::trust::{SecretKey, fingerprint};
use sha2::{Digest, Sha256};

use super::{Origin, assert_nothing_came, host, key};
use crate::support::project::{Output, Project};

fn ours() -> SecretKey {
    key("fleet-1", 1)
}

fn pull(origin: &Origin, host: &Project) -> Output {
    host.run(&format!("pull {} {}", origin.name(), origin.url()))
}

#[track_caller]
fn refused(origin: &Origin, said: &str) {
    let host = host(&[&ours()]);
    let output = pull(origin, &host).exits(3);
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_nothing_came(&host);
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// The value of a field of the pushed narinfo.
fn field(origin: &Origin, key: &str) -> String {
    let text = std::fs::read_to_string(origin.narinfo()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(&format!("{key}: "))).unwrap().to_owned()
}

/// Serves these bytes as the archive of the bundle, with a narinfo that fits them.
fn serve(origin: &Origin, bytes: &[u8], compression: Compression, nar_size: u64) {
    let file_hash: [u8; 32] = Sha256::digest(bytes).into();
    std::fs::write(origin.archive(), bytes).unwrap();
    let text = std::fs::read_to_string(origin.narinfo()).unwrap();
    let mut info = NarInfo::parse(&text, origin.name()).unwrap();
    (info.file_hash, info.file_size) = (Some(file_hash), Some(bytes.len() as u64));
    (info.compression, info.nar_size) = (compression, nar_size);
    // Signed by ourselves: what protects here is the hash alone.
    let text = fingerprint(&info.name, &info.nar_hash, nar_size);
    info.signatures = vec![ours().sign(text.as_bytes())];
    std::fs::write(origin.narinfo(), info.to_string()).unwrap();
}

fn serve_nar(origin: &Origin, nar: &[u8]) {
    serve(origin, &zstd::bulk::compress(nar, 3).unwrap(), Compression::Zstd, nar.len() as u64);
}

/// An archive out of its tokens.
fn archive(tokens: &[&str]) -> Vec<u8> {
    let mut bytes = vec![];
    for token in tokens {
        bytes.extend((token.len() as u64).to_le_bytes());
        bytes.extend(token.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

fn directory(inside: &[&str]) -> Vec<u8> {
    archive(&[&["nix-archive-1", "(", "type", "directory"], inside, &[")"]].concat())
}

fn file<'a>(name: &'a str, content: &'a str) -> Vec<&'a str> {
    vec!["entry", "(", "name", name, "node", "(", "type", "regular", "contents", content, ")", ")"]
}

#[test]
fn another_archive_under_the_right_name_is_refused() {
    let origin = Origin::new().pushed();
    // Another file under its name in the cache.
    let archive = origin.archive();
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, &bytes).unwrap();
    refused(&origin, "is refused");
    // A whole one, of a tree with one more byte, and a narinfo that fits.
    let evil = directory(&file("manifest.json", "{\"evil\":1}"));
    serve_nar(&origin, &evil);
    refused(&origin, "which is not the one in its name");
    // The hash of what comes does not even fit the narinfo.
    let origin = Origin::new().pushed();
    edit(
        &origin.narinfo(),
        &field(&origin, "FileHash"),
        &format!("sha256:{}", NarHash::from([7; 32]).base32()),
    );
    refused(&origin, "its hash is not the `FileHash` of its narinfo");
}

#[test]
fn a_narinfo_that_lies_is_refused() {
    let lie = |key: &str, to: &str, said: &str| {
        let origin = Origin::new().pushed();
        let from = format!("{key}: {}", field(&origin, key));
        edit(&origin.narinfo(), &from, &format!("{key}: {to}"));
        refused(&origin, said);
    };
    lie("StorePath", "/nix/store/jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod", "not of");
    lie("NarHash", &format!("sha256:{}", NarHash::from([7; 32]).base32()), "`NarHash` is not that of");
    // Its size is signed too.
    lie("NarSize", "999", "the signature of `fleet-1` is not of this content");
    lie("FileSize", "10", "is larger than the `FileSize`");
    lie("FileSize", "99999", "bytes of 99999");
    lie("URL", "../../etc/passwd", "leads out of the cache");
    lie("URL", "http://127.0.0.1:1/x", "leads out of the cache");
    lie("URL", "nar/missing.nar.zst", "the cache has its narinfo, but not the archive");
    lie("Compression", "none", "is refused");
    lie("Compression", "xz", "is refused");
    lie("References", "jiv7pv958p3njlg6hb4vnq0zp17jsziq-x", "refers to other store paths");
    let origin = Origin::new().pushed();
    std::fs::write(origin.narinfo(), "x".repeat(100_000)).unwrap();
    refused(&origin, "larger than 65536 bytes");
}

#[test]
fn keys_of_others_count_for_nothing() {
    let origin = Origin::new();
    origin.project.run(&format!("push prod {}", origin.url())).succeeds();
    refused(&origin, "it has no signature");
    let sign = |key: SecretKey| {
        let text = std::fs::read_to_string(origin.narinfo()).unwrap();
        let mut info = NarInfo::parse(&text, origin.name()).unwrap();
        let text = fingerprint(&info.name, &info.nar_hash, info.nar_size);
        info.signatures = vec![key.sign(text.as_bytes())];
        std::fs::write(origin.narinfo(), info.to_string()).unwrap();
    };
    sign(key("other-1", 2));
    refused(&origin, "nothing here trusts the key `other-1` that signed it");
    // Another fleet's key that calls itself as ours.
    sign(key("fleet-1", 2));
    refused(&origin, "the signature of `fleet-1` is not of this content");
    sign(ours());
    let revoked = host(&[&ours()]);
    let trust = format!("{}revoked = [\"fleet-1\"]\n", revoked.read("trust.toml"));
    revoked.write("trust.toml", trust);
    let output = pull(&origin, &revoked).exits(3);
    assert!(output.stderr.contains("the key `fleet-1` that signed it was revoked"), "{}", output.stderr);
    assert_nothing_came(&revoked);
    pull(&origin, &host(&[&ours()])).succeeds();
}

#[test]
fn a_signature_of_another_bundle_is_none_of_this_one() {
    let origin = Origin::new().pushed();
    let other = crate::support::bundles::put(&origin.store, "prod", "other");
    let signed = field(&origin, "Sig");
    origin.project.run(&format!("push {} {}", other.name(), origin.url())).succeeds();
    let narinfo = origin.cache().join(format!("{}.narinfo", other.name().id()));
    let text = std::fs::read_to_string(&narinfo).unwrap() + &format!("Sig: {signed}\n");
    std::fs::write(&narinfo, text).unwrap();
    let host = host(&[&ours()]);
    let output = host.run(&format!("pull {} {}", other.name(), origin.url())).exits(3);
    assert!(output.stderr.contains("is not of this content"), "{}", output.stderr);
    // Nor is the channel's signature one of a bundle, nor a pointer of another profile this one's.
    let channels = origin.cache().join("channels");
    std::fs::copy(channels.join("prod.json"), channels.join("staging.json")).unwrap();
    let output = host.run(&format!("pull staging {}", origin.url())).exits(3);
    assert!(output.stderr.contains("where `staging` was asked for"), "{}", output.stderr);
    assert_nothing_came(&host);
}

#[test]
fn a_truncated_or_endless_archive_is_refused() {
    let origin = Origin::new().pushed();
    let whole = std::fs::read(origin.archive()).unwrap();
    let nar = zstd::stream::decode_all(whole.as_slice()).unwrap();
    let size = nar.len() as u64;
    for length in [0, 1, 7, whole.len() / 2, whole.len() - 1] {
        serve(&origin, &whole[..length], Compression::Zstd, size);
        refused(&origin, "the archive of");
    }
    for length in [0, 8, nar.len() / 2, nar.len() - 1] {
        serve(&origin, &nar[..length], Compression::None, size);
        refused(&origin, "ends in the middle");
    }
    // Something behind it, compressed or not.
    serve(&origin, &[nar.as_slice(), b"more"].concat(), Compression::None, size);
    refused(&origin, "something after its end");
    serve(&origin, &[whole.as_slice(), b"more"].concat(), Compression::Zstd, size);
    refused(&origin, "the archive of");
    let twice = [whole.as_slice(), whole.as_slice()].concat();
    serve(&origin, &twice, Compression::Zstd, size);
    refused(&origin, "something after its end");
    serve(&origin, &whole, Compression::Zstd, size);
    pull(&origin, &host(&[&ours()])).succeeds();
}

/// A gigabyte of zeros in a hundred kilobytes: it stops where the narinfo's size stops, and a
/// narinfo that announces more than any bundle has is not even followed.
#[test]
fn a_bomb_bursts_at_the_size_that_was_announced() {
    let origin = Origin::new().pushed();
    let mut encoder = zstd::stream::write::Encoder::new(vec![], 1).unwrap();
    encoder
        .write_all(&archive(&[
            "nix-archive-1",
            "(",
            "type",
            "directory",
            "entry",
            "(",
            "name",
            "a",
            "node",
            "(",
            "type",
            "regular",
            "contents",
        ]))
        .unwrap();
    let content = 1_u64 << 30;
    encoder.write_all(&content.to_le_bytes()).unwrap();
    for _ in 0..256 {
        encoder.write_all(&vec![0; 4 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    serve(&origin, &bomb, Compression::Zstd, 5000);
    refused(&origin, "more than its announced size: 5000");
    serve(&origin, &bomb, Compression::Zstd, 2 << 30);
    refused(&origin, "at most 1073741824 are taken");
    // A frame that wants more memory than any level needs.
    let mut encoder = zstd::stream::write::Encoder::new(vec![], 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    serve(&origin, &encoder.finish().unwrap(), Compression::Zstd, 5000);
    refused(&origin, "too much memory");
}

#[test]
fn links_and_names_that_lead_elsewhere_are_refused() {
    let origin = Origin::new().pushed();
    let link =
        |target| ["entry", "(", "name", "a", "node", "(", "type", "symlink", "target", target, ")", ")"];
    let outside = origin.project.path("outside");
    for (nar, said) in [
        (directory(&link("/etc")), "symbolic link \"a\""),
        // A link, and then a file through it.
        (directory(&[link("..").as_slice(), &file("a/b", "x")].concat()), "symbolic link"),
        (directory(&file("../outside", "x")), "has a `/` in it"),
        (directory(&file("..", "x")), "leads out of the directory"),
        (directory(&file(&outside.display().to_string(), "x")), "has a `/` in it"),
        (directory(&[file("b", "x"), file("a", "x")].concat()), "does not stand in its order"),
        (directory(&[file("a", "x"), file("a", "y")].concat()), "is there twice"),
        (directory(&[file("README", "x"), file("readme", "y")].concat()), "in its case only"),
    ] {
        serve_nar(&origin, &nar);
        refused(&origin, said);
    }
    assert!(!outside.exists());
    let deep = ["entry", "(", "name", "d", "node", "(", "type", "directory"].repeat(5000);
    serve_nar(&origin, &directory(&deep));
    refused(&origin, "directories within each other: 64");
}

/// A bundle that has such names is not even pushed.
#[test]
fn a_bundle_that_nobody_would_take_is_not_pushed() {
    let origin = Origin::new();
    let mut tree = monprov::bundle::Tree::new();
    tree.insert("rules/A.yml", "");
    tree.insert("rules/a.yml", "");
    let path = origin.store.put(&tree, "prod", &serde_json::Value::Null).unwrap();
    let output = origin.project.run(&format!("push {} {}", path.name(), origin.url())).exits(1);
    assert!(
        output.stderr.contains("differ in case only (\"rules/A.yml\" and \"rules/a.yml\")"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_bundle_that_was_changed_on_disk_is_not_pushed() {
    use std::os::unix::fs::PermissionsExt as _;
    let origin = Origin::new();
    let file = origin.bundle.path().join("empty");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, "no more").unwrap();
    let output = origin.project.run(&format!("push prod {} --key key", origin.url())).exits(3);
    assert!(output.stderr.contains("was changed after it was built"), "{}", output.stderr);
    assert!(!origin.narinfo().exists());
}

/// A whole cache copied from one that lies: it is not carried on.
#[test]
fn what_is_wrong_is_not_copied_either() {
    let origin = Origin::new().pushed();
    serve_nar(&origin, &directory(&file("manifest.json", "{}")));
    let second = origin.project.path("second");
    let output = host(&[&ours()])
        .run(&format!("copy {} file://{} {}", origin.url(), second.display(), origin.name()))
        .exits(3);
    assert!(output.stderr.contains("its content is not what its narinfo says"), "{}", output.stderr);
    assert_eq!(super::names(&second), ["nix-cache-info"]);
}

/// The name is all that a narinfo is believed for, and it is a hash.
#[test]
fn a_store_name_is_no_path() {
    let host = host(&[&ours()]);
    for name in ["../x", "..", "/etc/passwd", "0000000000000000000000000000000-prod"] {
        assert!(name.parse::<StoreName>().is_err());
        let output = host.run(&format!("pull {name} file://{}", host.root().display()));
        assert_ne!(output.code, 0, "{name}");
        assert_nothing_came(&host);
    }
}
