"""Takes every POST on 127.0.0.1:PORT and writes each to a JSON file: webhook_sink.py PORT FOLDER"""

import http.server
import json
import os
import sys

port, folder = int(sys.argv[1]), sys.argv[2]


class Sink(http.server.BaseHTTPRequestHandler):
    count = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        Sink.count += 1
        path = os.path.join(folder, f"{Sink.count:06}.json")
        with open(path + ".part", "w") as file:
            json.dump({"path": self.path, "headers": dict(self.headers), "body": body}, file)
        os.rename(path + ".part", path)
        self.send_response(200)
        self.end_headers()


http.server.HTTPServer(("127.0.0.1", port), Sink).serve_forever()
