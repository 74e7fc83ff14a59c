//! Where caches lie: plain web servers, those that take files, buckets. For S3 there is `moto`,
//! which speaks its protocol; a bucket of a real provider was never at hand here.

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use monprov::cache::{Cache, Seen};

use super::{Origin, host, key, names};
use crate::support::bundles::{is_intact, put};
use crate::support::daemon::{Daemon, free_port};
use crate::support::project::Project;
use crate::support::{installed, program, repository};

fn serves(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// `python -m http.server`: files as they are, without tags or ranges.
fn plain(origin: &Origin) -> (Daemon, String) {
    let port = free_port();
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
    command.arg(origin.cache()).arg(port.to_string());
    let mut server = Daemon::start("http-server", origin.project.root(), &command);
    server.until(|| serves(port));
    (server, format!("http://127.0.0.1:{port}"))
}

/// A server behind TLS with a CA of its own, which lets in `robot` alone.
#[test]
fn a_server_with_a_ca_of_its_own_and_a_password_is_pulled_from() {
    let origin = Origin::new().pushed();
    let folder = origin.project.path("tls");
    std::fs::create_dir(&folder).unwrap();
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca \
                  -addext basicConstraints=critical,CA:TRUE && \
                  openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost && \
                  printf 'subjectAltName=IP:127.0.0.1\\n' > names && openssl x509 -req -in server.csr -CA ca.pem \
                  -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem";
    let made = Command::new("sh").args(["-c", script]).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = free_port();
    let mut command = Command::new("/usr/bin/python3");
    command.arg("-B").arg(repository().join("tests/support/parts/locked_server.py")).arg(origin.cache());
    command.args([&port.to_string(), "robot:p@ss/word"]).current_dir(&folder);
    let mut server = Daemon::start("locked-server", origin.project.root(), &command);
    server.until(|| serves(port));

    let host = host(&[&key("fleet-1", 1)]);
    let url = |user: &str| format!("https://{user}127.0.0.1:{port}");
    let stranger = host.run(&format!("pull prod {}", url("robot:p%40ss%2Fword@"))).exits(1);
    assert!(stranger.stderr.contains("name that CA's file in `SSL_CERT_FILE`"), "{}", stranger.stderr);
    let host = host.env("SSL_CERT_FILE", &folder.join("ca.pem").display().to_string());
    for user in ["", "robot:wrong@"] {
        let refused = host.run(&format!("pull prod {}", url(user))).exits(1);
        assert!(refused.stderr.contains("give it credentials"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("wrong"), "{}", refused.stderr);
    }
    let pulled = host.run(&format!("pull prod {}", url("robot:p%40ss%2Fword@"))).succeeds();
    assert!(!pulled.stderr.contains("p%40ss"), "{}", pulled.stderr);
    assert!(is_intact(&host.path("state/store").join(origin.name().as_str())));
}

/// lighttpd with WebDAV: it takes PUT, and knows ranges, and tags of files that have a type.
fn webdav(project: &Project, read_only: bool) -> (Daemon, String) {
    let port = free_port();
    std::fs::create_dir_all(project.path("dav")).unwrap();
    let config = format!(
        "server.modules = (\"mod_webdav\")\nserver.document-root = \"{}\"\nserver.bind = \"127.0.0.1\"\n\
         server.port = {port}\nmimetype.assign = (\"\" => \"application/octet-stream\")\nwebdav.activate = \"enable\"\nwebdav.is-readonly = \"{}\"\n\
         webdav.sqlite-db-name = \"{}\"\n",
        project.path("dav").display(),
        if read_only { "enable" } else { "disable" },
        project.path("locks.db").display(),
    );
    project.write("lighttpd.conf", config);
    let mut command = Command::new(program("lighttpd"));
    command.args(["-D", "-f"]).arg(project.path("lighttpd.conf"));
    let mut server = Daemon::start("lighttpd", project.root(), &command);
    server.until(|| serves(port));
    (server, format!("http://127.0.0.1:{port}"))
}

fn s3(project: &Project) -> (Daemon, String) {
    let port = free_port();
    let mut command = Command::new(installed("moto/bin/moto_server"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let mut server = Daemon::start("moto", project.root(), &command);
    server.until(|| serves(port));
    let made = ureq::put(format!("http://127.0.0.1:{port}/bundles")).send_empty().unwrap();
    assert_eq!(made.status(), 200);
    (server, format!("endpoint=127.0.0.1:{port}&scheme=http&region=us-east-1"))
}

fn with_credentials(project: Project) -> Project {
    project.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test")
}

#[test]
fn a_plain_web_server_is_enough_to_pull() {
    let origin = Origin::new().pushed();
    let (mut server, url) = plain(&origin);
    assert_unchanged_is_told(&origin.url());
    let host = host(&[&key("fleet-1", 1)]);
    host.run(&format!("pull prod {url}/")).succeeds();
    assert!(is_intact(&host.path("state/store").join(origin.name().as_str())));
    // It takes nothing and lists nothing, which is said.
    let push = origin.project.run(&format!("push prod {url} --key key --channel")).exits(1);
    assert!(push.stderr.contains("the web server takes no PUT there"), "{}", push.stderr);
    let list = host.run(&format!("cache list {url}")).exits(1);
    assert!(list.stderr.contains("nor can its files be listed"), "{}", list.stderr);
    let missing = host.run(&format!("pull 00000000000000000000000000000000-prod {url}")).exits(1);
    assert!(missing.stderr.contains("has no 00000000000000000000000000000000-prod"), "{}", missing.stderr);
    server.kill();
    let gone = host.run(&format!("pull prod {url}")).exits(1);
    assert!(gone.stderr.contains(&url), "{}", gone.stderr);
}

#[test]
fn a_web_server_that_takes_files_is_pushed_to() {
    let origin = Origin::new();
    let (_server, url) = webdav(&origin.project, false);
    // The cache's own folder is there; those in it are made.
    std::fs::create_dir_all(origin.project.path("dav/deep/cache")).unwrap();
    origin.project.run(&format!("push prod {url}/deep/cache --key key --channel")).succeeds();
    let two = put(&origin.store, "prod", "two");
    origin.project.run(&format!("push {} {url}/deep/cache --key key --channel", two.name())).succeeds();
    let host = host(&[&key("fleet-1", 1)]);
    let output = host.run(&format!("pull prod {url}/deep/cache")).succeeds();
    assert!(output.stderr.contains("serial 2"), "{}", output.stderr);
    assert!(is_intact(&host.path("state/store").join(two.name().as_str())));
    assert_unchanged_is_told(&format!("{url}/deep/cache"));
    let other = Project::empty();
    let (_read_only, url) = webdav(&other, true);
    let refused = origin.project.run(&format!("push prod {url} --key key")).exits(1);
    assert!(
        refused.stderr.contains("takes no PUT there") && !refused.stderr.contains("html"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_bucket_is_pushed_to_pulled_from_listed_and_cleaned() {
    let mut origin = Origin::new();
    let (_server, parameters) = s3(&origin.project);
    origin.project = with_credentials(origin.project);
    for url in [format!("s3://bundles?{parameters}"), format!("s3://bundles/eu/caches?{parameters}")] {
        let two = put(&origin.store, "prod", "two");
        let push = |what: &str| origin.project.run(&format!("push {what} {url} --key key --channel"));
        push("prod").succeeds();
        push(two.name().as_str()).succeeds();
        let host = with_credentials(host(&[&key("fleet-1", 1)]));
        let output = host.run(&format!("pull prod {url}")).succeeds();
        assert!(output.stderr.contains("serial 2"), "{}", output.stderr);
        assert!(is_intact(&host.path("state/store").join(two.name().as_str())));
        let list = host.run(&format!("cache list {url}")).succeeds().stdout;
        assert_eq!(list.lines().count(), 3, "{list}");
        host.run(&format!("cache gc {url} --keep 1")).succeeds();
        let gone = host.run(&format!("pull {} {url}", origin.name())).exits(1);
        assert!(gone.stderr.contains("push it first"), "{}", gone.stderr);
    }
    // A large archive goes in parts.
    let mut tree = monprov::bundle::Tree::new();
    let mut random = fastrand::Rng::with_seed(7);
    tree.insert("random", std::iter::repeat_with(|| random.u8(..)).take(20 << 20).collect::<Vec<u8>>());
    let large = origin.store.put(&tree, "large", &serde_json::Value::Null).unwrap();
    let url = format!("s3://bundles/large?{parameters}");
    origin.project.run(&format!("push {} {url} --key key", large.name())).succeeds();
    let host = with_credentials(host(&[&key("fleet-1", 1)]));
    host.run(&format!("pull {} {url}", large.name())).succeeds();
    assert!(is_intact(&host.path("state/store").join(large.name().as_str())));
    // Without credentials, it says what is missing.
    let stranger = super::host(&[]).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = stranger.run(&format!("pull prod {url}"));
    assert_ne!(output.code, 0, "{}", output.stderr);
}

/// A host that asks again is answered that nothing is new, in a few bytes.
fn assert_unchanged_is_told(url: &str) {
    let cache = Cache::open(url).unwrap();
    let Seen::Sealed(sealed) = cache.pointer("prod", None).unwrap() else { panic!("no channel at {url}") };
    let tag = sealed.tag().expect("no ETag");
    assert!(matches!(cache.pointer("prod", Some(tag)).unwrap(), Seen::Unchanged), "{url}");
    assert!(matches!(cache.pointer("prod", Some("\"other\"")).unwrap(), Seen::Sealed(_)), "{url}");
    assert!(matches!(cache.pointer("nobody", Some(tag)).unwrap(), Seen::Nothing), "{url}");
}

/// Two that point a channel at the same time: one counts on from the other, or is told to try again.
#[test]
fn two_that_change_a_channel_at_once_do_not_lose_a_step() {
    let origin = Origin::new().pushed();
    let url = origin.url();
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut push =
                origin.project.command(["push", "prod", &url, "--key", "key", "--channel", "--quiet"]);
            push.spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let host = host(&[&key("fleet-1", 1)]);
    let output = host.run(&format!("pull prod {url}")).succeeds();
    assert!(output.stderr.contains("serial 9"), "{}", output.stderr);
    assert_eq!(names(&origin.cache().join("channels")), ["prod.json"]);
}
