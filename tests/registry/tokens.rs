//! A registry that takes tokens alone, which a server beside it gives out, as the big ones do.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{pinned, project};
use crate::support::guests::threshold_plugin;
use crate::support::project::Project;
use crate::support::registry::{PASSWORD, Registry};

/// Gives tokens out: to read `open/…` to anybody, else to `me`.
struct Tokens {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tokens {
    fn start(folder: &Path) -> Tokens {
        let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout tokens.key -out tokens.pem -days 2 \
                      -subj /CN=tokens; openssl x509 -in tokens.pem -outform DER -out tokens.der";
        let made = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tokens = Tokens { port: listener.local_addr().unwrap().port(), asked: Arc::default() };
        let (asked, folder) = (tokens.asked.clone(), folder.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(stream, &folder, &asked);
            }
        });
        tokens
    }

    fn configuration(&self, folder: &Path) -> String {
        format!(
            "auth:\n  token:\n    realm: http://127.0.0.1:{}/token\n    service: here\n    issuer: tokens\n    \
             rootcertbundle: {}\n",
            self.port,
            folder.join("tokens.pem").display()
        )
    }
}

fn answer(mut stream: TcpStream, folder: &Path, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (mut request, mut byte) = (vec![], [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let line = request.lines().next().unwrap_or_default().to_owned();
    let query = line.split(['?', ' ']).nth(2).unwrap_or_default();
    let scope = query.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap_or_default();
    let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
    asked.lock().unwrap().push(scope.clone());
    let login = format!("Basic {}", STANDARD.encode(format!("me:{PASSWORD}")));
    let logged_in = request.contains(&login);
    let parts: Vec<&str> = scope.split(':').collect();
    let (name, actions) = (parts[1].to_owned(), parts[2].split(',').collect::<Vec<_>>());
    let reads = name.starts_with("open/") && actions == ["pull"];
    let (status, body) = match logged_in || reads {
        true => ("200 OK", json!({ "token": token(folder, &name, &actions), "expires_in": 300 })),
        false => {
            ("401 Unauthorized", json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "who are you?" }] }))
        }
    };
    let body = body.to_string();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn token(folder: &Path, name: &str, actions: &[&str]) -> String {
    let now = jiff::Timestamp::now().as_second();
    let certificate = STANDARD.encode(std::fs::read(folder.join("tokens.der")).unwrap());
    let head = json!({ "typ": "JWT", "alg": "RS256", "x5c": [certificate] });
    let claims = json!({
        "iss": "tokens", "sub": "me", "aud": "here", "jti": "1",
        "nbf": now - 60, "iat": now - 60, "exp": now + 300,
        "access": [{ "type": "repository", "name": name, "actions": actions }],
    });
    let text = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", text(head), text(claims));
    let file: PathBuf = folder.join(format!("signed-{:?}", std::thread::current().id()));
    std::fs::write(&file, &signed).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign"]).arg(folder.join("tokens.key")).arg(&file);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(openssl.output().unwrap().stdout))
}

#[test]
fn tokens_are_had_for_what_is_done_and_no_more() {
    let mut registry = Registry::start();
    let open = registry.image("open/app", "1.0.0", "amd64", "one");
    let closed = registry.image("closed/app", "1.0.0", "amd64", "two");
    let folder = registry.folder().to_owned();
    let tokens = Tokens::start(&folder);
    registry.start_with(&tokens.configuration(&folder));
    let host = registry.host();
    let (open_name, closed_name) = (format!("{host}/open/app:1.0.0"), format!("{host}/closed/app:1.0.0"));
    let project = project(&[&open_name, &closed_name])
        .file("docker/none", "")
        .file("raise.wasm", threshold_plugin("raise.wat"));
    let docker = project.path("docker").display().to_string();
    let project = project.env("DOCKER_CONFIG", &docker);
    // Nobody logged in: what is open is had, and the other is told.
    let refused = project.run("lock").exits(1).stderr;
    assert!(refused.contains("1 of 2 images") && refused.contains(&format!("{closed_name} (")), "{refused}");
    assert!(refused.contains("who are you?"), "{refused}");
    let auth = STANDARD.encode(format!("me:{PASSWORD}"));
    project.write("docker/config.json", json!({ "auths": { host.as_str(): { "auth": auth } } }).to_string());
    let told = project.run("lock").succeeds();
    assert!(!(told.stdout + &told.stderr).contains("canary"));
    assert_eq!((pinned(&project, &open_name), pinned(&project, &closed_name)), (open, closed));
    let asked = std::mem::take(&mut *tokens.asked.lock().unwrap());
    assert!(asked.iter().all(|scope| scope.ends_with(":pull")), "{asked:?}");
    // To publish takes more.
    let address = format!("oci://{host}/team/raise:1.0.0");
    project.run(&format!("plugin publish raise.wasm {address}")).succeeds();
    let asked = tokens.asked.lock().unwrap().clone();
    assert!(asked.contains(&"repository:team/raise:pull,push".to_owned()), "{asked:?}");
    let other = Project::empty().env("DOCKER_CONFIG", &docker);
    other.run(&format!("plugin add {address}")).succeeds();
}
