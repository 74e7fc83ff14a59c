//! Services that speak TLS are held against the authorities of the system.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::daemon::{Daemon, free_port};
use crate::support::program;
use crate::support::relay::{Site, channel, line, payload};

const SERVER: &str = "\
import http.server, ssl, sys
class Service(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
        print('took', body, flush=True)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Service)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print('listens', flush=True)
server.serve_forever()
";

fn openssl(folder: &Path, arguments: &str) {
    let output =
        Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_service_needs_a_certificate_that_the_system_trusts_for_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30";
    for name in ["ours", "theirs"] {
        let more = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
        openssl(folder.path(), &format!("{new} -subj /CN={name} -keyout {name}.key -out {name}.pem {more}"));
    }
    let more = "-CA ours.pem -CAkey ours.key -addext basicConstraints=critical,CA:FALSE";
    let name = "-addext subjectAltName=IP:127.0.0.1";
    openssl(folder.path(), &format!("{new} -subj /CN=sink -keyout sink.key -out sink.pem {more} {name}"));

    let port = free_port();
    let mut command = Command::new(program("python3"));
    command.args(["-c", SERVER, &port.to_string(), "sink.pem", "sink.key"]).current_dir(folder.path());
    let mut server = Daemon::start("sink", folder.path(), &command);
    server.until(|| std::fs::read_to_string(folder.path().join("sink.log")).unwrap().contains("listens"));

    let told = |authority: &str, host: &str| {
        let mut channel = channel(([127, 0, 0, 1], port).into(), 1);
        channel["endpoints"]["sink"] =
            json!({ "url": format!("https://{host}:{port}/"), "private": true, "timeout": "30s" });
        let site = Site::of(channel);
        let mut command = site.command();
        command.env("SSL_CERT_FILE", folder.path().join(authority));
        let relay = site.start_with(&command);
        relay.notify(&payload("group", &[(1, true)]))
    };
    assert_eq!(told("ours.pem", "127.0.0.1"), (200, "delivered\n".to_owned()));
    let (status, why) = told("theirs.pem", "127.0.0.1");
    assert_eq!(status, 503);
    assert!(why.contains("TLS fails: invalid peer certificate: UnknownIssuer"), "{why}");
    let (status, why) = told("ours.pem", "localhost");
    assert_eq!(status, 503);
    assert!(why.contains("TLS fails: invalid peer certificate: certificate not valid for name"), "{why}");
    let output = server.output();
    assert_eq!(output.matches("took").count(), 1, "{output}");
    assert!(output.contains(&line(1, true)), "{output}");
}
