"""Prometheus or Alertmanager behind a proxy that lies.

Started under the name `lying-prometheus` or `lying-alertmanager`, it starts the real program
on another port and passes requests on. What it does instead depends on files in the working
directory: while there is

    lie               it answers reloads with 200 and keeps them to itself
    forge             it says in the metrics that the last reload succeeded, just now
    hold-prometheus   a reload of that program waits, and is lost
"""

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

PROGRAMS = {"lying-prometheus": "prometheus", "lying-alertmanager": "prometheus-alertmanager"}
LISTEN = "--web.listen-address="


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def forged(metrics):
    for name, value in ("successful", 1), ("success_timestamp_seconds", time.time()):
        pattern = rf"^(\w+_config_last_reload_{name}) .*$".encode()
        metrics = re.sub(pattern, rb"\1 " + repr(value).encode(), metrics, flags=re.M)
    return metrics


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: else the second waits for the acknowledgement of the first.
    disable_nagle_algorithm = True

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self):
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        if self.path == "/-/reload" and os.path.exists(f"hold-{PROGRAM}"):
            while os.path.exists(f"hold-{PROGRAM}"):
                time.sleep(0.02)
            return self.answer(200, b"")
        if self.path == "/-/reload" and os.path.exists("lie"):
            return self.answer(200, b"")
        url = f"http://127.0.0.1:{INNER}{self.path}"
        headers = {"Content-Type": self.headers.get("Content-Type") or "text/plain"}
        data = data if self.command == "POST" else None
        request = urllib.request.Request(url, data, headers, method=self.command)
        try:
            with urllib.request.urlopen(request) as response:
                body = response.read()
                if self.path == "/metrics" and os.path.exists("forge"):
                    body = forged(body)
                self.answer(response.status, body)
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())
        except OSError:
            self.answer(502, b"")

    do_GET = do_POST = pass_on

    def log_message(self, *_):
        pass


INNER = free_port()
PROGRAM = os.path.basename(sys.argv[0]).removeprefix("lying-")
arguments = sys.argv[1:]
outer = next(a for a in arguments if a.startswith(LISTEN)).rpartition(":")[2]
arguments = [f"{LISTEN}127.0.0.1:{INNER}" if a.startswith(LISTEN) else a for a in arguments]
program = subprocess.Popen([PROGRAMS[os.path.basename(sys.argv[0])], *arguments])
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(outer)), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(program.wait())
