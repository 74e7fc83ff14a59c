"""A web server for a folder that names versions (ETag), and notes what it was asked:
time, path, status, bytes received, bytes sent."""

import hashlib
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

port, folder, log = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "a", buffering=1)


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args):
        super().__init__(*args, directory=folder)

    def do_GET(self):
        try:
            with open(self.translate_path(self.path), "rb") as file:
                content = file.read()
        except OSError:
            return self.answer(404, b"not here", None)
        tag = '"%s"' % hashlib.sha256(content).hexdigest()[:32]
        if self.headers.get("If-None-Match") == tag:
            return self.answer(304, b"", tag)
        self.answer(200, content, tag)

    do_HEAD = do_GET

    def answer(self, status, content, tag):
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        body = content if self.command == "GET" else b""
        sent = sum(map(len, self._headers_buffer)) + 2 + len(body)
        self.end_headers()
        self.wfile.write(body)
        got = len(self.raw_requestline) + len(self.headers.as_bytes())
        log.write(f"{time.time():.3f} {self.path} {status} {got} {sent}\n")

    def log_message(self, *args):
        pass


ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
