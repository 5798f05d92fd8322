"""Where a registry may lead us: the addresses that it names are checked before any request.

* Requests with credentials or tokens (`realm`, `Link`, redirects of the API): its own host name, `allow_hosts`, and
  the hosts in KNOWN_HOSTS; never over plain HTTP unless the configuration says `plain_http` for that host.
* Blob downloads, as every cloud registry redirects them: also any other HTTPS host, without credentials, if its
  address is public or of the same kind (private, loopback, link-local) as the registry's own. A blob's digest is
  known beforehand, and TLS proves the host's name, which is what makes a rebound DNS name useless here.
"""

import asyncio
import socket
from collections.abc import Mapping

import httpx2

from fairlead.config.models import Registry
from fairlead.errors import RegistryUnreachable, UntrustedAnswer
from fairlead.images import DOCKER_HUB
from fairlead.registry.untrusted import AddressKind, address_kind, plain_text

API_HOSTS = {DOCKER_HUB: "registry-1.docker.io"}
KNOWN_HOSTS = {DOCKER_HUB: ("auth.docker.io",), "registry.gitlab.com": ("gitlab.com",)}


class Reach:
    """One registry's own address and the others that it may name."""

    def __init__(self, registry: str, registries: Mapping[str, Registry]) -> None:
        self.registry = registry
        self.settings = registries.get(registry) or Registry()
        self._registries = registries
        scheme = "http" if self.settings.plain_http else "https"
        self.base = httpx2.URL(f"{scheme}://{API_HOSTS.get(registry, registry)}/v2/")

    def api(self, path: str) -> httpx2.URL:
        """The address of an API path below /v2/."""
        return httpx2.URL(f"{self.base}{path}")

    def settings_for(self, url: httpx2.URL) -> Registry:
        """What the configuration says for an address: its own entry, else this registry's if the host is the same."""
        own = self.settings if self.is_own(url) else Registry()
        return self._registries.get(url.netloc.decode()) or own

    def next_page(self, target: str, current: httpx2.URL) -> httpx2.URL:
        """The next page of a list: an API path of a host that is trusted. Raises UntrustedAnswer."""
        url = self.trusted(str(join(current, target, self.registry)), "the next page (Link)")
        if not url.path.startswith("/v2/"):
            raise self._refused("the next page (Link)", url, "It is not below /v2/")
        return url

    def trusted(self, target: str, what: str) -> httpx2.URL:
        """An address, perhaps relative, to which requests of the API may go. Raises UntrustedAnswer.

        what: names the address for the message.
        """
        url = join(self.base, target, self.registry)
        if url.userinfo:
            raise self._refused(what, url, "The address carries a login")
        if not self.is_own(url) and not self._is_allowed(url):
            raise self._refused(what, url, "Only its own host and allow_hosts are trusted")
        if url.scheme != "https" and not (url.scheme == "http" and self._may_be_plain(url)):
            raise self._refused(what, url, f"The address is {url.scheme or 'without a scheme'}, not https")
        return url

    def is_own(self, url: httpx2.URL) -> bool:
        """Whether an address is on the registry's own host name, at any port (a token service beside it)."""
        return bool(url.host) and url.host == self.base.host

    def _is_allowed(self, url: httpx2.URL) -> bool:
        allowed = (*self.settings.allow_hosts, *KNOWN_HOSTS.get(self.registry, ()))
        return url.netloc.decode() in allowed

    def _may_be_plain(self, url: httpx2.URL) -> bool:
        return self.settings_for(url).plain_http

    async def blob_target(self, url: httpx2.URL) -> httpx2.URL:
        """A redirect of a blob may also lead to a stranger, without credentials: see the module's first lines."""
        if self.is_own(url) or self._is_allowed(url):
            return self.trusted(str(url), "a download")
        if url.scheme != "https" or url.userinfo:
            raise self._refused("a download", url, "The address is not plain https")
        kinds = await self._kinds(url) - {"public"}
        if kinds - await self._kinds(self.base):
            raise self._refused("a download", url, f"Its address is {' and '.join(sorted(kinds))}")
        return url

    async def _kinds(self, url: httpx2.URL) -> set[AddressKind]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
        except OSError as error:
            raise RegistryUnreachable(f"{plain_text(url.host)} has no address", why=str(error)) from None
        return {address_kind(str(address[4][0])) for address in found}

    def _refused(self, what: str, url: httpx2.URL, why: str) -> UntrustedAnswer:
        place = plain_text(url.netloc.decode(errors="replace")) or plain_text(url.scheme)
        return UntrustedAnswer(
            f"{self.registry} sends {what} to {place}",
            why=f"{why}. No request was made",
            remedy="If that is right, write in fairlead.yaml: "
            f"registries: {{{self.registry}: {{allow_hosts: [{place}]}}}}",
        )


def join(base: httpx2.URL, target: str, registry: str) -> httpx2.URL:
    """What `target` means on the page `base`. Raises UntrustedAnswer where it is no address."""
    try:
        return base.join(target)
    except (httpx2.InvalidURL, ValueError):
        raise UntrustedAnswer(f"{registry} names an address that is none", why=plain_text(target)) from None
