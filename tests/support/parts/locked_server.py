"""A web server behind TLS that lets in who knows the password: locked_server.py FOLDER PORT USER:PASSWORD.
The certificate is server.pem and server.key in the working directory."""
import base64
import functools
import http.server
import ssl
import sys

folder, port, password = sys.argv[1:]
wanted = "Basic " + base64.b64encode(password.encode()).decode()


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") == wanted:
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), functools.partial(Handler, directory=folder))
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
