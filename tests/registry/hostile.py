"""A real HTTP server that says whatever a case tells it to say, and remembers what it was asked."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from fairlead.config.models import Registry
from fairlead.images import ImageReference


@dataclass
class Reply:
    """status, headers and body. An iterable body is sent chunk by chunk until the client hangs up."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


Say = Callable[[Asked], Reply]


@dataclass
class HostileServer:
    """host: `127.0.0.1:port`. asked: every request so far."""

    host: str
    say: Say
    asked: list[Asked] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Registry]:
        return {self.host: Registry(plain_http=True)}

    @property
    def app(self) -> ImageReference:
        return ImageReference(self.host, "shop/app")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms each otherwise
    hostile: HostileServer

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body)
        self.hostile.asked.append(asked)
        self.answer(self.hostile.say(asked))

    do_GET = do_HEAD = do_POST = handle_one  # noqa: N815 - names that http.server wants

    def answer(self, reply: Reply) -> None:
        chunks = [reply.body] if isinstance(reply.body, bytes) else reply.body
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if isinstance(reply.body, bytes):
            self.send_header("Content-Length", str(len(reply.body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.write(chunks)

    def write(self, chunks: Iterable[bytes]) -> None:
        try:
            for chunk in chunks:
                self.wfile.write(chunk)
        except OSError:  # the client has hung up
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def hostile(say: Say) -> Iterator[HostileServer]:
    """Serve on a port of the loopback interface until the block ends."""
    server = HostileServer("", say)
    handler = type("Handler", (_Handler,), {"hostile": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        server.host = f"127.0.0.1:{listener.server_port}"
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
