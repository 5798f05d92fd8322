"""Semaphore's REST API as far as Fairlead needs it: one server, one token, every answer bounded and checked."""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx2

from fairlead import __version__
from fairlead.config.secrets import Secret
from fairlead.errors import (
    InvalidSetting,
    SemaphoreDenied,
    SemaphoreError,
    SemaphoreMissing,
    SemaphoreRefused,
    SemaphoreUnreachable,
)

LARGEST_ANSWER = 64 * 1024 * 1024  # a task's whole output is one answer
_LATER = (429, 500, 502, 503, 504)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Server:
    """A Semaphore server. url: without `/api`. timeout: seconds for one whole exchange."""

    url: str
    token: Secret
    timeout: float = 30.0
    clock: Callable[[], float] = field(default=time.monotonic)

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")) or "@" in self.url or "?" in self.url:
            raise InvalidSetting(
                f"SEMAPHORE_URL {self.url!r} is not the address of a Semaphore server",
                remedy="export SEMAPHORE_URL=https://semaphore.example.com",
            )

    def get(self, path: str, **query: str) -> Any:
        """The JSON answer of a GET. Raises SemaphoreError."""
        return self._ask("GET", path, None, query)

    def listed(self, path: str, **query: str) -> list[dict[str, Any]]:
        """A GET whose answer is a list of objects (null for none, as Go writes it)."""
        found = self.get(path, **query) or []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._strange(path, "no list")
        return found

    def read(self, path: str) -> dict[str, Any]:
        """A GET whose answer is one object."""
        found = self.get(path)
        if not isinstance(found, dict):
            raise self._strange(path, "no object")
        return found

    def post(self, path: str, body: Json) -> Any:
        """The JSON answer of a POST, None where there is none. Raises SemaphoreError."""
        return self._ask("POST", path, body, {})

    def put(self, path: str, body: Json) -> None:
        """Raises SemaphoreError."""
        self._ask("PUT", path, body, {})

    def _ask(self, method: str, path: str, body: Json | None, query: Mapping[str, str]) -> Any:
        headers = {"Authorization": f"Bearer {self.token.reveal()}", "Accept-Encoding": "identity"}
        headers["User-Agent"] = f"fairlead/{__version__}"
        url = f"{self.url.rstrip('/')}/api{path}"
        try:
            with httpx2.Client(verify=_trust(), trust_env=False, timeout=self.timeout, headers=headers) as client:
                request = client.build_request(method, url, json=body, params=query)
                response = client.send(request, stream=True)
                try:
                    content = self._content(response, path)
                finally:
                    response.close()
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise self._unreachable(_reason(error)) from None
        return self._judge(response.status_code, content, f"{method} {path}")

    def _content(self, response: httpx2.Response, path: str) -> bytes:
        """The body, of a bounded size and in a bounded time."""
        content, deadline = bytearray(), self.clock() + self.timeout
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > LARGEST_ANSWER:
                raise self._strange(path, f"more than {LARGEST_ANSWER // 2**20} MiB")
            if self.clock() > deadline:
                raise self._unreachable(f"no whole answer within {self.timeout:g} s")
        return bytes(content)

    def _judge(self, status: int, content: bytes, what: str) -> Any:
        said = _said(content)
        if status in (401, 403):
            raise self._denied(status, what, said)
        if status == 404:
            raise SemaphoreMissing(
                f"Semaphore {self.url} has nothing at {what}",
                why=said,
                remedy="fairlead semaphore setup -e … makes what is missing; fairlead doctor says what that is",
            )
        if status in _LATER:
            raise self._unreachable(f"{status} to {what}: {said or 'no reason given'}")
        if not 200 <= status < 300:
            raise SemaphoreRefused(
                f"Semaphore {self.url} refuses {what}",
                why=f"{status}: {said or 'no reason given'}",
                remedy="fairlead doctor compares the project with what Fairlead needs",
            )
        try:
            return json.loads(content) if content.strip() else None
        except (ValueError, RecursionError):
            raise self._strange(what, "no JSON") from None

    def _denied(self, status: int, what: str, said: str) -> SemaphoreDenied:
        if status == 401:
            return SemaphoreDenied(
                f"Semaphore {self.url} does not accept the token",
                why=f"401 to {what}: the token was revoked, or is another server's",
                remedy="Make a token in Semaphore (User settings, API tokens), and export SEMAPHORE_TOKEN=…",
            )
        return SemaphoreDenied(
            f"Semaphore {self.url} does not let the token's user do that",
            why=f"403 to {what}: {said or 'no reason given'}",
            remedy="Give that user the role Task Runner in the project; for fairlead semaphore setup, Manager",
        )

    def _unreachable(self, why: str) -> SemaphoreUnreachable:
        return SemaphoreUnreachable(
            f"Semaphore {self.url} does not answer",
            why=why,
            remedy="Repeat the command when it does; it goes on with the same task",
        )

    def _strange(self, path: str, what: str) -> SemaphoreError:
        return SemaphoreRefused(
            f"What answers at {self.url} is no Semaphore",
            why=f"{what} came for {path}",
            remedy="Set SEMAPHORE_URL to the address of the server, without /api",
        )


def _said(content: bytes) -> str:
    """The error in an answer: `{"error": "..."}`, else its beginning."""
    try:
        answer = json.loads(content)
        return str(answer["error"])[:300]
    except (ValueError, KeyError, TypeError, RecursionError):
        return " ".join(content[:300].decode(errors="replace").split())


def _reason(error: BaseException | None) -> str:
    """The innermost cause: a certificate's fault hides below a connection's."""
    text = ""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its TLS certificate is not accepted: {error.verify_message} (SSL_CERT_FILE names the site's CA)"
        text = str(error) or type(error).__name__
        error = error.__cause__ or error.__context__
    return text


@cache
def _trust() -> ssl.SSLContext:
    """The system's CAs, or SSL_CERT_FILE's (OpenSSL reads that itself)."""
    return ssl.create_default_context()
