//! Signatures are demanded of what is to run, and not of what ran before.

use monprov::trust::SecretKey;

use super::{Profile, Stack};

#[test]
fn what_ran_before_is_restored_whoever_signed_it() {
    let stack = Stack::start();
    let (key, before) = (SecretKey::generate("fleet-1", &[1; 32]).unwrap(), stack.expression());
    stack.project().write("key", format!("{}\n", *key.expose()));
    let more = format!("[trust]\nkeys = [\"{}\"]\nrequired = true\n", key.public());
    let change = Profile { threshold: 500, more, ..Profile::default() };

    let refused = stack.switch(&change, "").exits(3);
    assert!(refused.stderr.contains("it has no signature: sign it with fleet-1"), "{}", refused.stderr);
    assert_eq!(stack.expression(), before);
    stack.is_well();

    // Nobody signed what runs. It comes back all the same.
    stack.lie(true);
    let failed = stack.switch(&change, "--key key").exits(5);
    assert!(failed.stderr.contains("generation 1 runs again"), "{}", failed.stderr);
    assert_eq!(stack.expression(), before);
    stack.lie(false);
    stack.switch(&change, "--key key --force").succeeds();
    assert_ne!(stack.expression(), before);
    // On purpose, nobody gets back there.
    stack.project().run("rollback dev").exits(3);
    assert_ne!(stack.expression(), before);
    stack.is_well();
}
