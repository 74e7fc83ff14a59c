//! Log-ins, and authorities of one's own.

use base64::Engine as _;
use serde_json::json;

use super::{pinned, project};
use crate::support::project::Project;
use crate::support::registry::{PASSWORD, Registry};

/// What `docker login` writes, in `$DOCKER_CONFIG`.
fn log_in(project: &Project, host: &str, password: &str) {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("me:{password}"));
    project.write("docker/config.json", json!({ "auths": { host: { "auth": auth } } }).to_string());
}

fn with_folder(project: Project) -> Project {
    let folder = project.path("docker").display().to_string();
    project.env("DOCKER_CONFIG", &folder)
}

#[test]
fn the_log_in_of_docker_is_used_and_shows_nowhere() {
    let registry = Registry::with_password();
    let digest = registry.image("app", "1.0.0", "amd64", "one");
    let (host, image) = (registry.host(), format!("{}/app:1.0.0", registry.host()));
    let project = with_folder(project(&[&image]));
    let refused = project.run("lock").exits(1).stderr;
    assert!(
        refused.contains("only to who is logged in") && refused.contains(&format!("docker login {host}")),
        "{refused}"
    );
    log_in(&project, &host, "wrong-canary-registry");
    let refused = project.run("lock").exits(1);
    assert!(refused.stderr.contains("does not take the log-in"), "{}", refused.stderr);
    assert!(!(refused.stdout + &refused.stderr).contains("canary"));
    log_in(&project, &host, PASSWORD);
    let mut command = project.command(["lock"]);
    command.env("RUST_LOG", "trace");
    let told = project.output(command).succeeds();
    assert!(!(told.stdout + &told.stderr).contains(PASSWORD));
    assert_eq!(pinned(&project, &image), digest);
    // A file that nobody can read is no reason to go on without.
    project.write("docker/config.json", "{");
    let refused = project.run("lock --update").exits(1).stderr;
    assert!(refused.contains("docker/config.json"), "{refused}");
}

#[test]
fn the_log_in_is_found_in_the_home_folder_and_by_a_helper() {
    let registry = Registry::with_password();
    let digest = registry.image("app", "1.0.0", "amd64", "one");
    let (host, image) = (registry.host(), format!("{}/app:1.0.0", registry.host()));
    let project = project(&[&image]);
    log_in(&project, &host, PASSWORD);
    let root = project.root().display().to_string();
    std::fs::create_dir(project.path(".docker")).unwrap();
    std::fs::copy(project.path("docker/config.json"), project.path(".docker/config.json")).unwrap();
    let mut command = project.command(["lock"]);
    command.env("HOME", &root);
    project.output(command).succeeds();
    assert_eq!(pinned(&project, &image), digest);
    // A helper gets the host on its input.
    project.write(".docker/config.json", json!({ "credHelpers": { host.as_str(): "test" } }).to_string());
    let helper = |script: &str| {
        use std::os::unix::fs::PermissionsExt;
        project.write("bin/docker-credential-test", format!("#!/bin/sh\n{script}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(project.path("bin/docker-credential-test"), mode).unwrap();
        let mut command = project.command(["lock", "--update"]);
        command.env("HOME", &root).env("PATH", format!("{root}/bin:/usr/bin:/bin"));
        project.output(command)
    };
    helper(&format!("[ \"$(cat)\" = {host} ] && echo '{{\"Username\":\"me\",\"Secret\":\"{PASSWORD}\"}}'"))
        .succeeds();
    let refused = helper("cat >/dev/null; echo the keyring is locked >&2; exit 1").exits(1).stderr;
    assert!(
        refused.contains("docker-credential-test gives no log-in") && refused.contains("keyring is locked"),
        "{refused}"
    );
}

#[test]
fn an_authority_of_ones_own_is_named_or_the_systems() {
    let registry = Registry::with_tls();
    let digest = registry.image("app", "1.0.0", "amd64", "one");
    let image = format!("{}/app:1.0.0", registry.host());
    let unknown = project(&[&image]);
    let refused = unknown.run("lock").exits(1).stderr;
    assert!(
        refused.contains("signed by an authority that is not known here")
            && refused.contains("--registry-ca"),
        "{refused}"
    );
    // That plain HTTP is allowed is no reason to take another certificate.
    unknown.run(&format!("lock --insecure-registry {}", registry.host())).exits(1);
    unknown.run(&format!("lock --registry-ca {}", registry.authority())).succeeds();
    assert_eq!(pinned(&unknown, &image), digest);
    for variable in ["MONPROV_REGISTRY_CA", "SSL_CERT_FILE"] {
        let project = project(&[&image]).env(variable, &registry.authority());
        project.run("lock").succeeds();
        assert_eq!(pinned(&project, &image), digest, "{variable}");
    }
    let project = project(&[&image]).file("empty.pem", "nothing");
    let refused = project.run("lock --registry-ca empty.pem").exits(1).stderr;
    assert!(refused.contains("empty.pem holds no certificate"), "{refused}");
    project.run("lock --registry-ca nowhere.pem").exits(1);
}

#[test]
fn without_tls_only_this_machine_is_spoken_to_unless_a_host_is_named() {
    let registry = Registry::start();
    let digest = registry.image("app", "1.0.0", "amd64", "one");
    // A name of it that does not say so.
    let name = format!("127.1:{}", registry.port);
    let image = format!("{name}/app:1.0.0");
    let project = project(&[&image]);
    let refused = project.run("lock").exits(1).stderr;
    assert!(refused.contains(&format!("--insecure-registry {name}")), "{refused}");
    project.run(&format!("lock --insecure-registry {name}")).succeeds();
    assert_eq!(pinned(&project, &image), digest);
}
