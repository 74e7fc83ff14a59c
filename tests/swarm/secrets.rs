//! Secrets of the swarm: rotated, removed, and named by what says nothing.

use super::{Stack, profile};

#[test]
fn a_rotated_secret_restarts_its_service_and_the_old_one_goes() {
    let mut stack = Stack::new();
    stack.switch(&profile(100)).succeeds();
    let (first, before) = (stack.named("secret"), stack.containers());
    assert_eq!(first.len(), 1, "{first:?}");
    // Only the service's own user reads it.
    let reader = before.iter().find(|c| c.starts_with("monprov-prod_reader")).unwrap();
    let reader = reader.split(' ').nth(1).unwrap();
    let mode =
        stack.engine.docker(&["exec", reader, "/bin/stat", "-c", "%u %a", "/run/monprov/secrets/TOKEN"]);
    assert_eq!(mode, "1000 400");
    let shown =
        stack.engine.docker(&["inspect", reader]) + &stack.engine.docker(&["secret", "inspect", &first[0]]);
    assert!(!shown.contains("first-token"));

    stack.env("TOKEN", "second-token");
    let drift = stack.monprov("status prod").exits(1);
    assert!(drift.stderr.contains("reader"), "{}", drift.stderr);
    let synced = stack.monprov("secrets sync prod").succeeds();
    assert!(synced.stderr.contains("reader"), "{}", synced.stderr);
    assert_eq!(stack.log("reader"), "token second-token");
    assert_eq!(stack.changed(&before), ["monprov-prod_reader"]);
    let second = stack.named("secret");
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}");
    stack.monprov("status prod").succeeds();

    // The value of the configuration's yesterday is not brought back by a rollback.
    stack.switch(&profile(500)).succeeds();
    stack.monprov("rollback prod").succeeds();
    assert_eq!((stack.log("reader"), stack.named("secret")), ("token second-token".into(), second.clone()));

    // A reboot empties the memory that secrets are handed over in; what runs is what should.
    let before = stack.containers();
    std::fs::remove_dir_all(stack.project.path(".monprov/secrets/prod")).unwrap();
    stack.monprov("activate prod").succeeds();
    assert_eq!(stack.changed(&before), [""; 0]);
    assert_eq!(stack.named("secret"), second);

    // One that only differs in what stands openly in the environment.
    stack.env("OPEN", "another");
    stack.monprov("secrets sync prod").succeeds();
    assert_eq!(stack.changed(&before), ["monprov-prod_opened"]);
    assert!(stack.log("opened").starts_with("open another"));
}
