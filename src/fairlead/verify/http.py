"""The `http` check: one GET from outside, and what the answer must be.

The answer is not trusted: at most 1 MiB is read, the whole exchange has one time limit, redirects are followed only on
the same host and never from https to http, TLS is verified, no proxy or netrc of the surroundings is used.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from fairlead import __version__
from fairlead.errors import InvalidSetting
from fairlead.process import NO_SECRETS, Mask
from fairlead.verify.base import Outcome, plain

LARGEST_BODY = 1024 * 1024
MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_MISSING = object()

Scalar = str | int | float | bool


class _Wrong(Exception):
    """The answer is not what it must be; says what came."""


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """A GET of `url` within `timeout` seconds.

    fields: what the JSON answer must have; `a.b` is the field b of the object a. contains: text that the body must
    have. headers: what they must be. ca: a PEM file that is trusted beside the system's CAs.
    mask: for what an answer says.
    """

    url: str
    status: int = 200
    fields: Mapping[str, Scalar] = field(default_factory=dict)
    contains: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 5.0
    ca: Path | None = None
    mask: Mask = NO_SECRETS

    light = True

    @property
    def name(self) -> str:
        """`http` and the address."""
        return f"http {self.url}"

    @property
    def expected(self) -> str:
        """The right answer in words."""
        parts = [str(self.status)]
        parts += [f"{name}={json.dumps(value)}" for name, value in self.fields.items()]
        parts += [f"{name}: {value}" for name, value in self.headers.items()]
        parts += [f"containing {self.contains!r}"] if self.contains else []
        return plain(", ".join(parts))

    def attempt(self) -> Outcome:
        """Ask once. Raises InvalidSetting for a CA file that cannot be read."""
        trust = _trust(self.ca)
        try:
            came = asyncio.run(self._ask(trust))
        except _Wrong as wrong:
            return Outcome(passed=False, expected=self.expected, came=plain(self.mask(str(wrong))))
        except TimeoutError:
            return Outcome(passed=False, expected=self.expected, came=f"no whole answer within {self.timeout:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Outcome(passed=False, expected=self.expected, came=plain(_reason(error)))
        return Outcome(passed=True, expected=self.expected, came=came)

    async def _ask(self, trust: ssl.SSLContext) -> str:
        async with asyncio.timeout(self.timeout), _client(trust) as client:
            url = httpx2.URL(self.url)
            for _ in range(MOST_REDIRECTS + 1):
                async with client.stream("GET", url) as response:
                    if response.status_code not in _REDIRECTS or response.status_code == self.status:
                        return await self._judge(response)
                    url = _next(url, response)
        raise _Wrong(f"more than {MOST_REDIRECTS} redirects, at last to {url}")

    async def _judge(self, response: httpx2.Response) -> str:
        """What came, in words, where it is right."""
        if response.status_code != self.status:
            raise _Wrong(f"{response.status_code}: {(await _excerpt(response)) or 'an empty body'}")
        for name, value in self.headers.items():
            if response.headers.get(name) != value:
                raise _Wrong(f"{name}: {response.headers.get(name, 'none')}")
        if self.fields or self.contains:
            self._judge_body(await _body(response))
        return f"{self.status}{_certificate(response)}"

    def _judge_body(self, body: bytes) -> None:
        text = body.decode(errors="replace")
        if self.contains not in text:
            raise _Wrong(f"without {self.contains!r}: {text[:200]}")
        if self.fields:
            _judge_fields(self.fields, text)


@asynccontextmanager
async def _client(trust: ssl.SSLContext) -> AsyncIterator[httpx2.AsyncClient]:
    """Without a time limit of its own: `_ask` has one for the whole exchange."""
    headers = {"User-Agent": f"fairlead/{__version__}", "Accept-Encoding": "identity"}
    async with httpx2.AsyncClient(verify=trust, trust_env=False, timeout=None, headers=headers) as client:
        yield client


def _next(url: httpx2.URL, response: httpx2.Response) -> httpx2.URL:
    """Where a redirect leads, if it may be followed."""
    target = url.join(response.headers.get("Location", ""))
    if target.host != url.host or target.scheme not in ("http", "https"):
        raise _Wrong(f"{response.status_code} to {target}, which is another host and was not followed")
    if (url.scheme, target.scheme) == ("https", "http"):
        raise _Wrong(f"{response.status_code} from https to {target}, which was not followed")
    return target


async def _body(response: httpx2.Response) -> bytes:
    """The body as it came over the line: an answer that is compressed although that was not allowed stays so."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise _Wrong(f"{response.status_code} with a body of more than {LARGEST_BODY // 1024} KiB")
    return bytes(body)


async def _excerpt(response: httpx2.Response) -> str:
    """The beginning of a body that is wrong anyway."""
    async for chunk in response.aiter_raw():
        return chunk[:200].decode(errors="replace")
    return ""


def _judge_fields(wanted: Mapping[str, Scalar], text: str) -> None:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise _Wrong(f"no JSON: {text[:200]}") from None
    for name, value in wanted.items():
        came = _field(answer, name)
        if came is _MISSING:
            raise _Wrong(f"no field {name}: {text[:200]}")
        if not _same(came, value):
            raise _Wrong(f"{name}={json.dumps(came)}")


def _field(answer: Any, name: str) -> Any:
    """A field by its own name, else by the path that its dots make."""
    if isinstance(answer, dict) and name in answer:
        return answer[name]
    head, dot, rest = name.partition(".")
    if dot and isinstance(answer, dict) and head in answer:
        return _field(answer[head], rest)
    return _MISSING


def _same(came: Any, wanted: Scalar) -> bool:
    """Equal, and neither a boolean that stands for a number nor a number that stands for text."""
    return came == wanted and isinstance(came, bool) == isinstance(wanted, bool)


def _certificate(response: httpx2.Response) -> str:
    """Until when the server's certificate is valid: a reader of the log sees it coming."""
    stream = response.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream else None
    certificate = tls.getpeercert() if tls else None
    return f"; certificate valid until {certificate['notAfter']}" if certificate else ""


def _reason(error: Exception) -> str:
    """The innermost cause that says something: a certificate's fault hides below a connection's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"a TLS certificate that is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"a TLS failure: {cause.reason or cause}"
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


@cache
def _trust(ca: Path | None) -> ssl.SSLContext:
    """Read once: parsing the system's CAs takes 20 ms."""
    context = ssl.create_default_context()
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(
            f"verify: the CA certificate {ca} cannot be read",
            why=str(error),
            remedy="`ca` is a PEM file in the deployment repository, given by its path there",
        ) from None
    return context
