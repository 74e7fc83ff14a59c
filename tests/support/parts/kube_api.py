"""As much of a Kubernetes cluster as the real `kubectl` needs for what monprov does.

    kube_api.py FOLDER PROGRAMS

Writes the port of its API to FOLDER/port. Resources are kept in memory. Server-side apply replaces what was
applied before, since there is one manager only; resources are held against the published schema,
and what is immutable stays. Controllers make pods of Deployments and StatefulSets. Where an image
is in PROGRAMS (JSON: the beginning of its name to a program), its pod is that real program, in a
mount name space with the pod's volumes, user and read-only root, and `/etc/hosts` knows the
services; every other pod is there in name only: ready, or failing where its image says `broken`.
All share the machine's loopback address.
"""
import base64
import datetime
import json
import os
import pathlib
import re
import shlex
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kubernetes_validate

FOLDER = pathlib.Path(sys.argv[1])
PROGRAMS = json.loads(sys.argv[2])
VERSION = "1.37"

# group/version: plural, kind, namespaced
KINDS = {
    "v1": [("namespaces", "Namespace", False), ("pods", "Pod", True), ("services", "Service", True),
           ("configmaps", "ConfigMap", True), ("secrets", "Secret", True),
           ("serviceaccounts", "ServiceAccount", True),
           ("persistentvolumeclaims", "PersistentVolumeClaim", True)],
    "apps/v1": [("deployments", "Deployment", True), ("statefulsets", "StatefulSet", True)],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", True)],
    "rbac.authorization.k8s.io/v1": [("roles", "Role", True), ("rolebindings", "RoleBinding", True)],
}
lock = threading.RLock()
store = {}  # (group/version, plural, namespace, name) → resource
processes = {}  # uid → Process


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def prefix(version):
    return f"/api/{version}" if "/" not in version else f"/apis/{version}"


def fresh(resource):
    resource["metadata"].setdefault("uid", str(uuid.uuid4()))
    resource["metadata"].setdefault("creationTimestamp", now())
    return resource


class Refused(Exception):
    def __init__(self, code, reason, message):
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                       "code": code, "reason": reason, "message": message}


def apply(key, resource, dry):
    version, plural, namespace, name = key
    kind = resource["kind"]
    try:
        kubernetes_validate.validate(resource, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(step) for step in error.path)
        raise Refused(422, "Invalid", f'{kind} "{name}" is invalid: {where}: {error.message}')
    with lock:
        if namespace and ("v1", "namespaces", "", namespace) not in store:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        old = store.get(key)
        if old and old.get("immutable") and (old.get("data"), old.get("binaryData")) != (
            resource.get("data"), resource.get("binaryData")):
            raise Refused(422, "Invalid", f'{kind} "{name}" is invalid: data: Forbidden: field is immutable')
        for field in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"):
            if plural in ("deployments", "statefulsets") and old and \
                    old["spec"].get(field) != resource["spec"].get(field):
                raise Refused(422, "Invalid", f'{kind} "{name}" is invalid: spec.{field}: field is immutable')
        resource["metadata"].pop("managedFields", None)
        if old:
            for field in ("uid", "creationTimestamp", "generation"):
                resource["metadata"][field] = old["metadata"].get(field)
            if "status" in old:
                resource["status"] = old["status"]
        changed = not old or old.get("spec") != resource.get("spec")
        resource["metadata"]["generation"] = (resource["metadata"].get("generation") or 0) + changed
        fresh(resource)
        if not dry:
            store[key] = resource
        return resource, not old


# -- pods --

def expand(text, variables):
    """As Kubernetes replaces `$(NAME)`, with `$$` for a `$`."""
    def one(match):
        if match.group(0) == "$$":
            return "$"
        return variables.get(match.group(1), match.group(0))
    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


class Pending(Exception):
    pass


class Process:
    """The one container of a pod."""

    def __init__(self, pod):
        self.pod = pod
        self.spec = pod["spec"]["containers"][0]
        self.folder = FOLDER / pod["metadata"]["uid"]
        self.folder.mkdir()
        self.log = self.folder / "log"
        self.child = None
        self.restarts = 0
        self.started = None
        self.last = None
        self.again = 0
        image = self.spec["image"]
        self.program = next((p for start, p in PROGRAMS.items() if image.startswith(start)), None)
        self.broken = "broken" in image
        self.ready = False

    def lookup(self, plural, name):
        found = store.get(("v1", plural, self.pod["metadata"]["namespace"], name))
        if not found:
            raise Pending(f"{plural} {name} not found")
        return found

    def volume(self, volume):
        target = self.folder / "volumes" / volume["name"]
        target.mkdir(parents=True, exist_ok=True)
        items = []
        if "projected" in volume:
            for source in volume["projected"]["sources"]:
                held = self.lookup("configmaps", source["configMap"]["name"])
                for item in source["configMap"]["items"]:
                    text = held.get("data", {}).get(item["key"])
                    content = text.encode() if text is not None else \
                        base64.b64decode(held["binaryData"][item["key"]])
                    items.append((item["path"], content, volume["projected"]["defaultMode"]))
        elif "secret" in volume:
            held = self.lookup("secrets", volume["secret"]["secretName"])
            for item in volume["secret"]["items"]:
                content = base64.b64decode(held["data"][item["key"]])
                items.append((item["path"], content, volume["secret"]["defaultMode"]))
        elif "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            self.lookup("persistentvolumeclaims", claim)
            target = FOLDER / "claims" / claim
            target.mkdir(parents=True, exist_ok=True)
        group = self.pod["spec"]["securityContext"].get("fsGroup", 0)
        for path, content, mode in items:
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            os.chown(file, 0, group)
            file.chmod(mode)
        os.chown(target, 0, group)
        target.chmod(0o2775)
        return target

    def environment(self):
        variables = {}
        for variable in self.spec.get("env", []):
            if "value" in variable:
                variables[variable["name"]] = expand(variable["value"], variables)
            else:
                key = variable["valueFrom"]["secretKeyRef"]
                data = self.lookup("secrets", key["name"])["data"]
                variables[variable["name"]] = base64.b64decode(data[key["key"]]).decode()
        return variables

    def start(self):
        variables = self.environment()
        volumes = {v["name"]: self.volume(v) for v in self.pod["spec"].get("volumes", [])}
        self.started = now()
        if not self.program:
            return
        root, security = self.folder / "root", self.pod["spec"]["securityContext"]
        root.mkdir(exist_ok=True)
        hosts = self.folder / "hosts"
        with lock:
            services = [k[3] for k in store if k[1] == "services"]
        hosts.write_text("127.0.0.1 localhost " + " ".join(services) + "\n")
        quote = lambda path: shlex.quote(str(path))
        lines = ["set -e", f"mount -t tmpfs none {quote(root)}", f"cd {quote(root)}",
                 "for d in usr bin sbin lib lib64 etc dev proc; do",
                 "  if [ -L /$d ]; then cp -P /$d $d; elif [ -d /$d ]; then mkdir $d; mount --rbind /$d $d; fi",
                 "done", "mkdir tmp run", f"mount --bind {quote(hosts)} etc/hosts"]
        for mount in self.spec.get("volumeMounts", []):
            inside = quote(f"{root}{mount['mountPath']}")
            lines += [f"mkdir -p {inside}", f"mount --bind {quote(volumes[mount['name']])} {inside}"]
            if mount.get("readOnly"):
                lines.append(f"mount -o remount,bind,ro {inside}")
        if self.spec["securityContext"]["readOnlyRootFilesystem"]:
            lines.append(f"mount -o remount,ro {quote(root)}")
        user, group = security["runAsUser"], security["runAsGroup"]
        args = [expand(arg, variables) for arg in self.spec.get("args", [])]
        command = ["chroot", str(root), "setpriv", f"--reuid={user}", f"--regid={group}",
                   f"--groups={security['fsGroup']}", "--inh-caps=-all", "--bounding-set=-all",
                   "--no-new-privs", "--", self.program, *args]
        lines.append("exec " + shlex.join(command))
        self.child = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)],
            stdin=subprocess.DEVNULL, stdout=self.log.open("ab"), stderr=subprocess.STDOUT,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", **variables})

    def stop(self):
        if self.child and self.child.poll() is None:
            self.child.terminate()
            self.child.wait()

    def probe(self):
        check = self.spec.get("readinessProbe")
        if not self.program or not check or "httpGet" not in check:
            return not self.broken
        url = f"http://127.0.0.1:{check['httpGet']['port']}{check['httpGet']['path']}"
        try:
            return urllib.request.urlopen(url, timeout=2).status == 200
        except OSError:
            return False

    def step(self):
        """Starts what is to be started, and writes down how it is."""
        status = {"name": self.spec["name"], "image": self.spec["image"], "imageID": "",
                  "ready": False, "started": False, "restartCount": self.restarts}
        phase, message = "Pending", ""
        if self.started is None and time.time() >= self.again:
            try:
                self.start()
            except (Pending, KeyError) as error:
                message = str(error)
        ended = self.child.poll() if self.child else (1 if self.broken and self.started else None)
        if self.started and ended is not None:
            self.last = {"exitCode": ended, "reason": "Error", "finishedAt": now()}
            self.restarts += 1
            self.started, self.child, self.ready = None, None, False
            self.again = time.time() + 1
        if self.started:
            self.ready = self.probe()
            phase = "Running"
            status |= {"ready": self.ready, "started": self.ready,
                       "state": {"running": {"startedAt": self.started}}}
        elif self.last:
            phase = "Running"
            back_off = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
            status |= {"state": {"waiting": back_off}}
        else:
            status |= {"state": {"waiting": {"reason": "ContainerCreating", "message": message}}}
        if self.last:
            status["lastState"] = {"terminated": self.last}
        status["restartCount"] = self.restarts
        with lock:
            self.pod["status"] = {
                "phase": phase, "containerStatuses": [status],
                "conditions": [{"type": "Ready", "status": str(self.ready), "message": message}]}


def new_pod(owner, name):
    template = owner["spec"]["template"]
    metadata = json.loads(json.dumps(template["metadata"]))
    metadata |= {"name": name, "namespace": owner["metadata"]["namespace"],
                 "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner["kind"], "controller": True,
                                      "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}]}
    pod = fresh({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                 "spec": json.loads(json.dumps(template["spec"])), "status": {"phase": "Pending"}})
    pod["template"] = json.dumps(template, sort_keys=True)
    with lock:
        store[("v1", "pods", metadata["namespace"], name)] = pod
        processes[metadata["uid"]] = Process(pod)


def end_pod(pod):
    with lock:
        pod["metadata"]["deletionTimestamp"] = now()
    processes[pod["metadata"]["uid"]].stop()
    with lock:
        del processes[pod["metadata"]["uid"]]
        del store[("v1", "pods", pod["metadata"]["namespace"], pod["metadata"]["name"])]


def reconcile():
    with lock:
        owners = [r for k, r in store.items() if k[1] in ("deployments", "statefulsets")]
        pods = [r for k, r in store.items() if k[1] == "pods"]
    known = {owner["metadata"]["uid"] for owner in owners}
    for pod in pods:
        if pod["metadata"]["ownerReferences"][0]["uid"] not in known:
            end_pod(pod)
    for owner in owners:
        own = [p for p in pods if p["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]]
        wanted = json.dumps(owner["spec"]["template"], sort_keys=True)
        current = [p for p in own if p["template"] == wanted]
        old = [p for p in own if p["template"] != wanted]
        name = owner["metadata"]["name"]
        if owner["kind"] == "StatefulSet":
            for pod in old:
                end_pod(pod)
            if not current:
                new_pod(owner, f"{name}-0")
        else:
            if not current:
                new_pod(owner, f"{name}-{zlib.crc32(wanted.encode()):08x}")
            elif processes[current[0]["metadata"]["uid"]].ready:
                for pod in old:
                    end_pod(pod)
    for process in list(processes.values()):
        process.step()


def control():
    while True:
        try:
            reconcile()
        except Exception as error:
            print(f"controller: {error!r}", file=sys.stderr, flush=True)
        time.sleep(0.1)


# -- SPDY 3.1, as far as forwarding a port takes it --

def dictionary():
    """What headers are compressed with; every program that speaks it carries it, kubectl too."""
    binary = pathlib.Path(os.environ["KUBECTL"]).read_bytes()
    return binary[(at := binary.index(b"\x00\x00\x00\x07options\x00\x00\x00\x04head")):at + 1423]


class Spdy:
    def __init__(self, connection, connect):
        self.connection, self.connect = connection, connect
        words = dictionary()
        self.inflate = zlib.decompressobj(zdict=words)
        self.deflate = zlib.compressobj(zdict=words)
        self.send_lock = threading.Lock()
        self.errors, self.backends = {}, {}

    def read(self, length):
        data = b""
        while len(data) < length:
            more = self.connection.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def control(self, kind, body, flags=0):
        with self.send_lock:
            self.connection.sendall(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body)

    def data(self, stream, body, final=False):
        with self.send_lock:
            self.connection.sendall(struct.pack(">II", stream, (final << 24) | len(body)) + body)

    def headers(self, block):
        text = self.inflate.decompress(block)
        (count,), at, found = struct.unpack(">I", text[:4]), 4, {}
        for _ in range(count):
            pair = []
            for _ in range(2):
                (length,) = struct.unpack(">I", text[at:at + 4])
                pair.append(text[at + 4:at + 4 + length].decode())
                at += 4 + length
            found[pair[0].lower()] = pair[1]
        return found

    def opened(self, stream, headers):
        with self.send_lock:
            block = self.deflate.compress(b"\0\0\0\0") + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.control(2, struct.pack(">I", stream) + block)
        request = headers.get("requestid", "0")
        if headers["streamtype"] == "error":
            self.errors[request] = stream
            return
        try:
            backend = self.connect(int(headers["port"]))
        except OSError as error:
            self.data(self.errors[request], str(error).encode(), True)
            self.data(stream, b"", True)
            return
        self.backends[stream] = backend
        threading.Thread(target=self.pump, args=(stream, request, backend), daemon=True).start()

    def pump(self, stream, request, backend):
        try:
            while chunk := backend.recv(65536):
                self.data(stream, chunk)
        except OSError:
            pass
        try:
            self.data(stream, b"", True)
            self.data(self.errors[request], b"", True)
        except OSError:
            pass

    def serve(self):
        try:
            while True:
                first, second = struct.unpack(">II", self.read(8))
                flags, length = second >> 24, second & 0xFFFFFF
                body = self.read(length)
                if not first >> 31:
                    backend = self.backends.get(first)
                    if backend and body:
                        backend.sendall(body)
                    if backend and flags & 1:
                        backend.shutdown(socket.SHUT_WR)
                elif first & 0xFFFF == 1:
                    (stream,) = struct.unpack(">I", body[:4])
                    self.opened(stream & 0x7FFFFFFF, self.headers(body[10:]))
                elif first & 0xFFFF == 6:
                    self.control(6, body)
                elif first & 0xFFFF == 3:
                    self.close(struct.unpack(">I", body[:4])[0])
        except (EOFError, OSError):
            for stream in list(self.backends):
                self.close(stream)

    def close(self, stream):
        if backend := self.backends.pop(stream, None):
            backend.close()


# -- the API --

class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def discovery(self, path):
        if path == "/version":
            return {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            groups = [version for version in KINDS if "/" in version]
            one = lambda version: {"groupVersion": version, "version": version.split("/")[1]}
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": v.split("/")[0], "versions": [one(v)], "preferredVersion": one(v)} for v in groups]}
        for version, kinds in KINDS.items():
            if path == prefix(version):
                verbs = ["create", "delete", "get", "list", "patch"]
                return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [
                    {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind,
                     "verbs": verbs} for plural, kind, namespaced in kinds]}
            if path == f"/openapi/v3{prefix(version)}":
                return {"openapi": "3.0.0", "info": {"title": "", "version": ""}, "paths": self.paths(version)}
        if path == "/openapi/v3":
            return {"paths": {prefix(version)[1:]: {"serverRelativeURL": f"/openapi/v3{prefix(version)}"}
                              for version in KINDS}}
        return None

    def paths(self, version):
        group = version.split("/")[0] if "/" in version else ""
        parameters = [{"name": name, "in": "query"} for name in ("dryRun", "fieldValidation")]
        return {f"{prefix(version)}/namespaces/{{namespace}}/{plural}/{{name}}": {"patch": {
            "parameters": parameters, "responses": {}, "x-kubernetes-group-version-kind": {
                "group": group, "version": version.split("/")[-1], "kind": kind}}}
            for plural, kind, _ in KINDS[version]}

    def target(self, path):
        """group/version, plural, namespace, name and what of it."""
        for version, kinds in KINDS.items():
            if not path.startswith(prefix(version) + "/"):
                continue
            steps = path[len(prefix(version)) + 1:].split("/")
            namespace = ""
            if steps[0] == "namespaces" and len(steps) > 2:
                namespace, steps = steps[1], steps[2:]
            if any(plural == steps[0] for plural, _, _ in kinds):
                steps += [""] * (3 - len(steps))
                return version, steps[0], namespace, steps[1], steps[2]
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    def handle_one(self, method):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        with (FOLDER / "requests").open("a") as log:
            log.write(f"{method} {self.path}\n")
        try:
            found = self.discovery(url.path)
            if found is not None:
                return self.answer(200, found)
            version, plural, namespace, name, part = self.target(url.path)
            key = (version, plural, namespace, name)
            if part == "portforward":
                return self.forward(key)
            if part == "log":
                lines = processes[store[key]["metadata"]["uid"]].log
                text = lines.read_text(errors="replace") if lines.exists() else ""
                tail = int(query.get("tailLines", 1 << 30))
                return self.answer(200, "".join(text.splitlines(True)[-tail:]), "text/plain")
            if method == "PATCH":
                if "apply-patch" not in self.headers["Content-Type"]:
                    raise Refused(415, "UnsupportedMediaType", "only server-side apply")
                if query.get("fieldManager") != "monprov":
                    raise Refused(400, "BadRequest", "no field manager")
                resource, is_new = apply(key, json.loads(self.body()), bool(query.get("dryRun")))
                return self.answer(201 if is_new else 200, resource)
            with lock:
                if method == "DELETE":
                    self.body()
                    if plural == "pods":
                        threading.Thread(target=end_pod, args=(store[key],)).start()
                        return self.answer(200, store[key])
                    return self.answer(200, store.pop(key))
                if name:
                    return self.answer(200, store[key])
                self.answer(200, self.list(version, plural, namespace, query))
        except KeyError:
            self.answer(404, Refused(404, "NotFound", f'{plural} "{name}" not found').status)
        except Refused as refused:
            self.answer(refused.status["code"], refused.status)

    def list(self, version, plural, namespace, query):
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
        labels = lambda resource: resource["metadata"].get("labels", {})
        items = [resource for key, resource in sorted(store.items())
                 if key[:2] == (version, plural) and namespace in ("", key[2])
                 and all(labels(resource).get(k) == v for k, v in wanted.items())]
        kind = next(kind for p, kind, _ in KINDS[version] if p == plural)
        return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items}

    def forward(self, key):
        if self.headers.get("Upgrade", "").lower() != "spdy/3.1":
            # kubectl then falls back to SPDY.
            return self.answer(403, Refused(403, "Forbidden", "no WebSockets here").status)
        if key not in store:
            raise KeyError
        self.send_response(101)
        for name, value in [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"),
                            ("X-Stream-Protocol-Version", "portforward.k8s.io")]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        Spdy(self.connection, lambda port: socket.create_connection(("127.0.0.1", port))).serve()

    def do_GET(self):
        self.handle_one("GET")

    def do_POST(self):
        self.handle_one("POST")

    def do_PATCH(self):
        self.handle_one("PATCH")

    def do_DELETE(self):
        self.handle_one("DELETE")


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.daemon_threads = True
threading.Thread(target=control, daemon=True).start()
(FOLDER / "port.new").write_text(str(server.server_port))
(FOLDER / "port.new").rename(FOLDER / "port")
server.serve_forever()
