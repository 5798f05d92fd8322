"""One registry's line: bounded requests, retries, rate limits, and ways in."""

import asyncio
import random
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx2

from fairlead import __version__
from fairlead.config.models import Registry
from fairlead.errors import (
    InvalidSetting,
    RegistryDenied,
    RegistryRateLimited,
    RegistryUnreachable,
    UntrustedAnswer,
)
from fairlead.registry.auth import Challenge, Credentials, Token, parse_challenges, read_token
from fairlead.registry.clock import Clock
from fairlead.registry.reach import Reach, join
from fairlead.registry.untrusted import plain_text, read_json, retry_after

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a registry may cost. Sizes in bytes as they come over the line, times in seconds.

    at_once: requests in flight per registry. wait: the longest `Retry-After` that is waited for instead of reported.
    request: one exchange with its retries and redirects. look: one look at all images of an environment, and look_each
    more for each of them.
    """

    body: int = 8 * 1024 * 1024
    manifest: int = 4 * 1024 * 1024
    pages: int = 100
    tags: int = 50_000
    page_size: int = 1000
    tries: int = 3
    redirects: int = 5
    at_once: int = 8
    connect: float = 5.0
    read: float = 10.0
    wait: float = 10.0
    request: float = 30.0
    look: float = 30.0
    look_each: float = 0.05
    backoff: float = 0.2

    def look_at(self, images: int) -> float:
        """The seconds that one look at so many images may take."""
        return self.look + self.look_each * images


@dataclass(frozen=True, slots=True)
class Answer:
    """A registry's answer, its body read and bounded."""

    status: int
    headers: httpx2.Headers
    body: bytes
    url: httpx2.URL


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to a registry. scope: what a token must allow (`repository:team/app:pull`)."""

    method: str
    url: httpx2.URL
    scope: str
    headers: Mapping[str, str]
    limit: int
    blob: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many requests the registry still allows, and of how many (0: it does not say)."""

    left: int
    total: int = 0


class Lines:
    """The HTTP clients, one per trusted CA: TLS is verified by the system's CAs or by the host's own, never not."""

    def __init__(self, registries: Mapping[str, Registry], root: Path, bounds: Bounds) -> None:
        self.registries = registries
        self._root = root
        self._bounds = bounds
        self._clients: dict[str | None, httpx2.AsyncClient] = {}

    def client(self, ca: str | None) -> httpx2.AsyncClient:
        """The client that trusts this CA file (a path in the repository), or the system's CAs."""
        if ca not in self._clients:
            bounds = self._bounds
            self._clients[ca] = httpx2.AsyncClient(
                verify=_system_trust() if ca is None else _own_trust(self._root / ca),
                trust_env=False,  # no ~/.netrc, no proxy variables: only config/ reads the environment
                follow_redirects=False,
                timeout=httpx2.Timeout(bounds.read, connect=bounds.connect, pool=None),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=4 * bounds.at_once),
                headers={"User-Agent": f"fairlead/{__version__}", "Accept-Encoding": "identity"},
            )
        return self._clients[ca]

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


@cache
def _system_trust() -> ssl.SSLContext:
    """Read once: parsing the system's CAs takes 20 ms."""
    return ssl.create_default_context()


def _own_trust(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(
            f"The CA certificate {path.name} cannot be read",
            why=str(error),
            remedy="registries.<host>.ca is a PEM file in the deployment repository",
        ) from None


class Connection:
    """One registry: `host` or `host:port`, how it lets us in, and when it last asked us to wait."""

    def __init__(
        self, registry: str, lines: Lines, credentials: Credentials | None, bounds: Bounds, clock: Clock
    ) -> None:
        self.registry = registry
        self.requests = 0
        self.allowance: Allowance | None = None
        self.reach = Reach(registry, lines.registries)
        self._lines = lines
        self._credentials = credentials
        self._bounds = bounds
        self._clock = clock
        self._slots = asyncio.Semaphore(bounds.at_once)
        self._first = asyncio.Lock()
        self._met = False
        self._challenge: Challenge | None = None
        self._tokens: dict[str, Token] = {}
        self._token_locks: dict[str, asyncio.Lock] = {}
        self._not_before = 0.0

    async def ask(self, ask: Ask) -> Answer:
        """Ask, get in where asked to, follow redirects. Any answer but 401 and 403 comes back.

        Raises RegistryDenied, RegistryRateLimited, RegistryUnreachable, UntrustedAnswer.
        """
        try:
            async with asyncio.timeout(self._bounds.request), self._one_at_first():
                return await self._ask_and_get_in(ask)
        except TimeoutError:
            raise self._unreachable(f"It did not answer within {self._bounds.request:g} s") from None

    @asynccontextmanager
    async def _one_at_first(self) -> AsyncIterator[None]:
        """Until the registry has said how it lets us in, one request goes alone: not all of them run into a 401."""
        async with self._first:
            alone = not self._met
            if alone:
                try:
                    yield
                finally:
                    self._met = True
        if not alone:
            yield

    async def _ask_and_get_in(self, ask: Ask) -> Answer:
        authorization = await self._authorization(ask.scope)
        answer = await self._follow(ask, authorization)
        if answer.status == 401:
            self._learn(answer, ask.scope, authorization)
            answer = await self._follow(ask, await self._authorization(ask.scope))
        if answer.status in (401, 403):
            raise self._denied(ask.scope)
        return answer

    # Ways in.

    def _learn(self, answer: Answer, scope: str, used: str | None) -> None:
        challenges = parse_challenges(answer.headers.get("www-authenticate", ""))
        offered = {challenge.scheme: challenge for challenge in reversed(challenges)}
        self._challenge = offered.get("bearer") or offered.get("basic")
        if scope in self._tokens and self._tokens[scope].bearer == used:
            del self._tokens[scope]

    async def _authorization(self, scope: str) -> str | None:
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            return self._credentials.basic if self._credentials else None
        return (await self._token(self._challenge, scope)).bearer

    async def _token(self, challenge: Challenge, scope: str) -> Token:
        """The cached token of a scope, else a new one; many who need it at once fetch it once."""
        async with self._token_locks.setdefault(scope, asyncio.Lock()):
            token = self._tokens.get(scope)
            if token is None or token.expires <= self._clock.monotonic():
                token = self._tokens[scope] = await self._fetch_token(challenge, scope)
            return token

    async def _fetch_token(self, challenge: Challenge, scope: str) -> Token:
        """Our own scope is asked for, never the one that the registry names."""
        realm = self.reach.trusted(challenge.parameters.get("realm", ""), "its token service (realm)")
        service = challenge.parameters.get("service", "")
        login = self._credentials
        if login is not None and login.identity:
            form = {"grant_type": "refresh_token", "refresh_token": login.password.reveal(), "client_id": "fairlead"}
            request = self._client(realm).build_request(
                "POST", realm, data={**form, "service": service, "scope": scope}
            )
        else:
            url = realm.copy_merge_params({"service": service, "scope": scope})
            headers = {"Authorization": login.basic} if login else {}
            request = self._client(realm).build_request("GET", url, headers=headers)
        answer = await self._send(request, self._bounds.body)
        if answer.status in (400, 401, 403):
            raise self._denied(scope)
        if answer.status != 200:
            raise self._unreachable(f"Its token service answers with status {answer.status}")
        return read_token(
            read_json(answer.body, f"The token service's answer for {self.registry}"),
            self._clock.monotonic(),
            realm.host,
        )

    def _denied(self, scope: str) -> RegistryDenied:
        repository = scope.split(":")[1]
        who = f"the login {self._credentials.username!r}" if self._credentials else "requests without a login"
        return RegistryDenied(
            f"{self.registry} refuses to show {repository}",
            why=f"It does not accept {who}, or the repository does not exist",
            remedy=f"docker login {self.registry}",
        )

    # Requests.

    async def _follow(self, ask: Ask, authorization: str | None) -> Answer:
        """The answer after redirects; credentials go only to the registry's own host name."""
        url = ask.url
        for _ in range(self._bounds.redirects + 1):
            headers = dict(ask.headers)
            if authorization and self.reach.is_own(url) and url.scheme == self.reach.base.scheme:
                headers["Authorization"] = authorization
            answer = await self._send(self._client(url).build_request(ask.method, url, headers=headers), ask.limit)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            target = join(url, location, self.registry)
            url = await self.reach.blob_target(target) if ask.blob else self.reach.trusted(str(target), "a redirect")
        raise UntrustedAnswer(f"{self.registry} redirects more than {self._bounds.redirects} times")

    def _client(self, url: httpx2.URL) -> httpx2.AsyncClient:
        return self._lines.client(self.reach.settings_for(url).ca)

    async def _send(self, request: httpx2.Request, limit: int) -> Answer:
        """One request, repeated where repeating may help: connection lost, 5xx, 429 with a bearable Retry-After."""
        for attempt in range(1, self._bounds.tries + 1):
            await self._wait_if_asked()
            last = attempt == self._bounds.tries
            try:
                answer = await self._once(request, limit)
            except httpx2.TransportError as error:
                if last or _is_certificate(error):
                    raise self._no_connection(error) from None
            else:
                if answer.status == 429:
                    self._note_rate_limit(answer, last)
                elif answer.status < 500 or answer.status == 501:
                    return answer
                elif last:
                    raise self._unreachable(f"It answers with status {answer.status}")
            await self._clock.sleep(self._pause(attempt))
        raise AssertionError("the last try returns or raises")

    def _pause(self, attempt: int) -> float:
        """Doubles with each attempt; the jitter keeps many clients from coming back together."""
        return self._bounds.backoff * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret

    async def _once(self, request: httpx2.Request, limit: int) -> Answer:
        async with self._slots:
            self.requests += 1
            response = await self._client(request.url).send(request, stream=True)
            try:
                body = await self._body(response, limit)
                self.allowance = read_allowance(response.headers) or self.allowance
            finally:
                await response.aclose()
        return Answer(response.status_code, response.headers, body, request.url)

    async def _body(self, response: httpx2.Response, limit: int) -> bytes:
        """The raw body. Nothing is decompressed: we ask for `identity`, and a bomb is best not lit."""
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise UntrustedAnswer(
                f"{self.registry} compresses its answer, which was not asked for", why=plain_text(encoding)
            )
        chunks, size = [], 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > limit:
                raise UntrustedAnswer(
                    f"{self.registry} answers with more than {limit} bytes",
                    why=f"Asked for {plain_text(response.request.url.path)}",
                )
            chunks.append(chunk)
        return b"".join(chunks)

    async def _wait_if_asked(self) -> None:
        """Respect what the registry asked for, also when another image's request was told."""
        left = self._not_before - self._clock.monotonic()
        if left > self._bounds.wait:
            raise self._rate_limited(left)
        if left > 0:
            await self._clock.sleep(left)

    def _note_rate_limit(self, answer: Answer, last: bool) -> None:
        seconds = retry_after(answer.headers.get("retry-after", "1"), self._clock.now())
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)
        if last or seconds > self._bounds.wait:
            raise self._rate_limited(seconds)

    def _rate_limited(self, seconds: float) -> RegistryRateLimited:
        return RegistryRateLimited(
            f"{self.registry} asks to wait {seconds:.0f} s",
            why="Too many requests (429)",
            remedy=f"Wait, poll less often, or log in for a higher limit: docker login {self.registry}",
        )

    def _no_connection(self, error: httpx2.TransportError) -> RegistryUnreachable:
        if _is_certificate(error):
            return RegistryUnreachable(
                f"{self.registry} has a certificate that is not trusted",
                why=plain_text(str(error)),
                remedy="Put the site's CA into the repository and name it: "
                f"registries: {{{self.registry}: {{ca: certs/site-ca.pem}}}}",
            )
        return self._unreachable(plain_text(str(error)) or type(error).__name__)

    def _unreachable(self, why: str) -> RegistryUnreachable:
        return RegistryUnreachable(
            f"{self.registry} cannot be reached", why=why, remedy=f"Try it by hand: curl -v {self.reach.base}"
        )


def read_allowance(headers: Mapping[str, str]) -> Allowance | None:
    """`ratelimit-remaining: 76;w=21600`, as Docker Hub and GitLab say it; None where nothing is said.

    Source: docs.docker.com, "Docker Hub usage and limits"; draft-ietf-httpapi-ratelimit-headers-03.
    """
    left, total = (_NUMBER.match(headers.get(f"ratelimit-{name}", "")) for name in ("remaining", "limit"))
    return Allowance(int(left[0]), int(total[0]) if total else 0) if left else None


def _is_certificate(error: BaseException | None) -> bool:
    """Whether TLS verification lies at the bottom of an error: repeating does not help then."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
