//! Pointers that a host must not take, whatever they are signed with.

use monprov::cache::Change;
use monprov::trust::SecretKey;

use super::{Host, ONE, Source, TWO};

/// A host on which the second of two bundles runs, by the second pointer; and the first pointer.
fn second() -> (Source, Host, [monprov::store::StorePath; 2], Vec<u8>) {
    let source = Source::new();
    let bundles = [source.build(ONE), source.build(TWO)];
    let host = Host::running(&source, &bundles[0]);
    let first = std::fs::read(source.channel()).unwrap();
    source.point(&bundles[1]);
    host.once().succeeds();
    host.runs(&bundles[1]);
    (source, host, bundles, first)
}

#[track_caller]
fn refused(host: &Host, runs: &monprov::store::StorePath, why: &str) {
    let seen = host.seen();
    let said = host.once().exits(3).stderr;
    assert!(said.contains(why), "{why} is not in\n{said}");
    host.runs(runs);
    assert_eq!(host.seen(), seen);
}

#[test]
fn an_old_pointer_that_is_served_again() {
    let (source, host, [_, two], first) = second();
    std::fs::write(source.channel(), first).unwrap();
    refused(&host, &two, "error[M830]: the pointer has the serial 1, and 2 was seen already");
    // Also from a host that has collected its generations since.
    host.run("gc --keep 1").succeeds();
    refused(&host, &two, "error[M830]");
}

#[test]
fn a_rollback_that_is_older_than_what_was_seen() {
    let (source, host, [one, two], _) = second();
    source.change(&one, Change { rollback: true, serial: Some(1), reason: None });
    refused(&host, &two, "error[M830]");
}

#[test]
fn another_bundle_under_the_same_serial() {
    let (source, host, [_, two], _) = second();
    let three = source.build("exec sleep 100003");
    source.push(&three);
    source.change(&three, Change { serial: Some(2), ..Change::default() });
    refused(&host, &two, "error[M831]: serial 2 is ");
}

#[test]
fn a_bundle_that_ran_before_without_a_word() {
    let (source, host, [one, two], _) = second();
    source.change(&one, Change::default());
    refused(&host, &two, &format!("error[M832]: {} ran before, and the pointer is no rollback", one.name()));
}

#[test]
fn the_key_of_another_fleet() {
    let (source, host, [_, two], _) = second();
    let three = source.build("exec sleep 100003");
    source.push(&three);
    let other = SecretKey::generate("fleet-1", &[9; 32]).unwrap();
    source.signed(&three, Change::default(), &other);
    refused(&host, &two, "the signature of `fleet-1` is not of this content");
    let stranger = SecretKey::generate("other", &[8; 32]).unwrap();
    source.signed(&three, Change { serial: Some(9), ..Change::default() }, &stranger);
    refused(&host, &two, "nothing here trusts the key `other`");
    // A host that trusts nobody takes nothing.
    source.change(&three, Change { serial: Some(9), ..Change::default() });
    host.trust(&[]);
    refused(&host, &two, "no key is trusted here");
}

#[test]
fn a_key_that_was_revoked_meanwhile() {
    let (source, host, [_, two], _) = second();
    let follow = host.follow(&["--every", "100ms", "--json"]);
    let text = std::fs::read_to_string(host.path("trust.toml")).unwrap();
    std::fs::write(host.path("trust.toml"), format!("{text}revoked = [\"fleet-1\"]\n")).unwrap();
    crate::support::wait_for(crate::support::GENEROUS, "refusal", || {
        follow.output().contains("was revoked").then_some(())
    });
    let three = source.build("exec sleep 100003");
    source.point(&three);
    refused(&host, &two, "the key `fleet-1` that signed it was revoked");
}

#[test]
fn a_pointer_of_another_profile() {
    let (source, host, [_, two], _) = second();
    let profile = source.project.read("profiles/p.toml");
    source.project.write("profiles/q.toml", profile);
    let built = source.project.run("build q --oracle off").succeeds();
    let path = source.project.path(&built.last_line().replace("$PROJECT/", ""));
    source.point(&monprov::store::StorePath::at(&path).unwrap());
    std::fs::copy(source.project.path("cache/channels/q.json"), source.channel()).unwrap();
    refused(&host, &two, "where `p` was asked for");
}

#[test]
fn a_host_that_forgot_is_told_so() {
    let (_source, host, [_, two], _) = second();
    std::fs::write(host.path("state/follow/p.json"), "").unwrap();
    let said = host.once().exits(1).stderr;
    assert!(said.contains("it holds which pointers are too old"), "{said}");
    host.runs(&two);
}
