"""A small image registry, for pulls that are slow or refused. It speaks plain HTTP on the loopback alone.

registry.py PORT SECONDS
  PORT     where it listens; 0 for any free port. The first line of its output is the port.
  SECONDS  how long it takes to hand out the layer of "slow".

The name of an image says how it is answered:
  slow      the layer comes in small pieces, over SECONDS
  missing   404, there is no such image           nameless  404, there is no such repository
  private   401, a password is wanted             token     401, and the token server answers 401, too
  denied    403                                   limited   429
  broken    500                                   silent    no answer for ten minutes
  others    an image of busybox (sh, sleep and true)

Each tag is a layer of its own: a runtime that has a layer does not pull it again.
It ends when its standard input does, so that it never outlives the test that started it.
"""
import hashlib
import io
import json
import os
import socket
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUSYBOX = "/bin/busybox"
SILENCE = 600
PIECES = 40
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"

# name: status, code of the error, header
REFUSALS = {
    "missing": (404, "MANIFEST_UNKNOWN", None),
    "nameless": (404, "NAME_UNKNOWN", None),
    "private": (401, "UNAUTHORIZED", 'Basic realm="registry"'),
    "token": (401, "UNAUTHORIZED", 'Bearer realm="http://{host}/token",service="registry"'),
    "denied": (403, "DENIED", None),
    "limited": (429, "TOOMANYREQUESTS", None),
    "broken": (500, "UNKNOWN", None),
}

blobs = {}
layers = set()
making = threading.Lock()
began = time.time_ns()


def keep(content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    blobs[digest] = content
    return digest


def layer_of(tag):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        with open(BUSYBOX, "rb") as file:
            files = {"bin/busybox": file.read(), "etc/tag": f"{tag} {os.getpid()} {began}".encode()}
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        for command in ("sh", "sleep", "true"):
            entry = tarfile.TarInfo(f"bin/{command}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return packed.getvalue()


def manifest_of(tag):
    """The manifest of a tag, or the one that has this digest."""
    with making:
        if tag in blobs:
            return blobs[tag]
        layer = layer_of(tag)
        layers.add(keep(layer))
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        config = json.dumps({
            "architecture": machine, "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [keep(layer)]},
        }).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(config), "digest": keep(config)},
            "layers": [{"mediaType": LAYER, "size": len(layer), "digest": keep(layer)}],
        }).encode()
        blobs[tag] = manifest
        keep(manifest)
        return manifest


class Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):
        # A runtime that tries TLS first goes over to plain HTTP once it is answered in that.
        if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
            self.connection.recv(65536)
            self.connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        super().handle()

    def answer(self, status, body=b"", kind="application/json", headers=()):
        self.begin(status, len(body), kind, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status, length, kind, headers=()):
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(length)), *headers):
            self.send_header(name, value)
        self.end_headers()

    def refuse(self, status, code, challenge=None):
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
        headers = [("WWW-Authenticate", challenge.format(host=self.headers["Host"]))] if challenge else []
        self.answer(status, body, headers=headers)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):  # /v2/NAME/manifests/TAG or /v2/NAME/blobs/DIGEST
        path = self.path.split("?")[0]
        if path == "/token":
            return self.refuse(401, "UNAUTHORIZED")
        parts = path.strip("/").split("/")
        if len(parts) != 4:
            return self.answer(200)
        _, name, kind, wanted = parts
        if name == "silent":
            time.sleep(SILENCE)
            self.close_connection = True
        elif name in REFUSALS:
            self.refuse(*REFUSALS[name])
        elif kind == "manifests":
            manifest = manifest_of(wanted)
            digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
            self.answer(200, manifest, MANIFEST, [("Docker-Content-Digest", digest)])
        elif wanted not in blobs:
            self.refuse(404, "BLOB_UNKNOWN")
        elif name == "slow" and wanted in layers and self.command == "GET":
            self.trickle(blobs[wanted])
        else:
            self.answer(200, blobs[wanted], "application/octet-stream")

    def trickle(self, content):
        self.begin(200, len(content), "application/octet-stream")
        for piece in range(PIECES):
            self.wfile.write(content[len(content) * piece // PIECES:len(content) * (piece + 1) // PIECES])
            self.wfile.flush()
            time.sleep(seconds / PIECES)

    def log_message(self, *_):
        pass


port, seconds = int(sys.argv[1]), float(sys.argv[2])
server = ThreadingHTTPServer(("127.0.0.1", port), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
