"""A mutating admission webhook that does the same to all that it is asked about.

webhook.py ADDRESS OPERATIONS
  ADDRESS     the address of this machine on which it listens, on a free port
  OPERATIONS  a JSON Patch, such as [{"op": "add", "path": "/spec/suspend", "value": true}]

The first line of its output is {"url": …, "caBundle": …}, as a webhook's clientConfig has them: the certificate is
made anew each time. It ends when its standard input does, so that it never outlives the test that started it.
Needs openssl.
"""
import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

address, operations = sys.argv[1], json.loads(sys.argv[2])
patch = base64.b64encode(json.dumps(operations).encode()).decode()


class Review(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
        body = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def certificate(folder):
    key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=webhook", "-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    return key, cert


server = ThreadingHTTPServer((address, 0), Review)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.TemporaryDirectory() as folder:
    key, cert = certificate(folder)
    context.load_cert_chain(cert, key)
    with open(cert, "rb") as file:
        authority = base64.b64encode(file.read()).decode()
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"https://{address}:{server.server_address[1]}/"
print(json.dumps({"url": url, "caBundle": authority}), flush=True)
sys.stdin.read()
