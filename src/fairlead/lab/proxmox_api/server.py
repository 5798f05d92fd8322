"""HTTPS in front of the cluster: TLS 1.3, a thread for each connection, JSON answers.

The standard library's server is enough: a lab has a handful of clients.
"""

import contextlib
import json
import socket
import ssl
import tempfile
import threading
import urllib.parse
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fairlead.lab.proxmox_api.certificates import Authority
from fairlead.lab.proxmox_api.cluster import Cluster
from fairlead.lab.proxmox_api.faults import Kind
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.routes import PREFIX, answer

_LARGEST_BODY = 1 << 20
_IDLE = 120.0
_HANDSHAKE = 10.0
_REMEMBERED = 10_000
_LOOK = 0.1  # seconds between two looks whether a fault was cleared
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
# Proxmox answers these in the body of a 401 with nothing: the sentence is in the status line.
_WITHOUT_BODY = (401,)


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked, and the status it got. path: after the prefix, as it was sent. No values: secrets."""

    method: str
    path: str
    parameters: tuple[str, ...]
    status: int


class Server(ThreadingHTTPServer):
    """Serves one cluster. names: those in its certificate."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, cluster: Cluster, authority: Authority, address: tuple[str, int], names: Sequence[str]) -> None:
        self.cluster = cluster
        self.stopping = threading.Event()
        self.requests: deque[Request] = deque(maxlen=_REMEMBERED)
        self._context = context_of(authority.server(names))
        self._stranger = context_of(Authority.fresh(authority.file).server(names))
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread, so that a slow handshake stops nobody else."""
        changed = self.cluster.faults.met(Kind.CERTIFICATE_CHANGED)
        request.settimeout(_HANDSHAKE)
        with contextlib.suppress(OSError):  # a client that goes away, or refuses the certificate
            wrapped = (self._stranger if changed else self._context).wrap_socket(request, server_side=True)
            self._remember(wrapped)
            try:
                super().finish_request(wrapped, client_address)
            finally:
                self._forget(wrapped)

    def _remember(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.add(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.discard(connection)
        connection.close()

    def end(self) -> None:
        """Stop listening, wake what hangs, close the connections that are kept alive, wait for their threads."""
        self.stopping.set()
        self.shutdown()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is the client's business."""


def context_of(pem: bytes) -> ssl.SSLContext:
    """TLS 1.3 with this key and certificate (OpenSSL reads them from a file only)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "server.pem"
        file.touch(mode=0o600)
        file.write_bytes(pem)
        context.load_cert_chain(file)
    return context


class Handler(BaseHTTPRequestHandler):
    """One connection, which may bring many requests."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "pve-api-daemon/3.0", ""
    timeout = _IDLE
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # an answer in one piece
    server: Server

    def do_GET(self) -> None:
        """Every method is served the same way."""
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are remembered without their values, not logged."""

    def _serve(self) -> None:
        target = urllib.parse.urlsplit(self.path)
        path = target.path.removeprefix(PREFIX)
        sent: dict[str, list[str]] = {}
        try:
            sent = self._parameters(target.query)
            if path == target.path:
                raise Refusal(404, f"no such file '{target.path}'")
            self._meet_faults(path)
            principal = self.server.cluster.access.authenticate(self.headers.get("Authorization", ""))
            data = answer(self.server.cluster, principal, self.command, path, sent)
            self._answer(path, sent, 200, "OK", {"data": data})
        except Refusal as refusal:
            body = {"data": None} if refusal.status in _WITHOUT_BODY else refusal.body()
            self._answer(path, sent, refusal.status, refusal.message, body)

    def _parameters(self, query: str) -> dict[str, list[str]]:
        """Query and body. Raises Refusal."""
        found = urllib.parse.parse_qs(query, keep_blank_values=True)
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LARGEST_BODY:
            self.close_connection = True
            raise Refusal(501, "for data too large")
        body = self.rfile.read(length).decode()
        kind = self.headers.get("Content-Type", _FORM).partition(";")[0].strip()
        if not body:
            return found
        if kind == _JSON:
            return found | _from_json(body)
        if kind != _FORM:
            raise Refusal(501, f"Unexpected content for method '{self.command}'")
        return found | urllib.parse.parse_qs(body, keep_blank_values=True)

    def _meet_faults(self, path: str) -> None:
        faults = self.server.cluster.faults
        while fault := faults.met(Kind.API_HANGS, method=self.command, path=path):
            once = bool(fault.seconds or fault.times)
            if self.server.stopping.wait((fault.seconds or None) if once else _LOOK) or once:
                break
        if fault := faults.met(Kind.API_ERROR, method=self.command, path=path):
            raise Refusal(500, fault.message or "got timeout")

    def _answer(self, path: str, sent: Mapping[str, Any], status: int, reason: str, body: dict[str, Any]) -> None:
        self.server.requests.append(Request(self.command, path, tuple(sorted(sent)), status))
        content = json.dumps(body).encode()
        self.send_response(status, " ".join(reason.split()))
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def _from_json(body: str) -> dict[str, list[str]]:
    """A JSON object as parameters: Proxmox takes both forms. Raises Refusal."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refusal(500, "malformed JSON string")
    return {name: [_text(each) for each in _list(value)] for name, value in document.items()}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
